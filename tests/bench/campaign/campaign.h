/* Random cases as ground truth for the locating engine: TCP and UDP over a path of vantage points, simulated
 * event by event, with faults whose every loss is known. Shares no code with the engine; what the vantage
 * points capture are frames, which the agents' own digester turns into digests.
 *
 * Times are true time in nanoseconds since the beginning of the simulation. Stretches are what lies between
 * two places: 0 before the first vantage point, i between the points i - 1 and i, `points` beyond the last.
 */
#ifndef DROPPOINT_TESTS_BENCH_CAMPAIGN_CAMPAIGN_H
#define DROPPOINT_TESTS_BENCH_CAMPAIGN_CAMPAIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "collector/locate/locate.h"
#include "common/capfile/capfile.h"
#include "common/digest/digest.h"
#include "tests/bench/campaign/random.h"

#define US 1000LL
#define MS 1000000LL
#define SECOND 1000000000LL
#define EPOCH 1700000000000000000LL

enum { MAX_POINTS = 6, MAX_STRETCHES = MAX_POINTS + 1, MAX_FLOWS = 200, NO_POINT = 0xff };
enum { TO_FAR = 0, TO_NEAR = 1 }; /* as DP_FORWARD and DP_REVERSE */
#define NO_RECORD UINT32_MAX

enum fault_kind {
    FAULT_NONE,
    FAULT_RANDOM,
    FAULT_SIZE,
    FAULT_ALL,
    FAULT_HANDSHAKE,
    FAULT_FLOWS,
    FAULT_BURST,
    FAULT_POLICER,
    FAULT_QUEUE,
    FAULT_RESET,
    FAULT_REFUSED,
    FAULT_STALL,
    FAULT_KINDS
};
extern const char *const fault_names[FAULT_KINDS];

enum miss_mode { MISS_NONE, MISS_SILENT, MISS_COUNTED, MISS_GAPS };

/* ---- what a case is, drawn from its seed (config.c) ---- */

struct stretch_config {
    bool host;         /* inside a host; else a link, on which packets are of wire size */
    int64_t delay_ns;  /* of propagation */
    int64_t jitter_ns; /* at most; keeps the order */
    double rate;       /* bytes per second */
    uint8_t hops;      /* routers */
};

struct point_config {
    char name[24];
    bool merges[2];       /* GRO, by direction */
    uint32_t merge_bytes; /* at most so many */
    int64_t merge_hold_ns;
    int64_t offset_ns;      /* of its clock */
    double skew;            /* parts of one */
    int64_t granularity_ns; /* of its stamps */
    enum miss_mode miss;
    double miss_rate;
    bool miss_bursts;
    int64_t from_ns, to_ns; /* captures from when to when */
    bool window_told;
    bool bypassed[2]; /* by direction: packets go around it */
};

struct config {
    uint64_t seed;
    uint32_t points;
    struct stretch_config stretch[MAX_STRETCHES];
    struct point_config point[MAX_POINTS];
    bool end_offload[2]; /* near, far: TSO and GRO in the end's own host */
    uint32_t flows;
    uint64_t bytes;               /* in all, about */
    int64_t duration_ns, tail_ns; /* the captures end where the tail does */
    double udp_share, smtp_share, reverse_share, far_client_share;
    bool ipv6;
    int ip_id_mode; /* 0 increments, 1 zero, 2 random */
    bool timestamps, sack, dsack, rack, tlp;
    double duplicate_rate, reorder_rate;
    uint32_t noise_stretch; /* where packets are duplicated and reordered */
    int nat;                /* 0 none, 1 client rewritten, 2 server rewritten */
    uint32_t nat_stretch;
    enum fault_kind fault;
    uint32_t fault_stretch;
    int fault_dir;
    double fault_rate; /* of random losses; bytes per second of a policer */
    uint32_t fault_size;
    int64_t fault_from_ns;
    uint32_t fault_flows; /* one of so many */
    double fault_bucket;  /* bytes */
    uint32_t burst_count;
    int64_t burst_ns;
    bool reset_both;
    int feed; /* 0 in step by raw time, 1 file after file, 2 batches of random size */
    bool settle, advance;
};

