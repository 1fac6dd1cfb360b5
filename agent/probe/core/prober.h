/* Runs probes on a libuv loop, many at once. */
#ifndef DROPPOINT_AGENT_PROBE_CORE_PROBER_H
#define DROPPOINT_AGENT_PROBE_CORE_PROBER_H

#include <jansson.h>
#include <stdint.h>
#include <uv.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/core/request.h"

struct dp_prober;

enum dp_probe_status { DP_STATUS_OK, DP_STATUS_WARNING, DP_STATUS_CRITICAL, DP_STATUS_UNKNOWN };

struct dp_probe_result {
    int code; /* 0, or a dp_err code: there is no result, `summary` is the sentence */
    enum dp_probe_status status;
    const char *class;
    const char *summary;
    const char *next_step;
    int64_t started_ns; /* CLOCK_REALTIME */
    double duration_ms;
    json_t *data; /* borrowed */
};

/* All pointers in `result` live until it returns. The probe is gone afterwards. */
typedef void dp_probe_done(void *context, const struct dp_probe_result *result);
typedef void dp_probe_says(void *context, const char *text);

/* One prober on a loop, with the resolver that its probes share. DP_ERR_NOMEM, DP_ERR_IO. */
int dp_prober_new(uv_loop_t *loop, struct dp_prober **ret_prober, struct dp_diag *diag) DP_MUST_CHECK;
/* Ends what runs without results; the loop has to turn until the handles are closed. NULL is fine. */
void dp_prober_close(struct dp_prober *prober);
/* How many run. */
size_t dp_prober_running(const struct dp_prober *prober);

/* Starts one; the request is checked (dp_request_check) and must outlive it. `done` is called once, never
 * from within this call; `says` (may be NULL) any time before. On failure `done` is not called: DP_ERR_USAGE,
 * DP_ERR_NOT_FOUND, DP_ERR_INTERFACE, DP_ERR_DENIED, DP_ERR_IO, DP_ERR_NOMEM, with diag. */
int dp_prober_start(struct dp_prober *prober, const struct dp_request *request, dp_probe_done *done,
                    dp_probe_says *says, void *context, struct dp_probe **ret_probe,
                    struct dp_diag *diag) DP_MUST_CHECK;
/* Ends it early: the kind's expire() is asked for what there is; `done` follows. */
void dp_probe_cut_short(struct dp_probe *probe);

/* All kinds, in the order of help. NULL where there is none of that name. */
const struct dp_probe_kind *dp_probe_kind_find(const char *name);
extern const struct dp_probe_kind *const dp_probe_kinds[];
extern const size_t dp_probe_kind_count;

/* "ok", "warning", "critical", "unknown". */
const char *dp_status_name(enum dp_probe_status status);
/* The status that a kind's class has by itself. */
enum dp_probe_status dp_class_status(const char *kind, const char *class);
/* One entry of the document's `results`; a new reference, NULL when out of memory. result->code must be 0. */
json_t *dp_probe_result_json(const struct dp_probe_result *result, const char *agent);

#endif
