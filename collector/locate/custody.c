/* Custody of byte intervals: puts what all vantage points saw of a flow direction together into
 * transmissions. A super-packet at one point, the packets it is cut into at the next and the one they are
 * merged into at a third cover the same stream positions; where their borders differ, the positions between
 * any two borders are looked at by themselves. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

/* An observation in its place. For packets without stream positions `start` is their key. */
struct reference {
    uint64_t start, end;
    struct observation *o;
    int64_t t_ns; /* reference clock */
    uint32_t place;
};

/* What is being put together: one half of a flow. */
struct work {
    struct dp_locate *l;
    struct flow *flow;
    int half;
    bool control;
    int64_t limit;
    size_t count; /* of l->references */
    /* Which part of each lane to look at: window number `window` of `windows`, or all where windows is 0. */
    size_t window, windows;
};

#define WINDOW_SIZE 256 /* observations of a lane in one window */

static struct lane *lanes_of(struct work *w)
{
    struct half *h = &w->flow->half[w->half];
    return w->control ? h->control : h->data;
}

static int by_start_then_time(const void *a, const void *b)
{
    const struct reference *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Nearly sorted as a rule (a retransmission here and there): then insertion is the fastest, else a real sort
 * is. */
static void sort_references(struct reference *r, size_t count)
{
    size_t moves = 0, most = 32 * count + 1024;
    for (size_t i = 1; i < count; i++) {
        if (by_start_then_time(&r[i - 1], &r[i]) <= 0)
            continue;
        struct reference moving = r[i];
        size_t k = i;
        for (; k > 0 && moves < most && by_start_then_time(&r[k - 1], &moving) > 0; k--, moves++)
            r[k] = r[k - 1];
        r[k] = moving;
        if (moves >= most) {
            qsort(r, count, sizeof *r, by_start_then_time);
            return;
        }
    }
}

static void lane_range(const struct work *w, const struct lane *lane, size_t *ret_from, size_t *ret_to)
{
    *ret_from = 0;
    *ret_to = lane->count;
    if (w->windows == 0)
        return;
    *ret_from = lane->count * w->window / w->windows;
    if (lane->count - *ret_from > WINDOW_SIZE)
        *ret_to = *ret_from + WINDOW_SIZE;
}

/* Collects the pending observations of all vantage points in order of stream position. */
static int collect(struct work *w)
{
    struct dp_locate *l = w->l;
    struct lane *lanes = lanes_of(w);
    bool forward = half_forward(w->flow, w->half);
    struct {
        struct observation *next, *end;
        uint32_t vantage;
    } heads[DP_LOCATE_MAX_VANTAGES];
    size_t head_count = 0, need = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        size_t from, to;
        lane_range(w, &lanes[v], &from, &to);
        if (from == to)
            continue;
        heads[head_count].next = lanes[v].items + from;
        heads[head_count].end = lanes[v].items + to;
        heads[head_count++].vantage = v;
        need += to - from;
    }
    w->count = 0;
    int code = dp_grow(&l->references, &l->reference_room, need, sizeof *l->references);
    if (code)
        return code;
    /* A merge by hand: lanes are mostly in order, so that little is left to sort. */
    struct reference *r = l->references;
    while (head_count) {
        size_t best = 0;
        for (size_t i = 1; i < head_count; i++)
            if (heads[i].next->start < heads[best].next->start)
                best = i;
        struct observation *o = heads[best].next++;
        *r++ = (struct reference){.start = o->start,
                                  .end = o->start + o->span,
                                  .o = o,
                                  .t_ns = to_reference(l, heads[best].vantage, o->ts_ns),
                                  .place = place_to_vantage(l, forward, heads[best].vantage)};
        if (heads[best].next == heads[best].end)
            heads[best] = heads[--head_count];
    }
    w->count = need;
    sort_references(l->references, need);
    return DP_OK;
}

