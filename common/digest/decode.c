/* Reads batches (docs/batch-format.md). The bytes come from outside: nothing is believed before it is
 * checked. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/digest/columns.h"
#include "common/digest/note_text.h"
#include "common/digest/predict.h"
#include "common/digest/room.h"

static const char *const names[DP_COLUMNS] = {
    [DP_COL_MASK_LOW] = "mask",
    [DP_COL_MASK_HIGH] = "mask",
    [DP_COL_TIME] = "time",
    [DP_COL_FLOW] = "flow",
    [DP_COL_FLOW_NUMBER] = "flow number",
    [DP_COL_TTL] = "TTL",
    [DP_COL_BITS] = "bits",
    [DP_COL_APP] = "application",
    [DP_COL_MSS] = "MSS",
    [DP_COL_WSCALE] = "window scale",
    [DP_COL_FLAGS] = "TCP flags",
    [DP_COL_PAYLOAD_LEN] = "payload length",
    [DP_COL_IP_LEN] = "IP length",
    [DP_COL_HASH_LEN] = "hash length",
    [DP_COL_HASH] = "hash",
    [DP_COL_SEQ] = "sequence number",
    [DP_COL_ACK] = "acknowledgement",
    [DP_COL_WINDOW] = "window",
    [DP_COL_TSVAL] = "timestamp",
    [DP_COL_TSECR] = "timestamp echo",
    [DP_COL_IP_ID] = "IP ID",
    [DP_COL_SACK_COUNT] = "SACK count",
    [DP_COL_SACK] = "SACK",
    [DP_COL_FLOW_DEF] = "flow definition",
    [DP_COL_NOTE] = "note",
    [DP_COL_GAP] = "gap",
};

struct counts {
    size_t digests, flows, notes, gaps;
    uint64_t other_packets;
    uint64_t complete_ns; /* the header's time rides along */
};

/* Reading goes on with zeros behind the first bad column; each record checks `bad` once. */
struct decoder {
    struct dp_reader column[DP_COLUMNS];
    int bad; /* the column that doesn't hold what it should; -1 none */
    struct dp_lanes *lanes;
    uint32_t *flows;
    uint32_t flow_count, local, last_new;
    uint64_t last_ts;
};

static uint64_t get(struct decoder *decoder, enum dp_column column, uint64_t max)
{
    uint64_t value = 0;
    if (dp_get_number(&decoder->column[column], max, &value))
        return value;
    if (decoder->bad < 0)
        decoder->bad = (int)column;
    return 0;
}

static const uint8_t *get_bytes(struct decoder *decoder, enum dp_column column, size_t len)
{
    struct dp_reader *reader = &decoder->column[column];
    if ((size_t)(reader->end - reader->at) >= len) {
        reader->at += len;
        return reader->at - len;
    }
    if (decoder->bad < 0)
        decoder->bad = (int)column;
    return NULL;
}

static uint8_t get_byte(struct decoder *decoder, enum dp_column column, uint8_t max)
{
    const uint8_t *at = get_bytes(decoder, column, 1);
    if (!at)
        return 0;
    if (*at > max && decoder->bad < 0)
        decoder->bad = (int)column;
    return *at > max ? 0 : *at;
}

static uint32_t get_difference(struct decoder *decoder, enum dp_column column, uint32_t expected)
{
    return expected + dp_unzigzag32((uint32_t)get(decoder, column, UINT32_MAX));
}

static uint16_t get_difference16(struct decoder *decoder, enum dp_column column, uint16_t expected)
{
    return (uint16_t)(expected + dp_unzigzag32((uint32_t)get(decoder, column, UINT16_MAX)));
}

static void decode_flow(struct decoder *decoder)
{
    uint32_t local = (uint32_t)get(decoder, DP_COL_FLOW, decoder->flow_count);
    if (local == decoder->flow_count) {
        decoder->last_new = get_difference(decoder, DP_COL_FLOW_NUMBER, decoder->last_new + 1);
        decoder->flows[local] = decoder->last_new;
        dp_lanes_begin(&decoder->lanes[local]);
        decoder->flow_count++;
    }
    decoder->local = local;
}

