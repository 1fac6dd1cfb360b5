/* Draws the conclusions: one finding for each fault, worst first, and the verdict. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/example.h"
#include "collector/locate/grow.h"
#include "collector/locate/relays.h"

struct drawing {
    struct dp_locate *l;
    struct dp_report *report;
    size_t room;
};

static struct dp_finding *new_finding(struct drawing *w, enum dp_code code, int from, int to,
                                      enum dp_direction d)
{
    if (dp_grow(&w->report->findings, &w->room, w->report->finding_count + 1, sizeof *w->report->findings))
        return NULL;
    struct dp_finding *f = &w->report->findings[w->report->finding_count++];
    *f = (struct dp_finding){.code = code, .from = from, .to = to, .direction = d};
    return f;
}

static int add_flow(struct dp_finding *f, uint32_t index)
{
    for (size_t i = 0; i < f->flow_count; i++)
        if (f->flows[i] == index + 1)
            return DP_OK;
    uint32_t *grown = realloc(f->flows, (f->flow_count + 1) * sizeof *grown);
    if (!grown)
        return DP_ERR_NOMEM;
    f->flows = grown;
    f->flows[f->flow_count++] = index + 1;
    return DP_OK;
}

/* ---- loss between vantage points ---- */

static double loss_confidence(const struct dp_locate *l, const struct side *s, uint32_t down)
{
    uint64_t proven = 0;
    for (size_t i = 0; i < s->loss_count; i++)
        proven += s->losses[i].proven;
    double c;
    if (proven)
        c = 1 - 0.03 / (double)(proven * proven);
    else
        c = s->loss_count >= 10 ? 0.9 : s->loss_count >= 3 ? 0.8 : 0.6;
    /* A capture that holds nothing at all may just not have run. */
    if (l->vantages[down].packets == 0 && !window_known(&l->vantages[down]))
        c = fmin(c, 0.7);
    /* A point that misses packets by itself: so few losses before it may be such misses. */
    const struct vantage *point = &l->vantages[down];
    double rate = point->packets ? (double)point->missed / (double)(point->packets + point->missed) : 0;
    if (rate > 0 && (double)s->lost_packets <= 3 * rate * (double)s->packets + 3)
        c = fmin(c, 0.6);
    uint64_t silent = 0, shown = 0;
    for (size_t i = 0; i < s->loss_count; i++) {
        silent += s->losses[i].silent;
        shown += s->losses[i].shown;
    }
    if (shown == s->loss_count) /* as beyond the last point */
        c = fmin(c, shown >= 3 ? 0.85 : 0.6);
    if (silent == s->loss_count) /* what its capture shows ends before all of them */
        c = fmin(c, 0.8);
    if (!proven && (losses_reworded(l, s) || point->missed_proven))
        c = fmin(c, 0.85);
    /* Without a clock for it, what it missed by being off in time cannot be told from what was lost. */
    if (l->vantages[down].packets && !l->no_clock_correction && !clock_known(l, down))
        c = fmin(c, 0.6);
    return fmin(c, 0.999);
}

static int list_flows(const struct dp_locate *l, struct dp_finding *f, const struct side *s)
{
    uint8_t *hit = calloc(l->flow_count + 1, 1);
    if (!hit)
        return DP_ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < s->loss_count; i++) {
        count += !hit[s->losses[i].flow];
        hit[s->losses[i].flow] = 1;
    }
    f->flows = calloc(count + 1, sizeof *f->flows);
    for (uint32_t i = 0; f->flows && i < l->flow_count; i++)
        if (hit[i])
            f->flows[f->flow_count++] = i + 1;
    free(hit);
    return f->flows ? DP_OK : DP_ERR_NOMEM;
}

/* The 4xx or 5xx reply that came to a flow after its loss, the most telling one: the earliest after the first
 * loss. */
static int attach_reply(const struct dp_locate *l, struct dp_finding *f)
{
    const struct flow *flow = example_replied(l, f);
    if (!flow)
        return DP_OK;
    f->smtp_code = flow->smtp_code;
    f->smtp_reply = strdup(flow->smtp_text);
    return f->smtp_reply ? DP_OK : DP_ERR_NOMEM;
}

