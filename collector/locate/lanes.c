/* What waits at one vantage point: chunks of observations, so that a lane grows without being copied. */
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

#define FIRST_BYTES 512 /* most flows are short */
#define LARGEST_BYTES 4096

int lane_grow(struct dp_locate *l, struct lane *lane)
{
    struct lane_chunk *last = lane->last;
    size_t size = last ? (sizeof *last + last->room * sizeof last->items[0]) * 2 : FIRST_BYTES;
    struct lane_chunk *chunk = pool_take(&l->pool, size < LARGEST_BYTES ? size : LARGEST_BYTES, &size);
    if (!chunk)
        return DP_ERR_NOMEM;
    *chunk = (struct lane_chunk){.room = (size - sizeof *chunk) / sizeof chunk->items[0]};
    if (last)
        last->next = chunk;
    else
        lane->first = chunk;
    lane->last = chunk;
    lane->next = chunk->items;
    lane->end = chunk->items + chunk->room;
    return DP_OK;
}

static void give_from(struct dp_locate *l, struct lane_chunk *chunk)
{
    for (struct lane_chunk *next; chunk; chunk = next) {
        next = chunk->next;
        pool_give(&l->pool, chunk, sizeof *chunk + chunk->room * sizeof chunk->items[0]);
    }
}

void lane_compact(struct dp_locate *l, struct lane *lane)
{
    struct lane_chunk *to = lane->first;
    struct observation *o, *at = to ? to->items : NULL;
    size_t kept = 0;
    for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;) {
        if (o->marks & MARK_SETTLED)
            continue;
        if (at == to->items + to->room) {
            to = to->next;
            at = to->items;
        }
        if (at != o)
            *at = *o;
        at++;
        kept++;
    }
    lane->count = kept;
    if (kept == 0) {
        give_from(l, lane->first);
        lane->first = lane->last = NULL;
        lane->next = lane->end = NULL;
        return;
    }
    give_from(l, to->next);
    to->next = NULL;
    lane->last = to;
    lane->next = at;
    lane->end = to->items + to->room;
}

struct lane_cursor lane_from(const struct lane *lane, size_t from)
{
    struct lane_cursor cursor = {.left = from < lane->count ? lane->count - from : 0};
    if (cursor.left == 0)
        return cursor;
    struct lane_chunk *chunk = lane->first;
    for (; from >= chunk->room; chunk = chunk->next)
        from -= chunk->room;
    cursor.chunk = chunk;
    cursor.next = chunk->items + from;
    cursor.chunk_end = chunk->items + chunk->room;
    return cursor;
}

size_t lane_find(const struct lane *lane, uint64_t start)
{
    size_t before = 0;
    for (const struct lane_chunk *chunk = lane->first; chunk; chunk = chunk->next) {
        size_t count = chunk->next ? chunk->room : lane->count - before;
        if (chunk->next && chunk->items[count - 1].start < start) {
            before += count;
            continue;
        }
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (chunk->items[middle].start < start)
                low = middle + 1;
            else
                high = middle;
        }
        return before + low;
    }
    return before;
}

/* ---- acknowledgements ---- */

static int another_block(struct dp_locate *l, struct ack_lane *lane)
{
    size_t blocks = lane->room / ACK_BLOCK, size;
    bool first = !lane->table;
    int code = dp_grow(&lane->table, &lane->table_room, blocks + 1, sizeof(struct ack_mark *));
    if (code)
        return code;
    if (first)
        lane->table[0] = lane->only;
    lane->table[blocks] = pool_take(&l->pool, ACK_BLOCK * sizeof(struct ack_mark), &size);
    if (!lane->table[blocks])
        return DP_ERR_NOMEM;
    lane->room += ACK_BLOCK;
    return DP_OK;
}

int ack_add(struct dp_locate *l, struct ack_lane *lane, struct ack_mark mark)
{
    if (lane->gone + lane->count == lane->room) {
        int code = lane->room < ACK_BLOCK
                       ? pool_grow(&l->pool, &lane->only, &lane->room, lane->room + 1, sizeof *lane->only)
                       : another_block(l, lane);
        if (code)
            return code;
    }
    *ack_at(lane, lane->count++) = mark;
    lane->highest = mark.position;
    return DP_OK;
}

void ack_trim(struct dp_locate *l, struct ack_lane *lane, size_t gone)
{
    lane->gone += gone;
    lane->count -= gone;
    size_t blocks = lane->gone / ACK_BLOCK;
    if (!lane->table || blocks == 0)
        return;
    for (size_t i = 0; i < blocks; i++)
        pool_give(&l->pool, lane->table[i], ACK_BLOCK * sizeof(struct ack_mark));
    lane->room -= blocks * ACK_BLOCK;
    lane->gone -= blocks * ACK_BLOCK;
    memmove(lane->table, lane->table + blocks, lane->room / ACK_BLOCK * sizeof(struct ack_mark *));
}
