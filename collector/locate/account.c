/* Books what one transmission proves: which segments it entered, crossed, and where it ended. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/account.h"
#include "collector/locate/fate.h"
#include "collector/locate/grow.h"

#define SLICE_NS 10000000LL /* 10 ms */
#define MAX_SLICES 65536

/* Payload bytes of the transmission: SYN and FIN occupy a position but carry none. */
static uint32_t payload_bytes(const struct transmission *t)
{
    const struct observation *o = t->seen[t->last];
    if (t->start == t->end)
        return o->payload;
    uint64_t bytes = t->end - t->start;
    if ((o->tcp_flags & DP_TCP_SYN) && t->start == o->start)
        bytes--;
    if ((o->tcp_flags & DP_TCP_FIN) && t->end == o->start + o->span)
        bytes--;
    return (uint32_t)bytes;
}

/* ---- slices of time ---- */

static void widen_slices(struct side *s)
{
    if (s->slice_count == 0) {
        s->slice_width *= 2;
        return;
    }
    for (size_t i = 0; i < s->slice_count; i++) {
        struct slice from = s->slices[i];
        if (i % 2 == 0) {
            s->slices[i / 2] = from;
            continue;
        }
        struct slice *to = &s->slices[i / 2];
        to->entered += from.entered;
        to->lost += from.lost;
        to->passed += from.passed;
        to->entered_bytes += from.entered_bytes;
        if (from.delays && (!to->delays || from.delay_min < to->delay_min))
            to->delay_min = from.delay_min;
        if (from.delays && (!to->delays || from.delay_max > to->delay_max))
            to->delay_max = from.delay_max;
        to->delays += from.delays;
        if (from.largest_passed > to->largest_passed)
            to->largest_passed = from.largest_passed;
    }
    size_t kept = (s->slice_count + 1) / 2;
    memset(&s->slices[kept], 0, (s->slice_count - kept) * sizeof *s->slices);
    s->slice_count = kept;
    s->slice_width *= 2;
}

static struct slice *slice_at(const struct dp_locate *l, struct side *s, int64_t t)
{
    if (s->slice_width == 0) {
        s->slice_width = SLICE_NS;
        s->slice_origin = l->reference_ns - 1000000000LL;
        if (t < s->slice_origin)
            s->slice_origin = t;
    }
    if (t < s->slice_origin)
        t = s->slice_origin; /* a little too early to matter */
    size_t index = (size_t)((t - s->slice_origin) / s->slice_width);
    for (; index >= MAX_SLICES; index /= 2)
        widen_slices(s);
    if (dp_grow(&s->slices, &s->slice_room, index + 1, sizeof *s->slices))
        return NULL;
    if (index >= s->slice_count)
        s->slice_count = index + 1;
    return &s->slices[index];
}

/* ---- what entered and crossed ---- */