static int list_packets(const struct dp_locate *l, struct dp_finding *f, const struct side *s, uint32_t up)
{
    size_t n = s->loss_count < DP_REPORT_MAX_LOST ? s->loss_count : DP_REPORT_MAX_LOST;
    f->packets = calloc(n + 1, sizeof *f->packets);
    if (!f->packets)
        return DP_ERR_NOMEM;
    f->packet_count = n;
    for (size_t i = 0; i < n; i++) {
        const struct loss_event *e = &s->losses[i];
        f->packets[i] = (struct dp_lost_packet){.vantage = up,
                                                .ts_ns = stamps_own(&l->vantages[up].stamps, e->raw_ns),
                                                .flow = e->flow,
                                                .seq = e->seq,
                                                .payload_len = e->payload,
                                                .lost_bytes = e->lost_bytes};
    }
    return DP_OK;
}

static int draw_loss(struct drawing *w, uint32_t segment, enum dp_direction d)
{
    struct dp_locate *l = w->l;
    const struct side *s = &l->segments[segment].side[d];
    if (s->lost_packets == 0)
        return DP_OK;
    struct dp_finding *f = new_finding(w, DP_CODE_LOSS, (int)segment, (int)segment + 1, d);
    if (!f)
        return DP_ERR_NOMEM;
    /* Where the points in between saw nothing of these flows, the loss lies somewhere before the next that
     * did. */
    uint32_t nearest = s->losses[0].down;
    for (size_t i = 1; i < s->loss_count; i++)
        if (d == DP_FORWARD ? s->losses[i].down < nearest : s->losses[i].down > nearest)
            nearest = s->losses[i].down;
    if (d == DP_FORWARD)
        f->to = (int)nearest;
    else
        f->from = (int)nearest;
    struct pattern_result pattern = pattern_decide(l, segment, d);
    f->pattern = pattern.pattern;
    f->size_over = pattern.size_over;
    f->lost_packets = s->lost_packets;
    f->lost_bytes = s->lost_bytes;
    f->share = s->packets ? fmin((double)s->lost_packets / (double)s->packets, 1) : 0;
    f->confidence = loss_confidence(l, s, nearest);
    if (!losses_firm(l, segment, d))
        f->confidence = fmin(f->confidence, 0.8);
    if (f->pattern == DP_PATTERN_HANDSHAKE && nothing_crosses(l, segment))
        f->confidence = fmin(f->confidence, 0.85);
    f->first_ns = s->losses[0].t_ns;
    f->last_ns = s->losses[s->loss_count - 1].t_ns;
    int code = list_flows(l, f, s);
    if (code == DP_OK)
        code = attach_reply(l, f);
    if (code == DP_OK)
        code = list_packets(l, f, s, d == DP_FORWARD ? segment : segment + 1);
    return code ? code : text_finding(l, f, s, NULL);
}

/* ---- loss outside, as TCP tells ---- */

static bool reported_twice(const struct half *h, const struct outer_event *e)
{
    for (size_t i = 0; i < h->dsack_count; i++)
        if (e->start < h->dsacks[i].end && e->end > h->dsacks[i].start)
            return true;
    return false;
}

struct outer {
    struct dp_finding *finding;
    uint64_t opening;  /* SYNs of connections that never came up */
    uint64_t reported; /* events that the receiver confirmed: it acknowledged selectively what lies behind */
    bool beyond;
    size_t packet_room;
};

static int list_shown(struct outer *o, uint32_t vantage, uint32_t flow, const struct outer_event *e)
{
    struct dp_finding *f = o->finding;
    if (f->packet_count == DP_REPORT_MAX_LOST)
        return DP_OK;
    int code = dp_grow(&f->packets, &o->packet_room, f->packet_count + 1, sizeof *f->packets);
    if (code == DP_OK)
        f->packets[f->packet_count++] = (struct dp_lost_packet){.vantage = vantage,
                                                                .ts_ns = e->raw_ns,
                                                                .flow = flow,
                                                                .seq = (uint32_t)e->start,
                                                                .payload_len = e->payload,
                                                                .lost_bytes = e->payload,
                                                                .only_shown = true};
    return code;
}

