#include "agent/probe/net/handles.h"

#include <stdlib.h>

struct dp_timer {
    uv_timer_t handle;
    dp_timer_call *call;
    void *context;
};

struct dp_watch {
    uv_poll_t handle;
    int events; /* wanted */
    dp_watch_call *call;
    void *context;
};

static void free_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int dp_timer_new(uv_loop_t *loop, dp_timer_call *call, void *context, struct dp_timer **ret_timer)
{
    struct dp_timer *timer = calloc(1, sizeof *timer);
    if (!timer)
        return DP_ERR_NOMEM;
    timer->call = call;
    timer->context = context;
    (void)uv_timer_init(loop, &timer->handle); // cannot fail
    timer->handle.data = timer;
    *ret_timer = timer;
    return 0;
}

static void timer_fired(uv_timer_t *handle)
{
    struct dp_timer *timer = handle->data;
    timer->call(timer->context);
}

void dp_timer_start(struct dp_timer *timer, uint64_t ms, uint64_t repeat_ms)
{
    (void)uv_timer_start(&timer->handle, timer_fired, ms, repeat_ms);
}

void dp_timer_stop(struct dp_timer *timer)
{
    (void)uv_timer_stop(&timer->handle);
}

void dp_timer_drop(struct dp_timer *timer)
{
    if (timer && !uv_is_closing((uv_handle_t *)&timer->handle))
        uv_close((uv_handle_t *)&timer->handle, free_closed);
}

static void watch_fired(uv_poll_t *handle, int status, int events)
{
    struct dp_watch *watch = handle->data;
    // EBADF is libuv's word for POLLERR alone, for which it stops watching: a message in the error queue is
    // no end.
    if (status < 0)
        dp_watch_events(watch, watch->events);
    watch->call(watch->context, status < 0 ? UV_READABLE | UV_WRITABLE : events);
}

int dp_watch_new(uv_loop_t *loop, int fd, int events, dp_watch_call *call, void *context,
                 struct dp_watch **ret_watch)
{
    struct dp_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return DP_ERR_NOMEM;
    watch->call = call;
    watch->context = context;
    if (uv_poll_init(loop, &watch->handle, fd) != 0) {
        free(watch);
        return DP_ERR_IO;
    }
    watch->handle.data = watch;
    dp_watch_events(watch, events);
    *ret_watch = watch;
    return 0;
}

void dp_watch_events(struct dp_watch *watch, int events)
{
    watch->events = events;
    if (events)
        (void)uv_poll_start(&watch->handle, events, watch_fired);
    else
        (void)uv_poll_stop(&watch->handle);
}

void dp_watch_drop(struct dp_watch *watch)
{
    if (watch && !uv_is_closing((uv_handle_t *)&watch->handle)) {
        (void)uv_poll_stop(&watch->handle);
        uv_close((uv_handle_t *)&watch->handle, free_closed);
    }
}