static void decode_rare(struct decoder *decoder, unsigned mask, const struct dp_lane *lane,
                        struct dp_digest *digest)
{
    digest->ttl = lane->ttl;
    digest->bits = lane->bits;
    digest->wscale = 0xff;
    if (!(mask & DP_MASK_RARE))
        return;
    digest->ttl = get_byte(decoder, DP_COL_TTL, UINT8_MAX);
    digest->bits = get_byte(decoder, DP_COL_BITS, DP_DIGEST_BITS_KNOWN);
    digest->app = (uint16_t)get(decoder, DP_COL_APP, UINT16_MAX);
    digest->mss = (uint16_t)get(decoder, DP_COL_MSS, UINT16_MAX);
    digest->wscale = get_byte(decoder, DP_COL_WSCALE, UINT8_MAX);
}

static void decode_lengths(struct decoder *decoder, unsigned mask, const struct dp_lane *lane,
                           struct dp_digest *digest)
{
    digest->payload_len = lane->payload_len;
    if (mask & DP_MASK_PAYLOAD_LEN)
        digest->payload_len = get_difference(decoder, DP_COL_PAYLOAD_LEN, lane->payload_len);
    digest->ip_len = digest->payload_len + lane->headers;
    if (mask & DP_MASK_IP_LEN)
        digest->ip_len = get_difference(decoder, DP_COL_IP_LEN, digest->ip_len);
    digest->hash_len = dp_lane_hash_len(lane, digest->payload_len);
    if (mask & DP_MASK_HASH_LEN)
        digest->hash_len = get_byte(decoder, DP_COL_HASH_LEN, DP_HASH_LEN_MAX);
    if (digest->hash_len > digest->payload_len && decoder->bad < 0)
        decoder->bad = DP_COL_HASH_LEN;
    if (!digest->hash_len)
        return;
    uint32_t hash = 0;
    const uint8_t *at = get_bytes(decoder, DP_COL_HASH, sizeof hash);
    if (at)
        memcpy(&hash, at, sizeof hash);
    digest->hash = le32toh(hash);
}

static void decode_numbers(struct decoder *decoder, unsigned mask, const struct dp_lane *lane,
                           const struct dp_lane *other, struct dp_digest *digest)
{
    digest->seq = lane->next_seq;
    if (mask & DP_MASK_SEQ)
        digest->seq = get_difference(decoder, DP_COL_SEQ, lane->next_seq);
    digest->ack = lane->ack;
    if (mask & DP_MASK_ACK)
        digest->ack = get_difference(decoder, DP_COL_ACK, lane->ack);
    else if (mask & DP_MASK_ACK_NEXT)
        digest->ack = other->next_seq;
    digest->window = lane->window;
    if (mask & DP_MASK_WINDOW)
        digest->window = get_difference16(decoder, DP_COL_WINDOW, lane->window);
    digest->tcp_flags = lane->tcp_flags;
    if (mask & DP_MASK_FLAGS)
        digest->tcp_flags = (uint16_t)get(decoder, DP_COL_FLAGS, DP_TCP_FLAGS_KNOWN);
}

static void decode_marks(struct decoder *decoder, unsigned mask, const struct dp_lane *lane,
                         const struct dp_lane *other, struct dp_digest *digest)
{
    if (digest->bits & DP_DIGEST_HAS_IP_ID) {
        digest->ip_id = (uint16_t)(lane->ip_id + 1);
        if (mask & DP_MASK_IP_ID)
            digest->ip_id = get_difference16(decoder, DP_COL_IP_ID, digest->ip_id);
    }
    if (!(digest->bits & DP_DIGEST_HAS_TS))
        return;
    digest->tsval = lane->tsval;
    if (mask & DP_MASK_TSVAL)
        digest->tsval = get_difference(decoder, DP_COL_TSVAL, lane->tsval);
    digest->tsecr = lane->tsecr;
    if (mask & DP_MASK_TSECR)
        digest->tsecr = get_difference(decoder, DP_COL_TSECR, lane->tsecr);
    else if (mask & DP_MASK_TSECR_LAST)
        digest->tsecr = other->tsval;
}

static void decode_sack(struct decoder *decoder, unsigned mask, struct dp_digest *digest)
{
    if (!(mask & DP_MASK_SACK))
        return;
    digest->sack_count = get_byte(decoder, DP_COL_SACK_COUNT, DP_SACK_MAX);
    uint32_t near = digest->ack;
    for (size_t i = 0; i < digest->sack_count; i++) {
        near = digest->sack[i][0] = get_difference(decoder, DP_COL_SACK, near);
        digest->sack[i][1] = get_difference(decoder, DP_COL_SACK, near);
    }
}

