/* Whether losses stand on firm ground. What never came out of a segment counts as lost; but a flow that is
 * not known behind it at all may have gone on by another name, or have been answered by a host in between. */
#include <string.h>

#include "collector/locate/engine.h"

static bool seen_within(const struct flow *flow, size_t from, size_t to)
{
    for (size_t v = from; v < to; v++)
        if (flow->seen_at[v])
            return true;
    return false;
}

static bool seen_behind(const struct dp_locate *l, const struct flow *flow, uint32_t segment,
                        enum dp_direction d)
{
    return d == DP_FORWARD ? seen_within(flow, segment + 1, l->vantage_count)
                           : seen_within(flow, 0, segment + 1);
}

static bool seen_before(const struct dp_locate *l, const struct flow *flow, uint32_t segment,
                        enum dp_direction d)
{
    return seen_behind(l, flow, segment, d == DP_FORWARD ? DP_REVERSE : DP_FORWARD);
}

static bool same_address(const struct dp_addr *a, const struct dp_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Whether one may be the other where addresses and ports are rewritten: something of the name is left. */
static bool akin(const struct flow *a, const struct flow *b)
{
    const struct dp_endpoints *x = &a->endpoints, *y = &b->endpoints;
    return a->proto == b->proto &&
           (same_address(&x->client, &y->client) || same_address(&x->server, &y->server) ||
            same_address(&x->client, &y->server) || x->server_port == y->server_port);
}

static bool another_name(const struct dp_locate *l, const struct flow *flow, uint32_t segment,
                         enum dp_direction d)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        const struct flow *other = l->flows[i];
        if (other != flow && seen_behind(l, other, segment, d) && !seen_before(l, other, segment, d) &&
            akin(flow, other))
            return true;
    }
    return false;
}

/* The point behind saw this half, but it is not known how its numbers differ there. */
static bool unaligned(const struct loss_event *e, const struct flow *flow)
{
    const struct half *h = &flow->half[e->half];
    const struct view *view = &flow->views[e->down];
    if (flow->proto != 6)
        return false;
    if (h->data[e->down].seen && !view->aligned[e->half])
        return true;
    return e->control && h->control[e->down].seen && flow->half[1 - e->half].data[e->down].seen &&
           !view->aligned[1 - e->half];
}

#define ASKED 4096 /* losses */

bool losses_firm(const struct dp_locate *l, uint32_t segment, enum dp_direction d)
{
    const struct side *s = &l->segments[segment].side[d];
    const struct seam *seam = &l->seams[segment];
    bool answers = seam->ended + seam->opened > seam->through; /* a host there ends or opens connections */
    uint32_t asked = UINT32_MAX;
    bool elsewhere = false;
    size_t firm = 0, count = s->loss_count < ASKED ? s->loss_count : ASKED;
    for (size_t i = 0; i < count; i++) {
        const struct loss_event *e = &s->losses[i];
        const struct flow *flow = l->flows[e->flow];
        if (seen_behind(l, flow, segment, d)) {
            firm += !unaligned(e, flow);
            continue;
        }
        if (asked != e->flow)
            elsewhere = another_name(l, flow, segment, d);
        asked = e->flow;
        firm += !answers && !elsewhere;
    }
    return firm * 2 >= count;
}

bool nothing_crosses(const struct dp_locate *l, uint32_t segment)
{
    for (size_t i = 0; i < l->flow_count; i++)
        if (seen_within(l->flows[i], 0, segment + 1) &&
            seen_within(l->flows[i], segment + 1, l->vantage_count))
            return false;
    return true;
}

bool losses_reworded(const struct dp_locate *l, const struct side *s)
{
    size_t reworded = 0;
    for (size_t i = 0; i < s->loss_count; i++) {
        const struct loss_event *e = &s->losses[i];
        const struct flow *flow = l->flows[e->flow];
        bool moved = false;
        for (uint32_t v = 0; v < l->vantage_count && e->control && flow->proto == 6; v++)
            moved = moved || (flow->seen_at[v] && (flow->views[v].shift[0] || flow->views[v].shift[1]));
        reworded += moved;
    }
    return reworded * 2 > s->loss_count;
}
