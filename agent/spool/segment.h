/* One append-only file of a stream: records one after the other, each with number, length and checksums.
 * Inside of agent/spool only. */
#ifndef DROPPOINT_AGENT_SPOOL_SEGMENT_H
#define DROPPOINT_AGENT_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define DP_SEGMENT_HEADER 28
#define DP_SEGMENT_MAX_PAYLOAD ((size_t)2 * 1024 * 1024)

struct dp_segment_record {
    uint32_t offset; /* of its payload in the file */
    uint32_t len;
    uint32_t records;
    uint32_t crc32c;
    bool damaged; /* its header is not readable; the other fields mean nothing */
};

struct dp_segment {
    uint64_t first; /* number of its first record; its name says so too */
    struct dp_segment_record *index;
    size_t count, room;
    uint64_t bytes; /* length of the file */
};

/* The number after its last record. */
uint64_t dp_segment_next(const struct dp_segment *segment);
void dp_segment_name(uint64_t first, char ret_name[32]);
/* Whether `name` is a segment's; its first number comes back. */
bool dp_segment_name_parse(const char *name, uint64_t *ret_first);

/* Makes the file; *ret_fd is open for writing. DP_ERR_IO, DP_ERR_FULL. */
int dp_segment_create(int directory, uint64_t first, struct dp_segment *ret_segment, int *ret_fd,
                      struct dp_diag *diag) DP_MUST_CHECK;

/* Reads an existing file's index. next: the number with which the stream goes on in the following file; 0:
 * there is none, this is the stream's last one, and a torn tail is cut off. Records that can't be read, but
 * that are followed by readable ones, are kept as damaged. DP_ERR_IO, DP_ERR_NOMEM. */
int dp_segment_load(int directory, uint64_t first, uint64_t next, struct dp_segment *ret_segment,
                    struct dp_diag *diag) DP_MUST_CHECK;

/* DP_ERR_FULL where the disk is full, DP_ERR_IO; the file is as before then. */
int dp_segment_append(struct dp_segment *segment, int fd, uint32_t records, uint32_t crc32c,
                      const uint8_t *payload, size_t len) DP_MUST_CHECK;

/* *ret_payload is malloc'd. DP_ERR_FORMAT: damaged. */
int dp_segment_read(const struct dp_segment *segment, int fd, uint64_t number,
                    struct dp_segment_record *ret_record, uint8_t **ret_payload) DP_MUST_CHECK;

void dp_segment_free(struct dp_segment *segment); /* frees the index; the struct is the caller's */

#endif
