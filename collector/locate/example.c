#include "collector/locate/example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/stage.h"
#include "collector/locate/text.h"

/* Some stream bytes, or a packet without any, that were lost once or more. */
struct example {
    const struct flow *flow; /* NULL: none */
    int half;
    uint64_t start;
    uint32_t payload; /* of the shortest copy: what all of them carried */
    uint32_t copies;
    uint16_t tcp_flags;
    bool control;
    int64_t t_ns;
};

void endpoint_text(const struct flow *flow, bool server, char *text)
{
    const struct dp_endpoints *e = &flow->endpoints;
    (void)dp_endpoint_text(server ? &e->server : &e->client, server ? e->server_port : e->client_port, text,
                           DP_ENDPOINT_TEXT);
}

/* ---- which one ---- */

#define LOOK_AT 2000
#define LOOK_ON 400

static bool better(const struct example *x, const struct example *best)
{
    return !best->flow || (x->copies > best->copies && x->payload >= best->payload) ||
           (best->payload == 0 && x->payload > 0);
}

/* only: of this flow, where it is not NULL. */
static struct example inner_example(const struct dp_locate *l, const struct side *s, const struct flow *only)
{
    struct example best = {.flow = NULL};
    size_t most = s->loss_count < LOOK_AT ? s->loss_count : LOOK_AT;
    for (size_t i = 0; i < most; i++) {
        const struct loss_event *e = &s->losses[i];
        if (only && e->flow != only->id)
            continue;
        struct example x = {l->flows[e->flow], e->half,    e->start, e->payload, 1,
                            e->tcp_flags,      e->control, e->t_ns};
        for (size_t k = i + 1; k < most && k < i + LOOK_ON; k++) {
            const struct loss_event *y = &s->losses[k];
            if (y->flow != e->flow || y->half != e->half || y->control != e->control || y->start != e->start)
                continue;
            x.copies++;
            x.payload = y->payload < x.payload ? y->payload : x.payload;
        }
        if (better(&x, &best))
            best = x;
    }
    return best;
}

static bool beyond_of(const struct dp_finding *f)
{
    return (f->direction == DP_FORWARD) == (f->to == DP_POINT_BEYOND);
}

static const struct outer_event *events_of(const struct dp_finding *f, const struct half *h,
                                           size_t *ret_count)
{
    *ret_count = beyond_of(f) ? h->beyond_count : h->before_count;
    return beyond_of(f) ? h->beyond : h->before;
}

static int half_of(const struct flow *flow, const struct dp_finding *f)
{
    return half_forward(flow, 0) == (f->direction == DP_FORWARD) ? 0 : 1;
}

static struct example outer_example(const struct dp_locate *l, const struct dp_finding *f,
                                    const struct flow *only)
{
    struct example best = {.flow = NULL};
    for (size_t i = 0; i < f->flow_count; i++) {
        const struct flow *flow = l->flows[f->flows[i] - 1];
        if (only && flow != only)
            continue;
        int half = half_of(flow, f);
        size_t count;
        const struct outer_event *events = events_of(f, &flow->half[half], &count);
        for (size_t k = 0; k < count && k < LOOK_ON; k++) {
            const struct outer_event *e = &events[k];
            struct example x = {flow,  half,   e->start, e->payload, 1, e->payload ? 0 : DP_TCP_SYN,
                                false, e->t_ns};
            for (size_t m = k + 1; m < count && m < LOOK_ON; m++)
                x.copies += events[m].start == e->start;
            if (better(&x, &best))
                best = x;
        }
    }
    return best;
}

/* ---- the reply ---- */

/* When the flow lost something first where the finding says; 0: never. */
static int64_t first_loss(const struct flow *flow, const struct dp_finding *f)
{
    const struct half *h = &flow->half[half_of(flow, f)];
    if (f->from >= 0 && f->to >= 0)
        return h->course[f->direction == DP_FORWARD ? f->from : f->to - 1].first_loss_ns;
    size_t count;
    const struct outer_event *events = events_of(f, h, &count);
    int64_t first = 0;
    for (size_t i = 0; i < count; i++)
        if (first == 0 || events[i].t_ns < first)
            first = events[i].t_ns;
    return first;
}

static int64_t reply_after(const struct dp_locate *l, const struct flow *flow, const struct dp_finding *f)
{
    int64_t lost = first_loss(flow, f);
    return lost ? to_reference(l, flow->smtp_vantage, flow->smtp_ns) - lost : -1;
}

