/* Payload at a host that ends the connection: what came to it on one leg of the flow goes on in the next, in
 * the order of the stream, but in packets, copies and times of its own. What it took over and never sent on
 * is lost in it; its handshakes, acknowledgements and own replies are not. */
#include <stdlib.h>

#include "collector/locate/account.h"
#include "collector/locate/fate.h"
#include "collector/locate/grow.h"

#define HELD_MOST 65536
#define PATIENCE_NS 1000000000LL /* a proxy that can send does so sooner */

static const struct handover *between(const struct flow *flow, uint32_t leg, uint32_t other)
{
    return &flow->handovers[leg < other ? leg : other];
}

bool handover_carries(const struct flow *flow, int half, uint32_t leg, uint32_t other, uint64_t position)
{
    uint32_t low = leg < other ? leg : other, high = leg < other ? other : leg;
    for (; low < high; low++) {
        const struct handover *h = &flow->handovers[low];
        if (!h->carries[half] || position < h->from[half])
            return false;
    }
    return true;
}

static uint32_t next_leg(const struct flow *flow, int half, uint32_t leg)
{
    return half_forward(flow, half) ? leg + 1 : leg - 1;
}

/* Everything before this position was seen in the leg, or had been. */
static uint64_t reached(const struct dp_locate *l, const struct flow *flow, int half, uint32_t leg)
{
    uint32_t low, high;
    uint64_t most = 0;
    flow_leg(l, flow, leg, &low, &high);
    for (uint32_t v = low; v < high; v++)
        if (flow->views[v].position[half] > most)
            most = flow->views[v].position[half];
    return most;
}

/* The payload of a transmission that is carried on from its leg to the next: SYN and FIN are each leg's own.
 */
static bool carried(const struct transmission *t, uint32_t leg, uint32_t other, const struct observation *o,
                    struct range *ret_payload)
{
    const struct handover *h = between(t->flow, leg, other);
    if (!h->carries[t->half] || t->start == t->end)
        return false;
    uint64_t start = o->start + ((o->tcp_flags & DP_TCP_SYN) ? 1 : 0), end = start + o->payload;
    start = start < t->start ? t->start : start;
    start = start < h->from[t->half] ? h->from[t->half] : start;
    end = end > t->end ? t->end : end;
    *ret_payload = (struct range){start, end};
    return start < end;
}

static void mark_matched(struct dp_locate *l, uint32_t vantage, struct observation *o)
{
    if (!(o->marks & MARK_MATCHED))
        l->vantages[vantage].matched++;
    o->marks |= MARK_MATCHED;
}

/* When the byte at a position first went past the nearest vantage point of the next leg, as far as that is
 * still to be seen; 0: no more. */
static int64_t sent_at(const struct dp_locate *l, const struct flow *flow, int half, uint32_t leg,
                       uint64_t position)
{
    uint32_t low, high;
    flow_leg(l, flow, leg, &low, &high);
    bool forward = half_forward(flow, half);
    for (uint32_t i = low; i < high; i++) {
        uint32_t v = forward ? i : high - 1 - (i - low);
        const struct lane *lane = &flow->half[half].data[v];
        if (!lane->seen)
            continue;
        const struct observation *o;
        for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;)
            if (o->start <= position && position < o->start + o->span)
                return to_reference(l, v, o->ts_ns);
        return 0;
    }
    return 0;
}

/* ---- while settling ---- */

void handover_give(struct dp_locate *l, const struct transmission *t)
{
    enum dp_direction d = direction_of(t);
    uint32_t v = vantage_at(l, d, t->first);
    uint32_t leg = t->flow->views[v].leg;
    struct range payload;
    if (carried(t, leg, d == DP_FORWARD ? leg - 1 : leg + 1, t->seen[t->first], &payload))
        mark_matched(l, v, t->seen[t->first]);
}

