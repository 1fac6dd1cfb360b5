/* Lays two flows side by side: are they one, and if so, do the packets of one cross what lies between, only
 * rewritten, or does a host end the connection and carry the same bytes on in one of its own? */
#include <math.h>
#include <stdlib.h>

#include "collector/locate/grow.h"
#include "collector/locate/pairing.h"

/* One half of both flows at the two vantage points nearest to each other. */
struct side_by_side {
    uint32_t va, vb;
    bool payload;       /* both saw some ... */
    bool related;       /* ... and the same */
    bool equal_numbers; /* ... under the same sequence numbers */
    bool syn;           /* both saw the SYN (or SYN/ACK) */
    bool syn_stamp, syn_id;
    int64_t syn_by;
    struct lag syn_lag;
    int64_t by;
    bool known;
    size_t count[2]; /* packets with payload of a, of b */
    struct likeness like;
};

struct comparison {
    struct pairing *p;
    const struct flow *a, *b;
    uint8_t leg_a, leg_b;
    bool swapped;
    struct side_by_side half[2]; /* a's */
};

static int half_of_b(const struct comparison *c, int half)
{
    return c->swapped ? 1 - half : half;
}

/* ---- which vantage points to compare ---- */

typedef bool (*shows)(const struct half *half, uint32_t vantage);

static bool shows_data(const struct half *h, uint32_t v)
{
    return h->data[v].count != 0;
}

static bool shows_control(const struct half *h, uint32_t v)
{
    return h->control[v].count != 0;
}

static bool shows_syn(const struct half *h, uint32_t v)
{
    return strand_syn(&h->data[v]) != NULL;
}

enum where { ANY_SIDE, A_BELOW, A_ABOVE };

/* The pair of vantage points nearest to each other that show something of a half. */
static bool nearest_on(const struct comparison *c, int half, shows what, enum where side, uint32_t *ret_a,
                       uint32_t *ret_b)
{
    const struct half *ha = &c->a->half[half], *hb = &c->b->half[half_of_b(c, half)];
    uint32_t count = (uint32_t)c->p->l->vantage_count, best = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!c->a->seen_at[i] || c->a->views[i].leg != c->leg_a || !what(ha, i))
            continue;
        for (uint32_t k = 0; k < count; k++) {
            uint32_t apart = i < k ? k - i : i - k;
            bool fits = side == ANY_SIDE || (side == A_BELOW) == (i < k);
            if (!fits || apart >= best || !c->b->seen_at[k] || c->b->views[k].leg != c->leg_b || !what(hb, k))
                continue;
            best = apart;
            *ret_a = i;
            *ret_b = k;
        }
    }
    return best < count;
}

static bool nearest(const struct comparison *c, int half, shows what, uint32_t *ret_a, uint32_t *ret_b)
{
    return nearest_on(c, half, what, ANY_SIDE, ret_a, ret_b);
}

/* ---- numbers and payload ---- */

/* The difference of positions for which both have the same sequence numbers. */
static int64_t same_numbers(const struct strand *a, const struct strand *b)
{
    int64_t apart = (int64_t)(a->items[0]->start - b->items[0]->start);
    int64_t turns = (apart + (1LL << 31)) / (1LL << 32);
    return turns * (1LL << 32);
}

static bool agrees(const struct likeness *like)
{
    return like->run > 0 && (like->different * 16 <= like->run || like->run >= 3);
}

static size_t with_payload(const struct strand *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        count += s->items[i]->payload != 0;
    return count;
}

/* At two points. */
static int compare_at(struct comparison *c, int half, struct side_by_side *s)
{
    struct pairing *p = c->p;
    bool tcp = c->a->proto == 6;
    const struct half *ha = &c->a->half[half], *hb = &c->b->half[half_of_b(c, half)];
    int code = strand_take(tcp ? &ha->data[s->va] : &ha->control[s->va], &p->first);
    if (code == DP_OK)
        code = strand_take(tcp ? &hb->data[s->vb] : &hb->control[s->vb], &p->second);
    if (code || p->first.count == 0 || p->second.count == 0)
        return code;
    s->count[0] = with_payload(&p->first);
    s->count[1] = with_payload(&p->second);
    s->payload = s->count[0] && s->count[1];
    s->by = tcp ? same_numbers(&p->first, &p->second) : 0;
    strands_compare(&p->first, &p->second, s->by, &s->like);
    s->related = s->known = agrees(&s->like) && s->like.different * 16 <= s->like.same;
    s->equal_numbers = s->related && tcp;
    if (s->related || !tcp)
        return DP_OK;
    struct shift shift;
    code = strands_shift(&p->first, &p->second, &shift);
    if (code || shift.votes <= shift.others)
        return code;
    s->by = shift.by;
    strands_compare(&p->first, &p->second, s->by, &s->like);
    s->related = s->known = agrees(&s->like);
    return DP_OK;
}