/* The end of the group that begins at i: references that overlap, or that have the same key. */
static size_t group_end(const struct work *w, size_t i)
{
    const struct reference *r = w->l->references;
    size_t j = i + 1;
    if (w->control) {
        while (j < w->count && r[j].start == r[i].start)
            j++;
        return j;
    }
    uint64_t end = r[i].end;
    while (j < w->count && r[j].start < end) {
        if (r[j].end > end)
            end = r[j].end;
        j++;
    }
    return j;
}

/* Whether every vantage point saw the group at most once and in the same shape: then nothing has to be told
 * apart. */
static bool plain_group(const struct reference *r, size_t count)
{
    uint64_t places = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bit = 1ULL << r[i].place;
        if ((places & bit) || r[i].start != r[0].start || r[i].end != r[0].end)
            return false;
        places |= bit;
    }
    return true;
}

/* ---- clock samples and orientation ---- */

struct orientation {
    uint32_t low, high; /* vantage points between which round trips are compared */
    bool has[2];
    int64_t best[2];
    int64_t begun_ns;
    int64_t ttl_votes;
};

static void orientation_from_group(struct orientation *o, int half, const struct reference *r, size_t count)
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
    if (!low || !high || low == high)
        return;
    /* Only the first second of the flow: clocks that drift must not spoil the comparison. */
    if (o->begun_ns == 0)
        o->begun_ns = low->o->ts_ns;
    if (low->o->ts_ns - o->begun_ns > 1000000000LL || o->begun_ns - low->o->ts_ns > 1000000000LL)
        return;
    int64_t difference = (high->o->ts_ns - low->o->ts_ns) * sign;
    if (!o->has[half] || difference < o->best[half]) {
        o->has[half] = true;
        o->best[half] = difference;
    }
}

static int sample_group(struct work *w, const struct reference *r, size_t count)
{
    struct dp_locate *l = w->l;
    bool forward = half_forward(w->flow, w->half);
    struct observation *seen[DP_LOCATE_MAX_VANTAGES] = {NULL};
    for (size_t i = 0; i < count; i++)
        seen[place_to_vantage(l, forward, r[i].place)] = r[i].o;
    size_t previous = l->vantage_count;
    for (size_t v = 0; v < l->vantage_count; v++) {
        if (!seen[v])
            continue;
        if (previous < l->vantage_count) {
            int code = dp_clock_sample(&l->clocks[previous * l->vantage_count + v], forward,
                                       seen[previous]->ts_ns, seen[v]->ts_ns);
            if (code)
                return code;
        }
        previous = v;
    }
    return DP_OK;
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
        if (j - i < 2 || !plain_group(&w->l->references[i], j - i))
            continue;
        if (o)
            orientation_from_group(o, w->half, &w->l->references[i], j - i);
        else
            code = sample_group(w, &w->l->references[i], j - i);
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
            if (data->count && to_reference(l, v, data->items[0].ts_ns) <= limit)
                return true;
            if (control->count && to_reference(l, v, control->items[0].ts_ns) <= limit)
                return true;
        }
    return false;
}

static int orient(struct dp_locate *l, struct flow *flow, int64_t limit)
{
    struct work w = {.l = l, .flow = flow};
    struct orientation o = {.low = NO_VANTAGE};
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (flow->seen_at[v]) {
            o.low = o.low == NO_VANTAGE ? v : o.low;
            o.high = v;
        }
    }
    int code = each_plain_group(&w, &o);
    if (code)
        return code;
    bool has_difference = o.has[0] && o.has[1];
    /* Without evidence it can wait for more, until its oldest packet has to be settled. */
    if (o.ttl_votes == 0 && !has_difference && !waits_since(l, flow, limit))
        return DP_OK;
    flow->ttl_votes = o.ttl_votes;
    flow_orient(l, flow, o.best[0] + o.best[1], has_difference);
    return DP_OK;
}

