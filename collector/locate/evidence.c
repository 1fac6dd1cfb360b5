/* What TCP itself proves: acknowledgements (arrival), duplicates reported by the receiver, bytes that pass
 * the last vantage point again (lost beyond it), holes at the first one that are filled by a retransmission
 * (lost before it). */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/account.h"
#include "collector/locate/fate.h"
#include "collector/locate/grow.h"

static uint64_t near_position(uint64_t near, uint32_t seq)
{
    return near + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)near);
}

static int note_dsack(struct half *h, uint64_t start, uint64_t end, uint32_t vantage)
{
    /* Several vantage points tell the same. */
    for (size_t i = h->dsack_count, steps = 0; i-- > 0 && steps < 64; steps++)
        if (h->dsacks[i].start == start && h->dsacks[i].end == end)
            return DP_OK;
    int code = dp_grow(&h->dsacks, &h->dsack_room, h->dsack_count + 1, sizeof *h->dsacks);
    if (code == DP_OK)
        h->dsacks[h->dsack_count++] = (struct dsack){start, end, (uint8_t)vantage};
    return code;
}

/* shift: of the vantage point's numbers */
static int watch_sack(struct half *h, uint32_t vantage, uint64_t ack, uint32_t shift,
                      const struct dp_digest *d)
{
    struct ack_lane *lane = &h->acks[vantage];
    for (uint8_t i = 0; i < d->sack_count && i < DP_SACK_MAX; i++) {
        uint64_t start = near_position(ack, d->sack[i][0] + shift),
                 end = near_position(ack, d->sack[i][1] + shift);
        if (end <= start)
            continue;
        bool inside_next = i == 0 && d->sack_count > 1 &&
                           start >= near_position(ack, d->sack[1][0] + shift) &&
                           end <= near_position(ack, d->sack[1][1] + shift);
        if (i == 0 && (end <= ack || inside_next)) { /* RFC 2883: the first block tells what came twice */
            int code = note_dsack(h, start, end, vantage);
            if (code)
                return code;
        } else if (end > lane->sacked_above) {
            lane->sacked_above = end;
        }
    }
    return DP_OK;
}

int evidence_acknowledge(struct dp_locate *l, struct flow *flow, int half, uint32_t vantage,
                         const struct dp_digest *d)
{
    struct half *h = &flow->half[half];
    struct ack_lane *lane = &h->acks[vantage];
    if (d->tcp_flags & DP_TCP_RST)
        return DP_OK;
    struct view *view = &flow->views[vantage];
    uint64_t ack = view_position(flow, half, vantage, d->ack);
    if (d->sack_count) {
        int code = watch_sack(h, vantage, ack, view->shift[half], d);
        if (code)
            return code;
    }
    if (ack <= lane->highest)
        return DP_OK;
    if (h->position == 0)
        h->position = ack;
    if (view->position[half] == 0)
        view->position[half] = ack;
    return ack_add(l, lane,
                   (struct ack_mark){d->ts_ns, ack, d->tsecr + view->ts_shift[half],
                                     (d->bits & DP_DIGEST_HAS_TS) && !h->ts_ignored});
}

uint64_t evidence_highest_ack(const struct dp_locate *l, const struct half *h)
{
    uint64_t highest = 0;
    for (size_t v = 0; v < l->vantage_count; v++) {
        if (h->acks[v].highest > highest)
            highest = h->acks[v].highest;
    }
    return highest;
}

