/* `trace`: the path to a host, hop by hop, in rounds as mtr has them; where it ends, and where packets get
 * lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/trace/listener.h"
#include "agent/probe/trace/path.h"
#include "agent/probe/trace/sender.h"

#define UDP_PORT 33434
#define SILENT_MAX 6 /* so many hops without a word behind the last that spoke end a round */
#define WAIT_FIRST_MS 1200
#define WAIT_LEAST_MS 400
#define LAST_WORD_MS 3800
#define SCAN_MS 20
#define SAY_MS 200 /* not more often, while answers come */

struct slot {
    double sent_ms; /* since the probe's start; -1: not under way */
    bool answered;
    uint64_t wait_ms;
};

struct trace_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    enum trace_mode mode;
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    struct trace_sender *sender;
    struct trace_listener *listener;
    struct dp_timer *timer;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    struct trace_path path;
    struct slot slots[TRACE_HOPS_MAX + 1]; /* of this round, by distance */
    unsigned rounds, round;
    int next_ttl;
    uint64_t interval_ms;
    double round_ms, longest_ms, said_ms;
    int send_errno;
    bool last_word; /* the rounds are over; one packet more is waited for longer */
    bool concluded;
};

static const char *const mode_names[] = {"icmp", "udp", "tcp"};

static void describe_hop(const struct trace_path *path, int ttl, char *text, size_t size)
{
    const struct trace_hop *hop = &path->hops[ttl];
    (void)snprintf(text, size, "hop %d (%s)", ttl, hop->address_count ? hop->addresses[0].text : "silent");
}

static void finish_short(struct trace_probe *trace, const char *class, int stops_after)
{
    char where[120];
    const struct dp_icmp *icmp = trace_path_unreachable(&trace->path);
    describe_hop(&trace->path, stops_after, where, sizeof where);
    if (icmp) {
        const char *meaning = dp_icmp_meaning(icmp->family, icmp->type, icmp->code);
        dp_probe_finish(trace->probe, class,
                        "Ask the network engineer who runs that hop: it has no way on, or it prohibits it.",
                        "%s is not reached: %s says \"%s\" (%s %u/%u)", trace->text, where,
                        meaning ? meaning : "error", icmp->family == AF_INET ? "ICMP" : "ICMPv6", icmp->type,
                        icmp->code);
    } else if (stops_after) {
        dp_probe_finish(
            trace->probe, class,
            "What is behind the last hop that answers drops without a word: ask the network engineer there; "
            "'--mode tcp' with the port of the service tells whether only this kind of packet dies.",
            "%s is not reached: nothing answers behind %s", trace->text, where);
    } else {
        dp_probe_finish(trace->probe, class, "Check this host's own link, routes and firewall.",
                        trace->send_errno ? "%s is not reached: this host does not send: %s"
                                          : "%s is not reached: not even the first hop answers%s",
                        trace->text, trace->send_errno ? strerror(trace->send_errno) : "");
    }
}

/* The first hop from which loss goes on to the last; 0: none. */
static int loss_begins(const struct trace_path *path)
{
    int last = trace_path_last(path);
    for (int ttl = 1; ttl <= last; ttl++)
        if (path->hops[ttl].received && trace_path_carried_loss(path, ttl) > 0)
            return ttl;
    return 0;
}

static void conclude(struct trace_probe *trace)
{
    if (trace->concluded)
        return;
    trace->concluded = true;
    int stops_after;
    const char *class = trace_path_class(&trace->path, &stops_after);
    json_t *data = dp_probe_data(trace->probe);
    (void)json_object_set_new(data, "address", json_string(trace->text));
    (void)json_object_set_new(data, "mode", json_string(mode_names[trace->mode]));
    (void)json_object_set_new(data, "rounds", json_integer(trace->round));
    (void)json_object_set_new(data, "hops", trace_path_json(&trace->path));
    (void)json_object_set_new(data, "stops_after", stops_after < 0 ? json_null() : json_integer(stops_after));
    (void)json_object_set_new(data, "flow_stable", json_true());
    if (stops_after >= 0) {
        finish_short(trace, class, stops_after);
        return;
    }
    int begins = loss_begins(&trace->path);
    int last = trace->path.target_hop;
    const struct trace_hop *target = &trace->path.hops[last];
    double sum = 0;
    for (unsigned i = 0; i < target->received; i++)
        sum += target->rtts[i];
    if (!begins) {
        dp_probe_finish(trace->probe, class, "", "%s is reached at hop %d, %.1f ms on average, no loss",
                        trace->text, last, target->received ? sum / target->received : 0);
        return;
    }
    char where[120];
    describe_hop(&trace->path, begins, where, sizeof where);
    dp_probe_warn(trace->probe);
    dp_probe_finish(trace->probe, class,
                    "Loss that begins there and goes on: run more rounds to be sure, then ask the network "
                    "engineer of that hop "
                    "and of the one before.",
                    "%s is reached at hop %d, but %.0f %% of the packets are lost; the loss begins at %s",
                    trace->text, last, trace_path_carried_loss(&trace->path, last) * 100, where);
}

