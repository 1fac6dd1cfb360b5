#include "agent/probe/dns/discover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/net/dns_query.h"
#include "agent/probe/net/handles.h"

#define NAMES_MAX 13
#define QUERY_MS 4000

struct address_ask {
    struct dns_discovery *owner;
    struct dp_dns_query *query, *again;
    char name[DP_DNS_NAME];
    uint16_t type;
};

struct dns_discovery {
    struct dp_probe *probe;
    dns_discovery_done *done;
    void *context;
    struct dns_server servers[DNS_SERVERS_MAX];
    size_t count, resolvers, left_out;
    size_t asker;     /* index of the resolver whose word is taken */
    const char *zone; /* into `name`: labels are taken off from the left */
    char name[DP_DNS_NAME];
    struct dp_dns_query *query;
    struct address_ask asks[2 * NAMES_MAX];
    size_t ask_count, asks_open;
    struct dp_timer *timer;
    bool known; /* the zone's NS records */
};

static void finish(void *context)
{
    struct dns_discovery *d = context;
    dp_timer_stop(d->timer);
    d->done(d->context, d->known ? d->zone : "", d->servers, d->count);
}

/* Whether this host has any way to send there. */
static bool has_route(const char *server)
{
    struct dp_host_port parsed;
    union dp_address address;
    if (dp_host_port_parse(server, &parsed, NULL) || dp_address_parse(parsed.host, parsed.port, &address))
        return false;
    int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = fd >= 0 && connect(fd, &address.any, dp_address_size(&address)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return routed;
}

static void add_server(struct dns_discovery *d, const char *address, const char *name, enum dns_role role)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->servers[i].address, address) == 0 && d->servers[i].role == role)
            return;
    if (d->count == DNS_SERVERS_MAX || (role == DNS_AUTHORITATIVE && !has_route(address))) {
        d->left_out++;
        return;
    }
    struct dns_server *server = &d->servers[d->count++];
    server->role = role;
    (void)snprintf(server->address, sizeof server->address, "%s", address);
    (void)snprintf(server->name, sizeof server->name, "%s", name);
}

static void on_address(void *context, const struct dp_dns_answer *answer);

/* A named server that only serves its own zones cannot tell where a name server of another zone is: the
 * system's resolvers can. False: they were asked already, or the answer stands. */
static bool ask_system(struct address_ask *ask, const struct dp_dns_answer *answer)
{
    struct dns_discovery *d = ask->owner;
    struct dp_dns_question question = {NULL, ask->name, ask->type, true, QUERY_MS};
    bool said = answer->code == 0 &&
                (answer->message.rcode == DP_DNS_NOERROR || answer->message.rcode == DP_DNS_NXDOMAIN);
    if (said || ask->again || !d->resolvers || d->servers[d->asker].role != DNS_NAMED)
        return false;
    return dp_dns_query_start(dp_probe_loop(d->probe), &question, on_address, ask, &ask->again, NULL) == 0;
}

static void on_address(void *context, const struct dp_dns_answer *answer)
{
    struct address_ask *ask = context;
    struct dns_discovery *d = ask->owner;
    if (ask_system(ask, answer))
        return;
    for (size_t i = 0; !answer->code && i < answer->message.count; i++) {
        const struct dp_dns_record *record = &answer->message.records[i];
        char text[DP_ADDRESS_TEXT];
        if (record->section != DP_DNS_ANSWER || (record->type != DP_DNS_A && record->type != DP_DNS_AAAA))
            continue;
        (void)snprintf(text, sizeof text, record->type == DP_DNS_A ? "%.50s:53" : "[%.50s]:53", record->data);
        add_server(d, text, ask->name, DNS_AUTHORITATIVE);
    }
    if (--d->asks_open == 0)
        dp_timer_start(d->timer, 0, 0);
}

static void ask_addresses(struct dns_discovery *d, const struct dp_dns_message *message)
{
    int family = dp_request_family(dp_probe_request(d->probe));
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        if (record->section != DP_DNS_ANSWER || record->type != DP_DNS_NS || !record->target[0])
            continue;
        for (int v6 = 0; v6 < 2; v6++) {
            if ((v6 ? family == AF_INET : family == AF_INET6) || d->ask_count == 2 * NAMES_MAX)
                continue;
            struct address_ask *ask = &d->asks[d->ask_count];
            struct dp_dns_question question = {d->resolvers ? d->servers[d->asker].address : NULL,
                                               record->target, v6 ? DP_DNS_AAAA : DP_DNS_A, true, QUERY_MS};
            ask->owner = d;
            ask->type = question.type;
            (void)snprintf(ask->name, sizeof ask->name, "%s", record->target);
            if (dp_dns_query_start(dp_probe_loop(d->probe), &question, on_address, ask, &ask->query, NULL))
                continue;
            d->ask_count++;
            d->asks_open++;
        }
    }
    if (!d->asks_open)
        dp_timer_start(d->timer, 0, 0);
}

