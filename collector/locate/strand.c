#include "collector/locate/strand.h"

#include <stdlib.h>

#include "collector/locate/grow.h"

#define BEGINNING 2048
#define CHOSEN 2048
#define GLANCE 64
#define VOTES 256
#define SURELY_FAR (1LL << 24)
#define HOPS_MOST 32 /* more is not made by routers */

static int by_start(const void *a, const void *b)
{
    const struct observation *x = *(const struct observation *const *)a,
                             *y = *(const struct observation *const *)b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->ts_ns < y->ts_ns ? -1 : x->ts_ns > y->ts_ns;
}

/* Lanes are nearly in order. */
static void sort_items(struct strand *s)
{
    size_t moves = 0, most = 16 * s->count + 256;
    for (size_t i = 1; i < s->count; i++) {
        const struct observation *moving = s->items[i];
        size_t k = i;
        for (; k > 0 && moves < most && by_start(&s->items[k - 1], &moving) > 0; k--, moves++)
            s->items[k] = s->items[k - 1];
        s->items[k] = moving;
        if (moves >= most) {
            qsort(s->items, s->count, sizeof *s->items, by_start);
            return;
        }
    }
}

/* Of those from number `beginning` on only what has a hash below `below`. */
static int take(const struct lane *lane, size_t most, size_t beginning, uint64_t below, struct strand *s)
{
    s->count = 0;
    int code = dp_grow(&s->items, &s->room, most, sizeof *s->items);
    if (code)
        return code;
    const struct observation *o;
    struct lane_cursor cursor = lane_from(lane, 0);
    for (size_t i = 0; s->count < most && (i < beginning || below) && (o = lane_next(&cursor)) != NULL; i++)
        if (!(o->tcp_flags & DP_TCP_SYN) && (i < beginning || o->hash < below))
            s->items[s->count++] = o;
    sort_items(s);
    return DP_OK;
}

int strand_take(const struct lane *lane, struct strand *s)
{
    if (lane->count <= BEGINNING + 2 * CHOSEN)
        return take(lane, lane->count, lane->count, 0, s);
    uint64_t below = ((uint64_t)CHOSEN << 32) / (lane->count - BEGINNING);
    return take(lane, BEGINNING + 2 * CHOSEN, BEGINNING, below, s);
}

int strand_glance(const struct lane *lane, struct strand *s)
{
    size_t most = lane->count < GLANCE ? lane->count : GLANCE;
    return take(lane, most, GLANCE, 0, s);
}

const struct observation *strand_syn(const struct lane *lane)
{
    for (size_t i = 0; i < lane->count && i < 16; i++)
        if (lane_at(lane, i)->tcp_flags & DP_TCP_SYN)
            return lane_at(lane, i);
    return NULL;
}

void strand_free(struct strand *s)
{
    free(s->items);
    *s = (struct strand){0};
}

/* ---- side by side ---- */

enum content { SAME_CONTENT, OTHER_CONTENT, INCOMPARABLE };

static enum content compare(const struct observation *a, const struct observation *b)
{
    if (a->hash_len == 0 && b->hash_len == 0)
        return a->payload == b->payload ? SAME_CONTENT : INCOMPARABLE;
    if (a->hash_len == b->hash_len)
        return a->hash == b->hash ? SAME_CONTENT : OTHER_CONTENT;
    /* Packets that were cut short otherwise, or have other borders. */
    return a->payload == b->payload && a->payload >= 64 ? SAME_CONTENT : INCOMPARABLE;
}

struct vote {
    uint32_t by[VOTES];
    size_t count;
};

/* All copies of one position in either strand. */
struct copies {
    const struct observation *const *items;
    size_t count;
};

