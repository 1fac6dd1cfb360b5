/* `firewall`: what this host's own packet filter does with traffic for a target: which rule passes or drops
 * it, and whether it is sent elsewhere. */
#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/firewall/rules.h"
#include "agent/probe/firewall/trace.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"

#define EVENTS_MAX 500
#define TRY_MS 4000
#define SETTLE_MS 300 /* for the last events */
#define BUFFER 16384

struct firewall_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_dial *dial;
    struct dp_timer *timer;
    struct dp_watch *watch;
    struct fw_rules *rules;
    struct mnl_socket *traces;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    json_t *before, *steps;
    struct fw_event end; /* the event that decided: the first drop, else the last acceptance */
    bool ended, dropped, passive, concluded;
    uint64_t events, packets;
    uint32_t last_id;
    struct fw_connection connection;
    bool tracked;
    char outcome[64];
};

/* --- connection tracking --- */

static int take_connection(const struct nlmsghdr *message, void *data)
{
    struct firewall_probe *fw = data;
    struct fw_connection c;
    if (fw_connection_parse(mnl_nlmsg_get_payload(message), mnl_nlmsg_get_payload_len(message), &c) ||
        c.original.protocol != IPPROTO_TCP || strcmp(c.original.destination, fw->text) != 0 ||
        c.original.destination_port != fw->target.port)
        return MNL_CB_OK;
    fw->tracked = true;
    fw->connection = c;
    return MNL_CB_OK;
}

static void read_connections(struct firewall_probe *fw)
{
    char buffer[BUFFER];
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        if (socket)
            (void)mnl_socket_close(socket);
        return;
    }
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    message->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = 1;
    struct nfgenmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head);
    head->nfgen_family = (uint8_t)fw->address.any.sa_family;
    int rc = mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ? -1 : MNL_CB_OK;
    while (rc > MNL_CB_STOP) {
        ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
        rc = got < 0 ? -1
                     : mnl_cb_run(buffer, (size_t)got, 1, mnl_socket_get_portid(socket), take_connection, fw);
    }
    (void)mnl_socket_close(socket);
}

static bool is_own_address(const char *text)
{
    struct ifaddrs *all = NULL;
    bool own = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *a = all; a && !own; a = a->ifa_next) {
        union dp_address address;
        char mine[DP_ADDRESS_TEXT];
        if (!a->ifa_addr || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
            continue;
        memset(&address, 0, sizeof address);
        memcpy(&address, a->ifa_addr,
               a->ifa_addr->sa_family == AF_INET ? sizeof address.v4 : sizeof address.v6);
        (void)dp_address_text(&address, mine);
        mine[strcspn(mine, "%")] = '\0';
        own = strcmp(mine, text) == 0;
    }
    freeifaddrs(all);
    return own;
}

/* --- the verdict --- */

static json_t *tuple_json(const struct fw_tuple *t)
{
    return json_pack("{s:s, s:i, s:s, s:i}", "source", t->source, "source_port", t->source_port,
                     "destination", t->destination, "destination_port", t->destination_port);
}

/* Where the target's address, or this side's, is replaced. *ret_to: what the target becomes. */
static json_t *translation_json(const struct firewall_probe *fw, char *ret_to, size_t size)
{
    const struct fw_tuple *o = &fw->connection.original, *r = &fw->connection.reply;
    json_t *list = json_array();
    char from[100], to[100];
    ret_to[0] = '\0';
    if (!fw->tracked)
        return list;
    if (strcmp(o->destination, r->source) != 0 || o->destination_port != r->source_port) {
        (void)snprintf(from, sizeof from, "%s:%u", o->destination, o->destination_port);
        (void)snprintf(to, sizeof to, "%s:%u", r->source, r->source_port);
        (void)snprintf(ret_to, size, "%s", to);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "what", "destination", "from", from, "to", to));
    }
    if (strcmp(o->source, r->destination) != 0 || o->source_port != r->destination_port) {
        (void)snprintf(from, sizeof from, "%s:%u", o->source, o->source_port);
        (void)snprintf(to, sizeof to, "%s:%u", r->destination, r->destination_port);
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:s}", "what", "source", "from", from, "to", to));
    }
    return list;
}

