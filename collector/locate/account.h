/* The books of a segment's direction: what entered, what crossed, what was lost. Used by account.c for
 * packets and by handover.c for payload that a host took over. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_ACCOUNT_H
#define DROPPOINT_COLLECTOR_LOCATE_ACCOUNT_H

#include "collector/locate/engine.h"

/* A packet of `ip_len` bytes entered at reference time `when`. */
int account_entry(struct dp_locate *l, struct side *side, struct course *course, int64_t when,
                  uint32_t ip_len) DP_MUST_CHECK;

/* A packet's payload was sent on, so long after it came; delay negative: not known. */
int account_handed_over(struct dp_locate *l, struct side *side, struct course *course,
                        const struct held_chunk *chunk, int64_t delay) DP_MUST_CHECK;

/* A packet was lost, for the first time that this is said of it. */
int account_loss(struct dp_locate *l, struct side *side, struct course *course,
                 const struct loss_event *event) DP_MUST_CHECK;

#endif
