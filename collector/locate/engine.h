/* The engine's own structures, shared by its parts and by nobody else.
 *
 * The way of the data: locate.c takes digests and files each under its flow (flows.c) as an observation,
 * numbered as its vantage point's view of the flow has it (views.c); pairing.c joins flows that are one;
 * custody.c puts the observations of all vantage points together into transmissions (groups.c gathers them,
 * sampling.c learns directions and clocks first, copies.c tells copies apart); fate.c decides where each
 * transmission ended and account.c books what that proves; evidence.c adds what TCP itself tells; pattern.c,
 * findings.c and verdict.c draw the conclusions; text.c puts them into words.
 */
#ifndef DROPPOINT_COLLECTOR_LOCATE_ENGINE_H
#define DROPPOINT_COLLECTOR_LOCATE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/clock.h"
#include "collector/locate/locate.h"
#include "collector/locate/pool.h"
#include "collector/locate/stamps.h"

#define NO_VANTAGE UINT8_MAX

enum observation_mark {
    MARK_SETTLED = 0x01,
    MARK_LOST = 0x02,    /* counted as a lost packet already */
    MARK_MATCHED = 0x04, /* counted as matched already */
    MARK_ENTERED = 0x08, /* counted as entered already */
    MARK_UNKNOWN = 0x10, /* counted as unknown already */
    MARK_DUPLICATE = 0x20,
    MARK_HAS_TS = 0x40,
    MARK_HAS_IP_ID = 0x80,
    MARK_VISITED = 0x100,
    MARK_HAS_WINDOW = 0x400, /* in its key */
    MARK_OWN = 0x200,        /* made, or taken, by a host on the way that opens connections for others */
    MARK_ECHOED = 0x800,     /* the same point showed it a second time */
};

/* One packet as one vantage point saw it. Data (also SYN and FIN, which occupy a sequence number each) covers
 * stream positions [start, start + span); a packet that covers none is matched a key and keeps it in `start`.
 */
struct observation {
    int64_t ts_ns; /* by the vantage point's clock */
    uint64_t start;
    uint32_t span;
    uint32_t payload;
    uint32_t ip_len;
    uint32_t tsval;
    uint32_t
        hash; /* of a TCP packet without stream positions: its sequence number, by the flow's numbering */
    uint16_t ip_id;
    uint16_t tcp_flags;
    uint16_t marks;
    uint16_t mss; /* of a SYN */
    uint8_t hash_len;
    uint8_t ttl;
    uint8_t options; /* of a SYN: OPTION_*; without stream positions: what its SACK blocks say, in its key */
};

enum {
    OPTION_WSCALE = 1,
    OPTION_SACK = 2,
    OPTION_TS = 4,
    OPTIONS_CUT = 8 /* there may be more */,
    NO_WINDOW = 16 /* it announces none */
};

/* Observations of one flow direction at one vantage point that wait for their settlement, in order of
 * capture. They stay where they are until a sweep closes gaps. All chunks but the last are full. */
struct lane {
    struct lane_chunk *first, *last;
    struct observation *next, *end; /* room in the last chunk */
    size_t count;
    uint64_t seen; /* in all, also settled ones */
    int64_t first_ns, last_ns;
};

struct lane_chunk {
    struct lane_chunk *next;
    size_t room;
    struct observation items[];
};

struct ack_mark {
    int64_t ts_ns;     /* by the vantage point's clock */
    uint64_t position; /* everything before it has arrived */
    uint32_t tsecr;    /* the time stamp that it answers to (RFC 7323) */
    bool has_tsecr;
};

/* Cumulative acknowledgements as one vantage point saw them, rising: a block that grows, and once that is as
 * large as it gets, a table of such blocks. */
struct ack_lane {
    struct ack_mark *only, **table;
    size_t count, room, table_room;
    size_t gone;           /* marks of the first block that are trimmed */
    uint64_t highest;      /* the last mark's position; 0 none */
    uint64_t sacked_above; /* highest right edge that a SACK reported */
};

struct range {
    uint64_t start, end;
};

struct dsack {
    uint64_t start, end;
    uint8_t vantage; /* that showed it, and numbers it */
};

/* What happened to a flow direction's packets in one segment. */
struct course {
    uint64_t entered, lost;
    uint64_t lost_bytes;
    uint64_t passed_after_loss;
    uint64_t appeared;                /* acknowledgements that nobody saw before they were behind it */
    int64_t last_up_ns, last_down_ns; /* for reordering */
    int64_t first_loss_ns, last_loss_ns, last_pass_ns; /* reference clock; 0 none */
};

struct hole {
    uint64_t start, end;
    int64_t t_ns;
    uint32_t tsval; /* of the packet behind it */
    uint16_t ip_id;
    bool has_ip_id, has_ts;
};

