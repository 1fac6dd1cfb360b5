/* What round trip times come to. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_PING_STATS_H
#define DROPPOINT_AGENT_PROBE_PING_STATS_H

#include <stddef.h>

struct dp_rtt_stats {
    double min, avg, p50, p99, max;
    double jitter; /* mean difference between one and the next, in the order of sending (as in RFC 3550, not
                      smoothed) */
};

/* Of `count` >= 1 values in the order of sending, which are left sorted. p50 and p99 are nearest ranks. */
struct dp_rtt_stats dp_rtt_stats(double *values, size_t count);

#endif
