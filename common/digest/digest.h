/* The digest: the small record of one packet that leaves the agent instead of the packet, and the batch that
 * carries many of them. Live agents and the offline command make them with the same code. Free of I/O. */
#ifndef DROPPOINT_COMMON_DIGEST_DIGEST_H
#define DROPPOINT_COMMON_DIGEST_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "common/packet/packet.h"

/* What a client's SMTP line or a server's reply is, where SMTP is in the clear (RFC 5321). In dp_digest.app:
 * 0 nothing recognised; 200 to 599 a reply code with which the payload begins; 1000 + verb for a command
 * line. */
enum dp_smtp_verb {
    DP_SMTP_HELO = 1000,
    DP_SMTP_EHLO,
    DP_SMTP_MAIL,
    DP_SMTP_RCPT,
    DP_SMTP_DATA,
    DP_SMTP_BDAT,
    DP_SMTP_RSET,
    DP_SMTP_NOOP,
    DP_SMTP_QUIT,
    DP_SMTP_VRFY,
    DP_SMTP_AUTH,
    DP_SMTP_STARTTLS,
    DP_SMTP_CONTENT,     /* the first packet of a message's content, behind the reply 354 */
    DP_SMTP_END_OF_DATA, /* the payload ends with CRLF . CRLF, or with that and a QUIT pipelined behind it */
};

enum dp_digest_bit {
    DP_DIGEST_HAS_TS = 0x01,    /* tsval and tsecr are valid */
    DP_DIGEST_HAS_IP_ID = 0x02, /* ip_id is valid */
    DP_DIGEST_FRAGMENT = 0x04,  /* part of a fragmented datagram: not followed further */
    DP_DIGEST_SACK_PERMITTED = 0x08,
    DP_DIGEST_OPTIONS_CUT = 0x10, /* only a part of the TCP options was captured */
};

struct dp_digest {
    int64_t ts_ns; /* since the Unix epoch, by the clock of the vantage point */
    uint32_t flow; /* number of the flow at this vantage point, see dp_flow_def */
    uint8_t dir;   /* 0: from the flow's a to its b, 1: from b to a */
    uint8_t bits;  /* dp_digest_bit */
    uint8_t ttl;
    uint8_t hash_len; /* payload bytes that `hash` covers: 0, 8, 16, 32 or 64 (the largest that is captured),
                         or all where payload_len < 64 and all is captured */
    uint32_t seq, ack;
    uint32_t payload_len;
    uint32_t ip_len;
    uint32_t hash; /* keyed hash (SipHash, lower half) of the payload's first hash_len bytes; 0 where hash_len
                      is 0 */
    uint32_t tsval, tsecr;
    uint16_t tcp_flags; /* dp_tcp_flag; 0 where not TCP */
    uint16_t window;
    uint16_t ip_id;
    uint16_t app;   /* dp_smtp_verb and reply codes; ICMP: type << 8 | code */
    uint16_t mss;   /* of a SYN; 0 none */
    uint8_t wscale; /* of a SYN; 0xff none */
    uint8_t sack_count;
    uint32_t sack[DP_SACK_MAX][2];
};

/* A flow as one vantage point sees it. `a` sent the first packet that was seen. */
struct dp_flow_def {
    uint32_t flow; /* counted from 0 at each vantage point */
    uint8_t proto;
    struct dp_addr a, b;
    uint16_t a_port, b_port;
};

/* What a packet says beyond its digest. Of what a client sends only keyed hashes leave the agent, and the
 * addresses in a PROXY protocol header. */
enum dp_note_kind {
    DP_NOTE_REPLY,       /* an SMTP server's reply 4xx or 5xx: code and text */
    DP_NOTE_MESSAGE_ID,  /* in a message's header */
    DP_NOTE_QUEUE_ID,    /* that a server gave a message in its reply 250 */
    DP_NOTE_RECEIVED_ID, /* in a Received line of a message's header */
    DP_NOTE_PROXIED,     /* a PROXY protocol header: the connection that is carried on here */
    DP_NOTE_KINDS,
};
#define DP_NOTE_TEXT 200
#define DP_NOTE_PROXIED_MOST (16 + 65535) /* bytes of a PROXY protocol header */
struct dp_note {
    int64_t ts_ns;
    uint32_t flow;
    uint8_t dir;
    uint8_t kind;            /* dp_note_kind */
    uint16_t code;           /* of a reply */
    uint32_t seq;            /* sequence number of what it speaks of: the line, the header; 0 of a reply */
    uint32_t len;            /* of a PROXY protocol header, bytes; the proxied stream follows */
    uint64_t value;          /* keyed hash (SipHash) of an ID */
    struct dp_addr from, to; /* of the proxied connection */
    uint16_t from_port, to_port;
    char text[DP_NOTE_TEXT]; /* a reply's, without code and line end, control characters replaced; terminated
                              */
};

