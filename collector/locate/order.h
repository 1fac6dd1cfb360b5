/* The order of the vantage points, found from the captures alone: on a packet's way the TTL goes down and
 * time goes on. Clocks may be off by any constant: times decide only with packets of both directions, where
 * the offset cancels out, and only where these overlap in time. Steady drift makes a pair unknown rather than
 * wrong. Clocks that are set while capturing are not allowed for. Free of I/O. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_ORDER_H
#define DROPPOINT_COLLECTOR_LOCATE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define ORDER_MAX 64 /* vantage points */

enum order_reason {
    ORDER_UNKNOWN,  /* nothing tells which of the two comes first */
    ORDER_TTL,      /* routers between them */
    ORDER_DELAY,    /* by times of both directions */
    ORDER_BETWEEN,  /* follows from points between them */
    ORDER_CONFLICT, /* packets speak for both orders */
};

/* One packet as one vantage point saw it: time by its own clock in ns since the epoch, TTL or hop limit. */
struct order_sighting {
    uint32_t vantage;
    int64_t ts_ns;
    uint8_t ttl;
};

struct order;

/* count: 1 to ORDER_MAX. The caller frees. DP_ERR_RANGE, DP_ERR_NOMEM. */
int order_new(size_t count, struct order **ret_order) DP_MUST_CHECK;
void order_free(struct order *order); /* NULL is fine */

/* One and the same packet at several points. half: 0 from the clients' end of the path, 1 towards it, whoever
 * opened the connection. DP_ERR_RANGE for a vantage point or half that does not exist. */
int order_packet(struct order *order, int half, const struct order_sighting *seen,
                 size_t count) DP_MUST_CHECK;

struct order_result {
    uint32_t at[ORDER_MAX];              /* vantage points from the clients' end on */
    enum order_reason reason[ORDER_MAX]; /* [i]: why at[i] comes before at[i + 1] */
    bool certain;                        /* every pair of neighbours is ordered, without conflict */
};

/* Points that cannot be ordered keep the order in which they were given, as far as the others allow. */
void order_find(const struct order *order, struct order_result *ret_result);

#endif
