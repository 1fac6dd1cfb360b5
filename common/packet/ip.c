/* IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers. */
#include <string.h>

#include "common/packet/layers.h"

#define IPV4_HEADER 20U
#define IPV6_HEADER 40U
#define EXTENSIONS_MAX 16 /* more than any real packet has; bounds the walk */

enum {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_AH = 51,
    NEXT_NONE = 59,
    NEXT_DEST_OPTIONS = 60,
};

int dp_ip_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 1);
    if (rc)
        return rc;
    switch (cursor->at[0] >> 4) {
    case 4:
        return dp_ipv4_decode(cursor, packet);
    case 6:
        return dp_ipv6_decode(cursor, packet);
    default:
        return DP_ERR_UNSUPPORTED;
    }
}

/* Ends the cursor where the IP packet ends. `claimed` 0 stands for a super-packet whose length the header has
 * no room for or the NIC fills in: then the frame's length is the packet's. */
static int limit_to_packet(struct dp_cursor *cursor, size_t claimed, size_t header, struct dp_packet *packet)
{
    if (claimed == 0)
        claimed = cursor->wire;
    if (claimed < header || (cursor->wire_known && claimed > cursor->wire))
        return DP_ERR_FORMAT;
    dp_cursor_limit(cursor, claimed);
    packet->ip = cursor->at;
    packet->ip_len = (uint32_t)claimed;
    return dp_cursor_need(cursor, header);
}

int dp_ipv4_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, IPV4_HEADER);
    if (rc)
        return rc;
    const uint8_t *at = cursor->at;
    size_t header = (size_t)(at[0] & 0x0f) * 4;
    if (at[0] >> 4 != 4 || header < IPV4_HEADER)
        return DP_ERR_FORMAT;
    rc = limit_to_packet(cursor, dp_be16(at + 2), header, packet);
    if (rc)
        return rc;
    uint16_t fragment = dp_be16(at + 6);
    packet->ip_id = dp_be16(at + 4);
    packet->has_ip_id = true;
    packet->fragment = (fragment & 0x3fff) != 0;
    packet->later_fragment = (fragment & 0x1fff) != 0;
    packet->ttl = at[8];
    packet->proto = at[9];
    packet->src.family = packet->dst.family = 4;
    memcpy(packet->src.bytes, at + 12, 4);
    memcpy(packet->dst.bytes, at + 16, 4);
    dp_cursor_skip(cursor, header);
    return dp_transport_decode(cursor, packet);
}

/* Walks the extension headers from `next` on. Sets packet->proto to the first header that is none of them. */
static int walk_extensions(uint8_t next, struct dp_cursor *cursor, struct dp_packet *packet)
{
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_FRAGMENT && next != NEXT_AH &&
            next != NEXT_DEST_OPTIONS) {
            packet->proto = next;
            return DP_OK;
        }
        int rc = dp_cursor_need(cursor, 8);
        if (rc)
            return rc;
        const uint8_t *at = cursor->at;
        size_t len = (at[1] + 1U) * 8;
        if (next == NEXT_AH)
            len = (at[1] + 2U) * 4;
        if (next == NEXT_FRAGMENT) {
            len = 8;
            uint16_t offset = dp_be16(at + 2);
            packet->ip_id = dp_be16(at + 6); /* the lower half of 32 bits */
            packet->has_ip_id = true;
            /* Offset 0 and no more to come: a whole packet. */
            packet->fragment = packet->fragment || (offset & 0xfff9) != 0;
            packet->later_fragment = (offset & 0xfff8) != 0;
        }
        rc = dp_cursor_need(cursor, len);
        if (rc)
            return rc;
        next = at[0];
        dp_cursor_skip(cursor, len);
        if (packet->later_fragment) {
            packet->proto = next;
            return DP_OK;
        }
    }
    return DP_ERR_UNSUPPORTED;
}

int dp_ipv6_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, IPV6_HEADER);
    if (rc)
        return rc;
    const uint8_t *at = cursor->at;
    if (at[0] >> 4 != 6)
        return DP_ERR_FORMAT;
    uint8_t next = at[6];
    size_t claimed = dp_be16(at + 4);
    /* A payload length of 0: a jumbogram (RFC 2675) or a super-packet, unless there really is nothing. */
    claimed = claimed || next == NEXT_NONE ? claimed + IPV6_HEADER : 0;
    rc = limit_to_packet(cursor, claimed, IPV6_HEADER, packet);
    if (rc)
        return rc;
    packet->ttl = at[7];
    packet->src.family = packet->dst.family = 6;
    memcpy(packet->src.bytes, at + 8, 16);
    memcpy(packet->dst.bytes, at + 24, 16);
    dp_cursor_skip(cursor, IPV6_HEADER);
    rc = walk_extensions(next, cursor, packet);
    return rc ? rc : dp_transport_decode(cursor, packet);
}
