/* Collects digests into batches and seals them: 4,096 records or 200 ms. What can't be sent becomes a gap. */
#ifndef DROPPOINT_AGENT_CAPTURE_SEAL_H
#define DROPPOINT_AGENT_CAPTURE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/outbox.h"
#include "common/digest/digest.h"

struct dp_sealer;

#define DP_SEAL_MS 200
#define DP_SEAL_QUEUE ((size_t)64 * 1024 * 1024) /* sealed batches that may wait for the agent */

/* queue: bytes in the outbox above which batches become gaps, usually DP_SEAL_QUEUE. DP_ERR_NOMEM. */
int dp_sealer_new(const uint8_t key[DP_HASH_KEY_SIZE], int link_type, struct dp_outbox *outbox, size_t queue,
                  struct dp_sealer **ret_sealer) DP_MUST_CHECK;
void dp_sealer_free(struct dp_sealer *sealer);

/* Digests one frame; seals where the batch is full. DP_ERR_NOMEM. */
int dp_sealer_frame(struct dp_sealer *sealer, int64_t ts_ns, const uint8_t *frame, size_t captured,
                    size_t wire_len) DP_MUST_CHECK;
/* The capture lost packets between two moments. */
int dp_sealer_gap(struct dp_sealer *sealer, int64_t from_ns, int64_t to_ns, uint64_t packets) DP_MUST_CHECK;
/* Everything that was captured up to this moment has been given to the sealer. It goes into the next batch
 * that is sealed; where there is nothing else to seal, into one of its own, about once a second. */
void dp_sealer_complete(struct dp_sealer *sealer, int64_t ts_ns);
/* Seals what there is where it is older than DP_SEAL_MS at now_ms, or always with `now`. */
int dp_sealer_tick(struct dp_sealer *sealer, uint64_t now_ms, bool now) DP_MUST_CHECK;

#endif
