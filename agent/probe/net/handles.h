/* Timers and watched descriptors that can be dropped at any time, also from their own callback: no call comes
 * after, and the memory goes by itself once libuv has closed the handle. So what a probe allocates for itself
 * it frees at once. */
#ifndef DROPPOINT_AGENT_PROBE_NET_HANDLES_H
#define DROPPOINT_AGENT_PROBE_NET_HANDLES_H

#include <stdint.h>
#include <uv.h>

#include "common/err/err.h"

struct dp_timer;
typedef void dp_timer_call(void *context);

/* An idle timer. DP_ERR_NOMEM. */
int dp_timer_new(uv_loop_t *loop, dp_timer_call *call, void *context,
                 struct dp_timer **ret_timer) DP_MUST_CHECK;
/* Calls once in `ms`, or at once and then each `repeat_ms` where that is not 0. Starting again moves it. */
void dp_timer_start(struct dp_timer *timer, uint64_t ms, uint64_t repeat_ms);
void dp_timer_stop(struct dp_timer *timer);
void dp_timer_drop(struct dp_timer *timer); /* NULL is fine */

struct dp_watch;
/* `events` of UV_READABLE and UV_WRITABLE. What waits in the socket's error queue shows as both. */
typedef void dp_watch_call(void *context, int events);

/* Watches `fd`, which stays the caller's. DP_ERR_NOMEM, DP_ERR_IO. */
int dp_watch_new(uv_loop_t *loop, int fd, int events, dp_watch_call *call, void *context,
                 struct dp_watch **ret_watch) DP_MUST_CHECK;
void dp_watch_events(struct dp_watch *watch, int events); /* 0: pause */
/* Stops watching; the descriptor may be closed right after. NULL is fine. */
void dp_watch_drop(struct dp_watch *watch);

#endif
