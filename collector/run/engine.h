/* A capture's locating engine on a thread of its own, so that heavy work does not stop the heartbeats.
 * Batches go in by the loop in order, the verdict comes back to it. */
#ifndef DROPPOINT_COLLECTOR_RUN_ENGINE_H
#define DROPPOINT_COLLECTOR_RUN_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "collector/locate/locate.h"
#include "common/err/err.h"

struct dp_engine;

struct dp_engine_events {
    void (*eaten)(void *context, void *tag); /* a batch's bytes are no longer needed */
    /* The answer to dp_engine_finish; document is the callee's. NULL with a code. */
    void (*verdict)(void *context, int code, const char *text, json_t *document);
    void *context;
};

/* What is known of a vantage point at the end. */
struct dp_engine_end {
    int64_t start_ns, end_ns; /* by its own clock; 0: not known, its first and last packet count */
    bool lost; /* its data is not complete: what comes after the time that its batches tell is not known */
    bool has_dropped;
    uint64_t dropped;
    bool has_clock;
    int64_t offset_ns, error_ns; /* against the first vantage point */
};

struct dp_engine_progress {
    struct dp_locate_progress locate;
    uint64_t bad_batches[DP_LOCATE_MAX_VANTAGES]; /* that could not be decoded */
    char bad_text[256];                           /* of the last */
};

int dp_engine_open(uv_loop_t *loop, const char *const *names, size_t count,
                   const struct dp_engine_events *events, struct dp_engine **ret_engine,
                   struct dp_diag *diag) DP_MUST_CHECK;
/* bytes stay the caller's until eaten(tag). DP_ERR_NOMEM. */
int dp_engine_feed(struct dp_engine *engine, uint32_t vantage, const uint8_t *bytes, size_t len,
                   void *tag) DP_MUST_CHECK;
/* The same with a copy of its own; eaten(NULL) tells that it was used up. */
int dp_engine_feed_copy(struct dp_engine *engine, uint32_t vantage, const uint8_t *bytes,
                        size_t len) DP_MUST_CHECK;
/* The vantage point captures since start_ns (its clock) and goes on; dp_engine_finish says until when.
 * DP_ERR_NOMEM. */
int dp_engine_started(struct dp_engine *engine, uint32_t vantage, int64_t start_ns) DP_MUST_CHECK;
int dp_engine_clock_hint(struct dp_engine *engine, uint32_t vantage, int64_t offset_ns,
                         int64_t error_ns) DP_MUST_CHECK;
/* The vantage point's capture is over, and all its batches have been fed. The others may go on. */
int dp_engine_over(struct dp_engine *engine, uint32_t vantage, const struct dp_engine_end *end) DP_MUST_CHECK;
/* ends: one for each vantage point; copied. verdict() follows. Once. */
int dp_engine_finish(struct dp_engine *engine, const struct dp_engine_end *ends) DP_MUST_CHECK;
void dp_engine_progress(struct dp_engine *engine, struct dp_engine_progress *ret_progress);
/* Waits for the step in hand, calls eaten() for what is left, no verdict() any more. NULL is fine. */
void dp_engine_close(struct dp_engine *engine);

#endif
