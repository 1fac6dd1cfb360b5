/* The capture loop: packets from the source become digests, sealed batches and the ring's packets, until
 * something ends it. */
#ifndef DROPPOINT_AGENT_CAPTURE_RECORDER_H
#define DROPPOINT_AGENT_CAPTURE_RECORDER_H

#include "agent/capture/outbox.h"
#include "agent/capture/pipe.h"
#include "agent/capture/ring_writer.h"
#include "agent/capture/tap.h"

struct dp_recorder;

struct dp_recorder_parts {
    const struct dp_pipe_config *config;
    struct dp_tap *tap;
    struct dp_ring_writer *ring; /* NULL: none; the recorder closes it */
    struct dp_outbox *outbox;
    struct dp_pipe_reader *control;
    int control_fd;
    int signal_fd; /* a signalfd: SIGTERM asks to stop */
};

int dp_recorder_new(const struct dp_recorder_parts *parts, struct dp_recorder **ret_recorder) DP_MUST_CHECK;
void dp_recorder_free(struct dp_recorder *recorder);

/* Waits for START, captures, sends everything including END. Returns when all is sent or nobody listens any
 * more. */
void dp_recorder_run(struct dp_recorder *recorder);

#endif