/* A flow that lies between the points of another is compared on both sides: one may number it alike. */
static int compare_payload(struct comparison *c, int half)
{
    struct side_by_side *best = &c->half[half];
    shows what = c->a->proto == 6 ? shows_data : shows_control;
    for (enum where side = A_BELOW; side <= A_ABOVE; side++) {
        struct side_by_side s = {0};
        if (!nearest_on(c, half, what, side, &s.va, &s.vb))
            continue;
        int code = compare_at(c, half, &s);
        if (code)
            return code;
        if (!best->related ||
            (s.related && (s.equal_numbers > best->equal_numbers ||
                           (s.equal_numbers == best->equal_numbers && s.like.same > best->like.same))))
            *best = s;
    }
    return DP_OK;
}

static void compare_syns(struct comparison *c, int half)
{
    struct side_by_side *s = &c->half[half];
    uint32_t va, vb;
    if (!nearest(c, half, shows_syn, &va, &vb))
        return;
    const struct half *ha = &c->a->half[half], *hb = &c->b->half[half_of_b(c, half)];
    const struct observation *x = strand_syn(&ha->data[va]), *y = strand_syn(&hb->data[vb]);
    if (!s->related) {
        s->va = va;
        s->vb = vb;
    }
    s->syn = true;
    s->syn_by = (int64_t)(x->start - y->start);
    s->syn_lag = (struct lag){x->ts_ns, y->ts_ns};
    for (size_t i = 0; i < ha->data[va].count && i < 16; i++)
        for (size_t k = 0; k < hb->data[vb].count && k < 16; k++) {
            const struct observation *m = lane_at(&ha->data[va], i), *n = lane_at(&hb->data[vb], k);
            if (!(m->tcp_flags & n->tcp_flags & DP_TCP_SYN))
                continue;
            uint16_t both = m->marks & n->marks;
            s->syn_stamp = s->syn_stamp || ((both & MARK_HAS_TS) && m->tsval && m->tsval == n->tsval);
            s->syn_id = s->syn_id || ((both & MARK_HAS_IP_ID) && m->ip_id == n->ip_id);
        }
}

/* A half whose payload tells nothing, by its acknowledgements. */
static void compare_idle(struct comparison *c, int half)
{
    struct side_by_side *s = &c->half[half];
    const struct side_by_side *other = &c->half[1 - half];
    uint32_t va, vb, by = 0;
    if (s->known)
        return;
    s->by = s->syn_by;
    s->known = s->syn;
    if (s->syn || !nearest(c, half, shows_control, &va, &vb))
        return;
    int of_b = half_of_b(c, half);
    const struct half *ha = &c->a->half[half], *hb = &c->b->half[of_b];
    s->known = other->known && pairing_control_shift(&ha->control[va], &hb->control[vb], other->by, &by);
    if (!s->known && !s->payload)
        s->known = pairing_idle_shift(&ha->control[va], &hb->control[vb], &by);
    s->by =
        pairing_widened(s->known ? by : 0, c->a->views[va].position[half], c->b->views[vb].position[of_b]);
    if (s->known) {
        s->va = va;
        s->vb = vb;
    }
}

/* ---- packets without payload ---- */

#define CONTROLS 256

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t keys_of(const struct lane *control, int64_t seq, int64_t acknowledged, uint64_t keys[CONTROLS])
{
    size_t n = 0;
    for (size_t i = 0; i < control->count && n < CONTROLS; i++)
        if (!(lane_at(control, i)->tcp_flags & DP_TCP_RST))
            keys[n++] = control_key_moved(lane_at(control, i), seq, acknowledged);
    if (n)
        qsort(keys, n, sizeof *keys, by_number);
    return n;
}

struct controls {
    size_t asked, same;
};

