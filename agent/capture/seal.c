#include "agent/capture/seal.h"

#include <stdlib.h>

#define GAPS_KEPT 64     /* more are merged into one */
#define SPARE_RECORDS 64 /* one frame adds a few notes at most */
/* A batch for a time alone comes when it is so much later than what was said before: a little less than the
 * second in which the recorder tells it, so that none is passed over. */
#define SILENCE_NS 900000000LL

struct dp_sealer {
    struct dp_digester *digester;
    struct dp_batch batch;
    struct dp_outbox *outbox;
    int link_type;
    size_t queue;
    uint64_t opened_ms;  /* when the batch was first seen to hold something; 0: not yet */
    int64_t complete_ns; /* everything up to here has been given to us */
    int64_t said_ns;     /* ... and up to here the sealed batches say so, themselves or by their digests */
};

int dp_sealer_new(const uint8_t key[DP_HASH_KEY_SIZE], int link_type, struct dp_outbox *outbox, size_t queue,
                  struct dp_sealer **ret_sealer)
{
    struct dp_sealer *sealer = calloc(1, sizeof *sealer);
    if (!sealer)
        return DP_ERR_NOMEM;
    int code = dp_digester_new(key, &sealer->digester);
    if (code != DP_OK) {
        free(sealer);
        return code;
    }
    sealer->link_type = link_type;
    sealer->outbox = outbox;
    sealer->queue = queue;
    *ret_sealer = sealer;
    return DP_OK;
}

void dp_sealer_free(struct dp_sealer *sealer)
{
    if (!sealer)
        return;
    dp_digester_free(sealer->digester);
    dp_batch_free(&sealer->batch);
    free(sealer);
}

static bool batch_empty(const struct dp_batch *batch)
{
    return !batch->digest_count && !batch->flow_count && !batch->note_count && !batch->gap_count &&
           !batch->other_packets;
}

/* Gaps pile up only while nobody reads; one that spans them all says no less of what matters. */
static int merge_gaps(struct dp_batch *batch)
{
    struct dp_gap all = batch->gaps[0];
    bool known = all.packets != 0;
    for (size_t i = 1; i < batch->gap_count; i++) {
        const struct dp_gap *gap = &batch->gaps[i];
        all.from_ns = gap->from_ns < all.from_ns ? gap->from_ns : all.from_ns;
        all.to_ns = gap->to_ns > all.to_ns ? gap->to_ns : all.to_ns;
        all.packets += gap->packets;
        known = known && gap->packets != 0;
    }
    batch->gap_count = 0;
    return dp_batch_add_gap(batch, all.from_ns, all.to_ns, known ? all.packets : 0);
}

int dp_sealer_gap(struct dp_sealer *sealer, int64_t from_ns, int64_t to_ns, uint64_t packets)
{
    int code = dp_batch_add_gap(&sealer->batch, from_ns, to_ns, packets);
    if (code == DP_OK && sealer->batch.gap_count > GAPS_KEPT)
        code = merge_gaps(&sealer->batch);
    return code;
}

/* The batch can't be sent: its packets become a gap, its flows are told again later. */
static int give_up(struct dp_sealer *sealer)
{
    struct dp_batch *batch = &sealer->batch;
    dp_digester_restate_flows(sealer->digester);
    size_t lost = batch->digest_count;
    if (lost == 0) {
        batch->flow_count = batch->note_count = 0;
        return DP_OK;
    }
    int64_t from_ns = batch->digests[0].ts_ns;
    int64_t to_ns = from_ns;
    for (size_t i = 1; i < lost; i++) {
        int64_t ts_ns = batch->digests[i].ts_ns;
        from_ns = ts_ns < from_ns ? ts_ns : from_ns;
        to_ns = ts_ns > to_ns ? ts_ns : to_ns;
    }
    batch->digest_count = batch->flow_count = batch->note_count = 0;
    return dp_sealer_gap(sealer, from_ns, to_ns, lost);
}

void dp_sealer_complete(struct dp_sealer *sealer, int64_t ts_ns)
{
    if (ts_ns > sealer->complete_ns)
        sealer->complete_ns = ts_ns;
}

static int seal(struct dp_sealer *sealer)
{
    struct dp_batch *batch = &sealer->batch;
    int64_t said_ns = sealer->said_ns;
    sealer->opened_ms = 0;
    if (batch->digest_count && batch->digests[batch->digest_count - 1].ts_ns > said_ns)
        said_ns = batch->digests[batch->digest_count - 1].ts_ns;
    batch->complete_ns = sealer->complete_ns > said_ns ? sealer->complete_ns : 0;
    if (batch_empty(batch) && !batch->complete_ns)
        return DP_OK;
    if (dp_outbox_held(sealer->outbox) > sealer->queue)
        return give_up(sealer);
    uint8_t *bytes = NULL;
    size_t len = 0;
    int code = dp_batch_encode(batch, &bytes, &len);
    if (code == DP_OK && len > DP_PIPE_MAX_PAYLOAD)
        code = DP_ERR_RANGE;
    if (code == DP_OK)
        code = dp_outbox_put(sealer->outbox, DP_PIPE_BATCH, (uint32_t)batch->digest_count, bytes, len);
    free(bytes);
    if (code == DP_ERR_RANGE)
        return give_up(sealer);
    if (code == DP_OK) {
        sealer->said_ns = batch->complete_ns ? batch->complete_ns : said_ns;
        dp_batch_clear(batch);
    }
    return code;
}

int dp_sealer_frame(struct dp_sealer *sealer, int64_t ts_ns, const uint8_t *frame, size_t captured,
                    size_t wire_len)
{
    struct dp_batch *batch = &sealer->batch;
    int code =
        dp_digester_frame(sealer->digester, sealer->link_type, ts_ns, frame, captured, wire_len, batch);
    if (code == DP_OK && (batch->digest_count >= DP_BATCH_MAX_RECORDS ||
                          batch->note_count >= DP_BATCH_MAX_RECORDS - SPARE_RECORDS))
        code = seal(sealer);
    return code;
}

/* Nothing to send but that nothing came, and the way is free. */
static bool silent_for_long(const struct dp_sealer *sealer)
{
    return sealer->complete_ns - sealer->said_ns >= SILENCE_NS &&
           dp_outbox_held(sealer->outbox) <= sealer->queue;
}

int dp_sealer_tick(struct dp_sealer *sealer, uint64_t now_ms, bool now)
{
    if (now)
        return seal(sealer);
    if (batch_empty(&sealer->batch))
        return silent_for_long(sealer) ? seal(sealer) : DP_OK;
    if (sealer->opened_ms == 0)
        sealer->opened_ms = now_ms;
    return now_ms - sealer->opened_ms >= DP_SEAL_MS ? seal(sealer) : DP_OK;
}