static int hold(struct half *h, const struct transmission *t, struct range payload, uint32_t vantage)
{
    const struct observation *o = t->seen[t->last];
    if (h->held_count) { /* another piece of the same packet */
        struct held_chunk *last = &h->held[h->held_count - 1];
        if (last->seen.start == o->start && last->seen.ts_ns == o->ts_ns && last->vantage == vantage) {
            last->end = payload.end > last->end ? payload.end : last->end;
            return DP_OK;
        }
    }
    if (h->held_count == HELD_MOST)
        return DP_OK;
    int code = dp_grow(&h->held, &h->held_room, h->held_count + 1, sizeof *h->held);
    if (code == DP_OK)
        h->held[h->held_count++] = (struct held_chunk){.start = payload.start,
                                                       .end = payload.end,
                                                       .seen = *o,
                                                       .t_ns = t->t_ns[t->last],
                                                       .vantage = vantage,
                                                       .leg = t->flow->views[vantage].leg};
    return code;
}

static int pass(struct dp_locate *l, struct flow *flow, int half, const struct held_chunk *c)
{
    enum dp_direction d = half_forward(flow, half) ? DP_FORWARD : DP_REVERSE;
    uint32_t segment = d == DP_FORWARD ? c->vantage : c->vantage - 1;
    struct side *s = &l->segments[segment].side[d];
    int64_t sent = sent_at(l, flow, half, next_leg(flow, half, c->leg), c->start);
    return account_handed_over(l, s, &flow->half[half].course[segment], c,
                               sent > c->t_ns ? sent - c->t_ns : -1);
}

/* Lets go of what was sent on meanwhile. */
static int let_go(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    size_t kept = 0;
    int code = DP_OK;
    for (size_t i = 0; i < h->held_count; i++) {
        const struct held_chunk *c = &h->held[i];
        if (c->end <= reached(l, flow, half, next_leg(flow, half, c->leg)) && code == DP_OK)
            code = pass(l, flow, half, c);
        else
            h->held[kept++] = *c;
    }
    h->held_count = kept;
    return code;
}

int handover_take(struct dp_locate *l, const struct transmission *t)
{
    enum dp_direction d = direction_of(t);
    uint32_t v = vantage_at(l, d, t->last), leg = t->flow->views[v].leg;
    struct half *h = &t->flow->half[t->half];
    struct range payload;
    struct observation *o = t->seen[t->last];
    if (!carried(t, leg, next_leg(t->flow, t->half, leg), o, &payload))
        return DP_OK;
    mark_matched(l, v, o);
    uint32_t segment = segment_at(l, d, t->last);
    struct side *s = &l->segments[segment].side[d];
    s->bytes += payload.end - payload.start;
    int code = DP_OK;
    if (!(o->marks & MARK_ENTERED))
        code = account_entry(l, s, &h->course[segment], t->t_ns[t->last], o->ip_len);
    o->marks |= MARK_ENTERED;
    if (code == DP_OK)
        code = hold(h, t, payload, v);
    if (code == DP_OK && h->held_count % 64 == 0)
        code = let_go(l, t->flow, t->half);
    return code;
}

#define SAME_MOMENT_NS 1000000LL

/* Whether any end of either leg had closed or reset its connection before. */
static bool was_over(const struct dp_locate *l, const struct flow *flow, uint8_t leg, uint8_t other,
                     int64_t t, uint32_t here)
{
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        const struct view *view = &flow->views[v];
        if (!flow->seen_at[v] || (view->leg != leg && view->leg != other))
            continue;
        int64_t tolerance = SAME_MOMENT_NS + clock_error(l, v) + clock_error(l, here);
        for (int half = 0; half < 2; half++)
            if (view->over_ns[half] && to_reference(l, v, view->over_ns[half]) < t - tolerance)
                return true;
    }
    return false;
}

bool handover_resets(const struct dp_locate *l, const struct transmission *t)
{
    const struct flow *flow = t->flow;
    enum dp_direction d = direction_of(t);
    uint32_t here = vantage_at(l, d, t->first);
    if (!(t->seen[t->first]->tcp_flags & DP_TCP_RST) || t->first != t->lo || t->first == 0 ||
        !flow->established || t->duplicate)
        return false;
    uint32_t before = vantage_at(l, d, t->first - 1);
    uint8_t leg = flow->views[here].leg, other = flow->views[before].leg;
    return flow->seen_at[before] && leg != other &&
           (between(flow, leg, other)->carries[0] || between(flow, leg, other)->carries[1]) &&
           watched_at(l, before, t->t_ns[t->first], 0, 0) &&
           !was_over(l, flow, leg, other, t->t_ns[t->first], here);
}

