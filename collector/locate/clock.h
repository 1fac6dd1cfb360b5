/* Clocks of two vantage points against each other, from the traffic that both saw. Packets of one direction
 * bound the offset from above, those of the other from below: the line that lies between both with the widest
 * margin is the clock difference, and the margin bounds its error. (The envelope method of Moon, Skelly and
 * Towsley, INFOCOM 1999, with both directions.) */
#ifndef DROPPOINT_COLLECTOR_LOCATE_CLOCK_H
#define DROPPOINT_COLLECTOR_LOCATE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

/* Per slice of time the tightest bound of each side. */
struct dp_clock_slice {
    int64_t up_t, up;   /* forward packets: later stamp minus earlier point's stamp; the minimum */
    int64_t low_t, low; /* reverse packets: the same difference; the maximum */
    bool has_up, has_low;
};

/* The difference of point b's clock against point a's: b's stamp - a's stamp of one moment. */
struct dp_clock_pair {
    struct dp_clock_slice *slices;
    size_t count, room;
    int64_t origin_ns; /* of slice 0, by a's clock */
    int64_t width_ns;
    uint64_t samples;
};

/* A clock that was set while the capture ran: stamps from at_ns on are by size_ns ahead of what it had said
 * otherwise. It happened between from_ns and to_ns. */
struct dp_clock_step {
    int64_t at_ns, size_ns, from_ns, to_ns;
};

/* One clock's steps in order of time. */
struct dp_clock_steps {
    struct dp_clock_step *items;
    size_t count, room;
};

/* By how much all steps until then put a clock's stamp ahead. */
static inline int64_t dp_clock_stepped(const struct dp_clock_steps *steps, int64_t ts_ns)
{
    int64_t sum = 0;
    for (size_t i = 0; i < steps->count && ts_ns >= steps->items[i].at_ns; i++)
        sum += steps->items[i].size_ns;
    return sum;
}

/* How far a stamp may be off because it may be from before or from behind a step. */
static inline int64_t dp_clock_slack(const struct dp_clock_steps *steps, int64_t ts_ns)
{
    int64_t slack = 0;
    for (size_t i = 0; i < steps->count; i++)
        if (ts_ns > steps->items[i].from_ns && ts_ns < steps->items[i].to_ns)
            slack += steps->items[i].size_ns < 0 ? -steps->items[i].size_ns : steps->items[i].size_ns;
    return slack;
}
static inline bool dp_clock_unsure(const struct dp_clock_steps *steps, int64_t ts_ns)
{
    return dp_clock_slack(steps, ts_ns) > 0;
}

/* offset(t) = offset_ns + skew * (t - origin_ns), t by the known clock */
struct dp_clock_line {
    bool known;
    bool two_sided; /* bounded from both directions */
    double offset_ns;
    double skew;     /* ns per ns */
    double error_ns; /* bound of the offset's error at origin; negative: not bounded */
};

/* Adds a packet that both saw: t_a, t_b by their own clocks; forward: a saw it first. DP_ERR_NOMEM. */
int dp_clock_sample(struct dp_clock_pair *pair, bool forward, int64_t t_a, int64_t t_b) DP_MUST_CHECK;

/* What a pair says of a sought clock, where the other one's offset and skew against the reference are known
 * (0 to fit against that one itself). origin_ns: where the offset is to hold, by the reference. */
struct dp_clock_source {
    const struct dp_clock_pair *pair;
    const struct dp_clock_steps *a_steps, *b_steps;
    bool known_is_b;
    double offset_ns, skew;
    int64_t origin_ns;
};

/* Fits the sought clock's line against the reference from all sources together. DP_ERR_NOMEM. */
int dp_clock_fit(const struct dp_clock_source *sources, size_t count,
                 struct dp_clock_line *ret_line) DP_MUST_CHECK;

/* Between two samples b's clock leaps ahead of a's by size_ns (back where it is negative). */
struct dp_clock_break {
    int64_t a_from_ns, a_to_ns, b_from_ns, b_to_ns;
    double size_ns;
};

#define DP_CLOCK_BREAKS 64

/* Where no one line fits a pair's samples, but some pieces do: the breaks between these (clock_breaks.c).
 * DP_ERR_NOMEM. */
int dp_clock_breaks(const struct dp_clock_pair *pair, const struct dp_clock_steps *a_steps,
                    const struct dp_clock_steps *b_steps, struct dp_clock_break ret_breaks[DP_CLOCK_BREAKS],
                    size_t *ret_count) DP_MUST_CHECK;

void dp_clock_pair_free(struct dp_clock_pair *pair);

#endif
