/* Datagrams (UDP, ICMP ...) have no positions: they are recognised by a hash of their payload. Where the
 * points of a path keep unlike much of each packet their hashes cover unlike much, too, and say nothing: then
 * length and IP ID must do for the long ones. */
#include <stdlib.h>

#include "collector/locate/engine.h"

#define HASH_WHOLE 64 /* bytes that a hash covers where enough is captured */
#define GLANCE 64     /* datagrams that show how much a point keeps */
#define COMPARED 4096

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9fb21c651e98df25ULL;
    return h ^ (h >> 32);
}

uint64_t datagram_key(const struct flow *flow, int half, const struct observation *o)
{
    const struct half *h = &flow->half[half];
    uint64_t key = mix(0x243f6a8885a308d3ULL, flow->proto);
    if (!h->hash_cut || o->payload <= h->hash_least)
        return mix(mix(key, ((uint64_t)o->hash << 32) | o->payload), o->hash_len);
    return mix(mix(key, o->payload), h->id_ignored ? 0 : o->ip_id);
}

/* How many bytes of a long payload a point's hashes cover. */
static uint8_t kept_by(const struct lane *lane)
{
    uint8_t kept = HASH_WHOLE;
    const struct observation *o;
    struct lane_cursor cursor = lane_from(lane, 0);
    for (size_t i = 0; i < GLANCE && (o = lane_next(&cursor)) != NULL; i++)
        if (o->hash_len < o->payload && o->hash_len < kept)
            kept = o->hash_len;
    return kept;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Length and IP ID of the long ones, in order. */
static size_t list(const struct lane *lane, uint8_t least, uint64_t ids[COMPARED])
{
    size_t count = 0;
    const struct observation *o;
    for (struct lane_cursor cursor = lane_from(lane, 0);
         count < COMPARED && (o = lane_next(&cursor)) != NULL;)
        if (o->payload > least)
            ids[count++] = (uint64_t)o->payload << 16 | o->ip_id;
    qsort(ids, count, sizeof *ids, by_number);
    return count;
}

/* Whether two points show the same IP IDs: something between them may write its own, or none. */
static bool ids_agree(const uint64_t *a, size_t n, const uint64_t *b, size_t m)
{
    size_t equal = 0, least = n < m ? n : m;
    for (size_t i = 0, k = 0; i < n && k < m;) {
        equal += a[i] == b[k];
        size_t step_i = a[i] <= b[k], step_k = b[k] <= a[i];
        i += step_i;
        k += step_k;
    }
    return least == 0 || equal * 10 >= least;
}

static int compare_ids(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    uint64_t *ids = malloc(2 * COMPARED * sizeof *ids);
    uint64_t *a = ids, *b = ids + COMPARED;
    size_t n = 0;
    if (!ids)
        return DP_ERR_NOMEM;
    for (uint32_t v = 0; v < l->vantage_count && !h->id_ignored; v++) {
        size_t m = list(&h->control[v], h->hash_least, b);
        if (m == 0)
            continue;
        if (!ids_agree(a, n, b, m))
            flow_ignore_ids(l, flow, half);
        uint64_t *swap = a;
        a = b;
        b = swap;
        n = m;
    }
    free(ids);
    return DP_OK;
}

int datagrams_align(struct dp_locate *l, struct flow *flow)
{
    for (int half = 0; half < 2; half++) {
        struct half *h = &flow->half[half];
        uint8_t least = h->hash_cut ? h->hash_least : HASH_WHOLE, most = 0;
        for (uint32_t v = 0; v < l->vantage_count; v++) {
            if (h->control[v].count == 0)
                continue;
            uint8_t kept = kept_by(&h->control[v]);
            least = kept < least ? kept : least;
            most = kept > most ? kept : most;
        }
        if (most <= least && !h->hash_cut)
            continue;
        h->hash_cut = true;
        h->hash_least = least;
        int code = compare_ids(l, flow, half);
        if (code)
            return code;
        struct observation *o;
        for (uint32_t v = 0; v < l->vantage_count; v++)
            for (struct lane_cursor cursor = lane_from(&h->control[v], 0); (o = lane_next(&cursor)) != NULL;)
                o->start = datagram_key(flow, half, o);
    }
    return DP_OK;
}
