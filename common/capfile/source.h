/* Where a capture file's bytes come from: a regular file or memory, plain or compressed. Private to capfile.
 */
#ifndef DROPPOINT_COMMON_CAPFILE_SOURCE_H
#define DROPPOINT_COMMON_CAPFILE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_decoder;

/* A window on the uncompressed bytes: data[pos..end) is at hand, data[0] is at offset `base`. */
struct dp_source {
    const uint8_t *data; /* buffer, or the caller's memory */
    size_t pos, end;
    uint64_t base;
    bool eof; /* nothing follows data[end) */
    bool cut; /* compressed data ended inside a frame */

    char *name;      /* for messages */
    uint8_t *buffer; /* NULL while reading plain memory */
    size_t room;
    int fd; /* -1: memory */
    const uint8_t *memory;
    uint64_t raw_size;          /* bytes of the file or memory, fixed at opening: a growing file ends there */
    uint64_t raw_done;          /* of these, read */
    struct dp_decoder *decoder; /* NULL: plain */
};

int dp_source_open(const char *path, struct dp_source **ret_source, struct dp_diag *diag) DP_MUST_CHECK;
/* `bytes` stay the caller's and must outlive the source. */
int dp_source_open_memory(const uint8_t *bytes, size_t len, const char *name, struct dp_source **ret_source,
                          struct dp_diag *diag) DP_MUST_CHECK;
void dp_source_close(struct dp_source *source);

/* Brings at least `n` bytes into the window where so many follow; fewer only at the end. Moves data. */
int dp_source_fill(struct dp_source *source, size_t n, struct dp_diag *diag) DP_MUST_CHECK;

static inline size_t dp_source_have(const struct dp_source *source)
{
    return source->end - source->pos;
}

static inline const uint8_t *dp_source_at(const struct dp_source *source)
{
    return source->data + source->pos;
}

static inline uint64_t dp_source_offset(const struct dp_source *source)
{
    return source->base + source->pos;
}

/* Raw bytes as they stand in the file: up to `room` of them, 0 at the end, negative on error. For the
 * decoder. */
ptrdiff_t dp_source_raw(struct dp_source *source, uint8_t *bytes, size_t room, struct dp_diag *diag);

/* Decompression, chosen by the first bytes. *ret_decoder is NULL where they are not compressed. */
int dp_decoder_new(const uint8_t *head, size_t len, struct dp_decoder **ret_decoder) DP_MUST_CHECK;
void dp_decoder_free(struct dp_decoder *decoder);
/* Writes up to `room` bytes to `out`. 0 at the end (source->cut is set where that came inside a frame),
 * negative on error. */
ptrdiff_t dp_decoder_read(struct dp_decoder *decoder, struct dp_source *source, uint8_t *out, size_t room,
                          struct dp_diag *diag);

#endif
