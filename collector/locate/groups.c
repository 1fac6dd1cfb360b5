/* Gathers what all vantage points saw of one half of a flow, in order of stream position. */
#include "collector/locate/groups.h"

#include <stdlib.h>

#include "collector/locate/grow.h"

struct lane *lanes_of(struct work *w)
{
    struct half *h = &w->flow->half[w->half];
    return w->control ? h->control : h->data;
}

void work_on_all(struct work *w)
{
    w->low = 0;
    w->high = (uint32_t)w->l->vantage_count;
}

void work_on_leg(struct work *w, uint32_t leg)
{
    flow_leg(w->l, w->flow, leg, &w->low, &w->high);
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

/* A window lies where the shortest lane has it; the others contribute what they saw of the same positions, so
 * that lanes that have been fed unequally far still have packets in common. */
static void lane_range(const struct work *w, const struct lane *lane, const struct lane *shortest,
                       size_t *ret_from, size_t *ret_to)
{
    *ret_from = 0;
    *ret_to = lane->count;
    if (w->windows == 0 || lane->count == 0)
        return;
    size_t from = shortest->count * w->window / w->windows;
    if (w->control && w->flow->proto != 6) /* keys without order: only the place in the lane says something */
        *ret_from = lane->count * w->window / w->windows;
    else
        *ret_from = lane == shortest ? from : lane_find(lane, lane_from(shortest, from).next->start);
    if (lane->count - *ret_from > WINDOW_SIZE)
        *ret_to = *ret_from + WINDOW_SIZE;
}

static const struct lane *shortest_lane(const struct work *w, const struct lane *lanes)
{
    const struct lane *shortest = NULL;
    for (size_t v = w->low; v < w->high; v++)
        if (lanes[v].count && (!shortest || lanes[v].count < shortest->count))
            shortest = &lanes[v];
    return shortest;
}

int collect(struct work *w)
{
    struct dp_locate *l = w->l;
    struct lane *lanes = lanes_of(w);
    bool forward = half_forward(w->flow, w->half);
    struct {
        struct observation *o;
        uint64_t start; /* of it */
        struct lane_cursor rest;
        uint32_t vantage;
    } heads[DP_LOCATE_MAX_VANTAGES];
    size_t head_count = 0, need = 0;
    const struct lane *shortest = shortest_lane(w, lanes);
    for (uint32_t v = w->low; v < w->high; v++) {
        size_t from, to;
        lane_range(w, &lanes[v], shortest, &from, &to);
        if (from == to)
            continue;
        heads[head_count].rest = lane_from(&lanes[v], from);
        heads[head_count].rest.left = to - from;
        heads[head_count].o = lane_next(&heads[head_count].rest);
        heads[head_count].start = heads[head_count].o->start;
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
            if (heads[i].start < heads[best].start)
                best = i;
        struct observation *o = heads[best].o;
        *r++ = (struct reference){.start = o->start,
                                  .end = o->start + o->span,
                                  .o = o,
                                  .t_ns = to_reference(l, heads[best].vantage, o->ts_ns),
                                  .place = place_to_vantage(l, forward, heads[best].vantage)};
        heads[best].o = lane_next(&heads[best].rest);
        if (heads[best].o)
            heads[best].start = heads[best].o->start;
        else
            heads[best] = heads[--head_count];
    }
    w->count = need;
    sort_references(l->references, need);
    return DP_OK;
}

size_t group_end(const struct work *w, size_t i)
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

bool plain_group(const struct reference *r, size_t count)
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
