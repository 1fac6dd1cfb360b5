/* Tells the copies of the same bytes apart: which observation at one vantage point is which at the next. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/groups.h"
#include "collector/locate/grow.h"

struct transmission *transmission_new(struct work *w, size_t *count)
{
    if (dp_grow(&w->l->open, &w->l->open_room, *count + 1, sizeof *w->l->open))
        return NULL;
    struct transmission *t = &w->l->open[(*count)++];
    t->flow = w->flow;
    t->half = w->half;
    bool forward = half_forward(w->flow, w->half);
    t->lo = forward ? w->low : (uint32_t)w->l->vantage_count - w->high;
    t->hi = forward ? w->high : (uint32_t)w->l->vantage_count - w->low;
    t->duplicate = false;
    t->next_copy_ns = 0;
    t->other_arrival_ns = 0;
    t->earlier_here_ns = 0;
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
    if (!(a->tcp_flags | b->tcp_flags) && a->hash_len == b->hash_len && a->hash != b->hash)
        return DIFFERENT; /* datagrams of one length */
    return stamps || ids ? SAME : POSSIBLE;
}

bool copies_differ(const struct observation *a, const struct observation *b)
{
    return likeness(a, b) == DIFFERENT;
}

bool copies_same(const struct observation *a, const struct observation *b)
{
    return likeness(a, b) == SAME;
}

static int64_t clock_tolerance(const struct dp_locate *l)
{
    int64_t worst = 0;
    if (l->no_clock_correction)
        return 1000000;
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

/* How far a stamp may be off because the clock was set about then. */
static int64_t step_slack(const struct matching *m, uint32_t place, const struct observation *o)
{
    const struct dp_locate *l = m->w->l;
    bool forward = half_forward(m->w->flow, m->w->half);
    const struct dp_clock_steps *steps = &l->vantages[place_to_vantage(l, forward, place)].steps;
    return steps->count ? dp_clock_slack(steps, o->ts_ns) : 0;
}

static bool can_follow(const struct matching *m, const struct transmission *t, const struct reference *r)
{
    if (t->last >= m->place || t->seen[m->place])
        return false;
    int64_t early = t->t_ns[t->last] - r->t_ns - m->tolerance;
    return early <= 0 || early <= step_slack(m, r->place, r->o) + step_slack(m, t->last, t->seen[t->last]);
}

/* The original goes before its duplicate, then the later before the earlier. */
static bool better(const struct transmission *t, const struct transmission *best)
{
    if (t->duplicate != best->duplicate)
        return best->duplicate;
    return t->t_ns[t->last] >= best->t_ns[best->last];
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
                (!best || better(t, best)))
                best = t;
        }
        if (best) {
            transmission_see(best, m->at[i]);
            m->used[i] = 1;
        }
    }
}

#define AT_ONCE_NS 20000 /* sooner than any host sends its bytes again */

/* Whether a sighting that nobody upstream had is a second one of the same packet: sent out twice by a host,
 * or captured twice (a bridge and its port). Where no upstream point tells that it was sent once, the IP ID
 * proves it, or the moment. */
static bool is_duplicate(const struct matching *m, const struct reference *r, size_t open_count)
{
    for (size_t k = 0; k < open_count; k++) {
        const struct transmission *t = &m->w->l->open[k];
        const struct observation *twin = t->seen[m->place];
        if (!twin)
            continue;
        enum likeness like = likeness(twin, r->o);
        int64_t apart = r->t_ns - t->t_ns[m->place];
        bool ids = (twin->marks & MARK_HAS_IP_ID) && (r->o->marks & MARK_HAS_IP_ID) &&
                   twin->span == r->o->span && twin->start == r->o->start;
        bool at_once =
            twin->payload && twin->payload == r->o->payload && apart > -AT_ONCE_NS && apart < AT_ONCE_NS;
        if (like == SAME && (ids || at_once || t->first != m->place))
            return true;
        if (like == POSSIBLE && t->first != m->place && apart > -1000000 && apart < 1000000)
            return true;
    }
    return false;
}

/* What nobody upstream saw: a duplicate, or a packet that the upstream points missed. */
static int match_rest(struct matching *m, size_t *open_count)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->used[i])
            continue;
        bool duplicate = is_duplicate(m, m->at[i], *open_count);
        struct transmission *t = transmission_new(m->w, open_count);
        if (!t)
            return DP_ERR_NOMEM;
        t->first = m->place;
        t->duplicate = duplicate;
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
            int64_t here = open[k].seen[open[i].last] ? open[k].t_ns[open[i].last] : 0;
            if (k < i && here > open[i].earlier_here_ns)
                open[i].earlier_here_ns = here;
            if (k > i && !open[k].duplicate && open[i].next_copy_ns == 0)
                open[i].next_copy_ns = open[k].t_ns[open[k].first];
        }
    }
}

#define MATCH_MAX 512 /* covers that are put together at once */

static int match_some(struct work *w, struct reference **covers, size_t count, uint64_t start, uint64_t end)
{
    struct reference *at[MATCH_MAX];
    uint8_t used[MATCH_MAX];
    size_t open_count = 0;
    struct matching m = {.w = w, .at = at, .used = used, .tolerance = clock_tolerance(w->l)};
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
        const struct transmission *t = &w->l->open[i];
        if (w->looking && t->t_ns[t->last] <= w->limit)
            account_unbooked(w->l, t);
        int code = w->looking ? DP_OK : account(w->l, t);
        if (code)
            return code;
    }
    return DP_OK;
}

static int covers_by_time(const void *a, const void *b)
{
    const struct reference *x = *(struct reference *const *)a, *y = *(struct reference *const *)b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

int match_interval(struct work *w, struct reference **covers, size_t count, uint64_t start, uint64_t end)
{
    if (count > MATCH_MAX)
        qsort(covers, count, sizeof(struct reference *), covers_by_time);
    /* Keep-alives look the same for hours: cut where nothing was seen for longest. */
    while (count > MATCH_MAX) {
        size_t cut = MATCH_MAX / 2;
        for (size_t i = cut + 1; i < MATCH_MAX; i++)
            if (covers[i]->t_ns - covers[i - 1]->t_ns > covers[cut]->t_ns - covers[cut - 1]->t_ns)
                cut = i;
        int code = match_some(w, covers, cut, start, end);
        if (code)
            return code;
        covers += cut;
        count -= cut;
    }
    return match_some(w, covers, count, start, end);
}
