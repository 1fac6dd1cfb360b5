/* Puts flows together that are one. Where a host ends the connection the flow has a leg on either side of it,
 * numbered from the near end, and what the one carries is handed over to the next. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/grow.h"
#include "collector/locate/pairing.h"

struct leg {
    uint32_t low, high; /* vantage points, both included */
    uint8_t number;     /* in its flow */
    bool of_b;
};

/* The legs of both flows from the near end; their number. */
static size_t legs_of(const struct dp_locate *l, const struct flow *a, const struct flow *b,
                      struct leg legs[2 * LEGS_MOST])
{
    size_t count = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        const struct flow *flow = a->seen_at[v] ? a : b->seen_at[v] ? b : NULL;
        if (!flow)
            continue;
        uint8_t number = flow->views[v].leg;
        bool of_b = flow == b;
        size_t i = 0;
        while (i < count && (legs[i].number != number || legs[i].of_b != of_b))
            i++;
        if (i == 2 * LEGS_MOST)
            return i + 1;
        if (i == count)
            legs[count++] = (struct leg){v, v, number, of_b};
        legs[i].high = v;
    }
    return count;
}

bool legs_fit(const struct dp_locate *l, const struct flow *a, const struct flow *b)
{
    struct leg legs[2 * LEGS_MOST];
    size_t count = legs_of(l, a, b, legs);
    if (count > LEGS_MOST)
        return false;
    for (size_t i = 1; i < count; i++)
        if (legs[i].low <= legs[i - 1].high)
            return false;
    return true;
}

/* ---- what is handed over ---- */

static bool begins_at(const struct dp_locate *l, const struct flow *flow, int half, uint8_t leg,
                      uint64_t *ret_position)
{
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        const struct lane *lane = &flow->half[half].data[v];
        if (!flow->seen_at[v] || flow->views[v].leg != leg)
            continue;
        for (size_t i = 0; i < lane->count && i < 16; i++)
            if (lane_at(lane, i)->tcp_flags & DP_TCP_SYN) {
                *ret_position = lane_at(lane, i)->start + 1;
                return true;
            }
    }
    return false;
}

#define HEADER_MOST 1024 /* of the PROXY protocol, with room for its extensions */

/* From where on the bytes of a half are the same on both sides. From the beginning, where both streams begin
 * alike, or one has a header in front. */
static uint64_t same_from(const struct dp_locate *l, const struct flow *flow, uint8_t leg, int half,
                          const struct likeness *like)
{
    uint64_t begin[2][2];
    bool known[2];
    if (half == 0 && flow->origin && flow->origin_end <= like->from &&
        like->from - flow->origin_end <= HEADER_MOST)
        return flow->origin_end;
    for (int h = 0; h < 2; h++)
        known[h] = begins_at(l, flow, h, leg, &begin[h][0]) &&
                   begins_at(l, flow, h, (uint8_t)(leg + 1), &begin[h][1]);
    if (like->different || !known[half])
        return like->from;
    uint64_t *b = begin[half];
    if (b[0] == b[1])
        return b[0];
    uint64_t later = b[0] > b[1] ? b[0] : b[1], header = b[0] > b[1] ? b[0] - b[1] : b[1] - b[0];
    bool rest_alike = known[1 - half] && begin[1 - half][0] == begin[1 - half][1];
    return header <= HEADER_MOST && rest_alike ? later : like->from;
}

/* The vantage points of two legs that are nearest to each other and saw payload of a half. */
static bool facing(const struct dp_locate *l, const struct flow *flow, uint8_t leg, int half, uint32_t *ret_a,
                   uint32_t *ret_b)
{
    bool a = false, b = false;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (!flow->seen_at[v] || flow->half[half].data[v].count == 0)
            continue;
        if (flow->views[v].leg == leg) {
            *ret_a = v;
            a = true;
        } else if (flow->views[v].leg == leg + 1 && !b) {
            *ret_b = v;
            b = true;
        }
    }
    return a && b;
}

static int measure(struct pairing *p, struct flow *flow, uint8_t leg, int half)
{
    struct handover *handover = &flow->handovers[leg];
    uint32_t a = 0, b = 0;
    if (!facing(p->l, flow, leg, half, &a, &b))
        return DP_OK;
    int code = strand_take(&flow->half[half].data[a], &p->first);
    if (code == DP_OK)
        code = strand_take(&flow->half[half].data[b], &p->second);
    if (code)
        return code;
    struct likeness like;
    strands_compare(&p->first, &p->second, 0, &like);
    handover->carries[half] = like.run > 0;
    if (like.run > 0)
        handover->from[half] = same_from(p->l, flow, leg, half, &like);
    return DP_OK;
}

/* ---- joining ---- */

/* What each pair of neighbouring legs hands over: as it was where they were neighbours before. */
static int hand_over(struct pairing *p, struct flow *flow, const struct leg *legs, size_t count,
                     const struct handover *of_a, const struct handover *of_b)
{
    for (size_t i = 0; i + 1 < count; i++) {
        const struct handover *old = legs[i].of_b ? of_b : of_a;
        if (legs[i].of_b == legs[i + 1].of_b && legs[i].number + 1 == legs[i + 1].number && old) {
            flow->handovers[i] = old[legs[i].number];
            continue;
        }
        for (int half = 0; half < 2; half++) {
            int code = measure(p, flow, (uint8_t)i, half);
            if (code)
                return code;
        }
    }
    return DP_OK;
}

