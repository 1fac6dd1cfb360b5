/* A batch from outside. One that decodes encodes again, and comes back the same.
 * The first byte 0: what follows is the batch. Else it is the time until which the batch is complete plus 1,
 * and what follows are the counts and the columns before they are compressed: no mutation finds its way
 * through zstd. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/digest/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int same(const void *a, const void *b, size_t len)
{
    return len == 0 || memcmp(a, b, len) == 0;
}

static int equal(const struct dp_batch *a, const struct dp_batch *b)
{
    return a->digest_count == b->digest_count && a->flow_count == b->flow_count &&
           a->note_count == b->note_count && a->gap_count == b->gap_count &&
           a->other_packets == b->other_packets && a->complete_ns == b->complete_ns &&
           same(a->digests, b->digests, a->digest_count * sizeof *a->digests) &&
           same(a->gaps, b->gaps, a->gap_count * sizeof *a->gaps);
}

static int equal_flows(const struct dp_batch *a, const struct dp_batch *b)
{
    for (size_t i = 0; i < a->flow_count; i++) {
        const struct dp_flow_def *x = &a->flows[i], *y = &b->flows[i];
        if (x->flow != y->flow || x->proto != y->proto || x->a_port != y->a_port || x->b_port != y->b_port ||
            !dp_addr_equal(&x->a, &y->a) || !dp_addr_equal(&x->b, &y->b))
            return 0;
    }
    return 1;
}

static int equal_notes(const struct dp_batch *a, const struct dp_batch *b)
{
    for (size_t i = 0; i < a->note_count; i++) {
        const struct dp_note *x = &a->notes[i], *y = &b->notes[i];
        if (x->ts_ns != y->ts_ns || x->flow != y->flow || x->dir != y->dir || x->code != y->code ||
            x->kind != y->kind || x->seq != y->seq || x->len != y->len || x->value != y->value ||
            x->from_port != y->from_port || x->to_port != y->to_port || !dp_addr_equal(&x->from, &y->from) ||
            !dp_addr_equal(&x->to, &y->to) || strcmp(x->text, y->text) != 0)
            return 0;
    }
    return 1;
}

static void try_batch(const uint8_t *data, size_t size)
{
    struct dp_batch batch = {0}, back = {0};
    struct dp_diag diag = {""};
    int rc = dp_batch_decode(data, size, &batch, &diag);
    if (rc != DP_OK && diag.text[0] == '\0')
        abort();
    if (rc == DP_OK) {
        uint8_t *bytes;
        size_t len;
        if (dp_batch_encode(&batch, &bytes, &len) != DP_OK)
            abort();
        if (dp_batch_decode(bytes, len, &back, &diag) != DP_OK || !equal(&batch, &back) ||
            !equal_flows(&batch, &back) || !equal_notes(&batch, &back))
            abort();
        free(bytes);
    }
    dp_batch_free(&batch);
    dp_batch_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEADER = 10 }; /* magic, four counts of one byte, other packets, complete until */
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        try_batch(data + 1, size - 1);
        return 0;
    }
    if (size < 5)
        return 0;
    size_t room = HEADER + ZSTD_compressBound(size - 5);
    uint8_t *bytes = malloc(room);
    if (!bytes)
        return 0;
    memcpy(bytes, "dpb\x02", 4);
    for (size_t i = 0; i < 4; i++)
        bytes[4 + i] = data[1 + i] & 0x7f;
    bytes[8] = 0;
    bytes[9] = (uint8_t)(data[0] - 1) & 0x7f;
    size_t packed = ZSTD_compress(bytes + HEADER, room - HEADER, data + 5, size - 5, 1);
    if (!ZSTD_isError(packed))
        try_batch(bytes, HEADER + packed);
    free(bytes);
    return 0;
}