/* How many acknowledgements of one flow are among the other's, with the same window and all. */
static struct controls compare_controls(const struct comparison *c)
{
    struct controls sum = {0};
    for (int half = 0; half < 2; half++) {
        uint32_t va, vb;
        uint64_t x[CONTROLS], y[CONTROLS];
        if (!c->half[0].known || !c->half[1].known || !nearest(c, half, shows_control, &va, &vb))
            continue;
        size_t n = keys_of(&c->a->half[half].control[va], 0, 0, x);
        size_t m =
            keys_of(&c->b->half[half_of_b(c, half)].control[vb], c->half[half].by, c->half[1 - half].by, y);
        sum.asked += n < m ? n : m;
        for (size_t i = 0, k = 0; i < n && k < m;) {
            sum.same += x[i] == y[k];
            bool step_i = x[i] <= y[k], step_k = y[k] <= x[i];
            i += step_i;
            k += step_k;
        }
    }
    return sum;
}

/* ---- names ---- */

static bool same_endpoint(const struct dp_addr *x, uint16_t x_port, const struct dp_addr *y, uint16_t y_port)
{
    return x_port == y_port && dp_addr_equal(x, y);
}

static double common_name(const struct dp_endpoints *x, const struct dp_endpoints *y, bool swapped)
{
    struct dp_endpoints turned = {y->server, y->client, y->server_port, y->client_port};
    y = swapped ? &turned : y;
    bool client = same_endpoint(&x->client, x->client_port, &y->client, y->client_port);
    bool server = same_endpoint(&x->server, x->server_port, &y->server, y->server_port);
    return client && server ? 16 : client || server ? 4 : 0;
}

/* One says in a PROXY protocol header that it carries the other on. 1: b says so, -1: a. */
static int carries_on(const struct comparison *c)
{
    for (uint32_t v = 0; v < c->p->l->vantage_count; v++) {
        if (c->b->origin && c->a->seen_at[v] && common_name(c->b->origin, &c->a->seen_as[v], false) >= 16)
            return 1;
        if (c->a->origin && c->b->seen_at[v] && common_name(c->a->origin, &c->b->seen_as[v], false) >= 16)
            return -1;
    }
    return 0;
}

/* ---- time ---- */

static int64_t lag_ns(const struct lag *lag)
{
    return lag->second_ns - lag->first_ns;
}

bool pairing_clocks_agree(const struct dp_locate *l, uint32_t a, uint32_t b, int64_t *ret_error)
{
    const struct vantage *x = &l->vantages[a], *y = &l->vantages[b];
    bool one_host = x->host == y->host;
    *ret_error = 1000000;
    if (l->no_clock_correction)
        return true;
    *ret_error = STAMP_SLACK_NS + x->error_ns + y->error_ns;
    if (l->clocks_ready && clock_known(l, a) && clock_known(l, b) && x->error_ns >= 0 && y->error_ns >= 0)
        return true;
    *ret_error = STAMP_SLACK_NS;
    return one_host;
}

/* How much later b saw a packet, by the reference clock. Points of one host have the same one. */
static int64_t true_lag(const struct dp_locate *l, const struct side_by_side *s, const struct lag *lag)
{
    return to_reference(l, s->vb, lag->second_ns) - to_reference(l, s->va, lag->first_ns);
}

struct timing {
    bool possible;
    bool near_known, a_first; /* the client's packets pass a's vantage point first */
    double bits;
};

/* Ways round that payload contradicts: it never comes before it was sent. A few outliers are packets whose
 * first copy a capture missed. */
struct contradictions {
    size_t asked, a_first, b_first;
};

static void contradict_by_clock(const struct dp_locate *l, const struct side_by_side *s, int half,
                                int64_t error, struct contradictions *c, int64_t *ret_apart)
{
    for (size_t i = 0; i < s->like.lag_count; i++) {
        int64_t lag = true_lag(l, s, &s->like.lags[i]) * (half == 0 ? 1 : -1);
        c->asked++;
        c->a_first += lag < -error;
        c->b_first += lag > error;
        if (*ret_apart < 0 || llabs(lag) < *ret_apart)
            *ret_apart = llabs(lag);
    }
}

/* Without a known clock the halves together tell, as one runs against the other: each packet with the one
 * nearest in time of the other half, so that drift does not count. */
