/* Custody of byte intervals: puts what all vantage points saw of a flow direction together into
 * transmissions. A super-packet at one point, the packets it is cut into at the next and the one they are
 * merged into at a third cover the same stream positions; where their borders differ, the positions between
 * any two borders are looked at by themselves. */
#include <stdlib.h>

#include "collector/locate/groups.h"
#include "collector/locate/grow.h"

static int by_position(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Cuts a group at every border that any observation has and puts each interval together by itself. */
static int match_group(struct work *w, struct reference *r, size_t count)
{
    uint64_t *borders = malloc(2 * count * sizeof *borders);
    struct reference **active = malloc(count * sizeof(struct reference *));
    int code = borders && active ? DP_OK : DP_ERR_NOMEM;
    size_t border_count = 0, active_count = 0, next = 0;
    for (size_t i = 0; code == DP_OK && i < count; i++) {
        borders[border_count++] = r[i].start;
        borders[border_count++] = r[i].end;
    }
    if (code == DP_OK)
        qsort(borders, border_count, sizeof *borders, by_position);
    for (size_t b = 0; code == DP_OK && b + 1 < border_count; b++) {
        uint64_t start = borders[b], end = borders[b + 1];
        if (start == end)
            continue;
        size_t kept = 0;
        for (size_t i = 0; i < active_count; i++)
            if (active[i]->end > start)
                active[kept++] = active[i];
        active_count = kept;
        while (next < count && r[next].start <= start)
            active[active_count++] = &r[next++];
        if (active_count)
            code = match_interval(w, active, active_count, start, end);
    }
    free(borders);
    free(active);
    return code;
}

/* Packets without stream positions that look the same. */
static int match_key(struct work *w, struct reference *r, size_t count)
{
    struct reference **covers = malloc(count * sizeof(struct reference *));
    if (!covers)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        covers[i] = &r[i];
    int code = match_interval(w, covers, count, r[0].start, r[0].start);
    free(covers);
    return code;
}

static int settle_plain(struct work *w, const struct reference *r, size_t count)
{
    size_t open_count = 0;
    struct transmission *t = transmission_new(w, &open_count);
    if (!t)
        return DP_ERR_NOMEM;
    t->start = r[0].start;
    t->end = r[0].end;
    t->first = t->last = r[0].place;
    for (size_t i = 0; i < count; i++) {
        t->seen[r[i].place] = r[i].o;
        t->t_ns[r[i].place] = r[i].t_ns;
        if (r[i].place < t->first)
            t->first = r[i].place;
        if (r[i].place > t->last)
            t->last = r[i].place;
    }
    return account(w->l, t);
}

#define SAMPLE_ALL 500 /* groups of a flow */
#define SAMPLE_EVERY 8

/* The flow's first packets served the clocks before they were settled; the later ones do so now. Of a long
 * flow some tell as much as all. */
static bool later_sample(const struct work *w)
{
    if (!w->flow->settled_before || w->l->no_clock_correction)
        return false;
    uint32_t turn = w->flow->sample_turn++;
    return turn < SAMPLE_ALL || turn % SAMPLE_EVERY == 0;
}

static int settle_group(struct work *w, struct reference *r, size_t count)
{
    int code = count > 1 && later_sample(w) ? sample_any(w, r, count) : DP_OK;
    if (code)
        return code;
    if (plain_group(r, count)) {
        code = settle_plain(w, r, count);
    } else if (w->control) {
        code = match_key(w, r, count);
    } else {
        code = match_group(w, r, count);
    }
    for (size_t i = 0; i < count; i++)
        r[i].o->marks |= MARK_SETTLED;
    return code;
}

/* Bytes that are sent again and again, as while nothing passes, make a group that is never complete. What
 * became of the older copies is known all the same. Plain ones have no copies: they wait for a point that is
 * late. */
static int look_at_group(struct work *w, struct reference *r, size_t count)
{
    if (r[0].t_ns > w->limit || plain_group(r, count))
        return DP_OK;
    w->looking = true;
    int code = w->control ? match_key(w, r, count) : match_group(w, r, count);
    w->looking = false;
    return code;
}

static bool any_own(const struct reference *r, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (r[i].o->marks & MARK_OWN)
            return true;
    return false;
}

/* What a SYN proxy takes and makes: alike on both sides of it, and no packet crosses. */
static int settle_sides(struct work *w, struct reference *r, size_t count)
{
    uint32_t low = w->low, high = w->high, middle = w->flow->opener + 1u;
    bool forward = half_forward(w->flow, w->half);
    uint32_t edge = forward ? middle : (uint32_t)w->l->vantage_count - middle; /* place */
    struct reference *side[2] = {malloc(count * sizeof *r), malloc(count * sizeof *r)};
    size_t counts[2] = {0, 0};
    int code = side[0] && side[1] ? DP_OK : DP_ERR_NOMEM;
    for (size_t i = 0; i < count && code == DP_OK; i++) {
        int s = r[i].place < edge ? 0 : 1;
        side[s][counts[s]++] = r[i];
    }
    for (int s = 0; s < 2 && code == DP_OK; s++) {
        bool below = (s == 0) == forward;
        w->low = below ? low : middle;
        w->high = below ? middle : high;
        code = counts[s] ? settle_group(w, side[s], counts[s]) : DP_OK;
    }
    free(side[0]);
    free(side[1]);
    w->low = low;
    w->high = high;
    return code;
}

static void compact(struct work *w)
{
    struct lane *lanes = lanes_of(w);
    for (size_t v = w->low; v < w->high; v++) {
        size_t before = lanes[v].count;
        lane_compact(w->l, &lanes[v]);
        w->l->pending -= before - lanes[v].count;
    }
}

/* Whether something may be ready: old enough, or seen everywhere. */
static bool anything_due(struct work *w)
{
    const struct lane *lanes = lanes_of(w);
    bool everywhere = w->l->clocks_ready && w->flow->legs == 1;
    for (uint32_t v = w->low; v < w->high; v++) {
        if (lanes[v].count && to_reference(w->l, v, lane_head(&lanes[v])->ts_ns) <= w->limit)
            return true;
        everywhere = everywhere && lanes[v].count;
    }
    return everywhere;
}

/* A group is complete when every vantage point saw it, or when it is so old that nobody will see it any more.
 */
static bool complete(const struct work *w, const struct reference *r, size_t count)
{
    bool everywhere = count == w->l->vantage_count && w->flow->legs == 1 && plain_group(r, count);
    int64_t limit = everywhere ? w->limit_for_all : w->limit;
    for (size_t i = 0; i < count; i++)
        if (r[i].t_ns > limit)
            return false;
    return true;
}

static int settle_half(struct work *w)
{
    if (!anything_due(w))
        return DP_OK;
    int code = collect(w);
    for (size_t i = 0, j; code == DP_OK && i < w->count; i = j) {
        struct reference *r = w->l->references;
        j = group_end(w, i);
        bool done = complete(w, &r[i], j - i);
        if (done && w->flow->opener != NO_VANTAGE && any_own(&r[i], j - i))
            code = settle_sides(w, &r[i], j - i);
        else if (done)
            code = settle_group(w, &r[i], j - i);
        else if (j - i > 1 && later_sample(w))
            code = sample_any(w, &r[i], j - i); /* a clock that was set makes them wait: they tell of it */
        if (code == DP_OK && !done && w->l->watched)
            code = look_at_group(w, &r[i], j - i);
    }
    compact(w);
    return code;
}

/* A leg after the other, in the order in which the half's bytes cross them: what one hands over is still
 * there to be seen in the next. */
static int settle_legs(struct work *w)
{
    uint32_t legs = w->flow->legs;
    for (uint32_t i = 0; i < legs; i++) {
        work_on_leg(w, half_forward(w->flow, w->half) ? i : legs - 1 - i);
        int code = settle_half(w);
        if (code)
            return code;
    }
    return DP_OK;
}

int custody_await(struct dp_locate *l, struct flow *flow)
{
    if (flow->waiting)
        return DP_OK;
    int code = dp_grow(&l->waiting, &l->waiting_room, l->waiting_count + 1, sizeof(struct flow *));
    if (code)
        return code;
    l->waiting[l->waiting_count++] = flow;
    flow->waiting = true;
    return DP_OK;
}

void custody_inherit(struct dp_locate *l, struct flow *into, struct flow *from)
{
    for (size_t i = 0; i < l->waiting_count && !into->waiting; i++)
        if (l->waiting[i] == from) {
            l->waiting[i] = into;
            into->waiting = true;
            from->waiting = false;
        }
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = (*(struct flow *const *)a)->id, y = (*(struct flow *const *)b)->id;
    return x < y ? -1 : x > y;
}

int custody_order(struct dp_locate *l, bool last)
{
    for (size_t i = 0; last && i < l->flow_count; i++) {
        int code = custody_await(l, l->flows[i]);
        if (code)
            return code;
    }
    for (size_t i = 1; i < l->waiting_count; i++)
        if (l->waiting[i - 1]->id > l->waiting[i]->id) {
            qsort(l->waiting, l->waiting_count, sizeof(struct flow *), by_id);
            break;
        }
    return DP_OK;
}

/* Whether nothing of a flow waits, and no long list of acknowledgements is to be trimmed. */
static bool at_rest(const struct dp_locate *l, const struct flow *flow)
{
    for (int half = 0; half < 2; half++) {
        const struct half *h = &flow->half[half];
        for (size_t v = 0; v < l->vantage_count; v++)
            if (h->data[v].count || h->control[v].count || h->acks[v].count >= ACKS_TRIMMED)
                return false;
    }
    return true;
}

static int settle_flow(struct dp_locate *l, struct flow *flow, int64_t limit, int64_t limit_for_all)
{
    for (int half = 0; half < 2 && flow->oriented; half++) {
        int code = evidence_holes(l, flow, half);
        for (int control = 0; control < 2 && code == DP_OK; control++) {
            struct work w = {.l = l,
                             .flow = flow,
                             .half = half,
                             .control = control,
                             .limit = limit,
                             .limit_for_all = limit_for_all};
            code = settle_legs(&w);
        }
        if (code)
            return code;
        evidence_trim(l, &flow->half[half], limit);
    }
    flow->settled_before = flow->sampled;
    return DP_OK;
}

int custody_sweep(struct dp_locate *l, int64_t limit, int64_t limit_for_all)
{
    size_t kept = 0;
    l->unbooked_packets = l->unbooked_bytes = 0;
    for (size_t i = 0; i < l->waiting_count; i++) {
        struct flow *flow = l->waiting[i];
        int code = settle_flow(l, flow, limit, limit_for_all);
        if (code)
            return code;
        flow->waiting = !at_rest(l, flow);
        if (flow->waiting)
            l->waiting[kept++] = flow;
    }
    l->waiting_count = kept;
    return DP_OK;
}
