/* What do the lost packets of one segment and direction have in common that the others have not? The first
 * pattern of the contract's table that fits is the answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"

struct evidence {
    const struct dp_locate *l;
    const struct side *side;
    uint32_t segment;
    enum dp_direction direction;
    int64_t first_ns, last_ns; /* of the losses */
    uint64_t lost, passed;     /* packets; passed: in all */
    uint64_t passed_during;    /* between first and last loss */
    uint32_t largest_during;   /* IP length that passed then */
    uint32_t largest_ever;
    uint32_t smallest_lost;
};

static const struct course *course_of(const struct evidence *e, const struct flow *flow, int *ret_half)
{
    int half = half_forward(flow, 0) == (e->direction == DP_FORWARD) ? 0 : 1;
    if (ret_half)
        *ret_half = half;
    return &flow->half[half].course[e->segment];
}

static void gather(struct evidence *e)
{
    const struct side *s = e->side;
    e->first_ns = INT64_MAX;
    e->last_ns = INT64_MIN;
    e->smallest_lost = UINT32_MAX;
    e->lost = s->loss_count;
    for (size_t i = 0; i < s->loss_count; i++) {
        const struct loss_event *x = &s->losses[i];
        if (x->t_ns < e->first_ns)
            e->first_ns = x->t_ns;
        if (x->t_ns > e->last_ns)
            e->last_ns = x->t_ns;
        if (x->ip_len < e->smallest_lost)
            e->smallest_lost = x->ip_len;
    }
    for (size_t i = 0; i < s->slice_count; i++) {
        const struct slice *slice = &s->slices[i];
        int64_t t = s->slice_origin + (int64_t)i * s->slice_width;
        e->passed += slice->passed;
        if (slice->largest_passed > e->largest_ever)
            e->largest_ever = slice->largest_passed;
        if (t + s->slice_width <= e->first_ns || t > e->last_ns)
            continue;
        e->passed_during += slice->passed;
        if (slice->largest_passed > e->largest_during)
            e->largest_during = slice->largest_passed;
    }
}

/* The chance that `lost` packets drawn at random from all are exactly the largest ones. */
static double chance_of_largest(uint64_t lost, uint64_t passed)
{
    double log_chance =
        lgamma((double)lost + 1) + lgamma((double)passed + 1) - lgamma((double)(lost + passed) + 1);
    return exp(log_chance);
}

/* ---- handshake ---- */

static bool is_handshake(const struct evidence *e, struct pattern_result *result)
{
    uint64_t opening = 0;
    for (size_t i = 0; i < e->side->loss_count; i++) {
        const struct loss_event *x = &e->side->losses[i];
        const struct flow *flow = e->l->flows[x->flow];
        if ((x->tcp_flags & DP_TCP_SYN) && !flow->established)
            opening++;
    }
    if (opening == 0 || opening < e->lost - e->lost / 20)
        return false;
    result->pattern = DP_PATTERN_HANDSHAKE;
    result->confidence = opening >= 3 ? 0.99 : 0.9;
    return true;
}

/* ---- size ---- */

static bool is_size(const struct evidence *e, struct pattern_result *result)
{
    /* A rule that was set in mid-capture lets large packets through before: then what passed meanwhile
     * counts. */
    uint32_t over = e->largest_ever;
    uint64_t passed = e->passed;
    if (e->smallest_lost <= over && e->passed_during >= 8 && e->lost >= 8) {
        over = e->largest_during;
        passed = e->passed_during;
    }
    if (over == 0 || passed == 0 || e->smallest_lost <= over)
        return false;
    double chance = chance_of_largest(e->lost, passed);
    /* Something must have passed after the losses began, or it may just as well be that nothing passes any
     * more. */
    if (chance > 0.05 || (e->passed_during == 0 && e->side->loss_count < 3))
        return false;
    result->pattern = DP_PATTERN_SIZE;
    result->size_over = over;
    result->confidence = 1 - fmin(chance, 0.5);
    return true;
}

/* ---- flows, all ---- */

/* From its first loss on the flow passed nothing, or nearly nothing. */
static bool flow_dead(const struct course *c)
{
    return c->lost > 0 && c->passed_after_loss * 20 <= c->lost;
}

