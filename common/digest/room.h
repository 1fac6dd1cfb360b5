/* Growing a batch's arrays. Internal to digest. */
#ifndef DROPPOINT_COMMON_DIGEST_ROOM_H
#define DROPPOINT_COMMON_DIGEST_ROOM_H

#include "common/digest/digest.h"

/* Each makes room for `more` further items. DP_ERR_NOMEM. */
int dp_batch_room_digests(struct dp_batch *batch, size_t more) DP_MUST_CHECK;
int dp_batch_room_flows(struct dp_batch *batch, size_t more) DP_MUST_CHECK;
int dp_batch_room_notes(struct dp_batch *batch, size_t more) DP_MUST_CHECK;
int dp_batch_room_gaps(struct dp_batch *batch, size_t more) DP_MUST_CHECK;

#endif
