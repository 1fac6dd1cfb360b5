#include "agent/probe/net/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/handles.h"

struct socket_watch {
    struct socket_watch *next;
    struct dp_resolver *resolver;
    struct dp_watch *watch;
    ares_socket_t fd;
};

struct dp_resolver {
    uv_loop_t *loop;
    ares_channel channel;
    struct dp_timer *timer; /* c-ares' own timeouts */
    struct socket_watch *sockets;
};

/* Lives until both c-ares and the asker are done with it. */
struct dp_lookup {
    struct dp_resolver *resolver;
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

static void set_timer(struct dp_resolver *resolver)
{
    struct timeval most = {1, 0}, next;
    if (!resolver->sockets) {
        dp_timer_stop(resolver->timer);
        return;
    }
    (void)ares_timeout(resolver->channel, &most, &next);
    dp_timer_start(resolver->timer, (uint64_t)next.tv_sec * 1000 + (uint64_t)next.tv_usec / 1000 + 1, 0);
}

static void on_timer(void *context)
{
    struct dp_resolver *resolver = context;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(resolver);
}

static void on_socket(void *context, int events)
{
    struct socket_watch *socket = context;
    struct dp_resolver *resolver = socket->resolver;
    ares_socket_t fd = socket->fd;
    ares_process_fd(resolver->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
                    events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
    set_timer(resolver);
}

static void forget_socket(struct dp_resolver *resolver, ares_socket_t fd)
{
    for (struct socket_watch **at = &resolver->sockets; *at; at = &(*at)->next)
        if ((*at)->fd == fd) {
            struct socket_watch *gone = *at;
            *at = gone->next;
            dp_watch_drop(gone->watch);
            free(gone);
            return;
        }
}

static void on_state(void *context, ares_socket_t fd, int readable, int writable)
{
    struct dp_resolver *resolver = context;
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (!events) {
        forget_socket(resolver, fd);
        return;
    }
    for (struct socket_watch *s = resolver->sockets; s; s = s->next)
        if (s->fd == fd) {
            dp_watch_events(s->watch, events);
            return;
        }
    struct socket_watch *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return; // the question then runs into its timeout
    *fresh = (struct socket_watch){.next = resolver->sockets, .resolver = resolver, .fd = fd};
    if (dp_watch_new(resolver->loop, fd, events, on_socket, fresh, &fresh->watch)) {
        free(fresh);
        return;
    }
    resolver->sockets = fresh;
}

int dp_resolver_new(uv_loop_t *loop, struct dp_resolver **ret_resolver, struct dp_diag *diag)
{
    struct dp_resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return DP_ERR_NOMEM;
    resolver->loop = loop;
    if (dp_timer_new(loop, on_timer, resolver, &resolver->timer)) {
        free(resolver);
        return DP_ERR_NOMEM;
    }
    struct ares_options options = {
        .timeout = 2000, .tries = 3, .sock_state_cb = on_state, .sock_state_cb_data = resolver};
    int rc = ares_library_init(ARES_LIB_INIT_ALL);
    if (rc == ARES_SUCCESS)
        rc = ares_init_options(&resolver->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        dp_timer_drop(resolver->timer);
        free(resolver);
        return dp_fail(diag, DP_ERR_IO, "the resolver cannot be set up: %s", ares_strerror(rc));
    }
    *ret_resolver = resolver;
    return 0;
}

void dp_resolver_free(struct dp_resolver *resolver)
{
    if (!resolver)
        return;
    ares_destroy(resolver->channel);
    ares_library_cleanup();
    while (resolver->sockets)
        forget_socket(resolver, resolver->sockets->fd);
    dp_timer_drop(resolver->timer);
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
    *lookup = (struct dp_lookup){.resolver = resolver, .done = done, .context = context, .family = family};
    (void)snprintf(lookup->name, sizeof lookup->name, "%s", name);
    if (dp_timer_new(resolver->loop, deliver, lookup, &lookup->deliver)) {
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
    ares_getaddrinfo(resolver->channel, name, port ? service : NULL, &hints, on_answer, lookup);
    set_timer(resolver);
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
    if (dp_timer_new(resolver->loop, deliver_mx, lookup, &lookup->deliver)) {
        free(lookup);
        return DP_ERR_NOMEM;
    }
    *ret_lookup = lookup;
    ares_query(resolver->channel, domain, ns_c_in, ns_t_mx, on_mx, lookup);
    set_timer(resolver);
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