static int by_stamp(const void *a, const void *b)
{
    const struct dp_lost_packet *x = a, *y = b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    return x->flow != y->flow ? (x->flow < y->flow ? -1 : 1) : x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int collect_outer(struct drawing *w, struct outer *o, uint32_t index, int half, int from, int to)
{
    struct flow *flow = w->l->flows[index];
    struct half *h = &flow->half[half];
    const struct outer_event *events = o->beyond ? h->beyond : h->before;
    size_t count = o->beyond ? h->beyond_count : h->before_count;
    for (size_t i = 0; i < count; i++) {
        const struct outer_event *e = &events[i];
        if (reported_twice(h, e))
            continue;
        if (!o->finding)
            o->finding =
                new_finding(w, DP_CODE_LOSS, from, to, half_forward(flow, half) ? DP_FORWARD : DP_REVERSE);
        struct dp_finding *f = o->finding;
        if (!f)
            return DP_ERR_NOMEM;
        if (f->lost_packets == 0 || e->t_ns < f->first_ns)
            f->first_ns = e->t_ns;
        if (e->t_ns > f->last_ns)
            f->last_ns = e->t_ns;
        f->lost_packets++;
        f->lost_bytes += e->payload;
        o->opening += !flow->established;
        o->reported += evidence_sacked_above(h, 0, (uint32_t)w->l->vantage_count) > e->end;
        int code = add_flow(f, index);
        if (code == DP_OK)
            code = list_shown(o, from == DP_POINT_BEFORE ? 0 : (uint32_t)from, index, e);
        if (code)
            return code;
    }
    return DP_OK;
}

static int draw_outer(struct drawing *w, enum dp_direction d, bool beyond)
{
    struct dp_locate *l = w->l;
    bool far = (d == DP_FORWARD) == beyond; /* past the far end of the path, else before its near end */
    int last = (int)l->vantage_count - 1;
    struct outer o = {.beyond = beyond};
    uint64_t passed = 0;
    for (uint32_t i = 0; i < l->flow_count; i++) {
        int half = half_forward(l->flows[i], 0) == (d == DP_FORWARD) ? 0 : 1;
        int code = collect_outer(w, &o, i, half, far ? last : DP_POINT_BEFORE, far ? DP_POINT_BEYOND : 0);
        if (code)
            return code;
        uint32_t edge = far ? (uint32_t)last : 0;
        passed += l->flows[i]->half[half].data[edge].seen + l->flows[i]->half[half].control[edge].seen;
    }
    struct dp_finding *f = o.finding;
    if (!f)
        return DP_OK;
    /* A lone retransmission may as well answer a late acknowledgement. */
    if (f->lost_packets < 2 && o.reported == 0 && o.opening == 0) {
        free(f->flows);
        free(f->packets);
        w->report->finding_count--;
        return DP_OK;
    }
    f->pattern = o.opening * 20 >= f->lost_packets * 19 ? DP_PATTERN_HANDSHAKE : DP_PATTERN_RANDOM;
    f->share = passed ? fmin((double)f->lost_packets / (double)passed, 1) : 0;
    f->confidence = f->lost_packets >= 3 ? 0.85 : 0.6;
    qsort(f->packets, f->packet_count, sizeof *f->packets, by_stamp);
    int code = attach_reply(l, f);
    return code ? code : text_finding(l, f, NULL, NULL);
}

/* ---- resets, refusals, rejections, stalls, rewrites ---- */

static struct dp_finding *same_place(struct drawing *w, enum dp_code code, int from, enum dp_direction d)
{
    for (size_t i = 0; i < w->report->finding_count; i++) {
        struct dp_finding *f = &w->report->findings[i];
        if (f->code == code && f->from == from && f->direction == d)
            return f;
    }
    return NULL;
}

/* A point that misses packets may have missed the RST itself: one or two of them prove nothing then, nor do a
 * few, at any point, where nearly all come from farther away. */
static bool reset_doubtful(const struct dp_locate *l, const struct reset_event *e)
{
    uint32_t v = (uint32_t)(e->direction == DP_FORWARD ? e->segment : e->segment + 1);
    const struct vantage *behind = &l->vantages[v];
    bool misses = behind->missed || behind->gap_count || (behind->has_dropped && behind->dropped);
    size_t same = 0, passed = 0;
    for (size_t i = 0; i < l->reset_count; i++)
        same += l->resets[i].segment == e->segment && l->resets[i].direction == e->direction;
    for (size_t i = 0; i < l->flow_count; i++)
        for (int half = 0; half < 2; half++)
            passed += half_forward(l->flows[i], half) == (e->direction == DP_FORWARD) &&
                      l->flows[i]->views[v].reset_ns[half] != 0;
    return misses ? same <= 2 || same * 5 < passed : same * 20 < passed;
}

/* Nothing tells which way a connection runs. */
static bool way_unknown(const struct dp_locate *l, uint32_t index)
{
    const struct flow *flow = l->flows[index];
    return flow->guessed_orientation && !flow->certain_orientation && l->vantage_count > 1;
}

/* A SYN proxy answered the client by itself, and was refused by the server when it asked there. */
static bool refused_behind_proxy(const struct dp_locate *l, const struct flow *flow)
{
    uint32_t v = flow->client_near ? (uint32_t)l->vantage_count - 1 : 0;
    const struct half *asks = &flow->half[0], *answers = &flow->half[1];
    return answers->syn && asks->data[v].seen && answers->data[v].seen == 0 &&
           flow->views[v].reset_ns[1] != 0 && flow->views[v].reset_ns[0] == 0;
}

static int draw_resets(struct drawing *w)
{
    struct dp_locate *l = w->l;
    for (size_t i = 0; i < l->reset_count; i++) {
        const struct reset_event *e = &l->resets[i];
        if (reset_doubtful(l, e) || refused_behind_proxy(l, l->flows[e->flow]))
            continue;
        struct dp_finding *f = same_place(w, DP_CODE_RESET, e->segment, e->direction);
        if (!f) {
            f = new_finding(w, DP_CODE_RESET, e->segment, e->segment + 1, e->direction);
            if (!f)
                return DP_ERR_NOMEM;
            f->confidence = 0.6;
            f->first_ns = e->t_ns;
        }
        if (!way_unknown(l, e->flow) &&
            !l->flows[e->flow]->ttl_only) /* else it may come from the other side */
            f->confidence = 0.97;
        f->last_ns = e->t_ns;
        int code = add_flow(f, e->flow);
        if (code)
            return code;
    }
    for (size_t i = 0; i < w->report->finding_count; i++) {
        struct dp_finding *f = &w->report->findings[i];
        int code = f->code == DP_CODE_RESET ? text_finding(l, f, NULL, NULL) : DP_OK;
        if (code)
            return code;
    }
    return DP_OK;
}

static bool reset_by_middlebox(const struct dp_locate *l, uint32_t flow)
{
    for (size_t i = 0; i < l->reset_count; i++)
        if (l->resets[i].flow == flow)
            return true;
    return false;
}

/* A finding that lies with the end of a flow, in the outer segment there. from_server: the packets that tell
 * come from the server. */
static int draw_at_end(struct drawing *w, enum dp_code code, uint32_t index, bool at_server,
                       enum dp_direction d, struct dp_finding **ret_finding)
{
    struct dp_locate *l = w->l;
    bool far = l->flows[index]->client_near == at_server;
    int from = far ? (int)l->vantage_count - 1 : DP_POINT_BEFORE;
    struct dp_finding *f = same_place(w, code, from, d);
    if (!f) {
        f = new_finding(w, code, from, far ? DP_POINT_BEYOND : 0, d);
        if (!f)
            return DP_ERR_NOMEM;
        f->confidence = 0.6;
    }
    *ret_finding = f;
    return add_flow(f, index);
}

/* Whether the outermost point at an end of a flow saw it. Else a host before that point may be what spoke
 * there. */
static bool end_reached(const struct dp_locate *l, const struct flow *flow, bool at_server)
{
    return flow->seen_at[flow->client_near == at_server ? l->vantage_count - 1 : 0];
}

static bool flow_lost_something(const struct dp_locate *l, const struct flow *flow)
{
    for (int half = 0; half < 2; half++) {
        if (flow->half[half].beyond_count || flow->half[half].before_count)
            return true;
        for (size_t s = 0; s < l->segment_count; s++)
            if (flow->half[half].course[s].lost)
                return true;
    }
    return false;
}

/* Behind the last point on the way to the server that saw the connection, where a host is known to end
 * connections: the segment; -1: none is. */
static int proxied_behind(const struct dp_locate *l, const struct flow *flow)
{
    int last = -1;
    for (int v = 0; v < (int)l->vantage_count; v++)
        if (flow->seen_at[v] && (flow->client_near || last < 0))
            last = v;
    int segment = flow->client_near ? last : last - 1;
    const struct seam *seam = &l->seams[segment];
    return seam->ended > seam->through || relays_cross(l, (uint32_t)segment) ? segment : -1;
}

/* Where the point next to the server never saw the connection, a host before it may have refused it: the
 * proxy's where one is known. */
static int draw_refusal(struct drawing *w, uint32_t index, enum dp_direction answer)
{
    const struct dp_locate *l = w->l;
    const struct flow *flow = l->flows[index];
    bool reached = end_reached(l, flow, true);
    int segment = reached ? -1 : proxied_behind(l, flow);
    struct dp_finding *f;
    if (segment >= 0) {
        f = same_place(w, DP_CODE_RESET, segment, answer);
        if (!f && !(f = new_finding(w, DP_CODE_RESET, segment, segment + 1, answer)))
            return DP_ERR_NOMEM;
        f->confidence = fmax(f->confidence, 0.8);
        return add_flow(f, index);
    }
    int code = draw_at_end(w, DP_CODE_REFUSED, index, true, answer, &f);
    if (code == DP_OK && reached && !way_unknown(l, index))
        f->confidence = 0.95;
    return code;
}

/* Between which points the host lies that announced the zero window: the end of the flow, or, as seen in a
 * leg that does not lead there, the one that ends the leg. False: the end. */
static bool stalled_inside(const struct dp_locate *l, const struct flow *flow, int half, int *ret_from,
                           int *ret_to)
{
    bool far = flow->client_near == (half == 1);
    uint8_t leg = flow->views[flow->half[half].window_vantage].leg;
    if (flow->legs < 2 || leg == (far ? flow->legs - 1 : 0))
        return false;
    uint8_t near_leg = far ? leg : (uint8_t)(leg - 1);
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (flow->seen_at[v] && flow->views[v].leg == near_leg)
            *ret_from = (int)v;
        if (flow->seen_at[l->vantage_count - 1 - v] &&
            flow->views[l->vantage_count - 1 - v].leg == near_leg + 1)
            *ret_to = (int)(l->vantage_count - 1 - v);
    }
    return true;
}

