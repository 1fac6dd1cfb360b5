/* Chooses which flows the ladder shows, and around which moments. */
#include <stdlib.h>
#include <string.h>

#include "collector/report/ladder_internal.h"

#define WHOLE_FLOW_MOST 4000 /* packets of a flow that is shown without a moment to look at */
#define FLOWS_WITHOUT_FINDING 6
#define MOMENTS_PART 8 /* one packet in so many may be a loss: the others show what was around it */

int ladder_by_time(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    if (x->packet.half != y->packet.half)
        return x->packet.half < y->packet.half ? -1 : 1;
    if (x->packet.offset != y->packet.offset)
        return x->packet.offset < y->packet.offset ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static int compare_losses(const void *a, const void *b)
{
    const struct loss *x = a, *y = b;
    if (x->flow != y->flow)
        return x->flow < y->flow ? -1 : 1;
    if (x->vantage != y->vantage)
        return x->vantage < y->vantage ? -1 : 1;
    return x->ts_ns < y->ts_ns ? -1 : x->ts_ns > y->ts_ns;
}

const struct loss *ladder_loss_at(const struct dp_ladder_maker *maker, uint32_t flow,
                                  const struct dp_sighting *sighting)
{
    struct loss key = {.flow = flow, .vantage = sighting->vantage, .ts_ns = sighting->ts_ns};
    size_t low = 0, high = maker->loss_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_losses(&maker->losses[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < maker->loss_count && compare_losses(&maker->losses[low], &key) == 0; low++) {
        const struct loss *loss = &maker->losses[low];
        /* Datagrams have no sequence number: what stands there belongs to one run of the engine. */
        if (loss->payload_len == sighting->payload_len && (!loss->tcp || loss->seq == sighting->seq))
            return loss;
    }
    return NULL;
}

static int list_losses(struct dp_ladder_maker *maker)
{
    const struct dp_report *r = maker->report;
    size_t count = 0;
    for (size_t i = 0; i < r->finding_count; i++)
        count += r->findings[i].packet_count;
    maker->losses = calloc(count + 1, sizeof *maker->losses);
    if (!maker->losses)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < r->finding_count; i++)
        for (size_t n = 0; n < r->findings[i].packet_count; n++) {
            const struct dp_lost_packet *p = &r->findings[i].packets[n];
            if (p->flow >= r->flow_count || p->vantage >= r->vantage_count)
                continue;
            const struct dp_finding *f = &r->findings[i];
            bool before = (f->from == DP_POINT_BEFORE) == (f->direction == DP_FORWARD);
            maker->losses[maker->loss_count++] = (struct loss){.flow = p->flow,
                                                               .vantage = p->vantage,
                                                               .ts_ns = p->ts_ns,
                                                               .seq = p->seq,
                                                               .payload_len = p->payload_len,
                                                               .finding = (int)i,
                                                               .only_shown = p->only_shown,
                                                               .before = before,
                                                               .tcp = r->flows[p->flow].proto == 6};
        }
    qsort(maker->losses, maker->loss_count, sizeof *maker->losses, compare_losses);
    return DP_OK;
}

/* ---- which flows ---- */

static void add_scene(struct dp_ladder_maker *maker, uint32_t flow)
{
    if (flow >= maker->report->flow_count || maker->scene_of_flow[flow] ||
        maker->scene_count == DP_LADDER_MAX_SCENES)
        return;
    maker->scenes[maker->scene_count++] = (struct scene){.flow = flow, .reach_ns = DP_LADDER_REACH_NS};
    maker->scene_of_flow[flow] = (uint32_t)maker->scene_count;
}

struct ranking {
    uint32_t flows[DP_LADDER_MAX_SCENES]; /* those that lost most first */
    size_t count;
};

/* The finding's flows that lost most. lost: scratch, one for each flow, all zero. */
static void rank_flows(const struct dp_report *r, const struct dp_finding *f, uint32_t *lost,
                       struct ranking *ranking)
{
    ranking->count = 0;
    for (size_t i = 0; i < f->packet_count; i++)
        lost[f->packets[i].flow < r->flow_count ? f->packets[i].flow : 0]++;
    for (size_t i = 0; i < f->flow_count; i++) {
        uint32_t flow = f->flows[i] - 1;
        if (flow >= r->flow_count)
            continue;
        size_t at = ranking->count;
        while (at > 0 && lost[flow] > lost[ranking->flows[at - 1]]) {
            if (at < DP_LADDER_MAX_SCENES)
                ranking->flows[at] = ranking->flows[at - 1];
            at--;
        }
        if (at < DP_LADDER_MAX_SCENES)
            ranking->flows[at] = flow;
        ranking->count += ranking->count < DP_LADDER_MAX_SCENES;
    }
    for (size_t i = 0; i < f->packet_count; i++)
        lost[f->packets[i].flow < r->flow_count ? f->packets[i].flow : 0] = 0;
}

/* Each finding gets its share: first the worst flow of each, then the second of each, and so on. */
static int choose_flows(struct dp_ladder_maker *maker)
{
    const struct dp_report *r = maker->report;
    struct ranking *rankings = calloc(r->finding_count + 1, sizeof *rankings);
    uint32_t *lost = calloc(r->flow_count + 1, sizeof *lost);
    if (rankings && lost) {
        for (size_t i = 0; i < r->finding_count; i++)
            rank_flows(r, &r->findings[i], lost, &rankings[i]);
        for (size_t place = 0; place < DP_LADDER_MAX_SCENES; place++)
            for (size_t i = 0; i < r->finding_count; i++)
                if (place < rankings[i].count)
                    add_scene(maker, rankings[i].flows[place]);
        for (uint32_t i = 0; r->finding_count == 0 && i < FLOWS_WITHOUT_FINDING; i++)
            add_scene(maker, i);
    }
    bool ok = rankings && lost;
    free(rankings);
    free(lost);
    return ok ? DP_OK : DP_ERR_NOMEM;
}

/* ---- around which moments ---- */

static int by_moment(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int add_moment(struct scene *scene, int64_t t)
{
    if (scene->moment_count == scene->moment_room) {
        size_t room = scene->moment_room ? scene->moment_room * 2 : 16;
        int64_t *grown = realloc(scene->moments, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        scene->moments = grown;
        scene->moment_room = room;
    }
    scene->moments[scene->moment_count++] = t;
    return DP_OK;
}

static int choose_moments(struct dp_ladder_maker *maker)
{
    const struct dp_report *r = maker->report;
    int code = DP_OK;
    for (size_t i = 0; code == DP_OK && i < maker->loss_count; i++) {
        const struct loss *loss = &maker->losses[i];
        uint32_t number = maker->scene_of_flow[loss->flow];
        if (number == 0)
            continue;
        maker->scenes[number - 1].lost++;
        code = add_moment(&maker->scenes[number - 1], dp_report_corrected(r, loss->vantage, loss->ts_ns));
    }
    /* A RST's moment is known where only one flow has it. */
    for (size_t i = 0; code == DP_OK && i < r->finding_count; i++) {
        const struct dp_finding *f = &r->findings[i];
        uint32_t number = f->flow_count == 1 && f->flows[0] <= r->flow_count && f->flows[0] > 0
                              ? maker->scene_of_flow[f->flows[0] - 1]
                              : 0;
        if (f->code == DP_CODE_RESET && number)
            code = add_moment(&maker->scenes[number - 1], f->first_ns);
    }
    for (size_t i = 0; code == DP_OK && i < maker->scene_count; i++) {
        struct scene *scene = &maker->scenes[i];
        if (scene->moment_count)
            qsort(scene->moments, scene->moment_count, sizeof *scene->moments, by_moment);
    }
    return code;
}

static void share_room(struct dp_ladder_maker *maker)
{
    size_t total = DP_LADDER_MAX_SIGHTINGS / maker->report->vantage_count;
    total = total > DP_LADDER_MAX_PACKETS ? DP_LADDER_MAX_PACKETS : total;
    for (size_t i = 0; i < maker->scene_count; i++) {
        struct scene *scene = &maker->scenes[i];
        scene->quota = total / maker->scene_count;
        if (scene->moment_count == 0 && scene->quota > WHOLE_FLOW_MOST)
            scene->quota = WHOLE_FLOW_MOST;
        if (scene->moment_count > scene->quota / MOMENTS_PART)
            scene->moment_count = scene->quota / MOMENTS_PART;
    }
}

/* The engine tells of flows by serial numbers that the report does not number by. */
static int list_serials(struct dp_ladder_maker *maker)
{
    const struct dp_report *r = maker->report;
    for (size_t i = 0; i < r->flow_count; i++)
        if (r->flows[i].serial >= maker->serials)
            maker->serials = r->flows[i].serial + 1;
    maker->by_serial = malloc(((size_t)maker->serials + 1) * sizeof *maker->by_serial);
    if (!maker->by_serial)
        return DP_ERR_NOMEM;
    memset(maker->by_serial, 0xff, ((size_t)maker->serials + 1) * sizeof *maker->by_serial);
    for (size_t i = 0; i < r->flow_count; i++)
        maker->by_serial[r->flows[i].serial] = (uint32_t)i;
    return DP_OK;
}

int dp_ladder_begin(const struct dp_report *report, struct dp_ladder_maker **ret_maker)
{
    struct dp_ladder_maker *maker = calloc(1, sizeof *maker);
    if (!maker)
        return DP_ERR_NOMEM;
    maker->report = report;
    maker->scene_of_flow = calloc(report->flow_count + 1, sizeof *maker->scene_of_flow);
    maker->scenes = calloc(DP_LADDER_MAX_SCENES, sizeof *maker->scenes);
    int code = maker->scene_of_flow && maker->scenes ? list_losses(maker) : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = list_serials(maker);
    if (code == DP_OK)
        code = choose_flows(maker);
    if (code == DP_OK)
        code = choose_moments(maker);
    if (code) {
        dp_ladder_maker_free(maker);
        return code;
    }
    share_room(maker);
    *ret_maker = maker;
    return DP_OK;
}