#define HOLES 8

/* A transmission that passed the last vantage point, or never reached the first, as TCP tells. */
struct outer_event {
    uint64_t start, end;
    int64_t t_ns;   /* reference clock */
    int64_t raw_ns; /* by the clock of the vantage point that saw it */
    uint32_t ip_len;
    uint32_t payload;
};

/* What went past the last vantage point before the far end of a connection, so that what passes again is
 * noticed. */
struct passing {
    uint64_t first, last; /* all positions in [first, last) but the gaps went past; last 0: nothing yet */
    struct range *gaps;   /* in order of position */
    size_t gap_count, gap_room;
    uint64_t previous_end; /* of the copy looked at before, when it passed there, and its time stamp */
    int64_t previous_ns;
    uint32_t previous_tsval;
    bool previous_has_ts;
    int64_t usual_response_ns; /* smoothed time until the acknowledgement was seen; 0 not known */
    int64_t response_ns;       /* shortest time from there until the acknowledgement was seen; 0 not known */
    uint32_t response_turn;    /* not every packet is looked at for it */
};

/* Payload that came to a host that ends the connection, as the last point before it saw it. */
struct held_chunk {
    uint64_t start, end;     /* of the payload */
    struct observation seen; /* the whole packet */
    int64_t t_ns;            /* reference clock */
    uint32_t vantage;
    uint8_t leg; /* that brought it */
};

/* One direction of a flow: from client to server (0) or back (1). */
struct half {
    struct lane *data;     /* one per vantage point */
    struct lane *control;  /* packets that cover no stream position */
    struct course *course; /* one per segment */
    uint64_t *missed;      /* one per vantage point: passed there without being seen */
    uint64_t
        position; /* highest stream position seen anywhere; low 32 bits are the sequence number; 0 none */
    struct ack_lane *acks; /* one per vantage point: what the other direction acknowledged of this half */
    bool acked_some;       /* the receiver acknowledged something that was sent while we watched */
    struct dsack *dsacks;  /* bytes that the receiver reported to have got twice (RFC 2883) */
    size_t dsack_count, dsack_room;
    struct outer_event *beyond, *before;
    size_t beyond_count, beyond_room, before_count, before_room;
    struct passing passing;        /* at the last vantage point */
    struct passing *inner_passing; /* by leg: at the last point before each host that ends the connection */
    uint64_t first_end;            /* end of what went past the first vantage point, in order of capture */
    int64_t first_response_ns;    /* there: shortest time from a packet to its acknowledgement; 0 not known */
    uint32_t first_response_turn; /* not every packet is looked at for it */
    struct hole holes[HOLES];
    uint32_t hole_count;
    uint64_t first_position; /* where the stream begins for us: the SYN's, or that of the first packet seen */
    uint8_t first_vantage;   /* that saw it */
    uint64_t content_base;   /* SMTP: where the message's content begins; 0 not known */
    uint8_t content_vantage; /* that says so */
    struct held_chunk *held; /* taken over by a host that ends the connection, not yet seen to be sent on */
    size_t held_count, held_room;
    bool syn, rst;
    bool spoke;          /* sent anything but RSTs */
    bool ts_ignored;     /* something on the path rewrites its TCP time stamps, ... */
    bool id_ignored;     /* ... its IP IDs */
    bool window_ignored; /* ... its windows: their scale is another one */
    bool sacks_ignored;  /* ... its SACK blocks: a point keeps too little of each packet to show them */
    bool hash_cut;       /* datagrams: the points keep unlike much of long ones; all of them at least ... */
    uint8_t hash_least;  /* ... so many bytes of payload */
    /* This end's announcements that it takes no more (zero window), by the vantage point that saw it first.
     */
    uint8_t window_vantage;
    int64_t zero_since_ns, zero_last_ns;              /* 0: none open */
    int64_t longest_zero_from_ns, longest_zero_to_ns; /* by that point's clock */
};

#define STAMP_SLACK_NS 30000 /* stamps are not taken at the same moment of a packet's way everywhere */
#define CLOCK_DRIFT 1e-4     /* of two clocks, at most */

#define LEGS_MOST 8 /* connections in a row that one flow is carried in */

/* A host that ends the connection, between leg i and leg i + 1 of a flow: a proxy, or a mail relay. Each leg
 * has handshakes, acknowledgements, copies and timings of its own. */
struct handover {
    bool carries[2]; /* the same bytes of this half go on in the next leg, at the same stream positions ... */
    uint64_t from[2]; /* ... from this one on; before it each side speaks for itself */
};

/* How a vantage point numbers a flow. What lies on the path may rewrite sequence numbers and time stamps by a
 * constant difference; a host that ends the connection carries the same bytes in one of its own. */