static void decode_digest(struct decoder *decoder, struct dp_digest *digest)
{
    *digest = (struct dp_digest){0};
    unsigned mask = get_byte(decoder, DP_COL_MASK_LOW, UINT8_MAX);
    mask |= (unsigned)get_byte(decoder, DP_COL_MASK_HIGH, UINT8_MAX) << 8;
    decoder->last_ts += dp_unzigzag(get(decoder, DP_COL_TIME, UINT64_MAX));
    if (mask & DP_MASK_FLOW)
        decode_flow(decoder);
    if (decoder->flow_count == 0)
        decoder->bad = DP_COL_FLOW; /* the first record names no flow */
    if (decoder->bad >= 0)
        return;
    digest->ts_ns = (int64_t)decoder->last_ts;
    digest->flow = decoder->flows[decoder->local];
    digest->dir = mask & DP_MASK_DIR ? 1 : 0;
    struct dp_lane *lane = &decoder->lanes[decoder->local].lane[digest->dir];
    const struct dp_lane *other = &decoder->lanes[decoder->local].lane[!digest->dir];
    if (!lane->seen)
        dp_lane_begin(lane, other);
    decode_rare(decoder, mask, lane, digest);
    decode_lengths(decoder, mask, lane, digest);
    decode_numbers(decoder, mask, lane, other, digest);
    decode_marks(decoder, mask, lane, other, digest);
    decode_sack(decoder, mask, digest);
    dp_lane_update(lane, digest);
}

static void decode_flow_def(struct decoder *decoder, uint32_t expected, struct dp_flow_def *def)
{
    *def = (struct dp_flow_def){.flow = get_difference(decoder, DP_COL_FLOW_DEF, expected)};
    def->proto = get_byte(decoder, DP_COL_FLOW_DEF, UINT8_MAX);
    uint8_t family = get_byte(decoder, DP_COL_FLOW_DEF, 6);
    if (family != 4 && family != 6) {
        decoder->bad = DP_COL_FLOW_DEF;
        return;
    }
    size_t size = family == 4 ? 4 : 16;
    const uint8_t *at = get_bytes(decoder, DP_COL_FLOW_DEF, 2 * size + 4);
    if (!at)
        return;
    def->a.family = def->b.family = family;
    memcpy(def->a.bytes, at, size);
    memcpy(def->b.bytes, at + size, size);
    at += 2 * size;
    def->a_port = (uint16_t)(at[0] << 8 | at[1]);
    def->b_port = (uint16_t)(at[2] << 8 | at[3]);
}

static void get_reply(struct decoder *decoder, struct dp_note *note)
{
    note->code = (uint16_t)get(decoder, DP_COL_NOTE, 599);
    size_t len = (size_t)get(decoder, DP_COL_NOTE, DP_NOTE_TEXT - 1);
    const uint8_t *text = get_bytes(decoder, DP_COL_NOTE, len);
    if (text && note->code >= 400 && dp_note_text_valid(text, len))
        memcpy(note->text, text, len);
    else
        decoder->bad = DP_COL_NOTE;
}

static void get_proxied(struct decoder *decoder, struct dp_note *note)
{
    uint8_t family = get_byte(decoder, DP_COL_NOTE, 6);
    size_t size = family == 4 ? 4 : 16;
    const uint8_t *from = get_bytes(decoder, DP_COL_NOTE, size), *to = get_bytes(decoder, DP_COL_NOTE, size);
    if ((family != 4 && family != 6) || !from || !to) {
        decoder->bad = DP_COL_NOTE;
        return;
    }
    note->from.family = note->to.family = family;
    memcpy(note->from.bytes, from, size);
    memcpy(note->to.bytes, to, size);
    note->from_port = (uint16_t)get(decoder, DP_COL_NOTE, UINT16_MAX);
    note->to_port = (uint16_t)get(decoder, DP_COL_NOTE, UINT16_MAX);
    note->seq = (uint32_t)get(decoder, DP_COL_NOTE, UINT32_MAX);
    note->len = (uint32_t)get(decoder, DP_COL_NOTE, DP_NOTE_PROXIED_MOST);
}