static void compare_fields(struct copies a, struct copies b, struct likeness *like, struct vote *vote)
{
    bool stamps = false, equal_stamp = false, ids = false, equal_id = false, lengths = false, lone = false;
    for (size_t i = 0; i < a.count; i++)
        for (size_t k = 0; k < b.count; k++) {
            const struct observation *x = a.items[i], *y = b.items[k];
            bool both = x->marks & y->marks & MARK_HAS_TS;
            bool length = x->span == y->span;
            bool identified = x->marks & y->marks & MARK_HAS_IP_ID;
            stamps = stamps || both;
            lone = lone || ((x->marks ^ y->marks) & MARK_HAS_TS);
            equal_stamp = equal_stamp || (both && x->tsval == y->tsval);
            ids = ids || identified;
            equal_id = equal_id || (identified && x->ip_id == y->ip_id);
            lengths = lengths || length;
        }
    int hops = (int)a.items[0]->ttl - (int)b.items[0]->ttl;
    like->ttl_lower += hops > 0 && hops < HOPS_MOST;
    like->ttl_higher += hops < 0;
    like->lengths += lengths;
    like->stamps += stamps;
    like->equal_stamps += equal_stamp;
    like->half_stamped += lone && !stamps;
    uint32_t both = (uint32_t)(a.count < b.count ? a.count : b.count); /* copies, of which none may agree */
    like->ids += ids ? both : 0;
    like->equal_ids += equal_id ? both : 0;
    if (stamps && a.count == 1 && b.count == 1 && vote->count < VOTES)
        vote->by[vote->count++] = a.items[0]->tsval - b.items[0]->tsval;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void count_votes(struct vote *vote, struct likeness *like)
{
    if (vote->count)
        qsort(vote->by, vote->count, sizeof *vote->by, by_number);
    like->ts_asked = (uint32_t)vote->count;
    for (size_t i = 0, j; i < vote->count; i = j) {
        for (j = i; j < vote->count && vote->by[j] == vote->by[i]; j++)
            ;
        if (j - i > like->ts_votes) {
            like->ts_votes = (uint32_t)(j - i);
            like->ts_by = vote->by[i];
        }
    }
}

static size_t copies_at(const struct strand *s, size_t i)
{
    size_t j = i + 1;
    while (j < s->count && s->items[j]->start == s->items[i]->start)
        j++;
    return j;
}

void strands_compare(const struct strand *first, const struct strand *second, int64_t by,
                     struct likeness *ret_likeness)
{
    struct likeness like = {0};
    struct vote vote = {.count = 0};
    for (size_t i = 0, k = 0; i < first->count && k < second->count;) {
        uint64_t x = first->items[i]->start, y = second->items[k]->start + (uint64_t)by;
        size_t next_i = x <= y ? copies_at(first, i) : i, next_k = y <= x ? copies_at(second, k) : k;
        if (x == y) {
            enum content content = compare(first->items[i], second->items[k]);
            like.different += content == OTHER_CONTENT;
            if (content == OTHER_CONTENT) {
                like.run = 0;
                like.lag_count = 0;
            }
            if (content == SAME_CONTENT) {
                like.same++;
                if (like.run++ == 0)
                    like.from = x;
                if (like.lag_count < LAGS)
                    like.lags[like.lag_count++] =
                        (struct lag){first->items[i]->ts_ns, second->items[k]->ts_ns};
                compare_fields((struct copies){&first->items[i], next_i - i},
                               (struct copies){&second->items[k], next_k - k}, &like, &vote);
            }
        }
        i = next_i;
        k = next_k;
    }
    count_votes(&vote, &like);
    *ret_likeness = like;
}

/* ---- how the numbers differ ---- */

struct piece {
    uint64_t key, start;
};

static int by_key(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static uint8_t snap_of(const struct strand *s)
{
    uint8_t most = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i]->payload >= 64 && s->items[i]->hash_len > most)
            most = s->items[i]->hash_len;
    return most;
}

/* Payload in order of its hash; each that shows at one position only is kept. Where packets were cut short
 * unlike, the length must do for the long ones. */
static size_t pieces_of(const struct strand *s, bool by_length, struct piece *pieces)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct observation *o = s->items[i];
        bool length = by_length && o->payload >= 64;
        if (o->payload == 0 || (o->hash_len == 0 && !length))
            continue;
        uint64_t key = length ? 0xffULL << 56 | o->payload : (uint64_t)o->hash_len << 56 | o->hash;
        pieces[n++] = (struct piece){key, o->start};
    }
    if (n)
        qsort(pieces, n, sizeof *pieces, by_key);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && pieces[j].key == pieces[i].key; j++)
            ;
        if (pieces[j - 1].start == pieces[i].start)
            pieces[kept++] = pieces[i];
    }
    return kept;
}

static int by_difference(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static struct shift most_voted(int64_t *by, size_t count)
{
    struct shift shift = {0};
    if (count)
        qsort(by, count, sizeof *by, by_difference);
    for (size_t i = 0, j; i < count; i = j) {
        for (j = i; j < count && by[j] == by[i]; j++)
            ;
        uint32_t votes = (uint32_t)(j - i);
        if (votes > shift.votes) {
            shift.others = shift.votes;
            shift.votes = votes;
            shift.by = by[i];
        } else if (votes > shift.others) {
            shift.others = votes;
        }
    }
    return shift;
}

int strands_shift(const struct strand *first, const struct strand *second, struct shift *ret_shift)
{
    *ret_shift = (struct shift){0};
    size_t total = first->count + second->count;
    if (first->count == 0 || second->count == 0)
        return DP_OK;
    struct piece *pieces = malloc(total * sizeof *pieces);
    int64_t *by = malloc(total * sizeof *by);
    if (!pieces || !by) {
        free(pieces);
        free(by);
        return DP_ERR_NOMEM;
    }
    bool by_length = snap_of(first) != snap_of(second);
    struct piece *other = pieces + first->count;
    size_t n = pieces_of(first, by_length, pieces), m = pieces_of(second, by_length, other), votes = 0;
    for (size_t i = 0, k = 0; i < n && k < m;) {
        if (pieces[i].key == other[k].key)
            by[votes++] = (int64_t)(pieces[i].start - other[k].start);
        bool step_i = pieces[i].key <= other[k].key, step_k = other[k].key <= pieces[i].key;
        i += step_i;
        k += step_k;
    }
    *ret_shift = most_voted(by, votes);
    free(pieces);
    free(by);
    return DP_OK;
}

bool shift_trusted(const struct shift *shift)
{
    if (shift->votes <= shift->others)
        return false;
    if (shift->by == 0 || llabs(shift->by) >= SURELY_FAR)
        return true;
    return shift->votes >= 3 && shift->votes > 2 * shift->others;
}
