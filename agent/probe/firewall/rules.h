/* The rules of this host's packet filter, as libnftables gives them. */
#ifndef DROPPOINT_AGENT_PROBE_FIREWALL_RULES_H
#define DROPPOINT_AGENT_PROBE_FIREWALL_RULES_H

#include <jansson.h>
#include <stdint.h>

#include "agent/probe/firewall/trace.h"
#include "agent/probe/net/target.h"

struct fw_rules;

/* Marks packets to and from the target for tracing, by a table of one's own that goes with this process.
 * DP_ERR_DENIED (CAP_NET_ADMIN), DP_ERR_UNSUPPORTED, DP_ERR_NOMEM with diag. */
int fw_rules_open(const union dp_address *target, struct fw_rules **ret_rules,
                  struct dp_diag *diag) DP_MUST_CHECK;
const char *fw_rules_own_table(const struct fw_rules *rules);
/* The ruleset as it is now, {"nftables": [...]}, of the tables that were there at the beginning and those
 * that fw_rules_know was told of. One's own is not in it: libnftables 1.0.6 prints broken JSON for a table
 * with an owner. A new reference, NULL when out of memory. */
json_t *fw_rules_list(struct fw_rules *rules);
/* A table that packets cross. True: it was not known before. */
bool fw_rules_know(struct fw_rules *rules, const char *family, const char *table);
/* Takes the table away. NULL is fine. */
void fw_rules_close(struct fw_rules *rules);

/* The rule that an event names, out of a ruleset; borrowed, NULL: it is not there. */
const json_t *fw_rule_find(const json_t *ruleset, const struct fw_event *event);
/* Whether it turns away with an answer (reject, REJECT of iptables). */
bool fw_rule_rejects(const json_t *rule);
/* Whether it hands over to a process of this host: redirect, tproxy. */
bool fw_rule_redirects(const json_t *rule);
/* {family, table, chain, handle, comment, text}; text is its expression in JSON on one line. A new reference.
 */
json_t *fw_rule_json(const struct fw_event *event, const json_t *rule);
/* Counters that grew between two rulesets: [{family, table, chain, handle, comment, packets, bytes}]. A new
 * reference. */
json_t *fw_counters_grown(const json_t *before, const json_t *after);

#endif
