/* Made-up traffic over a path of vantage points: what each of them would have recorded, without any packet,
 * socket or engine code. A test sends packets by a script, says what becomes of each, and knows the truth.
 *
 * Times are true time in nanoseconds since the beginning; a packet's is when it passes the first vantage
 * point on its way. Stream offsets count from the SYN: it has 0, data begins at 1. */
#ifndef DROPPOINT_TESTS_UNIT_LOCATE_SIM_H
#define DROPPOINT_TESTS_UNIT_LOCATE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/locate.h"

#define SIM_US 1000LL
#define SIM_MS 1000000LL
#define SIM_S 1000000000LL
#define SIM_EPOCH 1700000000000000000LL
#define SIM_PARTS 64 /* out of order parts of a stream that are kept */
enum { SIM_VANTAGES = 8, SIM_MSS = 1448 };

/* Places and segments are counted from 1 in what a test says about a packet, so that 0 means none. */
#define SIM_AT(vantage) ((vantage) + 1)
#define SIM_IN(segment) ((segment) + 1)

struct sim_packet {
    int half; /* 0: from the client */
    int64_t t;
    uint32_t seq; /* 0: where this half goes on */
    uint32_t len;
    uint32_t ack;   /* 0: what has arrived of the other half */
    uint16_t flags; /* 0: ACK */
    uint16_t app;
    bool zero_window;
    uint8_t sack_count;
    uint32_t sack[DP_SACK_MAX][2];
    int lost_in;                  /* SIM_IN(segment) */
    uint32_t lost_from, lost_len; /* only this part of the payload is lost there; 0: all */
    uint32_t missed;              /* bit v: the capture at v does not see it */
    int twice_at;                 /* SIM_AT(v): from there on in its direction it comes twice */
    int late_in;                  /* SIM_IN(segment): held up there ... */
    int64_t late_ns;              /* ... for so long */
    int appears_at;               /* SIM_AT(v): nobody before sees it: something on the path made it */
    int absorbed_at;              /* SIM_AT(v): nobody behind sees it, and it is no loss in the truth */
    void (*alter)(struct dp_digest *digest, uint32_t vantage); /* what a middlebox changed by then */
};

/* What a host on the way changes of a flow. */
struct sim_rewrite {
    int from;                     /* SIM_AT(v): seen so from there on */
    uint32_t seq_by[2], ts_by[2]; /* added to each half's sequence numbers and time stamps */
    bool strip_ts, mangle_ts;     /* time stamps are taken out; are other ones each time */
    bool new_ids, zero_ids;       /* IP IDs */
    uint8_t ttl;          /* the host sets the TTL to this, whichever way; 0: it lowers it as others do */
    uint8_t window_shift; /* windows of the server's half are scaled otherwise */
};

struct sim_flow {
    uint8_t proto; /* 0: TCP */
    bool client_far;
    uint8_t client_host, server_host;  /* last byte of the address; 0: the default */
    uint16_t client_port, server_port; /* 0: 40000 + number, 25 */
    uint32_t isn[2];                   /* 0: made up */
    int nat_from;                      /* SIM_AT(v): from there on the client's address is another one */
    int dnat_from;                     /* SIM_AT(v): ... the server's */
    int near_end, far_end;             /* SIM_AT(v): the connection crosses only these points; 0: all */
    struct sim_rewrite rewrite;
    uint32_t content;      /* flows with the same one carry the same bytes; 0: its own */
    uint32_t content_from; /* ... but for so many bytes in front, of the client's half */
    /* kept by the simulation */
    uint32_t next[2], arrived[2];
    uint32_t parts[2][SIM_PARTS][2];
    size_t part_count[2];
    uint16_t ip_id[2];
};

/* What tells a message again: in the line at a stream offset of a half. */
struct sim_id {
    int half;
    uint8_t kind; /* dp_note_kind */
    uint32_t offset;
    uint64_t value;
};

struct sim_record {
    struct dp_digest digest;
    struct sim_id id; /* of a note */
    int64_t t;        /* true time */
    uint32_t flow;
    uint8_t half;
    bool is_note;
    uint16_t code;
    size_t order;
};

