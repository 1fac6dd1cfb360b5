#include "agent/probe/net/dns_query.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/ares_loop.h"
#include "agent/probe/net/handles.h"

#define TRIES 3
#define EDNS_BYTES 1232 /* DNS flag day 2020 */

struct dp_dns_query {
    uv_loop_t *loop;
    struct dp_ares *ares;
    struct dp_timer *timer; /* the answer goes out from here, when c-ares is through */
    dp_dns_done *done;
    void *context;
    char server[DP_ADDRESS_TEXT];
    char name[DP_DNS_NAME];
    uint16_t type;
    bool recurse, tcp, again, dropping;
    uint64_t timeout_ms, begun;
    struct dp_dns_answer answer;
};

static int ask(struct dp_dns_query *query, struct dp_diag *diag);

static void finish(void *context)
{
    struct dp_dns_query *query = context;
    dp_ares_free(query->ares);
    query->ares = NULL;
    if (query->again) {
        query->again = false;
        query->tcp = true;
        dp_dns_message_free(&query->answer.message);
        if (ask(query, NULL) == 0)
            return;
        query->answer.code = DP_ERR_UNAVAILABLE;
    }
    query->answer.tcp = query->tcp;
    query->done(query->context, &query->answer);
}

static void on_answer(void *context, int status, int timeouts, unsigned char *bytes, int length)
{
    struct dp_dns_query *query = context;
    (void)timeouts;
    if (query->dropping)
        return;
    struct dp_dns_answer *answer = &query->answer;
    answer->rtt_ms = (double)(uv_hrtime() - query->begun) / 1e6;
    if (bytes && length > 0) // c-ares has an opinion on rcodes; here they are the answer
        answer->code = dp_dns_read(bytes, (size_t)length, &answer->message);
    else if (status == ARES_ETIMEOUT)
        answer->code = DP_ERR_TIMEOUT;
    else if (status == ARES_EBADNAME || status == ARES_EBADQUERY)
        answer->code = DP_ERR_USAGE;
    else if (status == ARES_EBADRESP)
        answer->code = DP_ERR_FORMAT;
    else
        answer->code = DP_ERR_UNAVAILABLE;
    if (answer->code == DP_ERR_TRUNCATED)
        answer->code = DP_ERR_FORMAT;
    query->again = !query->tcp && answer->code == 0 && answer->message.tc;
    dp_timer_start(query->timer, 0, 0);
}

static int ask(struct dp_dns_query *query, struct dp_diag *diag)
{
    struct ares_options options = {.timeout = (int)(query->timeout_ms / (query->tcp ? 1 : TRIES)),
                                   .tries = query->tcp ? 1 : TRIES,
                                   .ednspsz = EDNS_BYTES,
                                   .flags = ARES_FLAG_EDNS | ARES_FLAG_IGNTC | ARES_FLAG_NOCHECKRESP |
                                            ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                                            (query->recurse ? 0 : ARES_FLAG_NORECURSE) |
                                            (query->tcp ? ARES_FLAG_USEVC : 0)};
    int rc = dp_ares_new(query->loop, &options,
                         ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_FLAGS,
                         &query->ares, diag);
    if (rc)
        return rc;
    ares_channel channel = dp_ares_channel(query->ares);
    if (query->server[0] && ares_set_servers_ports_csv(channel, query->server) != ARES_SUCCESS)
        return dp_fail(diag, DP_ERR_USAGE, "'%s' is no address of a name server", query->server);
    ares_query(channel, query->name, ns_c_in, query->type, on_answer, query);
    dp_ares_asked(query->ares);
    return 0;
}

int dp_dns_query_start(uv_loop_t *loop, const struct dp_dns_question *question, dp_dns_done *done,
                       void *context, struct dp_dns_query **ret_query, struct dp_diag *diag)
{
    struct dp_dns_query *query = calloc(1, sizeof *query);
    if (!query)
        return DP_ERR_NOMEM;
    *query = (struct dp_dns_query){.loop = loop,
                                   .done = done,
                                   .context = context,
                                   .type = question->type,
                                   .recurse = question->recurse,
                                   .timeout_ms = question->timeout_ms,
                                   .begun = uv_hrtime()};
    (void)snprintf(query->server, sizeof query->server, "%s", question->server ? question->server : "");
    (void)snprintf(query->name, sizeof query->name, "%s", question->name);
    int rc = dp_timer_new(loop, finish, query, &query->timer);
    if (!rc)
        rc = ask(query, diag);
    if (rc) {
        dp_dns_query_drop(query);
        return rc;
    }
    *ret_query = query;
    return 0;
}

void dp_dns_query_drop(struct dp_dns_query *query)
{
    if (!query)
        return;
    query->dropping = true;
    dp_ares_free(query->ares);
    dp_timer_drop(query->timer);
    dp_dns_message_free(&query->answer.message);
    free(query);
}

size_t dp_dns_system_servers(uv_loop_t *loop, char (*ret_servers)[DP_ADDRESS_TEXT], size_t max)
{
    struct ares_options options = {.flags = 0};
    struct dp_ares *ares = NULL;
    struct ares_addr_port_node *servers = NULL;
    size_t count = 0;
    if (dp_ares_new(loop, &options, 0, &ares, NULL))
        return 0;
    if (ares_get_servers_ports(dp_ares_channel(ares), &servers) == ARES_SUCCESS)
        for (const struct ares_addr_port_node *s = servers; s && count < max; s = s->next) {
            union dp_address address;
            char text[DP_ADDRESS_TEXT];
            memset(&address, 0, sizeof address);
            address.any.sa_family = (sa_family_t)s->family;
            if (s->family == AF_INET)
                memcpy(&address.v4.sin_addr, &s->addr.addr4, sizeof s->addr.addr4);
            else
                memcpy(&address.v6.sin6_addr, &s->addr.addr6, sizeof s->addr.addr6);
            int port = s->udp_port ? s->udp_port : 53;
            (void)snprintf(ret_servers[count++], DP_ADDRESS_TEXT,
                           s->family == AF_INET ? "%.50s:%d" : "[%.50s]:%d", dp_address_text(&address, text),
                           port);
        }
    ares_free_data(servers);
    dp_ares_free(ares);
    return count;
}

int dp_dns_server_parse(const char *text, char ret_server[DP_ADDRESS_TEXT], struct dp_diag *diag)
{
    struct dp_host_port parsed;
    union dp_address address;
    int rc = dp_host_port_parse(text, &parsed, diag);
    if (rc)
        return rc;
    if (dp_address_parse(parsed.host, 0, &address))
        return dp_fail(diag, DP_ERR_USAGE,
                       "--server '%.100s': an address with an optional port, such as 192.0.2.53 or "
                       "[2001:db8::53]:53",
                       text);
    (void)snprintf(ret_server, DP_ADDRESS_TEXT, address.any.sa_family == AF_INET ? "%.50s:%u" : "[%.50s]:%u",
                   parsed.host, parsed.port ? parsed.port : 53);
    return 0;
}
