#include "collector/link/clock.h"

/* Stamps of the peer may be anything; the sums below must not overflow. */
#define STAMP_MAX (INT64_MAX / 2)

static int64_t aged_error(const struct dp_clock_sample *sample, int64_t now_ns)
{
    int64_t age = now_ns > sample->at_ns ? now_ns - sample->at_ns : 0;
    return sample->error_ns + age / 1000000 * DP_CLOCK_DRIFT_PPM;
}

static const struct dp_clock_sample *best_sample(const struct dp_clock *clock, int64_t now_ns)
{
    const struct dp_clock_sample *best = NULL;
    for (size_t i = 0; i < clock->count; i++)
        if (!best || aged_error(&clock->samples[i], now_ns) < aged_error(best, now_ns))
            best = &clock->samples[i];
    return best;
}

bool dp_clock_add(struct dp_clock *clock, int64_t sent_ns, int64_t arrived_ns, int64_t peer_received_ns,
                  int64_t peer_sent_ns)
{
    if (peer_received_ns < 0 || peer_received_ns > STAMP_MAX || peer_sent_ns < 0 || peer_sent_ns > STAMP_MAX)
        return false;
    int64_t round_trip = (arrived_ns - sent_ns) - (peer_sent_ns - peer_received_ns);
    if (arrived_ns < sent_ns || peer_sent_ns < peer_received_ns || round_trip < 0)
        return false;
    struct dp_clock_sample sample = {
        .offset_ns = ((peer_received_ns - sent_ns) + (peer_sent_ns - arrived_ns)) / 2,
        .error_ns = round_trip / 2 + 1, /* the division above rounds */
        .at_ns = arrived_ns,
    };
    const struct dp_clock_sample *best = best_sample(clock, arrived_ns);
    if (best) {
        int64_t apart = sample.offset_ns - best->offset_ns;
        int64_t allowed = sample.error_ns + aged_error(best, arrived_ns);
        if (apart > allowed || apart < -allowed)
            *clock = (struct dp_clock){.count = 0}; /* the peer's clock was set: what was before is void */
    }
    clock->samples[clock->next] = sample;
    clock->next = (clock->next + 1) % DP_CLOCK_SAMPLES;
    if (clock->count < DP_CLOCK_SAMPLES)
        clock->count++;
    return true;
}

bool dp_clock_best(const struct dp_clock *clock, int64_t now_ns, int64_t realtime_ns, int64_t *ret_offset_ns,
                   int64_t *ret_error_ns)
{
    const struct dp_clock_sample *best = best_sample(clock, now_ns);
    if (!best)
        return false;
    *ret_offset_ns = best->offset_ns - (realtime_ns - now_ns);
    *ret_error_ns = aged_error(best, now_ns);
    return true;
}
