/* Writes batches: docs/batch-format.md. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/digest/columns.h"
#include "common/digest/note_text.h"
#include "common/digest/predict.h"

#define ZSTD_LEVEL 1
#define MAP_SLOTS 8192U /* twice the most flows that one batch can have */
#define MAP_SHIFT 19    /* 32 less its bits */

/* The most bytes that one item can put into a column. */
static const uint8_t widest[DP_COLUMNS] = {
    [DP_COL_MASK_LOW] = 1,
    [DP_COL_MASK_HIGH] = 1,
    [DP_COL_TIME] = 10,
    [DP_COL_FLOW] = 2,
    [DP_COL_FLOW_NUMBER] = 5,
    [DP_COL_TTL] = 1,
    [DP_COL_BITS] = 1,
    [DP_COL_APP] = 3,
    [DP_COL_MSS] = 3,
    [DP_COL_WSCALE] = 1,
    [DP_COL_FLAGS] = 2,
    [DP_COL_PAYLOAD_LEN] = 5,
    [DP_COL_IP_LEN] = 5,
    [DP_COL_HASH_LEN] = 1,
    [DP_COL_HASH] = 4,
    [DP_COL_SEQ] = 5,
    [DP_COL_ACK] = 5,
    [DP_COL_WINDOW] = 3,
    [DP_COL_TSVAL] = 5,
    [DP_COL_TSECR] = 5,
    [DP_COL_IP_ID] = 3,
    [DP_COL_SACK_COUNT] = 1,
    [DP_COL_SACK] = 10 * DP_SACK_MAX,
    [DP_COL_FLOW_DEF] = 5 + 2 + 32 + 4,
    [DP_COL_NOTE] = 10 + 5 + 1 + 1 + 2 + 2 + DP_NOTE_TEXT - 1,
    [DP_COL_GAP] = 30,
};

struct encoder {
    uint8_t *begin[DP_COLUMNS];
    uint8_t *at[DP_COLUMNS];
    struct dp_lanes *lanes; /* by local flow number */
    uint32_t *flows;        /* flow of each local number */
    uint32_t flow_count;
    uint32_t local; /* of the record before */
    uint32_t last_new;
    int64_t last_ts;
    uint16_t map[MAP_SLOTS]; /* flow to local number plus 1 */
};

static void put(struct encoder *encoder, enum dp_column column, uint64_t value)
{
    encoder->at[column] = dp_put_number(encoder->at[column], value);
}

static void put_byte(struct encoder *encoder, enum dp_column column, uint8_t value)
{
    *encoder->at[column]++ = value;
}

static void put_bytes(struct encoder *encoder, enum dp_column column, const void *bytes, size_t len)
{
    memcpy(encoder->at[column], bytes, len);
    encoder->at[column] += len;
}

static void put_difference(struct encoder *encoder, enum dp_column column, uint32_t value, uint32_t expected)
{
    put(encoder, column, dp_zigzag32(value - expected));
}

static void put_difference16(struct encoder *encoder, enum dp_column column, uint16_t value,
                             uint16_t expected)
{
    put(encoder, column, dp_zigzag32((uint32_t)(int32_t)(int16_t)(value - expected)));
}

/* Sets encoder->local to the flow's number in this batch. Returns the mask's bit. */
static unsigned encode_flow(struct encoder *encoder, uint32_t flow)
{
    if (encoder->flow_count && encoder->flows[encoder->local] == flow)
        return 0;
    size_t at = (flow * 2654435761U) >> MAP_SHIFT;
    while (encoder->map[at] && encoder->flows[encoder->map[at] - 1] != flow)
        at = (at + 1) % MAP_SLOTS;
    if (encoder->map[at]) {
        encoder->local = encoder->map[at] - 1U;
    } else {
        encoder->local = encoder->flow_count++;
        encoder->map[at] = (uint16_t)encoder->flow_count;
        encoder->flows[encoder->local] = flow;
        dp_lanes_begin(&encoder->lanes[encoder->local]);
        put_difference(encoder, DP_COL_FLOW_NUMBER, flow, encoder->last_new + 1);
        encoder->last_new = flow;
    }
    put(encoder, DP_COL_FLOW, encoder->local);
    return DP_MASK_FLOW;
}

