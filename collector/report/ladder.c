/* Collects the ladder's packets: of each flow that is shown those nearest to its losses, however many there
 * are in all. */
#include "collector/report/ladder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/report/ladder_internal.h"

int64_t dp_report_corrected(const struct dp_report *report, uint32_t vantage, int64_t ts_ns)
{
    const struct dp_vantage_report *v = &report->vantages[vantage];
    __int128 time = (__int128)ts_ns - v->clock_offset_ns;
    time -= (__int128)llround((double)(time - report->reference_ns) * v->clock_skew_ppm * 1e-6);
    return time < INT64_MIN ? INT64_MIN : time > INT64_MAX ? INT64_MAX : (int64_t)time;
}

void dp_ladder_free(struct dp_ladder *ladder)
{
    if (!ladder)
        return;
    for (size_t i = 0; ladder->scenes && i < ladder->scene_count; i++)
        free(ladder->scenes[i].windows);
    free(ladder->scenes);
    free(ladder->packets);
    free(ladder->sightings);
    free(ladder);
}

void dp_ladder_maker_free(struct dp_ladder_maker *maker)
{
    if (!maker)
        return;
    for (size_t i = 0; maker->scenes && i < maker->scene_count; i++) {
        free(maker->scenes[i].moments);
        free(maker->scenes[i].items);
        free(maker->scenes[i].seen);
        free(maker->scenes[i].free_slots);
    }
    free(maker->scenes);
    free(maker->scene_of_flow);
    free(maker->by_serial);
    free(maker->losses);
    free(maker);
}

/* ---- which of a flow's packets stay ---- */

static int64_t apart(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a > b ? a : b, a > b ? b : a, &difference))
        return INT64_MAX;
    return difference;
}

/* How far a moment is from the nearest that the scene is about. */
static int64_t distance(const struct scene *scene, int64_t t)
{
    size_t low = 0, high = scene->moment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scene->moments[middle] < t)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t nearest = INT64_MAX;
    if (low < scene->moment_count)
        nearest = apart(scene->moments[low], t);
    if (low > 0 && apart(scene->moments[low - 1], t) < nearest)
        nearest = apart(scene->moments[low - 1], t);
    return nearest;
}

static int by_rank(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->t_ns < y->t_ns ? -1 : x->t_ns > y->t_ns;
}

/* Without a moment to be near to, the flow's beginning and end say most. */
static void rank_by_place(struct scene *scene)
{
    qsort(scene->items, scene->item_count, sizeof *scene->items, ladder_by_time);
    for (size_t i = 0; i < scene->item_count; i++) {
        size_t from_end = scene->item_count - 1 - i;
        scene->items[i].rank = (int64_t)(i < from_end ? i : from_end);
    }
}

/* Gives up the packets that matter least, so that `most` remain. */
static void trim(struct scene *scene, size_t most)
{
    if (scene->item_count <= most)
        return;
    if (scene->moment_count == 0)
        rank_by_place(scene);
    qsort(scene->items, scene->item_count, sizeof *scene->items, by_rank);
    scene->trimmed = true;
    /* Whole moments only: nothing that is as far away as what goes may stay. */
    int64_t edge = scene->items[most].rank;
    size_t kept = most;
    while (kept > 0 && scene->items[kept - 1].rank == edge)
        kept--;
    if (scene->moment_count == 0) {
        kept = most;
    } else if (kept == 0) { /* more losses than fit: the first of them */
        kept = most;
        scene->reach_ns = 0;
        while (scene->moment_count > 1 &&
               scene->moments[scene->moment_count - 1] > scene->items[kept - 1].t_ns)
            scene->moment_count--;
    } else {
        scene->reach_ns = edge - 1;
    }
    for (size_t i = kept; i < scene->item_count; i++)
        scene->free_slots[scene->free_count++] = scene->items[i].slot;
    scene->item_count = kept;
}

