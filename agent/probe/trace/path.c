#include "agent/probe/trace/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/ping/stats.h"

static void add_address(struct trace_hop *hop, const char *from)
{
    for (size_t i = 0; i < hop->address_count; i++)
        if (strcmp(hop->addresses[i].text, from) == 0)
            return;
    if (hop->address_count < TRACE_ADDRESSES_MAX)
        (void)snprintf(hop->addresses[hop->address_count++].text, DP_ADDRESS_TEXT, "%s", from);
}

void trace_path_take(struct trace_path *path, int ttl, const char *from, double rtt_ms, bool target,
                     const struct dp_icmp *unreachable)
{
    struct trace_hop *hop = &path->hops[ttl];
    add_address(hop, from);
    if (hop->rtts && hop->received < hop->sent)
        hop->rtts[hop->received++] = rtt_ms;
    if (target) {
        hop->target = true;
        if (!path->target_hop || ttl < path->target_hop)
            path->target_hop = ttl;
    }
    if (unreachable)
        hop->icmp = *unreachable;
}

/* The nearest distance at which somebody said unreachable; 0: none. */
static int unreachable_at(const struct trace_path *path)
{
    for (int ttl = 1; ttl <= TRACE_HOPS_MAX; ttl++)
        if (path->hops[ttl].icmp.present)
            return ttl;
    return 0;
}

/* A router says unreachable of packets that live long enough to be sent on; of those that die at it, it says
 * that they expired. So its own distance is the least at which it was heard. */
static int distance_of(const struct trace_path *path, int ttl)
{
    const char *from = path->hops[ttl].icmp.from;
    for (int near = 1; near < ttl; near++)
        for (size_t i = 0; i < path->hops[near].address_count; i++)
            if (strcmp(path->hops[near].addresses[i].text, from) == 0)
                return near;
    return ttl;
}

int trace_path_last(const struct trace_path *path)
{
    int unreachable = unreachable_at(path), last = 0;
    if (path->target_hop)
        return path->target_hop;
    if (unreachable)
        return distance_of(path, unreachable);
    for (int ttl = 1; ttl <= TRACE_HOPS_MAX; ttl++)
        if (path->hops[ttl].received)
            last = ttl;
    return last;
}

const struct dp_icmp *trace_path_unreachable(const struct trace_path *path)
{
    int ttl = unreachable_at(path);
    return ttl && !path->target_hop ? &path->hops[ttl].icmp : NULL;
}

const char *trace_path_class(const struct trace_path *path, int *ret_stops_after)
{
    *ret_stops_after = path->target_hop ? -1 : trace_path_last(path);
    return path->target_hop ? "reached" : unreachable_at(path) ? "unreachable" : "stopped";
}

static double loss(const struct trace_hop *hop)
{
    return hop->sent ? 1 - (double)hop->received / hop->sent : 0;
}

double trace_path_carried_loss(const struct trace_path *path, int ttl)
{
    int last = trace_path_last(path);
    double least = loss(&path->hops[ttl]);
    for (int behind = ttl + 1; behind <= last; behind++)
        if (path->hops[behind].received && loss(&path->hops[behind]) < least)
            least = loss(&path->hops[behind]);
    return path->hops[ttl].received || ttl == last ? least : 0;
}

static json_t *labels_json(const struct trace_hop *hop)
{
    json_t *list = json_array();
    for (size_t a = 0; a < hop->address_count; a++)
        for (size_t i = 0; i < hop->addresses[a].label_count; i++) {
            const struct trace_label *l = &hop->addresses[a].labels[i];
            (void)json_array_append_new(list, json_pack("{s:s, s:I, s:i, s:b, s:i}", "address",
                                                        hop->addresses[a].text, "label", (json_int_t)l->label,
                                                        "traffic_class", l->traffic_class, "bottom",
                                                        l->bottom, "ttl", l->ttl));
        }
    return list;
}

static json_t *hop_json(const struct trace_path *path, int ttl)
{
    const struct trace_hop *hop = &path->hops[ttl];
    json_t *addresses = json_array();
    for (size_t i = 0; i < hop->address_count; i++)
        (void)json_array_append_new(addresses, json_string(hop->addresses[i].text));
    json_t *json =
        json_pack("{s:i, s:o, s:i, s:i, s:f, s:f, s:b, s:o}", "hop", ttl, "addresses", addresses, "sent",
                  (int)hop->sent, "received", (int)hop->received, "loss", loss(hop), "carried_loss",
                  trace_path_carried_loss(path, ttl), "target", hop->target, "mpls", labels_json(hop));
    if (!json)
        return NULL;
    double *sorted = hop->received ? malloc(hop->received * sizeof *sorted) : NULL;
    if (sorted) {
        memcpy(sorted, hop->rtts, hop->received * sizeof *sorted);
        struct dp_rtt_stats s = dp_rtt_stats(sorted, hop->received);
        (void)json_object_set_new(json, "rtt_ms",
                                  json_pack("{s:f, s:f, s:f, s:f, s:f}", "min", s.min, "avg", s.avg, "max",
                                            s.max, "jitter", s.jitter, "last", hop->rtts[hop->received - 1]));
        free(sorted);
    } else {
        (void)json_object_set_new(json, "rtt_ms", json_null());
    }
    (void)json_object_set_new(json, "mtu", hop->mtu ? json_integer(hop->mtu) : json_null());
    const struct dp_icmp *said = trace_path_unreachable(path);
    if (said && ttl == trace_path_last(path))
        dp_icmp_json(said, json);
    else
        (void)json_object_set_new(json, "icmp_code", json_null());
    return json;
}

json_t *trace_path_json(const struct trace_path *path)
{
    json_t *hops = json_array();
    for (int ttl = 1; ttl <= trace_path_last(path); ttl++)
        (void)json_array_append_new(hops, hop_json(path, ttl));
    return hops;
}
