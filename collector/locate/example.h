/* The one loss of a finding that tells most, in words: what it was of the session, how often it was sent,
 * where it came and where it never did, and what the server answered. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_EXAMPLE_H
#define DROPPOINT_COLLECTOR_LOCATE_EXAMPLE_H

#include "collector/locate/engine.h"

/* The flow of a finding whose 4xx or 5xx reply came first after its own loss; NULL: none. */
const struct flow *example_replied(const struct dp_locate *l, const struct dp_finding *f);

/* Sentences that begin with a space, or "". side: the losses between two points; NULL where the loss lies
 * outside. malloc'd; NULL without memory. */
char *example_loss(const struct dp_locate *l, const struct dp_finding *f, const struct side *side);
char *example_reply(const struct dp_locate *l, const struct dp_finding *f);

#endif
