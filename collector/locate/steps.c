/* Whose clock was set, and when: from the breaks between pairs of vantage points. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

#define ROUNDS 32 /* steps that are looked for, and corrections of their sizes */

struct leap {
    struct dp_clock_break b;
    size_t low, high; /* the two vantage points */
};

struct leaps {
    struct leap *items;
    size_t count, room;
};

static int find(struct dp_locate *l, struct leaps *leaps)
{
    struct dp_clock_break breaks[DP_CLOCK_BREAKS];
    leaps->count = 0;
    for (size_t low = 0; low < l->vantage_count; low++)
        for (size_t high = low + 1; high < l->vantage_count; high++) {
            size_t count;
            int code = dp_clock_breaks(&l->clocks[low * l->vantage_count + high], &l->vantages[low].steps,
                                       &l->vantages[high].steps, breaks, &count);
            if (code == DP_OK)
                code = dp_grow(&leaps->items, &leaps->room, leaps->count + count, sizeof *leaps->items);
            if (code)
                return code;
            for (size_t i = 0; i < count; i++)
                leaps->items[leaps->count++] = (struct leap){breaks[i], low, high};
        }
    return DP_OK;
}

/* What it would be if this vantage point's clock were the one that was set. */
static struct dp_clock_step as_step_of(const struct leap *x, size_t vantage)
{
    bool low = vantage == x->low;
    int64_t from = low ? x->b.a_from_ns : x->b.b_from_ns, to = low ? x->b.a_to_ns : x->b.b_to_ns;
    if (from >= to) { /* set back a little: what was stamped in between is from before or from behind */
        int64_t later = from + 1;
        from = to - 1;
        to = later;
    }
    return (struct dp_clock_step){
        .from_ns = from, .to_ns = to, .size_ns = (int64_t)(low ? -x->b.size_ns : x->b.size_ns)};
}

static bool agree(const struct dp_clock_step *a, const struct dp_clock_step *b)
{
    double x = (double)a->size_ns, y = (double)b->size_ns;
    bool alike = fabs(x - y) <= 0.25 * fmin(fabs(x), fabs(y)) + 1e6 && (x > 0) == (y > 0);
    return alike && a->from_ns <= b->to_ns && b->from_ns <= a->to_ns;
}

/* Where the stamps went back between two moments; NULL: nowhere. */
static const struct stamp_fold *fold_in(const struct vantage *v, int64_t from, int64_t to)
{
    for (size_t i = 0; i < v->stamps.fold_count; i++)
        if (v->stamps.folds[i].at_ns > from && v->stamps.folds[i].at_ns <= to)
            return &v->stamps.folds[i];
    return NULL;
}

static struct dp_clock_step *known_in(struct vantage *v, const struct dp_clock_step *step)
{
    for (size_t i = 0; i < v->steps.count; i++) {
        struct dp_clock_step *x = &v->steps.items[i];
        if (x->from_ns <= step->to_ns && step->from_ns <= x->to_ns)
            return x;
    }
    return NULL;
}

static int by_time(const void *a, const void *b)
{
    const struct dp_clock_step *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

struct stamp_list {
    int64_t *items;
    size_t count, room;
};

static int list_lane(struct stamp_list *list, const struct lane *lane, int64_t from, int64_t to)
{
    const struct observation *o;
    for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;) {
        int64_t t = o->ts_ns;
        if (t <= from || t >= to)
            continue;
        int code = dp_grow(&list->items, &list->room, list->count + 1, sizeof *list->items);
        if (code)
            return code;
        list->items[list->count++] = t;
    }
    return DP_OK;
}

/* A clock that is set ahead leaves a hole in its stamps. What still waits shows where. */
static int narrow_to_hole(const struct dp_locate *l, size_t vantage, struct dp_clock_step *step)
{
    struct stamp_list list = {0};
    int code = DP_OK;
    for (size_t i = 0; i < l->flow_count; i++)
        for (int half = 0; half < 2 && code == DP_OK; half++) {
            const struct half *h = &l->flows[i]->half[half];
            code = list_lane(&list, &h->data[vantage], step->from_ns, step->to_ns);
            if (code == DP_OK)
                code = list_lane(&list, &h->control[vantage], step->from_ns, step->to_ns);
        }
    if (code == DP_OK && list.count) {
        qsort(list.items, list.count, sizeof *list.items, by_value);
        int64_t before = step->from_ns, from = step->from_ns, to = list.items[0];
        for (size_t i = 0; i <= list.count; i++) {
            int64_t t = i < list.count ? list.items[i] : step->to_ns;
            if (t - before > to - from) {
                from = before;
                to = t;
            }
            before = t;
        }
        if (to - from > step->size_ns - step->size_ns / 10) {
            step->from_ns = from;
            step->to_ns = to;
        }
    }
    free(list.items);
    return code;
}

#define UNSEEN_MOST 1000000000LL /* 1 s: farther back the stamps themselves would have shown it */