static void describe_rule(const struct fw_event *event, const json_t *rule, char *text, size_t size)
{
    const char *comment = json_string_value(json_object_get(rule, "comment"));
    if (event->step == FW_POLICY)
        (void)snprintf(text, size, "the policy of chain %s in table %s %s", event->chain,
                       fw_family_name(event->family), event->table);
    else
        (void)snprintf(text, size, "rule %llu of chain %s in table %s %s%s%s%s",
                       (unsigned long long)event->handle, event->chain, fw_family_name(event->family),
                       event->table, comment ? " (\"" : "", comment ? comment : "", comment ? "\")" : "");
}

static void judge(struct firewall_probe *fw, const json_t *rule, const char *translated, bool redirected)
{
    char where[400] = "no rule decided", target[100], step[500];
    (void)snprintf(target, sizeof target, "%s port %u", fw->text, fw->target.port);
    if (fw->ended)
        describe_rule(&fw->end, rule, where, sizeof where);
    bool elsewhere =
        translated[0] && is_own_address(fw->connection.reply.source) && !is_own_address(fw->text);
    if (fw->dropped) {
        bool rejects = fw_rule_rejects(rule);
        (void)snprintf(step, sizeof step,
                       "Change it if the traffic is to pass: 'nft -a list chain %s %s %s' shows it.",
                       fw_family_name(fw->end.family), fw->end.table, fw->end.chain);
        dp_probe_finish(fw->probe, rejects ? "rejected" : "dropped", step,
                        "traffic for %s is %s on this host by %s", target,
                        rejects ? "turned away with an answer" : "dropped without a word", where);
    } else if (!fw->events) {
        dp_probe_finish(fw->probe, "not-seen",
                        "Nothing for the target crossed this host's packet filter in the time: is this host "
                        "on the path at all? "
                        "'droppoint probe trace' from the source shows the way.",
                        "no traffic for %s was seen on this host", target);
    } else if (elsewhere || redirected) {
        dp_probe_finish(fw->probe, "proxied",
                        "A process on this host takes the traffic: look at that one ('ss -ltnp').",
                        "traffic for %s is handed over to this host itself%s%s", target,
                        translated[0] ? ", as " : "", translated);
    } else {
        dp_probe_finish(fw->probe, "permitted", "",
                        "this host's packet filter lets traffic for %s pass%s%s; %s", target,
                        translated[0] ? ", as " : "", translated, where);
    }
}

static void conclude(struct firewall_probe *fw)
{
    if (fw->concluded)
        return;
    fw->concluded = true;
    json_t *data = dp_probe_data(fw->probe), *after = fw_rules_list(fw->rules);
    char translated[100];
    read_connections(fw);
    const json_t *rule = fw->ended && fw->end.handle ? fw_rule_find(after, &fw->end) : NULL;
    (void)json_object_set_new(data, "address", json_string(fw->text));
    (void)json_object_set_new(data, "port", json_integer(fw->target.port));
    (void)json_object_set_new(data, "rule", fw->ended ? fw_rule_json(&fw->end, rule) : json_null());
    (void)json_object_set(data, "steps", fw->steps);
    (void)json_object_set_new(data, "packets_traced", json_integer((json_int_t)fw->packets));
    (void)json_object_set_new(data, "counters", fw_counters_grown(fw->before, after));
    (void)json_object_set_new(data, "conntrack",
                              fw->tracked
                                  ? json_pack("{s:o, s:o}", "original", tuple_json(&fw->connection.original),
                                              "reply", tuple_json(&fw->connection.reply))
                                  : json_null());
    (void)json_object_set_new(data, "translation", translation_json(fw, translated, sizeof translated));
    (void)json_object_set_new(data, "attempt", fw->passive ? json_null() : json_string(fw->outcome));
    bool redirected = false;
    size_t i;
    json_t *step;
    json_array_foreach(fw->steps, i, step) redirected =
        redirected || json_is_true(json_object_get(step, "redirects"));
    judge(fw, rule, translated, redirected);
    json_decref(after);
}