struct view {
    uint64_t position[2]; /* where the payload of each half ends that it showed; 0 none */
    uint32_t shift[2];    /* to add to its sequence numbers of each half, so that all views number alike */
    uint32_t ts_shift[2]; /* to add to its TCP time stamps */
    bool closed[2];       /* each end's last word there: it takes next to nothing more */
    uint16_t
        window_most[2];  /* the largest window that each end announced there, as it stands in the packet */
    int64_t reset_ns[2]; /* when each end's first RST passed there, by its own clock; 0 not yet */
    int64_t over_ns[2];  /* when each end's first FIN or RST passed there, by its own clock; 0 not yet */
    uint8_t leg;       /* 0 at the first vantage point; one more behind each host that ends the connection */
    bool aligned[2];   /* its numbers of the half are known to be those of the leg's other views */
    bool compared[2];  /* its time stamps and IP IDs as well */
    uint64_t tried[2]; /* packets that were there to look at when that was last tried */
};

/* What identifies a message in a flow, as a note told. */
struct mail_mark {
    uint64_t value;    /* keyed hash */
    uint64_t position; /* of the line */
    int64_t ts_ns;     /* by the vantage point's clock */
    uint32_t vantage;
    uint8_t half;
    uint8_t kind; /* dp_note_kind */
};
#define MAIL_MARKS_MOST 256

/* What a packet of an SMTP session begins with (stage.c). */
struct stage_mark {
    uint64_t position;
    int64_t ts_ns; /* by the vantage point's clock */
    uint16_t app;  /* dp_smtp_verb or a reply's code */
    uint8_t vantage, half;
};

struct flow {
    uint32_t id;     /* index, in order of first appearance */
    uint32_t serial; /* the same, but never changed */
    uint8_t proto;
    struct dp_endpoints endpoints; /* as the vantage point that saw it first */
    uint8_t named_by;              /* that vantage point */
    bool waiting;                  /* is in dp_locate.waiting */
    bool oriented;
    bool certain_orientation;
    bool ttl_only; /* nothing but TTLs says which way it runs: a host that sets them anew may mislead */
    bool guessed_orientation; /* nothing tells it: the client is taken to be near */
    uint8_t sampled_points;   /* how many vantage points saw it when it was sampled */
    bool sampled;             /* its first packets have served the clocks */
    bool settled_before;      /* later packets serve them as they are settled */
    uint32_t sample_turn;     /* groups of them so far */
    bool client_near;         /* client to server is forward */
    bool client_known;        /* a SYN told who is who */
    bool established;         /* data or a handshake's last ACK was seen */
    uint32_t isn;             /* of the client's SYN */
    bool has_isn;
    struct dp_endpoints
        *origin;         /* the connection that it carries on, as a PROXY protocol header says; NULL: none */
    uint64_t origin_end; /* where the header ends and the proxied stream begins */
    uint8_t origin_vantage; /* that says so */
    struct mail_mark *mails;
    size_t mail_count, mail_room;
    struct stage_mark *stages;
    size_t stage_count, stage_room;
    uint16_t smtp_code; /* the last 4xx or 5xx reply */
    char smtp_text[DP_NOTE_TEXT];
    int64_t smtp_ns; /* its time by the reference clock's raw lane */
    uint8_t smtp_vantage;
    struct half half[2];          /* 0: client to server */
    struct view *views;           /* per vantage point */
    uint8_t legs;                 /* connections in a row; 1 where no host on the path ends it */
    struct handover *handovers;   /* legs - 1; NULL where there is one leg */
    bool renumbered;              /* some view's sequence numbers are shifted */
    uint8_t opener;               /* a SYN proxy lies behind this vantage point; NO_VANTAGE: none */
    struct flow *joined_into;     /* this one turned out to be part of another: it is empty */
    bool joined_swapped;          /* ... and its client is the other's server */
    struct flow *older;           /* the flow between the same endpoints before it */
    uint8_t *seen_at;             /* per vantage point: whether any packet */
    struct dp_endpoints *seen_as; /* per vantage point; family 0: not seen */
    /* orientation evidence between first and last vantage that share packets */
    int64_t ttl_votes;
    struct flow *next_by_isn;
};

/* How one vantage point numbers a flow. */
struct local_flow {
    struct dp_flow_def def;
    struct flow *flow;
    uint32_t isn;        /* of the last SYN */
    bool known, swapped; /* swapped: def.a is the server */
};

enum echoing { ECHOES_UNKNOWN, ECHOES_NONE, ECHOES_ALL };

