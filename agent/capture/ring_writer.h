/* The local ring: a bounded number of pcapng files that hold the newest packets, ring-000001.pcapng and on.
 */
#ifndef DROPPOINT_AGENT_CAPTURE_RING_WRITER_H
#define DROPPOINT_AGENT_CAPTURE_RING_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_ring_writer;

#define DP_RING_FILES 8

/* Works in the current directory, behind files that an earlier run left there. max_bytes bounds all files
 * together. DP_ERR_IO, DP_ERR_DENIED. */
int dp_ring_writer_open(const char *vantage, int link_type, uint32_t snaplen, uint64_t max_bytes,
                        struct dp_ring_writer **ret_ring, struct dp_diag *diag) DP_MUST_CHECK;

/* DP_ERR_IO (a full disk too): the ring can't go on. */
int dp_ring_writer_packet(struct dp_ring_writer *ring, int64_t ts_ns, const uint8_t *frame, size_t captured,
                          size_t wire_len, struct dp_diag *diag) DP_MUST_CHECK;

/* Puts what is buffered into the file. DP_ERR_IO. */
int dp_ring_writer_flush(struct dp_ring_writer *ring, struct dp_diag *diag) DP_MUST_CHECK;

/* Writes the statistics and closes. Frees the ring also on failure; NULL is fine. */
int dp_ring_writer_close(struct dp_ring_writer *ring, int64_t start_ns, int64_t end_ns, uint64_t packets,
                         uint64_t dropped, struct dp_diag *diag) DP_MUST_CHECK;

#endif
