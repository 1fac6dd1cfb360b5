/* Supervises droppoint-capture processes, one for each vantage point of a running capture, on the agent's
 * event loop. The child opens the interface, drops its privilege, and sends digest batches up a pipe. */
#ifndef DROPPOINT_AGENT_CAPTURE_SUPERVISOR_H
#define DROPPOINT_AGENT_CAPTURE_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/digest/digest.h"
#include "common/err/err.h"

struct dp_capture_spec {
    const char *capture_id;
    const char *vantage; /* agent/interface */
    const char *interface;
    const char *filter;     /* requested, with all parentheses closed; may be "" */
    const char *own_filter; /* the policy's, that narrows it; NULL or "": none */
    uint32_t snaplen;
    uint32_t duration_ms;       /* the child stops by itself then */
    uint64_t max_packets;       /* 0: no bound */
    uint64_t ring_bytes;        /* bound of the ring of pcapng files; 0: no ring (policy) */
    const char *ring_directory; /* for this capture and vantage point; made by the supervisor */
    uint64_t buffer_bytes;      /* kernel buffer; 0: default */
    uint8_t hash_key[DP_HASH_KEY_SIZE];
    uint32_t uid, gid; /* whom the child becomes once its handle is open, where it starts as root; 0: stays
                          root without capabilities */
};

struct dp_capture_counts {
    uint64_t packets, kernel_dropped;
    int64_t started_ns, ended_ns; /* CLOCK_REALTIME; ended 0 while running */
};

struct dp_capture_process;

/* Called from the event loop. `ready`: code 0, or why the handle could not be opened (DP_ERR_FILTER,
 * DP_ERR_INTERFACE, DP_ERR_DENIED ...); the process is gone then, after ended(). `batch`: an encoded batch,
 * bytes valid during the call; returning false pauses reading of the pipe until dp_capture_resume. `counts`:
 * about once a second. `ended`: once, last; reason as in CaptureState. */
struct dp_capture_events {
    void (*ready)(void *context, struct dp_capture_process *process, int code, const char *text,
                  int link_type);
    bool (*batch)(void *context, struct dp_capture_process *process, uint32_t records, const uint8_t *bytes,
                  size_t len);
    void (*counts)(void *context, struct dp_capture_process *process, const struct dp_capture_counts *counts);
    void (*ended)(void *context, struct dp_capture_process *process, const char *reason, const char *text,
                  const struct dp_capture_counts *counts);
};

/* Starts the child (program: path of droppoint-capture), which prepares and then waits for dp_capture_start.
 * The process object lives until after ended() returned. DP_ERR_IO, DP_ERR_NOMEM. */
int dp_capture_prepare(uv_loop_t *loop, const char *program, const struct dp_capture_spec *spec,
                       const struct dp_capture_events *events, void *context,
                       struct dp_capture_process **ret_process, struct dp_diag *diag) DP_MUST_CHECK;
int dp_capture_start(struct dp_capture_process *process) DP_MUST_CHECK;
/* Asks it to flush and end; kills it after 5 seconds without an end. */
void dp_capture_stop(struct dp_capture_process *process, const char *reason);
void dp_capture_resume(struct dp_capture_process *process);

#endif
