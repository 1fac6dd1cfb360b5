#include "collector/locate/order.h"

#include <stdlib.h>

/* What packets say of the pair a, b (a < b). ahead: time at b less time at a, by half the other way round for
 * packets to the client, so that it holds the delay from a to b plus or minus the offset of the clocks. */
struct pair {
    uint64_t a_first, b_first; /* packets whose TTL says so */
    bool timed[2];
    int64_t least[2], most[2];
    int64_t from[2], to[2]; /* when, by a's clock */
};

struct order {
    size_t count;
    struct pair pairs[ORDER_MAX][ORDER_MAX];
};

int order_new(size_t count, struct order **ret_order)
{
    if (count < 1 || count > ORDER_MAX)
        return DP_ERR_RANGE;
    struct order *order = calloc(1, sizeof *order);
    if (!order)
        return DP_ERR_NOMEM;
    order->count = count;
    *ret_order = order;
    return DP_OK;
}

void order_free(struct order *order)
{
    free(order);
}

static void note_pair(struct pair *pair, int half, const struct order_sighting *a,
                      const struct order_sighting *b)
{
    if (a->ttl != b->ttl) {
        if ((a->ttl > b->ttl) == (half == 0))
            pair->a_first++;
        else
            pair->b_first++;
    }
    int64_t ahead = half == 0 ? b->ts_ns - a->ts_ns : a->ts_ns - b->ts_ns;
    if (!pair->timed[half] || ahead < pair->least[half])
        pair->least[half] = ahead;
    if (!pair->timed[half] || ahead > pair->most[half])
        pair->most[half] = ahead;
    if (!pair->timed[half] || a->ts_ns < pair->from[half])
        pair->from[half] = a->ts_ns;
    if (!pair->timed[half] || a->ts_ns > pair->to[half])
        pair->to[half] = a->ts_ns;
    pair->timed[half] = true;
}

int order_packet(struct order *order, int half, const struct order_sighting *seen, size_t count)
{
    if (half != 0 && half != 1)
        return DP_ERR_RANGE;
    for (size_t i = 0; i < count; i++) {
        if (seen[i].vantage >= order->count)
            return DP_ERR_RANGE;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (seen[i].vantage < seen[j].vantage)
                note_pair(&order->pairs[seen[i].vantage][seen[j].vantage], half, &seen[i], &seen[j]);
        }
    }
    return DP_OK;
}

/* Where one direction was only seen before the other, drift would look like a delay. */
static bool overlap(const struct pair *pair)
{
    return pair->timed[0] && pair->timed[1] && pair->from[0] <= pair->to[1] && pair->from[1] <= pair->to[0];
}

/* A packet that was taken for another, or whose TTL a host sets anew, does not outweigh the rest. */
#define ODD_SHARE 20

/* 1: a comes first, -1: b does, 0: not known. Steady drift makes `least` smaller and `most` larger where the
 * directions overlap in time, so it can only hide the order. */
static int judge(const struct pair *pair, enum order_reason *ret_reason)
{
    uint64_t a = pair->a_first, b = pair->b_first;
    int ttl = (a > ODD_SHARE * b) - (b > ODD_SHARE * a);
    int delay = 0;
    if (overlap(pair)) {
        if (pair->least[0] + pair->least[1] > 0)
            delay = 1;
        else if (pair->most[0] + pair->most[1] < 0)
            delay = -1;
    }
    bool torn = ttl == 0 && (a || b);
    if (torn || ttl * delay < 0) {
        *ret_reason = ORDER_CONFLICT;
        return 0;
    }
    *ret_reason = ttl ? ORDER_TTL : delay ? ORDER_DELAY : ORDER_UNKNOWN;
    return ttl ? ttl : delay;
}

struct relation {
    bool before[ORDER_MAX][ORDER_MAX];
    enum order_reason reason[ORDER_MAX][ORDER_MAX];
};

static void relate(const struct order *order, struct relation *relation)
{
    size_t n = order->count;
    for (size_t a = 0; a < n; a++) {
        for (size_t b = a + 1; b < n; b++) {
            enum order_reason reason;
            int first = judge(&order->pairs[a][b], &reason);
            relation->before[a][b] = first > 0;
            relation->before[b][a] = first < 0;
            relation->reason[a][b] = relation->reason[b][a] = reason;
        }
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t a = 0; a < n; a++) {
            for (size_t b = 0; b < n; b++) {
                if (relation->before[a][b] || !relation->before[a][k] || !relation->before[k][b])
                    continue;
                relation->before[a][b] = true;
                if (relation->reason[a][b] == ORDER_UNKNOWN)
                    relation->reason[a][b] = ORDER_BETWEEN;
            }
        }
    }
}

/* The first point left that none of the others left must precede; in a circle the first one left. */
static size_t next_point(const struct relation *relation, const bool *placed, size_t n)
{
    size_t first_left = n;
    for (size_t v = 0; v < n; v++) {
        if (placed[v])
            continue;
        if (first_left == n)
            first_left = v;
        bool preceded = false;
        for (size_t u = 0; u < n && !preceded; u++)
            preceded = !placed[u] && u != v && relation->before[u][v];
        if (!preceded)
            return v;
    }
    return first_left;
}

void order_find(const struct order *order, struct order_result *ret_result)
{
    struct relation relation = {0};
    bool placed[ORDER_MAX] = {false};
    *ret_result = (struct order_result){.certain = true};
    relate(order, &relation);
    for (size_t i = 0; i < order->count; i++) {
        size_t v = next_point(&relation, placed, order->count);
        placed[v] = true;
        ret_result->at[i] = (uint32_t)v;
        if (i == 0)
            continue;
        uint32_t near = ret_result->at[i - 1];
        enum order_reason reason = relation.reason[near][v];
        if (relation.before[v][near])
            reason = ORDER_CONFLICT;
        ret_result->reason[i - 1] = reason;
        if (!relation.before[near][v] || reason == ORDER_CONFLICT)
            ret_result->certain = false;
    }
}
