/* The agent's durable spool: numbered batches by stream, synced before they are sent, kept until
 * acknowledged. Survives kill -9 of the agent: what dp_spool_synced reported is there after dp_spool_open. */
#ifndef DROPPOINT_AGENT_SPOOL_SPOOL_H
#define DROPPOINT_AGENT_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_spool;

struct dp_spool_stream_info {
    uint64_t epoch, stream;
    uint32_t kind;
    char capture_id[64];
    char vantage[96];
    uint64_t first;  /* lowest number still held; last + 1 where none is */
    uint64_t synced; /* highest number that is on disk for sure; 0 none */
    uint64_t last;   /* highest number appended */
    bool closed;
    bool interrupted; /* closed only because the agent that appended to it went away without dp_spool_end */
};

/* Opens the spool directory (made with mode 0700), reads what an earlier run left, cuts a torn tail off each
 * file. max_bytes bounds the whole. epoch: this start's. Streams of earlier epochs count as closed. A stream
 * that can't be read is renamed to "damaged-..." and diag's text is a warning then, also with 0. DP_ERR_IO,
 * DP_ERR_DENIED (also: another agent uses it). */
int dp_spool_open(const char *directory, uint64_t epoch, uint64_t max_bytes, struct dp_spool **ret_spool,
                  struct dp_diag *diag) DP_MUST_CHECK;
void dp_spool_close(struct dp_spool *spool);

/* Begins a stream of this epoch; its number comes back. */
int dp_spool_stream(struct dp_spool *spool, uint32_t kind, const char *capture_id, const char *vantage,
                    uint64_t *ret_stream) DP_MUST_CHECK;

/* Appends a batch; its number comes back. DP_ERR_FULL at the bound (the caller counts its packets and appends
 * a gap later); DP_ERR_IO. Not yet durable. */
int dp_spool_append(struct dp_spool *spool, uint64_t stream, uint32_t records, const uint8_t *payload,
                    size_t len, uint64_t *ret_number) DP_MUST_CHECK;

/* No more batches come in this stream. What it holds is synced. DP_ERR_NOT_FOUND, DP_ERR_IO, DP_ERR_FULL. */
int dp_spool_end(struct dp_spool *spool, uint64_t stream) DP_MUST_CHECK;

/* After a sync that failed, the spool takes and gives no more (DP_ERR_IO): what the disk holds is not known
 * any more. Whether enough is unsynced (bytes >= 512 KiB or age >= 1 s at now_ms, monotonic) that
 * dp_spool_sync is due. */
bool dp_spool_sync_due(const struct dp_spool *spool, uint64_t now_ms);
int dp_spool_sync(struct dp_spool *spool) DP_MUST_CHECK;

/* Reads batch `number`, synced ones only: DP_ERR_END where it is not (yet) there. *ret_payload is malloc'd.
 * crc as on the wire. DP_ERR_FORMAT where the disk gave other bytes back. */
int dp_spool_read(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number,
                  uint32_t *ret_crc32c, uint32_t *ret_records, uint8_t **ret_payload,
                  size_t *ret_len) DP_MUST_CHECK;

/* Everything up to `number` is committed by the collector: it may go. A closed stream that is acknowledged to
 * its end vanishes. DP_ERR_NOT_FOUND, DP_ERR_RANGE (beyond what was sent). */
int dp_spool_acknowledge(struct dp_spool *spool, uint64_t epoch, uint64_t stream,
                         uint64_t number) DP_MUST_CHECK;

/* Drops a stream that the collector does not want (capture unknown there). */
int dp_spool_forget(struct dp_spool *spool, uint64_t epoch, uint64_t stream) DP_MUST_CHECK;

/* All streams held, earlier epochs first. `index` from 0; false past the end. */
bool dp_spool_stream_at(const struct dp_spool *spool, size_t index, struct dp_spool_stream_info *ret_info);

#endif
