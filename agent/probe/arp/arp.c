/* `arp`: who has which address on this host's own net, whether two claim one, and what changed since the last
 * run. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/arp/net.h"
#include "agent/probe/arp/table.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/handles.h"

#define HOSTS_MAX 4096U /* a /20; more is not swept */
#define AT_ONCE 32
#define TICK_MS 10
#define ROUNDS 2
#define ROUND_WAIT_MS 700

struct arp_probe {
    struct dp_probe *probe;
    struct arp_net net;
    struct arp_table table;
    struct dp_watch *watch;
    struct dp_timer *timer;
    int fd;              /* of AF_PACKET; -1: not permitted */
    int poke;            /* UDP, where there is no AF_PACKET */
    uint32_t next, last; /* addresses of this round */
    unsigned round;
    uint64_t answers, lies;
    bool swept, concluded;
};

static void conclude(struct arp_probe *arp)
{
    if (arp->concluded)
        return;
    arp->concluded = true;
    struct dp_diag diag = {""};
    json_t *data = dp_probe_data(arp->probe), *before = arp_memory_load(&arp->net);
    if (arp->fd < 0) // the kernel's own table is all there is
        (void)json_object_set_new(data, "ipv6_neighbours", arp_net_neighbours(&arp->net, &arp->table));
    else
        (void)json_object_set_new(data, "ipv6_neighbours", arp_net_neighbours(&arp->net, NULL));
    if (arp->fd < 0)
        dp_probe_warn(arp->probe);
    struct arp_verdict verdict = arp_judge(&arp->table, arp->net.gateway, before);
    struct in_addr gateway = {htonl(arp->net.gateway)}, prefix = {htonl(arp->net.own & arp->net.mask)};
    char text[INET_ADDRSTRLEN];
    unsigned bits = 0;
    for (uint32_t mask = arp->net.mask; mask; mask <<= 1)
        bits++;
    (void)json_object_set_new(data, "interface", json_string(arp->net.interface));
    (void)json_object_set_new(data, "prefix",
                              json_sprintf("%s/%u", inet_ntop(AF_INET, &prefix, text, sizeof text), bits));
    (void)json_object_set_new(data, "gateway",
                              arp->net.gateway ? json_string(inet_ntop(AF_INET, &gateway, text, sizeof text))
                                               : json_null());
    (void)json_object_set_new(data, "active", json_boolean(arp->fd >= 0));
    (void)json_object_set_new(data, "table", arp_table_json(&arp->table, arp->net.gateway));
    (void)json_object_set_new(data, "shared_macs", arp_shared_json(&arp->table));
    (void)json_object_set_new(data, "duplicates", verdict.duplicates);
    (void)json_object_set_new(data, "changes", verdict.changes);
    (void)json_object_set_new(data, "first_run", json_boolean(before == NULL));
    (void)json_object_set_new(data, "mismatched_senders", json_integer((json_int_t)arp->lies));
    json_decref(before);
    json_t *memory = arp_memory_json(&arp->table);
    int rc = arp_memory_store(&arp->net, memory, &diag);
    json_decref(memory);
    (void)json_object_set_new(data, "remembered", json_boolean(rc == 0));
    dp_probe_finish(
        arp->probe, verdict.class, verdict.next_step, "%s%s%s%s", verdict.summary,
        arp->fd < 0 ? "; without permission to sweep (CAP_NET_RAW) two that claim one address cannot be seen"
                    : "",
        rc ? "; not remembered: " : "", rc ? dp_reason(&diag, rc) : "");
}

static void on_frames(void *context, int events)
{
    struct arp_probe *arp = context;
    (void)events;
    for (int i = 0; i < 256; i++) {
        uint8_t frame[256];
        uint32_t address;
        struct arp_mac mac;
        bool lies;
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(arp->fd, frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (got < 0)
            return;
        if (from.sll_pkttype == PACKET_OUTGOING || !arp_read(frame, (size_t)got, &address, &mac, &lies))
            continue;
        arp->answers++;
        arp->lies += lies;
        if ((address & arp->net.mask) == (arp->net.own & arp->net.mask) &&
            memcmp(&mac, &arp->net.mac, sizeof mac) != 0)
            (void)arp_table_add(&arp->table, address, &mac);
    }
}

static void ask(struct arp_probe *arp, uint32_t address)
{
    uint8_t frame[ARP_FRAME];
    if (address == arp->net.own)
        return;
    if (arp->fd >= 0) {
        struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = arp->net.index, .sll_halen = 6};
        memset(to.sll_addr, 0xff, 6);
        arp_request_write(&arp->net.mac, arp->net.own, address, frame);
        (void)!sendto(arp->fd, frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    } else if (arp->poke >= 0) { // the kernel then asks by itself
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(address)}};
        (void)!sendto(arp->poke, "", 0, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    }
}

