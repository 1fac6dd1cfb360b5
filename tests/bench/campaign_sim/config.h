/* What a case is, drawn from its seed (config.c, draw.c) or changed by hand (set.c). Times are true time in
 * nanoseconds since the beginning of the simulation. Stretches are what lies between two places: 0 before the
 * first vantage point, i between the points i - 1 and i, `points` beyond the last. */
#ifndef DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_CONFIG_H
#define DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define US 1000LL
#define MS 1000000LL
#define SECOND 1000000000LL
#define EPOCH 1700000000000000000LL

enum { MAX_POINTS = 6, MAX_STRETCHES = MAX_POINTS + 1, MAX_FLOWS = 600, NO_POINT = 0xff };
enum { WINDOW_SCALE = 7 };        /* of all ends */
enum { TO_FAR = 0, TO_NEAR = 1 }; /* as DP_FORWARD and DP_REVERSE */

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
    FAULT_SWALLOW, /* from here on inside a proxy: takes bytes over and never sends them on */
    FAULT_FREEZE,  /* its process stops; its kernel goes on */
    FAULT_CRASH,   /* its process dies; its kernel resets the connections */
    FAULT_DEAD,    /* its host is gone */
    FAULT_KINDS
};
extern const char *const fault_names[FAULT_KINDS];
static inline bool fault_of_proxy(enum fault_kind kind)
{
    return kind >= FAULT_SWALLOW;
}

enum miss_mode { MISS_NONE, MISS_SILENT, MISS_COUNTED, MISS_GAPS };

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
    bool bypassed[2];            /* by direction: packets go around it */
    uint32_t snap;               /* bytes of a frame that are captured at most; 0: as many as there are */
    bool twice;                  /* sees each packet twice, as a bridge and its port do */
    int64_t twice_ns;            /* after that time */
    int64_t step_ns, step_at_ns; /* its clock is set by so much; 0 never */
};

/* A packet inside others, as the vantage points from `first` to `last` see it. */
enum tunnel_kind {
    TUNNEL_VLAN,
    TUNNEL_QINQ,
    TUNNEL_MPLS,
    TUNNEL_PPPOE,
    TUNNEL_VXLAN,
    TUNNEL_GRE,
    TUNNEL_IPIP,
    TUNNEL_GENEVE,
    TUNNEL_KINDS
};
enum { MAX_TUNNELS = 2 };

struct tunnel {
    enum tunnel_kind kind;
    uint32_t first, last;
    bool ipv6;       /* what is around is IPv6 */
    uint8_t variant; /* GRE: 1 a key, 2 a sequence number; MPLS: labels but one; Geneve: 1 an option */
};

/* What a host on the way changes of packets that pass it. */
enum {
    REWRITE_CLIENT = 0x01, /* address */
    REWRITE_CLIENT_PORT = 0x02,
    REWRITE_SERVER = 0x04,
    REWRITE_SERVER_PORT = 0x08,
    REWRITE_SEQ_CLIENT = 0x10, /* a constant is added to the client's sequence numbers */
    REWRITE_SEQ_SERVER = 0x20,
    REWRITE_MSS_DOWN = 0x40,
    REWRITE_MSS_UP = 0x80,
    REWRITE_TTL = 0x100, /* set to a constant */
    REWRITE_IP_ID_ZERO = 0x200,
    REWRITE_IP_ID = 0x400,
    REWRITE_NO_TIMESTAMPS = 0x800, /* NOPs in the SYN in their place */
    REWRITE_TIMESTAMPS = 0x1000,   /* a constant is added */
    REWRITE_NO_SACK = 0x2000,
    REWRITE_DSCP = 0x4000,
    REWRITE_ECN = 0x8000, /* cleared */
    REWRITE_KINDS = 16,
};

struct rewriter {
    uint32_t stretch, what;
    uint16_t mss;
    uint8_t ttl, dscp;
};

