/* Connections that a proxy ends and encrypts anew: no byte is the same on either side. What is left is when
 * they begin and end, and how much they carry. Looked at only where nothing else tells how traffic crosses a
 * host, and a pair counts only where no other could be meant. */
#include <math.h>
#include <stdlib.h>

#include "collector/locate/grow.h"
#include "collector/locate/relays.h"

#define FLOWS_MOST 4096
#define OPENING_NS 3000000000LL /* a proxy opens its own connection within so long */
#define CLOSING_NS 2000000000LL
#define HANDSHAKE_BYTES 6144 /* certificates differ */
#define RECORDS_SHARE 0.05   /* so do the records that a stream is cut into */
#define AHEAD 3              /* any other pair fits so many times worse ... */
#define AHEAD_LEAST 20       /* ... and by so much */

struct outline {
    const struct flow *flow;
    int64_t begin_ns, end_ns; /* reference clock */
    double bytes[2];
    uint32_t best; /* index of the partner that fits best */
    double cost, next_cost;
};

/* Mails in the clear are known by what is in them, or not at all. */
static bool clear_mail(const struct flow *flow)
{
    for (size_t i = 0; i < flow->stage_count; i++)
        if (flow->stages[i].app == DP_SMTP_MAIL || flow->stages[i].app == DP_SMTP_CONTENT)
            return true;
    return false;
}

static bool outline_of(const struct dp_locate *l, const struct flow *flow, struct outline *o)
{
    if (flow->proto != 6 || flow->legs > 1 || !flow->established || !flow->half[0].syn || clear_mail(flow))
        return false;
    *o = (struct outline){
        .flow = flow, .begin_ns = INT64_MAX, .end_ns = INT64_MIN, .cost = INFINITY, .next_cost = INFINITY};
    for (int half = 0; half < 2; half++) {
        const struct half *h = &flow->half[half];
        o->bytes[half] = h->position > h->first_position ? (double)(h->position - h->first_position) : 0;
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            if (h->data[v].seen == 0)
                continue;
            int64_t first = to_reference(l, v, h->data[v].first_ns),
                    last = to_reference(l, v, h->data[v].last_ns);
            o->begin_ns = first < o->begin_ns ? first : o->begin_ns;
            o->end_ns = last > o->end_ns ? last : o->end_ns;
        }
    }
    return o->bytes[0] > 2 && o->bytes[1] > 2;
}

/* How badly b fits as what carries a on; INFINITY: not at all. */
static double cost_of(const struct outline *a, const struct outline *b)
{
    int64_t opens = b->begin_ns - a->begin_ns, closes = llabs(b->end_ns - a->end_ns);
    if (opens < 0 || opens > OPENING_NS || closes > CLOSING_NS)
        return INFINITY;
    double cost = (double)(opens + closes) / 1e6;
    for (int half = 0; half < 2; half++) {
        double apart = fabs(a->bytes[half] - b->bytes[half]);
        if (apart > HANDSHAKE_BYTES + RECORDS_SHARE * fmax(a->bytes[half], b->bytes[half]))
            return INFINITY;
        cost += apart / 200;
    }
    return cost;
}

static void offer(struct outline *o, uint32_t partner, double cost)
{
    if (cost < o->cost) {
        o->next_cost = o->cost;
        o->cost = cost;
        o->best = partner;
    } else if (cost < o->next_cost) {
        o->next_cost = cost;
    }
}

static bool alone(const struct outline *o)
{
    return o->next_cost > AHEAD * o->cost + AHEAD_LEAST;
}

static int by_begin(const void *a, const void *b)
{
    const struct outline *x = a, *y = b;
    if (x->begin_ns != y->begin_ns)
        return x->begin_ns < y->begin_ns ? -1 : 1;
    return x->flow->id < y->flow->id ? -1 : x->flow->id > y->flow->id;
}

/* Nothing is known to cross one segment at least that has traffic on both sides. */
static bool any_uncrossed(const struct dp_locate *l)
{
    for (uint32_t segment = 0; segment < l->segment_count; segment++) {
        bool near = false, far = false, crossed = relays_cross(l, segment);
        for (size_t i = 0; i < l->flow_count && !crossed; i++) {
            bool before = false, behind = false;
            for (uint32_t v = 0; v < l->vantage_count; v++)
                *(v <= segment ? &before : &behind) |= l->flows[i]->seen_at[v] != 0;
            near = near || before;
            far = far || behind;
            crossed = before && behind;
        }
        if (near && far && !crossed)
            return true;
    }
    return false;
}

/* Whether b can carry on what a brought: both reach the same host, whose one clock shows them. Of hosts with
 * nothing in common no one knows how their clocks differ. */
static bool meet(const struct dp_locate *l, const struct flow *a, const struct flow *b)
{
    uint32_t segment;
    if (!relays_apart(l, a, b, &segment))
        return false;
    bool a_near = a->seen_at[segment] != 0;
    const struct flow *far = a_near ? b : a;
    return far->seen_at[segment + 1] && l->vantages[segment].host == l->vantages[segment + 1].host &&
           half_forward(a, 0) == a_near && half_forward(b, 0) == a_near;
}

static int pair_outlines(struct dp_locate *l, struct outline *o, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = i + 1; k < count && o[k].begin_ns - o[i].begin_ns <= OPENING_NS; k++) {
            if (!meet(l, o[i].flow, o[k].flow))
                continue;
            double cost = cost_of(&o[i], &o[k]);
            offer(&o[i], k, cost);
            offer(&o[k], i, cost);
        }
    for (uint32_t i = 0; i < count; i++) {
        const struct outline *a = &o[i], *b = a->cost < INFINITY ? &o[a->best] : NULL;
        if (!b || b->best != i || a->best < i || !alone(a) || !alone(b))
            continue;
        int code = relays_add(&l->relays, a->flow->id, b->flow->id, true);
        if (code)
            return code;
    }
    return DP_OK;
}

int veiled_pair(struct dp_locate *l)
{
    if (l->relays.count || !any_uncrossed(l))
        return DP_OK;
    struct outline *outlines = calloc(FLOWS_MOST, sizeof *outlines);
    if (!outlines)
        return DP_ERR_NOMEM;
    uint32_t count = 0;
    for (size_t i = 0; i < l->flow_count && count < FLOWS_MOST; i++)
        count += outline_of(l, l->flows[i], &outlines[count]);
    if (count)
        qsort(outlines, count, sizeof *outlines, by_begin);
    int code = pair_outlines(l, outlines, count);
    free(outlines);
    return code;
}