struct vantage {
    char *name;
    enum echoing echoing; /* whether its capture shows each packet twice */
    uint32_t host;        /* the first vantage point of the same host */
    struct local_flow *flows;
    size_t flow_room;
    uint64_t packets, matched, missed;
    bool has_window;
    int64_t start_ns, end_ns; /* as told, by the clock itself: see capture_start and capture_end */
    bool any;
    int64_t first_ns, last_ns;
    int64_t advanced_ns; /* everything up to here has been fed */
    bool has_dropped;
    uint64_t dropped;
    struct dp_gap *gaps;
    size_t gap_count, gap_room;
    bool has_hint;
    int64_t hint_ns, hint_error_ns;
    struct stamps stamps; /* all stamps here are carried on: see there */
    struct dp_clock_steps steps;
    /* clock against the reference, what it was set by left out */
    double offset_ns, skew;
    int64_t error_ns;
    uint64_t missed_proven; /* bytes acknowledged by the receiver that never showed here: this capture misses
                               packets */
};

/* One slice of time in one direction of a segment. */
struct slice {
    uint32_t entered, lost, passed;
    uint32_t largest_passed; /* IP length */
    uint64_t entered_bytes;
    uint32_t delays;            /* packets whose delay was taken */
    float delay_min, delay_max; /* of these, nanoseconds */
};

/* One packet's way across a segment. */
struct delay_sample {
    int64_t t_ns; /* reference clock, when it entered */
    int64_t delay_ns;
};

struct loss_event {
    uint32_t seq;   /* as the upstream vantage point saw it */
    int64_t t_ns;   /* reference clock, when it entered */
    int64_t raw_ns; /* by the upstream vantage point's clock */
    uint64_t start;
    uint32_t flow; /* index */
    uint32_t payload, ip_len;
    uint32_t lost_bytes;
    uint16_t tcp_flags;
    uint8_t half;
    uint8_t down; /* the vantage point that should have seen it next */
    bool silent;  /* `down` shows nothing from then on and does not say whether it still captured */
    bool control; /* covers no stream position: a pure ACK, a RST, a datagram */
    bool proven;  /* TCP itself confirms it: sent again, never acknowledged */
    bool shown;   /* only TCP shows it: this is the copy that was sent again */
};

#define DELAY_SAMPLES 16384

/* One packet that entered a segment, for the question whether loss follows the rate. */
struct passage {
    int64_t t_ns;
    uint32_t bytes; /* IP length */
    bool lost;
};
#define PASSAGES                                                                                             \
    262144 /* a block of the pool; kept for each side; beyond that whole seconds are left out evenly */

struct side {
    uint64_t packets, bytes, lost_packets, lost_bytes, unknown_packets, duplicated, reordered;
    /* Of the lost ones: the next point's capture dropped packets just then, so that the report will call them
     * unknown. */
    uint64_t doubted_packets, doubted_bytes;
    struct loss_event *losses;
    size_t loss_count, loss_room;
    struct slice *slices;
    size_t slice_count, slice_room;
    int64_t slice_origin, slice_width;
    struct passage *passages;
    size_t passage_count, passage_room;
    uint32_t passage_stride;     /* of so many seconds one is kept; 0 as 1 */
    struct delay_sample *delays; /* reservoir */
    uint64_t delay_count;
    int64_t passed_from_ns;  /* when the first packet set out that came through; 0 none */
    int64_t passed_until_ns; /* when the last packet set out that came through */
    int64_t delay_min, delay_max;
};

struct segment {
    struct side side[2];
};

struct reset_event {
    int segment; /* between vantage point `segment` and the next */
    enum dp_direction direction;
    uint32_t flow;
    int64_t t_ns;
};

struct rewrite_event {
    int segment;
    enum dp_direction direction;
    uint32_t flow;
    const char *what;
};

/* What flows that were joined showed of what lies behind a vantage point. */
struct seam {
    uint32_t through, ended;
    uint32_t opened;            /* by a SYN proxy */
    uint32_t ids_kept, ids_new; /* flows whose IP IDs stay the same across it, or do not */
};

/* One flow brought to a host what another carries on. No vantage point saw both. */
struct relayed {
    uint32_t from, to; /* flows, by id */
    bool veiled;       /* told by timing and volume only */
    /* Of the server of `from`, if this pair is the first that told of it: mails that were seen to go in and
     * to come out, and those that were not seen to come out. */
    size_t mails, kept;
};

/* A mail that a host took over and that was not seen to leave it. */
struct kept_mail {
    uint32_t flow;    /* by id */
    uint32_t relay;   /* index of the pair that told of the host */
    int64_t t_ns;     /* reference clock, when the host's reply took it over */
    int64_t until_ns; /* what is watched behind the host ends then */
    bool overdue;     /* mails that came later left long ago, and nothing behind the host kept it back */
};

/* What goes on behind a host in other connections: see relays.h. */
struct relays {
    struct relayed *items;
    size_t count, room;
    struct kept_mail *kept;
    size_t kept_count, kept_room;
};

