/* Messages on their way to the agent. The pipe never blocks the capture: what it does not take waits here, up
 * to a bound that the capture asks for before it makes another batch. */
#ifndef DROPPOINT_AGENT_CAPTURE_OUTBOX_H
#define DROPPOINT_AGENT_CAPTURE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/pipe.h"

struct dp_outbox;

/* fd: a pipe, made non-blocking here; stays the caller's. DP_ERR_NOMEM, DP_ERR_IO. */
int dp_outbox_new(int fd, struct dp_outbox **ret_outbox) DP_MUST_CHECK;
void dp_outbox_free(struct dp_outbox *outbox);

/* Queues a message; `bytes` are copied. DP_ERR_NOMEM. */
int dp_outbox_put(struct dp_outbox *outbox, enum dp_pipe_type type, uint32_t records, const void *bytes,
                  size_t len) DP_MUST_CHECK;
/* Writes what the pipe takes now. DP_ERR_UNAVAILABLE: nobody reads it any more. */
int dp_outbox_flush(struct dp_outbox *outbox) DP_MUST_CHECK;
/* Bytes that wait. */
size_t dp_outbox_held(const struct dp_outbox *outbox);

#endif
