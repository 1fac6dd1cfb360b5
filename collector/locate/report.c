/* Turns the engine's books into the report. */
#include "collector/locate/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/relays.h"

static const char *const code_names[] = {"clean", "loss",     "reset",   "refused",
                                         "stall", "rejected", "rewrite", "inconclusive"};
static const char *const pattern_names[] = {NULL,  "handshake", "size", "flows",
                                            "all", "burst",     "rate", "random"};

const char *dp_code_name(enum dp_code code)
{
    return (unsigned)code < sizeof code_names / sizeof code_names[0] ? code_names[code] : "inconclusive";
}

const char *dp_pattern_name(enum dp_pattern pattern)
{
    return (unsigned)pattern < sizeof pattern_names / sizeof pattern_names[0] ? pattern_names[pattern] : NULL;
}

const char *dp_direction_name(enum dp_direction direction)
{
    return direction == DP_FORWARD ? "forward" : "reverse";
}

int dp_report_exit_code(const struct dp_report *report)
{
    return report->verdict == DP_CODE_CLEAN ? 0 : report->verdict == DP_CODE_INCONCLUSIVE ? 3 : 1;
}

void dp_report_free(struct dp_report *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->vantages && i < r->vantage_count; i++) {
        free(r->vantages[i].name);
        free(r->vantages[i].clock_sets);
    }
    for (size_t i = 0; r->flows && i < r->flow_count; i++)
        free(r->flows[i].seen_as);
    for (size_t i = 0; r->findings && i < r->finding_count; i++) {
        free(r->findings[i].flows);
        free(r->findings[i].smtp_reply);
        free(r->findings[i].summary);
        free(r->findings[i].next_step);
        free(r->findings[i].packets);
    }
    for (size_t i = 0; r->segments && i < r->segment_count; i++)
        for (int d = 0; d < 2; d++)
            free(r->segments[i].side[d].series);
    free(r->vantages);
    free(r->segments);
    free(r->flows);
    free(r->findings);
    free(r->verdict_summary);
    free(r->verdict_next_step);
    free(r);
}

/* ---- what is known only at the end ---- */

static void drop_loss(struct dp_locate *l, uint32_t segment, enum dp_direction d, size_t index, bool unknown)
{
    struct side *s = &l->segments[segment].side[d];
    struct loss_event *e = &s->losses[index];
    struct course *c = &l->flows[e->flow]->half[e->half].course[segment];
    s->lost_packets--;
    s->lost_bytes -= e->lost_bytes;
    s->unknown_packets += unknown;
    c->lost--;
    c->lost_bytes -= e->lost_bytes;
    if (c->lost == 0)
        c->first_loss_ns = c->last_loss_ns = 0;
    int64_t slice = s->slice_width ? (e->t_ns - s->slice_origin) / s->slice_width : -1;
    if (slice >= 0 && (size_t)slice < s->slice_count && s->slices[slice].lost)
        s->slices[slice].lost--;
}

static bool address_seen_at(const struct dp_locate *l, uint32_t vantage, const struct dp_addr *address)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        const struct flow *f = l->flows[i];
        if (f->seen_at[vantage] && (dp_addr_equal(&f->seen_as[vantage].client, address) ||
                                    dp_addr_equal(&f->seen_as[vantage].server, address)))
            return true;
    }
    return false;
}

static bool half_seen_at(const struct half *h, uint32_t vantage)
{
    return h->data[vantage].seen || h->control[vantage].seen;
}

/* Whether the point sees flows of the same kind that the point before it does not: addresses may be rewritten
 * between. */
static bool strangers_at(const struct dp_locate *l, const struct flow *flow, uint32_t down, uint32_t up)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        const struct flow *f = l->flows[i];
        if (f->proto == flow->proto && f->seen_at[down] && !f->seen_at[up] && !f->has_isn && !flow->has_isn)
            return true;
    }
    return false;
}

enum absence { ABSENT_NOT, ABSENT_AROUND, ABSENT_UNCLEAR };

/* Why a point saw nothing at all of the lost packet's half of the flow: it may go around that point, or end
 * before it. */
