/* Puts findings into words: what was lost, where, and what to do now. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/example.h"
#include "collector/locate/stage.h"
#include "collector/locate/text.h"

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

const char *text_number(uint64_t value, char text[TEXT_NUMBER])
{
    char digits[TEXT_NUMBER];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    int out = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

#define PLACE 512

static const char *interface_of(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? slash + 1 : name;
}

static bool inside_host(const struct dp_locate *l, const struct dp_finding *f)
{
    if (f->from < 0 || f->to < 0)
        return false;
    const char *a = l->vantages[f->from].name, *b = l->vantages[f->to].name;
    size_t n = strcspn(a, "/");
    return n == strcspn(b, "/") && strncmp(a, b, n) == 0;
}

/* "inside lb1, between eth0 and eth1" or "on the way from mx1/eth0 to lb1/eth0". */
static void place(const struct dp_locate *l, const struct dp_finding *f, char text[PLACE])
{
    bool forward = f->direction == DP_FORWARD;
    const char *first = l->vantages[0].name, *last = l->vantages[l->vantage_count - 1].name;
    if (f->to == DP_POINT_BEYOND) {
        (void)snprintf(text, PLACE, "beyond %s, outside the vantage points", last);
    } else if (f->from == DP_POINT_BEFORE) {
        (void)snprintf(text, PLACE, "before %s, outside the vantage points", first);
    } else {
        const char *a = l->vantages[forward ? f->from : f->to].name,
                   *b = l->vantages[forward ? f->to : f->from].name;
        if (f->to - f->from > 1)
            (void)snprintf(text, PLACE, "somewhere between %s and %s (%s saw nothing of these flows)", a, b,
                           l->vantages[forward ? f->from + 1 : f->to - 1].name);
        else if (inside_host(l, f))
            (void)snprintf(text, PLACE, "inside %.*s, between %s and %s", (int)strcspn(a, "/"), a,
                           interface_of(a), interface_of(b));
        else
            (void)snprintf(text, PLACE, "on the link from %s to %s", a, b);
    }
}

static uint32_t smallest_lost(const struct side *side)
{
    uint32_t smallest = UINT32_MAX;
    for (size_t i = 0; i < side->loss_count; i++)
        if (side->losses[i].ip_len < smallest)
            smallest = side->losses[i].ip_len;
    return smallest;
}

static char *describe_pattern(const struct dp_finding *f, const struct side *side)
{
    char n[TEXT_NUMBER], m[TEXT_NUMBER];
    switch (f->pattern) {
    case DP_PATTERN_SIZE:
        return text_format(
            " Only large packets are lost: everything up to %s bytes passed, the smallest lost has %s bytes.",
            text_number(f->size_over, n), text_number(side ? smallest_lost(side) : f->size_over + 1, m));
    case DP_PATTERN_HANDSHAKE:
        return strdup(" Connections do not come up: the handshake is what is lost.");
    case DP_PATTERN_FLOWS:
        return text_format(" %zu flow%s lose%s everything while others pass at the same time.", f->flow_count,
                           f->flow_count == 1 ? "" : "s", f->flow_count == 1 ? "s" : "");
    case DP_PATTERN_ALL:
        return strdup(" From then on nothing passes any more.");
    case DP_PATTERN_BURST:
        return strdup(" It comes in short outages in which everything is lost.");
    case DP_PATTERN_RATE:
        return strdup(" The loss follows the sending rate, as a policer or a full queue does.");
    case DP_PATTERN_RANDOM:
        return strdup(" Neither size, flow nor rate explains which packets are lost.");
    case DP_PATTERN_NONE:
        break;
    }
    return strdup("");
}

static char *loss_summary(const struct dp_locate *l, const struct dp_finding *f, const struct side *side)
{
    char where[PLACE], packets[TEXT_NUMBER], bytes[TEXT_NUMBER];
    place(l, f, where);
    char *pattern = describe_pattern(f, side), *reply = example_reply(l, f),
         *example = example_loss(l, f, side);
    char *text = NULL;
    if (pattern && reply && example)
        text = text_format("%s packet%s (%s payload bytes, %.1f %% of the %s packets) %s lost %s.%s%s%s",
                           text_number(f->lost_packets, packets), f->lost_packets == 1 ? "" : "s",
                           text_number(f->lost_bytes, bytes), f->share * 100, dp_direction_name(f->direction),
                           f->lost_packets == 1 ? "is" : "are", where, pattern, example, reply);
    free(pattern);
    free(reply);
    free(example);
    return text;
}

