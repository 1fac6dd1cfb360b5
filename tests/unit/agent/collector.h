/* As much of a collector as the agent's test needs: welcomes, takes streams in strictly by number, keeps
 * count. */
#ifndef DROPPOINT_TESTS_UNIT_AGENT_COLLECTOR_H
#define DROPPOINT_TESTS_UNIT_AGENT_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "collector/link/link.h"

#define STREAMS_MAX 8

struct seen_stream {
    uint64_t epoch, number;
    char capture_id[64], vantage[96];
    uint64_t received; /* batches */
    uint64_t records, gaps, gap_packets, bytes;
    int64_t complete_ns; /* as the last batch that said so */
    bool texts;          /* a note had a text */
    bool closed;         /* with last == received */
    unsigned opened;
};

struct collector {
    uv_loop_t loop;
    uv_timer_t clock;
    bool late;
    struct dp_keypair keys;
    struct dp_link *link;
    char endpoint[256];
    enum dp_peer_role role;
    uint64_t credit;
    uint64_t ring_bytes; /* that captures ask for */
    bool hold_acks, return_credit, refuse_streams;
    bool deaf; /* batches are lost before they are stored */
    unsigned lost;

    struct dp_peer *peer;
    unsigned asked, hellos, readies, states_running, states_ended, batches, closes, chunks, faults;
    char name[64];
    uint64_t epoch;
    bool ready_ok;
    char ready_error[64], ready_filter[256], ready_text[512];
    char end_reason[64];
    char chunk_error[64];
    struct seen_stream streams[STREAMS_MAX];
    size_t stream_count;

    char directory[64];
    uv_process_t process;
    bool running;
    unsigned exits;
    int64_t exit_status;
    int exit_signal;
};

void collector_open(struct collector *c);
void collector_close(struct collector *c);
void collector_listen(struct collector *c, const char *bind);

/* Starts droppoint-agent with this configuration (beside collector, key, state directory and capture
 * program). */
void agent_start(struct collector *c, const char *configuration, const char *policy);
void agent_signal(struct collector *c, int number);

/* Runs until *counter reaches value; whether it did in time. */
bool run_until(struct collector *c, const unsigned *counter, unsigned value, uint64_t ms);
void run_for(struct collector *c, uint64_t ms);

void send_prepare(struct collector *c, const char *capture_id, const char *interface, const char *filter);
void send_start(struct collector *c, const char *capture_id);
void send_stop(struct collector *c, const char *capture_id);
void send_credit(struct collector *c, uint64_t bytes);
void send_export(struct collector *c, const char *capture_id, const char *vantage);
/* Asks for the next batch of each stream. */
void send_resumes(struct collector *c);
/* Acknowledges all that came. */
void send_acks(struct collector *c);

#endif
