/* Which packets of a flow carry bytes that went before: retransmissions. */
#include <stdlib.h>

#include "collector/report/ladder_internal.h"

#define ACTIVE_MOST 1000 /* copies of the same bytes that are told apart; more are as good as many */

struct by_position {
    uint32_t index; /* into the scene's items */
    uint8_t half;
    uint64_t start, end;
};

static int compare_positions(const void *a, const void *b)
{
    const struct by_position *x = a, *y = b;
    if (x->half != y->half)
        return x->half < y->half ? -1 : 1;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The copy before one that shows a loss beyond the path was lost there, if it passed the last point. */
static void consider_beyond(struct scene *scene, size_t vantage_count, uint32_t earlier, uint32_t later,
                            uint32_t *latest)
{
    struct dp_ladder_packet *shown = &scene->items[later].packet, *lost = &scene->items[earlier].packet;
    const struct dp_ladder_sighting *seen =
        &scene->seen[scene->items[earlier].slot * vantage_count + lost->sighting_count - 1];
    uint32_t last = shown->direction == DP_FORWARD ? (uint32_t)vantage_count - 1 : 0;
    if ((shown->marks & DP_LADDER_SHOWS_BEYOND) && seen->vantage == last && !lost->duplicate &&
        (*latest == UINT32_MAX || earlier > *latest))
        *latest = earlier;
}

/* What overlaps one item among those that begin before it or where it does. */
static void relate(struct scene *scene, size_t vantage_count, const struct by_position *active, size_t count,
                   const struct by_position *at, uint32_t *beyond)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t a = active[i].index, b = at->index;
        uint32_t earlier = a < b ? a : b, later = a < b ? b : a;
        if (!scene->items[earlier].packet.duplicate && !scene->items[later].packet.duplicate)
            scene->items[later].packet.copy++;
        consider_beyond(scene, vantage_count, earlier, later, &beyond[later]);
    }
}

int ladder_number_copies(struct scene *scene, size_t vantage_count)
{
    struct by_position *list = calloc(scene->item_count + 1, sizeof *list);
    struct by_position *active = calloc(ACTIVE_MOST, sizeof *active);
    uint32_t *beyond = calloc(scene->item_count + 1, sizeof *beyond);
    size_t count = 0, active_count = 0;
    for (size_t i = 0; list && active && beyond && i < scene->item_count; i++) {
        const struct dp_ladder_packet *p = &scene->items[i].packet;
        beyond[i] = UINT32_MAX;
        /* Offsets may lie before the stream's beginning: the wrap keeps their order. */
        uint64_t start = p->offset + (1ULL << 62);
        if (p->has_bytes)
            list[count++] = (struct by_position){(uint32_t)i, p->half, start, start + p->length};
    }
    if (count)
        qsort(list, count, sizeof *list, compare_positions);
    for (size_t i = 0; i < count; i++) {
        size_t kept = 0;
        for (size_t k = 0; k < active_count; k++)
            if (active[k].half == list[i].half && active[k].end > list[i].start)
                active[kept++] = active[k];
        active_count = kept;
        relate(scene, vantage_count, active, active_count, &list[i], beyond);
        if (active_count < ACTIVE_MOST)
            active[active_count++] = list[i];
    }
    for (size_t i = 0; beyond && i < scene->item_count; i++) {
        if (beyond[i] == UINT32_MAX)
            continue;
        struct dp_ladder_packet *lost = &scene->items[beyond[i]].packet;
        lost->marks |= DP_LADDER_LOST_BEYOND;
        lost->finding = scene->items[i].packet.finding;
    }
    bool ok = list && active && beyond;
    free(list);
    free(active);
    free(beyond);
    return ok ? DP_OK : DP_ERR_NOMEM;
}