const struct flow *example_replied(const struct dp_locate *l, const struct dp_finding *f)
{
    const struct flow *best = NULL;
    for (size_t i = 0; i < f->flow_count; i++) {
        const struct flow *flow = l->flows[f->flows[i] - 1];
        if (flow->smtp_code == 0 || flow->smtp_vantage == NO_VANTAGE || reply_after(l, flow, f) < 0)
            continue;
        if (!best || to_reference(l, flow->smtp_vantage, flow->smtp_ns) <
                         to_reference(l, best->smtp_vantage, best->smtp_ns))
            best = flow;
    }
    return best;
}

char *example_reply(const struct dp_locate *l, const struct dp_finding *f)
{
    const struct flow *flow = example_replied(l, f);
    if (!flow)
        return strdup("");
    return text_format(" The server answered %u %s, %.1f s after the first loss of that session.",
                       flow->smtp_code, flow->smtp_text, (double)reply_after(l, flow, f) / 1e9);
}

/* ---- in words ---- */

/* "DATA bytes 41,440-42,888", "the RCPT command", "the banner", "the SYN" */
static char *what_it_was(const struct example *x, const struct stage *stage)
{
    char a[TEXT_NUMBER], b[TEXT_NUMBER], text[STAGE_TEXT];
    const struct half *h = &x->flow->half[x->half];
    if (x->payload == 0 || x->control)
        return strdup((x->tcp_flags & DP_TCP_SYN)   ? ((x->half == 1) ? "the SYN/ACK" : "the SYN")
                      : (x->tcp_flags & DP_TCP_RST) ? "the RST"
                      : (x->tcp_flags & DP_TCP_FIN) ? "the FIN"
                      : x->flow->proto == 6         ? "the ACK"
                                                    : "the datagram");
    if (stage->kind == STAGE_CONTENT && !stage->reply)
        return text_format("DATA bytes %s-%s", text_number(stage->byte, a),
                           text_number(stage->byte + x->payload, b));
    uint64_t base = h->first_position + (h->syn ? 1 : 0), from = x->start >= base ? x->start - base : 0;
    const char *name = stage_text(stage, text);
    return text_format("%s%sstream bytes %s-%s%s", name, name[0] ? " (" : "", text_number(from, a),
                       text_number(from + x->payload, b), name[0] ? ")" : "");
}

static char *how_often(const struct example *x)
{
    return x->copies > 1 ? text_format("copies 1-%u", x->copies) : strdup("sent once");
}

/* "entered lb1/eth0 and never left lb1/eth1" */
static char *where_it_ended(const struct dp_locate *l, const struct dp_finding *f)
{
    bool forward = f->direction == DP_FORWARD;
    if (f->from < 0 || f->to < 0) {
        uint32_t edge = f->to == DP_POINT_BEYOND ? (uint32_t)l->vantage_count - 1 : 0;
        return text_format(beyond_of(f) ? "passed %s and had to be sent again"
                                        : "came to %s only when what followed had passed it",
                           l->vantages[edge].name);
    }
    const struct vantage *up = &l->vantages[forward ? f->from : f->to],
                         *down = &l->vantages[forward ? f->to : f->from];
    return text_format(up->host == down->host ? "entered %s and never left %s"
                                              : "passed %s and never reached %s",
                       up->name, down->name);
}

/* Nothing of the half was acknowledged behind it any more. */
static bool got_no_further(const struct dp_locate *l, const struct example *x)
{
    return x->flow->proto == 6 && !x->control &&
           evidence_highest_ack(l, &x->flow->half[x->half]) <= x->start + (x->payload == 0 ? 0 : 1);
}

static char *describe(const struct dp_locate *l, const struct dp_finding *f, const struct example *x)
{
    char server[DP_ENDPOINT_TEXT], client[DP_ENDPOINT_TEXT];
    endpoint_text(x->flow, true, server);
    endpoint_text(x->flow, false, client);
    struct stage stage =
        stage_of_bytes(l, x->flow, x->half, x->start, (x->tcp_flags & DP_TCP_SYN) != 0, x->t_ns);
    char *what = what_it_was(x, &stage), *often = how_often(x), *where = where_it_ended(l, f), *text = NULL;
    if (what && often && where)
        text = text_format(" For example %s of the session of %s with %s, %s, %s.%s", what, client, server,
                           often, where, got_no_further(l, x) ? " That session got no further." : "");
    free(what);
    free(often);
    free(where);
    return text;
}

char *example_loss(const struct dp_locate *l, const struct dp_finding *f, const struct side *side)
{
    const struct flow *replied = example_replied(l, f);
    struct example x = side ? inner_example(l, side, replied) : outer_example(l, f, replied);
    if (!x.flow && replied)
        x = side ? inner_example(l, side, NULL) : outer_example(l, f, NULL);
    return x.flow ? describe(l, f, &x) : strdup("");
}
