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

/* offset(t) = offset_ns + skew * (t - origin_ns), t by a's clock */
struct dp_clock_line {
    bool known;
    bool two_sided; /* bounded from both directions */
    int64_t origin_ns;
    double offset_ns;
    double skew;     /* ns per ns */
    double error_ns; /* bound of the offset's error at origin; negative: not bounded */
};

/* Adds a packet that both saw: t_a, t_b by their own clocks; forward: a saw it first. DP_ERR_NOMEM. */
int dp_clock_sample(struct dp_clock_pair *pair, bool forward, int64_t t_a, int64_t t_b) DP_MUST_CHECK;

/* Fits the line for the samples so far; origin_ns is where the offset is to hold. DP_ERR_NOMEM. */
int dp_clock_fit(const struct dp_clock_pair *pair, int64_t origin_ns,
                 struct dp_clock_line *ret_line) DP_MUST_CHECK;

void dp_clock_pair_free(struct dp_clock_pair *pair);

#endif