static void decode_note(struct decoder *decoder, uint64_t last, struct dp_note *note)
{
    *note = (struct dp_note){.ts_ns = (int64_t)(last + dp_unzigzag(get(decoder, DP_COL_NOTE, UINT64_MAX)))};
    note->flow = (uint32_t)get(decoder, DP_COL_NOTE, UINT32_MAX);
    note->dir = get_byte(decoder, DP_COL_NOTE, 1);
    note->kind = get_byte(decoder, DP_COL_NOTE, DP_NOTE_KINDS - 1);
    if (note->kind == DP_NOTE_REPLY) {
        get_reply(decoder, note);
    } else if (note->kind == DP_NOTE_PROXIED) {
        get_proxied(decoder, note);
    } else {
        note->seq = (uint32_t)get(decoder, DP_COL_NOTE, UINT32_MAX);
        note->value = get(decoder, DP_COL_NOTE, UINT64_MAX);
    }
}

static void decode_gap(struct decoder *decoder, uint64_t last, struct dp_gap *gap)
{
    uint64_t from = last + dp_unzigzag(get(decoder, DP_COL_GAP, UINT64_MAX));
    gap->from_ns = (int64_t)from;
    gap->to_ns = (int64_t)(from + dp_unzigzag(get(decoder, DP_COL_GAP, UINT64_MAX)));
    gap->packets = get(decoder, DP_COL_GAP, UINT64_MAX);
}

static int bad_item(const struct decoder *decoder, const char *what, size_t item, struct dp_diag *diag)
{
    return dp_fail(diag, DP_ERR_FORMAT,
                   "The digest batch is corrupt: %s %zu has a bad value in column \"%s\".", what, item,
                   names[decoder->bad]);
}

static int decode_items(struct decoder *decoder, const struct counts *counts, struct dp_batch *batch,
                        struct dp_diag *diag)
{
    for (size_t i = 0; i < counts->digests; i++) {
        decode_digest(decoder, &batch->digests[i]);
        if (decoder->bad >= 0)
            return bad_item(decoder, "digest", i, diag);
    }
    for (size_t i = 0; i < counts->flows; i++) {
        decode_flow_def(decoder, i ? batch->flows[i - 1].flow + 1 : 0, &batch->flows[i]);
        if (decoder->bad >= 0)
            return bad_item(decoder, "flow", i, diag);
    }
    for (size_t i = 0; i < counts->notes; i++) {
        decode_note(decoder, i ? (uint64_t)batch->notes[i - 1].ts_ns : 0, &batch->notes[i]);
        if (decoder->bad >= 0)
            return bad_item(decoder, "note", i, diag);
    }
    for (size_t i = 0; i < counts->gaps; i++) {
        decode_gap(decoder, i ? (uint64_t)batch->gaps[i - 1].from_ns : 0, &batch->gaps[i]);
        if (decoder->bad >= 0)
            return bad_item(decoder, "gap", i, diag);
    }
    for (size_t c = 0; c < DP_COLUMNS; c++)
        if (decoder->column[c].at != decoder->column[c].end)
            return dp_fail(diag, DP_ERR_FORMAT,
                           "The digest batch is corrupt: column \"%s\" has %zu bytes too many.", names[c],
                           (size_t)(decoder->column[c].end - decoder->column[c].at));
    return DP_OK;
}

static int split_columns(const uint8_t *raw, size_t len, struct decoder *decoder, struct dp_diag *diag)
{
    struct dp_reader reader = {raw, raw + len};
    uint64_t lens[DP_COLUMNS];
    for (size_t c = 0; c < DP_COLUMNS; c++)
        if (!dp_get_number(&reader, len, &lens[c]))
            return dp_fail(diag, DP_ERR_FORMAT,
                           "The digest batch is corrupt: the length of column \"%s\" is bad.", names[c]);
    for (size_t c = 0; c < DP_COLUMNS; c++) {
        if (lens[c] > (size_t)(reader.end - reader.at))
            return dp_fail(diag, DP_ERR_FORMAT,
                           "The digest batch is corrupt: column \"%s\" is longer than the batch.", names[c]);
        decoder->column[c] = (struct dp_reader){reader.at, reader.at + lens[c]};
        reader.at += lens[c];
    }
    if (reader.at != reader.end)
        return dp_fail(diag, DP_ERR_FORMAT, "The digest batch is corrupt: %zu bytes follow its columns.",
                       (size_t)(reader.end - reader.at));
    return DP_OK;
}

