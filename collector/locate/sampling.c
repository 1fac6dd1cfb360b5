/* What can be learned before anything is settled: which way each flow runs, and how the clocks differ, from
 * packets that every vantage point saw once and that need no clock to be recognised. */
#include "collector/locate/groups.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_COPIES 16
#define CROSSINGS 32

struct orientation {
    uint32_t low, high; /* vantage points between which round trips are compared */
    struct crossing {
        int64_t t_ns,
            difference; /* by the low point's clock; time from low to high in half 0, from high to low in 1 */
    } crossings[2][CROSSINGS];
    size_t counts[2];
    int64_t ttl_votes;
};

static void orientation_from_group(struct orientation *o, int half, const struct reference *r, size_t count,
                                   bool plain)
{
    const struct reference *low = NULL, *high = NULL, *first = &r[0], *last = &r[0];
    for (size_t i = 0; i < count;
         i++) { /* places are vantage numbers here: the flow counts as forward still */
        if (r[i].place == o->low)
            low = &r[i];
        if (r[i].place == o->high)
            high = &r[i];
        if (r[i].place < first->place)
            first = &r[i];
        if (r[i].place > last->place)
            last = &r[i];
    }
    int sign = half == 0 ? 1 : -1;
    if (first->o->ttl > last->o->ttl)
        o->ttl_votes += sign;
    else if (first->o->ttl < last->o->ttl)
        o->ttl_votes -= sign;
    if (!plain || !low || !high || low == high)
        return;
    if (o->counts[half] < CROSSINGS)
        o->crossings[half][o->counts[half]++] =
            (struct crossing){low->o->ts_ns, (high->o->ts_ns - low->o->ts_ns) * sign};
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* How much longer the round trip is at the low point than at the high one: the time there and back between
 * them, whatever their clocks say. Each crossing is paired with the nearest in time of the other half, so
 * that drift does not count; the median of the pairs. False where no two lie near each other. */
static bool round_trip(const struct orientation *o, int64_t *ret_ns)
{
    int64_t sums[CROSSINGS];
    size_t count = 0;
    for (size_t i = 0; i < o->counts[1]; i++) {
        const struct crossing *back = &o->crossings[1][i], *nearest = NULL;
        for (size_t k = 0; k < o->counts[0]; k++) {
            const struct crossing *there = &o->crossings[0][k];
            if (!nearest || llabs(there->t_ns - back->t_ns) < llabs(nearest->t_ns - back->t_ns))
                nearest = there;
        }
        if (nearest && llabs(nearest->t_ns - back->t_ns) < 1000000000LL)
            sums[count++] = nearest->difference + back->difference;
    }
    if (count == 0)
        return false;
    qsort(sums, count, sizeof *sums, by_value);
    *ret_ns = sums[count / 2];
    return true;
}

/* Across a host that ends the connection only payload goes on, and never before it came. */
static bool comparable(const struct work *w, const struct observation *o, uint32_t a, uint32_t b)
{
    uint8_t from = w->flow->views[a].leg, to = w->flow->views[b].leg;
    if (from == to)
        return true;
    return !w->control && o->payload && !(o->tcp_flags & (DP_TCP_SYN | DP_TCP_FIN)) &&
           handover_carries(w->flow, w->half, from, to, o->start);
}

int sample_group(struct work *w, const struct reference *r, size_t count)
{
    struct dp_locate *l = w->l;
    bool forward = half_forward(w->flow, w->half);
    struct observation *seen[DP_LOCATE_MAX_VANTAGES] = {NULL};
    for (size_t i = 0; i < count; i++)
        seen[place_to_vantage(l, forward, r[i].place)] = r[i].o;
    size_t previous = l->vantage_count;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (!seen[v])
            continue;
        if (previous < l->vantage_count && comparable(w, seen[previous], (uint32_t)previous, v)) {
            int code = dp_clock_sample(&l->clocks[previous * l->vantage_count + v], forward,
                                       seen[previous]->ts_ns, seen[v]->ts_ns);
            if (code)
                return code;
        }
        previous = v;
    }
    return DP_OK;
}

/* Copies of the same bytes, as often at both points: in order, unless time stamps or IP IDs speak against it.
 */
static int sample_copies(struct work *w, const struct reference *r, size_t count)
{
    struct dp_locate *l = w->l;
    bool forward = half_forward(w->flow, w->half);
    const struct reference *at[2][SAMPLE_COPIES];
    size_t counts[2] = {0, 0};
    uint32_t places[2] = {0, 0};
    int code = DP_OK;
    for (uint32_t place = 0; place < l->vantage_count && code == DP_OK; place++) {
        counts[1] = 0;
        places[1] = place;
        for (size_t i = 0; i < count; i++)
            if (r[i].place == place && r[i].start == r[0].start && r[i].end == r[0].end &&
                counts[1] < SAMPLE_COPIES)
                at[1][counts[1]++] = &r[i];
        if (counts[1] == 0)
            continue;
        uint8_t legs[2] = {w->flow->views[place_to_vantage(l, forward, places[0])].leg,
                           w->flow->views[place_to_vantage(l, forward, place)].leg};
        bool same = counts[0] == counts[1] && counts[1] < SAMPLE_COPIES && legs[0] == legs[1];
        for (size_t i = 0; i < counts[1] && same; i++)
            same = !copies_differ(at[0][i]->o, at[1][i]->o);
        for (size_t i = 0; i < counts[1] && same && code == DP_OK; i++) {
            uint32_t a = place_to_vantage(l, forward, places[0]), b = place_to_vantage(l, forward, place);
            bool rising = a < b;
            code = dp_clock_sample(&l->clocks[(rising ? a : b) * l->vantage_count + (rising ? b : a)],
                                   forward, at[rising ? 0 : 1][i]->o->ts_ns, at[rising ? 1 : 0][i]->o->ts_ns);
        }
        memcpy(at[0], at[1], sizeof at[0]);
        counts[0] = counts[1];
        places[0] = place;
    }
    return code;
}