void config_draw(struct config *c, uint64_t seed);
void config_make_heavy(struct config *c);
/* "key=value,..."; false: an unknown key, or one without a number. */
bool config_override(struct config *c, const char *text, uint64_t seed);
void config_print(FILE *out, const struct config *c);

/* ---- the simulation ---- */

struct packet {
    struct packet *next_free;
    uint64_t seq, ack; /* stream positions: the SYN's is 0, data begins at 1. A datagram's: what its content
                          is made from */
    uint64_t sack[DP_SACK_MAX][2];
    uint32_t flow;
    uint32_t len; /* payload */
    uint32_t gso; /* payload of a wire packet; a longer one is a super-packet */
    uint32_t tsval, tsecr;
    uint32_t window; /* bytes */
    uint32_t last_record;
    uint16_t flags, ip_id;
    uint8_t half; /* 0: sent by the client */
    uint8_t dir;
    uint8_t ttl;
    uint8_t sack_count;
    uint8_t place;      /* stretch, then point */
    uint8_t last_point; /* the last one that recorded it; NO_POINT */
    uint8_t missed;     /* bit p: passed p since then, which captured at that time but missed it */
    bool immune;        /* a copy of a duplicated packet: no fault touches it */
};

enum event_kind { EVENT_ARRIVE, EVENT_MERGED, EVENT_RTO, EVENT_ACK, EVENT_PROBE, EVENT_APP, EVENT_DATAGRAM };

struct event {
    int64_t t_ns;
    uint64_t order;
    struct packet *packet; /* EVENT_ARRIVE */
    uint32_t a, b;         /* flow and side; or flow * 2 + half and point */
    enum event_kind kind;
};

struct sent {
    uint64_t seq;
    uint32_t len; /* stream positions */
    int64_t t_ns;
    bool again, sacked, lost;
};

enum end_state { END_CLOSED, END_LISTEN, END_OPENING, END_OPEN, END_DEAD };
enum { OUT_OF_ORDER = 48 };

/* One end of a TCP connection. */
struct end {
    enum end_state state;
    uint64_t una, next, written, fin; /* fin: its position, 0 none yet */
    struct sent *sent;
    size_t first, count, room;
    double cwnd, ssthresh;
    uint64_t recover;
    bool recovering;
    uint32_t duplicate_acks;
    int64_t srtt_ns, rttvar_ns, rto_ns, delivered_sent_ns;
    uint32_t back_off;
    int64_t rto_at, ack_at, probe_at; /* 0: not set */
    bool rto_queued, ack_queued, probe_queued;
    uint64_t peer_window;
    /* receiving */
    uint64_t expected;
    uint64_t held[OUT_OF_ORDER][2];
    size_t held_count, newest_held;
    uint64_t dsack[2];
    uint32_t unacked;
    uint64_t window_most, unread;
    bool not_reading, peer_fin;
    uint32_t ts_recent;
    uint32_t turns; /* acknowledgements sent: the first ones are not delayed */
};

struct message {
    uint8_t side;
    uint32_t bytes;
    int64_t think_ns;
    const char *text; /* NULL: made-up bytes */
};

enum { MAX_MESSAGES = 64, MAX_TEXTS = 24 };