static void number_legs(const struct dp_locate *l, struct flow *flow, const struct leg *legs, size_t count)
{
    for (uint32_t v = 0; v < l->vantage_count; v++)
        for (size_t i = 0; i < count; i++)
            if (flow->seen_at[v] && v >= legs[i].low && v <= legs[i].high)
                flow->views[v].leg = (uint8_t)i;
    flow->legs = (uint8_t)count;
    for (int half = 0; half < 2; half++)
        for (size_t i = 0; i < flow->half[half].held_count; i++) {
            struct held_chunk *chunk = &flow->half[half].held[i];
            chunk->leg = flow->views[chunk->vantage].leg;
        }
}

/* Which way a joined flow runs: what was settled already was so in one way. */
struct way {
    bool oriented, certain, near;
};

static struct way way_of(const struct flow *flow)
{
    return (struct way){flow->oriented, flow->certain_orientation, flow->client_near};
}

static void take_way(struct flow *flow, struct way way)
{
    flow->oriented = way.oriented;
    flow->certain_orientation = way.certain;
    flow->client_near = way.near;
}

static struct way way_told(const struct relation *r)
{
    return (struct way){r->near_known, r->near_known, r->near_known ? r->client_near : true};
}

static int join_ended(struct pairing *p, struct flow *into, struct flow *from, const int64_t by[2],
                      bool swapped, const struct relation *r)
{
    struct leg legs[2 * LEGS_MOST];
    size_t count = legs_of(p->l, into, from, legs);
    struct handover *handovers = calloc(count, sizeof *handovers), *old = into->handovers;
    struct way way = flow_settled(p->l, into) ? way_of(into) : way_told(r);
    if (!handovers)
        return DP_ERR_NOMEM;
    int code = flow_join(p->l, into, from, by, swapped, 0);
    if (code) {
        free(handovers);
        return code;
    }
    number_legs(p->l, into, legs, count);
    into->handovers = handovers;
    code = hand_over(p, into, legs, count, old, from->handovers);
    free(old);
    take_way(into, way);
    return code;
}

/* A flow without legs of its own becomes part of the other's leg that it belongs to. */
static int join_through(struct pairing *p, struct flow *into, struct flow *from, const int64_t by[2],
                        bool swapped, const struct relation *r, uint8_t leg)
{
    bool keeps = into->legs > 1 || flow_settled(p->l, into); /* known from how legs follow each other */
    struct way way = keeps ? way_of(into) : way_told(r);
    int code = flow_join(p->l, into, from, by, swapped, leg);
    take_way(into, way);
    return code;
}

static bool within_leg(const struct dp_locate *l, const struct flow *into, const struct flow *from,
                       uint8_t leg)
{
    uint32_t low = NO_VANTAGE, high = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        bool in = from->seen_at[v] || (into->seen_at[v] && into->views[v].leg == leg);
        low = in && low == NO_VANTAGE ? v : low;
        high = in ? v : high;
    }
    for (uint32_t v = low; v <= high && v < l->vantage_count; v++)
        if (into->seen_at[v] && into->views[v].leg != leg)
            return false;
    return true;
}

/* Which views number alike from then on: those that did so with the one that was compared. Where none was,
 * those of the flow that keeps its numbers. */
static void mark_aligned(struct dp_locate *l, struct flow *flow, bool swapped, bool keeps,
                         const bool known[2], const uint8_t compared[2])
{
    for (int half = 0; half < 2; half++) {
        int own = swapped ? 1 - half : half;
        bool with_it = known[half] ? flow->views[compared[half]].aligned[own] : keeps;
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            struct view *view = &flow->views[v];
            if (!flow->seen_at[v])
                continue;
            view->aligned[own] = (view->aligned[own] && with_it) || (known[half] && v == compared[half]);
            view->compared[own] = false;
            view->tried[own] = 0;
        }
    }
}

int legs_join(struct pairing *p, struct flow *a, struct flow *b, bool swapped, const struct relation *r,
              bool *ret_joined)
{
    /* The one that keeps its numbers: what was settled by them stays right. */
    bool turned = flow_settled(p->l, b) || (b->legs > a->legs && !flow_settled(p->l, a));
    struct flow *into = turned ? b : a, *from = turned ? a : b;
    *ret_joined = false;
    if (flow_settled(p->l, from))
        return DP_OK;
    int64_t by[2] = {r->by[0], r->by[1]};
    if (turned) {
        by[0] = -r->by[swapped ? 1 : 0];
        by[1] = -r->by[swapped ? 0 : 1];
    }
    int code;
    if (r->kinship == KINSHIP_THROUGH) {
        uint8_t leg = r->legs[turned ? 1 : 0];
        if (from->legs > 1 || !within_leg(p->l, into, from, leg))
            return DP_OK;
        mark_aligned(p->l, a, false, into == a, r->known, r->views[0]);
        mark_aligned(p->l, b, swapped, into == b, r->known, r->views[1]);
        code = join_through(p, into, from, by, swapped, r, leg);
    } else {
        if (!legs_fit(p->l, into, from))
            return DP_OK;
        mark_aligned(p->l, a, false, into == a, r->known, r->views[0]);
        mark_aligned(p->l, b, swapped, into == b, r->known, r->views[1]);
        code = join_ended(p, into, from, by, swapped, r);
    }
    *ret_joined = code == DP_OK;
    return code;
}
