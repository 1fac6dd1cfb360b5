/* Packets without payload at two vantage points: they are known by their key, and what is left out of the key
 * can be compared. */
#include <stdlib.h>

#include "collector/locate/pairing.h"

#define LOOK_AT 512

struct key {
    uint64_t key;
    const struct observation *o;
};

static int by_key(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

enum without { WITHOUT_WINDOW, WITHOUT_NUMBER_AND_WINDOW };

/* Those that show once, in order of their keys. */
static size_t keys_of(const struct lane *control, int64_t acknowledged, enum without without, size_t look_at,
                      struct key keys[LOOK_AT])
{
    size_t n = 0, kept = 0;
    const struct observation *o;
    struct lane_cursor cursor = lane_from(control, 0);
    while (n < look_at && (o = lane_next(&cursor)) != NULL) {
        uint64_t key = control_key_moved(o, 0, acknowledged);
        if (without == WITHOUT_NUMBER_AND_WINDOW)
            key = control_key_bare(o, acknowledged);
        else if (o->marks & MARK_HAS_WINDOW)
            key = control_toggle_window(key, o->mss);
        keys[n++] = (struct key){key, o};
    }
    if (n)
        qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && keys[j].key == keys[i].key; j++)
            ;
        if (j == i + 1)
            keys[kept++] = keys[i];
    }
    return kept;
}

/* Moves both on to the next key that is in both. */
static bool next_common(const struct key *a, size_t n, size_t *i, const struct key *b, size_t m, size_t *k)
{
    while (*i < n && *k < m && a[*i].key != b[*k].key) {
        if (a[*i].key < b[*k].key)
            ++*i;
        else
            ++*k;
    }
    return *i < n && *k < m;
}

/* The sequence number of a half that sends no data: all its packets have the same. */
static bool idle_number(const struct lane *control, uint32_t *ret_seq)
{
    size_t look_at = control->count < LOOK_AT ? control->count : LOOK_AT, packets = 0, resets = 0;
    for (size_t i = 0; i < look_at; i++)
        resets += (lane_at(control, i)->tcp_flags & DP_TCP_RST) != 0;
    bool only_resets = resets == look_at; /* an answer to a SYN */
    for (size_t i = 0; i < look_at; i++) {
        const struct observation *o = lane_at(control, i);
        if (!only_resets && (o->tcp_flags & DP_TCP_RST))
            continue;
        if (packets++ == 0)
            *ret_seq = o->hash;
        else if (*ret_seq != o->hash)
            return false;
    }
    return packets >= 2 || (packets == 1 && only_resets);
}

bool pairing_idle_shift(const struct lane *first, const struct lane *second, uint32_t *ret_by)
{
    uint32_t a, b;
    if (!idle_number(first, &a) || !idle_number(second, &b))
        return false;
    *ret_by = a - b;
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

bool pairing_control_shift(const struct lane *first, const struct lane *second, int64_t acknowledged,
                           uint32_t *ret_by)
{
    struct key a[LOOK_AT], b[LOOK_AT];
    uint32_t by[LOOK_AT];
    size_t n = keys_of(first, 0, WITHOUT_NUMBER_AND_WINDOW, LOOK_AT, a),
           m = keys_of(second, acknowledged, WITHOUT_NUMBER_AND_WINDOW, LOOK_AT, b), votes = 0, most = 0;
    for (size_t i = 0, k = 0; next_common(a, n, &i, b, m, &k); i++, k++)
        by[votes++] = a[i].o->hash - b[k].o->hash;
    if (votes)
        qsort(by, votes, sizeof *by, by_number);
    for (size_t i = 0, j; i < votes; i = j) {
        for (j = i; j < votes && by[j] == by[i]; j++)
            ;
        if (j - i > most) {
            most = j - i;
            *ret_by = by[i];
        }
    }
    return most >= 2 && most * 10 >= votes * 8;
}

static const struct ack_mark *mark_at(const struct ack_lane *lane, int64_t ts_ns)
{
    size_t low = 0, high = lane->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ack_at(lane, middle)->ts_ns < ts_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low < lane->count && ack_at(lane, low)->ts_ns == ts_ns ? ack_at(lane, low) : NULL;
}

bool pairing_answer_shift(const struct ack_lane *first, const struct ack_lane *second, const struct lag *lags,
                          size_t count, int64_t *ret_by)
{
    struct shift shift = {0};
    for (size_t i = 0; i < count; i++) {
        const struct ack_mark *x = mark_at(first, lags[i].first_ns), *y = mark_at(second, lags[i].second_ns);
        if (!x || !y)
            continue;
        int64_t by = (int64_t)(x->position - y->position);
        if (shift.votes == 0)
            shift.by = by;
        shift.votes += by == shift.by;
        shift.others += by != shift.by;
    }
    *ret_by = shift.by;
    return shift_trusted(&shift);
}

static void compare(const struct observation *x, const struct observation *y, struct likeness *like)
{
    bool stamps = x->marks & y->marks & MARK_HAS_TS, ids = x->marks & y->marks & MARK_HAS_IP_ID;
    bool windows = !(x->tcp_flags & DP_TCP_RST);
    uint32_t by = x->tsval - y->tsval;
    like->same++;
    like->windows += windows;
    like->equal_windows += windows && x->mss == y->mss;
    like->ids += ids;
    like->equal_ids += ids && x->ip_id == y->ip_id;
    like->half_stamped += ((x->marks ^ y->marks) & MARK_HAS_TS) != 0;
    like->stamps += stamps;
    like->equal_stamps += stamps && by == 0;
    like->ts_asked += stamps;
    if (stamps && like->ts_votes == 0)
        like->ts_by = by;
    like->ts_votes += stamps && by == like->ts_by;
}

#define ENOUGH 8

void pairing_compare_controls(const struct lane *first, const struct lane *second, struct likeness *like)
{
    struct key a[LOOK_AT], b[LOOK_AT];
    size_t found = 0;
    for (size_t look_at = LOOK_AT / 8; look_at <= LOOK_AT && found < ENOUGH; look_at *= 8) {
        struct likeness more = *like;
        size_t n = keys_of(first, 0, WITHOUT_WINDOW, look_at, a),
               m = keys_of(second, 0, WITHOUT_WINDOW, look_at, b);
        found = 0;
        for (size_t i = 0, k = 0; next_common(a, n, &i, b, m, &k); i++, k++, found++)
            compare(a[i].o, b[k].o, &more);
        bool last = look_at == LOOK_AT || (first->count <= look_at && second->count <= look_at);
        if (found >= ENOUGH || last) {
            *like = more;
            return;
        }
    }
}
