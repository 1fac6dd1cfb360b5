/* The agent's own policy: what this host allows, whatever the collector asks for. A stolen collector must not
 * turn agents into a wiretap. */
#ifndef DROPPOINT_AGENT_POLICY_POLICY_H
#define DROPPOINT_AGENT_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/probe_rules.h"
#include "common/err/err.h"

#define DP_POLICY_FILTER_MAX 4096

struct dp_policy;

enum dp_policy_payload {
    DP_PAYLOAD_NEVER,   /* packets never leave the host */
    DP_PAYLOAD_HEADERS, /* packets leave without payload */
    DP_PAYLOAD_FULL,
};

struct dp_policy_request {
    const char *interface;
    const char *filter; /* may be "" */
    uint32_t snaplen;
    uint32_t duration_ms;
    uint64_t ring_bytes;
};

struct dp_policy_grant {
    char *filter;        /* the policy's AND the requested one, to be shown; free with
                            dp_policy_grant_free */
    uint64_t ring_bytes; /* 0 where the policy allows no ring */
};

/* Loads a policy file; NULL: the defaults (all interfaces, no filter, headers, 24 hours, ring; probes of all
 * kinds towards all targets, without files of this host, 6,000 a minute, 1,000 at once, of an hour at most).
 * DP_ERR_USAGE with diag naming file, line and key; DP_ERR_NOT_FOUND, DP_ERR_IO. */
int dp_policy_load(const char *path, struct dp_policy **ret_policy, struct dp_diag *diag) DP_MUST_CHECK;
void dp_policy_free(struct dp_policy *policy);

/* Whether a capture may be made, and how narrowed. DP_ERR_DENIED with diag naming the rule; DP_ERR_FILTER:
 * parentheses that would reach out of the requested filter; DP_ERR_NOMEM. */
int dp_policy_capture(const struct dp_policy *policy, const struct dp_policy_request *request,
                      struct dp_policy_grant *ret_grant, struct dp_diag *diag) DP_MUST_CHECK;
void dp_policy_grant_free(struct dp_policy_grant *grant);

/* Whether a probe may be run now. DP_ERR_DENIED with diag naming the rule. */
int dp_policy_probe(const struct dp_policy *policy, const struct dp_probe_wish *wish,
                    struct dp_diag *diag) DP_MUST_CHECK;

/* The filter that every capture's packets must pass, as they are on the wire; "": none. Lives as long as the
 * policy. */
const char *dp_policy_filter(const struct dp_policy *policy);
bool dp_policy_interface_allowed(const struct dp_policy *policy, const char *interface);
enum dp_policy_payload dp_policy_payload(const struct dp_policy *policy);
/* Whether the text of SMTP error replies may leave; codes always do. */
bool dp_policy_smtp_reply_text(const struct dp_policy *policy);

#endif
