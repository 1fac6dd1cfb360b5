#include "collector/locate/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/envelope.h"
#include "collector/locate/grow.h"

#define FIRST_WIDTH_NS 20000000LL /* 20 ms */
#define MAX_SLICES 16384

static void slice_add(struct dp_clock_slice *slice, bool forward, int64_t t, int64_t difference)
{
    if (forward && (!slice->has_up || difference < slice->up)) {
        slice->has_up = true;
        slice->up = difference;
        slice->up_t = t;
    }
    if (!forward && (!slice->has_low || difference > slice->low)) {
        slice->has_low = true;
        slice->low = difference;
        slice->low_t = t;
    }
}

static void slice_merge(struct dp_clock_slice *into, const struct dp_clock_slice *from)
{
    if (from->has_up)
        slice_add(into, true, from->up_t, from->up);
    if (from->has_low)
        slice_add(into, false, from->low_t, from->low);
}

/* Doubles the width of the slices, so that a long capture needs no more memory than a short one. */
static void widen(struct dp_clock_pair *pair)
{
    for (size_t i = 0; i < pair->count; i++) {
        if (i % 2 == 0) {
            struct dp_clock_slice slice = pair->slices[i];
            pair->slices[i / 2] = slice;
        } else {
            slice_merge(&pair->slices[i / 2], &pair->slices[i]);
        }
    }
    size_t kept = (pair->count + 1) / 2;
    memset(&pair->slices[kept], 0, (pair->count - kept) * sizeof *pair->slices);
    pair->count = kept;
    pair->width_ns *= 2;
}

/* Moves the beginning to an earlier time, for samples that come out of order. */
static int extend_back(struct dp_clock_pair *pair, int64_t t)
{
    for (;;) {
        int64_t missing = (pair->origin_ns - t + pair->width_ns - 1) / pair->width_ns;
        if (pair->count + (size_t)missing <= MAX_SLICES) {
            int code =
                dp_grow(&pair->slices, &pair->room, pair->count + (size_t)missing, sizeof *pair->slices);
            if (code)
                return code;
            memmove(&pair->slices[missing], pair->slices, pair->count * sizeof *pair->slices);
            memset(pair->slices, 0, (size_t)missing * sizeof *pair->slices);
            pair->count += (size_t)missing;
            pair->origin_ns -= missing * pair->width_ns;
            return DP_OK;
        }
        if (pair->width_ns > INT64_MAX / 4)
            return DP_ERR_RANGE;
        widen(pair);
    }
}

int dp_clock_sample(struct dp_clock_pair *pair, bool forward, int64_t t_a, int64_t t_b)
{
    if (pair->samples == 0) {
        pair->origin_ns = t_a;
        pair->width_ns = FIRST_WIDTH_NS;
    }
    if (t_a < pair->origin_ns) {
        int code = extend_back(pair, t_a);
        if (code)
            return code;
    }
    size_t index = (size_t)((t_a - pair->origin_ns) / pair->width_ns);
    for (; index >= MAX_SLICES; index /= 2)
        widen(pair);
    int code = dp_grow(&pair->slices, &pair->room, index + 1, sizeof *pair->slices);
    if (code)
        return code;
    if (index >= pair->count)
        pair->count = index + 1;
    slice_add(&pair->slices[index], forward, t_a, t_b - t_a);
    pair->samples++;
    return DP_OK;
}

/* Whether both directions were seen nearly all along: else a tilted line finds room where one of them is
 * missing. */
static bool covered(const struct envelope *e)
{
    double up_first = e->up[0].t, up_last = e->up[e->up_count - 1].t;
    double low_first = e->low[0].t, low_last = e->low[e->low_count - 1].t;
    double span = fmax(up_last, low_last) - fmin(up_first, low_first);
    return fmin(up_last, low_last) - fmax(up_first, low_first) >= 0.8 * span;
}

/* Queues that fill and drain within a short capture look like a skew, but they never make it impossible that
 * there is none. So where no skew fits as well, the smallest one is taken that leaves a fair part of the
 * widest margin; also where one direction was seen for a part of the time only. */
static double modest(const struct envelope *e, double best)
{
    double margin = envelope_margin(e, best);
    if (margin <= 0 || (envelope_margin(e, 0) < 0 && covered(e)))
        return best;
    double enough = (covered(e) ? 0.25 : 0.02) * margin;
    if (envelope_margin(e, 0) >= enough)
        return 0;
    double lo = 0, hi = 1; /* as a part of best */
    for (int i = 0; i < 50; i++) {
        double middle = (lo + hi) / 2;
        if (envelope_margin(e, best * middle) >= enough)
            hi = middle;
        else
            lo = middle;
    }
    return best * hi;
}