/* The MSS that surely passes: IPv6 and TCP headers are 60 bytes. RFC 9293 makes 536 the least that is
 * sensible. */
static uint32_t clamp_for(uint32_t size_over)
{
    return size_over >= 596 ? size_over - 60 : 536;
}

static char *host_step(const struct dp_locate *l, const struct dp_finding *f)
{
    const char *a = l->vantages[f->from].name;
    int n = (int)strcspn(a, "/");
    const char *in = interface_of(l->vantages[f->direction == DP_FORWARD ? f->from : f->to].name);
    const char *out = interface_of(l->vantages[f->direction == DP_FORWARD ? f->to : f->from].name);
    switch (f->pattern) {
    case DP_PATTERN_SIZE:
        return text_format(
            "On %.*s, look for what drops packets above %u bytes from %s to %s: `ip link show %s` (MTU), "
            "`nft list ruleset` (rules by length), `nstat -az IpFragFails`. Until then clamp the MSS there, "
            "with "
            "your own table and chain: `nft add rule inet filter forward tcp flags syn tcp option maxseg "
            "size set %u`.",
            n, a, f->size_over, in, out, out, clamp_for(f->size_over));
    case DP_PATTERN_HANDSHAKE:
    case DP_PATTERN_FLOWS:
        return text_format(
            "On %.*s, look for the rule that drops these flows: `nft list ruleset`, `conntrack -L`, "
            "`conntrack -S` (insert_failed, drop), access lists and session limits.",
            n, a);
    case DP_PATTERN_RATE:
        return text_format("On %.*s, look for a policer or a queue that is full: `tc -s qdisc show dev %s`, "
                           "`nft list ruleset` (limit rules), CPU load.",
                           n, a, out);
    default:
        return text_format("On %.*s, look at what happens to packets from %s to %s: `nft list ruleset`, "
                           "`ip -s link show %s`, `tc -s qdisc show dev %s`, `nstat -az | grep -i drop`.",
                           n, a, in, out, out, out);
    }
}

static char *link_step(const struct dp_locate *l, const struct dp_finding *f)
{
    const char *a = l->vantages[f->direction == DP_FORWARD ? f->from : f->to].name;
    const char *b = l->vantages[f->direction == DP_FORWARD ? f->to : f->from].name;
    switch (f->pattern) {
    case DP_PATTERN_SIZE:
        return text_format(
            "Ask the owner of the network between %s and %s for its MTU: IP packets above %u bytes vanish "
            "there and no ICMP says so. Test with `ping -M do -s %u`. Until then clamp the MSS to %u.",
            a, b, f->size_over, f->size_over > 28 ? f->size_over - 28 : f->size_over,
            f->size_over > 60 ? f->size_over - 60 : f->size_over);
    case DP_PATTERN_RATE:
        return text_format(
            "Ask the owner of the network between %s and %s about a rate limit or a full link; compare with "
            "what is ordered. Interface counters: `ip -s link`, `tc -s qdisc`.",
            a, b);
    default:
        return text_format(
            "Look at the link from %s to %s: errors and drops on both interfaces (`ip -s link show`, "
            "`ethtool -S`), the switch ports between them, and ask the network's owner.",
            a, b);
    }
}

static char *loss_step(const struct dp_locate *l, const struct dp_finding *f)
{
    if (f->to == DP_POINT_BEYOND)
        return text_format(
            "Put a vantage point behind %s, or give the network's owner there these times and flows: what is "
            "ours passed it.",
            l->vantages[l->vantage_count - 1].name);
    if (f->from == DP_POINT_BEFORE)
        return text_format("Put a vantage point before %s, on the host that sends, and capture again.",
                           l->vantages[0].name);
    if (f->to - f->from > 1)
        return text_format(
            "Find out why the capture at %s saw nothing of these flows (interface, filter, another way), and "
            "capture again: then the segment can be named.",
            l->vantages[f->direction == DP_FORWARD ? f->from + 1 : f->to - 1].name);
    return inside_host(l, f) ? host_step(l, f) : link_step(l, f);
}

