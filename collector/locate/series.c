/* Loss and delay over time, the same stretches for every segment and direction so that they can be compared.
 */
#include <stdlib.h>

#include "collector/locate/engine.h"

/* From when to when packets entered any segment; false: none did. */
static bool extent(const struct dp_locate *l, int64_t *ret_first, int64_t *ret_last)
{
    bool any = false;
    for (size_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct side *s = &l->segments[i].side[d];
            size_t first = 0, end = s->slice_count;
            while (first < end && !s->slices[first].entered)
                first++;
            while (end > first && !s->slices[end - 1].entered)
                end--;
            if (first == end)
                continue;
            int64_t from = s->slice_origin + (int64_t)first * s->slice_width;
            int64_t to = s->slice_origin + (int64_t)end * s->slice_width - 1;
            *ret_first = !any || from < *ret_first ? from : *ret_first;
            *ret_last = !any || to > *ret_last ? to : *ret_last;
            any = true;
        }
    return any;
}

/* 10, 20, 50, 100 ... milliseconds. */
static int64_t next_width(int64_t width)
{
    int64_t lead = width;
    while (lead >= 10)
        lead /= 10;
    return lead == 2 ? width / 2 * 5 : width * 2;
}

/* The last whole stretch's beginning before a moment, counted from the reference. */
static int64_t stretch_begin(int64_t reference, int64_t t, int64_t width)
{
    __int128 since = (__int128)t - reference, rest = since % width;
    __int128 begin = t - (rest < 0 ? rest + width : rest);
    return begin < INT64_MIN ? INT64_MIN : (int64_t)begin;
}

static uint64_t stretches_until(int64_t from, int64_t t, int64_t width)
{
    return ((uint64_t)t - (uint64_t)from) / (uint64_t)width;
}

static void choose_stretches(const struct dp_locate *l, int64_t first, int64_t last, struct dp_report *r)
{
    int64_t width = 10000000, from;
    for (;; width = next_width(width)) {
        from = stretch_begin(l->reference_ns, first, width);
        if (stretches_until(from, last, width) < DP_REPORT_MAX_SERIES)
            break;
    }
    r->series_from_ns = from;
    r->series_width_ns = width;
    r->series_count = (size_t)stretches_until(from, last, width) + 1;
}

static struct dp_series_point *point_at(const struct dp_report *r, struct dp_series_point *points, int64_t t)
{
    if (t < r->series_from_ns)
        return &points[0];
    size_t index = (size_t)stretches_until(r->series_from_ns, t, r->series_width_ns);
    return &points[index < r->series_count ? index : r->series_count - 1];
}

static int64_t whole(float ns)
{
    return ns >= 9.2e18F ? INT64_MAX : ns <= -9.2e18F ? INT64_MIN : (int64_t)ns;
}

static void add_slices(const struct dp_report *r, const struct side *s, struct dp_series_point *points)
{
    for (size_t i = 0; i < s->slice_count; i++) {
        const struct slice *slice = &s->slices[i];
        int64_t middle = s->slice_origin + (int64_t)i * s->slice_width + s->slice_width / 2;
        struct dp_series_point *p = point_at(r, points, middle);
        p->entered += slice->entered;
        if (!slice->delays)
            continue;
        int64_t least = whole(slice->delay_min), most = whole(slice->delay_max);
        p->delay_min = !p->has_delay || least < p->delay_min ? least : p->delay_min;
        p->delay_max = !p->has_delay || most > p->delay_max ? most : p->delay_max;
        p->has_delay = true;
    }
}

static int by_time_then_delay(const void *a, const void *b)
{
    const struct delay_sample *x = a, *y = b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return x->delay_ns < y->delay_ns ? -1 : x->delay_ns > y->delay_ns;
}

/* The median of the samples that were kept of each stretch; where none was, the middle of its bounds. */
static int add_medians(const struct dp_report *r, const struct side *s, struct dp_series_point *points)
{
    size_t count = s->delay_count < DELAY_SAMPLES ? (size_t)s->delay_count : DELAY_SAMPLES;
    struct delay_sample *samples = malloc((count + 1) * sizeof *samples);
    if (!samples)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct dp_series_point *p = point_at(r, points, s->delays[i].t_ns);
        samples[i] = (struct delay_sample){p - points, s->delays[i].delay_ns};
    }
    qsort(samples, count, sizeof *samples, by_time_then_delay);
    for (size_t i = 0; i < r->series_count; i++)
        points[i].delay_p50 = points[i].delay_min / 2 + points[i].delay_max / 2;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && samples[end].t_ns == samples[i].t_ns; end++) {
        }
        struct dp_series_point *p = &points[samples[i].t_ns];
        int64_t median = samples[i + (end - i) / 2].delay_ns;
        p->delay_p50 = median < p->delay_min ? p->delay_min : median > p->delay_max ? p->delay_max : median;
    }
    free(samples);
    return DP_OK;
}

int series_build(const struct dp_locate *l, struct dp_report *r)
{
    int64_t first, last;
    if (!extent(l, &first, &last))
        return DP_OK;
    choose_stretches(l, first, last, r);
    for (size_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct side *s = &l->segments[i].side[d];
            struct dp_series_point *points = s->packets ? calloc(r->series_count, sizeof *points) : NULL;
            if (s->packets && !points)
                return DP_ERR_NOMEM;
            r->segments[i].side[d].series = points;
            if (!points)
                continue;
            add_slices(r, s, points);
            for (size_t k = 0; k < s->loss_count; k++)
                point_at(r, points, s->losses[k].t_ns)->lost++;
            int code = add_medians(r, s, points);
            if (code)
                return code;
        }
    return DP_OK;
}
