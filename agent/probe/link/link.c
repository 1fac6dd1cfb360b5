/* `link`: state, speed, MTU and counters of this host's interfaces, and how the counters grow. */
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/kinds.h"
#include "agent/probe/link/judge.h"
#include "agent/probe/link/links.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/target.h"

struct link_probe {
    struct dp_probe *probe;
    struct dp_timer *timer;
    struct link_list before;
    const char *name; /* NULL: all */
};

static json_t *counters_json(const struct rtnl_link_stats64 *s, const struct rtnl_link_stats64 *from)
{
    static const struct rtnl_link_stats64 zero;
    const struct rtnl_link_stats64 *b = from ? from : &zero;
#define GROWN(field) (json_int_t)(s->field - b->field)
    return json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "rx",
                     "packets", GROWN(rx_packets), "bytes", GROWN(rx_bytes), "errors", GROWN(rx_errors),
                     "dropped", GROWN(rx_dropped), "overruns",
                     GROWN(rx_over_errors) + GROWN(rx_fifo_errors) + GROWN(rx_missed_errors), "frame",
                     GROWN(rx_frame_errors) + GROWN(rx_crc_errors), "multicast", GROWN(multicast), "tx",
                     "packets", GROWN(tx_packets), "bytes", GROWN(tx_bytes), "errors", GROWN(tx_errors),
                     "dropped", GROWN(tx_dropped), "overruns", GROWN(tx_fifo_errors), "carrier",
                     GROWN(tx_carrier_errors), "collisions", GROWN(collisions));
#undef GROWN
}

static json_t *addresses_json(const char *name)
{
    json_t *list = json_array();
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return list;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        char text[DP_ADDRESS_TEXT];
        if (!a->ifa_addr || strcmp(a->ifa_name, name) != 0 ||
            (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
            continue;
        union dp_address address;
        memset(&address, 0, sizeof address);
        memcpy(&address, a->ifa_addr,
               a->ifa_addr->sa_family == AF_INET ? sizeof address.v4 : sizeof address.v6);
        (void)json_array_append_new(list, json_string(dp_address_text(&address, text)));
    }
    freeifaddrs(all);
    return list;
}

static json_t *link_json(const struct link_info *before, const struct link_info *after, enum link_class class,
                         const char *why)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:o, s:s, s:s}", "name", after->name, "class",
                             link_class_name(class), "why", why, "up", (after->flags & IFF_UP) != 0,
                             "carrier", after->has_carrier, "mtu", (int)after->mtu, "addresses",
                             addresses_json(after->name), "kind", after->kind, "peer", after->lower_name);
    if (!json)
        return NULL;
    (void)json_object_set_new(json, "speed_mbps",
                              after->speed_mbps >= 0 ? json_integer(after->speed_mbps) : json_null());
    (void)json_object_set_new(json, "duplex",
                              after->duplex < 0 ? json_null() : json_string(after->duplex ? "full" : "half"));
    (void)json_object_set_new(json, "peer_mtu",
                              after->lower_mtu ? json_integer(after->lower_mtu) : json_null());
    (void)json_object_set_new(json, "counters", counters_json(&after->stats, NULL));
    (void)json_object_set_new(json, "growth", counters_json(&after->stats, &before->stats));
    return json;
}

static void judge_all(struct link_probe *link, const struct link_list *now)
{
    json_t *interfaces = json_array();
    enum link_class worst = LINK_OK;
    char worst_why[300] = "", why[300];
    const char *worst_step = "", *step;
    size_t up = 0;
    for (size_t i = 0; i < now->count; i++) {
        const struct link_info *after = &now->links[i], *before = links_find(&link->before, after->index);
        if (!before || (link->name && strcmp(after->name, link->name) != 0))
            continue;
        enum link_class class =
            link_judge(before, after, links_find(now, after->master), link->name != NULL, why, &step);
        up += (after->flags & IFF_UP) && !after->loopback;
        (void)json_array_append_new(interfaces, link_json(before, after, class, why));
        if (class > worst || !worst_why[0]) {
            worst = class;
            (void)snprintf(worst_why, sizeof worst_why, "%s", why);
            worst_step = step;
        }
    }
    (void)json_object_set_new(dp_probe_data(link->probe), "interfaces", interfaces);
    if (worst == LINK_OK && !link->name)
        dp_probe_finish(link->probe, "ok", "",
                        "all %zu interfaces that are switched on have a carrier and no new errors", up);
    else
        dp_probe_finish(link->probe, link_class_name(worst), worst_step, "%s%s", worst_why,
                        worst == LINK_OK ? ", with a carrier or without need of one, and no new errors" : "");
}

