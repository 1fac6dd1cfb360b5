/* Rings of packets that captures left on the agent: reads the packets of some flows back for an export, and
 * keeps all rings together under a bound. */
#ifndef DROPPOINT_AGENT_CAPTURE_RING_H
#define DROPPOINT_AGENT_CAPTURE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "common/packet/packet.h"

/* Packets between a and b in both directions. Ports as in struct dp_packet. */
struct dp_ring_flow {
    uint8_t proto;
    struct dp_addr a, b;
    uint16_t a_port, b_port;
};

struct dp_ring_export_options {
    const char *directory; /* of one capture and vantage point, as given to the capture */
    const char *vantage;   /* becomes the interface's name in the file */
    const struct dp_ring_flow *flows;
    size_t flow_count;  /* 0: all packets */
    bool cut_payload;   /* headers only; packets that can't be taken apart are left out */
    uint64_t max_bytes; /* of the pcapng file; 0: no bound */
};

struct dp_ring_export;

#define DP_RING_PIECE ((size_t)64 * 1024)

/* A capture may still be writing there. Copies what it needs of the options. DP_ERR_NOT_FOUND: no ring there
 * (any more); DP_ERR_DENIED, DP_ERR_IO, DP_ERR_NOMEM. */
int dp_ring_export_open(const struct dp_ring_export_options *options, struct dp_ring_export **ret_export,
                        struct dp_diag *diag) DP_MUST_CHECK;

/* The next piece of a pcapng file, 1 to DP_RING_PIECE bytes, valid until the next call. DP_ERR_END: that was
 * all. A file of the ring that is damaged, cut short or gone meanwhile ends where it is readable; the next
 * one follows. */
int dp_ring_export_next(struct dp_ring_export *export, const uint8_t **ret_bytes, size_t *ret_len,
                        struct dp_diag *diag) DP_MUST_CHECK;

/* Packets handed out so far, and one sentence on what was left out (the bound, a damaged file); "" where
 * nothing was. */
uint64_t dp_ring_export_packets(const struct dp_ring_export *export);
const char *dp_ring_export_left_out(const struct dp_ring_export *export);

void dp_ring_export_close(struct dp_ring_export *export);

#define DP_RING_LEAST ((uint64_t)512 * 1024) /* the smallest bound that a ring can keep */

/* Deletes the oldest directories of `root` (one for each capture) until the rings that nobody writes any more
 * have at most max_bytes together. A capture that still writes one keeps them all; so more may be left:
 * *ret_bytes tells, without what running captures write. An absent root is fine. DP_ERR_IO, DP_ERR_NOMEM. */
int dp_ring_trim(const char *root, uint64_t max_bytes, uint64_t *ret_bytes,
                 struct dp_diag *diag) DP_MUST_CHECK;

#endif