static void contradict_by_halves(const struct side_by_side half[2], struct contradictions *c)
{
    const struct likeness *there = &half[0].like, *back = &half[1].like;
    for (size_t i = 0; i < back->lag_count; i++) {
        const struct lag *b = &back->lags[i], *t = &there->lags[0];
        for (size_t k = 1; k < there->lag_count; k++)
            if (llabs(there->lags[k].first_ns - b->first_ns) < llabs(t->first_ns - b->first_ns))
                t = &there->lags[k];
        int64_t sum = lag_ns(t) - lag_ns(b);
        int64_t slack = STAMP_SLACK_NS + (int64_t)(CLOCK_DRIFT * (double)llabs(t->first_ns - b->first_ns));
        c->asked++;
        c->a_first += sum < -slack;
        c->b_first += sum > slack;
    }
}

static int64_t drift(const struct lag *x, const struct lag *y)
{
    return STAMP_SLACK_NS + (int64_t)(CLOCK_DRIFT * (double)llabs(x->first_ns - y->first_ns));
}

/* A host that ends the connection lets the handshake wait for longer than what follows: the leg where the
 * SYN came first by more than payload does is the client's. 1: a's, -1: b's, 0: cannot be told. */
static int opened_first(const struct comparison *c)
{
    int way = carries_on(c);
    if (way)
        return way;
    for (int opening = 0; opening < 2; opening++)
        for (int half = 0; half < 2; half++) {
            const struct side_by_side *open = &c->half[opening], *s = &c->half[half];
            for (size_t i = 0; open->syn && s->related && i < s->like.lag_count; i++) {
                const struct lag *lag = &s->like.lags[i];
                int64_t apart = lag_ns(&open->syn_lag) - lag_ns(lag), slack = drift(lag, &open->syn_lag);
                way += (apart > slack) - (apart < -slack);
            }
        }
    return (way > 0) - (way < 0);
}

static struct timing judge_timing(const struct comparison *c)
{
    const struct dp_locate *l = c->p->l;
    struct timing timing = {.possible = true};
    struct contradictions no = {0};
    bool related[2] = {c->half[0].related && c->half[0].like.lag_count,
                       c->half[1].related && c->half[1].like.lag_count};
    int64_t apart = -1, worst = 0, error = 0;
    bool known = related[0] || related[1];
    for (int half = 0; half < 2; half++) {
        known =
            known && (!related[half] || pairing_clocks_agree(l, c->half[half].va, c->half[half].vb, &error));
        worst = error > worst ? error : worst;
    }
    for (int half = 0; half < 2 && known; half++)
        if (related[half])
            contradict_by_clock(l, &c->half[half], half, worst, &no, &apart);
    if (!known && related[0] && related[1])
        contradict_by_halves(c->half, &no);
    const struct side_by_side *open = &c->half[0];
    if (!related[0] && !related[1] && open->syn && pairing_clocks_agree(l, open->va, open->vb, &worst)) {
        known = true;
        apart = llabs(true_lag(l, open, &open->syn_lag));
    }
    bool a_first = no.a_first * 10 <= no.asked, b_first = no.b_first * 10 <= no.asked;
    timing.possible = a_first || b_first;
    timing.near_known = a_first != b_first;
    timing.a_first = a_first;
    if (known && apart >= 0)
        timing.bits = fmin(14, fmax(0, log2(1e9 / fmax((double)apart, (double)worst))));
    return timing;
}

/* ---- are they one? ---- */

static double name_bits(const struct comparison *c)
{
    double most = 0;
    uint32_t count = (uint32_t)c->p->l->vantage_count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < count && c->a->seen_at[i]; k++)
            if (c->b->seen_at[k])
                most = fmax(most, common_name(&c->a->seen_as[i], &c->b->seen_as[k], c->swapped));
    return most;
}

static double packet_bits(const struct side_by_side *s)
{
    double bits = (s->syn_stamp ? 16 : 0) + (s->syn_id ? 4 : 0) + (s->equal_numbers ? 16 : 0);
    if (!s->related)
        return bits;
    bits += fmin(24, 8.0 * s->like.equal_stamps);
    if (s->like.equal_ids * 5 >= s->like.ids * 4)
        bits += fmin(24, 4.0 * s->like.equal_ids);
    return bits;
}

