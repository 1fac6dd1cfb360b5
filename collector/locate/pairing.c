/* Recognises what belongs together although something on the path rewrites it. */
#include "collector/locate/pairing.h"

#include <stdlib.h>

#include "collector/locate/grow.h"

#define BITS_LEAST 20 /* so much has to speak for two flows being one ... */
#define BITS_AHEAD 6  /* ... and so much more than for either being another's */
#define ROUNDS 4

/* ---- strangers ---- */

static uint64_t seen_by(const struct dp_locate *l, const struct flow *flow)
{
    uint64_t seen = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        seen |= flow->seen_at[v] ? 1ULL << v : 0;
    return seen;
}

static bool waits(const struct dp_locate *l, const struct flow *flow)
{
    for (int half = 0; half < 2; half++)
        for (uint32_t v = 0; v < l->vantage_count; v++)
            if (flow->half[half].data[v].count || flow->half[half].control[v].count)
                return true;
    return false;
}

#define SETS 64

/* Whether any two strangers were seen by different vantage points only. */
static bool any_apart(const struct pairing *p)
{
    uint64_t sets[SETS];
    size_t count = 0;
    for (size_t i = 0; i < p->stranger_count; i++) {
        uint64_t seen = p->strangers[i].seen;
        size_t k = 0;
        while (k < count && sets[k] != seen) {
            if (!(sets[k] & seen))
                return true;
            k++;
        }
        if (k == count && count < SETS)
            sets[count++] = seen;
    }
    return false;
}

/* A point that has not been fed up to then may see it yet. */
static bool too_early(const struct pairing *p, const struct flow *flow)
{
    const struct dp_locate *l = p->l;
    for (uint32_t v = 0; v < l->vantage_count && p->limit != INT64_MAX; v++)
        for (int half = 0; half < 2; half++) {
            const struct lane *data = &flow->half[half].data[v], *control = &flow->half[half].control[v];
            if ((data->seen && to_reference(l, v, data->first_ns) > p->limit) ||
                (control->seen && to_reference(l, v, control->first_ns) > p->limit))
                return true;
        }
    return false;
}

static int find_strangers(struct pairing *p)
{
    const struct dp_locate *l = p->l;
    uint64_t capturing = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        capturing |= l->vantages[v].packets || l->vantages[v].any ? 1ULL << v : 0;
    p->stranger_count = 0;
    for (size_t i = 0; i < l->flow_count; i++) {
        struct flow *flow = l->flows[i];
        if (flow->joined_into)
            continue;
        uint64_t seen = seen_by(l, flow);
        if ((seen & capturing) == capturing || !waits(l, flow) || too_early(p, flow))
            continue;
        int code = dp_grow(&p->strangers, &p->stranger_room, p->stranger_count + 1, sizeof *p->strangers);
        if (code)
            return code;
        p->strangers[p->stranger_count++] = (struct stranger){flow, seen};
    }
    return DP_OK;
}

/* ---- choosing ---- */

struct offer {
    struct candidate candidate;
    struct relation relation;
};

static int most_bits_first(const void *a, const void *b)
{
    const struct offer *x = a, *y = b;
    if (x->relation.bits != y->relation.bits)
        return x->relation.bits > y->relation.bits ? -1 : 1;
    if (x->candidate.a != y->candidate.a)
        return x->candidate.a < y->candidate.a ? -1 : 1;
    return x->candidate.b < y->candidate.b ? -1 : x->candidate.b > y->candidate.b;
}

/* Whether another pair would make either of them part of something else, and has nearly as much for it. Two
 * partners at different vantage points may both be right: legs of one flow. */
static bool contested(const struct pairing *p, const struct offer *offers, size_t count,
                      const struct offer *offer)
{
    for (size_t i = 0; i < count; i++) {
        const struct offer *other = &offers[i];
        if (other->relation.bits + BITS_AHEAD <= offer->relation.bits)
            break;
        const struct candidate *x = &offer->candidate, *y = &other->candidate;
        bool same = x->a == y->a && x->b == y->b;
        uint32_t mine = NO_VANTAGE, theirs = 0;
        if (y->a == x->a || y->b == x->a) {
            mine = x->b;
            theirs = y->a == x->a ? y->b : y->a;
        } else if (y->a == x->b || y->b == x->b) {
            mine = x->a;
            theirs = y->a == x->b ? y->b : y->a;
        } else {
            continue;
        }
        if (same ? x->swapped != y->swapped : (p->strangers[mine].seen & p->strangers[theirs].seen) != 0)
            return true;
    }
    return false;
}

