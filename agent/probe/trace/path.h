/* What the answers of all hops come to. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TRACE_PATH_H
#define DROPPOINT_AGENT_PROBE_TRACE_PATH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/probe/net/dial.h"
#include "agent/probe/trace/labels.h"

#define TRACE_HOPS_MAX 30
#define TRACE_ADDRESSES_MAX 8 /* of one hop: routes that change, or load balancing by more than the flow */
#define TRACE_ROUNDS_MAX 1000

struct trace_address {
    char text[DP_ADDRESS_TEXT];
    struct trace_label labels[TRACE_LABELS_MAX];
    size_t label_count;
};

struct trace_hop {
    struct trace_address addresses[TRACE_ADDRESSES_MAX];
    size_t address_count;
    unsigned sent, received;
    double *rtts;        /* in the order of sending; room for all rounds */
    bool target;         /* the target itself answered at this distance */
    struct dp_icmp icmp; /* present: somebody said unreachable here */
    uint32_t mtu;        /* told here; 0: not */
};

struct trace_path {
    struct trace_hop hops[TRACE_HOPS_MAX + 1]; /* by distance, from 1 */
    int target_hop;                            /* least distance at which the target answered; 0: never */
};

/* One answer; from NULL: the target. */
void trace_path_take(struct trace_path *path, int ttl, const char *from, double rtt_ms, bool target,
                     const struct dp_icmp *unreachable);

/* The last distance from which anything came; 0: none. */
int trace_path_last(const struct trace_path *path);
/* "reached", "unreachable", "stopped". *ret_stops_after: hop, 0 where not even the first one answers, -1
 * where it is reached. */
const char *trace_path_class(const struct trace_path *path, int *ret_stops_after);
/* What was said where the target was never reached; NULL: nothing. It is said by the hop trace_path_last. */
const struct dp_icmp *trace_path_unreachable(const struct trace_path *path);
/* Loss that the hop shows and the ones behind it, up to the last, show as well; the rest is a router that
 * does not care to answer each time. */
double trace_path_carried_loss(const struct trace_path *path, int ttl);
/* `hops` of the document. A new reference. */
json_t *trace_path_json(const struct trace_path *path);

#endif
