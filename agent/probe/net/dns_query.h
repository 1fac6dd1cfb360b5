/* One question to one name server, or to the system's resolvers: UDP with EDNS 1232, TCP where the answer is
 * cut short. */
#ifndef DROPPOINT_AGENT_PROBE_NET_DNS_QUERY_H
#define DROPPOINT_AGENT_PROBE_NET_DNS_QUERY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/probe/net/dns_codec.h"
#include "agent/probe/net/target.h"
#include "common/err/err.h"

struct dp_dns_question {
    const char
        *server; /* "192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53"; NULL: the system's resolvers */
    const char *name;
    uint16_t type;
    bool recurse;
    uint64_t timeout_ms; /* for all tries */
};

struct dp_dns_answer {
    int code; /* 0: `message` holds; DP_ERR_TIMEOUT, DP_ERR_UNAVAILABLE (refused, unreachable),
                 DP_ERR_FORMAT (no DNS message), DP_ERR_USAGE */
    struct dp_dns_message message; /* freed after the call */
    double rtt_ms;                 /* until the answer, tries included */
    bool tcp;
};

struct dp_dns_query;
typedef void dp_dns_done(void *context, const struct dp_dns_answer *answer);

/* `done` comes once, never from within; not after dp_dns_query_drop. DP_ERR_USAGE (server), DP_ERR_NOMEM,
 * DP_ERR_IO. */
int dp_dns_query_start(uv_loop_t *loop, const struct dp_dns_question *question, dp_dns_done *done,
                       void *context, struct dp_dns_query **ret_query, struct dp_diag *diag) DP_MUST_CHECK;
void dp_dns_query_drop(struct dp_dns_query *query); /* also after `done`, not from within; NULL is fine */

/* The system's resolvers as "ADDRESS:PORT", at most `max`; how many. */
size_t dp_dns_system_servers(uv_loop_t *loop, char (*ret_servers)[DP_ADDRESS_TEXT], size_t max);
/* ADDRESS[:PORT] as written by the user to the form that dp_dns_question takes. DP_ERR_USAGE with diag. */
int dp_dns_server_parse(const char *text, char ret_server[DP_ADDRESS_TEXT],
                        struct dp_diag *diag) DP_MUST_CHECK;

#endif