static void begin_round(struct arp_probe *arp)
{
    uint32_t first = arp->net.own & arp->net.mask, last = first | ~arp->net.mask;
    bool large = last - first >= HOSTS_MAX;
    if (large) { // only around this host
        first = arp->net.own & ~(HOSTS_MAX - 1);
        last = first | (HOSTS_MAX - 1);
    }
    arp->swept = !large;
    arp->next = last - first > 1 ? first + 1 : first;
    arp->last = last - first > 1 ? last - 1 : last;
    if (arp->net.gateway)
        ask(arp, arp->net.gateway);
}

static void on_tick(void *context)
{
    struct arp_probe *arp = context;
    if (arp->concluded)
        return;
    if (arp->round == ROUNDS) {
        conclude(arp);
        return;
    }
    for (int i = 0; i < AT_ONCE && arp->next <= arp->last; i++)
        ask(arp, arp->next++);
    if (arp->next <= arp->last) {
        dp_timer_start(arp->timer, TICK_MS, 0);
        return;
    }
    arp->round++;
    if (arp->round < ROUNDS)
        begin_round(arp);
    dp_probe_progress(arp->probe, "%zu neighbours on %s so far", arp->table.count, arp->net.interface);
    dp_timer_start(arp->timer, ROUND_WAIT_MS, 0);
}

static int open_sockets(struct arp_probe *arp, struct dp_diag *diag)
{
    struct sockaddr_ll here = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = arp->net.index};
    arp->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ARP));
    if (arp->fd < 0 && errno != EPERM && errno != EACCES)
        return dp_fail(diag, DP_ERR_IO, "no socket for ARP: %s", strerror(errno));
    if (arp->fd < 0) {
        arp->poke = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return 0;
    }
    if (bind(arp->fd, (struct sockaddr *)&here, sizeof here) != 0)
        return dp_fail(diag, DP_ERR_INTERFACE, "%s: %s", arp->net.interface, strerror(errno));
    return dp_watch_new(dp_probe_loop(arp->probe), arp->fd, UV_READABLE, on_frames, arp, &arp->watch);
}

static void arp_stop(void *state)
{
    struct arp_probe *arp = state;
    dp_watch_drop(arp->watch);
    dp_timer_drop(arp->timer);
    if (arp->fd >= 0)
        (void)close(arp->fd);
    if (arp->poke >= 0)
        (void)close(arp->poke);
    arp_table_free(&arp->table);
    free(arp);
}

static int arp_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    const char *target = dp_request_target(request), *interface = dp_request_text(request, "--interface");
    struct arp_probe *arp = calloc(1, sizeof *arp);
    if (!arp)
        return DP_ERR_NOMEM;
    arp->probe = probe;
    arp->fd = arp->poke = -1;
    int rc = arp_net_find(target[0] ? target : interface ? interface : "", &arp->net, diag);
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_tick, arp, &arp->timer);
    if (!rc)
        rc = open_sockets(arp, diag);
    if (rc) {
        arp_stop(arp);
        return rc;
    }
    begin_round(arp);
    dp_timer_start(arp->timer, 0, 0);
    *ret_state = arp;
    return 0;
}

static void arp_expire(void *state)
{
    conclude(state);
}

static void arp_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "table"), i, entry)
    {
        const char *virtual = json_string_value(json_object_get(entry, "virtual"));
        char *macs = json_dumps(json_object_get(entry, "macs"), JSON_COMPACT);
        fprintf(out, "%-16s %s %s%s\n", json_string_value(json_object_get(entry, "address")),
                macs ? macs : "", virtual ? virtual : "",
                json_is_true(json_object_get(entry, "gateway")) ? " gateway" : "");
        free(macs);
    }
}

const struct dp_probe_kind dp_probe_arp = {
    .name = "arp",
    .about = "Who has which address on this host's own net, whether two claim one, and what changed since "
             "the last run.",
    .target_text = "[INTERFACE|PREFIX]",
    .target = DP_TARGET_OPTIONAL,
    .timeout_ms = 30000,
    .examples = "  droppoint probe arp --local eth0\n"
                "  droppoint probe arp --local 192.0.2.0/24\n",
    .start = arp_start,
    .expire = arp_expire,
    .stop = arp_stop,
    .print = arp_print,
};
