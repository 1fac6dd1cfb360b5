/* The policy's part on probes: which kinds, towards what, with which of this host's files, how many. */
#ifndef DROPPOINT_AGENT_POLICY_PROBE_RULES_H
#define DROPPOINT_AGENT_POLICY_PROBE_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

/* As the policy file has it; the lists are borrowed. An empty list of kinds or targets allows all, one of
 * files none. */
struct dp_probe_rules {
    char **kinds, **targets, **files; /* patterns; targets also addresses and prefixes */
    unsigned kind_count, target_count, file_count;
    uint64_t per_minute, at_once, max_seconds;
};

struct dp_probe_wish {
    const char *kind;
    const char *const *places; /* hosts, addresses, prefixes, folders: target and servers, ports taken off */
    size_t place_count;
    const char *const *files; /* of this host, that the probe would use */
    size_t file_count;
    uint64_t timeout_ms;
    size_t running;       /* probes that run now */
    uint64_t last_minute; /* that began within the last minute */
};

/* Whether every entry that looks like an address prefix is one. DP_ERR_USAGE with diag naming `path` and the
 * entry. */
int dp_probe_rules_valid(const struct dp_probe_rules *rules, const char *path,
                         struct dp_diag *diag) DP_MUST_CHECK;

/* DP_ERR_DENIED with diag naming the rule. */
int dp_probe_rules_check(const struct dp_probe_rules *rules, const struct dp_probe_wish *wish,
                         struct dp_diag *diag) DP_MUST_CHECK;

#endif
