/* A ZeroMQ socket on a libuv loop. ZMQ_FD is edge-triggered and says nothing about how much is there: this
 * bridge asks ZMQ_EVENTS in each turn of the loop, and hands up a bounded number of messages in a turn, so
 * that a flood on one socket does not starve the rest. */
#ifndef DROPPOINT_COMMON_ZMQLOOP_ZMQLOOP_H
#define DROPPOINT_COMMON_ZMQLOOP_ZMQLOOP_H

#include <uv.h>

#include "common/err/err.h"

struct dp_zmqloop;

/* Called while the socket has something to read. Takes one message with ZMQ_DONTWAIT. May close the bridge.
 */
typedef void dp_zmqloop_readable(void *context, void *socket);

/* Watches `socket` (its owner closes it, after dp_zmqloop_close). DP_ERR_NOMEM, DP_ERR_IO. */
int dp_zmqloop_open(uv_loop_t *loop, void *socket, dp_zmqloop_readable *readable, void *context,
                    struct dp_zmqloop **ret_bridge) DP_MUST_CHECK;

/* No more calls come. The memory goes when the loop has closed its handles. NULL is fine. */
void dp_zmqloop_close(struct dp_zmqloop *bridge);

#endif