/* --- events --- */

static int take_event(const struct nlmsghdr *message, void *data)
{
    struct firewall_probe *fw = data;
    struct fw_event event;
    if (message->nlmsg_type >> 8 ==
        NFNL_SUBSYS_CTNETLINK) // one that is refused at once is gone when one asks for it
        return take_connection(message, data);
    if ((message->nlmsg_type & 0xff) != NFT_MSG_TRACE ||
        fw_event_parse(mnl_nlmsg_get_payload(message), mnl_nlmsg_get_payload_len(message), &event) ||
        strcmp(event.table, fw_rules_own_table(fw->rules)) == 0)
        return MNL_CB_OK;
    fw->events++;
    (void)fw_rules_know(fw->rules, fw_family_name(event.family), event.table);
    if (event.id != fw->last_id) {
        fw->packets++;
        fw->last_id = event.id;
    }
    if (json_array_size(fw->steps) < EVENTS_MAX && event.handle) {
        json_t *now = NULL;
        const json_t *rule = fw_rule_find(fw->before, &event);
        if (!rule) // made since
            rule = fw_rule_find(now = fw_rules_list(fw->rules), &event);
        json_t *step = fw_rule_json(&event, rule);
        (void)json_object_set_new(step, "packet", json_integer(event.id));
        (void)json_object_set_new(step, "verdict",
                                  json_string(event.verdict == FW_DROP     ? "drop"
                                              : event.verdict == FW_ACCEPT ? "accept"
                                                                           : "continue"));
        (void)json_object_set_new(step, "redirects", json_boolean(rule && fw_rule_redirects(rule)));
        (void)json_array_append_new(fw->steps, step);
        json_decref(now);
    }
    // the first drop decides; else the last rule that accepts says more than policies do
    bool decides =
        event.verdict == FW_DROP ||
        (event.verdict == FW_ACCEPT && (event.step == FW_RULE || !fw->ended || fw->end.step == FW_POLICY));
    if (!fw->dropped && decides) {
        fw->end = event;
        fw->ended = true;
        fw->dropped = event.verdict == FW_DROP;
    }
    return MNL_CB_OK;
}

static void on_events(void *context, int events)
{
    struct firewall_probe *fw = context;
    char buffer[BUFFER];
    (void)events;
    for (int i = 0; i < 64 && !fw->concluded; i++) {
        ssize_t got = recv(mnl_socket_get_fd(fw->traces), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got <= 0)
            return;
        (void)mnl_cb_run(buffer, (size_t)got, 0, 0, take_event, fw);
    }
    if (fw->dropped && fw->passive)
        dp_timer_start(fw->timer, SETTLE_MS, 0);
}

static void on_time(void *context)
{
    conclude(context);
}

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    static const char *const names[] = {"open", "refused", "silent", "unreachable", "failed"};
    struct firewall_probe *fw = context;
    (void)snprintf(fw->outcome, sizeof fw->outcome, "%s", names[result->outcome]);
    read_connections(fw); // as long as it is there
    if (result->fd >= 0)
        (void)close(result->fd);
    dp_dial_drop(fw->dial);
    fw->dial = NULL;
    dp_timer_start(fw->timer, SETTLE_MS, 0);
}

/* --- the kind --- */