struct dp_locate {
    size_t vantage_count, segment_count;
    struct vantage *vantages;
    struct segment *segments;
    bool no_clock_correction;
    struct flow **flows;
    size_t flow_count, flow_room;
    struct flow **waiting; /* of these, those in which sweeps have something to look at */
    size_t waiting_count, waiting_room;
    struct flow **by_endpoints; /* open addressing, power of two */
    size_t table_size;
    struct flow *by_isn[4096];
    struct reset_event *resets;
    size_t reset_count, reset_room;
    struct rewrite_event *rewrites;
    size_t rewrite_count, rewrite_room;
    struct pool pool;       /* of the lanes, acknowledgements and passages */
    uint64_t pending;       /* observations that wait */
    uint64_t next_sweep_at; /* value of pending that starts the next sweep */
    uint64_t random;        /* state of the reservoirs' generator */
    uint32_t sample_turn;
    bool clocks_ready;
    int64_t reference_ns;         /* the reference's first packet */
    struct seam *seams;           /* one per vantage point */
    struct relays relays;         /* at the end */
    struct dp_clock_pair *clocks; /* [from * vantage_count + to], from < to */
    struct reference *references; /* scratch of custody.c */
    size_t reference_room;
    struct transmission *open; /* scratch of custody.c */
    size_t open_room;
    bool watched; /* a person watches the progress: sweeps also look at what is not booked yet */
    /* Lost as far as can be said, but not booked yet: more copies of the same bytes still come. As of the
     * last sweep. */
    uint64_t unbooked_packets, unbooked_bytes;
    uint64_t table_seed;
    dp_locate_tell tell; /* NULL: nobody listens */
    void *tell_context;
};

/* ---- lanes.c ---- */
int lane_grow(struct dp_locate *l, struct lane *lane) DP_MUST_CHECK;
/* A new observation at the lane's end, of undefined content. NULL without memory. */
static inline struct observation *lane_add(struct dp_locate *l, struct lane *lane)
{
    if (lane->next == lane->end && lane_grow(l, lane))
        return NULL;
    lane->count++;
    return lane->next++;
}
/* Drops the settled ones. */
void lane_compact(struct dp_locate *l, struct lane *lane);
/* Walks a lane from its index `from` on. */
struct lane_cursor {
    struct observation *next, *chunk_end;
    const struct lane_chunk *chunk;
    size_t left;
};
struct lane_cursor lane_from(const struct lane *lane, size_t from);
/* The next one, NULL at the end. */
static inline struct observation *lane_next(struct lane_cursor *cursor)
{
    if (cursor->left == 0)
        return NULL;
    if (cursor->next == cursor->chunk_end) {
        cursor->chunk = cursor->chunk->next;
        cursor->next = (struct observation *)cursor->chunk->items;
        cursor->chunk_end = cursor->next + cursor->chunk->room;
    }
    cursor->left--;
    return cursor->next++;
}
/* The first; the lane is not empty. */
static inline const struct observation *lane_head(const struct lane *lane)
{
    return &lane->first->items[0];
}
/* The one with an index below lane->count. Walks the chunks: for a look at the first few. */
static inline struct observation *lane_at(const struct lane *lane, size_t index)
{
    struct lane_chunk *chunk = lane->first;
    for (; index >= chunk->room; chunk = chunk->next)
        index -= chunk->room;
    return &chunk->items[index];
}
/* The index of the first one that begins at stream position (or key) `start` or behind it, in a lane that is
 * in order of them. */
size_t lane_find(const struct lane *lane, uint64_t start);

#define ACK_BLOCK (4096 / sizeof(struct ack_mark)) /* marks */
/* index: below lane->count */
static inline struct ack_mark *ack_at(const struct ack_lane *lane, size_t index)
{
    index += lane->gone;
    return lane->table ? &lane->table[index / ACK_BLOCK][index % ACK_BLOCK] : &lane->only[index];
}
int ack_add(struct dp_locate *l, struct ack_lane *lane, struct ack_mark mark) DP_MUST_CHECK;
/* Forgets the first `gone` of them, not all. */
void ack_trim(struct dp_locate *l, struct ack_lane *lane, size_t gone);

/* ---- notes.c ---- */
/* Files what a note tells under its flow. */
int notes_take(struct dp_locate *l, uint32_t vantage, const struct dp_note *note) DP_MUST_CHECK;

/* ---- flows.c ---- */
int flow_define(struct dp_locate *l, uint32_t vantage, const struct dp_flow_def *def) DP_MUST_CHECK;
/* The flow of one digest; pairs it at its first one. *ret_from_client tells the half. */
int flow_of(struct dp_locate *l, uint32_t vantage, const struct dp_digest *digest, struct flow **ret_flow,
            bool *ret_from_client) DP_MUST_CHECK;
