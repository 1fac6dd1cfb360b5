#include <stdint.h>
#include <stdlib.h>

#include "common/digest/room.h"

#define FIRST_ROOM 64U

/* `items` grown so that `count` + `more` fit, *room the new size; NULL where memory is out. */
static void *grow(void *items, size_t count, size_t more, size_t size, size_t *room)
{
    size_t wanted = *room ? *room : FIRST_ROOM;
    while (wanted - count < more) {
        if (wanted > SIZE_MAX / 2 / size)
            return NULL;
        wanted *= 2;
    }
    void *grown = realloc(items, wanted * size);
    if (grown)
        *room = wanted;
    return grown;
}

int dp_batch_room_digests(struct dp_batch *batch, size_t more)
{
    if (batch->digest_room - batch->digest_count >= more)
        return DP_OK;
    void *grown =
        grow(batch->digests, batch->digest_count, more, sizeof *batch->digests, &batch->digest_room);
    if (!grown)
        return DP_ERR_NOMEM;
    batch->digests = grown;
    return DP_OK;
}

int dp_batch_room_flows(struct dp_batch *batch, size_t more)
{
    if (batch->flow_room - batch->flow_count >= more)
        return DP_OK;
    void *grown = grow(batch->flows, batch->flow_count, more, sizeof *batch->flows, &batch->flow_room);
    if (!grown)
        return DP_ERR_NOMEM;
    batch->flows = grown;
    return DP_OK;
}

int dp_batch_room_notes(struct dp_batch *batch, size_t more)
{
    if (batch->note_room - batch->note_count >= more)
        return DP_OK;
    void *grown = grow(batch->notes, batch->note_count, more, sizeof *batch->notes, &batch->note_room);
    if (!grown)
        return DP_ERR_NOMEM;
    batch->notes = grown;
    return DP_OK;
}

int dp_batch_room_gaps(struct dp_batch *batch, size_t more)
{
    if (batch->gap_room - batch->gap_count >= more)
        return DP_OK;
    void *grown = grow(batch->gaps, batch->gap_count, more, sizeof *batch->gaps, &batch->gap_room);
    if (!grown)
        return DP_ERR_NOMEM;
    batch->gaps = grown;
    return DP_OK;
}

void dp_batch_clear(struct dp_batch *batch)
{
    batch->digest_count = batch->flow_count = batch->note_count = batch->gap_count = 0;
    batch->other_packets = 0;
    batch->complete_ns = 0;
}

void dp_batch_free(struct dp_batch *batch)
{
    if (!batch)
        return;
    free(batch->digests);
    free(batch->flows);
    free(batch->notes);
    free(batch->gaps);
    *batch = (struct dp_batch){0};
}

int dp_batch_add_gap(struct dp_batch *batch, int64_t from_ns, int64_t to_ns, uint64_t packets)
{
    int rc = dp_batch_room_gaps(batch, 1);
    if (rc == DP_OK)
        batch->gaps[batch->gap_count++] =
            (struct dp_gap){.from_ns = from_ns, .to_ns = to_ns, .packets = packets};
    return rc;
}