static void on_ns(void *context, const struct dp_dns_answer *answer);

static void ask_ns(struct dns_discovery *d)
{
    dp_dns_query_drop(d->query);
    d->query = NULL;
    if (d->asker >= d->resolvers) { // nobody tells: the resolvers alone are asked
        d->asker = 0;
        dp_timer_start(d->timer, 0, 0);
        return;
    }
    struct dp_dns_question question = {d->servers[d->asker].address, d->zone, DP_DNS_NS, true, QUERY_MS};
    if (dp_dns_query_start(dp_probe_loop(d->probe), &question, on_ns, d, &d->query, NULL)) {
        d->asker = 0;
        dp_timer_start(d->timer, 0, 0);
    }
}

static void on_ns(void *context, const struct dp_dns_answer *answer)
{
    struct dns_discovery *d = context;
    bool found = false;
    bool said = answer->code == 0 &&
                (answer->message.rcode == DP_DNS_NOERROR || answer->message.rcode == DP_DNS_NXDOMAIN);
    for (size_t i = 0; said && i < answer->message.count; i++)
        found = found || (answer->message.records[i].section == DP_DNS_ANSWER &&
                          answer->message.records[i].type == DP_DNS_NS &&
                          strcasecmp(answer->message.records[i].name, d->zone) == 0);
    if (found) {
        d->known = true;
        ask_addresses(d, &answer->message);
        return;
    }
    const char *dot = strchr(d->zone, '.');
    if (!said) {
        d->asker++;
        d->zone = d->name;
    } else if (dot && strchr(dot + 1, '.')) { // a top-level domain is nobody's mail domain
        d->zone = dot + 1;
    } else {
        dp_timer_start(d->timer, 0, 0);
        return;
    }
    ask_ns(d);
}

static int add_resolvers(struct dns_discovery *d, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(d->probe);
    char system[8][DP_ADDRESS_TEXT];
    // named ones are asked first where the zone's servers are to be found, but listed behind the system's
    size_t count = dp_dns_system_servers(dp_probe_loop(d->probe), system, 8);
    for (size_t i = 0; i < count; i++)
        add_server(d, system[i], "", DNS_SYSTEM);
    for (size_t i = 0; i < dp_request_list_size(request, "--server"); i++) {
        char server[DP_ADDRESS_TEXT];
        int rc = dp_dns_server_parse(dp_request_list(request, "--server", i), server, diag);
        if (rc)
            return rc;
        if (i == 0)
            d->asker = d->count;
        add_server(d, server, "", DNS_NAMED);
    }
    d->resolvers = d->count;
    return 0;
}

int dns_discovery_start(struct dp_probe *probe, const char *name, dns_discovery_done *done, void *context,
                        struct dns_discovery **ret_discovery, struct dp_diag *diag)
{
    struct dns_discovery *d = calloc(1, sizeof *d);
    if (!d)
        return DP_ERR_NOMEM;
    d->probe = probe;
    d->done = done;
    d->context = context;
    d->zone = d->name;
    (void)snprintf(d->name, sizeof d->name, "%s", name);
    int rc = dp_timer_new(dp_probe_loop(probe), finish, d, &d->timer);
    if (!rc)
        rc = add_resolvers(d, diag);
    if (rc) {
        dns_discovery_free(d);
        return rc;
    }
    ask_ns(d);
    *ret_discovery = d;
    return 0;
}

const char *dns_discovery_asker(const struct dns_discovery *d)
{
    return d->resolvers ? d->servers[d->asker].address : NULL;
}

size_t dns_discovery_left_out(const struct dns_discovery *d)
{
    return d->left_out;
}

void dns_discovery_expire(struct dns_discovery *d)
{
    finish(d);
}

void dns_discovery_free(struct dns_discovery *d)
{
    if (!d)
        return;
    dp_dns_query_drop(d->query);
    for (size_t i = 0; i < d->ask_count; i++) {
        dp_dns_query_drop(d->asks[i].query);
        dp_dns_query_drop(d->asks[i].again);
    }
    dp_timer_drop(d->timer);
    free(d);
}
