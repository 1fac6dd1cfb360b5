#include "collector/locate/envelope.h"

#include <math.h>

size_t envelope_hull(struct point *points, size_t count, double sign)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct point p = points[i];
        while (n >= 2) {
            struct point a = points[n - 2], b = points[n - 1];
            double cross = (b.t - a.t) * (p.y - a.y) - (b.y - a.y) * (p.t - a.t);
            if (cross * sign > 0)
                break;
            n--;
        }
        if (n == 1 && points[0].t == p.t) { /* same moment: the tighter one stays */
            if ((p.y - points[0].y) * sign < 0)
                points[0] = p;
            continue;
        }
        points[n++] = p;
    }
    return n;
}

double envelope_ceiling(const struct envelope *e, double skew)
{
    double best = INFINITY;
    for (size_t i = 0; i < e->up_count; i++) { /* not fmin: this is called for every step of a search */
        double y = e->up[i].y - skew * e->up[i].t;
        best = y < best ? y : best;
    }
    return best;
}

double envelope_floor(const struct envelope *e, double skew)
{
    double best = -INFINITY;
    for (size_t i = 0; i < e->low_count; i++) {
        double y = e->low[i].y - skew * e->low[i].t;
        best = y > best ? y : best;
    }
    return best;
}

double envelope_margin(const struct envelope *e, double skew)
{
    return envelope_ceiling(e, skew) - envelope_floor(e, skew);
}

static double least_margin(const struct envelope *list, size_t count, double skew)
{
    double least = INFINITY;
    for (size_t i = 0; i < count; i++)
        least = fmin(least, envelope_margin(&list[i], skew));
    return least;
}

#define STEPS 60 /* bring the skew to within 1e-14 */

/* Margins are concave in the skew, so is the least of them: a ternary search finds its maximum, or any skew
 * with a margin that is enough. */
static double search(const struct envelope *list, size_t count, double enough)
{
    double lo = -MAX_SKEW, hi = MAX_SKEW;
    for (int i = 0; i < STEPS; i++) {
        double a = lo + (hi - lo) / 3, b = hi - (hi - lo) / 3;
        double at_a = least_margin(list, count, a), at_b = least_margin(list, count, b);
        if (at_a >= enough || at_b >= enough)
            return at_a >= enough ? a : b;
        if (at_a < at_b)
            lo = a;
        else
            hi = b;
    }
    return (lo + hi) / 2;
}

double envelope_widest(const struct envelope *list, size_t count)
{
    return search(list, count, INFINITY);
}

bool envelope_has_margin(const struct envelope *e, double margin)
{
    return envelope_margin(e, search(e, 1, margin)) >= margin;
}