static enum absence absence_at(const struct dp_locate *l, const struct loss_event *e, uint32_t up)
{
    const struct flow *flow = l->flows[e->flow];
    const struct half *h = &flow->half[e->half], *other = &flow->half[1 - e->half];
    if (half_seen_at(h, e->down))
        return ABSENT_NOT;
    if (!e->proven && relays_end(l, flow))
        return ABSENT_AROUND;
    bool sends_data = false, answered = false;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        sends_data = sends_data || h->data[v].seen;
        answered = answered || half_seen_at(other, v);
    }
    bool unclear = strangers_at(l, flow, e->down, up);
    /* The receiver's answers show that the flow was well. */
    if (flow->proto == 6) {
        size_t answers = 0;
        for (uint32_t v = 0; v < l->vantage_count; v++)
            answers = other->acks[v].count > answers ? other->acks[v].count : answers;
        bool acknowledged = evidence_highest_ack(l, h) > h->first_position;
        return (sends_data ? acknowledged : answers >= 32) ? ABSENT_AROUND
               : unclear                                   ? ABSENT_UNCLEAR
                                                           : ABSENT_NOT;
    }
    if (answered)
        return ABSENT_AROUND;
    if (unclear)
        return ABSENT_UNCLEAR;
    /* Unanswered datagrams to a host that is never seen there may have been for the host in between. */
    const struct dp_addr *to = e->half == 0 ? &flow->endpoints.server : &flow->endpoints.client;
    return address_seen_at(l, e->down, to) ? ABSENT_NOT : ABSENT_UNCLEAR;
}

bool capture_dropped_at(const struct dp_locate *l, uint32_t vantage, int64_t t)
{
    const struct vantage *v = &l->vantages[vantage];
    for (size_t i = 0; i < v->gap_count; i++) {
        int64_t from = to_reference(l, vantage, v->gaps[i].from_ns),
                to = to_reference(l, vantage, v->gaps[i].to_ns);
        if (t >= from - 100000000LL && t <= to + 100000000LL)
            return true;
    }
    return v->gap_count == 0 && v->has_dropped && v->dropped > 0;
}

/* A point that missed what was acknowledged misses other packets as well: only what TCP confirms is called
 * lost there, unless far more is gone than it misses. */
static bool doubts_point(const struct dp_locate *l, const struct side *s, uint32_t down)
{
    const struct vantage *point = &l->vantages[down];
    size_t unproven = 0;
    for (size_t i = 0; i < s->loss_count; i++)
        unproven += s->losses[i].down == down && !s->losses[i].proven;
    double rate = (double)point->missed / (double)(point->packets + point->missed + 1);
    return point->missed_proven > 0 && (double)unproven <= 4 * rate * (double)s->packets + 10;
}

/* A capture that shares no packet with any other and was made at another time, as far as its clock can be
 * believed. */
static bool from_another_time(const struct dp_locate *l, uint32_t vantage, uint32_t other)
{
    const struct vantage *a = &l->vantages[vantage], *b = &l->vantages[other];
    return a->any && b->any && a->matched == 0 && (a->last_ns < b->first_ns || b->last_ns < a->first_ns);
}

/* Still on its way when the capture at `down` ended: nothing that set out later came through either. */
static bool in_flight_at_end(const struct dp_locate *l, const struct side *s, const struct loss_event *e)
{
    const struct vantage *at = &l->vantages[e->down];
    if (s->delay_count == 0 || e->silent || e->t_ns < s->passed_until_ns)
        return false;
    int64_t end = to_reference(l, e->down, capture_end(at));
    return e->t_ns + 2 * s->delay_max > end;
}

/* Acknowledgements are recognised by what they say. A host in between may put others in their place (a SYN
 * proxy, one that rewrites windows), and a point that keeps less of each packet sees less of what they say:
 * where one of a flow vanishes and another comes out of nothing behind that place, it is no loss. */
static bool exchanged(struct dp_locate *l, const struct loss_event *e, uint32_t segment)
{
    struct course *c = &l->flows[e->flow]->half[e->half].course[segment];
    if (!e->control || e->proven || (e->tcp_flags & DP_TCP_RST) || c->appeared == 0)
        return false;
    c->appeared--;
    return true;
}

