/* What can be learned before anything is settled: which way each flow runs, and how the clocks differ, from
 * packets that every vantage point saw once and that need no clock to be recognised. */
#include "collector/locate/groups.h"
#include "collector/locate/pairing.h"

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

/* Whether the TTL falls from place to place (1), rises (-1), or neither. Where it does both, a host sets it
 * anew, and it tells nothing. */
static int ttl_course(const struct reference *r, size_t count)
{
    bool fell = false, rose = false;
    const struct reference *here = &r[0];
    for (size_t i = 1; i < count; i++)
        if (r[i].place < here->place)
            here = &r[i];
    for (;;) {
        const struct reference *next = NULL;
        for (size_t i = 0; i < count; i++)
            if (r[i].place > here->place && (!next || r[i].place < next->place))
                next = &r[i];
        if (!next)
            break;
        fell = fell || next->o->ttl < here->o->ttl;
        rose = rose || next->o->ttl > here->o->ttl;
        here = next;
    }
    return fell == rose ? 0 : fell ? 1 : -1;
}

static void orientation_from_group(struct orientation *o, int half, const struct reference *r, size_t count,
                                   bool plain)
{
    const struct reference *low = NULL, *high = NULL;
    for (size_t i = 0; i < count;
         i++) { /* places are vantage numbers here: the flow counts as forward still */
        if (r[i].place == o->low)
            low = &r[i];
        if (r[i].place == o->high)
            high = &r[i];
    }
    int sign = half == 0 ? 1 : -1;
    o->ttl_votes += sign * ttl_course(r, count);
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
 * that drift does not count; the median of the pairs. False where no two lie near each other. ret_sure:
 * nearly all of them differ by more than drift and stamping can make. */
static bool round_trip(const struct orientation *o, int64_t *ret_ns, bool *ret_sure)
{
    int64_t sums[CROSSINGS];
    size_t count = 0, longer = 0, shorter = 0;
    for (size_t i = 0; i < o->counts[1]; i++) {
        const struct crossing *back = &o->crossings[1][i], *nearest = NULL;
        for (size_t k = 0; k < o->counts[0]; k++) {
            const struct crossing *there = &o->crossings[0][k];
            if (!nearest || llabs(there->t_ns - back->t_ns) < llabs(nearest->t_ns - back->t_ns))
                nearest = there;
        }
        int64_t apart = nearest ? llabs(nearest->t_ns - back->t_ns) : INT64_MAX;
        if (apart >= 1000000000LL)
            continue;
        int64_t sum = nearest->difference + back->difference;
        int64_t slack = STAMP_SLACK_NS + (int64_t)(CLOCK_DRIFT * (double)apart);
        longer += sum > slack;
        shorter += sum < -slack;
        sums[count++] = sum;
    }
    if (count == 0)
        return false;
    qsort(sums, count, sizeof *sums, by_value);
    *ret_ns = sums[count / 2];
    *ret_sure = longer * 10 >= count * 9 || shorter * 10 >= count * 9;
    return true;
}

/* Of a flow that runs one way only: how long it takes from the low point to the high one, negative where it
 * runs the other way. False where the clocks do not tell. */
static bool one_way(const struct dp_locate *l, const struct orientation *o, int64_t *ret_ns)
{
    int half = o->counts[0] ? 0 : 1;
    size_t count = o->counts[half], longer = 0, shorter = 0;
    int64_t error;
    if (count == 0 || o->counts[1 - half] || !pairing_clocks_agree(l, o->low, o->high, &error))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct crossing *c = &o->crossings[half][i];
        int64_t apart = half == 0 ? c->difference : -c->difference; /* by their own stamps, high less low */
        int64_t by_clock = to_reference(l, o->high, c->t_ns + apart) - to_reference(l, o->low, c->t_ns);
        longer += by_clock > error;
        shorter += by_clock < -error;
        *ret_ns = by_clock;
    }
    if (longer * 10 < count * 9 && shorter * 10 < count * 9)
        return false;
    *ret_ns = (longer > shorter) == (half == 0) ? 1 : -1;
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

static int sample_group(struct work *w, const struct reference *r, size_t count)
{
    struct dp_locate *l = w->l;
    bool forward = half_forward(w->flow, w->half);
    struct observation *seen[DP_LOCATE_MAX_VANTAGES] = {NULL};
    for (size_t i = 0; i < count; i++)
        seen[place_to_vantage(l, forward, r[i].place)] = r[i].o;
    size_t previous = l->vantage_count, first = l->vantage_count;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (!seen[v])
            continue;
        if (first == l->vantage_count)
            first = v;
        if (previous < l->vantage_count && w->flow->views[previous].leg == w->flow->views[v].leg &&
            stamps_differ(seen[previous], seen[v]))
            return DP_OK; /* one point saw another copy than the other */
        if (previous < l->vantage_count && comparable(w, seen[previous], (uint32_t)previous, v)) {
            int code = dp_clock_sample(&l->clocks[previous * l->vantage_count + v], forward,
                                       seen[previous]->ts_ns, seen[v]->ts_ns);
            if (code)
                return code;
        }
        previous = v;
    }
    /* Where a direction goes around a point in between, only the outer two see both. Not all are needed. */
    if (count > 2 && l->sample_turn++ % 4 == 0 &&
        comparable(w, seen[first], (uint32_t)first, (uint32_t)previous))
        return dp_clock_sample(&l->clocks[first * l->vantage_count + previous], forward, seen[first]->ts_ns,
                               seen[previous]->ts_ns);
    return DP_OK;
}

struct copies {
    const struct reference *at[SAMPLE_COPIES]; /* in order of time */
    size_t count;
    uint32_t place;
};