/* Of one end: that it read nothing while the other waited to send. */
static int draw_stall(struct drawing *w, uint32_t index, int half)
{
    struct dp_locate *l = w->l;
    struct flow *flow = l->flows[index];
    const struct half *h = &flow->half[half];
    if (h->longest_zero_to_ns == 0)
        return DP_OK;
    int64_t from = to_reference(l, h->window_vantage, h->longest_zero_from_ns),
            to = to_reference(l, h->window_vantage, h->longest_zero_to_ns);
    if (to - from < 1000000000LL)
        return DP_OK;
    enum dp_direction waiting = half_forward(flow, 1 - half) ? DP_FORWARD : DP_REVERSE;
    struct dp_finding *f;
    int near = 0, far = 0, code = DP_OK;
    if (stalled_inside(l, flow, half, &near, &far)) {
        f = same_place(w, DP_CODE_STALL, near, waiting);
        if (!f && !(f = new_finding(w, DP_CODE_STALL, near, far, waiting)))
            return DP_ERR_NOMEM;
        f->confidence = 0.8; /* what waits there may wait for what lies behind */
        code = add_flow(f, index);
    } else {
        code = draw_at_end(w, DP_CODE_STALL, index, half == 1, waiting, &f);
        if (code == DP_OK && end_reached(l, flow, half == 1))
            f->confidence = 0.95;
    }
    if (code == DP_OK && to - from > f->last_ns - f->first_ns) {
        f->first_ns = from;
        f->last_ns = to;
    }
    return code;
}

