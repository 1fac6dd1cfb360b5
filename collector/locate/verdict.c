/* The last word: the findings in order, worst first, or why there is no answer, or that all is well. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/relays.h"

#define DOUBTFUL 0.75 /* confidence below which a finding comes after those that stand on firmer ground */
#define FIRM 0.9

static int rank(const struct dp_finding *f)
{
    bool inside = f->from >= 0 && f->to >= 0;
    switch (f->code) {
    case DP_CODE_RESET:
        return 0;
    case DP_CODE_LOSS: /* what two points saw counts more than what TCP shows, if it is as sure */
        return inside && f->confidence >= FIRM ? 1 : 2;
    case DP_CODE_REFUSED:
        return 3;
    case DP_CODE_STALL: /* a reply that tells of it comes after it */
        return 4;
    case DP_CODE_REJECTED:
        return 5;
    default:
        return 6;
    }
}

static int worst_first(const void *a, const void *b)
{
    const struct dp_finding *x = a, *y = b;
    bool doubtful = x->confidence < DOUBTFUL;
    if (doubtful != (y->confidence < DOUBTFUL))
        return doubtful ? 1 : -1;
    if (rank(x) != rank(y))
        return rank(x) - rank(y);
    if (x->lost_bytes != y->lost_bytes)
        return x->lost_bytes > y->lost_bytes ? -1 : 1;
    if (x->lost_packets != y->lost_packets)
        return x->lost_packets > y->lost_packets ? -1 : 1;
    return x->from - y->from;
}

static bool overlap_in_time(const struct dp_locate *l)
{
    int64_t latest_start = INT64_MIN, earliest_end = INT64_MAX;
    for (size_t i = 0; i < l->vantage_count; i++) {
        const struct vantage *v = &l->vantages[i];
        if (!v->any)
            continue;
        if (v->first_ns > latest_start)
            latest_start = v->first_ns;
        if (v->last_ns < earliest_end)
            earliest_end = v->last_ns;
    }
    return latest_start <= earliest_end;
}

/* Packets of which nobody can say what became of them. A few that TCP saw through anyway are no reason for
 * doubt. */
static bool doubt_unknown(const struct dp_locate *l, char **ret_why, char **ret_next)
{
    uint64_t unknown = 0, most = 0;
    const struct vantage *at = NULL;
    bool many = false;
    for (uint32_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct side *s = &l->segments[i].side[d];
            const struct vantage *down = &l->vantages[d == DP_FORWARD ? i + 1 : i];
            bool dropped = down->gap_count || (down->has_dropped && down->dropped);
            unknown += s->unknown_packets;
            many = many || (s->unknown_packets && dropped) || s->unknown_packets * 100 > s->packets;
            if (s->unknown_packets > most) {
                most = s->unknown_packets;
                at = down;
            }
        }
    if (!many || !at)
        return false;
    if (at->gap_count || (at->has_dropped && at->dropped)) {
        *ret_why =
            text_format("%llu packets cannot be accounted for: the capture at %s dropped packets itself, so "
                        "whether they passed there is not known.",
                        (unsigned long long)unknown, at->name);
        *ret_next =
            text_format("Capture again at %s with a larger buffer (tcpdump -B 65536), a narrower filter or a "
                        "shorter snap length (-s 128).",
                        at->name);
    } else {
        *ret_why = text_format(
            "%llu packets cannot be accounted for: whether they were lost before %s, were not captured "
            "there or go another way cannot be told.",
            (unsigned long long)unknown, at->name);
        *ret_next = text_format(
            "Capture again with captures that begin before the connections do and end after them, and "
            "check that %s lies on the path of all this traffic.",
            at->name);
    }
    return true;
}

static bool seen_in(const struct flow *flow, size_t from, size_t to)
{
    for (size_t v = from; v < to; v++)
        if (flow->seen_at[v])
            return true;
    return false;
}

/* The first segment that no flow was seen to cross, though there is traffic on both sides of it; -1: none. */
static int uncrossed(const struct dp_locate *l)
{
    for (size_t i = 0; i < l->segment_count; i++) {
        bool near = false, far = false, crossed = relays_cross(l, (uint32_t)i);
        for (size_t k = 0; k < l->flow_count && !crossed; k++) {
            bool before = seen_in(l->flows[k], 0, i + 1),
                 behind = seen_in(l->flows[k], i + 1, l->vantage_count);
            near = near || before;
            far = far || behind;
            crossed = before && behind;
        }
        if (near && far && !crossed)
            return (int)i;
    }
    return -1;
}

