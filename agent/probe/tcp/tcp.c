/* `tcp`: what becomes of a connection to host:port, for each address of the host: who or what answers, and
 * how. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/kinds.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/net/target.h"

#define BANNER_MAX 1024

/* From good to bad: the worst address gives the probe's class. */
enum tcp_class { TCP_OPEN, TCP_REJECTED, TCP_CLOSED, TCP_REFUSED, TCP_UNREACHABLE, TCP_FILTERED };
static const char *const class_names[] = {"open",    "rejected-banner", "closed-by-peer",
                                          "refused", "unreachable",     "filtered"};

struct tcp_probe;

struct tcp_try {
    struct tcp_probe *owner;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    struct dp_dial *dial;
    struct dp_watch *watch;
    struct dp_timer *timer;
    struct dp_dial_result result;
    enum tcp_class class;
    char banner[BANNER_MAX];
    size_t banner_length;
    double banner_ms; /* after the connection stood; -1: none */
    bool reset;       /* closed with RST, not FIN */
    bool done;
};

struct tcp_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct tcp_try *tries;
    size_t count, open_tries;
    uint64_t wait_ms;
};

static const char *next_step(const struct tcp_try *try)
{
    switch (try->class) {
    case TCP_OPEN:
        return "";
    case TCP_REJECTED:
        return "The service itself turns this address away: ask its owner, with the banner and the address "
               "that you send "
               "from; 'droppoint probe dnsbl' tells whether that address is listed.";
    case TCP_CLOSED:
        return "The port accepts and hangs up at once: an access rule of the server (TCP wrapper, service "
               "allow list), or a "
               "proxy without a live server behind it. Ask the server's administrator.";
    case TCP_REFUSED:
        return "The host answers, but nothing listens on this port, or a firewall rejects with a reset: ask "
               "the server's "
               "administrator whether the service runs; 'droppoint probe firewall' on that host tells the "
               "two apart.";
    case TCP_UNREACHABLE:
        if (!try->result.icmp.present)
            return "This host has no way there: check its own routes, addresses and firewall.";
        if (try->result.icmp.from_here)
            return "The last router is this host, and the target does not answer ARP or neighbour discovery: "
                   "is the host up, "
                   "and its address right? Ask the server's administrator.";
        return "Ask the network engineer who runs the router or firewall that sent the ICMP message; "
               "'droppoint probe trace' "
               "shows where it stands on the path.";
    case TCP_FILTERED:
        return "A firewall drops without a word, or the host is down: 'droppoint probe trace' with this port "
               "shows after which "
               "hop it ends; ask the network engineer there.";
    }
    return "";
}

/* Without the last line end. */
static size_t line_length(const char *text, size_t length)
{
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    return length;
}

static json_t *try_json(const struct tcp_try *try)
{
    json_t *entry = json_pack("{s:s, s:i, s:s, s:s}", "address", try->text, "port",
                              dp_address_port(&try->address), "class", class_names[try->class], "family",
                              try->address.any.sa_family == AF_INET ? "ipv4" : "ipv6");
    if (!entry)
        return NULL;
    if (try->result.outcome == DP_DIAL_OPEN)
        (void)json_object_set_new(entry, "connect_ms", json_real(try->result.ms));
    else
        (void)json_object_set_new(entry, "reason", json_string(try->result.why));
    if (try->result.rtt_ms >= 0)
        (void)json_object_set_new(entry, "rtt_ms", json_real(try->result.rtt_ms));
    if (try->banner_length) {
        (void)json_object_set_new(entry, "banner",
                                  dp_peer_text(try->banner, line_length(try->banner, try->banner_length)));
        (void)json_object_set_new(entry, "banner_ms", json_real(try->banner_ms));
    }
    if (try->class == TCP_CLOSED)
        (void)json_object_set_new(entry, "closed_with", json_string(try->reset ? "RST" : "FIN"));
    dp_icmp_json(&try->result.icmp, entry);
    return entry;
}

static void explain(const struct tcp_try *try, char *text, size_t size)
{
    size_t length = line_length(try->banner, try->banner_length), shown = length < 160 ? length : 160;
    switch (try->class) {
    case TCP_OPEN:
        if (try->banner_length)
            (void)snprintf(text, size, "open, connected in %.1f ms, and says \"%.120s\"", try->result.ms,
                           try->banner);
        else
            (void)snprintf(text, size, "open, connected in %.1f ms; it says nothing by itself within %g s",
                           try->result.ms, (double)try->owner->wait_ms / 1000);
        break;
    case TCP_REJECTED:
        (void)snprintf(text, size, "accepts the connection and answers with a rejection: \"%.200s\"",
                       try->banner);
        break;
    case TCP_CLOSED:
        (void)snprintf(text, size, "accepts the connection and closes it at once (%s)%s%.*s",
                       try->reset ? "RST" : "FIN", try->banner_length ? ", saying " : "", (int)shown,
                       try->banner);
        break;
    case TCP_REFUSED:
        (void)snprintf(text, size, "refuses: RST after %.1f ms, nothing listens there or a firewall rejects",
                       try->result.ms);
        break;
    case TCP_UNREACHABLE:
        (void)snprintf(text, size, "is unreachable: %s", try->result.why);
        break;
    case TCP_FILTERED:
        (void)snprintf(text, size, "does not answer: %s after %.1f s", try->result.why,
                       try->result.ms / 1000);
        break;
    }
}