static int draw_flow_ends(struct drawing *w, uint32_t index)
{
    struct dp_locate *l = w->l;
    struct flow *flow = l->flows[index];
    struct dp_finding *f;
    enum dp_direction answer = half_forward(flow, 1) ? DP_FORWARD : DP_REVERSE;
    int code = DP_OK;
    bool refused = flow->half[0].syn && flow->half[1].rst && !flow->half[1].syn && !flow->established;
    if ((refused && !reset_by_middlebox(l, index)) || refused_behind_proxy(l, flow))
        code = draw_refusal(w, index, answer);
    if (code || flow_lost_something(l, flow))
        return code;
    if (flow->smtp_code) {
        code = draw_at_end(w, DP_CODE_REJECTED, index, true, answer, &f);
        if (code == DP_OK && end_reached(l, flow, true))
            f->confidence = 0.95;
        if (code == DP_OK && !f->smtp_reply) {
            f->smtp_code = flow->smtp_code;
            f->first_ns = f->last_ns = to_reference(l, flow->smtp_vantage, flow->smtp_ns);
            f->smtp_reply = strdup(flow->smtp_text);
            code = f->smtp_reply ? DP_OK : DP_ERR_NOMEM;
        }
    }
    for (int half = 0; half < 2 && code == DP_OK; half++)
        code = draw_stall(w, index, half);
    return code;
}

