/* What a run of the locating engine found: the locate document as a plain struct. Writers for JSON, text and
 * others are in collector/report. Owned by the caller of dp_locate_report, freed by dp_report_free. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_REPORT_H
#define DROPPOINT_COLLECTOR_LOCATE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/packet/packet.h"

enum dp_direction { DP_FORWARD = 0, DP_REVERSE = 1 };

enum dp_code { /* worst first where losses tie */
               DP_CODE_CLEAN,
               DP_CODE_LOSS,
               DP_CODE_RESET,
               DP_CODE_REFUSED,
               DP_CODE_STALL,
               DP_CODE_REJECTED,
               DP_CODE_REWRITE,
               DP_CODE_INCONCLUSIVE,
};

enum dp_pattern {
    DP_PATTERN_NONE,
    DP_PATTERN_HANDSHAKE,
    DP_PATTERN_SIZE,
    DP_PATTERN_FLOWS,
    DP_PATTERN_ALL,
    DP_PATTERN_BURST,
    DP_PATTERN_RATE,
    DP_PATTERN_RANDOM,
};

const char *dp_code_name(enum dp_code code);          /* "loss", "clean" ... as in the contract */
const char *dp_pattern_name(enum dp_pattern pattern); /* "size" ..., NULL for none */
const char *dp_direction_name(enum dp_direction direction);

/* A point's clock was set while it captured. Stamps from at_ns on (that clock's own) are corrected by another
 * offset. */
struct dp_clock_set {
    int64_t at_ns;
    int64_t
        back_ns; /* the stamps went back there by so much, so that at_ns was reached before as well; 0: not */
    int64_t offset_ns; /* to subtract from there on, instead of the one before */
};

struct dp_vantage_report {
    char *name;
    uint64_t packets; /* IP packets captured (after the filter) */
    uint64_t matched; /* of these, recognised at another vantage point too */
    uint64_t missed;  /* passed here without being captured, as a point farther along proves */
    bool has_capture_dropped;
    uint64_t capture_dropped;
    int64_t clock_offset_ns; /* to subtract from this point's stamps; holds at the reference's first packet */
    double clock_skew_ppm;   /* ... and grows by this from there on */
    int64_t clock_error_ns;  /* bound; -1: not known */
    struct dp_clock_set *clock_sets; /* in order of capture */
    size_t clock_set_count;
};

struct dp_delay_report {
    bool known;
    int64_t min, p50, p99, max; /* nanoseconds */
};

struct dp_segment_side {
    uint64_t packets, bytes; /* that entered */
    uint64_t lost_packets, lost_bytes;
    uint64_t unknown_packets, duplicated_packets, reordered_packets;
    struct dp_delay_report delay;
};

struct dp_segment_report {
    uint32_t from, to; /* vantage numbers */
    bool host;         /* kind: host or link */
    struct dp_segment_side side[2];
};

struct dp_endpoints {
    struct dp_addr client, server;
    uint16_t client_port, server_port;
};

struct dp_seen_as {
    uint32_t vantage;
    struct dp_endpoints endpoints;
};

struct dp_flow_report {
    uint32_t id; /* from 1 */
    uint8_t proto;
    struct dp_endpoints endpoints; /* as the first vantage point that saw it */
    char app[8];                   /* "smtp", "tcp", "udp" ... */
    struct dp_seen_as *seen_as;    /* only where they differ */
    size_t seen_as_count;
    uint64_t lost_packets, lost_bytes;
};

#define DP_POINT_BEFORE (-1) /* from: before the first vantage point */
#define DP_POINT_BEYOND (-2) /* to: beyond the last */

/* One packet that was lost, for the merged file and the ladder. */
struct dp_lost_packet {
    uint32_t vantage; /* the last that saw it */
    int64_t ts_ns;    /* by that vantage point's own clock */
    uint32_t flow;    /* index into flows */
    uint32_t seq;
    uint32_t payload_len;
    uint32_t lost_bytes;
};

struct dp_finding {
    enum dp_code code;
    int from, to; /* vantage numbers, or DP_POINT_* */
    enum dp_direction direction;
    enum dp_pattern pattern; /* of a loss */
    uint32_t size_over;      /* with pattern size */
    uint64_t lost_packets, lost_bytes;
    double share;      /* 0 to 1 */
    double confidence; /* 0 to 1 */
    uint32_t *flows;   /* ids */
    size_t flow_count;
    uint16_t smtp_code;        /* of a rejected, or the reply that followed a loss; 0 none */
    char *smtp_reply;          /* its text; NULL where there is none */
    int64_t first_ns, last_ns; /* first and last event, by the reference clock */
    char *summary;
    char *next_step;
    struct dp_lost_packet *packets; /* in order of time, at most DP_REPORT_MAX_LOST */
    size_t packet_count;
};

#define DP_REPORT_MAX_LOST 100000

struct dp_report {
    int64_t reference_ns; /* the first packet of the first vantage point, where the clock offsets hold */
    struct dp_vantage_report *vantages;
    size_t vantage_count;
    struct dp_segment_report *segments; /* vantage_count - 1 */
    size_t segment_count;
    struct dp_flow_report *flows;
    size_t flow_count;
    struct dp_finding *findings; /* worst first */
    size_t finding_count;
    enum dp_code verdict;
    int verdict_finding; /* -1 none */
    char *verdict_summary;
    char *verdict_next_step; /* NULL where the finding's own says it */
};

void dp_report_free(struct dp_report *report); /* NULL is fine */

/* The exit code of the contract: 0 clean, 1 a fault located, 3 inconclusive. */
int dp_report_exit_code(const struct dp_report *report);

#endif
