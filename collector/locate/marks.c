/* What flows have in common: each leaves marks, its payload above all, and flows with the same marks may be
 * one. A mark that few flows have tells much, one that many have (a banner, a greeting) next to nothing. */
#include <math.h>
#include <stdlib.h>

#include "collector/locate/grow.h"
#include "collector/locate/pairing.h"

#define PER_LANE 48  /* marks of the beginning, and of the payload with the lowest hashes */
#define RARE 8       /* all flows with such a mark are compared with each other */
#define COMMON 64    /* those with such a one only where nothing rarer is there */
#define NEIGHBOURS 4 /* and those with a more common one only with so many next to them in time */
#define KEPT 4       /* candidates of one stranger */

enum mark_kind { BY_PAYLOAD = 1, BY_SYN_STAMP, BY_ENDPOINTS };

struct mark {
    uint64_t key;
    int64_t t_ns;
    uint32_t stranger;
    uint8_t half; /* 2: either */
    bool slight;  /* tells less than others */
};

struct marks {
    struct mark *items;
    size_t count, room;
};

/* That two strangers have a mark in common. */
struct shared {
    uint64_t pair; /* a, b, swapped */
    float bits;
};

struct sharing {
    struct pairing *p;
    struct shared *items;
    size_t count, room;
    uint8_t *has; /* per stranger: something rarer than the marks looked at now is shared already */
};

static uint64_t mixed(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9fb21c651e98df25ULL;
    return h ^ (h >> 29);
}

static uint64_t mark_key(enum mark_kind kind, uint64_t a, uint64_t b)
{
    return mixed(mixed(mixed(0x13198a2e03707344ULL, (uint64_t)kind), a), b);
}

static int add_mark(struct marks *marks, struct mark mark)
{
    int code = dp_grow(&marks->items, &marks->room, marks->count + 1, sizeof *marks->items);
    if (code == DP_OK)
        marks->items[marks->count++] = mark;
    return code;
}

/* ---- the marks of one stranger ---- */

static uint64_t payload_key(const struct flow *flow, const struct observation *o)
{
    uint64_t length = flow->proto == 6 ? o->hash_len : (uint64_t)o->payload << 8 | o->hash_len;
    return mark_key(BY_PAYLOAD, (uint64_t)flow->proto << 32 | o->hash, length);
}

/* The lane of a half that shows most. */
static uint32_t fullest(const struct dp_locate *l, const struct flow *flow, int half)
{
    uint32_t best = 0;
    size_t most = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        const struct half *h = &flow->half[half];
        size_t count = flow->proto == 6 ? h->data[v].count : h->control[v].count;
        if (count > most) {
            most = count;
            best = v;
        }
    }
    return best;
}

static int mark_payload(const struct pairing *p, struct marks *marks, uint32_t stranger, int half)
{
    const struct flow *flow = p->strangers[stranger].flow;
    uint32_t v = fullest(p->l, flow, half);
    const struct lane *lane = flow->proto == 6 ? &flow->half[half].data[v] : &flow->half[half].control[v];
    uint64_t below = lane->count > PER_LANE ? ((uint64_t)PER_LANE << 32) / (lane->count - PER_LANE) : 0;
    const struct observation *o;
    struct lane_cursor cursor = lane_from(lane, 0);
    for (size_t i = 0; (o = lane_next(&cursor)) != NULL; i++) {
        if (o->hash_len == 0 || o->payload == 0 || (i >= PER_LANE && o->hash >= below))
            continue;
        int code = add_mark(marks, (struct mark){.key = payload_key(flow, o),
                                                 .t_ns = to_reference(p->l, v, o->ts_ns),
                                                 .stranger = stranger,
                                                 .half = (uint8_t)half,
                                                 .slight = o->hash_len < 8});
        if (code)
            return code;
    }
    return DP_OK;
}

static int mark_syn(const struct pairing *p, struct marks *marks, uint32_t stranger)
{
    const struct flow *flow = p->strangers[stranger].flow;
    for (uint32_t v = 0; v < p->l->vantage_count; v++) {
        const struct lane *lane = &flow->half[0].data[v];
        for (size_t i = 0; i < lane->count && i < 8; i++) {
            const struct observation *o = lane_at(lane, i);
            if (!(o->tcp_flags & DP_TCP_SYN) || !(o->marks & MARK_HAS_TS) || o->tsval == 0)
                continue;
            return add_mark(marks, (struct mark){.key = mark_key(BY_SYN_STAMP, o->tsval, 0),
                                                 .t_ns = to_reference(p->l, v, o->ts_ns),
                                                 .stranger = stranger});
        }
    }
    return DP_OK;
}