static int window_groups(struct work *w, struct orientation *o)
{
    bool near = w->flow->client_near;
    if (o)
        w->flow->client_near = w->half == 0; /* so that places are vantage numbers */
    int code = collect(w);
    w->flow->client_near = near;
    for (size_t i = 0, j; code == DP_OK && i < w->count; i = j) {
        j = group_end(w, i);
        /* Where sequence numbers change a SYN proxy may have answered by itself, and asked later. */
        bool own = w->flow->renumbered && (w->l->references[i].o->tcp_flags & DP_TCP_SYN);
        if (j - i < 2 || own)
            continue;
        bool plain = plain_group(&w->l->references[i], j - i);
        if (o)
            orientation_from_group(o, w->half, &w->l->references[i], j - i, plain);
        else if (plain)
            code = sample_group(w, &w->l->references[i], j - i);
        else
            code = sample_copies(w, &w->l->references[i], j - i);
    }
    return code;
}

#define SURE_NS 200000 /* a difference of round trips that no drift of clocks makes */
#define SAMPLE_WINDOWS 16

/* Looks at plain groups: for orientation at the beginning of the flow, for the clocks at windows all along
 * it. */
static int each_plain_group(struct work *w, struct orientation *o)
{
    for (int half = 0; half < 2; half++) {
        for (int control = 0; control < 2; control++) {
            w->half = half;
            w->control = control;
            size_t most = 0;
            for (size_t v = 0; v < w->l->vantage_count; v++)
                most = lanes_of(w)[v].count > most ? lanes_of(w)[v].count : most;
            bool all = most <= (size_t)SAMPLE_WINDOWS * WINDOW_SIZE;
            w->windows = o ? 1 : all ? 0 : SAMPLE_WINDOWS;
            size_t rounds = o || all ? 1 : SAMPLE_WINDOWS;
            for (w->window = 0; w->window < rounds; w->window++) {
                int code = window_groups(w, o);
                if (code)
                    return code;
            }
        }
    }
    return DP_OK;
}

static bool waits_since(const struct dp_locate *l, const struct flow *flow, int64_t limit)
{
    for (int half = 0; half < 2; half++)
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            const struct lane *data = &flow->half[half].data[v], *control = &flow->half[half].control[v];
            if (data->count && to_reference(l, v, lane_head(data)->ts_ns) <= limit)
                return true;
            if (control->count && to_reference(l, v, lane_head(control)->ts_ns) <= limit)
                return true;
        }
    return false;
}

/* What one leg of a flow tells. */
static int look_at_leg(struct work *w, uint32_t leg, int64_t *votes, int64_t *difference,
                       bool *has_difference)
{
    struct orientation o = {.low = NO_VANTAGE};
    work_on_leg(w, leg);
    for (uint32_t v = w->low; v < w->high; v++) {
        if (w->flow->seen_at[v]) {
            o.low = o.low == NO_VANTAGE ? v : o.low;
            o.high = v;
        }
    }
    int code = each_plain_group(w, &o);
    int64_t longer;
    if (code == DP_OK && round_trip(&o, &longer)) {
        *difference += longer;
        *has_difference = true;
    }
    *votes += o.ttl_votes;
    return code;
}

/* by_itself: only where the flow's own packets tell; the others follow when all that can tell have told. */
static int orient(struct dp_locate *l, struct flow *flow, int64_t limit, bool by_itself)
{
    struct work w = {.l = l, .flow = flow};
    int64_t votes = 0, difference = 0;
    bool has_difference = false;
    for (uint32_t leg = 0; leg < flow->legs; leg++) {
        int code = look_at_leg(&w, leg, &votes, &difference, &has_difference);
        if (code)
            return code;
    }
    /* Without evidence it can wait for more, until its oldest packet has to be settled. */
    if (votes == 0 && !has_difference && (by_itself || !waits_since(l, flow, limit)))
        return DP_OK;
    /* A host on the way may set the TTL anew; that an answer comes before its question is impossible. */
    bool contradicted = has_difference && llabs(difference) > SURE_NS && (difference > 0) != (votes > 0);
    flow->ttl_votes = contradicted ? 0 : votes;
    flow_orient(l, flow, difference, has_difference);
    return DP_OK;
}

static uint8_t points_of(const struct dp_locate *l, const struct flow *flow)
{
    uint8_t points = 0;
    for (size_t v = 0; v < l->vantage_count; v++)
        points = (uint8_t)(points + flow->seen_at[v]);
    return points;
}

int custody_sample(struct dp_locate *l, int64_t limit)
{
    for (int by_itself = 1; by_itself >= 0; by_itself--)
        for (size_t i = 0; i < l->waiting_count; i++) {
            bool done = l->waiting[i]->oriented || l->waiting[i]->joined_into;
            int code = done ? DP_OK : orient(l, l->waiting[i], limit, by_itself);
            if (code)
                return code;
        }
    /* Orientation first, for all: a flow that cannot tell by itself goes by its neighbours. */
    for (size_t i = 0; i < l->waiting_count && !l->no_clock_correction; i++) {
        struct flow *flow = l->waiting[i];
        uint8_t points = points_of(l, flow);
        if (!flow->oriented || (flow->sampled && flow->sampled_points == points))
            continue;
        struct work w = {.l = l, .flow = flow};
        work_on_all(&w);
        int code = each_plain_group(&w, NULL);
        if (code)
            return code;
        flow->sampled = true;
        flow->sampled_points = points;
    }
    return DP_OK;
}
