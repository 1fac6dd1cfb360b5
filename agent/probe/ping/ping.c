/* `ping`: does the host answer echo requests, how many get lost, and who says that it is unreachable. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/echo.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/net/target.h"
#include "agent/probe/ping/stats.h"

#define LINGER_MS 2000   /* for the last answers */
#define PATIENCE_MS 4000 /* where nothing came at all: routers give up on ARP after 3 s, and then say so */

struct ping_request {
    int64_t sent_ns;
    double rtt_ms; /* -1: none yet */
};

struct ping_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    struct dp_echo *echo;
    struct dp_timer *timer;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    struct ping_request *requests;
    uint64_t count, sent, received, duplicates, foreign, errors, unsent, interval_ms, size;
    struct dp_icmp icmp; /* the last that said why not */
    uint32_t mtu;        /* of the last "too big" */
    int send_errno, ttl;
    double longest_ms;
};

static void put_counts(struct ping_probe *ping, json_t *data, double loss)
{
    (void)json_object_set_new(data, "address", json_string(ping->text));
    (void)json_object_set_new(data, "sent", json_integer((json_int_t)ping->sent));
    (void)json_object_set_new(data, "received", json_integer((json_int_t)ping->received));
    (void)json_object_set_new(data, "loss", json_real(loss));
    (void)json_object_set_new(data, "duplicates", json_integer((json_int_t)ping->duplicates));
    (void)json_object_set_new(data, "foreign", json_integer((json_int_t)ping->foreign));
    (void)json_object_set_new(data, "errors", json_integer((json_int_t)ping->errors));
    (void)json_object_set_new(data, "size", json_integer((json_int_t)ping->size));
    if (ping->ttl >= 0)
        (void)json_object_set_new(data, "ttl", json_integer(ping->ttl));
    if (ping->mtu)
        (void)json_object_set_new(data, "mtu", json_integer(ping->mtu));
    dp_icmp_json(&ping->icmp, data);
}

static json_t *rtt_json(const struct ping_probe *ping)
{
    double *values = calloc(ping->received ? ping->received : 1, sizeof *values);
    size_t count = 0;
    for (uint64_t i = 0; values && i < ping->sent; i++)
        if (ping->requests[i].rtt_ms >= 0)
            values[count++] = ping->requests[i].rtt_ms;
    struct dp_rtt_stats stats = {.min = 0};
    if (count)
        stats = dp_rtt_stats(values, count);
    free(values);
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "min", stats.min, "avg", stats.avg, "p50", stats.p50,
                     "p99", stats.p99, "max", stats.max, "jitter", stats.jitter);
}

static void finish_without_answer(struct ping_probe *ping)
{
    const struct dp_icmp *icmp = &ping->icmp;
    const char *meaning = icmp->present ? dp_icmp_meaning(icmp->family, icmp->type, icmp->code) : NULL;
    if (icmp->present && icmp->from_here) {
        dp_probe_finish(ping->probe, "unreachable",
                        "The target is on a net of this host and does not answer ARP or neighbour discovery: "
                        "is it up, and "
                        "is its address right? 'droppoint probe arp' shows the neighbours.",
                        "%s is unreachable: nobody on the local net answers for it", ping->text);
    } else if (icmp->present) {
        dp_probe_finish(
            ping->probe, "unreachable",
            ping->mtu
                ? "Packets of this size do not fit: 'droppoint probe mtu' finds the size that does."
                : "Ask the network engineer who runs the router or firewall that said so; 'droppoint probe "
                  "trace' shows where it stands.",
            "%s is unreachable: %s says \"%s\" (%s %u/%u)", ping->text, icmp->from,
            meaning ? meaning : "error", icmp->family == AF_INET ? "ICMP" : "ICMPv6", icmp->type, icmp->code);
    } else if (ping->send_errno) {
        dp_probe_finish(ping->probe, "unreachable",
                        ping->send_errno == EMSGSIZE
                            ? "Larger than the interface's own MTU with --df: take a smaller --size."
                            : "This host itself does not send it: check its routes, addresses and firewall.",
                        "%s cannot be reached from here: %s", ping->text,
                        ping->send_errno == EMSGSIZE ? "the packet is larger than this host's interface takes"
                                                     : strerror(ping->send_errno));
    } else {
        dp_probe_finish(
            ping->probe, "silent",
            "The host is down, or something drops echo requests or their answers, which by itself says "
            "little: "
            "try 'droppoint probe tcp' with a port that should be open, and 'droppoint probe trace'.",
            "%s does not answer: %llu echo requests, no reply, no error", ping->text,
            (unsigned long long)ping->sent);
    }
}

