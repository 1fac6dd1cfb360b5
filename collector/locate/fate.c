/* Decides what became of a transmission behind the last vantage point that saw it. */
#include "collector/locate/fate.h"

/* The next point along the direction that this half of the flow does not go around. */
static uint32_t next_place(const struct dp_locate *l, const struct transmission *t)
{
    for (uint32_t p = t->last + 1; p < t->hi; p++)
        if (half_seen(l, t, p))
            return p;
    return t->last + 1;
}

int64_t fate_transit(const struct dp_locate *l, const struct transmission *t, uint32_t down)
{
    int64_t sum = 0;
    for (uint32_t p = t->last; p < down; p++) {
        enum dp_direction d = direction_of(t);
        const struct side *s = &l->segments[segment_at(l, d, p)].side[d];
        int64_t most = s->delay_count ? s->delay_max + s->delay_max / 2 : DEFAULT_TRANSIT_NS;
        sum += most < 100000LL ? 100000LL : most;
    }
    return sum;
}

/* Whether a point captured at a moment, as far as its window or its packets show. */
bool watched_at(const struct dp_locate *l, uint32_t vantage, int64_t t, int64_t before, int64_t after)
{
    const struct vantage *at = &l->vantages[vantage];
    if (!window_known(at) && !at->any)
        return false;
    int64_t error = clock_error(l, vantage);
    int64_t start = to_reference(l, vantage, capture_start(at)),
            end = to_reference(l, vantage, capture_end(at));
    return t - before > start + error && t + after < end - error;
}

enum watch { WATCH_RAN, WATCH_NOT, WATCH_SILENT };

/* What a point did when the packet should have come: it captured; it did not; or its capture shows nothing
 * from then on and does not say whether it was over. */
static enum watch watch_of(const struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    uint32_t v = vantage_at(l, direction_of(t), place);
    const struct vantage *at = &l->vantages[v];
    int64_t sent = t->t_ns[t->last];
    if (watched_at(l, v, sent, 0, fate_transit(l, t, place)))
        return WATCH_RAN;
    /* It saw what had set out before this and captures until later: then it ran, however its clock is off. */
    const struct side *s = &l->segments[segment_at(l, direction_of(t), t->last)].side[direction_of(t)];
    if (place == t->last + 1 && s->passed_from_ns && sent > s->passed_from_ns &&
        watched_at(l, v, sent + 2 * clock_error(l, v) + 1, 0, fate_transit(l, t, place)))
        return WATCH_RAN;
    if (window_known(at))
        return WATCH_NOT;
    int64_t error = clock_error(l, v);
    if (at->any && sent <= to_reference(l, v, at->first_ns) + error)
        return WATCH_NOT;
    return WATCH_SILENT;
}

static bool acknowledged(const struct dp_locate *l, const struct transmission *t, int64_t *ret_when)
{
    return evidence_acknowledged_in(l, &t->flow->half[t->half], low_vantage(l, t), high_vantage(l, t), t->end,
                                    INT64_MAX, ret_when);
}

/* TCP says that it did not arrive: the sender sent it again, or the flow went on for long without its
 * acknowledgement. */
static bool not_acknowledged(const struct dp_locate *l, const struct transmission *t)
{
    const struct half *h = &t->flow->half[t->half];
    if (t->flow->proto != 6 || t->start == t->end)
        return false;
    if (acknowledged(l, t, NULL) ||
        t->start < evidence_sacked_above(h, low_vantage(l, t), high_vantage(l, t)))
        return false;
    int64_t sent = t->t_ns[t->last];
    if (t->next_copy_ns && t->next_copy_ns - sent > 1000000LL)
        return true;
    uint32_t v = vantage_at(l, direction_of(t), t->last);
    int64_t flow_went_on = to_reference(l, v, h->data[v].last_ns);
    const struct vantage *at = &l->vantages[v];
    int64_t end = capture_end(at);
    int64_t watched = to_reference(l, v, end < DP_LOCATE_STILL_RUNNING ? end : at->last_ns);
    return flow_went_on - sent > 200000000LL || watched - sent > 2000000000LL;
}

/* A SYN that was sent no more once a RST answered it: whoever refused it had got it. */
static bool refused(const struct dp_locate *l, const struct transmission *t)
{
    const struct observation *o = t->seen[t->last];
    const struct view *view = &t->flow->views[vantage_at(l, direction_of(t), t->last)];
    const struct half *answer = &t->flow->half[1 - t->half];
    return (o->tcp_flags & DP_TCP_SYN) && !t->next_copy_ns && answer->rst && !answer->syn &&
           !t->flow->established && view->over_ns[1 - t->half] >= o->ts_ns;
}

