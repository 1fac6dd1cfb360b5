/* A small world for tests of live capture: its own network namespace, an event loop, a record of what came
 * up. */
#ifndef DROPPOINT_TESTS_UNIT_CAPTURE_HARNESS_H
#define DROPPOINT_TESTS_UNIT_CAPTURE_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "agent/capture/supervisor.h"

#define TEST_PORT 9999

struct seen {
    uv_loop_t loop;
    struct dp_capture_process *process; /* NULL once ended */
    struct dp_batch batch;
    bool ready, ended;
    int ready_code, link_type;
    char ready_text[512], reason[64], text[512];
    uint64_t digests, records, other, gaps, gap_packets, batches, counts_calls;
    int64_t first_ns, last_ns;
    int64_t complete_ns; /* the last that a batch said */
    unsigned silences;   /* batches with nothing but that */
    unsigned hasty;      /* ... that came sooner than 0.9 s after what was said before */
    unsigned overtaken;  /* digests from before what an earlier batch called complete */
    struct dp_capture_counts counts;
    unsigned refuse; /* as many batches are answered with "pause" */
    unsigned pauses;
    unsigned out_of_order; /* events after ended, or before ready */
};

/* Whether live tests can run here; prints why where not. */
bool live_possible(void);
/* A new network namespace for this process, with lo up. */
void world_new(void);
void shell(const char *command);

void seen_new(struct seen *seen);
void seen_free(struct seen *seen);
struct dp_capture_spec spec_for(const char *interface, const char *filter);
int prepare(struct seen *seen, const struct dp_capture_spec *spec, struct dp_diag *diag);

/* Turns the loop until the flag is set; fails the test after 15 seconds. */
void wait_for(struct seen *seen, const bool *flag);
/* Turns the loop for some time. */
void turn(struct seen *seen, unsigned ms);
/* Prepares, waits for ready, starts. */
void start(struct seen *seen, const struct dp_capture_spec *spec);

/* Sends packets to TEST_PORT on 127.0.0.1, or over `device`. */
void send_udp(unsigned packets, size_t payload);
void send_udp_on(const char *device, const char *address, unsigned packets);

/* The pid of the only droppoint-capture whose parent is `parent`; 0 none. */
pid_t capture_pid(pid_t parent);
/* A number from /proc/PID/status ("Seccomp", "CapEff" in hexadecimal ...). */
uint64_t status_value(pid_t pid, const char *field, int base);

#endif
