#include "agent/probe/ping/stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double rank(const double *sorted, size_t count, double part)
{
    size_t at = (size_t)ceil(part * (double)count);
    return sorted[at ? at - 1 : 0];
}

struct dp_rtt_stats dp_rtt_stats(double *values, size_t count)
{
    struct dp_rtt_stats stats = {.jitter = 0};
    double sum = values[0];
    for (size_t i = 1; i < count; i++) {
        sum += values[i];
        stats.jitter += fabs(values[i] - values[i - 1]);
    }
    if (count > 1)
        stats.jitter /= (double)(count - 1);
    qsort(values, count, sizeof *values, compare);
    stats.min = values[0];
    stats.max = values[count - 1];
    stats.avg = sum / (double)count;
    stats.p50 = rank(values, count, 0.5);
    stats.p99 = rank(values, count, 0.99);
    return stats;
}