/* The stage of the session that a finding is about, at its moment. */
static void describe_stage(const struct dp_locate *l, const struct dp_finding *f, char text[STAGE_TEXT])
{
    const struct flow *flow = l->flows[f->flows[0] - 1];
    int64_t when = f->first_ns;
    if (f->code == DP_CODE_REJECTED)
        when = to_reference(l, flow->smtp_vantage, flow->smtp_ns);
    struct stage stage = stage_at(l, flow, when);
    if (f->code == DP_CODE_REJECTED)
        stage.reply = true;
    if (f->code == DP_CODE_REFUSED || f->code == DP_CODE_REWRITE)
        stage.kind = STAGE_UNKNOWN; /* goes without saying, says nothing */
    (void)stage_text(&stage, text);
}

static int text_other(const struct dp_locate *l, struct dp_finding *f, const char *what)
{
    char where[PLACE], stage[STAGE_TEXT] = "";
    char server[DP_ENDPOINT_TEXT] = "";
    place(l, f, where);
    if (f->flow_count) {
        endpoint_text(l->flows[f->flows[0] - 1], true, server);
        describe_stage(l, f, stage);
    }
    bool staged = stage[0] != '\0', inner;
    switch (f->code) {
    case DP_CODE_RESET:
        f->summary = text_format("A RST that neither end sent appears %s (%s) and ends the connection%s%s.",
                                 where, dp_direction_name(f->direction), staged ? " at " : "", stage);
        f->next_step = text_format(
            "Look %s for a firewall or load balancer that rejects or times out connections: reject "
            "rules, session limits, idle timeouts, intrusion prevention.",
            where);
        break;
    case DP_CODE_REFUSED:
        f->summary = text_format("%s itself refuses the connection: it answers the SYN with RST.", server);
        f->next_step =
            text_format("Ask whoever runs %s whether the service is up and listens on this port.", server);
        break;
    case DP_CODE_REJECTED:
        f->summary =
            text_format("No packet is lost: the SMTP server %s answered %u %s%s%s%s", server, f->smtp_code,
                        f->smtp_reply ? f->smtp_reply : "", staged ? " (" : "", stage, staged ? ")" : "");
        f->next_step =
            text_format("This is the server's decision, not the network: read its reply, check reputation, "
                        "recipient and message.");
        break;
    case DP_CODE_STALL:
        inner = f->from != DP_POINT_BEFORE && f->to != DP_POINT_BEYOND;
        f->summary = text_format(
            "No packet is lost: %s%s%s the session with %s announced a zero window for %.1f s and "
            "read nothing meanwhile%s%s.",
            inner ? "the proxy " : "an end", inner ? where : "", inner ? " in" : " of", server,
            (double)(f->last_ns - f->first_ns) / 1e9, staged ? ", at " : "", stage);
        f->next_step =
            text_format("Look at the process that should read there: CPU, disk, locks, content filters.");
        break;
    default:
        f->summary =
            text_format("Packets are changed %s (%s): %s.", where, dp_direction_name(f->direction), what);
        f->next_step =
            text_format("Look %s for a firewall, proxy or inspection feature that touches TCP and switch it "
                        "off for this traffic.",
                        where);
        break;
    }
    return f->summary && f->next_step ? DP_OK : DP_ERR_NOMEM;
}

int text_finding(const struct dp_locate *l, struct dp_finding *f, const struct side *side, const char *what)
{
    if (f->summary)
        return DP_OK;
    if (f->code != DP_CODE_LOSS)
        return text_other(l, f, what);
    f->summary = loss_summary(l, f, side);
    f->next_step = loss_step(l, f);
    return f->summary && f->next_step ? DP_OK : DP_ERR_NOMEM;
}
