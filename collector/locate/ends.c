/* Where a flow ends within the path. A host that ends connections answers for itself: what is never seen
 * behind it was not lost. A SYN proxy does so for the handshake only, and lets the rest pass. */
#include "collector/locate/pairing.h"

/* ---- a flow that goes no farther ---- */

static bool seen_at(const struct half *h, uint32_t v)
{
    return h->data[v].seen || h->control[v].seen;
}

/* Both ends were heard at the last point that saw it on this side: then the farther one is not beyond the
 * next, or its packets go around that. */
static bool talks_at(const struct flow *flow, uint32_t v)
{
    return flow->half[0].spoke && flow->half[1].spoke && seen_at(&flow->half[0], v) &&
           seen_at(&flow->half[1], v);
}

static void find_reach(const struct dp_locate *l, struct flow *flow)
{
    uint32_t low = (uint32_t)l->vantage_count, high = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        if (flow->seen_at[v]) {
            low = v < low ? v : low;
            high = v;
        }
    if (low > high || flow->proto != 6)
        return;
    flow->ends_low = low > 0 && talks_at(flow, low);
    flow->ends_high = high + 1 < l->vantage_count && talks_at(flow, high);
}

/* ---- SYN proxies ---- */

static uint32_t next_seen(const struct dp_locate *l, const struct flow *flow, uint32_t v)
{
    for (v++; v < l->vantage_count; v++)
        if (flow->seen_at[v])
            return v;
    return NO_VANTAGE;
}

static bool common_number(const struct flow *flow, const struct observation *x, const struct observation *y,
                          uint32_t a, uint32_t b)
{
    return x && y &&
           (uint32_t)x->start - flow->views[a].shift[1] == (uint32_t)y->start - flow->views[b].shift[1];
}

/* The client had its answer at its side of the gap before anything was asked on the other. */
static bool answered_before_asked(const struct dp_locate *l, const struct flow *flow, uint32_t asking,
                                  uint32_t answering)
{
    const struct observation *answer = strand_syn(&flow->half[1].data[asking]),
                             *syn = strand_syn(&flow->half[0].data[answering]);
    int64_t error;
    if (!answer || !syn || !strand_syn(&flow->half[0].data[asking]) ||
        common_number(flow, answer, strand_syn(&flow->half[1].data[answering]), asking, answering) ||
        !pairing_clocks_agree(l, asking, answering, &error))
        return false;
    return to_reference(l, answering, syn->ts_ns) > to_reference(l, asking, answer->ts_ns) + error;
}

static void find_opener(const struct dp_locate *l, struct flow *flow)
{
    if (!flow->oriented || !flow->half[0].syn || !flow->half[1].syn || flow->opener != NO_VANTAGE)
        return;
    for (uint32_t a = 0, b; a < l->vantage_count; a++) {
        if (!flow->seen_at[a] || (b = next_seen(l, flow, a)) == NO_VANTAGE ||
            flow->views[a].leg != flow->views[b].leg)
            continue;
        if (answered_before_asked(l, flow, flow->client_near ? a : b, flow->client_near ? b : a)) {
            flow->opener = (uint8_t)a;
            return;
        }
    }
}

#define OPENING 64 /* packets at the beginning of a lane among which the handshake is */

static void mark_syns(struct lane *data)
{
    for (size_t i = 0; i < data->count && i < OPENING; i++)
        if (lane_at(data, i)->tcp_flags & DP_TCP_SYN)
            lane_at(data, i)->marks |= MARK_OWN;
}

/* Acknowledgements that only complete a handshake, or open a window after it. */
static void mark_answers(const struct flow *flow, int half, uint32_t v)
{
    struct lane *control = &flow->half[half].control[v];
    const struct half *h = &flow->half[half], *other = &flow->half[1 - half];
    if (h->first_position == 0 || other->first_position == 0)
        return;
    for (size_t i = 0; i < control->count && i < OPENING; i++) {
        struct observation *o = lane_at(control, i);
        if (o->hash == (uint32_t)h->first_position + 1 &&
            control_acknowledged(o) == control_position(other->first_position + 1) &&
            !(o->tcp_flags & DP_TCP_RST))
            o->marks |= MARK_OWN;
    }
}

static void mark_own(const struct dp_locate *l, struct flow *flow)
{
    for (int half = 0; half < 2; half++)
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            if (!flow->seen_at[v])
                continue;
            mark_syns(&flow->half[half].data[v]);
            mark_answers(flow, half, v);
        }
}

void pairing_ends(const struct dp_locate *l, struct flow *flow)
{
    find_reach(l, flow);
    if (flow->proto != 6)
        return;
    find_opener(l, flow);
    if (flow->opener != NO_VANTAGE)
        mark_own(l, flow);
}