struct flow_sim {
    bool udp, client_far, established;
    uint16_t client_port, server_port;
    uint8_t client_addr, server_addr; /* last bytes */
    uint32_t isn[2], mss;
    uint16_t ip_id[2];
    uint32_t ts_base[2];
    bool offload[2]; /* client, server: sends super-packets */
    struct end end[2];
    struct message script[MAX_MESSAGES];
    uint32_t messages, current;
    uint64_t current_end;
    bool waits; /* for its think time */
    int64_t start_ns;
    int64_t idle_limit_ns, idle_at;
    uint8_t closer;
    bool refused, stalls, faulty;
    int stall_side;
    int64_t zero_ns; /* when its window was first closed; 0 never */
    struct {
        uint64_t start;
        const char *text;
    } texts[2][MAX_TEXTS];
    uint32_t text_count[2];
    uint32_t datagrams;
    int64_t datagram_gap_ns;
    uint64_t datagram_bytes;
    bool answered;
    int64_t dead_from_ns; /* FAULT_FLOWS */
    uint64_t passed_fault;
};

struct record {
    int64_t t_ns;
    uint64_t seq;
    uint32_t flow, len, ip_len;
    uint16_t flags;
    uint8_t half;
};

struct point_sim {
    struct record *records;
    size_t count, room;
    struct dp_digester *digester;
    struct dp_batch batch;
    uint64_t missed;
    bool in_burst;
    int64_t burst_until, burst_from;
    uint64_t burst_missed;
    struct packet **held; /* by flow * 2 + half: what GRO gathers */
    struct dp_capwriter *writer;
    uint32_t writer_interface;
    struct rng rng;
};

struct lane_sim { /* one direction of a stretch */
    int64_t busy_until, last_arrival;
};

struct loss {
    int64_t t_ns, expected_ns;
    uint64_t seq;
    uint32_t flow, len, record, ip_len;
    uint16_t flags;
    uint8_t half, dir, stretch, last_point, missed;
};

struct burst {
    int64_t from_ns, to_ns;
};

struct bounds {
    uint64_t least, most;
};

/* What is true of one direction of one stretch. */
struct place_truth {
    uint64_t lost;                /* packets, as they were dropped */
    struct bounds packets, bytes; /* as the contract counts them: what is certain, and what is possible */
    uint64_t data_lost;           /* with payload */
    uint64_t evident;             /* outer stretches: losses that retransmissions show */
    uint64_t passed, passed_after, passed_during; /* at the fault, packets */
    uint64_t unprovable; /* records that a capture missed with nothing to show that it did */
    uint32_t largest_passed, smallest_lost;
};

struct sim {
    struct config c;
    int64_t now, end_ns;
    uint64_t order;
    struct event *events;
    size_t event_count, event_room;
    struct packet *free_packets;
    void **blocks;
    size_t block_count, block_used;
    struct flow_sim *flows;
    struct point_sim point[MAX_POINTS];
    struct lane_sim lane[MAX_STRETCHES][2];
    struct rng rng_path, rng_fault, rng_tcp;
    struct loss *losses;
    size_t loss_count, loss_room;
    struct place_truth truth[MAX_STRETCHES][2];
    double tokens;
    int64_t tokens_at;
    struct burst bursts[16];
    uint32_t burst_count;
    uint64_t resets_injected, refusals, stalls, packets_sent, timed_out;
    uint64_t crossed[MAX_STRETCHES][2]; /* packets that set out over the stretch and were not lost */
    int64_t reset_done_ns;
    int64_t reset_ns;
    bool failed; /* out of memory, or an error of the digester */
};

/* ---- core (events.c) ---- */
void sim_schedule(struct sim *s, int64_t t, enum event_kind kind, uint32_t a, uint32_t b, struct packet *p);
bool sim_take(struct sim *s, struct event *ret_event);
struct packet *packet_new(struct sim *s);
void packet_free(struct sim *s, struct packet *p);
void *grow(struct sim *s, void *items, size_t *room, size_t need, size_t size);

