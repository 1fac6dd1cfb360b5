/* Finds where one of two clocks was set. No line lies between the bounds from above and from below of the
 * whole capture then, while it does in each of a few pieces. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/clock.h"
#include "collector/locate/envelope.h"

#define TOLERANCE_NS 100e3 /* bounds that contradict each other by less are the stamps' own noise */
#define LEAST_STEP_NS 200e3
#define LEAST_POINTS 3 /* of a piece: fewer are packets that were taken for each other */
#define OUTLIERS 4     /* that follow each other */

struct sample {
    double t, y;
    int64_t t_a, t_b;
    bool up;
};

struct search {
    struct sample *samples;
    size_t count;
    struct point *scratch; /* twice as many */
    size_t starts[DP_CLOCK_BREAKS + 2];
    size_t pieces;
};

static int by_t(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    return x->t < y->t ? -1 : x->t > y->t;
}

static void add(struct search *s, const struct dp_clock_pair *pair, const struct dp_clock_steps *a,
                const struct dp_clock_steps *b, int64_t t_a, int64_t difference, bool up)
{
    int64_t t_b = t_a + difference;
    if (dp_clock_unsure(a, t_a) || dp_clock_unsure(b, t_b))
        return;
    int64_t at_a = t_a - dp_clock_stepped(a, t_a), at_b = t_b - dp_clock_stepped(b, t_b);
    s->samples[s->count++] =
        (struct sample){(double)(at_a - pair->origin_ns), (double)(at_b - at_a), t_a, t_b, up};
}

/* The envelope of samples [from, to) and, behind it, [more, end), in scratch memory from `at` on. */
static struct envelope envelope_of(const struct search *s, struct point *at, size_t from, size_t to,
                                   size_t more, size_t end)
{
    size_t count = to - from + (end - more);
    struct envelope e = {.up = at, .low = at + count};
    for (size_t i = from; i < end; i++) {
        if (i == to)
            i = more;
        if (i >= end)
            break;
        const struct sample *x = &s->samples[i];
        if (x->up)
            e.up[e.up_count++] = (struct point){x->t, x->y};
        else
            e.low[e.low_count++] = (struct point){x->t, x->y};
    }
    e.up_count = envelope_hull(e.up, e.up_count, +1);
    e.low_count = envelope_hull(e.low, e.low_count, -1);
    return e;
}

static bool fits(const struct search *s, size_t from, size_t to, size_t more, size_t end)
{
    struct envelope e = envelope_of(s, s->scratch, from, to, more, end);
    if (e.up_count == 0 || e.low_count == 0 || envelope_margin(&e, 0) >= 0)
        return true;
    return envelope_has_margin(&e, -TOLERANCE_NS);
}

/* The end of the longest piece from `from` on that one line fits. */
static size_t longest(const struct search *s, size_t from)
{
    size_t good = from + 1, step = 16, bad = s->count + 1;
    while (good < s->count) {
        size_t next = good + step < s->count ? good + step : s->count;
        if (!fits(s, from, next, next, next)) {
            bad = next;
            break;
        }
        good = next;
        step *= 2;
    }
    while (bad <= s->count && bad - good > 1) {
        size_t middle = good + (bad - good) / 2;
        if (fits(s, from, middle, middle, middle))
            good = middle;
        else
            bad = middle;
    }
    return good;
}

/* How many samples from `at` on stand alone against the piece from `from` to there: what follows fits it
 * again. 0: none. */
static size_t outliers(const struct search *s, size_t from, size_t at)
{
    for (size_t n = 1; n <= OUTLIERS && at + n <= s->count; n++) {
        size_t end = at + n, same = 0;
        while (end < s->count && same < 2)
            same += s->samples[end++].up == s->samples[at].up;
        if (end == s->count && same < 2)
            return s->count - at < LEAST_POINTS ? s->count - at : 0;
        if (fits(s, from, at, at + n, end))
            return n;
    }
    return 0;
}

/* Cuts the samples into pieces; false: into too many. */
static bool cut(struct search *s)
{
    size_t from = 0;
    while (from < s->count) {
        size_t end = longest(s, from), alone = end < s->count ? outliers(s, from, end) : 0;
        if (end - from < LEAST_POINTS && end < s->count && alone == 0) {
            alone = end - from; /* too few to be a piece */
            end = from;
        }
        if (alone) {
            memmove(&s->samples[end], &s->samples[end + alone],
                    (s->count - end - alone) * sizeof *s->samples);
            s->count -= alone;
            continue;
        }
        if (s->pieces > DP_CLOCK_BREAKS)
            return false;
        s->starts[s->pieces++] = from;
        from = end;
    }
    s->starts[s->pieces] = s->count;
    return true;
}

