/* The ladder while it is being collected, shared by its parts and by nobody else. */
#ifndef DROPPOINT_COLLECTOR_REPORT_LADDER_INTERNAL_H
#define DROPPOINT_COLLECTOR_REPORT_LADDER_INTERNAL_H

#include "collector/report/ladder.h"

struct item {
    int64_t t_ns;  /* reference clock, when it was seen first */
    int64_t rank;  /* the greater, the sooner it is given up */
    uint32_t slot; /* its sightings' place */
    struct dp_ladder_packet packet;
};

struct scene {
    uint32_t flow;
    uint64_t lost;
    int64_t *moments; /* what the scene is about, reference clock, in order; none: the flow as a whole */
    size_t moment_count, moment_room;
    size_t quota;     /* packets in the end, at most */
    int64_t reach_ns; /* farther from any moment nothing is kept */
    bool trimmed;
    struct item *items;
    size_t item_count, item_room;
    struct dp_ladder_sighting *seen; /* as many for each slot as there are vantage points */
    uint32_t *free_slots;
    size_t free_count;
};

/* A packet that the report lists as lost, or as showing a loss outside. */
struct loss {
    uint32_t flow, vantage;
    int64_t ts_ns;
    uint32_t seq, payload_len;
    int finding;
    bool only_shown, before;
    bool tcp;
};

struct dp_ladder_maker {
    const struct dp_report *report;
    uint32_t *scene_of_flow; /* number from 1; 0: not shown */
    uint32_t *by_serial;     /* flow of each serial number; UINT32_MAX: none */
    uint32_t serials;
    struct scene *scenes;
    size_t scene_count;
    struct loss *losses; /* in order of flow, vantage point and time */
    size_t loss_count;
};

int ladder_by_time(const void *item, const void *other);

/* The report's loss that this sighting is; NULL: none. */
const struct loss *ladder_loss_at(const struct dp_ladder_maker *maker, uint32_t flow,
                                  const struct dp_sighting *sighting);

/* Of items in order of time: which of them carry bytes that others carried before. Marks what was lost
 * beyond the path, too: the copy before the one that shows it. */
int ladder_number_copies(struct scene *scene, size_t vantage_count) DP_MUST_CHECK;

#endif
