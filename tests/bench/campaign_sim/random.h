/* A small generator of pseudo-random numbers (splitmix64). Each dimension of a case has one of its own, so
 * that overriding one leaves the others as they were. */
#ifndef DROPPOINT_TESTS_BENCH_CAMPAIGN_RANDOM_H
#define DROPPOINT_TESTS_BENCH_CAMPAIGN_RANDOM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static inline struct rng rng_of(uint64_t seed, uint64_t purpose)
{
    return (struct rng){mix(seed + 0x9e3779b97f4a7c15ULL) ^ mix(purpose * 0x632be59bd9b4e019ULL + 1)};
}

static inline uint64_t rng_next(struct rng *r)
{
    return mix(r->state += 0x9e3779b97f4a7c15ULL);
}

/* 0 to below - 1 */
static inline uint64_t rng_below(struct rng *r, uint64_t below)
{
    return below ? rng_next(r) % below : 0;
}

static inline int64_t rng_between(struct rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)rng_below(r, (uint64_t)(high - low) + 1);
}

static inline double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

static inline bool rng_chance(struct rng *r, double chance)
{
    return rng_unit(r) < chance;
}

/* Evenly on a logarithmic scale. */
static inline double rng_log(struct rng *r, double low, double high)
{
    return exp(log(low) + rng_unit(r) * (log(high) - log(low)));
}

#endif