static unsigned encode_rare(struct encoder *encoder, const struct dp_lane *lane,
                            const struct dp_digest *digest)
{
    if (digest->ttl == lane->ttl && digest->bits == lane->bits && digest->app == 0 && digest->mss == 0 &&
        digest->wscale == 0xff)
        return 0;
    put_byte(encoder, DP_COL_TTL, digest->ttl);
    put_byte(encoder, DP_COL_BITS, digest->bits);
    put(encoder, DP_COL_APP, digest->app);
    put(encoder, DP_COL_MSS, digest->mss);
    put_byte(encoder, DP_COL_WSCALE, digest->wscale);
    return DP_MASK_RARE;
}

static unsigned encode_lengths(struct encoder *encoder, const struct dp_lane *lane,
                               const struct dp_digest *digest)
{
    unsigned mask = 0;
    if (digest->payload_len != lane->payload_len) {
        put_difference(encoder, DP_COL_PAYLOAD_LEN, digest->payload_len, lane->payload_len);
        mask |= DP_MASK_PAYLOAD_LEN;
    }
    if (digest->ip_len != digest->payload_len + lane->headers) {
        put_difference(encoder, DP_COL_IP_LEN, digest->ip_len, digest->payload_len + lane->headers);
        mask |= DP_MASK_IP_LEN;
    }
    if (digest->hash_len != dp_lane_hash_len(lane, digest->payload_len)) {
        put_byte(encoder, DP_COL_HASH_LEN, digest->hash_len);
        mask |= DP_MASK_HASH_LEN;
    }
    if (digest->hash_len) {
        uint32_t hash = htole32(digest->hash);
        put_bytes(encoder, DP_COL_HASH, &hash, sizeof hash);
    }
    return mask;
}

static unsigned encode_numbers(struct encoder *encoder, const struct dp_lane *lane,
                               const struct dp_lane *other, const struct dp_digest *digest)
{
    unsigned mask = 0;
    if (digest->seq != lane->next_seq) {
        put_difference(encoder, DP_COL_SEQ, digest->seq, lane->next_seq);
        mask |= DP_MASK_SEQ;
    }
    if (digest->ack != lane->ack && digest->ack == other->next_seq) {
        mask |= DP_MASK_ACK_NEXT;
    } else if (digest->ack != lane->ack) {
        put_difference(encoder, DP_COL_ACK, digest->ack, lane->ack);
        mask |= DP_MASK_ACK;
    }
    if (digest->window != lane->window) {
        put_difference16(encoder, DP_COL_WINDOW, digest->window, lane->window);
        mask |= DP_MASK_WINDOW;
    }
    if (digest->tcp_flags != lane->tcp_flags) {
        put(encoder, DP_COL_FLAGS, digest->tcp_flags);
        mask |= DP_MASK_FLAGS;
    }
    return mask;
}

static unsigned encode_marks(struct encoder *encoder, const struct dp_lane *lane, const struct dp_lane *other,
                             const struct dp_digest *digest)
{
    unsigned mask = 0;
    if (digest->bits & DP_DIGEST_HAS_IP_ID && digest->ip_id != (uint16_t)(lane->ip_id + 1)) {
        put_difference16(encoder, DP_COL_IP_ID, digest->ip_id, (uint16_t)(lane->ip_id + 1));
        mask |= DP_MASK_IP_ID;
    }
    if (!(digest->bits & DP_DIGEST_HAS_TS))
        return mask;
    if (digest->tsval != lane->tsval) {
        put_difference(encoder, DP_COL_TSVAL, digest->tsval, lane->tsval);
        mask |= DP_MASK_TSVAL;
    }
    if (digest->tsecr != lane->tsecr && digest->tsecr == other->tsval) {
        mask |= DP_MASK_TSECR_LAST;
    } else if (digest->tsecr != lane->tsecr) {
        put_difference(encoder, DP_COL_TSECR, digest->tsecr, lane->tsecr);
        mask |= DP_MASK_TSECR;
    }
    return mask;
}