/* --- rounds --- */

static int limit(const struct trace_probe *trace)
{
    if (trace->path.target_hop)
        return trace->path.target_hop;
    int last = trace_path_last(&trace->path) + (trace_path_unreachable(&trace->path) ? 1 : SILENT_MAX);
    return last < TRACE_HOPS_MAX ? last : TRACE_HOPS_MAX;
}

static bool is_under_way(const struct trace_probe *trace, const struct slot *slot)
{
    return slot->sent_ms >= 0 && !slot->answered &&
           dp_probe_elapsed_ms(trace->probe) - slot->sent_ms < (double)slot->wait_ms;
}

static unsigned under_way(const struct trace_probe *trace)
{
    unsigned count = 0;
    for (int ttl = 1; ttl < trace->next_ttl; ttl++)
        count += is_under_way(trace, &trace->slots[ttl]);
    return count;
}

static uint64_t patience(const struct trace_probe *trace, int ttl)
{
    const struct trace_hop *hop = &trace->path.hops[ttl];
    uint64_t wait = trace->round == 0 || hop->received ? WAIT_FIRST_MS : WAIT_LEAST_MS;
    uint64_t slow = (uint64_t)(trace->longest_ms * 2);
    return wait > slow ? wait : slow;
}

static void send_one(struct trace_probe *trace)
{
    int ttl = trace->next_ttl++;
    struct trace_hop *hop = &trace->path.hops[ttl];
    struct slot *slot = &trace->slots[ttl];
    *slot = (struct slot){.sent_ms = dp_probe_elapsed_ms(trace->probe), .wait_ms = patience(trace, ttl)};
    hop->sent++;
    uint16_t id = (uint16_t)(trace->round * (TRACE_HOPS_MAX + 1) + (unsigned)ttl);
    int error = trace_sender_send(trace->sender, id, ttl, slot->wait_ms);
    if (error) {
        trace->send_errno = error;
        slot->wait_ms = 0;
    }
}

static void begin_round(struct trace_probe *trace)
{
    trace->next_ttl = 1;
    trace->round_ms = dp_probe_elapsed_ms(trace->probe);
    for (int ttl = 0; ttl <= TRACE_HOPS_MAX; ttl++)
        trace->slots[ttl] = (struct slot){.sent_ms = -1};
}

/* What is known so far, for who watches: packets under way are not lost yet. */
static void put_so_far(struct trace_probe *trace)
{
    bool away[TRACE_HOPS_MAX + 1] = {false};
    trace->said_ms = dp_probe_elapsed_ms(trace->probe);
    for (int ttl = 1; ttl < trace->next_ttl && !trace->last_word; ttl++) {
        away[ttl] = is_under_way(trace, &trace->slots[ttl]);
        trace->path.hops[ttl].sent -= away[ttl];
    }
    (void)json_object_set_new(dp_probe_data(trace->probe), "hops", trace_path_json(&trace->path));
    for (int ttl = 1; ttl <= TRACE_HOPS_MAX; ttl++)
        trace->path.hops[ttl].sent += away[ttl];
}

/* A router whose neighbour does not answer ARP says so after three seconds. */
static void wait_for_last_word(struct trace_probe *trace, int ttl)
{
    trace->last_word = true;
    uint16_t id = (uint16_t)(trace->round * (TRACE_HOPS_MAX + 1) + (unsigned)ttl);
    trace->slots[ttl] = (struct slot){.sent_ms = dp_probe_elapsed_ms(trace->probe)};
    trace->path.hops[ttl].sent++;
    if (trace_sender_send(trace->sender, id, ttl, LAST_WORD_MS))
        conclude(trace);
    else
        dp_timer_start(trace->timer, LAST_WORD_MS, 0);
}

static void end_round(struct trace_probe *trace)
{
    trace->round++;
    put_so_far(trace);
    int last = trace_path_last(&trace->path);
    dp_probe_progress(trace->probe, "round %u of %u: %d hops, %s", trace->round, trace->rounds, last,
                      trace->path.target_hop ? "the target answers" : "the target does not answer yet");
    if (trace->round == trace->rounds) {
        if (trace->path.target_hop || trace_path_unreachable(&trace->path) || last == TRACE_HOPS_MAX)
            conclude(trace);
        else
            wait_for_last_word(trace, last + 1);
        return;
    }
    double passed = dp_probe_elapsed_ms(trace->probe) - trace->round_ms;
    uint64_t wait = passed < (double)trace->interval_ms ? trace->interval_ms - (uint64_t)passed : 0;
    begin_round(trace);
    dp_timer_start(trace->timer, wait, 0);
}