static int listen_to_traces(struct firewall_probe *fw)
{
    int group = NFNLGRP_NFTRACE, connections = NFNLGRP_CONNTRACK_NEW;
    fw->traces = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!fw->traces || mnl_socket_bind(fw->traces, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_setsockopt(fw->traces, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return errno == EPERM ? DP_ERR_DENIED : DP_ERR_IO;
    // without connection tracking there is no translation to be told
    (void)mnl_socket_setsockopt(fw->traces, NETLINK_ADD_MEMBERSHIP, &connections, sizeof connections);
    return dp_watch_new(dp_probe_loop(fw->probe), mnl_socket_get_fd(fw->traces), UV_READABLE, on_events, fw,
                        &fw->watch);
}

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct firewall_probe *fw = context;
    struct dp_diag diag = {""};
    (void)count;
    if (code) {
        dp_probe_fail(fw->probe, code, "%s", why);
        return;
    }
    fw->address = addresses[0];
    (void)dp_address_text(&fw->address, fw->text);
    int rc = fw_rules_open(&fw->address, &fw->rules, &diag);
    if (!rc)
        rc = listen_to_traces(fw);
    if (rc) {
        dp_probe_fail(fw->probe, rc, "%s", dp_reason(&diag, rc));
        return;
    }
    fw->before = fw_rules_list(fw->rules);
    uint64_t left = dp_probe_left_ms(fw->probe);
    if (fw->passive) {
        dp_probe_progress(fw->probe, "watching this host's packet filter for traffic to %s", fw->text);
        return;
    }
    if (dp_dial_start(dp_probe_loop(fw->probe), dp_probe_request(fw->probe), &fw->address,
                      left < TRY_MS + SETTLE_MS ? left / 2 : TRY_MS, on_dialled, fw, &fw->dial))
        dp_probe_fail(fw->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static void firewall_stop(void *state)
{
    struct firewall_probe *fw = state;
    dp_lookup_drop(fw->lookup);
    dp_dial_drop(fw->dial);
    dp_timer_drop(fw->timer);
    dp_watch_drop(fw->watch);
    if (fw->traces)
        (void)mnl_socket_close(fw->traces);
    fw_rules_close(fw->rules);
    json_decref(fw->before);
    json_decref(fw->steps);
    free(fw);
}

static int firewall_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct firewall_probe *fw = calloc(1, sizeof *fw);
    if (!fw)
        return DP_ERR_NOMEM;
    fw->probe = probe;
    fw->passive = dp_request_flag(request, "--passive");
    fw->steps = json_array();
    int rc = fw->steps ? dp_host_port_parse(dp_request_target(request), &fw->target, diag) : DP_ERR_NOMEM;
    if (!rc && !fw->target.port)
        rc = dp_fail(diag, DP_ERR_USAGE, "target '%s' names no port: write HOST:PORT",
                     dp_request_target(request));
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_time, fw, &fw->timer);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), fw->target.host, dp_request_family(request),
                             fw->target.port, on_addresses, fw, &fw->lookup);
    if (rc) {
        firewall_stop(fw);
        return rc;
    }
    *ret_state = fw;
    return 0;
}

static void firewall_expire(void *state)
{
    struct firewall_probe *fw = state;
    if (fw->rules)
        conclude(fw);
    else
        dp_probe_fail(fw->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      fw->target.host);
}

static void firewall_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(data, "steps"), i, step)
    {
        const char *comment = json_string_value(json_object_get(step, "comment"));
        fprintf(
            out, "%s %s, chain %s, rule %lld: %s%s%s\n", json_string_value(json_object_get(step, "family")),
            json_string_value(json_object_get(step, "table")),
            json_string_value(json_object_get(step, "chain")),
            json_integer_value(json_object_get(step, "handle")),
            json_string_value(json_object_get(step, "verdict")), comment ? "  " : "", comment ? comment : "");
    }
    json_array_foreach(json_object_get(data, "translation"), i, step) fprintf(
        out, "%s %s becomes %s\n", json_string_value(json_object_get(step, "what")),
        json_string_value(json_object_get(step, "from")), json_string_value(json_object_get(step, "to")));
}

static const struct dp_probe_option options[] = {
    {"--passive", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false,
     "send nothing, watch traffic of others until --timeout"},
};

const struct dp_probe_kind dp_probe_firewall = {
    .name = "firewall",
    .about = "Which rule of this host's own packet filter passes or drops traffic for a target, and where it "
             "is sent.",
    .target_text = "HOST:PORT",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 10000,
    .examples = "  droppoint probe firewall --local mx.example.net:25\n"
                "  droppoint probe firewall --local --passive --timeout 60 192.0.2.25:25\n",
    .start = firewall_start,
    .expire = firewall_expire,
    .stop = firewall_stop,
    .print = firewall_print,
};