/* All that either flow has is in the other. */
static bool complete(const struct comparison *c)
{
    bool any = false;
    for (int half = 0; half < 2; half++) {
        const struct side_by_side *s = &c->half[half];
        size_t least = s->count[0] < s->count[1] ? s->count[0] : s->count[1];
        if (s->payload && (!s->related || s->like.different || s->like.same * 10 < least * 9))
            return false;
        any = any || s->payload;
    }
    return any;
}

static double all_bits(const struct comparison *c, double shared, const struct timing *timing)
{
    double same = 0, seen = 0;
    for (int half = 0; half < 2; half++) {
        const struct side_by_side *s = &c->half[half];
        same += s->related ? s->like.run : 0;
        seen += s->payload ? s->like.same + s->like.different : 0;
    }
    double bits = seen > 0 ? shared * fmin(1, same / seen) : 0;
    bits += (carries_on(c) ? 32 : name_bits(c)) + packet_bits(&c->half[0]) + packet_bits(&c->half[1]) +
            timing->bits;
    return complete(c) ? bits + 8 : bits;
}

/* ---- through, or ended? ---- */

struct votes {
    int through, ended;
};

static bool nearly_all(uint32_t part, uint32_t of)
{
    return part * 5 >= of * 4;
}

static bool hardly_any(uint32_t part, uint32_t of)
{
    return part * 5 <= of;
}

static void vote_by_fields(const struct side_by_side *s, struct votes *votes)
{
    const struct likeness *like = &s->like;
    votes->through += (s->equal_numbers ? 100 : 0) + (s->syn_stamp ? 20 : 0) + (s->syn_id ? 10 : 0);
    if (!s->related)
        return;
    if (like->ids >= 2) {
        votes->through += nearly_all(like->equal_ids, like->ids) ? 15 : 0;
        votes->ended += hardly_any(like->equal_ids, like->ids) ? 5 : 0;
    }
    if (like->stamps >= 2) {
        /* Two hosts' stamps keep a difference as well, but not to the tick. */
        bool constant = like->ts_asked >= 8 && like->ts_votes == like->ts_asked;
        votes->through += nearly_all(like->equal_stamps, like->stamps) ? 20 : 0;
        votes->ended += !constant && hardly_any(like->equal_stamps, like->stamps) ? 10 : 0;
    }
    if (like->same >= 8 && like->lengths * 2 < like->same)
        votes->ended += 2;
}

/* Routers lower the TTL, a host that ends the connection sends with a fresh one. */
static void vote_by_ttl(const struct comparison *c, const struct timing *timing, struct votes *votes)
{
    bool lower = true, higher = false;
    if (!timing->near_known)
        return;
    for (int half = 0; half < 2; half++) {
        const struct likeness *like = &c->half[half].like;
        bool along = timing->a_first == (half == 0);
        uint32_t fell = along ? like->ttl_lower : like->ttl_higher,
                 rose = along ? like->ttl_higher : like->ttl_lower;
        lower = lower && c->half[half].related && nearly_all(fell, like->same);
        higher = higher || (c->half[half].related && nearly_all(rose, like->same));
    }
    votes->through += lower ? 10 : 0;
    votes->ended += higher ? 10 : 0;
}

enum answered { NOT_SEEN, ANSWERED_EARLY, ANSWERED_BEHIND };

/* An answer that crosses passes the point nearer to the server first; a host that ends the connection answers
 * by itself before it asks anybody. Payload, or a known clock, bounds how the clocks differ. order: 1 where
 * the client's packets pass a first, else -1. */
static enum answered who_answered(const struct comparison *c, int order)
{
    const struct side_by_side *there = &c->half[0], *back = &c->half[1];
    const struct lag *answer = &back->syn_lag;
    int64_t error, late = order * lag_ns(answer);
    if (!back->syn)
        return NOT_SEEN;
    bool known = pairing_clocks_agree(c->p->l, back->va, back->vb, &error);
    if (known && llabs(true_lag(c->p->l, back, answer)) > error)
        return order * true_lag(c->p->l, back, answer) > 0 ? ANSWERED_EARLY : ANSWERED_BEHIND;
    for (size_t i = 0; there->related && i < there->like.lag_count; i++)
        if (late > order * lag_ns(&there->like.lags[i]) + drift(&there->like.lags[i], answer))
            return ANSWERED_EARLY;
    for (size_t i = 0; back->related && i < back->like.lag_count; i++)
        if (late < order * lag_ns(&back->like.lags[i]) + STAMP_SLACK_NS)
            return ANSWERED_BEHIND;
    return NOT_SEEN;
}

