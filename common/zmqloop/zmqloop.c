#include "common/zmqloop/zmqloop.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zmq.h>

#define MESSAGES_A_TURN 64
#define HANDLES 4

/* The poll handle only wakes the loop. `prepare` looks before the loop sleeps: something may be there without
 * an edge (a send takes the edge in passing), then `idle` keeps it awake. `check` reads after it woke. */
struct dp_zmqloop {
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    void *socket;
    dp_zmqloop_readable *readable;
    void *context;
    bool closed;
    unsigned handles;
};

static bool has_input(const struct dp_zmqloop *bridge)
{
    int events = 0;
    size_t len = sizeof events;
    return zmq_getsockopt(bridge->socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    (void)handle;
    (void)status;
    (void)events;
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct dp_zmqloop *bridge = handle->data;
    if (has_input(bridge))
        (void)uv_idle_start(&bridge->idle, on_idle);
    else
        (void)uv_idle_stop(&bridge->idle);
}

static void on_check(uv_check_t *handle)
{
    struct dp_zmqloop *bridge = handle->data;
    for (int i = 0; i < MESSAGES_A_TURN && !bridge->closed && has_input(bridge); i++)
        bridge->readable(bridge->context, bridge->socket);
}

static void on_closed(uv_handle_t *handle)
{
    struct dp_zmqloop *bridge = handle->data;
    if (--bridge->handles == 0)
        free(bridge);
}

int dp_zmqloop_open(uv_loop_t *loop, void *socket, dp_zmqloop_readable *readable, void *context,
                    struct dp_zmqloop **ret_bridge)
{
    int fd = -1;
    size_t len = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) != 0)
        return DP_ERR_IO;
    struct dp_zmqloop *bridge = calloc(1, sizeof *bridge);
    if (!bridge)
        return DP_ERR_NOMEM;
    bridge->socket = socket;
    bridge->readable = readable;
    bridge->context = context;
    if (uv_poll_init(loop, &bridge->poll, fd) != 0) {
        free(bridge);
        return DP_ERR_IO;
    }
    (void)uv_prepare_init(loop, &bridge->prepare);
    (void)uv_check_init(loop, &bridge->check);
    (void)uv_idle_init(loop, &bridge->idle);
    bridge->handles = HANDLES;
    bridge->poll.data = bridge->prepare.data = bridge->check.data = bridge->idle.data = bridge;
    (void)uv_prepare_start(&bridge->prepare, on_prepare);
    (void)uv_check_start(&bridge->check, on_check);
    if (uv_poll_start(&bridge->poll, UV_READABLE, on_poll) != 0) {
        dp_zmqloop_close(bridge);
        return DP_ERR_IO;
    }
    *ret_bridge = bridge;
    return DP_OK;
}

void dp_zmqloop_close(struct dp_zmqloop *bridge)
{
    if (!bridge || bridge->closed)
        return;
    bridge->closed = true;
    uv_close((uv_handle_t *)&bridge->poll, on_closed);
    uv_close((uv_handle_t *)&bridge->prepare, on_closed);
    uv_close((uv_handle_t *)&bridge->check, on_closed);
    uv_close((uv_handle_t *)&bridge->idle, on_closed);
}