/* Acknowledged by the receiver, and no other copy explains it: this one arrived. */
static bool arrived(const struct dp_locate *l, const struct transmission *t, enum dp_fate *ret_fate)
{
    int64_t acked;
    if (t->flow->proto != 6 || t->start == t->end || !acknowledged(l, t, &acked) ||
        acked < t->t_ns[t->last] - 1000000LL)
        return false;
    if (t->other_arrival_ns && t->other_arrival_ns <= acked + 1000000LL)
        return false;
    /* Either of two copies may have been lost; but not where none of the flow is seen any farther. */
    uint32_t next = next_place(l, t);
    bool goes_on = next < t->hi && half_seen(l, t, next);
    bool either = goes_on && t->other_unseen && t->next_copy_ns && t->next_copy_ns < acked;
    *ret_fate = either ? DP_FATE_UNKNOWN : DP_FATE_MISSED;
    return true;
}

/* Seen last just when the clock there was set: nobody knows when. */
static bool sent_unsure(const struct dp_locate *l, const struct transmission *t)
{
    const struct dp_clock_steps *steps = &l->vantages[vantage_at(l, direction_of(t), t->last)].steps;
    return steps->count && dp_clock_unsure(steps, t->seen[t->last]->ts_ns);
}

/* Where hosts end connections, what carries no payload and belongs to a connection that is not known behind
 * them was for such a host itself. */
static bool absorbed(const struct dp_locate *l, const struct transmission *t, uint32_t next)
{
    enum dp_direction d = direction_of(t);
    const struct seam *seam = &l->seams[segment_at(l, d, t->last)];
    if (t->flow->proto != 6 || t->start != t->end || seam->ended <= 4 * seam->through)
        return false;
    for (uint32_t p = next; p < l->vantage_count; p++)
        if (t->flow->seen_at[vantage_at(l, d, p)])
            return false;
    return true;
}

#define SAME_RESET_NS 100000000LL

bool fate_reset_at(const struct dp_locate *l, const struct transmission *t, uint32_t place, int64_t when)
{
    uint32_t v = vantage_at(l, direction_of(t), place);
    int64_t reset = t->flow->views[v].reset_ns[t->half];
    int64_t apart = to_reference(l, v, reset) - when;
    int64_t tolerance = 1000000LL + clock_error(l, v);
    bool behind = place > t->last; /* then it comes later, else it came before */
    return reset && apart > (behind ? -tolerance : -SAME_RESET_NS) &&
           apart < (behind ? SAME_RESET_NS : tolerance);
}

/* ret_down: the next place that captured at that moment and did not see it. ret_silent: it may have been
 * over. */
enum dp_fate fate_decide(const struct dp_locate *l, const struct transmission *t, uint32_t *ret_down,
                         bool *ret_silent)
{
    enum dp_fate fate;
    uint32_t next = next_place(l, t);
    *ret_down = next;
    *ret_silent = false;
    if (t->duplicate)
        return DP_FATE_OUTSIDE; /* the original is what counts */
    if (arrived(l, t, &fate))
        return fate;
    if (refused(l, t) || absorbed(l, t, t->last + 1) ||
        ((t->seen[t->last]->tcp_flags & DP_TCP_RST) && t->flow->proto == 6 &&
         fate_reset_at(l, t, next, t->t_ns[t->last])))
        return DP_FATE_OUTSIDE;
    if (t->seen[t->last]->ttl <= 1)
        return DP_FATE_OUTSIDE; /* no router may forward it: traceroute lives on that */
    for (uint32_t p = next; p < t->hi; p++) {
        if (p > next && !half_seen(l, t, p))
            continue;
        enum watch watch = watch_of(l, t, p);
        if (watch == WATCH_RAN) {
            *ret_down = p;
            *ret_silent = false;
            return sent_unsure(l, t) ? DP_FATE_UNKNOWN : DP_FATE_LOST;
        }
        if (watch == WATCH_SILENT && !*ret_silent && not_acknowledged(l, t)) {
            *ret_down = p; /* unless a farther point surely captured */
            *ret_silent = true;
        }
    }
    return *ret_silent ? DP_FATE_LOST : DP_FATE_OUTSIDE;
}

bool fate_confirmed(const struct dp_locate *l, const struct transmission *t)
{
    if (t->flow->proto != 6 || t->start == t->end)
        return false;
    return t->next_copy_ns != 0 || not_acknowledged(l, t);
}