/* Why no answer can be given although nothing was found; NULL: it can. */
static int doubt(const struct dp_locate *l, char **ret_why, char **ret_next)
{
    const struct vantage *first = &l->vantages[0], *last = &l->vantages[l->vantage_count - 1];
    *ret_why = *ret_next = NULL;
    bool any = false, matched = l->vantage_count == 1;
    const struct vantage *empty = NULL, *blind = NULL;
    for (size_t i = 0; i < l->vantage_count; i++) {
        const struct vantage *v = &l->vantages[i];
        any = any || v->packets;
        matched = matched || v->matched;
        empty = !empty && v->packets == 0 ? v : empty;
        if (v->matched == 0 && v->packets && (v == first || v == last))
            blind = v;
    }
    if (!any) {
        *ret_why = text_format("None of the captures holds an IP packet that passes the filter.");
        *ret_next =
            text_format("Capture again while the traffic runs, and check interface names and the filter.");
    } else if (!matched && !empty && !overlap_in_time(l)) {
        *ret_why = text_format("The captures do not overlap in time and have no packet in common.");
        *ret_next = text_format("Capture at all vantage points at the same time.");
    } else if (empty && (empty == first || empty == last || !matched)) {
        *ret_why =
            text_format("The capture at %s holds no packet, so nothing can be said about what passes there.",
                        empty->name);
        *ret_next = text_format(
            "Check that the capture at %s ran at the same time, on the right interface and with the "
            "right filter, and capture again. Where the traffic is tunnelled, the capture's filter must let "
            "the tunnel through ('tcp port 25 or udp port 4789').",
            empty->name);
    } else if (!matched || (blind && l->vantage_count > 1)) {
        const struct vantage *v = blind ? blind : last;
        *ret_why = text_format(
            "No packet at %s was seen at any other vantage point, so the captures cannot be compared.",
            v->name);
        *ret_next = text_format(
            "Check that %s lies on the path of this traffic; if addresses are rewritten before it, "
            "let the capture begin before the connections do.",
            v->name);
    } else if (uncrossed(l) >= 0) {
        const struct vantage *near = &l->vantages[uncrossed(l)], *far = near + 1;
        *ret_why =
            text_format("No traffic seen up to %s was recognised at %s or behind it, so what becomes of it "
                        "between the two cannot be told.",
                        near->name, far->name);
        *ret_next =
            text_format("Check that %s and %s lie on the path of the same traffic; if a proxy or an address "
                        "translation stands between them, let the capture begin before the connections do "
                        "and keep at least 128 bytes of each packet.",
                        near->name, far->name);
    } else if (!doubt_unknown(l, ret_why, ret_next)) {
        return DP_OK;
    }
    return *ret_why && *ret_next ? DP_OK : DP_ERR_NOMEM;
}

int verdict_draw(const struct dp_locate *l, struct dp_report *r)
{
    if (r->finding_count) {
        qsort(r->findings, r->finding_count, sizeof *r->findings, worst_first);
        r->verdict = r->findings[0].code;
        r->verdict_finding = 0;
        r->verdict_summary = strdup(r->findings[0].summary);
        return r->verdict_summary ? DP_OK : DP_ERR_NOMEM;
    }
    int code = doubt(l, &r->verdict_summary, &r->verdict_next_step);
    if (code)
        return code;
    r->verdict = r->verdict_summary ? DP_CODE_INCONCLUSIVE : DP_CODE_CLEAN;
    if (r->verdict == DP_CODE_CLEAN) {
        uint64_t packets = 0;
        for (size_t i = 0; i < l->vantage_count; i++)
            packets += l->vantages[i].packets;
        const char *first = l->vantages[0].name, *last = l->vantages[l->vantage_count - 1].name;
        r->verdict_summary =
            l->vantage_count == 1
                ? text_format("Nothing points to a fault: TCP shows no loss in the %llu packets seen at %s.",
                              (unsigned long long)packets, first)
                : text_format("Nothing was lost between %s and %s, in either direction (%llu packets in %zu "
                              "flows compared).",
                              first, last, (unsigned long long)packets, l->flow_count);
    }
    return r->verdict_summary ? relays_tell(l, &r->verdict_summary) : DP_ERR_NOMEM;
}
