/* The packets of one interface, through libpcap: TPACKET_V3, nanosecond stamps, a filter in the kernel. */
#ifndef DROPPOINT_AGENT_CAPTURE_TAP_H
#define DROPPOINT_AGENT_CAPTURE_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/pipe.h"

struct dp_tap;

#define DP_TAP_BLOCK_MS 100 /* the kernel hands packets over at the latest after this */
#define DP_TAP_BUFFER ((uint64_t)64 * 1024 * 1024)

/* Opens the interface and puts the filter in force. DP_ERR_INTERFACE, DP_ERR_DENIED, DP_ERR_FILTER,
 * DP_ERR_UNSUPPORTED (link type), DP_ERR_RANGE (buffer), DP_ERR_IO. */
int dp_tap_open(const struct dp_pipe_config *config, struct dp_tap **ret_tap,
                struct dp_diag *diag) DP_MUST_CHECK;
void dp_tap_close(struct dp_tap *tap);

int dp_tap_link_type(const struct dp_tap *tap); /* LINKTYPE_ number */
uint32_t dp_tap_snaplen(const struct dp_tap *tap);
int dp_tap_fd(const struct dp_tap *tap); /* readable when packets wait */

typedef void (*dp_tap_taker)(void *context, int64_t ts_ns, const uint8_t *frame, size_t captured,
                             size_t wire_len);

/* Hands on the packets that wait, at most `max`, without blocking; how many comes back. DP_ERR_INTERFACE: the
 * interface is gone, diag says so. One that goes down and comes up again goes on. */
int dp_tap_read(struct dp_tap *tap, int max, dp_tap_taker taker, void *context, size_t *ret_count,
                struct dp_diag *diag) DP_MUST_CHECK;

struct dp_tap_counts {
    /* Packets that passed the filter and were dropped by the kernel's buffer or the interface since the
     * source was opened. The last known number where the kernel does not say. */
    uint64_t dropped;
    /* Every other packet that the kernel took for us has been handed on. A block that is still open holds
     * none: the kernel counts a packet as it puts it there. */
    bool drained;
};
void dp_tap_count(struct dp_tap *tap, struct dp_tap_counts *ret_counts);

#endif