static void conclude(struct ping_probe *ping)
{
    json_t *data = dp_probe_data(ping->probe);
    uint64_t tried = ping->sent + ping->unsent;
    double loss = tried ? 1 - (double)ping->received / (double)tried : 1;
    put_counts(ping, data, loss);
    if (!ping->received) {
        finish_without_answer(ping);
        return;
    }
    json_t *rtt = rtt_json(ping);
    double avg = json_number_value(json_object_get(rtt, "avg")),
           max = json_number_value(json_object_get(rtt, "max"));
    (void)json_object_set_new(data, "rtt_ms", rtt);
    if (ping->received < tried)
        dp_probe_finish(
            ping->probe, "loss",
            "'droppoint probe trace' shows whether the loss begins at a hop and goes on to the last; "
            "'droppoint capture run' names the segment.",
            "%s: %llu of %llu echo requests unanswered (%.1f %%), round trip %.2f ms on average, %.2f ms at "
            "most",
            ping->text, (unsigned long long)(tried - ping->received), (unsigned long long)tried, loss * 100,
            avg, max);
    else
        dp_probe_finish(ping->probe, "ok", "",
                        "%s answers all %llu echo requests, round trip %.2f ms on average, %.2f ms at most",
                        ping->text, (unsigned long long)tried, avg, max);
}

static void on_reply(void *context, uint16_t seq, int64_t at_ns, int ttl)
{
    struct ping_probe *ping = context;
    if (seq >= ping->sent) {
        ping->foreign++;
        return;
    }
    struct ping_request *request = &ping->requests[seq];
    if (request->rtt_ms >= 0) {
        ping->duplicates++;
        return;
    }
    request->rtt_ms = fmax((double)(at_ns - request->sent_ns) / 1e6, 0);
    ping->longest_ms = fmax(ping->longest_ms, request->rtt_ms);
    ping->received++;
    ping->ttl = ttl;
    if (ping->received == ping->count)
        conclude(ping);
}

static void on_error(void *context, uint16_t seq, const struct dp_icmp *icmp, uint32_t mtu)
{
    struct ping_probe *ping = context;
    if (seq >= ping->sent)
        return;
    ping->errors++;
    ping->icmp = *icmp;
    ping->mtu = mtu ? mtu : ping->mtu;
    if (ping->errors + ping->received == ping->count && !ping->unsent)
        conclude(ping);
}

static void on_foreign(void *context, const char *from)
{
    struct ping_probe *ping = context;
    (void)from;
    ping->foreign++;
}

static const struct dp_echo_events echo_events = {
    .reply = on_reply, .error = on_error, .foreign = on_foreign};

static void on_tick(void *context)
{
    struct ping_probe *ping = context;
    if (ping->sent + ping->unsent == ping->count) {
        conclude(ping);
        return;
    }
    ping->requests[ping->sent].rtt_ms = -1;
    int error =
        dp_echo_send(ping->echo, (uint16_t)ping->sent, ping->size, 0, &ping->requests[ping->sent].sent_ns);
    if (error) {
        ping->send_errno = error;
        ping->unsent++;
    } else {
        ping->sent++;
    }
    bool last = ping->sent + ping->unsent == ping->count;
    uint64_t least = ping->received || ping->errors ? LINGER_MS : PATIENCE_MS;
    uint64_t linger = ping->longest_ms * 4 < (double)least ? least : (uint64_t)(ping->longest_ms * 4);
    dp_timer_start(ping->timer, !last ? ping->interval_ms : ping->sent ? linger : 0, 0);
    if (ping->sent % 10 == 0 && !last)
        dp_probe_progress(ping->probe, "%llu of %llu answered by %s", (unsigned long long)ping->received,
                          (unsigned long long)ping->sent, ping->text);
}