static int decode_columns(const uint8_t *raw, size_t len, const struct counts *counts, struct dp_batch *batch,
                          struct dp_diag *diag)
{
    struct decoder decoder = {.bad = -1};
    int rc = split_columns(raw, len, &decoder, diag);
    if (rc)
        return rc;
    rc = dp_batch_room_digests(batch, counts->digests);
    if (rc == DP_OK)
        rc = dp_batch_room_flows(batch, counts->flows);
    if (rc == DP_OK)
        rc = dp_batch_room_notes(batch, counts->notes);
    if (rc == DP_OK)
        rc = dp_batch_room_gaps(batch, counts->gaps);
    /* Each digest can bring a flow of its own, and none more. */
    decoder.lanes = malloc((counts->digests + 1) * sizeof *decoder.lanes);
    decoder.flows = malloc((counts->digests + 1) * sizeof *decoder.flows);
    if (rc == DP_OK)
        rc = decoder.lanes && decoder.flows ? decode_items(&decoder, counts, batch, diag) : DP_ERR_NOMEM;
    free(decoder.lanes);
    free(decoder.flows);
    if (rc)
        return rc;
    batch->digest_count = counts->digests;
    batch->flow_count = counts->flows;
    batch->note_count = counts->notes;
    batch->gap_count = counts->gaps;
    batch->other_packets = counts->other_packets;
    batch->complete_ns = (int64_t)counts->complete_ns;
    return DP_OK;
}

static int read_header(struct dp_reader *reader, struct counts *ret_counts, struct dp_diag *diag)
{
    if ((size_t)(reader->end - reader->at) < DP_BATCH_MAGIC_SIZE)
        return dp_fail(diag, DP_ERR_FORMAT, "The digest batch is corrupt: it ends within its header.");
    if (memcmp(reader->at, DP_BATCH_MAGIC, DP_BATCH_MAGIC_SIZE - 1) != 0)
        return dp_fail(diag, DP_ERR_FORMAT, "These bytes are not a digest batch.");
    if (reader->at[3] != DP_BATCH_MAGIC[3])
        return dp_fail(
            diag, DP_ERR_FORMAT,
            "The digest batch has format version %u; this program reads version 2. Upgrade the older side.",
            reader->at[3]);
    reader->at += DP_BATCH_MAGIC_SIZE;
    uint64_t counts[4];
    for (size_t i = 0; i < 4; i++)
        if (!dp_get_number(reader, DP_BATCH_MAX_RECORDS, &counts[i]))
            return dp_fail(diag, DP_ERR_FORMAT,
                           "The digest batch is corrupt: its count %zu is bad or over %d.", i + 1,
                           DP_BATCH_MAX_RECORDS);
    if (!dp_get_number(reader, UINT64_MAX, &ret_counts->other_packets))
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The digest batch is corrupt: its count of other packets is bad.");
    if (!dp_get_number(reader, DP_BATCH_MAX_TIME, &ret_counts->complete_ns))
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The digest batch is corrupt: the time until which it is complete is bad.");
    ret_counts->digests = counts[0];
    ret_counts->flows = counts[1];
    ret_counts->notes = counts[2];
    ret_counts->gaps = counts[3];
    return DP_OK;
}

int dp_batch_decode(const uint8_t *bytes, size_t len, struct dp_batch *batch, struct dp_diag *diag)
{
    dp_batch_clear(batch);
    if (len > DP_BATCH_MAX_BYTES)
        return dp_fail(diag, DP_ERR_FORMAT, "The digest batch is larger than a batch can be.");
    struct dp_reader reader = {bytes, bytes + len};
    struct counts counts = {0};
    int rc = read_header(&reader, &counts, diag);
    if (rc)
        return rc;
    size_t packed = (size_t)(reader.end - reader.at);
    unsigned long long size = ZSTD_getFrameContentSize(reader.at, packed);
    if (size > DP_BATCH_MAX_RAW) /* also the codes for unknown and error */
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The digest batch is corrupt: its compressed part has a bad size.");
    if (ZSTD_findFrameCompressedSize(reader.at, packed) != packed)
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The digest batch is corrupt: its compressed part is cut or too long.");
    uint8_t *raw = malloc((size_t)size + 1);
    if (!raw)
        return DP_ERR_NOMEM;
    size_t got = ZSTD_decompress(raw, (size_t)size, reader.at, packed);
    if (ZSTD_isError(got) || got != size)
        rc =
            dp_fail(diag, DP_ERR_FORMAT, "The digest batch is corrupt: its compressed part does not unpack.");
    else
        rc = decode_columns(raw, (size_t)size, &counts, batch, diag);
    free(raw);
    return rc;
}