static void on_period(void *context)
{
    struct link_probe *link = context;
    struct link_list now;
    struct dp_diag diag = {""};
    int rc = links_read(&now, &diag);
    if (rc) {
        dp_probe_fail(link->probe, rc, "%s", dp_reason(&diag, rc));
        return;
    }
    const struct link_info *gone = NULL;
    for (size_t i = 0; i < link->before.count && !gone; i++)
        if (!links_find(&now, link->before.links[i].index) &&
            (!link->name || strcmp(link->before.links[i].name, link->name) == 0))
            gone = &link->before.links[i];
    if (gone && link->name) {
        (void)json_object_set_new(dp_probe_data(link->probe), "interfaces", json_array());
        dp_probe_finish(link->probe, "down",
                        "Find out who took it away: the log of the network manager, 'dmesg'.",
                        "%s vanished during the measurement", gone->name);
    } else {
        judge_all(link, &now);
    }
    links_free(&now);
}

static void link_stop(void *state)
{
    struct link_probe *link = state;
    dp_timer_drop(link->timer);
    links_free(&link->before);
    free(link);
}

static int link_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    const char *name = dp_request_target(request);
    struct link_probe *link = calloc(1, sizeof *link);
    if (!link)
        return DP_ERR_NOMEM;
    link->probe = probe;
    link->name = name[0] ? name : dp_request_text(request, "--interface");
    int rc = links_read(&link->before, diag);
    if (!rc && link->name && !links_find_name(&link->before, link->name))
        rc = dp_fail(diag, DP_ERR_INTERFACE, "there is no interface %.60s on this host", link->name);
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_period, link, &link->timer);
    if (rc) {
        link_stop(link);
        return rc;
    }
    uint64_t period = dp_request_ms(request, "--period");
    dp_probe_allow(probe, period + 5000);
    dp_timer_start(link->timer, period, 0);
    *ret_state = link;
    return 0;
}

static void link_expire(void *state)
{
    on_period(state);
}

static void print_counters(FILE *out, const char *direction, const json_t *counters, const json_t *growth)
{
    const char *key;
    json_t *value;
    fprintf(out, "  %s", direction);
    json_object_foreach((json_t *)(uintptr_t)json_object_get(counters, direction), key, value)
    {
        json_int_t grown = json_integer_value(json_object_get(json_object_get(growth, direction), key));
        fprintf(out, " %s %lld", key, json_integer_value(value));
        if (grown)
            fprintf(out, " (+%lld)", grown);
    }
    fputs("\n", out);
}

static void link_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *link;
    json_array_foreach(json_object_get(data, "interfaces"), i, link)
    {
        const char *duplex = json_string_value(json_object_get(link, "duplex"));
        const json_t *speed = json_object_get(link, "speed_mbps");
        fprintf(out, "%-15s %-7s %s, %s, mtu %lld", json_string_value(json_object_get(link, "name")),
                json_string_value(json_object_get(link, "class")),
                json_is_true(json_object_get(link, "up")) ? "up" : "off",
                json_is_true(json_object_get(link, "carrier")) ? "carrier" : "no carrier",
                json_integer_value(json_object_get(link, "mtu")));
        if (json_is_integer(speed))
            fprintf(out, ", %lld Mbit/s", json_integer_value(speed));
        fprintf(out, "%s%s\n", duplex ? ", duplex " : "", duplex ? duplex : "");
        print_counters(out, "rx", json_object_get(link, "counters"), json_object_get(link, "growth"));
        print_counters(out, "tx", json_object_get(link, "counters"), json_object_get(link, "growth"));
    }
}

static const struct dp_probe_option options[] = {
    {"--period", DP_OPT_SECONDS, "SECONDS", "2", 10, 3600000, NULL, false,
     "over which the growth of counters is measured"},
};

const struct dp_probe_kind dp_probe_link = {
    .name = "link",
    .about = "State, speed, duplex, MTU and error counters of this host's interfaces, and how they grow.",
    .target_text = "[INTERFACE]",
    .target = DP_TARGET_OPTIONAL,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 10000,
    .examples = "  droppoint probe link --local\n"
                "  droppoint probe link --local --period 30 eth0\n",
    .start = link_start,
    .expire = link_expire,
    .stop = link_stop,
    .print = link_print,
};
