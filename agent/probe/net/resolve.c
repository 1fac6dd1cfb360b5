#include "agent/probe/net/resolve.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/ares_loop.h"
#include "agent/probe/net/handles.h"

struct dp_resolver {
    struct dp_ares *ares; /* with the system's settings */
};

/* Lives until both c-ares and the asker are done with it. */
struct dp_lookup {
    struct dp_timer *deliver; /* the answer goes out from the loop, never from within the question */
    dp_lookup_done *done;
    void *context;
    union dp_address addresses[DP_ADDRESSES_MAX];
    size_t count;
    int code;
    char why[320];
    char name[DP_HOST_TEXT];
    int family;
    bool asked;   /* c-ares has it */
    bool dropped; /* the asker has left */
};

int dp_resolver_new(uv_loop_t *loop, struct dp_resolver **ret_resolver, struct dp_diag *diag)
{
    struct ares_options options = {.timeout = 2000, .tries = 3};
    struct dp_resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return DP_ERR_NOMEM;
    int rc = dp_ares_new(loop, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES, &resolver->ares, diag);
    if (rc)
        free(resolver);
    else
        *ret_resolver = resolver;
    return rc;
}

void dp_resolver_free(struct dp_resolver *resolver)
{
    if (resolver)
        dp_ares_free(resolver->ares);
    free(resolver);
}

static void deliver(void *context)
{
    struct dp_lookup *lookup = context;
    dp_timer_drop(lookup->deliver);
    lookup->deliver = NULL;
    lookup->done(lookup->context, lookup->code, lookup->why, lookup->addresses, lookup->count);
}

/* The error for c-ares' status, and a sentence. */
static int explain(int status, const char *name, const char *kind, char *why, size_t size)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        (void)snprintf(why, size, "the name %s has no %s", name, kind);
        return DP_ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
        (void)snprintf(why, size, "no resolver answers when asked for %s", name);
        return DP_ERR_TIMEOUT;
    default:
        (void)snprintf(why, size, "the name %s could not be looked up: %s", name, ares_strerror(status));
        return DP_ERR_UNAVAILABLE;
    }
}

static void on_answer(void *context, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct dp_lookup *lookup = context;
    (void)timeouts;
    lookup->asked = false;
    for (struct ares_addrinfo_node *n = answer ? answer->nodes : NULL; n && lookup->count < DP_ADDRESSES_MAX;
         n = n->ai_next) {
        union dp_address address;
        if (n->ai_addrlen > sizeof address)
            continue;
        memset(&address, 0, sizeof address);
        memcpy(&address, n->ai_addr, n->ai_addrlen);
        bool known = false;
        for (size_t i = 0; i < lookup->count; i++)
            known = known || dp_address_same(&lookup->addresses[i], &address);
        if (!known)
            lookup->addresses[lookup->count++] = address;
    }
    if (answer)
        ares_freeaddrinfo(answer);
    if (lookup->dropped) {
        free(lookup);
        return;
    }
    if (!lookup->count)
        lookup->code = explain(status == ARES_SUCCESS ? ARES_ENODATA : status, lookup->name,
                               lookup->family == AF_INET    ? "IPv4 address"
                               : lookup->family == AF_INET6 ? "IPv6 address"
                                                            : "address",
                               lookup->why, sizeof lookup->why);
    dp_timer_start(lookup->deliver, 0, 0);
}