/* The flow that this one is a part of, or itself. */
static inline const struct flow *flow_whole(const struct flow *flow)
{
    while (flow->joined_into)
        flow = flow->joined_into;
    return flow;
}
/* The flow that a vantage point knows by this number, and whether packets of direction `dir` come from its
 * client; NULL: none yet. */
struct flow *flow_at(struct vantage *v, uint32_t number, uint8_t dir, bool *ret_from_client);
void flow_orient(struct dp_locate *l, struct flow *flow, int64_t round_trip_difference, bool has_difference);
void flow_free(struct flow *flow, size_t vantages);
/* At the end: forgets the flows that became parts of others, and numbers the rest, and what is known of them,
 * anew. Nothing can be filed from then on. */
int flows_compact(struct dp_locate *l) DP_MUST_CHECK;
/* The vantage point at place `index` along the direction that the half travels, and back. */
static inline uint32_t place_to_vantage(const struct dp_locate *l, bool forward, uint32_t index)
{
    return forward ? index : (uint32_t)l->vantage_count - 1 - index;
}
static inline bool half_forward(const struct flow *flow, int half)
{
    return (half == 0) == flow->client_near;
}

/* ---- views.c ---- */
/* The stream position of a sequence number at a vantage point. Its low 32 bits are the number, shifted. */
uint64_t view_position(const struct flow *flow, int half, uint32_t vantage, uint32_t seq);
/* What makes a packet without stream positions itself. Sequence number, time stamp and window stay removable,
 * so that it can be renumbered: they go into the key by exclusive or. */
uint64_t control_key(uint64_t acknowledged, uint32_t seq, uint32_t rest);
/* Puts a packet's time stamp, window or SACK blocks into its key, or takes it out. */
uint64_t control_toggle_ts(uint64_t key, uint32_t tsval);
uint64_t control_toggle_window(uint64_t key, uint16_t window);
uint64_t control_toggle_sacks(uint64_t key, uint8_t sacks);
/* Renumbers what waits at a vantage point and all that follows: `by` is added to the positions of a half. */
void view_shift(struct dp_locate *l, struct flow *flow, int half, uint32_t vantage, int64_t by);
/* A packet's key as it would be with other numbers, and without its time stamp. seq, acknowledged: added.
 * Bare: without its sequence number and window as well. */
uint64_t control_key_moved(const struct observation *o, int64_t seq, int64_t acknowledged);
uint64_t control_key_bare(const struct observation *o, int64_t acknowledged);
/* What a packet's key says that it acknowledges, to compare with a position. */
uint64_t control_acknowledged(const struct observation *o);
uint64_t control_position(uint64_t position);
/* The same for a half's TCP time stamps; and no more regard for time stamps, or IP IDs, of a half. */
void view_shift_ts(struct flow *flow, int half, uint32_t vantage, uint32_t by);
void flow_ignore_ts(struct dp_locate *l, struct flow *flow, int half);
void flow_ignore_ids(struct dp_locate *l, struct flow *flow, int half);
void flow_ignore_windows(struct dp_locate *l, struct flow *flow, int half);
void flow_ignore_sacks(struct dp_locate *l, struct flow *flow, int half);
/* The vantage points [*ret_low, *ret_high) that a leg of a flow crosses: all where there is one leg. */
void flow_leg(const struct dp_locate *l, const struct flow *flow, uint32_t leg, uint32_t *ret_low,
              uint32_t *ret_high);
/* Whether anything of it was settled already. */
bool flow_settled(const struct dp_locate *l, const struct flow *flow);
/* Makes `from` a part of `into`: no vantage point has seen both, and nothing of `from` was settled. by: added
 * to its positions of each half (of `into`). swapped: its client is the other's server. leg: added to its
 * legs. Packets that follow at any vantage point are taken for `into`. DP_ERR_NOMEM leaves them apart. */
int flow_join(struct dp_locate *l, struct flow *into, struct flow *from, const int64_t by[2], bool swapped,
              uint8_t leg) DP_MUST_CHECK;

/* ---- clocks.c, steps.c ---- */
/* Fits every clock to the reference by the samples so far. */
int clocks_fit(struct dp_locate *l) DP_MUST_CHECK;
/* Finds whose clock was set while the captures ran. */
int steps_find(struct dp_locate *l) DP_MUST_CHECK;
int steps_report(const struct vantage *v, struct dp_vantage_report *report) DP_MUST_CHECK;
/* The bound of a vantage point's clock error; 1 ms where none is known, nothing where stamps are to be
 * believed. */