static uint64_t next_random(struct dp_locate *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static int take_delay(struct dp_locate *l, struct side *s, struct slice *slice, int64_t when, int64_t delay)
{
    if (!slice->delays || (float)delay < slice->delay_min)
        slice->delay_min = (float)delay;
    if (!slice->delays || (float)delay > slice->delay_max)
        slice->delay_max = (float)delay;
    slice->delays++;
    if (!s->delays) {
        s->delays = malloc(DELAY_SAMPLES * sizeof *s->delays);
        if (!s->delays)
            return DP_ERR_NOMEM;
        s->delay_min = s->delay_max = delay;
    }
    if (delay < s->delay_min)
        s->delay_min = delay;
    if (delay > s->delay_max)
        s->delay_max = delay;
    uint64_t n = s->delay_count++;
    if (n < DELAY_SAMPLES)
        s->delays[n] = (struct delay_sample){when, delay};
    else if ((n = next_random(l) % s->delay_count) < DELAY_SAMPLES)
        s->delays[n] = (struct delay_sample){when, delay};
    return DP_OK;
}

static void watch_order(struct side *s, struct course *c, int64_t up, int64_t down)
{
    if (c->last_up_ns &&
        ((up > c->last_up_ns && down < c->last_down_ns) || (up < c->last_up_ns && down > c->last_down_ns)))
        s->reordered++;
    if (up > c->last_up_ns) {
        c->last_up_ns = up;
        c->last_down_ns = down;
    }
}

static int add_rewrite(struct dp_locate *l, const struct transmission *t, uint32_t place, const char *what)
{
    struct rewrite_event e = {.segment = (int)segment_at(l, direction_of(t), place),
                              .direction = direction_of(t),
                              .flow = t->flow->id,
                              .what = what};
    for (size_t i = 0; i < l->rewrite_count; i++) {
        const struct rewrite_event *x = &l->rewrites[i];
        if (x->segment == e.segment && x->direction == e.direction && x->flow == e.flow && x->what == what)
            return DP_OK;
    }
    if (l->rewrite_count >= 1000)
        return DP_OK;
    int code = dp_grow(&l->rewrites, &l->rewrite_room, l->rewrite_count + 1, sizeof *l->rewrites);
    if (code == DP_OK)
        l->rewrites[l->rewrite_count++] = e;
    return code;
}

/* Compares one packet at two neighbouring points. */
static int watch_rewrite(struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    const struct observation *a = t->seen[place], *b = t->seen[place + 1];
    if (a->start != b->start || a->span != b->span)
        return DP_OK;
    if (a->hash_len && a->hash_len == b->hash_len && a->hash != b->hash)
        return add_rewrite(l, t, place, "payload bytes changed");
    /* What is raised one way is lowered the other: it takes knowing which way the flow runs. */
    if (!(a->tcp_flags & DP_TCP_SYN) || (t->flow->guessed_orientation && !t->flow->certain_orientation))
        return DP_OK;
    int code = DP_OK;
    if (!(b->options & OPTIONS_CUT) && (a->options & ~b->options & ~(OPTIONS_CUT | NO_WINDOW)))
        code = add_rewrite(l, t, place, "TCP options were removed");
    if (code == DP_OK && a->mss && b->mss > a->mss)
        code = add_rewrite(l, t, place, "the MSS was raised");
    return code;
}

/* A clock was set just then: the time in between means nothing. */
static bool at_step(const struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    enum dp_direction d = direction_of(t);
    const struct dp_clock_steps *a = &l->vantages[vantage_at(l, d, place)].steps,
                                *b = &l->vantages[vantage_at(l, d, place + 1)].steps;
    return (a->count && dp_clock_unsure(a, t->seen[place]->ts_ns)) ||
           (b->count && dp_clock_unsure(b, t->seen[place + 1]->ts_ns));
}

static int crossed(struct dp_locate *l, const struct transmission *t, uint32_t place, struct side *s,
                   struct course *c, struct slice *slice, bool opens)
{
    const struct observation *up = t->seen[place], *down = t->seen[place + 1];
    int64_t when = up ? t->t_ns[place] : t->t_ns[t->last];
    if (when > c->last_pass_ns)
        c->last_pass_ns = when;
    if (opens && c->first_loss_ns && when > c->first_loss_ns)
        c->passed_after_loss++;
    if (opens)
        slice->passed++;
    if (!up || !down)
        return DP_OK;
    if (s->passed_from_ns == 0 || when < s->passed_from_ns)
        s->passed_from_ns = when;
    if (when > s->passed_until_ns)
        s->passed_until_ns = when;
    uint32_t length = up->ip_len < down->ip_len ? up->ip_len : down->ip_len;
    if (length > slice->largest_passed)
        slice->largest_passed = length;
    if (opens && down->start == up->start && !at_step(l, t, place)) {
        watch_order(s, c, when, t->t_ns[place + 1]);
        if (down->span == up->span || up->start == t->start) {
            int code = take_delay(l, s, slice, when, t->t_ns[place + 1] - when);
            if (code == DP_OK)
                code = watch_rewrite(l, t, place);
            return code;
        }
    }
    return DP_OK;
}

static bool second_kept(const struct side *s, int64_t t)
{
    uint32_t stride = s->passage_stride ? s->passage_stride : 1;
    return (t / 1000000000LL) % stride == 0;
}

static int log_passage(struct dp_locate *l, struct side *s, int64_t t, uint32_t bytes)
{
    if (s->passage_count == PASSAGES) {
        s->passage_stride = s->passage_stride ? s->passage_stride * 2 : 2;
        size_t kept = 0;
        for (size_t i = 0; i < s->passage_count; i++)
            if (second_kept(s, s->passages[i].t_ns))
                s->passages[kept++] = s->passages[i];
        s->passage_count = kept;
    }
    if (s->passage_count == PASSAGES || !second_kept(s, t))
        return DP_OK;
    /* All at once where they are many: the system gives memory only where it is written to. */
    size_t need = s->passage_count < PASSAGES / 64 ? s->passage_count + 1 : PASSAGES;
    int code = pool_grow(&l->pool, &s->passages, &s->passage_room, need, sizeof *s->passages);
    if (code == DP_OK)
        s->passages[s->passage_count++] = (struct passage){t, bytes, false};
    return code;
}

/* The packet just logged, or one a little before (another piece of a super-packet), turned out to be lost. */
static void log_loss(struct side *s, int64_t t)
{
    for (size_t i = s->passage_count, steps = 0; i-- > 0 && steps < 16; steps++) {
        if (s->passages[i].t_ns == t) {
            s->passages[i].lost = true;
            return;
        }
    }
}

int account_handed_over(struct dp_locate *l, struct side *s, struct course *c, const struct held_chunk *chunk,
                        int64_t delay)
{
    struct slice *slice = slice_at(l, s, chunk->t_ns);
    if (!slice)
        return DP_ERR_NOMEM;
    slice->passed++;
    if (chunk->seen.ip_len > slice->largest_passed)
        slice->largest_passed = chunk->seen.ip_len;
    if (chunk->t_ns > c->last_pass_ns)
        c->last_pass_ns = chunk->t_ns;
    if (c->first_loss_ns && chunk->t_ns > c->first_loss_ns)
        c->passed_after_loss++;
    if (s->passed_from_ns == 0 || chunk->t_ns < s->passed_from_ns)
        s->passed_from_ns = chunk->t_ns;
    if (chunk->t_ns > s->passed_until_ns)
        s->passed_until_ns = chunk->t_ns;
    return delay >= 0 ? take_delay(l, s, slice, chunk->t_ns, delay) : DP_OK;
}

/* A packet is counted where its first interval is: `opens`. */
static bool opens_at(const struct transmission *t, uint32_t place)
{
    const struct observation *o = t->seen[place];
    for (uint32_t p = place; !o && p > t->first;)
        o = t->seen[--p];
    for (uint32_t p = place; !o && p < t->last;)
        o = t->seen[++p];
    return t->start == t->end || (o && o->start == t->start);
}

static int enter_slice(struct dp_locate *l, struct side *s, struct course *c, struct slice *slice,
                       int64_t when, uint32_t ip_len)
{
    s->packets++;
    c->entered++;
    slice->entered++;
    slice->entered_bytes += ip_len;
    return log_passage(l, s, when, ip_len);
}

int account_entry(struct dp_locate *l, struct side *s, struct course *c, int64_t when, uint32_t ip_len)
{
    struct slice *slice = slice_at(l, s, when);
    return slice ? enter_slice(l, s, c, slice, when, ip_len) : DP_ERR_NOMEM;
}

static int enter(struct dp_locate *l, const struct transmission *t, uint32_t place, uint32_t bytes)
{
    enum dp_direction d = direction_of(t);
    uint32_t segment = segment_at(l, d, place);
    struct side *s = &l->segments[segment].side[d];
    struct course *c = &t->flow->half[t->half].course[segment];
    struct observation *o = t->seen[place];
    bool opens = opens_at(t, place);
    int64_t when = o ? t->t_ns[place] : t->t_ns[t->last];
    struct slice *slice = slice_at(l, s, when);
    if (!slice)
        return DP_ERR_NOMEM;
    if (o ? !(o->marks & MARK_ENTERED) : opens) {
        int code = enter_slice(l, s, c, slice, when, o ? o->ip_len : bytes);
        if (code)
            return code;
    }
    if (o)
        o->marks |= MARK_ENTERED;
    s->bytes += bytes;
    return place < t->last ? crossed(l, t, place, s, c, slice, opens) : DP_OK;
}

/* ---- where it ended ---- */

/* again: another piece of the observation was lost before, so that it has its event. */
static int add_loss(struct dp_locate *l, const struct transmission *t, struct side *s, uint32_t down,
                    uint32_t bytes, bool again, bool silent)
{
    struct observation *o = t->seen[t->last];
    for (size_t i = s->loss_count; again && i-- > 0;) {
        struct loss_event *e = &s->losses[i];
        if (e->flow == t->flow->id && e->start == o->start && e->raw_ns == o->ts_ns) {
            e->lost_bytes += bytes;
            return DP_OK;
        }
    }
    int code = dp_grow(&s->losses, &s->loss_room, s->loss_count + 1, sizeof *s->losses);
    if (code)
        return code;
    const struct view *view = &t->flow->views[vantage_at(l, direction_of(t), t->last)];
    uint32_t number = t->start == t->end ? o->hash : (uint32_t)o->start;
    s->losses[s->loss_count++] = (struct loss_event){.t_ns = t->t_ns[t->last],
                                                     .raw_ns = o->ts_ns,
                                                     .start = o->start,
                                                     .seq = number - view->shift[t->half],
                                                     .flow = t->flow->id,
                                                     .half = (uint8_t)t->half,
                                                     .down = (uint8_t)vantage_at(l, direction_of(t), down),
                                                     .payload = o->payload,
                                                     .ip_len = o->ip_len,
                                                     .lost_bytes = bytes,
                                                     .tcp_flags = o->tcp_flags,
                                                     .control = t->start == t->end,
                                                     .silent = silent,
                                                     .proven = fate_confirmed(l, t)};
    return DP_OK;
}

static int lost(struct dp_locate *l, const struct transmission *t, uint32_t down, uint32_t bytes, bool silent)
{
    enum dp_direction d = direction_of(t);
    uint32_t segment = segment_at(l, d, t->last);
    struct side *s = &l->segments[segment].side[d];
    struct course *c = &t->flow->half[t->half].course[segment];
    struct observation *o = t->seen[t->last];
    int64_t when = t->t_ns[t->last];
    s->lost_bytes += bytes;
    c->lost_bytes += bytes;
    bool again = (o->marks & MARK_LOST) != 0;
    if (capture_dropped_at(l, vantage_at(l, d, down), when)) { /* for the live line; the report decides */
        s->doubted_packets += !again;
        s->doubted_bytes += bytes;
    }
    if (!again) {
        o->marks |= MARK_LOST;
        if (o->marks & MARK_UNKNOWN) /* another piece of it was counted so */
            s->unknown_packets--;
        log_loss(s, when);
        s->lost_packets++;
        c->lost++;
        struct slice *slice = slice_at(l, s, when);
        if (!slice)
            return DP_ERR_NOMEM;
        slice->lost++;
    }
    if (c->first_loss_ns == 0 || when < c->first_loss_ns)
        c->first_loss_ns = when;
    if (when > c->last_loss_ns)
        c->last_loss_ns = when;
    return add_loss(l, t, s, down, bytes, again, silent);
}

int account_loss(struct dp_locate *l, struct side *s, struct course *c, const struct loss_event *e)
{
    struct slice *slice = slice_at(l, s, e->t_ns);
    int code =
        slice ? dp_grow(&s->losses, &s->loss_room, s->loss_count + 1, sizeof *s->losses) : DP_ERR_NOMEM;
    if (code)
        return code;
    s->losses[s->loss_count++] = *e;
    s->lost_packets++;
    s->lost_bytes += e->lost_bytes;
    if (capture_dropped_at(l, e->down, e->t_ns)) {
        s->doubted_packets++;
        s->doubted_bytes += e->lost_bytes;
    }
    c->lost++;
    c->lost_bytes += e->lost_bytes;
    slice->lost++;
    log_loss(s, e->t_ns);
    if (c->first_loss_ns == 0 || e->t_ns < c->first_loss_ns)
        c->first_loss_ns = e->t_ns;
    if (e->t_ns > c->last_loss_ns)
        c->last_loss_ns = e->t_ns;
    return DP_OK;
}

static int ended_early(struct dp_locate *l, const struct transmission *t, uint32_t bytes,
                       enum dp_fate *ret_fate)
{
    uint32_t down;
    bool silent;
    enum dp_direction d = direction_of(t);
    struct side *s = &l->segments[segment_at(l, d, t->last)].side[d];
    struct observation *o = t->seen[t->last];
    *ret_fate = fate_decide(l, t, &down, &silent);
    switch (*ret_fate) {
    case DP_FATE_LOST:
        return lost(l, t, down, bytes, silent);
    case DP_FATE_MISSED:
        if (t->flow->renumbered && (o->tcp_flags & DP_TCP_SYN))
            return DP_OK; /* a SYN proxy may have taken it */
        for (uint32_t p = down; p < t->hi; p++) {
            uint32_t v = vantage_at(l, d, p);
            if (half_seen(l, t, p) && watched_at(l, v, t->t_ns[t->last], 0, fate_transit(l, t, p)) &&
                opens_at(t, t->last)) {
                t->flow->half[t->half].missed[v]++;
                l->vantages[v].missed_proven++;
            }
        }
        return DP_OK;
    case DP_FATE_UNKNOWN:
        if (!(o->marks & (MARK_UNKNOWN | MARK_LOST)))
            s->unknown_packets++;
        o->marks |= MARK_UNKNOWN;
        return DP_OK;
    case DP_FATE_ARRIVED:
    case DP_FATE_OUTSIDE:
        break;
    }
    return DP_OK;
}

/* ---- where it began ---- */

static bool upstream_watched(const struct dp_locate *l, const struct transmission *t, uint32_t place)
{
    return half_seen(l, t, place) &&
           watched_at(l, vantage_at(l, direction_of(t), place), t->t_ns[t->first], DEFAULT_TRANSIT_NS, 0);
}

static int reset_appeared(struct dp_locate *l, const struct transmission *t)
{
    int code = dp_grow(&l->resets, &l->reset_room, l->reset_count + 1, sizeof *l->resets);
    if (code)
        return code;
    enum dp_direction d = direction_of(t);
    l->resets[l->reset_count++] = (struct reset_event){.segment = (int)segment_at(l, d, t->first - 1),
                                                       .direction = d,
                                                       .flow = t->flow->id,
                                                       .t_ns = t->t_ns[t->first]};
    return DP_OK;
}

/* Points before the first that saw it missed it, unless it set out behind them. */
static int began_late(struct dp_locate *l, const struct transmission *t)
{
    enum dp_direction d = direction_of(t);
    const struct observation *o = t->seen[t->first];
    if (t->duplicate) {
        if (!(o->marks & MARK_DUPLICATE))
            l->segments[segment_at(l, d, t->first - 1)].side[d].duplicated++;
        t->seen[t->first]->marks |= MARK_DUPLICATE;
        return DP_OK;
    }
    if (o->tcp_flags & DP_TCP_RST) {
        /* The side that it should have come from never saw it. A flow that comes around that point proves
         * nothing. */
        const struct half *other = &t->flow->half[1 - t->half];
        uint32_t v = vantage_at(l, d, t->first - 1), here = vantage_at(l, d, t->first);
        bool watched = half_seen(l, t, t->first - 1) ||
                       (!t->flow->half[t->half].spoke && (other->data[v].seen || other->control[v].seen));
        /* Or what provoked it came here and never got there. */
        bool stopped = !t->flow->established && (other->data[here].seen || other->control[here].seen);
        bool now = watched_at(l, v, t->t_ns[t->first], 0, 0);
        bool came = fate_reset_at(l, t, t->first - 1, t->t_ns[t->first]);
        return now && !came && (watched || stopped) ? reset_appeared(l, t) : DP_OK;
    }
    if (!opens_at(t, t->first))
        return DP_OK;
    if (t->flow->proto == 6 && t->start == t->end && upstream_watched(l, t, t->first - 1))
        t->flow->half[t->half].course[segment_at(l, d, t->first - 1)].appeared++;
    for (uint32_t p = t->lo; p < t->first; p++)
        if (upstream_watched(l, t, p))
            t->flow->half[t->half].missed[vantage_at(l, d, p)]++;
    return DP_OK;
}

static void count_seen(struct dp_locate *l, const struct transmission *t)
{
    enum dp_direction d = direction_of(t);
    struct half *h = &t->flow->half[t->half];
    for (uint32_t p = t->first; p <= t->last; p++) {
        uint32_t v = vantage_at(l, d, p);
        struct observation *o = t->seen[p];
        if (!o) {
            if (opens_at(t, p) && watched_at(l, v, t->t_ns[t->first], 0, 0))
                h->missed[v]++;
        } else if (t->first != t->last && !(o->marks & MARK_MATCHED)) {
            o->marks |= MARK_MATCHED;
            l->vantages[v].matched += (o->marks & MARK_ECHOED) ? 2 : 1;
        }
    }
}

/* What came to a host that ends the connection, and what such a host sent. */
static int handover(struct dp_locate *l, const struct transmission *t)
{
    const struct flow *flow = t->flow;
    enum dp_direction d = direction_of(t);
    uint8_t came = flow->views[vantage_at(l, d, t->first)].leg,
            at = flow->views[vantage_at(l, d, t->last)].leg;
    uint8_t last = d == DP_FORWARD ? (uint8_t)(flow->legs - 1) : 0;
    if (came != flow->legs - 1 - last) {
        handover_give(l, t);
        int code = handover_resets(l, t) ? reset_appeared(l, t) : DP_OK;
        if (code)
            return code;
    }
    return at != last && t->last + 1 == t->hi ? handover_take(l, t) : DP_OK;
}

void account_unbooked(struct dp_locate *l, const struct transmission *t)
{
    uint32_t down;
    bool silent;
    if (t->last + 1 >= t->hi || fate_decide(l, t, &down, &silent) != DP_FATE_LOST ||
        capture_dropped_at(l, vantage_at(l, direction_of(t), down), t->t_ns[t->last]))
        return;
    l->unbooked_packets += opens_at(t, t->last);
    l->unbooked_bytes += payload_bytes(t);
}

int account(struct dp_locate *l, const struct transmission *t)
{
    uint32_t bytes = payload_bytes(t);
    count_seen(l, t);
    uint32_t until = t->last + 1 < t->hi ? t->last + 1 : t->hi - 1;
    for (uint32_t p = t->first; p < until; p++) {
        int code = enter(l, t, p, bytes);
        if (code)
            return code;
    }
    int code = DP_OK;
    enum dp_fate fate = DP_FATE_ARRIVED;
    if (t->first > t->lo)
        code = began_late(l, t);
    if (code == DP_OK && t->last + 1 < t->hi)
        code = ended_early(l, t, bytes, &fate);
    if (code == DP_OK && t->flow->legs > 1)
        code = handover(l, t);
    if (code == DP_OK && t->flow->proto == 6)
        code = evidence_outer(l, t->flow, t->half, t);
    if (code == DP_OK && __builtin_expect(l->tell != NULL, 0))
        code = trace_transmission(l, t, fate);
    return code;
}