int custody_sample(struct dp_locate *l, int64_t limit)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        int code = l->flows[i]->oriented ? DP_OK : orient(l, l->flows[i], limit);
        if (code)
            return code;
    }
    /* Orientation first, for all: a flow that cannot tell by itself goes by its neighbours. */
    for (size_t i = 0; i < l->flow_count && !l->no_clock_correction; i++) {
        struct flow *flow = l->flows[i];
        if (flow->sampled || !flow->oriented)
            continue;
        struct work w = {.l = l, .flow = flow};
        int code = each_plain_group(&w, NULL);
        if (code)
            return code;
        flow->sampled = true;
    }
    return DP_OK;
}

/* ---- telling copies apart ---- */

static struct transmission *open_new(struct work *w, size_t *count)
{
    if (dp_grow(&w->l->open, &w->l->open_room, *count + 1, sizeof *w->l->open))
        return NULL;
    struct transmission *t = &w->l->open[(*count)++];
    t->flow = w->flow;
    t->half = w->half;
    t->duplicate = false;
    t->next_copy_ns = 0;
    t->other_arrival_ns = 0;
    t->other_unseen = false;
    memset(t->seen, 0, w->l->vantage_count * sizeof(t->seen[0]));
    return t;
}

static void transmission_see(struct transmission *t, const struct reference *r)
{
    t->seen[r->place] = r->o;
    t->t_ns[r->place] = r->t_ns;
    t->last = r->place;
}

enum likeness { DIFFERENT, POSSIBLE, SAME };

/* Whether two observations can be one packet, by what routers leave alone. */
static enum likeness likeness(const struct observation *a, const struct observation *b)
{
    bool stamps = (a->marks & MARK_HAS_TS) && (b->marks & MARK_HAS_TS);
    bool ids = (a->marks & MARK_HAS_IP_ID) && (b->marks & MARK_HAS_IP_ID) && a->start == b->start &&
               a->span == b->span;
    if (stamps && a->tsval != b->tsval)
        return DIFFERENT;
    if (ids && a->ip_id != b->ip_id)
        return DIFFERENT;
    return stamps || ids ? SAME : POSSIBLE;
}

static int64_t clock_tolerance(const struct dp_locate *l)
{
    int64_t worst = 0;
    for (size_t v = 0; v < l->vantage_count; v++) {
        if (l->vantages[v].error_ns < 0)
            return 50000000; /* not known: TCP's copies are farther apart than this almost always */
        if (l->vantages[v].error_ns > worst)
            worst = l->vantages[v].error_ns;
    }
    return worst + 20000;
}

struct matching {
    struct work *w;
    struct reference **at; /* covers of one place in order of time */
    size_t count;
    uint8_t *used;
    size_t open_count; /* transmissions that upstream places know */
    uint32_t place;
    int64_t tolerance;
};

static bool can_follow(const struct matching *m, const struct transmission *t, const struct reference *r)
{
    return t->last < m->place && !t->seen[m->place] && t->t_ns[t->last] <= r->t_ns + m->tolerance;
}

/* Each cover takes the latest transmission that set out before it came, the last cover first: where as many
 * came as set out, that keeps their order, and where fewer came, it is the earlier copies that were lost. */
static void match_like(struct matching *m, enum likeness wanted)
{
    struct transmission *open = m->w->l->open;
    for (size_t i = m->count; i-- > 0;) {
        struct transmission *best = NULL;
        for (size_t k = 0; k < m->open_count && !m->used[i]; k++) {
            struct transmission *t = &open[k];
            if (can_follow(m, t, m->at[i]) && likeness(t->seen[t->last], m->at[i]->o) == wanted &&
                (!best || t->t_ns[t->last] >= best->t_ns[best->last]))
                best = t;
        }
        if (best) {
            transmission_see(best, m->at[i]);
            m->used[i] = 1;
        }
    }
}