static uint64_t endpoint_key(const struct dp_addr *addr, uint16_t port)
{
    uint64_t key = mixed(addr->family, port);
    for (int i = 0; i < 16; i += 4)
        key = mixed(key, (uint64_t)addr->bytes[i] << 24 | (uint64_t)addr->bytes[i + 1] << 16 |
                             (uint64_t)addr->bytes[i + 2] << 8 | addr->bytes[i + 3]);
    return key;
}

static int64_t begin_of(const struct dp_locate *l, const struct flow *flow)
{
    int64_t begin = INT64_MAX;
    for (int half = 0; half < 2; half++)
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            const struct half *h = &flow->half[half];
            const struct lane *lanes[2] = {&h->data[v], &h->control[v]};
            for (int i = 0; i < 2; i++) {
                int64_t t = lanes[i]->seen ? to_reference(l, v, lanes[i]->first_ns) : INT64_MAX;
                begin = t < begin ? t : begin;
            }
        }
    return begin;
}

static int mark_name(const struct pairing *p, struct marks *marks, uint32_t stranger,
                     const struct dp_endpoints *e)
{
    const struct flow *flow = p->strangers[stranger].flow;
    uint64_t x = endpoint_key(&e->client, e->client_port), y = endpoint_key(&e->server, e->server_port);
    return add_mark(marks,
                    (struct mark){.key = mark_key(BY_ENDPOINTS, (x ^ y) + flow->proto, x < y ? x : y),
                                  .t_ns = begin_of(p->l, flow),
                                  .stranger = stranger,
                                  .half = 2});
}

/* Under every name that it goes by, and that of the connection that it says it carries on. */
static int mark_endpoints(const struct pairing *p, struct marks *marks, uint32_t stranger)
{
    const struct flow *flow = p->strangers[stranger].flow;
    int code = flow->origin ? mark_name(p, marks, stranger, flow->origin) : DP_OK;
    for (uint32_t v = 0; v < p->l->vantage_count && code == DP_OK; v++)
        if (flow->seen_at[v])
            code = mark_name(p, marks, stranger, &flow->seen_as[v]);
    return code;
}

static int by_key(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->stranger != y->stranger)
        return x->stranger < y->stranger ? -1 : 1;
    if (x->half != y->half)
        return x->half < y->half ? -1 : 1;
    return x->t_ns < y->t_ns ? -1 : x->t_ns > y->t_ns;
}

static int by_time(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return x->stranger < y->stranger ? -1 : x->stranger > y->stranger;
}

/* All marks in order of their keys, each once for a half of a stranger. */
static int gather(const struct pairing *p, struct marks *marks)
{
    for (uint32_t i = 0; i < p->stranger_count; i++) {
        int code = mark_endpoints(p, marks, i);
        if (code == DP_OK && p->strangers[i].flow->proto == 6)
            code = mark_syn(p, marks, i);
        for (int half = 0; half < 2 && code == DP_OK; half++)
            code = mark_payload(p, marks, i, half);
        if (code)
            return code;
    }
    if (marks->count)
        qsort(marks->items, marks->count, sizeof *marks->items, by_key);
    size_t kept = 0;
    for (size_t i = 0; i < marks->count; i++) {
        const struct mark *m = &marks->items[i], *last = kept ? &marks->items[kept - 1] : NULL;
        if (!last || last->key != m->key || last->stranger != m->stranger || last->half != m->half)
            marks->items[kept++] = *m;
    }
    marks->count = kept;
    return DP_OK;
}

/* ---- who shares what ---- */

static double bits_of(const struct pairing *p, size_t flows, bool slight)
{
    double bits = log2((double)(p->stranger_count + 64) / (double)flows);
    return slight ? bits / 2 : bits;
}

