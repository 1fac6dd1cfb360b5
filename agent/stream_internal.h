/* Shared by streams.c (to the collector) and stream_intake.c (into the spool) only. */
#ifndef DROPPOINT_AGENT_STREAM_INTERNAL_H
#define DROPPOINT_AGENT_STREAM_INTERNAL_H

#include "agent/streams.h"

struct agent_stream {
    uint64_t epoch, number;
    Droppoint__StreamKind kind;
    char capture_id[64]; /* or a probe's id */
    char vantage[96];
    uint64_t last;  /* highest batch appended */
    uint64_t acked; /* highest batch that the collector committed */
    uint64_t next;  /* to be sent */
    bool resumed;   /* in this session the collector said where to go on */
    bool ended;     /* no more comes */
    bool crashed;   /* an earlier agent ended without ending it */
    bool close_sent;
    uint64_t close_ms;

    /* One batch that found the spool full, and what was lost behind it. */
    uint8_t *waiting;
    size_t waiting_len;
    uint32_t waiting_records;
    int64_t gap_from_ns, gap_to_ns; /* to 0: no gap */
    uint64_t gap_packets;           /* 0 with a gap: unknown */
    bool gap_unknown;

    struct agent_stream_events events;
    void *context;
    struct agent_stream *prev, *next_stream;
};

/* What waits for room goes first, then the gap behind it. 0: nothing waits any more; DP_ERR_FULL, DP_ERR_IO.
 */
int agent_stream_flush(struct agent *agent, struct agent_stream *stream) DP_MUST_CHECK;

/* The maker of the batches hears that they are of no use any more. forgotten: for the last time. */
void agent_stream_tell_over(struct agent_stream *stream, const char *reason, bool forgotten);

#endif
