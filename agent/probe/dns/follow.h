/* What mail needs behind a domain's own records: addresses of its MX, their names, SPF as this host would be
 * judged by, TLSA. One resolver is asked; comparing servers is dns.c's matter. */
#ifndef DROPPOINT_AGENT_PROBE_DNS_FOLLOW_H
#define DROPPOINT_AGENT_PROBE_DNS_FOLLOW_H

#include <jansson.h>
#include <stddef.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/dns_codec.h"

struct dns_follow;
typedef void dns_follow_done(void *context);

struct dns_follow_mx {
    char host[DP_DNS_NAME]; /* "" : the null MX */
    uint16_t preference;    /* 0 for the domain itself where it has no MX */
};

/* Writes into `data` (borrowed): mx, addresses, spf, dmarc, mta_sts, tls_rpt; into `problems`: {word, text}.
 * `asker` NULL: the system's resolvers. `done` comes once, never from within. DP_ERR_NOMEM. */
int dns_follow_start(struct dp_probe *probe, const char *domain, const char *asker,
                     const struct dns_follow_mx *mx, size_t mx_count, json_t *data, json_t *problems,
                     dns_follow_done *done, void *context, struct dns_follow **ret_follow) DP_MUST_CHECK;
/* Writes what there is. */
void dns_follow_expire(struct dns_follow *follow);
void dns_follow_free(struct dns_follow *follow); /* NULL is fine */

/* Adds {word, text} to `problems`. */
void dns_problem(json_t *problems, const char *word, const char *format, ...) DP_PRINTF(3, 4);

#endif