static void on_tick(void *context)
{
    struct trace_probe *trace = context;
    if (trace->concluded)
        return;
    if (trace->last_word) {
        conclude(trace);
        return;
    }
    unsigned window = trace_sender_window(trace->sender);
    while (trace->next_ttl <= limit(trace) && under_way(trace) < window)
        send_one(trace);
    if (trace->next_ttl > limit(trace) && !under_way(trace))
        end_round(trace);
    else
        dp_timer_start(trace->timer, SCAN_MS, 0);
}

static void on_answer(void *context, const struct trace_answer *answer)
{
    struct trace_probe *trace = context;
    unsigned round = answer->id / (TRACE_HOPS_MAX + 1);
    int ttl = answer->id % (TRACE_HOPS_MAX + 1);
    if (trace->concluded || round != trace->round || ttl < 1 || trace->slots[ttl].sent_ms < 0 ||
        trace->slots[ttl].answered)
        return; // late, twice, or never asked for
    struct slot *slot = &trace->slots[ttl];
    double rtt = dp_probe_elapsed_ms(trace->probe) - slot->sent_ms;
    slot->answered = true;
    trace->longest_ms = rtt > trace->longest_ms ? rtt : trace->longest_ms;
    bool unreachable = answer->icmp && !answer->expired && !answer->target;
    trace_path_take(&trace->path, ttl, answer->from, rtt, answer->target, unreachable ? answer->icmp : NULL);
    if (answer->mtu)
        trace->path.hops[ttl].mtu = answer->mtu;
    if (dp_probe_elapsed_ms(trace->probe) - trace->said_ms >= SAY_MS) {
        put_so_far(trace);
        dp_probe_progress(trace->probe, "round %u of %u", trace->round + 1, trace->rounds);
    }
    dp_timer_start(trace->timer, 0, 0);
}

static void on_labels(void *context, const char *from, const struct trace_label *labels, size_t count)
{
    struct trace_probe *trace = context;
    for (int ttl = 1; ttl <= TRACE_HOPS_MAX; ttl++)
        for (size_t i = 0; i < trace->path.hops[ttl].address_count; i++) {
            struct trace_address *address = &trace->path.hops[ttl].addresses[i];
            if (strcmp(address->text, from) != 0)
                continue;
            memcpy(address->labels, labels, count * sizeof *labels);
            address->label_count = count;
        }
}

/* --- the kind --- */

static const char *const from_good_to_bad[] = {"reached", "stopped", "unreachable", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct trace_probe *trace = context;
    struct dp_diag diag = {""};
    if (code) {
        dp_probe_fail(trace->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(trace->probe, &rules, &trace->target, NULL, addresses, count, &trace->parts))
        return;
    trace->address = addresses[0];
    if (!trace->target.port && trace->mode == TRACE_UDP)
        dp_address_set_port(&trace->address, UDP_PORT);
    (void)dp_address_text(&trace->address, trace->text);
    int rc = trace_sender_open(trace->probe, trace->mode, &trace->address, on_answer, trace, &trace->sender,
                               &diag);
    if (rc) {
        dp_probe_fail(trace->probe, rc, "%s", dp_reason(&diag, rc));
        return;
    }
    trace->listener = trace_listener_open(dp_probe_loop(trace->probe), &trace->address, on_labels, trace);
    begin_round(trace);
    on_tick(trace);
}

static void trace_stop(void *state)
{
    struct trace_probe *trace = state;
    dp_lookup_drop(trace->lookup);
    dp_parts_free(trace->parts);
    trace_sender_close(trace->sender);
    trace_listener_close(trace->listener);
    dp_timer_drop(trace->timer);
    for (int ttl = 0; ttl <= TRACE_HOPS_MAX; ttl++)
        free(trace->path.hops[ttl].rtts);
    free(trace);
}

static int read_request(struct trace_probe *trace, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(trace->probe);
    const char *mode = dp_request_text(request, "--mode");
    int rc = dp_host_port_parse(dp_request_target(request), &trace->target, diag);
    if (rc)
        return rc;
    trace->mode = mode && !strcmp(mode, "udp")    ? TRACE_UDP
                  : mode && !strcmp(mode, "icmp") ? TRACE_ICMP
                  : mode || trace->target.port    ? TRACE_TCP
                                                  : TRACE_ICMP;
    if (trace->mode == TRACE_TCP && !trace->target.port)
        return dp_fail(diag, DP_ERR_USAGE, "--mode tcp needs a port: write %.100s:25", trace->target.host);
    trace->rounds = (unsigned)dp_request_number(request, "--rounds");
    trace->interval_ms = dp_request_ms(request, "--interval");
    for (int ttl = 0; ttl <= TRACE_HOPS_MAX; ttl++) {
        trace->path.hops[ttl].rtts = calloc(trace->rounds, sizeof(double));
        if (!trace->path.hops[ttl].rtts)
            return DP_ERR_NOMEM;
    }
    return 0;
}

static int trace_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    struct trace_probe *trace = calloc(1, sizeof *trace);
    if (!trace)
        return DP_ERR_NOMEM;
    trace->probe = probe;
    int rc = read_request(trace, diag);
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_tick, trace, &trace->timer);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), trace->target.host,
                             dp_request_family(dp_probe_request(probe)), trace->target.port, on_addresses,
                             trace, &trace->lookup);
    if (rc) {
        trace_stop(trace);
        return rc;
    }
    dp_probe_allow(probe, 45000 + trace->rounds * (trace->interval_ms + 5000));
    *ret_state = trace;
    return 0;
}

