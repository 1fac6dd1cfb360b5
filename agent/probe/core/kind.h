/* What a kind of probe is to the core: a table of operations and a list of options. One file or folder per
 * kind implements one `const struct dp_probe_kind`, kinds.c lists them all.
 *
 * A probe runs on the prober's libuv loop and never blocks. Its life: start() begins it; the kind then works
 * from callbacks until it calls dp_probe_finish or dp_probe_fail, or until expire() tells it that its time is
 * over and it must call one of them at once; stop() then takes everything down. No callback of the kind's may
 * come after stop(). */
#ifndef DROPPOINT_AGENT_PROBE_CORE_KIND_H
#define DROPPOINT_AGENT_PROBE_CORE_KIND_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "agent/probe/core/request.h"
#include "common/err/err.h"

struct dp_probe; /* one that runs */
struct dp_resolver;

enum dp_probe_target {
    DP_TARGET_REQUIRED,
    DP_TARGET_OPTIONAL,
    DP_TARGET_NONE,
};

struct dp_probe_kind {
    const char *name;
    const char *about;       /* one sentence: what it answers */
    const char *target_text; /* "HOST:PORT", as help shows it; "" without a target */
    enum dp_probe_target target;
    const struct dp_probe_option *options; /* its own; those of all kinds are in request.h */
    size_t option_count;
    uint64_t timeout_ms;  /* default of --timeout */
    const char *examples; /* whole lines */

    /* Begins. The request is checked for form; what the kind alone can judge it judges here. On an error
     * (DP_ERR_USAGE, DP_ERR_NOT_FOUND, DP_ERR_INTERFACE, DP_ERR_DENIED, DP_ERR_NOMEM, DP_ERR_IO; diag set)
     * nothing is left behind. It may finish at once, from within. */
    int (*start)(struct dp_probe *probe, void **ret_state, struct dp_diag *diag);
    /* The time is over: finishes with what there is. */
    void (*expire)(void *state);
    /* Takes down and frees everything. */
    void (*stop)(void *state);
    /* Prints `data` for a person, below the summary: lines, each with a line end. NULL: nothing to add. Texts
     * in data were made printable before. */
    void (*print)(const json_t *data, FILE *out);
    /* Nagios performance data of a result's `data` ("rtt=1.2ms loss=0%"), without the bar; NULL: none. */
    void (*perfdata)(const json_t *data, FILE *out);
};

/* What start() and the callbacks find. */
const struct dp_request *dp_probe_request(const struct dp_probe *probe);
uv_loop_t *dp_probe_loop(const struct dp_probe *probe);
struct dp_resolver *dp_probe_resolver(const struct dp_probe *probe);
/* The prober's TLS context (net/tls.h), made at the first question; NULL when out of memory. Borrowed. */
SSL_CTX *dp_probe_tls_context(struct dp_probe *probe);
/* uv_hrtime-based milliseconds since the start. */
double dp_probe_elapsed_ms(const struct dp_probe *probe);
/* For kinds whose work has a length of its own: bounds the probe by `ms` where the user gave no --timeout. */
void dp_probe_allow(struct dp_probe *probe, uint64_t ms);
/* What is left of --timeout, at least 1. */
uint64_t dp_probe_left_ms(const struct dp_probe *probe);
/* The result's `data`, an object that the kind fills; borrowed. Running out of memory while it is filled is
 * noted by jansson's functions as -1 and may be ignored: what is missing there is missing in the document. */
json_t *dp_probe_data(struct dp_probe *probe);

/* Ends it with one of the contract's words. `next_step` says what the operator does now; "" where all is
 * well. Texts are copied. stop() is called later, from the loop. The first call counts. */
void dp_probe_finish(struct dp_probe *probe, const char *class, const char *next_step, const char *summary,
                     ...) DP_PRINTF(4, 5);
/* An `ok` class becomes status `warning`: worth knowing, no fault. Before dp_probe_finish. */
void dp_probe_warn(struct dp_probe *probe);
/* Ends it without a result: a name that doesn't resolve, an interface that is absent, no permission. The
 * command leaves with 2. */
void dp_probe_fail(struct dp_probe *probe, int code, const char *format, ...) DP_PRINTF(3, 4);
/* A line on how far it is, for somebody who waits; one sentence without line end. */
void dp_probe_progress(struct dp_probe *probe, const char *format, ...) DP_PRINTF(2, 3);

/* Bytes of a peer as a JSON string: what is no UTF-8 becomes '?'. A new reference; NULL when out of memory.
 */
json_t *dp_peer_text(const char *bytes, size_t length);

#endif
