/* PPP (RFC 1661), its framing on serial lines (RFC 1662) and PPPoE (RFC 2516). */
#include "common/packet/layers.h"

enum {
    PPP_IPV4 = 0x0021,
    PPP_IPV6 = 0x0057,
    PPP_MPLS = 0x0281,
    PPP_MPLS_UPSTREAM = 0x0283,
};

#define PPPOE_HEADER 6U
#define PPPOE_SESSION 0x1100U /* version 1, type 1, code 0 */

/* The first byte of a protocol number is even, the last one odd; a first byte 0 may be left out. */
static int protocol_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 1);
    if (rc)
        return rc;
    size_t len = cursor->at[0] & 1 ? 1 : 2;
    rc = dp_cursor_need(cursor, len);
    if (rc)
        return rc;
    uint16_t protocol = len == 1 ? cursor->at[0] : dp_be16(cursor->at);
    dp_cursor_skip(cursor, len);
    switch (protocol) {
    case PPP_IPV4:
        return dp_ipv4_decode(cursor, packet);
    case PPP_IPV6:
        return dp_ipv6_decode(cursor, packet);
    case PPP_MPLS:
    case PPP_MPLS_UPSTREAM:
        return dp_mpls_decode(cursor, packet);
    default: /* LCP and the like; compressed; a part of a multilink packet */
        return DP_ERR_UNSUPPORTED;
    }
}

int dp_ppp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_go_inside(packet);
    if (rc == DP_OK)
        rc = dp_cursor_need(cursor, 2);
    if (rc)
        return rc;
    if (cursor->at[0] == 0xff && cursor->at[1] == 0x03)
        dp_cursor_skip(cursor, 2);
    return protocol_decode(cursor, packet);
}

int dp_pppoe_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_go_inside(packet);
    if (rc == DP_OK)
        rc = dp_cursor_need(cursor, PPPOE_HEADER);
    if (rc)
        return rc;
    size_t len = dp_be16(cursor->at + 4);
    if (dp_be16(cursor->at) != PPPOE_SESSION)
        return DP_ERR_UNSUPPORTED;
    dp_cursor_skip(cursor, PPPOE_HEADER);
    if (cursor->wire_known && len > cursor->wire)
        return DP_ERR_FORMAT;
    dp_cursor_limit(cursor, len);
    return protocol_decode(cursor, packet);
}
