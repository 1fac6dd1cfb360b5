/* A bounds-checked place in a frame. Internal to packet.
 * It knows two ends: where the captured bytes stop, and where the packet stopped on the wire. That tells a
 * packet that the snap length cut (truncated) from one whose own lengths don't fit (format). */
#ifndef DROPPOINT_COMMON_PACKET_CURSOR_H
#define DROPPOINT_COMMON_PACKET_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_cursor {
    const uint8_t *at;
    size_t captured; /* bytes left in the frame */
    size_t wire;     /* bytes left on the wire; never less than captured */
    bool
        wire_known; /* false: the capture does not say (nflog); then the IP header's length is all there is */
};

/* 0 where `count` bytes can be read; else DP_ERR_TRUNCATED or DP_ERR_FORMAT. */
static inline int dp_cursor_need(const struct dp_cursor *cursor, size_t count)
{
    if (count <= cursor->captured)
        return DP_OK;
    return count <= cursor->wire || !cursor->wire_known ? DP_ERR_TRUNCATED : DP_ERR_FORMAT;
}

/* Moves past `count` bytes, which dp_cursor_need allowed. */
static inline void dp_cursor_skip(struct dp_cursor *cursor, size_t count)
{
    cursor->at += count;
    cursor->captured -= count;
    cursor->wire -= count;
}

/* Lets the packet end `count` bytes from here: what follows is padding or a trailer. Where the wire's length
 * is not known, it is from now on. */
static inline void dp_cursor_limit(struct dp_cursor *cursor, size_t count)
{
    cursor->wire = count;
    cursor->wire_known = true;
    if (cursor->captured > count)
        cursor->captured = count;
}

static inline uint16_t dp_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t dp_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#endif