static int make_room(struct dp_ladder_maker *maker, struct scene *scene)
{
    if (scene->item_count < scene->item_room)
        return DP_OK;
    size_t most = scene->quota + scene->quota / 4 + 64;
    if (scene->item_room == most) {
        trim(scene, scene->quota);
        return DP_OK;
    }
    size_t room = scene->item_room ? scene->item_room * 2 : 256;
    room = room > most ? most : room;
    struct item *items = realloc(scene->items, room * sizeof *items);
    if (!items)
        return DP_ERR_NOMEM;
    scene->items = items;
    struct dp_ladder_sighting *seen =
        realloc(scene->seen, room * maker->report->vantage_count * sizeof *seen);
    if (!seen)
        return DP_ERR_NOMEM;
    scene->seen = seen;
    uint32_t *slots = realloc(scene->free_slots, room * sizeof *slots);
    if (!slots)
        return DP_ERR_NOMEM;
    scene->free_slots = slots;
    for (size_t i = scene->item_room; i < room; i++)
        scene->free_slots[scene->free_count++] = (uint32_t)i;
    scene->item_room = room;
    return DP_OK;
}

/* ---- taking ---- */

static void take_sightings(const struct dp_ladder_maker *maker, const struct dp_transmission *t,
                           struct dp_ladder_sighting *to)
{
    for (size_t i = 0; i < t->seen_count; i++) {
        const struct dp_sighting *from = &t->seen[i];
        to[i] = (struct dp_ladder_sighting){
            .vantage = from->vantage,
            .ts_ns = from->ts_ns,
            .t_ns = dp_report_corrected(maker->report, from->vantage, from->ts_ns),
            .seq = from->seq,
            .payload_len = from->payload_len,
            .ip_len = from->ip_len,
            .ip_id = from->ip_id,
            .tcp_flags = from->tcp_flags,
            .ttl = from->ttl,
        };
    }
}

/* What the report says of this transmission's loss. */
static void mark_loss(const struct dp_ladder_maker *maker, const struct dp_transmission *t,
                      struct dp_ladder_packet *packet)
{
    for (size_t i = 0; i < t->seen_count; i++) {
        const struct loss *loss = ladder_loss_at(maker, maker->by_serial[t->flow], &t->seen[i]);
        if (!loss)
            continue;
        if (loss->only_shown)
            packet->marks |= loss->before ? DP_LADDER_SHOWS_BEFORE : DP_LADDER_SHOWS_BEYOND;
        else if (i + 1 == t->seen_count && t->fate == DP_FATE_LOST)
            packet->marks |= DP_LADDER_LOST;
        else
            continue;
        packet->finding = loss->finding;
    }
}

int dp_ladder_take(void *context, const struct dp_transmission *t)
{
    struct dp_ladder_maker *maker = context;
    uint32_t flow = t->flow < maker->serials ? maker->by_serial[t->flow] : UINT32_MAX;
    uint32_t number = flow == UINT32_MAX ? 0 : maker->scene_of_flow[flow];
    if (number == 0)
        return DP_OK;
    struct scene *scene = &maker->scenes[number - 1];
    int64_t t_ns = dp_report_corrected(maker->report, t->seen[0].vantage, t->seen[0].ts_ns);
    int64_t rank = 0;
    if (scene->moment_count) {
        /* A packet that a long queue held up may have been lost long after it set out. */
        const struct dp_sighting *last = &t->seen[t->seen_count - 1];
        int64_t end_ns = dp_report_corrected(maker->report, last->vantage, last->ts_ns);
        rank = distance(scene, t_ns);
        int64_t end_rank = distance(scene, end_ns);
        rank = end_rank < rank ? end_rank : rank;
        if (rank > scene->reach_ns)
            return DP_OK;
    }
    int code = make_room(maker, scene);
    if (code || rank > scene->reach_ns) /* making room may have shortened the reach */
        return code;
    struct item *item = &scene->items[scene->item_count++];
    *item = (struct item){.t_ns = t_ns, .rank = rank, .slot = scene->free_slots[--scene->free_count]};
    item->packet = (struct dp_ladder_packet){.sighting_count = (uint32_t)t->seen_count,
                                             .half = t->half,
                                             .direction = t->direction,
                                             .fate = t->fate,
                                             .has_bytes = t->has_bytes,
                                             .duplicate = t->duplicate,
                                             .finding = -1,
                                             .offset = t->offset,
                                             .length = t->length,
                                             .copy = 1};
    take_sightings(maker, t, &scene->seen[item->slot * maker->report->vantage_count]);
    mark_loss(maker, t, &item->packet);
    return DP_OK;
}

