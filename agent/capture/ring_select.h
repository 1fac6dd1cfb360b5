/* Chooses the packets of an export. Inside of agent/capture only. */
#ifndef DROPPOINT_AGENT_CAPTURE_RING_SELECT_H
#define DROPPOINT_AGENT_CAPTURE_RING_SELECT_H

#include "agent/capture/ring.h"

struct dp_ring_selector;

int dp_ring_selector_new(const struct dp_ring_flow *flows, size_t count, bool cut_payload,
                         struct dp_ring_selector **ret_selector) DP_MUST_CHECK;
void dp_ring_selector_free(struct dp_ring_selector *selector);

/* How many of the frame's captured bytes may go out; 0: not this packet. */
size_t dp_ring_selector_take(const struct dp_ring_selector *selector, int link_type, const uint8_t *frame,
                             size_t captured, size_t wire_len);

#endif