/* Blocks lie close to the acknowledgement and to each other. */
static unsigned encode_sack(struct encoder *encoder, const struct dp_digest *digest)
{
    if (digest->sack_count == 0)
        return 0;
    put_byte(encoder, DP_COL_SACK_COUNT, digest->sack_count);
    uint32_t near = digest->ack;
    for (size_t i = 0; i < digest->sack_count; i++) {
        put_difference(encoder, DP_COL_SACK, digest->sack[i][0], near);
        put_difference(encoder, DP_COL_SACK, digest->sack[i][1], digest->sack[i][0]);
        near = digest->sack[i][0];
    }
    return DP_MASK_SACK;
}

static bool valid(const struct dp_digest *digest)
{
    return digest->dir <= 1 && !(digest->bits & ~DP_DIGEST_BITS_KNOWN) &&
           digest->hash_len <= DP_HASH_LEN_MAX && digest->hash_len <= digest->payload_len &&
           digest->tcp_flags <= DP_TCP_FLAGS_KNOWN && digest->sack_count <= DP_SACK_MAX;
}

static int encode_digest(struct encoder *encoder, const struct dp_digest *digest)
{
    if (!valid(digest))
        return DP_ERR_RANGE;
    put(encoder, DP_COL_TIME, dp_zigzag((uint64_t)digest->ts_ns - (uint64_t)encoder->last_ts));
    encoder->last_ts = digest->ts_ns;
    unsigned mask = encode_flow(encoder, digest->flow);
    if (digest->dir)
        mask |= DP_MASK_DIR;
    struct dp_lane *lane = &encoder->lanes[encoder->local].lane[digest->dir];
    const struct dp_lane *other = &encoder->lanes[encoder->local].lane[!digest->dir];
    if (!lane->seen)
        dp_lane_begin(lane, other);
    mask |= encode_rare(encoder, lane, digest);
    mask |= encode_lengths(encoder, lane, digest);
    mask |= encode_numbers(encoder, lane, other, digest);
    mask |= encode_marks(encoder, lane, other, digest);
    mask |= encode_sack(encoder, digest);
    put_byte(encoder, DP_COL_MASK_LOW, (uint8_t)mask);
    put_byte(encoder, DP_COL_MASK_HIGH, (uint8_t)(mask >> 8));
    dp_lane_update(lane, digest);
    return DP_OK;
}

static int encode_flow_defs(struct encoder *encoder, const struct dp_batch *batch)
{
    uint32_t expected = 0;
    for (size_t i = 0; i < batch->flow_count; i++) {
        const struct dp_flow_def *def = &batch->flows[i];
        if (def->a.family != def->b.family || (def->a.family != 4 && def->a.family != 6))
            return DP_ERR_RANGE;
        size_t size = def->a.family == 4 ? 4 : 16;
        const uint8_t ports[4] = {(uint8_t)(def->a_port >> 8), (uint8_t)def->a_port,
                                  (uint8_t)(def->b_port >> 8), (uint8_t)def->b_port};
        put_difference(encoder, DP_COL_FLOW_DEF, def->flow, expected);
        put_byte(encoder, DP_COL_FLOW_DEF, def->proto);
        put_byte(encoder, DP_COL_FLOW_DEF, def->a.family);
        put_bytes(encoder, DP_COL_FLOW_DEF, def->a.bytes, size);
        put_bytes(encoder, DP_COL_FLOW_DEF, def->b.bytes, size);
        put_bytes(encoder, DP_COL_FLOW_DEF, ports, sizeof ports);
        expected = def->flow + 1;
    }
    return DP_OK;
}

