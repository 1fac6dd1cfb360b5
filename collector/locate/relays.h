/* What goes on behind a host in a connection that has no stream of bytes in common with the one it came in:
 * mails that a relay took over, and what a proxy encrypts anew. Such connections stay flows of their own, as
 * one of them may carry what several brought; what is known is which belong together. At the end only. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_RELAYS_H
#define DROPPOINT_COLLECTOR_LOCATE_RELAYS_H

#include "collector/locate/engine.h"

/* ---- relays.c ---- */
/* Finds them; once flows have their last numbers. */
int relays_find(struct dp_locate *l) DP_MUST_CHECK;
int relays_add(struct relays *relays, uint32_t from, uint32_t to, bool veiled) DP_MUST_CHECK;
/* The flow that carries on what this one brought, or brought what this one carries on, as seen at a vantage
 * point; NULL: none. */
const struct flow *relays_other(const struct dp_locate *l, const struct flow *flow, uint32_t vantage);
/* Whether a flow is known to end at such a host: it is paired, or its server is that of one that is. */
bool relays_end(const struct dp_locate *l, const struct flow *flow);
/* Whether the servers of two flows are one. */
bool relays_same_server(const struct flow *a, const struct flow *b);
/* Whether something is known to have gone on behind a segment in another connection. */
bool relays_cross(const struct dp_locate *l, uint32_t segment);
/* Whether all that one flow was seen at lies before all that the other was; *ret_segment: the first one in
 * between, from the near end. */
bool relays_apart(const struct dp_locate *l, const struct flow *a, const struct flow *b,
                  uint32_t *ret_segment);
/* Draws findings of mails that are overdue, and says in all findings how their flows go on. */
int relays_draw(struct dp_locate *l, struct dp_report *report) DP_MUST_CHECK;
/* Adds to the verdict's summary, where nothing was found, how traffic crosses such a host. */
int relays_tell(const struct dp_locate *l, char **summary) DP_MUST_CHECK;
void relays_free(struct relays *relays);

/* ---- mails.c ---- */
int mails_pair(struct dp_locate *l) DP_MUST_CHECK;

/* ---- veiled.c ---- */
int veiled_pair(struct dp_locate *l) DP_MUST_CHECK;

#endif