int dp_lookup_start(struct dp_resolver *resolver, const char *name, int family, uint16_t port,
                    dp_lookup_done *done, void *context, struct dp_lookup **ret_lookup)
{
    struct dp_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return DP_ERR_NOMEM;
    *lookup = (struct dp_lookup){.done = done, .context = context, .family = family};
    (void)snprintf(lookup->name, sizeof lookup->name, "%s", name);
    if (dp_timer_new(dp_ares_loop(resolver->ares), deliver, lookup, &lookup->deliver)) {
        free(lookup);
        return DP_ERR_NOMEM;
    }
    *ret_lookup = lookup;
    union dp_address literal;
    if (dp_address_parse(name, port, &literal) == 0) {
        if (family != AF_UNSPEC && literal.any.sa_family != family) {
            lookup->code = DP_ERR_NOT_FOUND;
            (void)snprintf(lookup->why, sizeof lookup->why, "%s is no %s address", name,
                           family == AF_INET ? "IPv4" : "IPv6");
        } else {
            lookup->addresses[lookup->count++] = literal;
        }
        dp_timer_start(lookup->deliver, 0, 0);
        return 0;
    }
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct ares_addrinfo_hints hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NUMERICSERV};
    lookup->asked = true;
    ares_getaddrinfo(dp_ares_channel(resolver->ares), name, port ? service : NULL, &hints, on_answer, lookup);
    dp_ares_asked(resolver->ares);
    return 0;
}

void dp_lookup_drop(struct dp_lookup *lookup)
{
    if (!lookup)
        return;
    dp_timer_drop(lookup->deliver);
    lookup->deliver = NULL;
    if (lookup->asked)
        lookup->dropped = true; // c-ares still holds it
    else
        free(lookup);
}

struct dp_mx_lookup {
    struct dp_timer *deliver;
    dp_mx_done *done;
    void *context;
    struct dp_mx list[DP_MX_MAX];
    size_t count;
    int code;
    char why[320];
    char domain[DP_HOST_TEXT];
    bool asked, dropped;
};

static int by_preference(const void *a, const void *b)
{
    const struct dp_mx *x = a, *y = b;
    return x->preference != y->preference ? (x->preference < y->preference ? -1 : 1)
                                          : strcmp(x->host, y->host);
}

static void deliver_mx(void *context)
{
    struct dp_mx_lookup *lookup = context;
    dp_timer_drop(lookup->deliver);
    lookup->deliver = NULL;
    lookup->done(lookup->context, lookup->code, lookup->why, lookup->list, lookup->count);
}

static void on_mx(void *context, int status, int timeouts, unsigned char *answer, int length)
{
    struct dp_mx_lookup *lookup = context;
    struct ares_mx_reply *records = NULL;
    (void)timeouts;
    lookup->asked = false;
    if (lookup->dropped) {
        free(lookup);
        return;
    }
    if (status == ARES_SUCCESS)
        status = ares_parse_mx_reply(answer, length, &records);
    for (const struct ares_mx_reply *r = records; r && lookup->count < DP_MX_MAX; r = r->next) {
        struct dp_mx *mx = &lookup->list[lookup->count++];
        mx->preference = r->priority;
        (void)snprintf(mx->host, sizeof mx->host, "%s", strcmp(r->host, ".") == 0 ? "" : r->host);
    }
    ares_free_data(records);
    qsort(lookup->list, lookup->count, sizeof lookup->list[0], by_preference);
    if (!lookup->count)
        lookup->code = explain(status == ARES_SUCCESS ? ARES_ENODATA : status, lookup->domain, "MX",
                               lookup->why, sizeof lookup->why);
    dp_timer_start(lookup->deliver, 0, 0);
}

int dp_mx_start(struct dp_resolver *resolver, const char *domain, dp_mx_done *done, void *context,
                struct dp_mx_lookup **ret_lookup)
{
    struct dp_mx_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return DP_ERR_NOMEM;
    *lookup = (struct dp_mx_lookup){.done = done, .context = context, .asked = true};
    (void)snprintf(lookup->domain, sizeof lookup->domain, "%s", domain);
    if (dp_timer_new(dp_ares_loop(resolver->ares), deliver_mx, lookup, &lookup->deliver)) {
        free(lookup);
        return DP_ERR_NOMEM;
    }
    *ret_lookup = lookup;
    ares_query(dp_ares_channel(resolver->ares), domain, ns_c_in, ns_t_mx, on_mx, lookup);
    dp_ares_asked(resolver->ares);
    return 0;
}

void dp_mx_drop(struct dp_mx_lookup *lookup)
{
    if (!lookup)
        return;
    dp_timer_drop(lookup->deliver);
    lookup->deliver = NULL;
    if (lookup->asked)
        lookup->dropped = true;
    else
        free(lookup);
}