static int put_reply(struct encoder *encoder, const struct dp_note *note)
{
    size_t len = strnlen(note->text, DP_NOTE_TEXT);
    if (note->code < 400 || note->code > 599 || !dp_note_text_valid((const uint8_t *)note->text, len))
        return DP_ERR_RANGE;
    put(encoder, DP_COL_NOTE, note->code);
    put(encoder, DP_COL_NOTE, len);
    put_bytes(encoder, DP_COL_NOTE, note->text, len);
    return DP_OK;
}

static int put_proxied(struct encoder *encoder, const struct dp_note *note)
{
    if ((note->from.family != 4 && note->from.family != 6) || note->to.family != note->from.family ||
        note->len > DP_NOTE_PROXIED_MOST)
        return DP_ERR_RANGE;
    size_t size = note->from.family == 4 ? 4 : 16;
    put_byte(encoder, DP_COL_NOTE, note->from.family);
    put_bytes(encoder, DP_COL_NOTE, note->from.bytes, size);
    put_bytes(encoder, DP_COL_NOTE, note->to.bytes, size);
    put(encoder, DP_COL_NOTE, note->from_port);
    put(encoder, DP_COL_NOTE, note->to_port);
    put(encoder, DP_COL_NOTE, note->seq);
    put(encoder, DP_COL_NOTE, note->len);
    return DP_OK;
}

static int put_note(struct encoder *encoder, const struct dp_note *note)
{
    switch (note->kind) {
    case DP_NOTE_REPLY:
        return put_reply(encoder, note);
    case DP_NOTE_PROXIED:
        return put_proxied(encoder, note);
    default:
        put(encoder, DP_COL_NOTE, note->seq);
        put(encoder, DP_COL_NOTE, note->value);
        return DP_OK;
    }
}

static int encode_notes(struct encoder *encoder, const struct dp_batch *batch)
{
    uint64_t last = 0;
    for (size_t i = 0; i < batch->note_count; i++) {
        const struct dp_note *note = &batch->notes[i];
        if (note->dir > 1 || note->kind >= DP_NOTE_KINDS)
            return DP_ERR_RANGE;
        put(encoder, DP_COL_NOTE, dp_zigzag((uint64_t)note->ts_ns - last));
        put(encoder, DP_COL_NOTE, note->flow);
        put_byte(encoder, DP_COL_NOTE, note->dir);
        put_byte(encoder, DP_COL_NOTE, note->kind);
        int rc = put_note(encoder, note);
        if (rc)
            return rc;
        last = (uint64_t)note->ts_ns;
    }
    return DP_OK;
}

static void encode_gaps(struct encoder *encoder, const struct dp_batch *batch)
{
    uint64_t last = 0;
    for (size_t i = 0; i < batch->gap_count; i++) {
        const struct dp_gap *gap = &batch->gaps[i];
        put(encoder, DP_COL_GAP, dp_zigzag((uint64_t)gap->from_ns - last));
        put(encoder, DP_COL_GAP, dp_zigzag((uint64_t)gap->to_ns - (uint64_t)gap->from_ns));
        put(encoder, DP_COL_GAP, gap->packets);
        last = (uint64_t)gap->from_ns;
    }
}

static int encode_columns(struct encoder *encoder, const struct dp_batch *batch)
{
    int rc = DP_OK;
    for (size_t i = 0; i < batch->digest_count && rc == DP_OK; i++)
        rc = encode_digest(encoder, &batch->digests[i]);
    if (rc == DP_OK)
        rc = encode_flow_defs(encoder, batch);
    if (rc == DP_OK)
        rc = encode_notes(encoder, batch);
    if (rc == DP_OK)
        encode_gaps(encoder, batch);
    return rc;
}