static void conclude(struct tcp_probe *tcp)
{
    const struct tcp_try *worst = &tcp->tries[0];
    json_t *data = dp_probe_data(tcp->probe), *addresses = json_array();
    size_t open = 0;
    for (size_t i = 0; i < tcp->count; i++) {
        worst = tcp->tries[i].class > worst->class ? &tcp->tries[i] : worst;
        open += tcp->tries[i].class == TCP_OPEN;
        (void)json_array_append_new(addresses, try_json(&tcp->tries[i]));
    }
    json_t *top = try_json(worst);
    (void)json_object_update(data, top);
    json_decref(top);
    (void)json_object_del(data, "class");
    (void)json_object_set_new(data, "addresses", addresses);
    char text[400], rest[80] = "";
    explain(worst, text, sizeof text);
    for (char *c = text; *c; c++)
        if (*c == '\r' || *c == '\n')
            *c = ' ';
    if (worst->class != TCP_OPEN && open)
        (void)snprintf(rest, sizeof rest, "; %zu of its %zu addresses %s open", open, tcp->count,
                       open == 1 ? "is" : "are");
    else if (tcp->count > 1)
        (void)snprintf(rest, sizeof rest, "; %zu addresses tried", tcp->count);
    bool v6 = worst->address.any.sa_family == AF_INET6;
    dp_probe_finish(tcp->probe, class_names[worst->class], next_step(worst), "%s%s%s:%u %s%s", v6 ? "[" : "",
                    worst->text, v6 ? "]" : "", tcp->target.port, text, rest);
}

static void settle(struct tcp_try *try, enum tcp_class class)
{
    struct tcp_probe *tcp = try->owner;
    if (try->done)
        return;
    try->done = true;
    try->class = class;
    dp_watch_drop(try->watch);
    dp_timer_drop(try->timer);
    try->watch = NULL;
    try->timer = NULL;
    if (try->result.fd >= 0)
        (void)close(try->result.fd);
    try->result.fd = -1;
    if (--tcp->open_tries == 0)
        conclude(tcp);
}

/* The reply code that the last whole line of an SMTP-like banner has, 0 where it has none; *ret_last: no line
 * follows. */