/* How far from `offset` another line that fits the samples too may lie at the origin. */
static double offset_error(const struct envelope *e, double skew, double offset)
{
    double error = 0;
    for (int side = -1; side <= 1; side += 2) {
        double lo = 0, hi = 2 * MAX_SKEW; /* distance from skew up to which a line fits */
        for (int i = 0; i < 60; i++) {
            double mid = (lo + hi) / 2;
            if (envelope_margin(e, skew + side * mid) >= 0)
                lo = mid;
            else
                hi = mid;
        }
        for (int i = 0; i <= 16; i++) {
            double s = skew + side * lo * i / 16;
            if (envelope_margin(e, s) < 0)
                continue;
            error = fmax(error, fmax(envelope_ceiling(e, s) - offset, offset - envelope_floor(e, s)));
        }
    }
    return error;
}

/* The smallest part of one side, for when only one direction was seen: the delay's floor is the best guess.
 */
static void fit_one_side(const struct envelope *e, struct dp_clock_line *line)
{
    bool up = e->up_count > 0;
    double bound = up ? envelope_ceiling(e, 0) : envelope_floor(e, 0);
    /* Offset 0 is what synchronized clocks have; keep it where the packets allow it and are near. */
    bool plausible = up ? bound >= 0 && bound < 100e6 : bound <= 0 && bound > -100e6;
    line->offset_ns = plausible ? 0 : bound;
    line->skew = 0;
    line->error_ns = -1;
    line->two_sided = false;
}

static int by_t(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return x->t < y->t ? -1 : x->t > y->t;
}

static void put_in_order(struct point *points, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (points[i].t < points[i - 1].t) {
            qsort(points, count, sizeof *points, by_t);
            return;
        }
}

/* One sample as a bound on the sought clock's lead over the reference. */
static struct point bound(const struct dp_clock_source *s, int64_t t_a, int64_t difference)
{
    int64_t t_b = t_a + difference;
    t_a -= dp_clock_stepped(s->a_steps, t_a);
    t_b -= dp_clock_stepped(s->b_steps, t_b);
    int64_t known = (s->known_is_b ? t_b : t_a) - (int64_t)s->offset_ns - s->origin_ns;
    int64_t sought = (s->known_is_b ? t_a : t_b) - s->origin_ns;
    double t = (double)known - (double)known * s->skew;
    return (struct point){t, (double)(sought - known) + (double)known * s->skew};
}

static bool sure(const struct dp_clock_source *s, int64_t t_a, int64_t difference)
{
    return !dp_clock_unsure(s->a_steps, t_a) && !dp_clock_unsure(s->b_steps, t_a + difference);
}

static void gather(struct envelope *e, const struct dp_clock_source *s)
{
    for (size_t i = 0; i < s->pair->count; i++) {
        const struct dp_clock_slice *slice = &s->pair->slices[i];
        if (slice->has_up && sure(s, slice->up_t, slice->up)) {
            struct point p = bound(s, slice->up_t, slice->up);
            if (s->known_is_b)
                e->low[e->low_count++] = p;
            else
                e->up[e->up_count++] = p;
        }
        if (slice->has_low && sure(s, slice->low_t, slice->low)) {
            struct point p = bound(s, slice->low_t, slice->low);
            if (s->known_is_b)
                e->up[e->up_count++] = p;
            else
                e->low[e->low_count++] = p;
        }
    }
}

int dp_clock_fit(const struct dp_clock_source *sources, size_t count, struct dp_clock_line *ret_line)
{
    struct dp_clock_line line = {.error_ns = -1};
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += sources[i].pair->count;
    if (most == 0) {
        *ret_line = line;
        return DP_OK;
    }
    struct point *points = malloc(2 * most * sizeof *points);
    if (!points)
        return DP_ERR_NOMEM;
    struct envelope e = {.up = points, .low = points + most};
    for (size_t i = 0; i < count; i++)
        gather(&e, &sources[i]);
    put_in_order(e.up, e.up_count);
    put_in_order(e.low, e.low_count);
    e.up_count = envelope_hull(e.up, e.up_count, +1);
    e.low_count = envelope_hull(e.low, e.low_count, -1);
    line.known = true;
    if (e.up_count == 0 || e.low_count == 0) {
        fit_one_side(&e, &line);
    } else {
        double skew = modest(&e, envelope_widest(&e, 1));
        double margin = envelope_margin(&e, skew);
        line.two_sided = true;
        line.skew = skew;
        line.offset_ns = (envelope_ceiling(&e, skew) + envelope_floor(&e, skew)) / 2;
        line.error_ns = margin < 0 ? -margin : offset_error(&e, skew, line.offset_ns);
    }
    free(points);
    *ret_line = line;
    return DP_OK;
}

void dp_clock_pair_free(struct dp_clock_pair *pair)
{
    free(pair->slices);
    memset(pair, 0, sizeof *pair);
}