static void vote_by_handshake(const struct comparison *c, const struct timing *timing, struct votes *votes)
{
    enum answered near = who_answered(c, 1), far = who_answered(c, -1);
    enum answered answered = timing->near_known ? (timing->a_first ? near : far)
                             : near == far      ? near
                                                : NOT_SEEN;
    votes->ended += carries_on(c) ? 100 : 0;
    votes->ended += answered == ANSWERED_EARLY ? 50 : 0;
    votes->through += answered == ANSWERED_BEHIND ? 50 : 0;
}

static int judge_kind(const struct comparison *c, const struct timing *timing)
{
    if (c->a->proto != 6)
        return SURE_VOTES;
    struct votes votes = {0};
    vote_by_fields(&c->half[0], &votes);
    vote_by_fields(&c->half[1], &votes);
    vote_by_ttl(c, timing, &votes);
    vote_by_handshake(c, timing, &votes);
    struct controls controls = compare_controls(c);
    if (controls.same >= 3 && controls.same * 10 >= controls.asked * 3)
        votes.through += 5;
    if (controls.same == 0 && controls.asked >= 4)
        votes.ended += 10;
    return votes.through - votes.ended;
}

static uint32_t lowest_of(const struct dp_locate *l, const struct flow *flow, uint8_t leg)
{
    uint32_t v = 0;
    while (v + 1 < l->vantage_count && !(flow->seen_at[v] && flow->views[v].leg == leg))
        v++;
    return v;
}

static bool a_is_nearer(const struct comparison *c)
{
    return lowest_of(c->p->l, c->a, c->leg_a) < lowest_of(c->p->l, c->b, c->leg_b);
}

static int relate_legs(struct comparison *c, double shared, struct relation *ret_relation)
{
    struct relation r = {.kinship = KINSHIP_NONE, .legs = {c->leg_a, c->leg_b}};
    for (int half = 0; half < 2; half++) {
        int code = compare_payload(c, half);
        if (code)
            return code;
        if (c->a->proto == 6)
            compare_syns(c, half);
    }
    for (int turn = 0; turn < 3 && c->a->proto == 6; turn++)
        compare_idle(c, turn % 2);
    struct timing timing = judge_timing(c);
    bool same_payload = c->half[0].related || c->half[1].related;
    bool other_payload =
        (c->half[0].payload && !c->half[0].related) || (c->half[1].payload && !c->half[1].related);
    if (timing.possible && (same_payload || !other_payload)) {
        r.bits = all_bits(c, shared, &timing);
        r.votes = judge_kind(c, &timing);
        r.kinship = r.votes > 0 ? KINSHIP_THROUGH : r.votes < 0 ? KINSHIP_ENDED : KINSHIP_UNCLEAR;
        bool opener = r.kinship == KINSHIP_ENDED && (!timing.near_known || carries_on(c));
        int opened = opener ? opened_first(c) : 0;
        r.near_known = timing.near_known || opened;
        r.client_near = (opened ? opened > 0 : timing.a_first) == a_is_nearer(c);
        for (int half = 0; half < 2; half++) {
            r.by[half] = c->half[half].by;
            r.known[half] = c->half[half].known;
            r.views[0][half] = (uint8_t)c->half[half].va;
            r.views[1][half] = (uint8_t)c->half[half].vb;
        }
    }
    *ret_relation = r;
    return DP_OK;
}

int pairing_relate(struct pairing *p, const struct candidate *candidate, struct relation *ret_relation)
{
    struct comparison c = {.p = p,
                           .a = p->strangers[candidate->a].flow,
                           .b = p->strangers[candidate->b].flow,
                           .swapped = candidate->swapped};
    *ret_relation = (struct relation){0};
    if (c.swapped && c.a->client_known && c.b->client_known)
        return DP_OK;
    for (c.leg_a = 0; c.leg_a < c.a->legs; c.leg_a++)
        for (c.leg_b = 0; c.leg_b < c.b->legs; c.leg_b++) {
            struct relation r;
            c.half[0] = c.half[1] = (struct side_by_side){0};
            int code = relate_legs(&c, candidate->bits, &r);
            if (code)
                return code;
            if (r.bits > ret_relation->bits)
                *ret_relation = r;
        }
    return DP_OK;
}