static inline int64_t clock_error(const struct dp_locate *l, uint32_t vantage)
{
    if (l->no_clock_correction)
        return 0;
    return l->vantages[vantage].error_ns < 0 ? 1000000 : l->vantages[vantage].error_ns;
}
/* Whether a vantage point's packets can be put in time with the others'. */
bool clock_known(const struct dp_locate *l, size_t vantage);
/* From when to when a vantage point captured for sure. A clock that was set back tells the window's end as it
 * tells the stamps. */
static inline bool window_known(const struct vantage *v)
{
    return v->has_window && v->end_ns - v->start_ns >= -v->stamps.shift_ns;
}
static inline int64_t capture_start(const struct vantage *v)
{
    return window_known(v) ? v->start_ns : v->first_ns;
}
static inline int64_t capture_end(const struct vantage *v)
{
    if (!window_known(v))
        return v->last_ns;
    return v->end_ns < DP_LOCATE_STILL_RUNNING ? v->end_ns + v->stamps.shift_ns : v->end_ns;
}

/* A vantage point's stamp by the reference clock. */
static inline int64_t to_reference(const struct dp_locate *l, uint32_t vantage, int64_t ts_ns)
{
    const struct vantage *v = &l->vantages[vantage];
    if (v->steps.count)
        ts_ns -= dp_clock_stepped(&v->steps, ts_ns);
    int64_t t = ts_ns - (int64_t)v->offset_ns;
    if (v->skew != 0)
        t -= (int64_t)((double)(t - l->reference_ns) * v->skew);
    return t;
}

/* ---- pairing.c ---- */
/* Recognises what belongs together although something on the path rewrites it: aligns the numbers of vantage
 * points that know a flow by the same name, and joins flows that are one. Looks at what is not settled yet.
 * limit: reference time; flows that began later may still come to points that are behind, and wait.
 * INT64_MAX: all is here; INT64_MIN: not known. last: nothing more comes that could tell better. *ret_joined:
 * how many flows became parts of others. */
int pairing_sweep(struct dp_locate *l, int64_t limit, bool last, size_t *ret_joined) DP_MUST_CHECK;

/* ---- datagrams.c ---- */
/* What makes a packet of a flow that is not TCP itself. */
uint64_t datagram_key(const struct flow *flow, int half, const struct observation *o);
/* Finds out by what such packets can be recognised at all points. DP_ERR_NOMEM. */
int datagrams_align(struct dp_locate *l, struct flow *flow) DP_MUST_CHECK;

/* ---- echoes.c ---- */
/* Forgets the second sightings at points whose captures show each packet twice. */
void echoes_drop(struct dp_locate *l);

/* ---- custody.c ---- */
/* Draws clock samples and the flows' orientation from packets that need no clock to be recognised. */
int custody_sample(struct dp_locate *l, int64_t limit) DP_MUST_CHECK;
/* Has the next sweeps look at a flow. */
int custody_await(struct dp_locate *l, struct flow *flow) DP_MUST_CHECK;
/* What waited of `from` waits as a part of `into` now. */
void custody_inherit(struct dp_locate *l, struct flow *into, struct flow *from);
/* Puts the flows that sweeps look at in order of their first appearance, so that what is found does not
 * depend on which had nothing to settle for a while. last: all flows. */
int custody_order(struct dp_locate *l, bool last) DP_MUST_CHECK;
/* Settles what set out before reference time `limit` (INT64_MAX: everything), and what all vantage points saw
 * before `limit_for_all`. Where the progress is watched, counts what is lost but cannot be settled yet. */
int custody_sweep(struct dp_locate *l, int64_t limit, int64_t limit_for_all) DP_MUST_CHECK;

/* ---- account.c ---- */
struct cover {
    struct observation *observation;
    uint32_t place; /* along the direction */
    int64_t t_ns;   /* reference clock */
};

/* One transmission of the stream positions [start, end), or of one packet without any: who saw it. */
struct transmission {
    struct flow *flow;
    int half;
    uint64_t start, end;
    struct observation *seen[DP_LOCATE_MAX_VANTAGES]; /* by place */
    int64_t t_ns[DP_LOCATE_MAX_VANTAGES];
    uint32_t lo, hi; /* the places [lo, hi) of the connection that carried it: all where no host ends it */
    uint32_t first, last;     /* places */
    bool duplicate;           /* a host sent the packet once more at `first` */
    int64_t next_copy_ns;     /* when the next transmission of the same positions set out; 0 none */
    int64_t other_arrival_ns; /* when another one first came farther than `last`; 0 never */
    int64_t earlier_here_ns;  /* when the latest that set out before came to `last`; 0 none */
    bool other_unseen;        /* another one set out later and was seen no farther either */
};
int account(struct dp_locate *l, const struct transmission *transmission) DP_MUST_CHECK;
/* Books nothing; counts it among l->unbooked_packets where it is lost. */
void account_unbooked(struct dp_locate *l, const struct transmission *transmission);