/* How far one piece lies above the one before it. */
static double leap(const struct envelope *p, const struct envelope *q, double skew)
{
    double up = envelope_ceiling(q, skew) - envelope_ceiling(p, skew);
    double low = envelope_floor(q, skew) - envelope_floor(p, skew);
    bool has_up = p->up_count && q->up_count, has_low = p->low_count && q->low_count;
    if (has_up && has_low)
        return (up + low) / 2;
    if (has_up)
        return up;
    if (has_low)
        return low;
    return p->up_count ? envelope_floor(q, skew) - envelope_ceiling(p, skew)
                       : envelope_ceiling(q, skew) - envelope_floor(p, skew);
}

static double middle_of(const struct envelope *e, double skew)
{
    if (e->up_count == 0)
        return envelope_floor(e, skew);
    return e->low_count ? (envelope_ceiling(e, skew) + envelope_floor(e, skew)) / 2
                        : envelope_ceiling(e, skew);
}

/* A piece was made as long as it could be: what at its end lies nearer to the next one belongs there. */
static size_t border(const struct search *s, size_t piece, const struct envelope *p, const struct envelope *q,
                     double skew)
{
    size_t at = s->starts[piece + 1];
    double here = middle_of(p, skew), there = middle_of(q, skew);
    while (at > s->starts[piece] + 1) {
        const struct sample *x = &s->samples[at - 1];
        double y = x->y - skew * x->t;
        if (fabs(y - here) <= fabs(y - there))
            break;
        at--;
    }
    return at;
}

static void tell(const struct search *s, const struct envelope *e, struct dp_clock_break *breaks,
                 size_t *ret_count)
{
    double skew = envelope_widest(e, s->pieces);
    size_t count = 0;
    for (size_t i = 0; i + 1 < s->pieces; i++) {
        double size = leap(&e[i], &e[i + 1], skew);
        if (!isfinite(size) || fabs(size) < LEAST_STEP_NS)
            continue;
        size_t at = border(s, i, &e[i], &e[i + 1], skew);
        const struct sample *last = &s->samples[at - 1], *first = &s->samples[at];
        breaks[count++] = (struct dp_clock_break){last->t_a, first->t_a, last->t_b, first->t_b, size};
    }
    *ret_count = count;
}

/* A clock that is set there and back again within moments was not set: some packets were taken for others. */
static bool drop_moment(struct search *s)
{
    for (size_t i = 1; i + 1 < s->pieces; i++) {
        size_t before = s->starts[i - 1], from = s->starts[i], to = s->starts[i + 1], end = s->starts[i + 2];
        if ((to - from) * 4 > end - to + (from - before) || !fits(s, before, from, to, end))
            continue;
        memmove(&s->samples[from], &s->samples[to], (s->count - to) * sizeof *s->samples);
        s->count -= to - from;
        return true;
    }
    return false;
}

static int search(struct search *s, struct dp_clock_break *ret_breaks, size_t *ret_count)
{
    if (fits(s, 0, s->count, s->count, s->count))
        return DP_OK;
    do {
        s->pieces = 0;
        if (!cut(s))
            return DP_OK;
    } while (drop_moment(s));
    if (s->pieces < 2)
        return DP_OK;
    struct envelope *e = malloc(s->pieces * sizeof *e);
    if (!e)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < s->pieces; i++)
        e[i] = envelope_of(s, s->scratch + 2 * s->starts[i], s->starts[i], s->starts[i + 1], s->starts[i + 1],
                           s->starts[i + 1]);
    tell(s, e, ret_breaks, ret_count);
    free(e);
    return DP_OK;
}

int dp_clock_breaks(const struct dp_clock_pair *pair, const struct dp_clock_steps *a_steps,
                    const struct dp_clock_steps *b_steps, struct dp_clock_break ret_breaks[DP_CLOCK_BREAKS],
                    size_t *ret_count)
{
    *ret_count = 0;
    if (pair->samples == 0)
        return DP_OK;
    struct search s = {.samples = malloc(2 * pair->count * sizeof *s.samples),
                       .scratch = malloc(4 * pair->count * sizeof *s.scratch)};
    int code = s.samples && s.scratch ? DP_OK : DP_ERR_NOMEM;
    for (size_t i = 0; code == DP_OK && i < pair->count; i++) {
        const struct dp_clock_slice *slice = &pair->slices[i];
        if (slice->has_up)
            add(&s, pair, a_steps, b_steps, slice->up_t, slice->up, true);
        if (slice->has_low)
            add(&s, pair, a_steps, b_steps, slice->low_t, slice->low, false);
    }
    if (code == DP_OK && s.count) {
        qsort(s.samples, s.count, sizeof *s.samples, by_t);
        code = search(&s, ret_breaks, ret_count);
    }
    free(s.samples);
    free(s.scratch);
    return code;
}