static int take_step(struct dp_locate *l, size_t vantage, struct dp_clock_step step)
{
    struct vantage *v = &l->vantages[vantage];
    struct dp_clock_step *known = known_in(v, &step);
    if (known) { /* another pair measures it better */
        known->size_ns += step.size_ns;
        return DP_OK;
    }
    int code = dp_grow(&v->steps.items, &v->steps.room, v->steps.count + 1, sizeof *v->steps.items);
    const struct stamp_fold *fold = fold_in(v, step.from_ns, step.to_ns);
    if (code == DP_OK && !fold && step.size_ns > 0)
        code = narrow_to_hole(l, vantage, &step);
    if (code)
        return code;
    step.at_ns = fold ? fold->at_ns : step.from_ns + (step.to_ns - step.from_ns + 1) / 2;
    if (fold) {
        step.from_ns = fold->at_ns - 1;
        step.to_ns = fold->at_ns;
    } else if (step.size_ns < 0) { /* the same stamps came twice */
        int64_t twice = -step.size_ns < UNSEEN_MOST ? -step.size_ns : UNSEEN_MOST;
        step.from_ns -= twice;
        step.to_ns += twice;
    }
    v->steps.items[v->steps.count++] = step;
    qsort(v->steps.items, v->steps.count, sizeof *v->steps.items, by_time);
    return DP_OK;
}

/* Of two clocks the one that was set ahead, unless the other one's stamps went back: then nobody has to have
 * been silent for as long as the step. */
static size_t one_of_two(const struct dp_locate *l, const struct leap *x)
{
    const struct vantage *low = &l->vantages[x->low], *high = &l->vantages[x->high];
    bool low_back = fold_in(low, x->b.a_from_ns, x->b.a_to_ns) != NULL;
    bool high_back = fold_in(high, x->b.b_from_ns, x->b.b_to_ns) != NULL;
    if (low_back != high_back)
        return low_back ? x->low : x->high;
    return x->b.size_ns > 0 ? x->high : x->low;
}

/* How many breaks this one explains if it was this vantage point's clock, which is its host's. */
static size_t explained(const struct dp_locate *l, const struct leaps *leaps,
                        const struct dp_clock_step *step, size_t vantage)
{
    size_t count = 0, host = l->vantages[vantage].host;
    for (size_t i = 0; i < leaps->count; i++) {
        const struct leap *x = &leaps->items[i];
        bool low = l->vantages[x->low].host == host, high = l->vantages[x->high].host == host;
        struct dp_clock_step other = as_step_of(x, low ? x->low : x->high);
        count += low != high && agree(step, &other);
    }
    return count;
}

/* The break that explains most, and whose it is. */
static int take_best(struct dp_locate *l, const struct leaps *leaps)
{
    size_t most = 0, whose = 0;
    const struct leap *best = &leaps->items[0];
    for (size_t i = 0; i < leaps->count; i++) {
        const struct leap *x = &leaps->items[i];
        size_t likely = one_of_two(l, x), other = likely == x->low ? x->high : x->low;
        for (int second = 0; second < 2; second++) {
            size_t v = second ? other : likely;
            struct dp_clock_step step = as_step_of(x, v);
            size_t count = 2 * explained(l, leaps, &step, v) + !second;
            if (count <= most)
                continue;
            most = count;
            best = x;
            whose = v;
        }
    }
    return take_step(l, whose, as_step_of(best, whose));
}

static void forget(struct dp_locate *l)
{
    for (size_t v = 0; v < l->vantage_count; v++)
        l->vantages[v].steps.count = 0;
}

int steps_find(struct dp_locate *l)
{
    struct leaps leaps = {0};
    forget(l);
    int code = find(l, &leaps);
    for (size_t round = 0; code == DP_OK && leaps.count && round < ROUNDS; round++) {
        code = take_best(l, &leaps);
        if (code == DP_OK)
            code = find(l, &leaps);
    }
    if (leaps.count) /* steps are not what explains this: packets were taken for each other */
        forget(l);
    free(leaps.items);
    return code;
}

/* What is to be subtracted from the clock's own stamps around a carried-on one. */
static int64_t own_offset(const struct vantage *v, int64_t carried_ns)
{
    int64_t shift = carried_ns - stamps_own(&v->stamps, carried_ns);
    return (int64_t)v->offset_ns - shift + dp_clock_stepped(&v->steps, carried_ns);
}

int steps_report(const struct vantage *v, struct dp_vantage_report *report)
{
    size_t most = v->stamps.fold_count + v->steps.count;
    if (most == 0)
        return DP_OK;
    report->clock_sets = calloc(most, sizeof *report->clock_sets);
    if (!report->clock_sets)
        return DP_ERR_NOMEM;
    for (size_t f = 0, s = 0; f < v->stamps.fold_count || s < v->steps.count;) {
        const struct stamp_fold *fold = f < v->stamps.fold_count ? &v->stamps.folds[f] : NULL;
        const struct dp_clock_step *step = s < v->steps.count ? &v->steps.items[s] : NULL;
        bool folds = fold && (!step || fold->at_ns <= step->at_ns);
        int64_t at = folds ? fold->at_ns : step->at_ns;
        f += folds;
        s += step && step->at_ns == at;
        report->clock_sets[report->clock_set_count++] =
            (struct dp_clock_set){.at_ns = stamps_own(&v->stamps, at),
                                  .back_ns = folds ? fold->back_ns : 0,
                                  .offset_ns = own_offset(v, at)};
    }
    return DP_OK;
}
