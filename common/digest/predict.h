/* What a flow leads one to expect of its next packet. Internal to digest; the encoder and the decoder run it
 * alike, so that only what differs is stored. It starts afresh in each batch. */
#ifndef DROPPOINT_COMMON_DIGEST_PREDICT_H
#define DROPPOINT_COMMON_DIGEST_PREDICT_H

#include "common/digest/digest.h"

/* One direction of a flow, as its last packet left it. */
struct dp_lane {
    uint32_t next_seq, ack, tsval, tsecr;
    uint32_t payload_len;
    uint32_t headers; /* ip_len less payload_len */
    uint16_t ip_id, window, tcp_flags;
    uint8_t ttl, bits, full_hash; /* full_hash: bytes that the hash of a long payload covers */
    bool seen;
};

struct dp_lanes {
    struct dp_lane lane[2];
};

static inline void dp_lanes_begin(struct dp_lanes *lanes)
{
    *lanes = (struct dp_lanes){.lane = {{.full_hash = DP_HASH_LEN_MAX}, {.full_hash = DP_HASH_LEN_MAX}}};
}

/* The first packet of a direction mirrors what the other one says. */
static inline void dp_lane_begin(struct dp_lane *lane, const struct dp_lane *other)
{
    lane->seen = true;
    if (!other->seen)
        return;
    *lane = *other;
    lane->next_seq = other->ack;
    lane->ack = other->next_seq;
    lane->tsval = other->tsecr;
    lane->tsecr = other->tsval;
}

static inline uint8_t dp_lane_hash_len(const struct dp_lane *lane, uint32_t payload_len)
{
    return payload_len < DP_HASH_LEN_MAX ? (uint8_t)payload_len : lane->full_hash;
}

static inline void dp_lane_update(struct dp_lane *lane, const struct dp_digest *digest)
{
    lane->next_seq = digest->seq;
    if (digest->tcp_flags) /* elsewhere there are no sequence numbers */
        lane->next_seq += digest->payload_len + (digest->tcp_flags & DP_TCP_SYN ? 1 : 0) +
                          (digest->tcp_flags & DP_TCP_FIN ? 1 : 0);
    lane->ack = digest->ack;
    if (digest->bits & DP_DIGEST_HAS_TS) {
        lane->tsval = digest->tsval;
        lane->tsecr = digest->tsecr;
    }
    lane->payload_len = digest->payload_len;
    lane->headers = digest->ip_len - digest->payload_len;
    if (digest->bits & DP_DIGEST_HAS_IP_ID)
        lane->ip_id = digest->ip_id;
    lane->window = digest->window;
    lane->tcp_flags = digest->tcp_flags;
    lane->ttl = digest->ttl;
    lane->bits = digest->bits;
    if (digest->payload_len >= DP_HASH_LEN_MAX)
        lane->full_hash = digest->hash_len;
}

#endif
