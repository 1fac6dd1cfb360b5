/* The packets around the losses, as the packet ladder of the report page shows them: which vantage point saw
 * which, when by the corrected clock, and where each ended. It is the engine's own account: a second run over
 * the same data tells its transmissions (dp_locate_trace), of which those near the losses are kept. Drawn as
 * lost is what the report lists as lost, nothing else. Free of I/O. */
#ifndef DROPPOINT_COLLECTOR_REPORT_LADDER_H
#define DROPPOINT_COLLECTOR_REPORT_LADDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/locate.h"
#include "collector/locate/report.h"
#include "common/err/err.h"
#include "common/packet/packet.h"

#define DP_LADDER_MAX_PACKETS 100000
#define DP_LADDER_MAX_SIGHTINGS 600000
#define DP_LADDER_MAX_SCENES 60
/* Of packets farther from any loss nothing is shown. */
#define DP_LADDER_REACH_NS INT64_C(30000000000)

struct dp_ladder_sighting {
    uint32_t vantage;
    int64_t ts_ns; /* by that vantage point's clock, as in its file */
    int64_t t_ns;  /* by the reference clock */
    uint32_t seq;
    uint32_t payload_len, ip_len;
    uint16_t ip_id; /* 0: none */
    uint16_t tcp_flags;
    uint8_t ttl;
    /* What the engine does not keep, read from the files again (dp_ladder_fill). */
    bool filled, has_timestamps;
    uint16_t window;
    uint32_t ack, tsval, tsecr;
};

enum dp_ladder_mark {
    DP_LADDER_LOST = 0x01,         /* in the segment behind its last sighting, says `finding` */
    DP_LADDER_LOST_BEYOND = 0x02,  /* passed the last point and was lost behind it, says `finding` */
    DP_LADDER_SHOWS_BEYOND = 0x04, /* the retransmission that shows that */
    DP_LADDER_SHOWS_BEFORE = 0x08, /* a retransmission of what never came to the first point */
};

/* One transmission: a packet, or that part of one that other points saw as a packet of its own. */
struct dp_ladder_packet {
    size_t sighting; /* the first of `sighting_count` in the ladder's sightings, along its way */
    uint32_t sighting_count;
    uint8_t half; /* 0: from the client */
    enum dp_direction direction;
    enum dp_fate fate;
    bool has_bytes, duplicate;
    uint8_t marks;   /* dp_ladder_mark */
    int finding;     /* index into the report's findings that a mark refers to; -1 none */
    uint64_t offset; /* stream bytes, as in dp_transmission */
    uint32_t length;
    uint32_t copy;      /* 1, or the how manieth transmission of any of its bytes among the scene's */
    uint8_t sack_count; /* from the files */
    uint32_t sack[DP_SACK_MAX][2];
};

struct dp_ladder_window {
    int64_t from_ns, to_ns; /* reference clock */
};

/* One flow's packets, in order of time. */
struct dp_ladder_scene {
    uint32_t flow; /* index into the report's flows */
    size_t packet; /* the first of `packet_count` in the ladder's packets */
    size_t packet_count;
    uint64_t lost;                    /* of the flow, in the report's lists: may be more than are shown */
    struct dp_ladder_window *windows; /* within them every packet of the flow is there; in order */
    size_t window_count;
};

struct dp_ladder {
    struct dp_ladder_scene *scenes; /* those of the worst finding first */
    size_t scene_count;
    struct dp_ladder_packet *packets;
    size_t packet_count;
    struct dp_ladder_sighting *sightings;
    size_t sighting_count;
};

void dp_ladder_free(struct dp_ladder *ladder); /* NULL is fine */

/* ---- collecting ---- */
struct dp_ladder_maker;

/* Chooses the flows to show. The report stays the caller's and must outlive the maker. DP_ERR_NOMEM. */
int dp_ladder_begin(const struct dp_report *report, struct dp_ladder_maker **ret_maker) DP_MUST_CHECK;
/* Takes one transmission; a dp_locate_tell whose context is the maker. DP_ERR_NOMEM. */
int dp_ladder_take(void *maker, const struct dp_transmission *transmission) DP_MUST_CHECK;
/* All are taken. The ladder is the caller's. DP_ERR_NOMEM. */
int dp_ladder_end(struct dp_ladder_maker *maker, struct dp_ladder **ret_ladder) DP_MUST_CHECK;
void dp_ladder_maker_free(struct dp_ladder_maker *maker); /* NULL is fine */

/* ---- what only the packets themselves say ---- */
struct dp_ladder_filler;

/* The ladder must outlive the filler. DP_ERR_NOMEM. */
int dp_ladder_fill_begin(struct dp_ladder *ladder, struct dp_ladder_filler **ret_filler) DP_MUST_CHECK;
void dp_ladder_fill_end(struct dp_ladder_filler *filler); /* NULL is fine */
/* Whether a packet with this stamp may be in the ladder: then it is worth decoding. */
bool dp_ladder_wants(const struct dp_ladder_filler *filler, uint32_t vantage, int64_t ts_ns);
/* Completes the sightings of this packet. */
void dp_ladder_fill(struct dp_ladder_filler *filler, uint32_t vantage, int64_t ts_ns,
                    const struct dp_packet *packet);

/* A vantage point's stamp by the reference clock, as the report corrects it. */
int64_t dp_report_corrected(const struct dp_report *report, uint32_t vantage, int64_t ts_ns);

#endif