/* What nobody upstream saw: a packet sent out twice, or one that the upstream points missed. */
static int match_rest(struct matching *m, size_t *open_count)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->used[i])
            continue;
        bool duplicate = false;
        for (size_t k = 0; k < m->open_count && !duplicate; k++) {
            const struct transmission *t = &m->w->l->open[k];
            const struct observation *twin = t->seen[m->place];
            if (!twin || t->first == m->place)
                continue;
            enum likeness like = likeness(twin, m->at[i]->o);
            int64_t apart = m->at[i]->t_ns - t->t_ns[m->place];
            duplicate = like == SAME || (like == POSSIBLE && apart > -1000000 && apart < 1000000);
        }
        struct transmission *t = open_new(m->w, open_count);
        if (!t)
            return DP_ERR_NOMEM;
        t->first = m->place;
        t->duplicate = duplicate && m->place > 0;
        transmission_see(t, m->at[i]);
    }
    return DP_OK;
}

static int by_setting_out(const void *a, const void *b)
{
    const struct transmission *x = a, *y = b;
    int64_t p = x->t_ns[x->first], q = y->t_ns[y->first];
    return p < q ? -1 : p > q;
}

/* What the copies say about each other. */
static void relate_copies(struct transmission *open, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (k == i)
                continue;
            if (open[k].last > open[i].last) {
                int64_t t = open[k].t_ns[open[k].last];
                if (open[i].other_arrival_ns == 0 || t < open[i].other_arrival_ns)
                    open[i].other_arrival_ns = t;
            } else if (k > i) {
                open[i].other_unseen = true;
            }
            if (k > i && !open[k].duplicate && open[i].next_copy_ns == 0)
                open[i].next_copy_ns = open[k].t_ns[open[k].first];
        }
    }
}

#define MATCH_MAX 512 /* covers of one interval; more than any TCP sends, so a bound for made-up traffic */

/* Puts the covers of one interval of stream positions together. */
static int match_interval(struct work *w, struct reference **covers, size_t count, uint64_t start,
                          uint64_t end)
{
    struct reference *at[MATCH_MAX];
    uint8_t used[MATCH_MAX];
    size_t open_count = 0;
    struct matching m = {.w = w, .at = at, .used = used, .tolerance = clock_tolerance(w->l)};
    if (count > MATCH_MAX)
        count = MATCH_MAX;
    for (m.place = 0; m.place < w->l->vantage_count; m.place++) {
        m.count = 0;
        for (size_t i = 0; i < count; i++) {
            if (covers[i]->place != m.place)
                continue;
            size_t k = m.count++;
            for (; k > 0 && at[k - 1]->t_ns > covers[i]->t_ns; k--)
                at[k] = at[k - 1];
            at[k] = covers[i];
        }
        if (m.count == 0)
            continue;
        memset(used, 0, m.count);
        m.open_count = open_count;
        match_like(&m, SAME);
        match_like(&m, POSSIBLE);
        int code = match_rest(&m, &open_count);
        if (code)
            return code;
        qsort(w->l->open, open_count, sizeof *w->l->open, by_setting_out);
    }
    relate_copies(w->l->open, open_count);
    for (size_t i = 0; i < open_count; i++) {
        w->l->open[i].start = start;
        w->l->open[i].end = end;
    }
    for (size_t i = 0; i < open_count; i++) {
        int code = account(w->l, &w->l->open[i]);
        if (code)
            return code;
    }
    return DP_OK;
}

