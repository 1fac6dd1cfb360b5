/* Bounds on a clock difference from above and from below, and the lines that lie between them. Internal to
 * the clocks. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_ENVELOPE_H
#define DROPPOINT_COLLECTOR_LOCATE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_SKEW 0.0005 /* 500 ppm: as far as adjtime(3) slews a clock; oscillators stay within 100 */

struct point {
    double t, y;
};

struct envelope {
    struct point *up, *low; /* hulls, in order of t */
    size_t up_count, low_count;
};

/* Keeps of points in order of t those that bound a line: sign +1 the lower hull (bounds from above hold below
 * them), -1 the upper one. Returns how many are left. */
size_t envelope_hull(struct point *points, size_t count, double sign);

/* The highest line of this skew under all bounds from above, and the lowest over all from below: their values
 * at t = 0; infinite where there is no such bound. */
double envelope_ceiling(const struct envelope *e, double skew);
double envelope_floor(const struct envelope *e, double skew);

/* The room between both; negative: no line of this skew fits. */
double envelope_margin(const struct envelope *e, double skew);

/* The skew with the widest margin over all envelopes: the least of their margins counts. */
double envelope_widest(const struct envelope *list, size_t count);

/* Whether some skew leaves at least this margin. */
bool envelope_has_margin(const struct envelope *e, double margin);

#endif