/* Answers the client's SYN itself, then opens to the server and shifts its numbers from then on. */
struct syn_proxy_config {
    bool on, timestamps;
    uint32_t stretch;
    uint16_t mss;
    uint8_t wscale;
};

/* Ends the client's connection and carries its bytes on a connection of its own. */
struct proxy_config {
    bool on;
    uint32_t stretch;
    int tls;           /* 0 none, 1 with the client, 2 on both sides, each with its own records */
    int header;        /* PROXY protocol in front: 0 none, 1 text, 2 binary */
    bool transparent;  /* both connections have the same addresses and ports */
    bool late_connect; /* opens to the server when the client has sent something */
    bool ends_by_fin;  /* ends the other connection with FIN where one was reset */
    bool offload;
    double share; /* of the connections */
    uint32_t buffer;
    int64_t delay_ns;  /* until it takes note of something */
    bool swallows_all; /* FAULT_SWALLOW: every connection, else the faulty ones */
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
    int nat;                /* one host in a plain case: 0 none, 1 client rewritten, 2 server rewritten */
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
    /* Beyond the plain kinds (draw.c). */
    struct rewriter rewriter[MAX_POINTS];
    uint32_t rewriters;
    struct syn_proxy_config syn_proxy;
    struct proxy_config proxy;
    struct tunnel tunnel[MAX_TUNNELS]; /* outer ones first */
    uint32_t tunnels;
    double start_span; /* flows begin in this part of the duration */
    bool midway;       /* every capture begins when all flows have begun */
    bool many, thin;   /* hundreds of small flows; few losses among many packets */
};

/* What a case is counted under, beside its fault. */
enum dimension {
    DIMENSION_PLAIN, /* none of the others */
    DIMENSION_NAT,
    DIMENSION_NAT_ROW, /* at two hosts or more */
    DIMENSION_SEQUENCE,
    DIMENSION_FIELDS, /* MSS, TTL, IP ID, DSCP, ECN */
    DIMENSION_TIMESTAMPS,
    DIMENSION_SYN_PROXY,
    DIMENSION_PROXY,
    DIMENSION_PROXY_HEADER,
    DIMENSION_TRANSPARENT,
    DIMENSION_TLS,
    DIMENSION_TUNNEL,
    DIMENSION_SNAP,
    DIMENSION_MIDWAY,
    DIMENSION_TWICE,
    DIMENSION_STEP,
    DIMENSION_MANY,
    DIMENSION_THIN,
    DIMENSIONS
};
extern const char *const rewrite_names[REWRITE_KINDS];
extern const char *const dimension_names[DIMENSIONS];
extern const char *const tunnel_names[TUNNEL_KINDS];
uint32_t config_dimensions(const struct config *c); /* bit by bit */

/* The case of a seed. plain: only the plain kinds; what they are does not depend on the others. */
void config_draw(struct config *c, uint64_t seed, bool plain);
void config_make_heavy(struct config *c);
void draw_dimensions(struct config *c);
void draw_proxy(struct config *c, uint32_t stretch);
void draw_syn_proxy(struct config *c, uint32_t stretch);
void draw_tunnel(struct config *c, enum tunnel_kind kind, uint32_t first, uint32_t last);
void draw_captures(struct config *c); /* tunnels, and more of captures and traffic (draw_captures.c) */
/* Which of the points see a stretch from inside: 0 where there is none between two points. */
bool stretch_between(const struct config *c, uint32_t stretch);
/* Whether routers on this stretch count down the TTL of a packet around, so that the inner one keeps its. */
bool stretch_hides_ttl(const struct config *c, uint32_t stretch);
/* Bytes that a point sees in front of the innermost IP header. */
uint32_t tunnel_overhead(const struct config *c, uint32_t point);
/* The frame's first bytes that a point captures of TCP options and payload, where they are `len` bytes. */
uint32_t captured_behind_tcp(const struct config *c, uint32_t point, uint32_t len);
/* "key=value,..."; false: an unknown key, or one without a number. */
bool config_override(struct config *c, const char *text);
void config_print(FILE *out, const struct config *c);

#endif