/* ---- TCP (tcp_send.c, tcp_receive.c) ---- */
void tcp_connect(struct sim *s, uint32_t flow, int side); /* SYN, or SYN/ACK */
void tcp_write(struct sim *s, uint32_t flow, int side, uint32_t bytes);
void tcp_close(struct sim *s, uint32_t flow, int side);
void tcp_output(struct sim *s, uint32_t flow, int side);
void tcp_acknowledged(struct sim *s, uint32_t flow, int side, const struct packet *p);
void tcp_timeout(struct sim *s, uint32_t flow, int side);
void tcp_probe(struct sim *s, uint32_t flow, int side);
void tcp_send_control(struct sim *s, uint32_t flow, int side, uint16_t flags, uint64_t seq);
void tcp_arm(struct sim *s, uint32_t flow, int side);
void tcp_arm_probe(struct sim *s, uint32_t flow, int side);
void tcp_receive(struct sim *s, uint32_t flow, int side, const struct packet *p);
void tcp_ack_due(struct sim *s, uint32_t flow, int side);
uint64_t tcp_window(const struct end *e);
void tcp_fill(struct sim *s, uint32_t flow, int side, struct packet *p);

/* ---- applications (app.c, script.c) ---- */
void app_create(struct sim *s);
void app_script(struct sim *s, uint32_t flow, struct rng *r, uint64_t bytes, bool smtp, bool reverse);
void app_progress(struct sim *s, uint32_t flow);       /* something arrived */
void app_event(struct sim *s, uint32_t flow_and_what); /* flow << 3 | what */
void app_datagram(struct sim *s, uint32_t flow);
void app_datagram_arrived(struct sim *s, const struct packet *p);

/* ---- path (path.c), captures (record.c, frame.c), faults (fault.c) ---- */
void path_send(struct sim *s, struct packet *p); /* from its end; takes it */
void path_arrive(struct sim *s, struct packet *p);
void path_merged(struct sim *s, uint32_t lane, uint32_t point);
uint32_t packet_ip_len(const struct sim *s, const struct packet *p);
void point_record(struct sim *s, uint32_t point, struct packet *p);
bool record_begin(struct sim *s, const char *pcap_folder);
bool record_finish(struct sim *s);
size_t frame_build(const struct sim *s, uint32_t point, const struct packet *p, uint8_t *frame, size_t room,
                   size_t *ret_wire_len);
void fault_begin(struct sim *s);
bool fault_drops(struct sim *s, const struct packet *p, uint32_t stretch);
void fault_inject(struct sim *s, const struct packet *p, uint32_t stretch);
void path_continue(struct sim *s, struct packet *p, uint32_t stretch, int64_t delay);

/* ---- truth (truth.c) ---- */
void truth_lost(struct sim *s, const struct packet *p, uint32_t stretch, int64_t expected_ns);
void truth_delivered(struct sim *s, const struct packet *p);
void truth_settle(struct sim *s);

/* Runs one case; pcap_folder NULL: writes none. False: out of memory. */
bool sim_run(struct sim *s, const struct config *c, const char *pcap_folder);
void sim_free(struct sim *s);

/* ---- engine and judgement (feed.c, judge.c) ---- */
int feed_engine(struct sim *s, struct dp_report **ret_report) DP_MUST_CHECK;

struct judgement {
    uint64_t seed;
    enum fault_kind fault;
    bool lossy;     /* the fault really did something */
    bool decidable; /* by docs/campaign.md */
    bool located;   /* the first finding names the right stretch */
    bool direction_right, pattern_judged, pattern_right;
    bool counts_judged, packets_right, bytes_right;
    bool false_alarm, excused_alarm;
    bool wrong, wrong_sure; /* a finding where nothing is; with confidence of at least 0.9 */
    bool inconclusive;
    bool size_right;
    double confidence; /* of the first finding; negative: none */
    bool first_right;
    double sim_ms, engine_ms;
    uint64_t records;
    char text[640];
};
void judge(const struct sim *s, const struct dp_report *r, struct judgement *ret);

/* ---- the sum of many cases (tally.c) ---- */
struct tally;
struct tally *tally_new(void);
void tally_add(struct tally *t, const struct judgement *j);
/* Returns 0 where the goals are met. */
int tally_print(FILE *out, const struct tally *t);
void tally_free(struct tally *t);

#endif
