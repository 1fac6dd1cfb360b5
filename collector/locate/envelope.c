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
    for (size_t i = 0; i < e->up_count; i++)
        best = fmin(best, e->up[i].y - skew * e->up[i].t);
    return best;
}

double envelope_floor(const struct envelope *e, double skew)
{
    double best = -INFINITY;
    for (size_t i = 0; i < e->low_count; i++)
        best = fmax(best, e->low[i].y - skew * e->low[i].t);
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

/* Margins are concave in the skew, so is the least of them: a ternary search finds its maximum. */
double envelope_widest(const struct envelope *list, size_t count)
{
    double lo = -MAX_SKEW, hi = MAX_SKEW;
    for (int i = 0; i < 100; i++) {
        double a = lo + (hi - lo) / 3, b = hi - (hi - lo) / 3;
        if (least_margin(list, count, a) < least_margin(list, count, b))
            lo = a;
        else
            hi = b;
    }
    return (lo + hi) / 2;
}