static bool is_flows(const struct evidence *e, struct pattern_result *result)
{
    uint64_t lost_in_dead = 0, dead = 0, alive = 0, alive_packets = 0;
    for (size_t i = 0; i < e->l->flow_count; i++) {
        const struct course *c = course_of(e, e->l->flows[i], NULL);
        if (flow_dead(c) && c->lost >= 2) {
            dead++;
            lost_in_dead += c->lost;
        } else if (c->last_pass_ns > e->first_ns && c->entered > c->lost) {
            alive++;
            alive_packets += c->entered - c->lost;
        }
    }
    if (dead == 0 || alive == 0 || lost_in_dead * 20 < e->lost * 19)
        return false;
    /* Others must really pass at the time at which the dead ones lose. */
    if (e->passed_during < 5 || alive_packets < 5)
        return false;
    result->pattern = DP_PATTERN_FLOWS;
    result->confidence = lost_in_dead >= 5 ? 0.98 : 0.8;
    return true;
}

static bool is_all(const struct evidence *e, struct pattern_result *result)
{
    uint64_t after = 0;
    int64_t last_pass = INT64_MIN;
    for (size_t i = 0; i < e->l->flow_count; i++) {
        const struct course *c = course_of(e, e->l->flows[i], NULL);
        if (c->last_pass_ns > last_pass && c->last_pass_ns != 0)
            last_pass = c->last_pass_ns;
    }
    for (size_t i = 0; i < e->side->loss_count; i++)
        after += e->side->losses[i].t_ns >= last_pass;
    if (after < e->lost - e->lost / 20 || after < 3)
        return false;
    result->pattern = DP_PATTERN_ALL;
    result->confidence = after >= 5 ? 0.98 : 0.85;
    return true;
}

/* ---- burst, rate, random: by the order of the packets in time ---- */

/* Losses that follow each other with nothing passing in between form a run. Slices of time tell: a run goes
 * on as long as the slices between two losses let nothing pass. */
struct runs {
    uint64_t count,
        in_long; /* runs; losses in runs that last at least 3 slices or 5 losses with nothing passing */
    uint64_t passed_inside;
};

static bool runs_of(const struct evidence *e, struct runs *ret_runs)
{
    const struct side *s = e->side;
    struct runs runs = {0};
    uint64_t length = 0, slices = 0;
    for (size_t i = 0; i <= s->slice_count; i++) {
        const struct slice *slice = i < s->slice_count ? &s->slices[i] : NULL;
        /* A slice at the edge of an outage may hold both; then more of it is lost than passes. */
        bool dark = slice && slice->lost > 0 && slice->passed <= slice->lost / 2;
        bool silent = slice && slice->lost == 0 && slice->passed == 0;
        if (dark) {
            length += slice->lost;
            slices++;
            runs.passed_inside += slice->passed;
        } else if (!silent && length) {
            runs.count++;
            if (length >= 5 || (slices >= 3 && length >= 3))
                runs.in_long += length;
            length = slices = 0;
        }
    }
    *ret_runs = runs;
    return runs.count > 0;
}

static bool is_burst(const struct evidence *e, struct pattern_result *result)
{
    struct runs runs;
    if (e->lost < 3 || !runs_of(e, &runs))
        return false;
    if (runs.in_long * 10 < e->lost * 9 || runs.passed_inside * 5 > e->lost)
        return false;
    /* At random, losses would be strewn over as many slices as there are losses. */
    if (runs.count * 4 > e->lost)
        return false;
    result->pattern = DP_PATTERN_BURST;
    result->confidence = runs.count * 8 <= e->lost ? 0.95 : 0.8;
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct passage *x = a, *y = b;
    return x->t_ns < y->t_ns ? -1 : x->t_ns > y->t_ns;
}

struct load {
    double level;
    bool lost;
};

/* Fills a bucket with what passed, drained at `rate` bytes per second: what a policer or a queue does. */
static void fill_bucket(const struct passage *passages, size_t n, double rate, struct load *loads)
{
    double level = 0;
    for (size_t i = 0; i < n; i++) {
        if (i)
            level -= rate * (double)(passages[i].t_ns - passages[i - 1].t_ns) / 1e9;
        if (level < 0)
            level = 0;
        loads[i] = (struct load){level + passages[i].bytes, passages[i].lost};
        if (!passages[i].lost)
            level += passages[i].bytes;
    }
}

#define LEVELS 2048

/* Mann-Whitney on levels in LEVELS steps: the share of pairs (lost, passed) in which the lost packet found
 * the fuller bucket. 0.5: no difference. */