static int relate_all(struct pairing *p, struct offer *offers, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < p->candidate_count; i++) {
        struct offer *offer = &offers[count];
        offer->candidate = p->candidates[i];
        int code = pairing_relate(p, &offer->candidate, &offer->relation);
        if (code)
            return code;
        count += offer->relation.kinship != KINSHIP_NONE;
    }
    if (count)
        qsort(offers, count, sizeof *offers, most_bits_first);
    *ret_count = count;
    return DP_OK;
}

/* What lies between two flows: behind which vantage point; NULL where they are not one behind the other. */
static struct seam *seam_of(const struct pairing *p, const struct candidate *c)
{
    uint64_t a = p->strangers[c->a].seen, b = p->strangers[c->b].seen;
    uint64_t near = (a & -a) < (b & -b) ? a : b, far = near == a ? b : a;
    if (near > (far & -far))
        return NULL;
    uint32_t v = 0;
    while (near >> (v + 1))
        v++;
    return &p->l->seams[v];
}

/* A host treats all connections alike: where a flow itself leaves doubt the others tell. */
static enum kinship decide(const struct relation *r, const struct seam *seam)
{
    if (seam && abs(r->votes) < SURE_VOTES) {
        if (seam->through > 4 * seam->ended)
            return KINSHIP_THROUGH;
        if (seam->ended > 4 * seam->through)
            return KINSHIP_ENDED;
    }
    return r->kinship;
}

static int join_some(struct pairing *p, const struct offer *offers, size_t count, bool last,
                     size_t *ret_joined)
{
    for (size_t i = 0; i < count; i++) {
        const struct offer *offer = &offers[i];
        struct flow *a = p->strangers[offer->candidate.a].flow, *b = p->strangers[offer->candidate.b].flow;
        if (offer->relation.bits < BITS_LEAST)
            break;
        /* Another join of this round may have changed what they are. */
        if (a->joined_into || b->joined_into || contested(p, offers, count, offer))
            continue;
        if (seen_by(p->l, a) != p->strangers[offer->candidate.a].seen ||
            seen_by(p->l, b) != p->strangers[offer->candidate.b].seen)
            continue;
        struct seam *seam = seam_of(p, &offer->candidate);
        struct relation relation = offer->relation;
        relation.kinship = decide(&relation, seam);
        if (relation.kinship == KINSHIP_UNCLEAR && !last)
            continue;
        bool joined;
        int code = legs_join(p, a, b, offer->candidate.swapped, &relation, &joined);
        if (code)
            return code;
        if (joined)
            *ret_joined += joined;
        if (joined && seam)
            (*(relation.kinship == KINSHIP_THROUGH ? &seam->through : &seam->ended))++;
    }
    return DP_OK;
}

static int join_strangers(struct pairing *p, bool last, size_t *ret_joined)
{
    int code = pairing_candidates(p);
    if (code || p->candidate_count == 0)
        return code;
    struct offer *offers = calloc(p->candidate_count, sizeof *offers);
    if (!offers)
        return DP_ERR_NOMEM;
    size_t count = 0;
    code = relate_all(p, offers, &count);
    if (code == DP_OK)
        code = join_some(p, offers, count, last, ret_joined);
    free(offers);
    return code;
}

static int join_all(struct pairing *p, bool last)
{
    for (int round = 0; round < ROUNDS; round++) {
        int code = find_strangers(p);
        if (code || !any_apart(p))
            return code;
        size_t joined = 0;
        code = join_strangers(p, last, &joined);
        if (code || joined == 0)
            return code;
        p->joined += joined;
    }
    return DP_OK;
}

int pairing_sweep(struct dp_locate *l, int64_t limit, bool last, size_t *ret_joined)
{
    struct pairing p = {.l = l, .limit = limit};
    int code = DP_OK;
    for (size_t i = 0; i < l->flow_count && code == DP_OK; i++)
        if (!l->flows[i]->joined_into)
            code = l->flows[i]->proto == 6 ? pairing_align(&p, l->flows[i]) : datagrams_align(l, l->flows[i]);
    if (code == DP_OK && limit != INT64_MIN)
        code = join_all(&p, last);
    for (size_t i = 0; i < l->flow_count && code == DP_OK; i++)
        if (!l->flows[i]->joined_into)
            pairing_find_opener(l, l->flows[i]);
    strand_free(&p.first);
    strand_free(&p.second);
    free(p.strangers);
    free(p.candidates);
    *ret_joined = p.joined;
    return code;
}