/* ---- the end ---- */

static int add_window(struct dp_ladder_scene *to, int64_t from_ns, int64_t to_ns)
{
    struct dp_ladder_window *last = to->window_count ? &to->windows[to->window_count - 1] : NULL;
    if (last && from_ns <= last->to_ns) {
        last->to_ns = to_ns > last->to_ns ? to_ns : last->to_ns;
        return DP_OK;
    }
    struct dp_ladder_window *grown = realloc(to->windows, (to->window_count + 1) * sizeof *grown);
    if (!grown)
        return DP_ERR_NOMEM;
    to->windows = grown;
    to->windows[to->window_count++] = (struct dp_ladder_window){from_ns, to_ns};
    return DP_OK;
}

static int64_t moved(int64_t t, int64_t by)
{
    int64_t moved_to;
    return __builtin_add_overflow(t, by, &moved_to) ? (by < 0 ? INT64_MIN : INT64_MAX) : moved_to;
}

static int state_windows(const struct scene *scene, struct dp_ladder_scene *to)
{
    int code = DP_OK;
    for (size_t i = 0; code == DP_OK && i < scene->moment_count; i++)
        code = add_window(to, moved(scene->moments[i], -scene->reach_ns),
                          moved(scene->moments[i], scene->reach_ns));
    if (scene->moment_count || scene->item_count == 0)
        return code;
    size_t half = scene->trimmed ? scene->item_count / 2 : scene->item_count;
    code = add_window(to, scene->items[0].t_ns, scene->items[half ? half - 1 : 0].t_ns);
    if (code == DP_OK && scene->trimmed)
        code = add_window(to, scene->items[half].t_ns, scene->items[scene->item_count - 1].t_ns);
    return code;
}

static int copy_scene(const struct dp_ladder_maker *maker, struct scene *scene, struct dp_ladder *ladder)
{
    struct dp_ladder_scene *to = &ladder->scenes[ladder->scene_count++];
    *to = (struct dp_ladder_scene){.flow = scene->flow,
                                   .packet = ladder->packet_count,
                                   .packet_count = scene->item_count,
                                   .lost = scene->lost};
    for (size_t i = 0; i < scene->item_count; i++) {
        const struct item *item = &scene->items[i];
        struct dp_ladder_packet *packet = &ladder->packets[ladder->packet_count++];
        *packet = item->packet;
        packet->sighting = ladder->sighting_count;
        memcpy(&ladder->sightings[ladder->sighting_count],
               &scene->seen[item->slot * maker->report->vantage_count],
               packet->sighting_count * sizeof *ladder->sightings);
        ladder->sighting_count += packet->sighting_count;
    }
    return state_windows(scene, to);
}

int dp_ladder_end(struct dp_ladder_maker *maker, struct dp_ladder **ret_ladder)
{
    size_t packets = 0, sightings = 0;
    for (size_t i = 0; i < maker->scene_count; i++) {
        struct scene *scene = &maker->scenes[i];
        trim(scene, scene->quota);
        packets += scene->item_count;
        for (size_t k = 0; k < scene->item_count; k++)
            sightings += scene->items[k].packet.sighting_count;
    }
    struct dp_ladder *ladder = calloc(1, sizeof *ladder);
    if (!ladder)
        return DP_ERR_NOMEM;
    ladder->scenes = calloc(maker->scene_count + 1, sizeof *ladder->scenes);
    ladder->packets = calloc(packets + 1, sizeof *ladder->packets);
    ladder->sightings = calloc(sightings + 1, sizeof *ladder->sightings);
    int code = ladder->scenes && ladder->packets && ladder->sightings ? DP_OK : DP_ERR_NOMEM;
    for (size_t i = 0; code == DP_OK && i < maker->scene_count; i++) {
        struct scene *scene = &maker->scenes[i];
        if (scene->item_count == 0)
            continue;
        qsort(scene->items, scene->item_count, sizeof *scene->items, ladder_by_time);
        code = ladder_number_copies(scene, maker->report->vantage_count);
        if (code == DP_OK)
            code = copy_scene(maker, scene, ladder);
    }
    if (code) {
        dp_ladder_free(ladder);
        return code;
    }
    *ret_ladder = ladder;
    return DP_OK;
}