static void review_side(struct dp_locate *l, uint32_t segment, enum dp_direction d)
{
    struct side *s = &l->segments[segment].side[d];
    uint32_t up = d == DP_FORWARD ? segment : segment + 1;
    size_t kept = 0, shown = 0;
    uint64_t doubts = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        doubts |= doubts_point(l, s, v) ? 1ULL << v : 0;
    for (size_t i = 0; i < s->loss_count; i++)
        shown += s->losses[i].shown;
    for (size_t i = 0; i < s->loss_count; i++) {
        const struct loss_event *e = &s->losses[i];
        enum absence absence = absence_at(l, e, up);
        if (absence == ABSENT_AROUND || in_flight_at_end(l, s, e) || exchanged(l, e, segment) ||
            (e->shown && shown < 2)) /* a lone retransmission may as well answer a late acknowledgement */
            drop_loss(l, segment, d, i, false);
        else if (absence == ABSENT_UNCLEAR || capture_dropped_at(l, e->down, e->t_ns) ||
                 (!e->proven && (doubts >> e->down & 1)) || from_another_time(l, e->down, up))
            drop_loss(l, segment, d, i, true);
        else
            s->losses[kept++] = *e;
    }
    s->loss_count = kept;
}

/* Past the last point of a direction, as TCP shows. */
static uint64_t lost_outside(const struct dp_locate *l, enum dp_direction d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l->flow_count; i++)
        for (int half = 0; half < 2; half++)
            if (half_forward(l->flows[i], half) == (d == DP_FORWARD))
                sum += l->flows[i]->half[half].beyond_count;
    return sum;
}

/* What a point misses by chance looks lost before it when it is lost behind it. So few losses before a point
 * that is known to miss packets say nothing; nor does a stray one where nearly all vanishes behind it. */
static void review_chance(struct dp_locate *l, enum dp_direction d)
{
    uint64_t farther = lost_outside(l, d);
    for (uint32_t i = 0; i < l->segment_count; i++) {
        uint32_t segment = d == DP_FORWARD ? (uint32_t)l->segment_count - 1 - i : i;
        struct side *s = &l->segments[segment].side[d];
        const struct vantage *down = &l->vantages[d == DP_FORWARD ? segment + 1 : segment];
        double rate = down->packets ? (double)down->missed / (double)(down->packets + down->missed) : 0;
        double expected = rate * (double)farther;
        bool stray = s->loss_count * 50 <= farther;
        if (s->loss_count && farther && (stray || (rate > 0 && (double)s->loss_count <= 3 * expected + 3))) {
            for (size_t k = 0; k < s->loss_count; k++)
                drop_loss(l, segment, d, k, true);
            s->loss_count = 0;
        }
        farther += s->lost_packets + s->unknown_packets;
    }
}

