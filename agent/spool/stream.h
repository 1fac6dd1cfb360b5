/* One stream of the spool: a directory with its description and its segments. Inside of agent/spool only. */
#ifndef DROPPOINT_AGENT_SPOOL_STREAM_H
#define DROPPOINT_AGENT_SPOOL_STREAM_H

#include "agent/spool/segment.h"
#include "agent/spool/spool.h"

struct dp_stream {
    struct dp_spool_stream_info info;
    int directory;
    int fd;      /* the newest segment, open for writing; -1: none yet, or no more appends */
    int read_fd; /* the segment read last; -1 none */
    uint64_t read_first;
    struct dp_segment *segments; /* oldest first */
    size_t count, room;
    uint64_t acknowledged;
    bool directory_dirty; /* a segment was made that the directory may not hold for sure yet */
};

#define DP_STREAM_NAME 48
void dp_stream_name(uint64_t epoch, uint64_t stream, char ret_name[DP_STREAM_NAME]);
bool dp_stream_name_parse(const char *name, uint64_t *ret_epoch, uint64_t *ret_stream);

/* Makes the stream's directory under `root` with its description, durable. */
int dp_stream_create(int root, const struct dp_spool_stream_info *info, struct dp_stream **ret_stream,
                     struct dp_diag *diag) DP_MUST_CHECK;
/* Opens what an earlier run left. DP_ERR_NOT_FOUND: no description, so nothing of worth; DP_ERR_FORMAT: one
 * that is not readable. */
int dp_stream_load(int root, uint64_t epoch, uint64_t stream, struct dp_stream **ret_stream,
                   struct dp_diag *diag) DP_MUST_CHECK;
/* Writes the description anew. */
int dp_stream_describe(struct dp_stream *stream) DP_MUST_CHECK;

/* Syncs and leaves the newest segment and begins another. */
int dp_stream_rotate(struct dp_stream *stream) DP_MUST_CHECK;
int dp_stream_sync(struct dp_stream *stream) DP_MUST_CHECK;
int dp_stream_read(struct dp_stream *stream, uint64_t number, struct dp_segment_record *ret_record,
                   uint8_t **ret_payload) DP_MUST_CHECK;
/* Deletes the segments that hold nothing past `acknowledged`; never the newest. Returns the bytes freed. */
uint64_t dp_stream_trim(struct dp_stream *stream);
uint64_t dp_stream_bytes(const struct dp_stream *stream);

/* Deletes the directory of a stream and what is in it. */
void dp_stream_remove(int root, uint64_t epoch, uint64_t stream);
void dp_stream_free(struct dp_stream *stream);

#endif