static int by_position(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Cuts a group at every border that any observation has and puts each interval together by itself. */
static int match_group(struct work *w, struct reference *r, size_t count)
{
    uint64_t *borders = malloc(2 * count * sizeof *borders);
    struct reference **active = malloc(count * sizeof(struct reference *));
    int code = borders && active ? DP_OK : DP_ERR_NOMEM;
    size_t border_count = 0, active_count = 0, next = 0;
    for (size_t i = 0; code == DP_OK && i < count; i++) {
        borders[border_count++] = r[i].start;
        borders[border_count++] = r[i].end;
    }
    if (code == DP_OK)
        qsort(borders, border_count, sizeof *borders, by_position);
    for (size_t b = 0; code == DP_OK && b + 1 < border_count; b++) {
        uint64_t start = borders[b], end = borders[b + 1];
        if (start == end)
            continue;
        size_t kept = 0;
        for (size_t i = 0; i < active_count; i++)
            if (active[i]->end > start)
                active[kept++] = active[i];
        active_count = kept;
        while (next < count && r[next].start <= start)
            active[active_count++] = &r[next++];
        if (active_count)
            code = match_interval(w, active, active_count, start, end);
    }
    free(borders);
    free(active);
    return code;
}

static int settle_plain(struct work *w, const struct reference *r, size_t count)
{
    size_t open_count = 0;
    int code = w->flow->settled_before && !w->l->no_clock_correction ? sample_group(w, r, count) : DP_OK;
    if (code)
        return code;
    struct transmission *t = open_new(w, &open_count);
    if (!t)
        return DP_ERR_NOMEM;
    t->start = r[0].start;
    t->end = r[0].end;
    t->first = t->last = r[0].place;
    for (size_t i = 0; i < count; i++) {
        t->seen[r[i].place] = r[i].o;
        t->t_ns[r[i].place] = r[i].t_ns;
        if (r[i].place < t->first)
            t->first = r[i].place;
        if (r[i].place > t->last)
            t->last = r[i].place;
    }
    return account(w->l, t);
}

static int settle_group(struct work *w, struct reference *r, size_t count)
{
    int code;
    if (plain_group(r, count)) {
        code = settle_plain(w, r, count);
    } else if (w->control) {
        struct reference *covers[MATCH_MAX];
        size_t n = count < MATCH_MAX ? count : MATCH_MAX;
        for (size_t i = 0; i < n; i++)
            covers[i] = &r[i];
        code = match_interval(w, covers, n, r[0].start, r[0].start);
    } else {
        code = match_group(w, r, count);
    }
    for (size_t i = 0; i < count; i++)
        r[i].o->marks |= MARK_SETTLED;
    return code;
}

static void compact(struct work *w)
{
    struct lane *lanes = lanes_of(w);
    for (size_t v = 0; v < w->l->vantage_count; v++) {
        struct lane *lane = &lanes[v];
        size_t kept = 0;
        for (size_t i = 0; i < lane->count; i++)
            if (!(lane->items[i].marks & MARK_SETTLED))
                lane->items[kept++] = lane->items[i];
        w->l->pending -= lane->count - kept;
        lane->count = kept;
    }
}

static bool anything_due(struct work *w)
{
    const struct lane *lanes = lanes_of(w);
    for (uint32_t v = 0; v < w->l->vantage_count; v++)
        if (lanes[v].count && to_reference(w->l, v, lanes[v].items[0].ts_ns) <= w->limit)
            return true;
    return false;
}

static int settle_half(struct work *w)
{
    if (!anything_due(w))
        return DP_OK;
    int code = collect(w);
    for (size_t i = 0, j; code == DP_OK && i < w->count; i = j) {
        struct reference *r = w->l->references;
        j = group_end(w, i);
        bool complete = true;
        for (size_t k = i; k < j && complete; k++)
            complete = r[k].t_ns <= w->limit;
        if (complete)
            code = settle_group(w, &r[i], j - i);
    }
    compact(w);
    return code;
}

int custody_sweep(struct dp_locate *l, int64_t limit)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        struct flow *flow = l->flows[i];
        for (int half = 0; half < 2 && flow->oriented; half++) {
            int code = evidence_holes(l, flow, half);
            for (int control = 0; control < 2 && code == DP_OK; control++) {
                struct work w = {.l = l, .flow = flow, .half = half, .control = control, .limit = limit};
                code = settle_half(&w);
            }
            if (code)
                return code;
            evidence_trim(l, &flow->half[half], limit);
        }
        flow->settled_before = flow->sampled;
    }
    return DP_OK;
}