/* ---- at the end ---- */

/* Whether the next leg was free to take more: nothing of it is under way unanswered, the far end reads, and
 * did not close before a proxy would have sent this on. */
static bool next_leg_free(const struct dp_locate *l, const struct flow *flow, int half, uint32_t leg,
                          int64_t since)
{
    uint32_t low, high;
    flow_leg(l, flow, leg, &low, &high);
    const struct half *h = &flow->half[half];
    uint64_t acknowledged = 0;
    for (uint32_t v = low; v < high; v++) {
        const struct ack_lane *lane = &h->acks[v];
        int64_t over = flow->views[v].over_ns[1 - half];
        if (flow->views[v].closed[1 - half] || (over && to_reference(l, v, over) < since + PATIENCE_NS))
            return false;
        acknowledged = lane->highest > acknowledged ? lane->highest : acknowledged;
    }
    return acknowledged >= reached(l, flow, half, leg);
}

/* The vantage point of the next leg that should have seen it first, captured long enough after. */
static bool nearest_watched(const struct dp_locate *l, const struct flow *flow, int half,
                            const struct held_chunk *c, uint32_t *ret_down)
{
    uint32_t low, high;
    flow_leg(l, flow, next_leg(flow, half, c->leg), &low, &high);
    uint32_t down = half_forward(flow, half) ? low : high - 1;
    const struct side *s = &l->segments[half_forward(flow, half) ? c->vantage : c->vantage - 1]
                                .side[half_forward(flow, half) ? DP_FORWARD : DP_REVERSE];
    int64_t patience = s->delay_count && s->delay_max * 4 > PATIENCE_NS ? s->delay_max * 4 : PATIENCE_NS;
    *ret_down = down;
    return watched_at(l, down, c->t_ns, 0, patience) && watched_at(l, c->vantage, c->t_ns, 0, patience);
}

static int never_sent_on(struct dp_locate *l, struct flow *flow, int half, const struct held_chunk *c)
{
    uint32_t down, low, high;
    uint64_t sent = reached(l, flow, half, next_leg(flow, half, c->leg));
    if (!next_leg_free(l, flow, half, next_leg(flow, half, c->leg), c->t_ns) ||
        !nearest_watched(l, flow, half, c, &down))
        return DP_OK;
    flow_leg(l, flow, c->leg, &low, &high);
    enum dp_direction d = half_forward(flow, half) ? DP_FORWARD : DP_REVERSE;
    uint32_t segment = d == DP_FORWARD ? c->vantage : c->vantage - 1;
    uint64_t start = c->start > sent ? c->start : sent;
    struct loss_event event = {
        .t_ns = c->t_ns,
        .raw_ns = c->seen.ts_ns,
        .start = c->seen.start,
        .seq = (uint32_t)c->seen.start - flow->views[c->vantage].shift[half],
        .flow = flow->id,
        .half = (uint8_t)half,
        .down = (uint8_t)down,
        .payload = c->seen.payload,
        .ip_len = c->seen.ip_len,
        .lost_bytes = (uint32_t)(c->end - start),
        .tcp_flags = c->seen.tcp_flags,
        .proven = evidence_acknowledged_in(l, &flow->half[half], low, high, c->end, INT64_MAX, NULL)};
    return account_loss(l, &l->segments[segment].side[d], &flow->half[half].course[segment], &event);
}

int handover_finish(struct dp_locate *l)
{
    for (size_t i = 0; i < l->flow_count; i++)
        for (int half = 0; half < 2; half++) {
            struct flow *flow = l->flows[i];
            int code = flow->half[half].held_count ? let_go(l, flow, half) : DP_OK;
            for (size_t k = 0; k < flow->half[half].held_count && code == DP_OK; k++)
                code = never_sent_on(l, flow, half, &flow->half[half].held[k]);
            if (code)
                return code;
        }
    return DP_OK;
}