static const char *const from_good_to_bad[] = {"ok", "loss", "silent", "unreachable", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct ping_probe *ping = context;
    struct dp_diag diag = {""};
    if (code) {
        dp_probe_fail(ping->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(ping->probe, &rules, &ping->target, NULL, addresses, count, &ping->parts))
        return;
    ping->address = addresses[0];
    (void)dp_address_text(&ping->address, ping->text);
    int rc = dp_echo_open(dp_probe_loop(ping->probe), dp_probe_request(ping->probe), &ping->address,
                          &echo_events, ping, &ping->echo, &diag);
    if (rc) {
        dp_probe_fail(ping->probe, rc, "%s", dp_reason(&diag, rc));
        return;
    }
    if (dp_request_flag(dp_probe_request(ping->probe), "--df"))
        dp_echo_forbid_fragments(ping->echo);
    on_tick(ping);
}

static void ping_stop(void *state)
{
    struct ping_probe *ping = state;
    dp_lookup_drop(ping->lookup);
    dp_parts_free(ping->parts);
    dp_echo_close(ping->echo);
    dp_timer_drop(ping->timer);
    free(ping->requests);
    free(ping);
}

static int ping_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct ping_probe *ping = calloc(1, sizeof *ping);
    if (!ping)
        return DP_ERR_NOMEM;
    ping->probe = probe;
    ping->ttl = -1;
    ping->count = dp_request_number(request, "--count");
    ping->interval_ms = dp_request_ms(request, "--interval");
    ping->size = dp_request_number(request, "--size");
    int rc = dp_host_port_parse(dp_request_target(request), &ping->target, diag);
    if (!rc && ping->target.port)
        rc = dp_fail(diag, DP_ERR_USAGE, "target '%s': ping knows no ports; 'droppoint probe tcp' does",
                     dp_request_target(request));
    ping->requests = calloc(ping->count, sizeof *ping->requests);
    if (!rc && !ping->requests)
        rc = DP_ERR_NOMEM;
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_tick, ping, &ping->timer);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), ping->target.host, dp_request_family(request), 0,
                             on_addresses, ping, &ping->lookup);
    if (rc) {
        ping_stop(ping);
        return rc;
    }
    dp_probe_allow(probe, ping->count * ping->interval_ms + 10000);
    *ret_state = ping;
    return 0;
}

static void ping_expire(void *state)
{
    struct ping_probe *ping = state;
    if (dp_parts_expire(ping->parts))
        return;
    if (ping->echo)
        conclude(ping);
    else
        dp_probe_fail(ping->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      ping->target.host);
}

static void ping_print(const json_t *data, FILE *out)
{
    const json_t *rtt = json_object_get(data, "rtt_ms");
    dp_parts_print(data, "addresses", "address", out);
    fprintf(out, "sent %lld, received %lld, loss %.1f %%", json_integer_value(json_object_get(data, "sent")),
            json_integer_value(json_object_get(data, "received")),
            json_number_value(json_object_get(data, "loss")) * 100);
    if (rtt)
        fprintf(
            out, "; round trip min/avg/p50/p99/max %.2f/%.2f/%.2f/%.2f/%.2f ms, jitter %.2f ms",
            json_number_value(json_object_get(rtt, "min")), json_number_value(json_object_get(rtt, "avg")),
            json_number_value(json_object_get(rtt, "p50")), json_number_value(json_object_get(rtt, "p99")),
            json_number_value(json_object_get(rtt, "max")),
            json_number_value(json_object_get(rtt, "jitter")));
    fputs("\n", out);
}

static void ping_perfdata(const json_t *data, FILE *out)
{
    const json_t *rtt = json_object_get(data, "rtt_ms");
    if (rtt)
        fprintf(out, "rtt=%.3fms ", json_number_value(json_object_get(rtt, "avg")));
    fprintf(out, "loss=%.1f%%", json_number_value(json_object_get(data, "loss")) * 100);
}

static const struct dp_probe_option options[] = {
    {"--count", DP_OPT_NUMBER, "N", "5", 1, 65000, NULL, false, "how many echo requests"},
    {"--interval", DP_OPT_SECONDS, "SECONDS", "1", 1, 3600000, NULL, false, "between two of them"},
    {"--size", DP_OPT_NUMBER, "BYTES", "56", DP_ECHO_PAYLOAD_MIN, DP_ECHO_PAYLOAD_MAX, NULL, false,
     "of payload behind the 8 of ICMP"},
    {"--df", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false, "forbid fragments"},
};

const struct dp_probe_kind dp_probe_ping = {
    .name = "ping",
    .about =
        "Does a host answer echo requests, how many get lost, how long do they take, who says unreachable.",
    .target_text = "HOST",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 15000,
    .examples = "  droppoint probe ping --local mx.example.net\n"
                "  droppoint probe ping --local --count 100 --interval 0.1 --size 1472 --df 192.0.2.25\n"
                "  droppoint probe ping --from all -6 mx.example.net\n",
    .start = ping_start,
    .expire = ping_expire,
    .stop = ping_stop,
    .print = ping_print,
    .perfdata = ping_perfdata,
};