static int banner_code(const char *banner, size_t length, bool *ret_last)
{
    int code = 0;
    *ret_last = false;
    for (size_t at = 0; at < length;) {
        const char *line = banner + at, *end = memchr(line, '\n', length - at);
        if (!end)
            break;
        size_t size = (size_t)(end - line);
        bool digits = size >= 3;
        for (size_t i = 0; i < 3 && digits; i++)
            digits = line[i] >= '0' && line[i] <= '9';
        code = digits ? (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0' : 0;
        *ret_last = !digits || size == 3 || line[3] != '-';
        at += size + 1;
    }
    return code;
}

static enum tcp_class judge_banner(const struct tcp_try *try, bool closed)
{
    bool last;
    int code = banner_code(try->banner, try->banner_length, &last);
    if (code >= 400 && code <= 599)
        return TCP_REJECTED;
    return closed ? TCP_CLOSED : TCP_OPEN;
}

static void on_banner(void *context, int events)
{
    struct tcp_try *try = context;
    (void)events;
    char *room = try->banner + try->banner_length;
    ssize_t got = recv(try->result.fd, room, BANNER_MAX - 1 - try->banner_length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        try->reset = got < 0 || try->result.reset;
        settle(try, judge_banner(try, true));
        return;
    }
    if (!try->banner_length)
        try->banner_ms = dp_probe_elapsed_ms(try->owner->probe) - try->result.ms;
    try->banner_length += (size_t)got;
    bool last;
    (void)banner_code(try->banner, try->banner_length, &last);
    if (last || try->banner_length == BANNER_MAX - 1)
        settle(try, judge_banner(try, false));
}

static void on_waited(void *context)
{
    struct tcp_try *try = context;
    settle(try, judge_banner(try, false));
}

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct tcp_try *try = context;
    struct tcp_probe *tcp = try->owner;
    try->result = *result;
    dp_dial_drop(try->dial);
    try->dial = NULL;
    switch (result->outcome) {
    case DP_DIAL_OPEN:
        break;
    case DP_DIAL_REFUSED:
        settle(try, TCP_REFUSED);
        return;
    case DP_DIAL_SILENT:
        settle(try, TCP_FILTERED);
        return;
    case DP_DIAL_UNREACHABLE:
        settle(try, TCP_UNREACHABLE);
        return;
    case DP_DIAL_FAILED:
        dp_probe_fail(tcp->probe, DP_ERR_IO, "%s: this host cannot even try: %s", try->text, result->why);
        return;
    }
    uv_loop_t *loop = dp_probe_loop(tcp->probe);
    if (dp_watch_new(loop, try->result.fd, UV_READABLE, on_banner, try, &try->watch) ||
        dp_timer_new(loop, on_waited, try, &try->timer))
        dp_probe_fail(tcp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    else
        dp_timer_start(try->timer, tcp->wait_ms, 0);
}

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct tcp_probe *tcp = context;
    if (code) {
        dp_probe_fail(tcp->probe, code, "%s", why);
        return;
    }
    tcp->tries = calloc(count, sizeof *tcp->tries);
    if (!tcp->tries) {
        dp_probe_fail(tcp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    tcp->count = tcp->open_tries = count;
    uint64_t left = dp_probe_left_ms(tcp->probe);
    for (size_t i = 0; i < count; i++) {
        struct tcp_try *try = &tcp->tries[i];
        *try = (struct tcp_try){.owner = tcp, .address = addresses[i], .banner_ms = -1};
        try->result.fd = -1;
        (void)dp_address_text(&try->address, try->text);
    }
    for (size_t i = 0; i < count; i++)
        if (dp_dial_start(dp_probe_loop(tcp->probe), dp_probe_request(tcp->probe), &addresses[i], left,
                          on_dialled, &tcp->tries[i], &tcp->tries[i].dial)) {
            dp_probe_fail(tcp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
            return;
        }
}

static int tcp_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct dp_host_port target;
    int rc = dp_host_port_parse(dp_request_target(request), &target, diag);
    if (rc)
        return rc;
    if (!target.port)
        return dp_fail(diag, DP_ERR_USAGE, "target '%s' names no port: write HOST:PORT, such as %.100s:25",
                       dp_request_target(request), target.host);
    struct tcp_probe *tcp = calloc(1, sizeof *tcp);
    if (!tcp)
        return DP_ERR_NOMEM;
    tcp->probe = probe;
    tcp->target = target;
    tcp->wait_ms = dp_request_ms(request, "--wait");
    rc = dp_lookup_start(dp_probe_resolver(probe), target.host, dp_request_family(request), target.port,
                         on_addresses, tcp, &tcp->lookup);
    if (rc) {
        free(tcp);
        return rc;
    }
    *ret_state = tcp;
    return 0;
}

static void tcp_expire(void *state)
{
    struct tcp_probe *tcp = state;
    if (!tcp->tries) {
        dp_probe_fail(tcp->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      tcp->target.host);
        return;
    }
    for (size_t i = 0; i < tcp->count; i++) {
        struct tcp_try *try = &tcp->tries[i];
        if (try->done)
            continue;
        if (try->dial) {
            try->result = (struct dp_dial_result){.outcome = DP_DIAL_SILENT,
                                                  .fd = -1,
                                                  .rtt_ms = -1,
                                                  .why = "no answer",
                                                  .ms = dp_probe_elapsed_ms(tcp->probe)};
            settle(try, TCP_FILTERED);
        } else {
            settle(try, judge_banner(try, false));
        }
    }
}

static void tcp_stop(void *state)
{
    struct tcp_probe *tcp = state;
    dp_lookup_drop(tcp->lookup);
    for (size_t i = 0; i < tcp->count; i++) {
        struct tcp_try *try = &tcp->tries[i];
        dp_dial_drop(try->dial);
        dp_watch_drop(try->watch);
        dp_timer_drop(try->timer);
        if (try->result.fd >= 0)
            (void)close(try->result.fd);
    }
    free(tcp->tries);
    free(tcp);
}

static void tcp_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "addresses"), i, entry)
    {
        const json_t *ms = json_object_get(entry, "connect_ms");
        const char *banner = json_string_value(json_object_get(entry, "banner"));
        const char *reason = json_string_value(json_object_get(entry, "reason"));
        fprintf(out, "%-40s %-16s", json_string_value(json_object_get(entry, "address")),
                json_string_value(json_object_get(entry, "class")));
        if (ms)
            fprintf(out, " %8.1f ms", json_number_value(ms));
        fprintf(out, "  %s\n", banner ? banner : reason ? reason : "");
    }
}

static void tcp_perfdata(const json_t *data, FILE *out)
{
    const json_t *ms = json_object_get(data, "connect_ms");
    if (ms)
        fprintf(out, "connect=%.1fms", json_number_value(ms));
}

static const struct dp_probe_option options[] = {
    {"--wait", DP_OPT_SECONDS, "SECONDS", "3", 0, 600000, NULL, false,
     "how long to wait for a banner, or for the peer to hang up, once connected"},
};

const struct dp_probe_kind dp_probe_tcp = {
    .name = "tcp",
    .about = "What becomes of a TCP connection: open, refused, filtered, unreachable (by whom), turned away.",
    .target_text = "HOST:PORT",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 10000,
    .examples = "  droppoint probe tcp --local mx.example.net:25\n"
                "  droppoint probe tcp --local -6 --wait 10 mx.example.net:25\n"
                "  droppoint probe tcp --from all mx.example.net:25\n",
    .start = tcp_start,
    .expire = tcp_expire,
    .stop = tcp_stop,
    .print = tcp_print,
    .perfdata = tcp_perfdata,
};
