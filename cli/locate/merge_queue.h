/* One file's packets in order of corrected time, for merging: a small window puts neighbours right. */
#ifndef DROPPOINT_CLI_LOCATE_MERGE_QUEUE_H
#define DROPPOINT_CLI_LOCATE_MERGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/filter/filter.h"
#include "cli/locate/merge.h"
#include "common/capfile/capfile.h"

/* A packet with a copy of its bytes. */
struct dp_merge_packet {
    int64_t corrected_ns;
    int64_t ts_ns; /* as in the file */
    int link_type;
    size_t captured, wire_len;
    uint8_t *data;
    size_t room;
};

struct dp_merge_queue;

int dp_merge_queue_new(const struct dp_merge_input *input, struct dp_filter *filter,
                       struct dp_merge_queue **ret_queue, struct dp_diag *diag) DP_MUST_CHECK;
void dp_merge_queue_free(struct dp_merge_queue *queue); /* NULL is fine */

/* Fills the window; afterwards dp_merge_queue_head is the next packet. */
int dp_merge_queue_fill(struct dp_merge_queue *queue, struct dp_diag *diag) DP_MUST_CHECK;
const struct dp_merge_packet *dp_merge_queue_head(const struct dp_merge_queue *queue); /* NULL: none left */
void dp_merge_queue_drop_head(struct dp_merge_queue *queue);

const struct dp_capfile_stats *dp_merge_queue_stats(const struct dp_merge_queue *queue);

/* A stamp of the input's clock by the reference clock, after the first `sets` times that it was set. */
int64_t dp_merge_corrected(const struct dp_merge_input *input, size_t sets, int64_t ts_ns);

#endif
