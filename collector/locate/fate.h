/* What became of a transmission behind the last vantage point that saw it: lost, missed, unknown, or nothing
 * that can be asked. Used by account.c. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_FATE_H
#define DROPPOINT_COLLECTOR_LOCATE_FATE_H

#include "collector/locate/engine.h"

#define DEFAULT_TRANSIT_NS 20000000LL /* where no delay was measured */

static inline enum dp_direction direction_of(const struct transmission *t)
{
    return half_forward(t->flow, t->half) ? DP_FORWARD : DP_REVERSE;
}

/* The segment between place and place + 1 along the direction. */
static inline uint32_t segment_at(const struct dp_locate *l, enum dp_direction direction, uint32_t place)
{
    return direction == DP_FORWARD ? place : (uint32_t)l->segment_count - 1 - place;
}

static inline uint32_t vantage_at(const struct dp_locate *l, enum dp_direction direction, uint32_t place)
{
    return place_to_vantage(l, direction == DP_FORWARD, place);
}

/* The vantage points of the connection that carried it: [low, high). */
static inline uint32_t low_vantage(const struct dp_locate *l, const struct transmission *t)
{
    return direction_of(t) == DP_FORWARD ? t->lo : (uint32_t)l->vantage_count - t->hi;
}

static inline uint32_t high_vantage(const struct dp_locate *l, const struct transmission *t)
{
    return direction_of(t) == DP_FORWARD ? t->hi : (uint32_t)l->vantage_count - t->lo;
}

static inline bool half_seen(const struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    uint32_t v = vantage_at(l, direction_of(t), place);
    const struct half *h = &t->flow->half[t->half];
    return h->data[v].seen || h->control[v].seen;
}

/* ret_down: the next place that captured at that moment and did not see it. ret_silent: its capture may have
 * been over. */
enum dp_fate fate_decide(const struct dp_locate *l, const struct transmission *t, uint32_t *ret_down,
                         bool *ret_silent);

/* TCP itself says that it did not arrive: sent again, or never acknowledged. */
bool fate_confirmed(const struct dp_locate *l, const struct transmission *t);

/* A point saw the same end give the flow up at that time as well: its RST, written anew on the way. */
bool fate_reset_at(const struct dp_locate *l, const struct transmission *t, uint32_t place, int64_t when);

/* The longest that a packet may take from where the transmission was seen last to `down`, nanoseconds. */
int64_t fate_transit(const struct dp_locate *l, const struct transmission *t, uint32_t down);

/* Whether a point captured from `before` before a moment until `after` after it, as far as its window or its
 * packets show. */
bool watched_at(const struct dp_locate *l, uint32_t vantage, int64_t t, int64_t before, int64_t after);

#endif
