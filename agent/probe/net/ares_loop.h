/* A c-ares channel on the loop. */
#ifndef DROPPOINT_AGENT_PROBE_NET_ARES_LOOP_H
#define DROPPOINT_AGENT_PROBE_NET_ARES_LOOP_H

#include <ares.h>
#include <uv.h>

#include "common/err/err.h"

struct dp_ares;

/* `options` and `mask` as for ares_init_options; the socket callback is this module's. DP_ERR_NOMEM,
 * DP_ERR_IO with diag. */
int dp_ares_new(uv_loop_t *loop, const struct ares_options *options, int mask, struct dp_ares **ret_ares,
                struct dp_diag *diag) DP_MUST_CHECK;
ares_channel dp_ares_channel(const struct dp_ares *ares);
uv_loop_t *dp_ares_loop(const struct dp_ares *ares);
/* To be called after each question to the channel: sees to its timeouts. */
void dp_ares_asked(struct dp_ares *ares);
/* Ends what runs, with ARES_EDESTRUCTION. Not from within a callback of c-ares. NULL is fine. */
void dp_ares_free(struct dp_ares *ares);

#endif