/* ---- handover.c ---- */
/* Payload of a transmission that came to the host that ends its connection; what that host then sends on;
 * and, when all data is here, what it never sent on. */
int handover_take(struct dp_locate *l, const struct transmission *t) DP_MUST_CHECK;
void handover_give(struct dp_locate *l, const struct transmission *t);
/* Whether it is a RST that such a host sent of its own accord, as when the proxy on it dies: neither side of
 * it had closed before. */
bool handover_resets(const struct dp_locate *l, const struct transmission *t);
/* Whether a position crosses from a leg to its neighbour. */
bool handover_carries(const struct flow *flow, int half, uint32_t leg, uint32_t other_leg, uint64_t position);
int handover_finish(struct dp_locate *l) DP_MUST_CHECK;

/* ---- trace.c ---- */
/* Tells the transmission to whoever listens. */
int trace_transmission(const struct dp_locate *l, const struct transmission *transmission,
                       enum dp_fate fate) DP_MUST_CHECK;

/* ---- evidence.c ---- */
/* `half` is the half whose data is acknowledged; the digest comes from the other side. */
int evidence_acknowledge(struct dp_locate *l, struct flow *flow, int half, uint32_t vantage,
                         const struct dp_digest *digest) DP_MUST_CHECK;
/* The highest position that any vantage point saw acknowledged; 0: none. */
uint64_t evidence_highest_ack(const struct dp_locate *l, const struct half *half);
/* Whether the receiver acknowledged everything before `position` by reference time t (INT64_MAX: ever), as
 * one of the vantage points [low, high) saw it; evidence_acknowledged: as any did. */
bool evidence_acknowledged_in(const struct dp_locate *l, const struct half *half, uint32_t low, uint32_t high,
                              uint64_t position, int64_t t, int64_t *ret_when);
/* The highest position that a selective acknowledgement reported at [low, high); 0: none. */
uint64_t evidence_sacked_above(const struct half *half, uint32_t low, uint32_t high);
bool evidence_acknowledged(const struct dp_locate *l, const struct half *half, uint64_t position, int64_t t,
                           int64_t *ret_when);
int evidence_outer(struct dp_locate *l, struct flow *flow, int half,
                   const struct transmission *transmission) DP_MUST_CHECK;
int evidence_holes(struct dp_locate *l, struct flow *flow, int half) DP_MUST_CHECK;
/* Shorter lists of acknowledgements are not trimmed. */
#define ACKS_TRIMMED 1024
void evidence_trim(struct dp_locate *l, struct half *half, int64_t limit);

/* ---- pattern.c ---- */
struct pattern_result {
    enum dp_pattern pattern;
    uint32_t size_over;
    double confidence; /* that the pattern is right, given the losses */
};
struct pattern_result pattern_decide(const struct dp_locate *l, uint32_t segment,
                                     enum dp_direction direction);

/* ---- firmness.c ---- */
/* Whether most losses there are of flows of which it is known that it did not go on by another name, or end
 * there.
 */
bool losses_firm(const struct dp_locate *l, uint32_t segment, enum dp_direction d);
/* Whether no flow at all is known on both sides: a host there may as well have answered by itself. */
bool nothing_crosses(const struct dp_locate *l, uint32_t segment);
/* Whether most losses are acknowledgements of flows whose sequence numbers are rewritten on the way: what
 * they say may be rewritten as well. */
bool losses_reworded(const struct dp_locate *l, const struct side *s);

/* ---- findings.c ---- */
int findings_draw(struct dp_locate *l, struct dp_report *report) DP_MUST_CHECK;

/* ---- verdict.c ---- */
/* Orders the findings and draws the verdict; where there is no finding, says why it can't know, or that all
 * is well. */
int verdict_draw(const struct dp_locate *l, struct dp_report *report) DP_MUST_CHECK;

/* ---- report.c ---- */
/* The capture at this point is known to have dropped packets just then (reference clock). */
bool capture_dropped_at(const struct dp_locate *l, uint32_t vantage, int64_t t);
int report_build(struct dp_locate *l, struct dp_report **ret_report) DP_MUST_CHECK;

/* ---- series.c ---- */
/* Fills the report's course of time; after the segments, once the losses are reviewed. */
int series_build(const struct dp_locate *l, struct dp_report *report) DP_MUST_CHECK;

/* ---- text.c ---- */
/* Fills a finding's summary and next step. side: the losses it is about, or NULL. what: of a rewrite. */
int text_finding(const struct dp_locate *l, struct dp_finding *finding, const struct side *side,
                 const char *what) DP_MUST_CHECK;
/* A malloc'd string, or NULL. */
char *text_format(const char *format, ...) DP_PRINTF(1, 2);

#endif
