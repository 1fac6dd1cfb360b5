/* SYN proxies: hosts that answer for the server, open to it when the client has shown that it is there, and
 * let the rest pass. Both handshakes are their own: they take the client's and make the server's. */
#include "collector/locate/pairing.h"

/* The nearest vantage point at or behind `from`, going by `step`, that saw a half's SYN in this leg. */
static uint32_t syn_seen(const struct dp_locate *l, const struct flow *flow, int half, uint32_t from,
                         int step)
{
    uint8_t leg = flow->views[from].leg;
    for (int64_t v = from; v >= 0 && v < (int64_t)l->vantage_count; v += step)
        if (flow->seen_at[v] && flow->views[v].leg == leg && strand_syn(&flow->half[half].data[v]))
            return (uint32_t)v;
    return NO_VANTAGE;
}

static uint32_t number_of(const struct flow *flow, uint32_t v)
{
    return (uint32_t)strand_syn(&flow->half[1].data[v])->start - flow->views[v].shift[1];
}

/* The client had its answer on its side of a gap before anything was asked on the other. */
static bool answered_before_asked(const struct dp_locate *l, const struct flow *flow, uint32_t asking,
                                  uint32_t answering, int step)
{
    uint32_t answered = syn_seen(l, flow, 1, asking, -step), asked = syn_seen(l, flow, 0, answering, step);
    uint32_t server = syn_seen(l, flow, 1, answering, step);
    int64_t error;
    if (answered == NO_VANTAGE || asked == NO_VANTAGE ||
        flow->views[asking].leg != flow->views[answering].leg ||
        (server != NO_VANTAGE && number_of(flow, server) == number_of(flow, answered)) ||
        !pairing_clocks_agree(l, answered, asked, &error))
        return false;
    const struct observation *answer = strand_syn(&flow->half[1].data[answered]),
                             *syn = strand_syn(&flow->half[0].data[asked]);
    return to_reference(l, asked, syn->ts_ns) > to_reference(l, answered, answer->ts_ns) + error;
}

/* The client was answered with a closed window, as a SYN proxy does that has not asked the server yet, and
 * the server's own answer opens one. No clock is needed for that. */
static bool answered_for_now(const struct dp_locate *l, const struct flow *flow, uint32_t asking,
                             uint32_t answering, int step)
{
    uint32_t answered = syn_seen(l, flow, 1, asking, -step), server = syn_seen(l, flow, 1, answering, step);
    return answered != NO_VANTAGE && server != NO_VANTAGE &&
           flow->views[asking].leg == flow->views[answering].leg &&
           (strand_syn(&flow->half[1].data[answered])->options & NO_WINDOW) &&
           !(strand_syn(&flow->half[1].data[server])->options & NO_WINDOW);
}

/* Its numbers change at a gap where others show a SYN proxy: then its own handshake need not tell. */
static bool as_others(const struct dp_locate *l, const struct flow *flow, uint32_t low, uint32_t high)
{
    const struct view *a = &flow->views[low], *b = &flow->views[high];
    return l->seams[low].opened && flow->renumbered && a->leg == b->leg && a->shift[1] != b->shift[1];
}

/* From the client's side on: the first gap for which it is so. */
static void find_opener(struct dp_locate *l, struct flow *flow)
{
    int step = flow->client_near ? 1 : -1;
    int64_t last = -1, count = (int64_t)l->vantage_count;
    if (!flow->oriented || flow->opener != NO_VANTAGE)
        return;
    for (int64_t v = step > 0 ? 0 : count - 1; v >= 0 && v < count; v += step) {
        if (!flow->seen_at[v])
            continue;
        uint32_t low = (uint32_t)(step > 0 ? last : v), high = (uint32_t)(step > 0 ? v : last);
        bool itself = last >= 0 && (answered_for_now(l, flow, (uint32_t)last, (uint32_t)v, step) ||
                                    answered_before_asked(l, flow, (uint32_t)last, (uint32_t)v, step));
        if (itself || (last >= 0 && as_others(l, flow, low, high))) {
            flow->opener = (uint8_t)low;
            l->seams[low].opened += itself;
            return;
        }
        last = v;
    }
}

#define OPENING 64 /* packets at the beginning of a lane among which the handshake is */

static void mark_syns(struct lane *data)
{
    for (size_t i = 0; i < data->count && i < OPENING; i++)
        if (lane_at(data, i)->tcp_flags & DP_TCP_SYN)
            lane_at(data, i)->marks |= MARK_OWN;
}

/* Acknowledgements that only complete a handshake, or open a window after it, or ask whether it has opened
 * (by a number that was acknowledged already, RFC 9293, 3.8.6.1). */
static void mark_answers(const struct flow *flow, int half, uint32_t v)
{
    struct lane *control = &flow->half[half].control[v];
    const struct half *h = &flow->half[half], *other = &flow->half[1 - half];
    if (h->first_position == 0 || other->first_position == 0)
        return;
    for (size_t i = 0; i < control->count && i < OPENING; i++) {
        struct observation *o = lane_at(control, i);
        if (o->hash - (uint32_t)h->first_position <= 1 &&
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

void pairing_find_opener(struct dp_locate *l, struct flow *flow)
{
    if (flow->proto != 6)
        return;
    find_opener(l, flow);
    if (flow->opener == NO_VANTAGE)
        return;
    mark_own(l, flow);
    for (int half = 0; half < 2; half++) /* it may have promised another scale of windows than the server */
        if (!flow->half[half].window_ignored)
            flow_ignore_windows(l, flow, half);
}