struct sim_vantage {
    int64_t offset_ns; /* of its clock */
    double skew_ppm;
    struct {
        int64_t at, by; /* true time; by: ahead, negative: back */
    } set[4];           /* the clock is set while the capture runs */
    uint32_t cut;       /* payload bytes of a packet here at most: offloads; 0: as it was sent */
    int64_t capture_from, capture_to; /* true time; 0, 0: all along */
    bool window;                      /* tell the engine of these bounds */
    bool deaf;                        /* sees nothing */
    int64_t echo_ns;                  /* it shows each packet once more, so much later; 0: no */
    uint8_t keeps;                    /* its hashes cover so much of a long payload; 0: 64 bytes */
    bool cuts_options;                /* it keeps no SACK blocks */
    uint8_t deaf_half;                /* bit 0: nothing of the client's half, bit 1: of the server's */
    bool has_dropped;
    uint64_t dropped;
    struct dp_gap gaps[4]; /* true time */
    size_t gap_count;
    struct sim_record *records;
    size_t count, room;
};

struct sim_truth {
    uint64_t lost_packets, lost_bytes;
};

struct sim {
    size_t vantages;
    const char *names[SIM_VANTAGES];
    struct sim_vantage at[SIM_VANTAGES];
    int64_t delay[SIM_VANTAGES]; /* of the segment behind each */
    bool bridged;                /* no hop lowers the TTL */
    bool no_ip_id, no_timestamps;
    bool no_clock_correction;
    dp_locate_tell tell; /* NULL, or who listens to the engine's transmissions */
    void *tell_context;
    struct sim_flow *flows;
    size_t flow_count, flow_room;
    struct sim_truth lost[SIM_VANTAGES][2]; /* by segment and direction */
    size_t order;
    uint64_t random;
};

/* How the records reach the engine. */
struct sim_feed {
    size_t batch; /* records at a time; 0: one vantage point's all at once */
    bool by_time; /* merged by raw time stamps, else one vantage point after the other */
    bool settle;  /* dp_locate_settle now and then */
    bool advance; /* dp_locate_advance as live captures do */
    void (*before_finish)(struct dp_locate *locate);
};

void sim_begin(struct sim *sim, size_t vantages);
void sim_end(struct sim *sim);
uint64_t sim_random(struct sim *sim, uint64_t below);

uint32_t sim_flow(struct sim *sim, struct sim_flow flow);
uint32_t sim_tcp(struct sim *sim); /* a flow of defaults */
void sim_send(struct sim *sim, uint32_t flow, struct sim_packet packet);
void sim_note(struct sim *sim, uint32_t flow, uint32_t vantage, int64_t t, uint16_t code);
void sim_note_id(struct sim *sim, uint32_t flow, uint32_t vantage, int64_t t, struct sim_id id);

/* What a vantage point's clock says at a true time. */
int64_t sim_stamp(const struct sim_vantage *at, int64_t t);

/* Time that a packet takes from the first vantage point to the last. */
int64_t sim_crossing_time(const struct sim *sim);
/* SYN, SYN/ACK, ACK from t on. Returns when the client can send. */
int64_t sim_connect(struct sim *sim, uint32_t flow, int64_t t);
/* The packet and its acknowledgement. Returns when the acknowledgement is there. */
int64_t sim_exchange(struct sim *sim, uint32_t flow, struct sim_packet packet);
/* So many packets of SIM_MSS bytes, each acknowledged, `apart` ns apart. Returns when the last ACK is there.
 */
int64_t sim_transfer(struct sim *sim, uint32_t flow, int half, int64_t t, size_t packets, int64_t apart);
/* FIN and FIN/ACK with their ACKs. */
int64_t sim_close(struct sim *sim, uint32_t flow, int64_t t);

/* Runs the engine over everything; fails the test on any error. The caller frees the report. */
struct dp_report *sim_run(struct sim *sim, struct sim_feed feed);

/* ---- what tests ask of a report ---- */
/* Every segment lost exactly what the truth says. */
void sim_assert_losses(const struct sim *sim, const struct dp_report *report);
/* As sim_assert_losses, and the verdict is a loss in this segment and direction. */
void sim_assert_loss_at(const struct sim *sim, const struct dp_report *report, int segment,
                        enum dp_direction direction);
/* Nothing lost, unknown, missed; verdict clean. */
void sim_assert_clean(const struct dp_report *report);
/* Both reports say the same in every field. */
void sim_assert_same(const struct dp_report *a, const struct dp_report *b);

#endif