/* One block of memory: the encoder, its tables, the columns. Most of it is never touched. */
static struct encoder *encoder_new(const struct dp_batch *batch)
{
    size_t digests = batch->digest_count;
    size_t size = sizeof(struct encoder) + digests * (sizeof(struct dp_lanes) + sizeof(uint32_t));
    size_t columns = size;
    size_t items[DP_COLUMNS];
    for (size_t c = 0; c < DP_COLUMNS; c++) {
        items[c] = c == DP_COL_FLOW_DEF ? batch->flow_count
                   : c == DP_COL_NOTE   ? batch->note_count
                   : c == DP_COL_GAP    ? batch->gap_count
                                        : digests;
        size += items[c] * widest[c];
    }
    struct encoder *encoder = malloc(size);
    if (!encoder)
        return NULL;
    memset(encoder, 0, sizeof *encoder);
    encoder->lanes = (struct dp_lanes *)(encoder + 1);
    encoder->flows = (uint32_t *)(encoder->lanes + digests);
    uint8_t *at = (uint8_t *)encoder + columns;
    for (size_t c = 0; c < DP_COLUMNS; c++) {
        encoder->begin[c] = encoder->at[c] = at;
        at += items[c] * widest[c];
    }
    return encoder;
}

static uint8_t *put_header(uint8_t *at, const struct dp_batch *batch)
{
    memcpy(at, DP_BATCH_MAGIC, DP_BATCH_MAGIC_SIZE);
    at += DP_BATCH_MAGIC_SIZE;
    at = dp_put_number(at, batch->digest_count);
    at = dp_put_number(at, batch->flow_count);
    at = dp_put_number(at, batch->note_count);
    at = dp_put_number(at, batch->gap_count);
    at = dp_put_number(at, batch->other_packets);
    return dp_put_number(at, (uint64_t)batch->complete_ns);
}

/* Header, then the columns' lengths and the columns, compressed. */
static int pack(const struct encoder *encoder, const struct dp_batch *batch, uint8_t **ret_bytes,
                size_t *ret_len)
{
    enum { HEADER_MAX = DP_BATCH_MAGIC_SIZE + 6 * 10, LENGTHS_MAX = DP_COLUMNS * 10 };
    size_t raw_max = LENGTHS_MAX;
    for (size_t c = 0; c < DP_COLUMNS; c++)
        raw_max += (size_t)(encoder->at[c] - encoder->begin[c]);
    size_t packed_max = ZSTD_compressBound(raw_max);
    uint8_t *raw = malloc(raw_max);
    uint8_t *bytes = malloc(HEADER_MAX + packed_max);
    int rc = DP_ERR_NOMEM;
    if (raw && bytes) {
        uint8_t *at = raw;
        for (size_t c = 0; c < DP_COLUMNS; c++)
            at = dp_put_number(at, (uint64_t)(encoder->at[c] - encoder->begin[c]));
        for (size_t c = 0; c < DP_COLUMNS; c++) {
            size_t len = (size_t)(encoder->at[c] - encoder->begin[c]);
            memcpy(at, encoder->begin[c], len);
            at += len;
        }
        uint8_t *packed = put_header(bytes, batch);
        size_t len = ZSTD_compress(packed, packed_max, raw, (size_t)(at - raw), ZSTD_LEVEL);
        size_t total = (size_t)(packed - bytes) + len;
        rc = ZSTD_isError(len) ? DP_ERR_NOMEM : total > DP_BATCH_MAX_BYTES ? DP_ERR_FULL : DP_OK;
        *ret_len = rc ? *ret_len : total;
    }
    free(raw);
    if (rc)
        free(bytes);
    else
        *ret_bytes = bytes;
    return rc;
}

int dp_batch_encode(const struct dp_batch *batch, uint8_t **ret_bytes, size_t *ret_len)
{
    if (batch->digest_count > DP_BATCH_MAX_RECORDS || batch->flow_count > DP_BATCH_MAX_RECORDS ||
        batch->note_count > DP_BATCH_MAX_RECORDS || batch->gap_count > DP_BATCH_MAX_RECORDS ||
        batch->complete_ns < 0 || batch->complete_ns > DP_BATCH_MAX_TIME)
        return DP_ERR_RANGE;
    struct encoder *encoder = encoder_new(batch);
    if (!encoder)
        return DP_ERR_NOMEM;
    int rc = encode_columns(encoder, batch);
    if (rc == DP_OK)
        rc = pack(encoder, batch, ret_bytes, ret_len);
    free(encoder);
    return rc;
}