static int share(struct sharing *s, const struct mark *x, const struct mark *y, double bits)
{
    const struct stranger *a = &s->p->strangers[x->stranger], *b = &s->p->strangers[y->stranger];
    if (x->stranger == y->stranger || (a->seen & b->seen) || a->flow->proto != b->flow->proto)
        return DP_OK;
    uint64_t low = x->stranger < y->stranger ? x->stranger : y->stranger;
    uint64_t high = x->stranger < y->stranger ? y->stranger : x->stranger;
    int code = dp_grow(&s->items, &s->room, s->count + 2, sizeof *s->items);
    if (code)
        return code;
    uint64_t pair = low << 33 | high << 1;
    if (x->half == y->half)
        s->items[s->count++] = (struct shared){pair, (float)bits};
    if (x->half != y->half || x->half == 2)
        s->items[s->count++] = (struct shared){pair | 1, (float)bits};
    return DP_OK;
}

static int share_group(struct sharing *s, struct mark *group, size_t count, bool neighbours)
{
    if (neighbours)
        qsort(group, count, sizeof *group, by_time);
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++) {
            if (s->has[group[i].stranger] && s->has[group[k].stranger] && count > RARE)
                continue;
            if (neighbours && k > i + NEIGHBOURS)
                break;
            int code = share(s, &group[i], &group[k], bits_of(s->p, count, group[i].slight));
            if (code)
                return code;
        }
    return DP_OK;
}

static void note_sharers(struct sharing *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->has[s->items[i].pair >> 33] = 1;
        s->has[(s->items[i].pair & UINT32_MAX) >> 1] = 1;
    }
}

/* From the rarest marks to the most common ones. */
static int share_all(struct sharing *s, struct marks *marks)
{
    static const size_t least[] = {2, RARE + 1, COMMON + 1, SIZE_MAX};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0, j; i < marks->count; i = j) {
            for (j = i + 1; j < marks->count && marks->items[j].key == marks->items[i].key; j++)
                ;
            if (j - i < least[round] || j - i >= least[round + 1])
                continue;
            int code = share_group(s, &marks->items[i], j - i, round == 2);
            if (code)
                return code;
        }
        note_sharers(s);
    }
    return DP_OK;
}

/* ---- candidates ---- */

static int by_pair(const void *a, const void *b)
{
    const struct shared *x = a, *y = b;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static int most_bits_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->bits != y->bits)
        return x->bits > y->bits ? -1 : 1;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    if (x->b != y->b)
        return x->b < y->b ? -1 : 1;
    return (int)x->swapped - (int)y->swapped;
}

static int sum_up(struct sharing *s)
{
    struct pairing *p = s->p;
    p->candidate_count = 0;
    if (s->count)
        qsort(s->items, s->count, sizeof *s->items, by_pair);
    for (size_t i = 0, j; i < s->count; i = j) {
        struct candidate c = {.a = (uint32_t)(s->items[i].pair >> 33),
                              .b = (uint32_t)(s->items[i].pair & UINT32_MAX) >> 1,
                              .swapped = s->items[i].pair & 1};
        for (j = i; j < s->count && s->items[j].pair == s->items[i].pair; j++) {
            c.bits += s->items[j].bits;
            c.marks++;
        }
        int code = dp_grow(&p->candidates, &p->candidate_room, p->candidate_count + 1, sizeof *p->candidates);
        if (code)
            return code;
        p->candidates[p->candidate_count++] = c;
    }
    return DP_OK;
}

/* Of each stranger the best few; a pair stays that is among them for either. */
static void keep_best(struct pairing *p, uint8_t *taken)
{
    size_t kept = 0;
    if (p->candidate_count)
        qsort(p->candidates, p->candidate_count, sizeof *p->candidates, most_bits_first);
    for (size_t i = 0; i < p->candidate_count; i++) {
        struct candidate c = p->candidates[i];
        if (taken[c.a] >= KEPT && taken[c.b] >= KEPT)
            continue;
        taken[c.a] = (uint8_t)(taken[c.a] + (taken[c.a] < KEPT));
        taken[c.b] = (uint8_t)(taken[c.b] + (taken[c.b] < KEPT));
        p->candidates[kept++] = c;
    }
    p->candidate_count = kept;
}

int pairing_candidates(struct pairing *p)
{
    struct marks marks = {0};
    struct sharing sharing = {.p = p, .has = calloc(p->stranger_count + 1, 1)};
    int code = sharing.has ? gather(p, &marks) : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = share_all(&sharing, &marks);
    if (code == DP_OK)
        code = sum_up(&sharing);
    if (code == DP_OK) {
        for (size_t i = 0; i < p->stranger_count; i++)
            sharing.has[i] = 0;
        keep_best(p, sharing.has);
    }
    free(sharing.has);
    free(sharing.items);
    free(marks.items);
    return code;
}