/* Packets that the capture itself lost between two moments: kernel drops, spool overflow, a crash. */
struct dp_gap {
    int64_t from_ns, to_ns;
    uint64_t packets; /* 0: unknown number, at least one */
};

/* One vantage point's records in order of capture. Growing arrays, owned by the batch. */
struct dp_batch {
    struct dp_digest *digests;
    struct dp_flow_def *flows; /* those first used by this batch's digests */
    struct dp_note *notes;
    struct dp_gap *gaps;
    size_t digest_count, flow_count, note_count, gap_count;
    size_t digest_room, flow_room, note_room, gap_room;
    uint64_t other_packets; /* seen, but not IP or not decodable */
    /* Everything that was captured up to this moment, by the vantage point's clock, is in this batch or in
     * those before it, as digests or as a gap. 0: no more is said than the digests themselves show. So a
     * point that sees nothing still gets on. 0 to DP_BATCH_MAX_TIME. */
    int64_t complete_ns;
};

void dp_batch_clear(struct dp_batch *batch); /* empties, keeps the memory */
void dp_batch_free(struct dp_batch *batch);  /* frees the arrays; the struct is the caller's */
int dp_batch_add_gap(struct dp_batch *batch, int64_t from_ns, int64_t to_ns, uint64_t packets) DP_MUST_CHECK;

#define DP_HASH_KEY_SIZE 16

/* Makes the digests of one vantage point. Holds its flow table, which only grows, up to this bound. */
#define DP_DIGEST_MAX_FLOWS (4U * 1024 * 1024)
/* Refusals beyond this in one batch are not noted, so that no server can make a batch too large to send. */
#define DP_BATCH_MAX_NOTES 1024
struct dp_digester;

/* key: new for each capture, the same at all its vantage points. Takes random bytes from the system.
 * DP_ERR_NOMEM. */
int dp_digester_new(const uint8_t key[DP_HASH_KEY_SIZE], struct dp_digester **ret_digester) DP_MUST_CHECK;
void dp_digester_free(struct dp_digester *digester);

/* Digests one frame into batch (appends). 0 also for frames that are not ours: they count as other_packets.
 * DP_ERR_NOMEM; DP_ERR_FULL: a new flow beyond DP_DIGEST_MAX_FLOWS, known ones go on. The batch is untouched
 * then. */
int dp_digester_frame(struct dp_digester *digester, int link_type, int64_t ts_ns, const uint8_t *frame,
                      size_t captured, size_t wire_len, struct dp_batch *batch) DP_MUST_CHECK;

/* After data was lost between maker and reader: the next batches define their flows anew. */
void dp_digester_restate_flows(struct dp_digester *digester);

/* The batch codec: columns, differences to what the flow leads one to expect, zstd; at most 24 bytes a packet
 * of bulk TCP with timestamps. Each encoded batch can be decoded by itself. Encoded form:
 * docs/batch-format.md. */
#define DP_BATCH_MAX_RECORDS 4096
#define DP_BATCH_MAX_BYTES (1024 * 1024)
#define DP_BATCH_MAX_TIME (INT64_MAX / 2) /* in the year 2116: room to calculate with */

/* Encodes up to DP_BATCH_MAX_RECORDS digests (and as many of the others). *ret_bytes is malloc'd, the caller
 * frees it. */
int dp_batch_encode(const struct dp_batch *batch, uint8_t **ret_bytes, size_t *ret_len) DP_MUST_CHECK;

/* Decodes into `batch` (cleared first). Every count, enum and length is validated; DP_ERR_FORMAT with diag
 * naming what. */
int dp_batch_decode(const uint8_t *bytes, size_t len, struct dp_batch *batch,
                    struct dp_diag *diag) DP_MUST_CHECK;

#endif
