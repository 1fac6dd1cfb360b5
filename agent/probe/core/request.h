/* What is asked of a probe: its kind, target and options, as texts that are checked against the kind's table.
 * The command line and the agent make requests the same way, so a request that came over the network is
 * checked just as well. */
#ifndef DROPPOINT_AGENT_PROBE_CORE_REQUEST_H
#define DROPPOINT_AGENT_PROBE_CORE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

enum dp_probe_option_type {
    DP_OPT_FLAG,    /* no value */
    DP_OPT_TEXT,    /* not empty, at most 1024 bytes, no control characters */
    DP_OPT_NUMBER,  /* whole, min to max */
    DP_OPT_SECONDS, /* "2.5", "30s", "500ms", "5m"; min to max in milliseconds */
    DP_OPT_WORD,    /* one of `words`, which are separated by '|' */
};

struct dp_probe_option {
    const char *name; /* with its dashes: "--count" */
    enum dp_probe_option_type type;
    const char *value_name; /* "N", "SECONDS"; NULL for flags */
    const char *fallback;   /* the default as the user would write it; NULL: none */
    uint64_t min, max;
    const char *words;
    bool repeat;      /* may be given several times (DP_OPT_TEXT) */
    const char *help; /* what it does, one line */
};

struct dp_probe_kind;
struct dp_request;

/* Options of all kinds: --timeout, -4, -6, --interface, --source. */
extern const struct dp_probe_option dp_probe_common_options[];
extern const size_t dp_probe_common_option_count;

/* An empty request. DP_ERR_NOT_FOUND (no such kind; diag lists the kinds), DP_ERR_NOMEM. */
int dp_request_new(const char *kind, struct dp_request **ret_request, struct dp_diag *diag) DP_MUST_CHECK;
void dp_request_free(struct dp_request *request); /* NULL is fine */

/* Takes one option; value NULL for flags. Copied. DP_ERR_USAGE with diag naming option and value. */
int dp_request_set(struct dp_request *request, const char *option, const char *value,
                   struct dp_diag *diag) DP_MUST_CHECK;
int dp_request_set_target(struct dp_request *request, const char *target, struct dp_diag *diag) DP_MUST_CHECK;
/* Whether all is there and goes together: a target where one is needed, not both -4 and -6, --source of the
 * family, an interface that exists. DP_ERR_USAGE, DP_ERR_INTERFACE. To be called once before the start. */
int dp_request_check(struct dp_request *request, struct dp_diag *diag) DP_MUST_CHECK;

const struct dp_probe_kind *dp_request_kind(const struct dp_request *request);
const char *dp_request_target(const struct dp_request *request); /* "" where there is none */

/* Values, or the fallback; asking for an option that the kind has not is a programming error. */
bool dp_request_flag(const struct dp_request *request, const char *option);
bool dp_request_given(const struct dp_request *request,
                      const char *option); /* by the user, not by fallback */
const char *dp_request_text(const struct dp_request *request, const char *option); /* NULL: none */
uint64_t dp_request_number(const struct dp_request *request, const char *option);
uint64_t dp_request_ms(const struct dp_request *request, const char *option); /* of DP_OPT_SECONDS */
/* A repeated option: how many, and the i-th. */
size_t dp_request_list_size(const struct dp_request *request, const char *option);
const char *dp_request_list(const struct dp_request *request, const char *option, size_t index);

int dp_request_family(const struct dp_request *request); /* AF_INET, AF_INET6, or AF_UNSPEC */
uint64_t dp_request_timeout_ms(const struct dp_request *request);

/* Calls `each` for every option that was given, for sending the request elsewhere; value NULL for flags. */
void dp_request_each(const struct dp_request *request,
                     void (*each)(void *context, const char *option, const char *value), void *context);

#endif