static void copies_at(struct copies *c, uint32_t place, const struct reference *r, size_t count)
{
    *c = (struct copies){.place = place};
    for (size_t i = 0; i < count; i++)
        if (r[i].place == place && r[i].start == r[0].start && r[i].end == r[0].end &&
            c->count < SAMPLE_COPIES)
            c->at[c->count++] = &r[i];
}

/* The copy that is surely this one; NULL: none. Of a packet that was captured twice there the first, from
 * which it took longest. */
static const struct reference *same_copy(const struct copies *c, const struct reference *r)
{
    const struct reference *same = NULL;
    for (size_t i = 0; i < c->count; i++)
        if (copies_same(c->at[i]->o, r->o) && (!same || c->at[i]->t_ns < same->t_ns))
            same = c->at[i];
    return same;
}

static int sample_two(struct work *w, const struct reference *x, const struct reference *y)
{
    struct dp_locate *l = w->l;
    bool forward = half_forward(w->flow, w->half);
    uint32_t a = place_to_vantage(l, forward, x->place), b = place_to_vantage(l, forward, y->place);
    const struct reference *low = a < b ? x : y, *high = a < b ? y : x;
    return dp_clock_sample(&l->clocks[(a < b ? a : b) * l->vantage_count + (a < b ? b : a)], forward,
                           low->o->ts_ns, high->o->ts_ns);
}

/* Copies of the same bytes. As often at both points: in order, unless time stamps or IP IDs speak against it.
 * Else those that these show to be the same. */
static int sample_copies(struct work *w, const struct reference *r, size_t count)
{
    struct copies before = {.count = 0}, here;
    int code = DP_OK;
    for (uint32_t place = 0; place < w->l->vantage_count && code == DP_OK; place++) {
        copies_at(&here, place, r, count);
        if (here.count == 0)
            continue;
        bool forward = half_forward(w->flow, w->half);
        if (before.count && w->flow->views[place_to_vantage(w->l, forward, before.place)].leg !=
                                w->flow->views[place_to_vantage(w->l, forward, place)].leg)
            before.count = 0;
        bool in_order = before.count == here.count && here.count < SAMPLE_COPIES;
        for (size_t i = 0; i < here.count && in_order; i++)
            in_order = !copies_differ(before.at[i]->o, here.at[i]->o);
        for (size_t i = 0; i < here.count && before.count && code == DP_OK; i++) {
            const struct reference *twin = in_order ? before.at[i] : same_copy(&before, here.at[i]);
            if (twin)
                code = sample_two(w, twin, here.at[i]);
        }
        before = here;
    }
    return code;
}

/* Every byte was seen once at most at each place: packets with other borders here than there. */
static bool once_each(const struct work *w, const struct reference *r, size_t count)
{
    uint64_t ends[DP_LOCATE_MAX_VANTAGES] = {0};
    for (size_t i = 0; i < count; i++) {
        if (r[i].start < ends[r[i].place])
            return false;
        ends[r[i].place] = r[i].end;
    }
    return !w->control;
}

/* A byte passes one place in one packet and the next in another: their stamps bound the clocks as those of
 * one packet do. The first byte that all of these places saw. */
static int sample_byte(struct work *w, const struct reference *r, size_t count)
{
    struct reference of[DP_LOCATE_MAX_VANTAGES];
    uint64_t firsts = 0, byte = 0;
    size_t places = 0;
    for (size_t i = 0; i < count; i++) {
        if (firsts >> r[i].place & 1)
            continue;
        firsts |= 1ULL << r[i].place;
        byte = r[i].start; /* in order of start: the latest first one */
    }
    for (size_t i = 0; i < count; i++)
        if (r[i].start <= byte && byte < r[i].end)
            of[places++] = r[i];
    return places > 1 ? sample_group(w, of, places) : DP_OK;
}

int sample_any(struct work *w, const struct reference *r, size_t count)
{
    if (plain_group(r, count))
        return sample_group(w, r, count);
    return once_each(w, r, count) ? sample_byte(w, r, count) : sample_copies(w, r, count);
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
        struct reference *r = &w->l->references[i];
        if (o)
            orientation_from_group(o, w->half, r, j - i, plain_group(r, j - i));
        else
            code = sample_any(w, r, j - i);
    }
    return code;
}

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

struct told {
    int64_t votes;      /* of TTLs */
    int64_t difference; /* of round trips */
    bool has_difference, sure;
};

/* What one leg of a flow tells. */
static int look_at_leg(struct work *w, uint32_t leg, struct told *told)
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
    bool sure;
    if (code == DP_OK && round_trip(&o, &longer, &sure)) {
        told->difference += longer;
        told->has_difference = true;
        told->sure = told->sure || sure;
    }
    told->votes += o.ttl_votes;
    if (code == DP_OK && !told->has_difference && one_way(w->l, &o, &longer)) {
        told->difference = longer;
        told->has_difference = true;
    }
    return code;
}

/* by_itself: only where the flow's own packets tell; the others follow when all that can tell have told. */
static int orient(struct dp_locate *l, struct flow *flow, int64_t limit, bool by_itself)
{
    struct work w = {.l = l, .flow = flow};
    struct told told = {0};
    for (uint32_t leg = 0; leg < flow->legs; leg++) {
        int code = look_at_leg(&w, leg, &told);
        if (code)
            return code;
    }
    /* Without evidence it can wait for more, until its oldest packet has to be settled. */
    if (told.votes == 0 && !told.has_difference && (by_itself || !waits_since(l, flow, limit)))
        return DP_OK;
    /* A host on the way may set the TTL anew; that an answer comes before its question is impossible. */
    bool contradicted = told.sure && (told.difference > 0) != (told.votes > 0);
    flow->ttl_votes = contradicted ? 0 : told.votes;
    flow_orient(l, flow, told.difference, told.has_difference);
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