static int draw_ends(struct drawing *w)
{
    size_t before = w->report->finding_count;
    for (uint32_t i = 0; i < w->l->flow_count; i++) {
        int code = w->l->flows[i]->proto == 6 ? draw_flow_ends(w, i) : DP_OK;
        if (code)
            return code;
    }
    for (size_t i = before; i < w->report->finding_count; i++) {
        int code = text_finding(w->l, &w->report->findings[i], NULL, NULL);
        if (code)
            return code;
    }
    return DP_OK;
}

static int draw_rewrites(struct drawing *w)
{
    for (size_t i = 0; i < w->l->rewrite_count; i++) {
        const struct rewrite_event *e = &w->l->rewrites[i];
        struct dp_finding *f = same_place(w, DP_CODE_REWRITE, e->segment, e->direction);
        int code = DP_OK;
        if (!f) {
            f = new_finding(w, DP_CODE_REWRITE, e->segment, e->segment + 1, e->direction);
            if (!f)
                return DP_ERR_NOMEM;
            f->confidence = 0.6;
            code = text_finding(w->l, f, NULL, e->what);
        }
        if (!w->l->flows[e->flow]->ttl_only)
            f->confidence = 0.95;
        if (code == DP_OK)
            code = add_flow(f, e->flow);
        if (code)
            return code;
    }
    return DP_OK;
}

int findings_draw(struct dp_locate *l, struct dp_report *report)
{
    struct drawing w = {.l = l, .report = report};
    int code = DP_OK;
    for (uint32_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2 && code == DP_OK; d++)
            code = draw_loss(&w, i, (enum dp_direction)d);
    for (int d = 0; d < 2; d++)
        for (int beyond = 0; beyond < 2 && code == DP_OK; beyond++)
            code = draw_outer(&w, (enum dp_direction)d, beyond);
    if (code == DP_OK)
        code = draw_resets(&w);
    if (code == DP_OK)
        code = draw_ends(&w);
    if (code == DP_OK)
        code = draw_rewrites(&w);
    if (code == DP_OK)
        code = relays_draw(l, report);
    return code ? code : verdict_draw(l, report);
}