static void trace_expire(void *state)
{
    struct trace_probe *trace = state;
    if (dp_parts_expire(trace->parts))
        return;
    if (trace->sender)
        conclude(trace);
    else
        dp_probe_fail(trace->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      trace->target.host);
}

static void print_hops(const json_t *data, FILE *out)
{
    size_t i, k;
    json_t *hop, *address, *label;
    fprintf(out, "hop   loss  sent    last     avg     min     max ms  address\n");
    json_array_foreach(json_object_get(data, "hops"), i, hop)
    {
        const json_t *rtt = json_object_get(hop, "rtt_ms");
        fprintf(out, "%3lld %5.0f%% %5lld", json_integer_value(json_object_get(hop, "hop")),
                json_number_value(json_object_get(hop, "loss")) * 100,
                json_integer_value(json_object_get(hop, "sent")));
        if (json_is_object(rtt))
            fprintf(out, " %7.1f %7.1f %7.1f %7.1f   ", json_number_value(json_object_get(rtt, "last")),
                    json_number_value(json_object_get(rtt, "avg")),
                    json_number_value(json_object_get(rtt, "min")),
                    json_number_value(json_object_get(rtt, "max")));
        else
            fprintf(out, " %7s %7s %7s %7s   ", "-", "-", "-", "-");
        json_array_foreach(json_object_get(hop, "addresses"), k, address)
            fprintf(out, " %s", json_string_value(address));
        json_array_foreach(json_object_get(hop, "mpls"), k, label)
            fprintf(out, " [MPLS %lld]", json_integer_value(json_object_get(label, "label")));
        if (json_object_get(hop, "icmp_meaning"))
            fprintf(out, "  %s", json_string_value(json_object_get(hop, "icmp_meaning")));
        if (json_number_value(json_object_get(hop, "loss")) >
                json_number_value(json_object_get(hop, "carried_loss")) &&
            json_array_size(json_object_get(hop, "addresses")))
            fprintf(out, "  (only its own answers are missing, packets pass)");
        fputs("\n", out);
    }
}

static void trace_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *entry;
    const json_t *entries = json_object_get(data, "addresses");
    dp_parts_print(data, "addresses", "address", out);
    if (json_array_size(entries) < 2 && json_object_get(data, "hops")) {
        print_hops(data, out);
        return;
    }
    json_array_foreach(entries, i, entry)
    {
        if (!json_object_get(entry, "hops"))
            continue;
        if (json_array_size(entries) > 1)
            fprintf(out, "to %s\n", json_string_value(json_object_get(entry, "address")));
        print_hops(entry, out);
    }
}

static const struct dp_probe_option options[] = {
    {"--mode", DP_OPT_WORD, "MODE", NULL, 0, 0, "tcp|udp|icmp", false,
     "what to send; tcp goes to the very port (default tcp with a port, else icmp)"},
    {"--rounds", DP_OPT_NUMBER, "N", "3", 1, TRACE_ROUNDS_MAX, NULL, false, "how many times the whole path"},
    {"--interval", DP_OPT_SECONDS, "SECONDS", "1", 0, 3600000, NULL, false,
     "from one round's start to the next"},
};

const struct dp_probe_kind dp_probe_trace = {
    .name = "trace",
    .about = "The path hop by hop, in a flow that stays the same; where it ends, and where loss begins that "
             "goes on.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 60000,
    .examples = "  droppoint probe trace --local mx.example.net\n"
                "  droppoint probe trace --local --mode tcp --rounds 20 mx.example.net:25\n",
    .start = trace_start,
    .expire = trace_expire,
    .stop = trace_stop,
    .print = trace_print,
};