static int by_event_time(const void *a, const void *b)
{
    const struct loss_event *x = a, *y = b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static bool direct_loss_in(const struct dp_locate *l, enum dp_direction d, uint32_t low, uint32_t high)
{
    for (uint32_t segment = low; segment < high; segment++) {
        const struct side *s = &l->segments[segment].side[d];
        uint32_t neighbour = d == DP_FORWARD ? segment + 1 : segment;
        for (size_t i = 0; i < s->loss_count; i++)
            if (s->losses[i].down == neighbour)
                return true;
    }
    return false;
}

/* What was lost somewhere in several segments stays unknown where another loss is known to lie in one of
 * them. */
static void review_spans(struct dp_locate *l, uint32_t segment, enum dp_direction d)
{
    struct side *s = &l->segments[segment].side[d];
    uint32_t neighbour = d == DP_FORWARD ? segment + 1 : segment;
    size_t kept = 0;
    for (size_t i = 0; i < s->loss_count; i++) {
        const struct loss_event *e = &s->losses[i];
        uint32_t low = d == DP_FORWARD ? segment : e->down, high = d == DP_FORWARD ? e->down : segment + 1;
        if (e->down != neighbour && direct_loss_in(l, d, low, high))
            drop_loss(l, segment, d, i, true);
        else
            s->losses[kept++] = *e;
    }
    s->loss_count = kept;
}

static void review(struct dp_locate *l)
{
    for (size_t i = 0; i < l->flow_count; i++)
        for (int half = 0; half < 2; half++)
            for (size_t v = 0; v < l->vantage_count; v++) {
                const struct half *h = &l->flows[i]->half[half];
                if (h->data[v].seen || h->control[v].seen) /* else it went around */
                    l->vantages[v].missed += h->missed[v];
            }
    for (uint32_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++)
            review_side(l, i, (enum dp_direction)d);
    for (uint32_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++)
            review_spans(l, i, (enum dp_direction)d);
    review_chance(l, DP_FORWARD);
    review_chance(l, DP_REVERSE);
    for (uint32_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            struct side *s = &l->segments[i].side[d];
            if (s->loss_count)
                qsort(s->losses, s->loss_count, sizeof *s->losses, by_event_time);
        }
}

/* ---- building ---- */

static int build_vantages(struct dp_locate *l, struct dp_report *r)
{
    r->vantages = calloc(l->vantage_count, sizeof *r->vantages);
    if (!r->vantages)
        return DP_ERR_NOMEM;
    r->vantage_count = l->vantage_count;
    for (size_t i = 0; i < l->vantage_count; i++) {
        const struct vantage *v = &l->vantages[i];
        uint64_t dropped = v->dropped, in_gaps = 0;
        for (size_t g = 0; g < v->gap_count; g++)
            in_gaps += v->gaps[g].packets ? v->gaps[g].packets : 1;
        if (in_gaps > dropped)
            dropped = in_gaps;
        r->vantages[i] = (struct dp_vantage_report){.packets = v->packets,
                                                    .matched = v->matched,
                                                    .missed = v->missed,
                                                    .has_capture_dropped = v->has_dropped || v->gap_count,
                                                    .capture_dropped = dropped,
                                                    .clock_offset_ns = (int64_t)v->offset_ns,
                                                    .clock_skew_ppm = v->skew * 1e6,
                                                    .clock_error_ns = v->error_ns};
        r->vantages[i].name = strdup(v->name);
        if (!r->vantages[i].name)
            return DP_ERR_NOMEM;
        int code = steps_report(v, &r->vantages[i]);
        if (code)
            return code;
    }
    return DP_OK;
}

/* What would stand at `index` if the values were sorted (quickselect): two of thousands are wanted. */
static int64_t value_at(struct delay_sample *values, size_t count, size_t index)
{
    ptrdiff_t low = 0, high = (ptrdiff_t)count - 1, wanted = (ptrdiff_t)index;
    while (low < high) {
        int64_t pivot = values[low + (high - low) / 2].delay_ns;
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (values[i].delay_ns < pivot)
                i++;
            while (values[j].delay_ns > pivot)
                j--;
            if (i > j)
                break;
            struct delay_sample swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return values[index].delay_ns;
}

static struct dp_delay_report delay_report(struct side *s)
{
    struct dp_delay_report d = {.known = s->delay_count > 0};
    if (!d.known)
        return d;
    size_t n = s->delay_count < DELAY_SAMPLES ? (size_t)s->delay_count : DELAY_SAMPLES;
    d.min = s->delay_min;
    d.max = s->delay_max;
    d.p50 = value_at(s->delays, n, n / 2);
    d.p99 = value_at(s->delays, n, n - 1 - n / 100);
    return d;
}

static int build_segments(struct dp_locate *l, struct dp_report *r)
{
    r->segments = calloc(l->vantage_count, sizeof *r->segments);
    if (!r->segments)
        return DP_ERR_NOMEM;
    r->segment_count = l->segment_count;
    for (uint32_t i = 0; i < l->segment_count; i++) {
        struct dp_segment_report *to = &r->segments[i];
        to->from = i;
        to->to = i + 1;
        to->host = l->vantages[i].host == l->vantages[i + 1].host;
        for (int d = 0; d < 2; d++) {
            struct side *s = &l->segments[i].side[d];
            to->side[d] = (struct dp_segment_side){.packets = s->packets,
                                                   .bytes = s->bytes,
                                                   .lost_packets = s->lost_packets,
                                                   .lost_bytes = s->lost_bytes,
                                                   .unknown_packets = s->unknown_packets,
                                                   .duplicated_packets = s->duplicated,
                                                   .reordered_packets = s->reordered,
                                                   .delay = delay_report(s)};
        }
    }
    return DP_OK;
}

static bool is_port(const struct flow *f, uint16_t a, uint16_t b)
{
    return f->endpoints.server_port == a || f->endpoints.server_port == b || f->endpoints.client_port == a;
}

static const char *app_name(const struct flow *f)
{
    if (f->proto == 17)
        return is_port(f, 53, 53) ? "dns" : "udp";
    if (f->proto == 1 || f->proto == 58)
        return "icmp";
    if (f->proto != 6)
        return "ip";
    if (is_port(f, 25, 587) || is_port(f, 2525, 2525))
        return "smtp";
    if (is_port(f, 465, 465))
        return "smtps";
    return is_port(f, 80, 8080) ? "http" : is_port(f, 443, 8443) ? "https" : "tcp";
}

static bool same_endpoints(const struct dp_endpoints *a, const struct dp_endpoints *b)
{
    return a->client_port == b->client_port && a->server_port == b->server_port &&
           dp_addr_equal(&a->client, &b->client) && dp_addr_equal(&a->server, &b->server);
}

/* Addresses as at the first vantage point of the path that saw the flow; elsewhere only where they differ. */
static int build_flow(const struct dp_locate *l, const struct flow *f, struct dp_flow_report *to)
{
    to->id = f->id + 1;
    to->serial = f->serial;
    to->proto = f->proto;
    to->endpoints = f->endpoints;
    (void)snprintf(to->app, sizeof to->app, "%s", app_name(f));
    for (size_t s = 0; s < l->segment_count; s++)
        for (int half = 0; half < 2; half++) {
            to->lost_packets += f->half[half].course[s].lost;
            to->lost_bytes += f->half[half].course[s].lost_bytes;
        }
    size_t first = 0;
    while (first + 1 < l->vantage_count && !f->seen_at[first])
        first++;
    if (f->seen_at[first])
        to->endpoints = f->seen_as[first];
    to->seen_as = calloc(l->vantage_count, sizeof *to->seen_as);
    if (!to->seen_as)
        return DP_ERR_NOMEM;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        const struct flow *here = f->seen_at[v] ? f : relays_other(l, f, v);
        if (here && !same_endpoints(&here->seen_as[v], &to->endpoints))
            to->seen_as[to->seen_as_count++] = (struct dp_seen_as){v, here->seen_as[v]};
    }
    return DP_OK;
}

static int build_flows(struct dp_locate *l, struct dp_report *r)
{
    r->flows = calloc(l->flow_count + 1, sizeof *r->flows);
    if (!r->flows)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < l->flow_count; i++) {
        r->flow_count++;
        int code = build_flow(l, l->flows[i], &r->flows[i]);
        if (code)
            return code;
    }
    return DP_OK;
}

int report_build(struct dp_locate *l, struct dp_report **ret_report)
{
    int code = flows_compact(l);
    if (code)
        return code;
    struct dp_report *r = calloc(1, sizeof *r);
    if (!r)
        return DP_ERR_NOMEM;
    r->verdict_finding = -1;
    r->reference_ns = l->reference_ns;
    code = relays_find(l);
    if (code == DP_OK) {
        review(l);
        code = build_vantages(l, r);
    }
    if (code == DP_OK)
        code = build_segments(l, r);
    if (code == DP_OK)
        code = series_build(l, r);
    if (code == DP_OK)
        code = build_flows(l, r);
    if (code == DP_OK)
        code = findings_draw(l, r);
    if (code) {
        dp_report_free(r);
        return code;
    }
    *ret_report = r;
    return DP_OK;
}
