/* The simulation of one case: TCP and UDP over a path of vantage points, event by event. Shared by its parts.
 */
#ifndef DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_SIM_H
#define DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_SIM_H

#include "common/capfile/capfile.h"
#include "common/digest/digest.h"
#include "tests/bench/campaign_sim/config.h"
#include "tests/bench/campaign_sim/random.h"

#define NO_RECORD UINT32_MAX
#define NO_FLOW UINT32_MAX

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
    uint8_t ttl, tos;
    uint8_t sack_count;
    uint8_t place;      /* stretch, then point */
    uint8_t last_point; /* the last one that recorded it; NO_POINT */
    uint8_t missed;     /* bit p: passed p since then, which captured at that time but missed it */
    bool immune;        /* a copy of a duplicated packet: no fault touches it */
    bool leaves_proxy;  /* a SYN proxy made it */
};

enum event_kind {
    EVENT_ARRIVE,
    EVENT_MERGED,
    EVENT_RTO,
    EVENT_ACK,
    EVENT_PROBE,
    EVENT_APP,
    EVENT_DATAGRAM,
    EVENT_PROXY,
    EVENT_SYN_PROXY,
    EVENT_TWICE /* a point sees the same packet again */
};

struct event {
    int64_t t_ns;
    uint64_t order;
    struct packet *packet; /* EVENT_ARRIVE, EVENT_TWICE */
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
    uint64_t window_most, unread, advertised;
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

enum { MAX_MESSAGES = 64, MAX_TEXTS = 24, HEADER_ROOM = 108 };

struct endpoint {
    uint8_t net, host;
    uint16_t port;
};

/* How one vantage point sees a flow, where hosts on the way rewrite it. By side: 0 what is the client's. */
struct view {
    struct endpoint end[2];
    uint32_t seq[2], ts[2]; /* added */
    uint16_t mss[2];
    uint8_t wscale[2];
    bool timestamps[2], sack[2]; /* in the SYN */
};

/* TLS records: where they end, counted in bytes of the connection and in bytes of the application. */
struct tls_record {
    uint64_t end, plain_end;
};

/* What one end of a connection sends. */
struct stream {
    uint64_t plain;   /* the application's bytes written */
    uint64_t pending; /* they wait for the TLS handshake */
    bool ready;       /* it is done */
    int stage;
    struct tls_record *records;
    size_t count, room;
};

/* What a proxy does with one connection; kept with the leg to the client. By half: 0 to the server. */
struct proxied {
    uint64_t forwarded[2]; /* the application's bytes read, and written or swallowed */
    uint64_t swallowed[2];
    bool queued[2], connecting, aborted;
};

enum syn_stage { SYN_IDLE, SYN_ANSWERED, SYN_OPENING, SYN_THROUGH, SYN_GIVEN_UP };

struct flow_sim {
    bool udp, client_far, established;
    uint8_t low, high; /* the first and the last vantage point that its packets pass */
    uint32_t other;    /* the other leg of a connection that a proxy carries on */
    bool back;         /* this is the leg to the server */
    bool tls, timestamps, sack;
    uint16_t client_port, server_port;
    uint8_t client_addr, server_addr;     /* last bytes */
    struct endpoint at_client, at_server; /* as the ends themselves see it */
    uint32_t isn[2], mss;
    uint16_t ip_id[2];
    uint32_t ts_base[2];
    uint8_t tos;
    bool offload[2]; /* client, server: sends super-packets */
    struct view view[MAX_POINTS];
    struct end end[2];
    struct stream out[2];
    struct proxied proxied;
    uint8_t header[HEADER_ROOM]; /* of the PROXY protocol, in front of what goes to the server */
    uint32_t header_len;
    enum syn_stage syn_stage;
    uint32_t syn_tries;
    struct packet syn_seen;
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
    bool again; /* this point saw the very same packet just before */
};

/* With which digest something came. */
struct marks {
    size_t *at, count, room;
};

struct point_sim {
    struct record *records;
    size_t count, room;
    struct dp_digester *digester;
    struct dp_batch batch;
    struct marks notes, gaps; /* of the batch */
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
    bool unsure; /* what a proxy would have taken by itself looks the same */
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
    uint64_t evident;             /* losses near an end of a connection that retransmissions show */
    uint64_t passed, passed_after, passed_during; /* at the fault, packets */
    uint64_t unprovable; /* records that a capture missed with nothing to show that it did */
    uint64_t in_proxy;   /* packets whose bytes wait in a proxy as the captures end */
    uint32_t largest_passed, smallest_lost;
};

enum proxy_state { PROXY_RUNS, PROXY_FROZEN, PROXY_CRASHED, PROXY_DEAD };

struct sim {
    struct config c;
    int64_t now, end_ns;
    uint64_t order;
    struct event *events;
    size_t event_count, event_room;
    struct packet *free_packets;
    void **blocks;
    size_t block_count, block_used;
    struct flow_sim *flows; /* the first c.flows are those that applications opened; then proxies' own */
    uint32_t flow_count;
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
    uint64_t proxy_resets;              /* that a proxy sent by itself */
    uint64_t crossed[MAX_STRETCHES][2]; /* packets that set out over the stretch and were not lost */
    uint32_t options_removed;           /* bit i: from a SYN in stretch i */
    uint32_t options_answered;          /* bit i: a SYN proxy there offers more, or less, than the end */
    enum proxy_state proxy_state;
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
void tcp_abort(struct sim *s, uint32_t flow, int side, bool tells); /* tells: by RST */
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

/* ---- what runs on TCP (stream.c, app.c, script.c) ---- */
/* Bytes of the application: written by an end, and arrived at it in order. */
void stream_write(struct sim *s, uint32_t flow, int side, uint32_t bytes);
uint64_t stream_received(const struct sim *s, uint32_t flow, int side);
uint64_t stream_sent(const struct sim *s, uint32_t flow, int side); /* at least once */
/* The position in the connection behind that many of the application's bytes that `side` sent. */
uint64_t stream_position(const struct sim *s, uint32_t flow, int side, uint64_t plain);
/* Whether everything before the other end's FIN, and that, has arrived. */
bool stream_ended(const struct sim *s, uint32_t flow, int side);
void stream_progress(struct sim *s, uint32_t flow, int side); /* something arrived at this end */
void stream_died(struct sim *s, uint32_t flow, int side);     /* reset, or given up */
void stream_content(const struct sim *s, const struct packet *p, uint8_t *at, uint32_t len);
void app_create(struct sim *s);
void app_script(struct sim *s, uint32_t flow, struct rng *r, uint64_t bytes, bool smtp, bool reverse);
void app_progress(struct sim *s, uint32_t flow);
void app_event(struct sim *s, uint32_t flow_and_what); /* flow << 3 | what */
void app_datagram(struct sim *s, uint32_t flow);
void app_datagram_arrived(struct sim *s, const struct packet *p);

/* ---- hosts on the way (rewrite.c, synproxy.c, proxy.c) ---- */
void rewrite_flow(struct sim *s, uint32_t flow); /* how the vantage points see it */
void rewrite_packet(struct sim *s, struct packet *p, uint32_t stretch);
bool syn_proxy_at(const struct sim *s, const struct flow_sim *f, uint32_t stretch);
bool syn_proxy_takes(struct sim *s, const struct packet *p); /* it goes no farther */
void syn_proxy_event(struct sim *s, uint32_t flow, uint32_t stage);
uint32_t proxy_carry(struct sim *s, uint32_t flow); /* makes its second leg; returns that */
bool proxy_end(const struct flow_sim *f, int side); /* this end is the proxy's */
void proxy_progress(struct sim *s, uint32_t flow);
void proxy_died(struct sim *s, uint32_t flow);
void proxy_event(struct sim *s, uint32_t flow, uint32_t what);
void proxy_begin(struct sim *s);
void proxy_settle(struct sim *s); /* what it took over and never sent on */
static inline uint32_t front_of(const struct sim *s, uint32_t flow)
{
    return s->flows[flow].back ? s->flows[flow].other : flow;
}
/* Where an application's end is: the flow (its end has the same number). */
static inline uint32_t leg_of(const struct sim *s, uint32_t flow, int side)
{
    return side == 1 && s->flows[flow].other != NO_FLOW ? s->flows[flow].other : flow;
}

/* ---- path (path.c), captures (record.c, frame.c), faults (fault.c) ---- */
void path_send(struct sim *s, struct packet *p); /* from its end; takes it */
void path_arrive(struct sim *s, struct packet *p);
void path_merged(struct sim *s, uint32_t lane, uint32_t point);
uint32_t packet_ip_len(const struct sim *s, const struct packet *p);
void path_continue(struct sim *s, struct packet *p, uint32_t stretch, int64_t delay);
/* Where packets of this direction end. */
static inline uint32_t last_stretch(const struct flow_sim *f, int dir)
{
    return dir == TO_FAR ? f->high + 1u : f->low;
}
void point_record(struct sim *s, uint32_t point, struct packet *p);
void point_record_again(struct sim *s, uint32_t point, struct packet *p); /* takes it */
int64_t point_stamp(const struct point_config *c, int64_t t);             /* its clock's time */
bool record_begin(struct sim *s, const char *pcap_folder);
bool record_finish(struct sim *s);
size_t frame_build(const struct sim *s, uint32_t point, const struct packet *p, uint8_t *frame, size_t room,
                   size_t *ret_wire_len);
/* Headers of all that is around, behind the frame's two MAC addresses. `len`: of the innermost IP packet. */
uint8_t *tunnel_put(const struct sim *s, uint32_t point, const struct packet *p, uint32_t len, uint8_t *at);
struct ip_header {
    bool ipv6;
    uint8_t tos, ttl, proto;
    uint16_t id;
    uint32_t len; /* with the header */
    struct endpoint from, to;
};
uint8_t *frame_put(uint8_t *at, uint64_t value, int bytes);
uint8_t *frame_put_ip(uint8_t *at, const struct ip_header *h);
void frame_address(uint8_t *at, struct endpoint e, bool ipv6); /* 4 or 16 bytes */
void fault_begin(struct sim *s);
bool fault_drops(struct sim *s, const struct packet *p, uint32_t stretch);
void fault_inject(struct sim *s, const struct packet *p, uint32_t stretch);

/* ---- truth (truth.c) ---- */
void truth_lost(struct sim *s, const struct packet *p, uint32_t stretch, int64_t expected_ns);
void truth_delivered(struct sim *s, const struct packet *p);
/* Whether flows that are rewritten can be recognised (pairable.c). */
struct pairing;
struct pairing *pairing_new(const struct sim *s); /* free() ends it */
bool pairing_possible(const struct pairing *p, const struct sim *s, uint32_t flow, uint32_t stretch);
/* Whether a point's snap length leaves all TCP options; and 16 bytes of payload behind them. */
bool point_shows_options(const struct sim *s, uint32_t point);
bool point_shows_payload(const struct sim *s, uint32_t point);
bool truth_known_to_capture(const struct sim *s, uint32_t point, int64_t t);
void truth_settle(struct sim *s);

/* Runs one case; pcap_folder NULL: writes none. False: out of memory. */
bool sim_run(struct sim *s, const struct config *c, const char *pcap_folder);
void sim_free(struct sim *s);

#endif