/* The first mark of a lane that acknowledges everything before a position; `count` where there is none. */
static size_t first_mark(const struct ack_lane *lane, uint64_t position)
{
    size_t low = 0, high = lane->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ack_at(lane, middle)->position >= position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* An acknowledgement that was seen anywhere proves arrival, the earliest sighting tells when at the latest.
 */
bool evidence_acknowledged_in(const struct dp_locate *l, const struct half *h, uint32_t low, uint32_t high,
                              uint64_t position, int64_t t, int64_t *ret_when)
{
    bool any = false;
    int64_t earliest = 0;
    for (uint32_t v = low; v < high; v++) {
        const struct ack_lane *lane = &h->acks[v];
        size_t i = first_mark(lane, position);
        if (i == lane->count)
            continue;
        int64_t when = to_reference(l, v, ack_at(lane, i)->ts_ns);
        if (!any || when < earliest)
            earliest = when;
        any = true;
    }
    if (any && ret_when)
        *ret_when = earliest;
    return any && earliest <= t;
}

bool evidence_acknowledged(const struct dp_locate *l, const struct half *h, uint64_t position, int64_t t,
                           int64_t *ret_when)
{
    return evidence_acknowledged_in(l, h, 0, (uint32_t)l->vantage_count, position, t, ret_when);
}

uint64_t evidence_sacked_above(const struct half *h, uint32_t low, uint32_t high)
{
    uint64_t highest = 0;
    for (uint32_t v = low; v < high; v++)
        if (h->acks[v].sacked_above > highest)
            highest = h->acks[v].sacked_above;
    return highest;
}

/* Acknowledgements from before what is still open are of no more use, except the last. */
void evidence_trim(struct dp_locate *l, struct half *h, int64_t limit)
{
    for (uint32_t v = 0; v < l->vantage_count && limit != INT64_MAX; v++) {
        struct ack_lane *lane = &h->acks[v];
        if (lane->count < ACKS_TRIMMED)
            continue;
        size_t gone = 0;
        while (gone + 1 < lane->count && to_reference(l, v, ack_at(lane, gone)->ts_ns) < limit - 1000000000LL)
            gone++;
        ack_trim(l, lane, gone);
    }
}

static int add_outer(struct outer_event **events, size_t *count, size_t *room, const struct observation *o,
                     int64_t t)
{
    /* A super-packet that was cut up comes in several pieces. */
    if (*count && (*events)[*count - 1].start == o->start && (*events)[*count - 1].t_ns == t)
        return DP_OK;
    int code = dp_grow(events, room, *count + 1, sizeof **events);
    if (code == DP_OK)
        (*events)[(*count)++] =
            (struct outer_event){o->start, o->start + o->span, t, o->ts_ns, o->ip_len, o->payload};
    return code;
}

#define GAPS_MOST 4096

/* The first gap that ends behind a position. */
static size_t gap_behind(const struct passing *p, uint64_t position)
{
    size_t low = 0, high = p->gap_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->gaps[middle].end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int gap_insert(struct passing *p, size_t at, uint64_t start, uint64_t end)
{
    if (p->gap_count == GAPS_MOST) { /* the oldest is forgotten, and with it what came before */
        p->first = p->gaps[0].end;
        memmove(p->gaps, p->gaps + 1, (p->gap_count - 1) * sizeof *p->gaps);
        p->gap_count--;
        at = at ? at - 1 : 0;
    }
    int code = dp_grow(&p->gaps, &p->gap_room, p->gap_count + 1, sizeof *p->gaps);
    if (code)
        return code;
    memmove(p->gaps + at + 1, p->gaps + at, (p->gap_count - at) * sizeof *p->gaps);
    p->gaps[at] = (struct range){start, end};
    p->gap_count++;
    return DP_OK;
}

/* Notes that [start, end) passed the last vantage point; ret_again: all of it had passed there before. */
static int pass(struct passing *p, uint64_t start, uint64_t end, bool *ret_again)
{
    *ret_again = false;
    if (p->last == 0) {
        p->first = start;
        p->last = end;
        return DP_OK;
    }
    if (start >= p->last) {
        int code = start > p->last ? gap_insert(p, p->gap_count, p->last, start) : DP_OK;
        p->last = end;
        return code;
    }
    size_t i = gap_behind(p, start);
    if (i == p->gap_count || p->gaps[i].start >= end) {
        *ret_again = start >= p->first && end <= p->last;
    } else {
        struct range gap = p->gaps[i];
        bool left = gap.start < start, right = end < gap.end;
        if (left && right) {
            p->gaps[i].end = start;
            return gap_insert(p, i + 1, end, gap.end);
        }
        if (left) {
            p->gaps[i].end = start;
        } else if (right) {
            p->gaps[i].start = end;
        } else {
            memmove(p->gaps + i, p->gaps + i + 1, (p->gap_count - i - 1) * sizeof *p->gaps);
            p->gap_count--;
        }
    }
    if (end > p->last)
        p->last = end;
    return DP_OK;
}

/* The acknowledgement answers to a time stamp from before this transmission: an earlier copy had arrived
 * (Eifel detection, RFC 3522). */
static bool answers_earlier_copy(const struct dp_locate *l, const struct transmission *t,
                                 const struct observation *o)
{
    const struct half *h = &t->flow->half[t->half];
    if (!(o->marks & MARK_HAS_TS))
        return false;
    for (uint32_t v = low_vantage(l, t); v < high_vantage(l, t); v++) {
        const struct ack_lane *lane = &h->acks[v];
        size_t i = first_mark(lane, t->end);
        if (i < lane->count && ack_at(lane, i)->has_tsecr && (int32_t)(ack_at(lane, i)->tsecr - o->tsval) < 0)
            return true;
    }
    return false;
}

static void watch_response(struct dp_locate *l, struct passing *p, const struct transmission *sent, int64_t t)
{
    int64_t acked;
    if (p->response_turn++ % 16 != 0 ||
        !evidence_acknowledged_in(l, &sent->flow->half[sent->half], low_vantage(l, sent),
                                  high_vantage(l, sent), sent->end, INT64_MAX, &acked) ||
        acked <= t)
        return;
    if (p->response_ns == 0 || acked - t < p->response_ns)
        p->response_ns = acked - t;
    p->usual_response_ns += p->usual_response_ns ? (acked - t - p->usual_response_ns) / 8 : acked - t;
}

/* With the same time stamp it is the network's duplicate: what a host sends again it stamps anew (RFC
 * 7323, 3.2). */
static bool same_packet_again(const struct half *h, const struct passing *p, const struct transmission *t,
                              const struct observation *o)
{
    return p->previous_end == t->end && p->previous_has_ts && (o->marks & MARK_HAS_TS) && !h->ts_ignored &&
           o->tsval == p->previous_tsval;
}

/* It set out before an answer to the copy before can have come from beyond this place: that copy was merely
 * late. */
static bool set_out_too_soon(const struct passing *p, const struct transmission *t)
{
    return t->earlier_here_ns && t->t_ns[t->first] < t->earlier_here_ns + p->response_ns * 4 / 5;
}

/* Whether bytes that passed there before pass again, unacknowledged: the earlier copy was lost behind that
 * point (or what answered it was). An acknowledgement that follows sooner than any answer can come was for
 * the earlier copy. */
static int passes_again(struct dp_locate *l, struct passing *p, const struct transmission *t, uint32_t place,
                        bool *ret_lost)
{
    const struct observation *o = t->seen[place];
    const struct half *h = &t->flow->half[t->half];
    int64_t when = t->t_ns[place];
    bool again;
    *ret_lost = false;
    int code = pass(p, t->start, t->end, &again);
    if (code)
        return code;
    /* Sent again before an answer to the copy before can have come: says nothing about that copy. */
    bool hasty = p->previous_end == t->end && when - p->previous_ns < p->usual_response_ns;
    bool twin = same_packet_again(h, p, t, o);
    p->previous_end = t->end;
    p->previous_ns = when;
    p->previous_tsval = o->tsval;
    p->previous_has_ts = (o->marks & MARK_HAS_TS) != 0;
    if (!again)
        watch_response(l, p, t, when);
    if (!again || hasty || twin || t->duplicate || set_out_too_soon(p, t) ||
        o->payload + ((o->tcp_flags & DP_TCP_SYN) ? 1u : 0u) == 0)
        return DP_OK;
    if (evidence_acknowledged_in(l, h, low_vantage(l, t), high_vantage(l, t), t->end,
                                 when + p->response_ns * 4 / 5, NULL))
        return DP_OK; /* sent again for another reason */
    *ret_lost = !answers_earlier_copy(l, t, o);
    return DP_OK;
}

static bool came_twice(const struct half *h, const struct transmission *t)
{
    for (size_t i = 0; i < h->dsack_count; i++)
        if (t->start < h->dsacks[i].end && t->end > h->dsacks[i].start)
            return true;
    return false;
}

/* The same at the last point before a host that ends the connection: lost on the way to it. */
static int passes_again_inside(struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    struct half *h = &t->flow->half[t->half];
    enum dp_direction d = direction_of(t);
    const struct observation *o = t->seen[place];
    const struct view *view = &t->flow->views[vantage_at(l, d, place)];
    if (!h->inner_passing && !(h->inner_passing = calloc(LEGS_MOST, sizeof *h->inner_passing)))
        return DP_ERR_NOMEM;
    bool lost;
    int code = passes_again(l, &h->inner_passing[view->leg], t, place, &lost);
    if (code || !lost || came_twice(h, t))
        return code;
    uint32_t segment = segment_at(l, d, place);
    const struct loss_event event = {.t_ns = t->t_ns[place],
                                     .raw_ns = o->ts_ns,
                                     .start = o->start,
                                     .seq = (uint32_t)o->start - view->shift[t->half],
                                     .flow = t->flow->id,
                                     .half = (uint8_t)t->half,
                                     .down = (uint8_t)vantage_at(l, d, place + 1),
                                     .payload = o->payload,
                                     .ip_len = o->ip_len,
                                     .lost_bytes = o->payload,
                                     .tcp_flags = o->tcp_flags,
                                     .shown = true};
    return account_loss(l, &l->segments[segment].side[d], &h->course[segment], &event);
}

int evidence_outer(struct dp_locate *l, struct flow *flow, int half, const struct transmission *t)
{
    struct half *h = &flow->half[half];
    uint32_t last = (uint32_t)l->vantage_count - 1;
    if (t->end == t->start)
        return DP_OK;
    if (t->hi <= last && flow->legs > 1)
        return t->seen[t->hi - 1] ? passes_again_inside(l, t, t->hi - 1) : DP_OK;
    bool lost = false;
    const struct observation *o = t->seen[last];
    int code = o ? passes_again(l, &h->passing, t, last, &lost) : DP_OK;
    return code || !lost ? code : add_outer(&h->beyond, &h->beyond_count, &h->beyond_room, o, t->t_ns[last]);
}

/* Of a connection that was under way when the capture began, bytes may have been sent before: what looks like
 * a hole then need not be one, until the stream has moved on for good. */
static bool stream_known(const struct half *h, uint64_t start, const struct lane *lane, int64_t ts_ns)
{
    return h->syn || (start - h->first_position > 1000000 && ts_ns - lane->first_ns > 3000000000LL);
}

static void open_hole(struct half *h, uint64_t start, const struct observation *o, int64_t t)
{
    if (h->hole_count == HOLES) {
        memmove(h->holes, h->holes + 1, (HOLES - 1) * sizeof h->holes[0]);
        h->hole_count--;
    }
    h->holes[h->hole_count++] = (struct hole){.start = start,
                                              .end = o->start,
                                              .t_ns = t,
                                              .tsval = o->tsval,
                                              .ip_id = o->ip_id,
                                              .has_ip_id = (o->marks & MARK_HAS_IP_ID) != 0,
                                              .has_ts = (o->marks & MARK_HAS_TS) != 0};
}

#define IDS_COUNTED 1024 /* farther apart they are drawn at random, or belong to many connections at once */

/* Whether the packet set out after the one behind the hole. Its time stamp tells, except within a tick of the
 * sender's clock; then the IP IDs do, where they count. Else it takes at least a round trip to be sent again.
 */
static bool set_out_later(const struct half *h, const struct hole *hole, const struct observation *o,
                          int64_t t)
{
    bool stamped = hole->has_ts && (o->marks & MARK_HAS_TS) && !h->ts_ignored;
    int32_t ticks = (int32_t)(o->tsval - hole->tsval);
    if (stamped && ticks != 0)
        return ticks > 0 && t - hole->t_ns > 100000;
    int16_t ids = (int16_t)(uint16_t)(o->ip_id - hole->ip_id);
    if (hole->has_ip_id && (o->marks & MARK_HAS_IP_ID) && ids >= -IDS_COUNTED && ids <= IDS_COUNTED)
        return ids > 0 && t - hole->t_ns > 100000;
    return !stamped && t - hole->t_ns > 5000000 && t - hole->t_ns > h->first_response_ns * 4 / 5;
}

/* The shortest time from a packet's passing the first point to its acknowledgement there. */
static void watch_first_response(struct half *h, uint32_t vantage, const struct observation *o, uint64_t end)
{
    const struct ack_lane *lane = &h->acks[vantage];
    if (h->first_response_turn++ % 16 != 0)
        return;
    size_t i = first_mark(lane, end);
    if (i == lane->count || ack_at(lane, i)->ts_ns <= o->ts_ns)
        return;
    int64_t response = ack_at(lane, i)->ts_ns - o->ts_ns;
    if (h->first_response_ns == 0 || response < h->first_response_ns)
        h->first_response_ns = response;
}

/* A hole that is filled: by a packet that was merely late, or by a retransmission, which says that the first
 * was lost. */
static int fill_hole(struct half *h, const struct observation *o, int64_t t)
{
    for (uint32_t i = 0; i < h->hole_count; i++) {
        struct hole *hole = &h->holes[i];
        uint64_t end = o->start + o->span;
        if (o->start >= hole->end || end <= hole->start)
            continue;
        int code = DP_OK;
        if (set_out_later(h, hole, o, t))
            code = add_outer(&h->before, &h->before_count, &h->before_room, o, t);
        if (o->start > hole->start) {
            hole->end = o->start; /* what lies behind is left out: one retransmission proves one loss */
        } else if (end < hole->end) {
            hole->start = end;
        } else {
            memmove(hole, hole + 1, (h->hole_count - i - 1) * sizeof *hole);
            h->hole_count--;
        }
        return code;
    }
    return DP_OK;
}

/* Looks at the first vantage point's packets in their order of capture. */
int evidence_holes(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    uint32_t vantage = place_to_vantage(l, half_forward(flow, half), 0);
    struct lane *lane = &h->data[vantage];
    if (flow->proto != 6)
        return DP_OK;
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;) {
        uint64_t end = o->start + o->span;
        if (o->marks & MARK_VISITED)
            continue;
        o->marks |= MARK_VISITED;
        int64_t t = to_reference(l, vantage, o->ts_ns);
        if (h->first_end == 0) {
            h->first_end = end;
            continue;
        }
        watch_first_response(h, vantage, o, end);
        if (o->start > h->first_end) {
            if (stream_known(h, h->first_end, lane, o->ts_ns))
                open_hole(h, h->first_end, o, t);
        } else if (end <= h->first_end && o->payload) {
            int code = fill_hole(h, o, t);
            if (code)
                return code;
        }
        if (end > h->first_end)
            h->first_end = end;
    }
    return DP_OK;
}
