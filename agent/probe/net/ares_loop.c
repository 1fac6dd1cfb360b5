#include "agent/probe/net/ares_loop.h"

#include <stdlib.h>

#include "agent/probe/net/handles.h"

struct socket_watch {
    struct socket_watch *next;
    struct dp_ares *ares;
    struct dp_watch *watch;
    ares_socket_t fd;
};

struct dp_ares {
    uv_loop_t *loop;
    ares_channel channel;
    struct dp_timer *timer; /* c-ares' own timeouts */
    struct socket_watch *sockets;
};

static void set_timer(struct dp_ares *ares)
{
    struct timeval most = {1, 0}, next;
    if (!ares->sockets) {
        dp_timer_stop(ares->timer);
        return;
    }
    (void)ares_timeout(ares->channel, &most, &next);
    dp_timer_start(ares->timer, (uint64_t)next.tv_sec * 1000 + (uint64_t)next.tv_usec / 1000 + 1, 0);
}

static void on_timer(void *context)
{
    struct dp_ares *ares = context;
    ares_process_fd(ares->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(ares);
}

static void on_socket(void *context, int events)
{
    struct socket_watch *socket = context;
    struct dp_ares *ares = socket->ares;
    ares_socket_t fd = socket->fd;
    ares_process_fd(ares->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
                    events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
    set_timer(ares);
}

static void forget_socket(struct dp_ares *ares, ares_socket_t fd)
{
    for (struct socket_watch **at = &ares->sockets; *at; at = &(*at)->next)
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
    struct dp_ares *ares = context;
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (!events) {
        forget_socket(ares, fd);
        return;
    }
    for (struct socket_watch *s = ares->sockets; s; s = s->next)
        if (s->fd == fd) {
            dp_watch_events(s->watch, events);
            return;
        }
    struct socket_watch *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return; // the question then runs into its timeout
    *fresh = (struct socket_watch){.next = ares->sockets, .ares = ares, .fd = fd};
    if (dp_watch_new(ares->loop, fd, events, on_socket, fresh, &fresh->watch)) {
        free(fresh);
        return;
    }
    ares->sockets = fresh;
}

int dp_ares_new(uv_loop_t *loop, const struct ares_options *options, int mask, struct dp_ares **ret_ares,
                struct dp_diag *diag)
{
    struct dp_ares *ares = calloc(1, sizeof *ares);
    if (!ares)
        return DP_ERR_NOMEM;
    ares->loop = loop;
    if (dp_timer_new(loop, on_timer, ares, &ares->timer)) {
        free(ares);
        return DP_ERR_NOMEM;
    }
    struct ares_options own = *options;
    own.sock_state_cb = on_state;
    own.sock_state_cb_data = ares;
    int rc = ares_library_init(ARES_LIB_INIT_ALL);
    if (rc == ARES_SUCCESS)
        rc = ares_init_options(&ares->channel, &own, mask | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        dp_timer_drop(ares->timer);
        free(ares);
        return dp_fail(diag, DP_ERR_IO, "the resolver cannot be set up: %s", ares_strerror(rc));
    }
    *ret_ares = ares;
    return 0;
}

ares_channel dp_ares_channel(const struct dp_ares *ares)
{
    return ares->channel;
}

uv_loop_t *dp_ares_loop(const struct dp_ares *ares)
{
    return ares->loop;
}

void dp_ares_asked(struct dp_ares *ares)
{
    set_timer(ares);
}

void dp_ares_free(struct dp_ares *ares)
{
    if (!ares)
        return;
    ares_destroy(ares->channel);
    ares_library_cleanup();
    while (ares->sockets)
        forget_socket(ares, ares->sockets->fd);
    dp_timer_drop(ares->timer);
    free(ares);
}