static double fuller(const struct load *loads, size_t n, double *ret_deviations)
{
    uint32_t lost_at[LEVELS] = {0}, passed_at[LEVELS] = {0};
    double most = 0, lost = 0, passed = 0, wins = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, loads[i].level);
    for (size_t i = 0; i < n; i++) {
        size_t level = (size_t)(loads[i].level / (most + 1) * LEVELS);
        if (loads[i].lost)
            lost_at[level]++;
        else
            passed_at[level]++;
    }
    for (size_t i = 0; i < LEVELS; i++) {
        wins += lost_at[i] * (passed + passed_at[i] / 2.0);
        lost += lost_at[i];
        passed += passed_at[i];
    }
    *ret_deviations = 0;
    if (lost == 0 || passed == 0)
        return 0.5;
    double share = wins / (lost * passed);
    *ret_deviations = (share - 0.5) / sqrt((lost + passed + 1) / (12 * lost * passed));
    return share;
}

#define RATES 48
#define RATE_PACKETS 20000 /* enough to judge by */

struct rate_search {
    const struct passage *passages;
    size_t n;
    struct load *loads; /* scratch */
    double best, rate, deviations;
};

static void try_rate(struct rate_search *r, double rate)
{
    double z;
    fill_bucket(r->passages, r->n, rate, r->loads);
    double share = fuller(r->loads, r->n, &z);
    if (share <= r->best)
        return;
    r->best = share;
    r->rate = rate;
    r->deviations = z;
}

/* Where nearly all is too much, a bucket's level tells only at very nearly its own rate. */
static void refine(struct rate_search *r)
{
    for (double step = 0.04; step > 0.002; step /= 2) {
        double around = r->rate;
        for (int k = -3; k <= 3; k++)
            try_rate(r, around * (1 + step * k));
    }
}

/* What passed in a second, of what was sent from the first loss to the last. */
static double passing_rate(const struct passage *p, size_t n)
{
    size_t first = 0, last = n;
    while (first < n && !p[first].lost)
        first++;
    while (last > first && !p[last - 1].lost)
        last--;
    double bytes = 0;
    for (size_t i = first; i < last; i++)
        bytes += p[i].lost ? 0 : p[i].bytes;
    double seconds = last > first ? (double)(p[last - 1].t_ns - p[first].t_ns) / 1e9 : 0;
    return seconds > 0 ? bytes / seconds : 0;
}

/* Whether there is a rate for which the losses fall where a bucket that drains at this rate is full. */
static bool is_rate(const struct evidence *e, struct pattern_result *result)
{
    struct passage *passages = e->side->passages;
    size_t n = e->side->passage_count;
    if (e->lost < 10 || n < 20)
        return false;
    qsort(passages, n, sizeof *passages, by_time);
    if (n > RATE_PACKETS)
        n = RATE_PACKETS;
    struct rate_search r = {.passages = passages, .n = n, .loads = malloc(n * sizeof *r.loads)};
    if (!r.loads)
        return false;
    double seconds = (double)(passages[n - 1].t_ns - passages[0].t_ns) / 1e9, bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += passages[i].lost ? 0 : passages[i].bytes;
    double means[] = {seconds > 0 ? bytes / seconds : 0, passing_rate(passages, n)};
    for (size_t m = 0; m < 2; m++) {
        for (int i = 0; i < RATES && means[m] > 0; i++)
            try_rate(&r, means[m] * pow(2, (i - 12) / 8.0));
    }
    refine(&r);
    /* A super-packet is cut into many, so it is lost more often whatever the cause: its size alone must not
     * explain it, or leave far more unexplained. */
    double z, by_size_alone = 0;
    fill_bucket(passages, n, 1e18, r.loads);
    by_size_alone = fuller(r.loads, n, &z);
    free(r.loads);
    bool better = r.best >= by_size_alone + 0.1 || (1 - r.best) * 3 <= 1 - by_size_alone;
    if (r.best < 0.75 || r.deviations < 6 || !better)
        return false;
    result->pattern = DP_PATTERN_RATE;
    result->confidence = r.best > 0.9 ? 0.97 : 0.85;
    return true;
}

struct pattern_result pattern_decide(const struct dp_locate *l, uint32_t segment, enum dp_direction direction)
{
    struct evidence e = {
        .l = l, .side = &l->segments[segment].side[direction], .segment = segment, .direction = direction};
    struct pattern_result result = {DP_PATTERN_RANDOM, 0, 0.9};
    gather(&e);
    static bool (*const tests[])(const struct evidence *, struct pattern_result *) = {
        is_handshake, is_size, is_flows, is_all, is_burst, is_rate};
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (tests[i](&e, &result))
            return result;
    if (e.lost < 3)
        result.confidence = 0.5; /* too few to tell a pattern */
    return result;
}
