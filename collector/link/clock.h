/* How far a peer's clock is from ours, from pings and pongs. Free of I/O; all stamps come from the caller. */
#ifndef DROPPOINT_COLLECTOR_LINK_CLOCK_H
#define DROPPOINT_COLLECTOR_LINK_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_CLOCK_SAMPLES 16
#define DP_CLOCK_DRIFT_PPM 50 /* two ordinary quartz clocks, between samples */

struct dp_clock_sample {
    int64_t offset_ns; /* peer's CLOCK_REALTIME minus our CLOCK_MONOTONIC: a step of our own clock does not
                          touch it */
    int64_t error_ns;  /* half the round trip */
    int64_t at_ns;     /* our CLOCK_MONOTONIC */
};

struct dp_clock {
    struct dp_clock_sample samples[DP_CLOCK_SAMPLES];
    size_t count, next;
};

/* A ping left at sent_ns and its pong came at arrived_ns (both ours, monotonic); the peer took it at
 * peer_received_ns and answered at peer_sent_ns (the peer's CLOCK_REALTIME). false: the stamps contradict
 * each other, nothing changed. */
bool dp_clock_add(struct dp_clock *clock, int64_t sent_ns, int64_t arrived_ns, int64_t peer_received_ns,
                  int64_t peer_sent_ns);

/* The best sample, aged to now_ns (monotonic): its error grows by DP_CLOCK_DRIFT_PPM. false: none. The offset
 * is against our CLOCK_REALTIME, which is realtime_ns at now_ns. */
bool dp_clock_best(const struct dp_clock *clock, int64_t now_ns, int64_t realtime_ns, int64_t *ret_offset_ns,
                   int64_t *ret_error_ns);

#endif
