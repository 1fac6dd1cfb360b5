/* Link layers: from the frame as captured to the IP header. */
#include <string.h>

#include "common/packet/layers.h"

/* Numbers of the capture formats (LINKTYPE_, and DLT_ of systems where they differ). */
enum {
    LINK_NULL = 0,
    LINK_ETHERNET = DP_LINK_ETHERNET,
    LINK_PPP = 9,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_PPP_SERIAL = 50,
    LINK_PPP_ETHER = 51,
    LINK_RAW = 101,
    LINK_CISCO_HDLC = 104,
    LINK_LOOP = 108,
    LINK_COOKED = 113,
    LINK_PPP_PPPD = 166,
    LINK_PPP_DIRECTION = 204,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_NFLOG = 239,
    LINK_COOKED2 = 276,
};

#define ARPHRD_NETLINK 824 /* its "protocol" is a netlink family, not an EtherType */
#define NFLOG_PAYLOAD 9    /* NFULA_PAYLOAD */

bool dp_link_type_supported(int link_type)
{
    switch (link_type) {
    case LINK_NULL:
    case LINK_ETHERNET:
    case LINK_PPP:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_PPP_SERIAL:
    case LINK_PPP_ETHER:
    case LINK_RAW:
    case LINK_CISCO_HDLC:
    case LINK_LOOP:
    case LINK_COOKED:
    case LINK_PPP_PPPD:
    case LINK_PPP_DIRECTION:
    case LINK_IPV4:
    case LINK_IPV6:
    case LINK_NFLOG:
    case LINK_COOKED2:
        return true;
    default:
        return false;
    }
}

int dp_ethertype_decode(uint16_t type, struct dp_cursor *cursor, struct dp_packet *packet)
{
    if (type == DP_TYPE_IPV4) /* nearly always */
        return dp_ipv4_decode(cursor, packet);
    while (dp_is_vlan(type)) {
        if (packet->vlan_depth == DP_VLAN_DEPTH_MAX)
            return DP_ERR_UNSUPPORTED;
        int rc = dp_cursor_need(cursor, 4);
        if (rc)
            return rc;
        type = dp_be16(cursor->at + 2);
        dp_cursor_skip(cursor, 4);
        packet->vlan_depth++;
    }
    switch (type) {
    case DP_TYPE_IPV4:
        return dp_ipv4_decode(cursor, packet);
    case DP_TYPE_IPV6:
        return dp_ipv6_decode(cursor, packet);
    case DP_TYPE_MPLS:
    case DP_TYPE_MPLS_UPSTREAM:
        return dp_mpls_decode(cursor, packet);
    case DP_TYPE_PPPOE:
        return dp_pppoe_decode(cursor, packet);
    default:
        return DP_ERR_UNSUPPORTED;
    }
}

static inline int ethernet_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 14);
    if (rc)
        return rc;
    uint16_t type = dp_be16(cursor->at + 12);
    dp_cursor_skip(cursor, 14);
    return dp_ethertype_decode(type, cursor, packet);
}

int dp_ethernet_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    return ethernet_decode(cursor, packet);
}

/* BSD loopback: 4 bytes of address family, in the byte order of the machine that captured. AF_INET is 2
 * everywhere, AF_INET6 differs: 24 NetBSD and OpenBSD, 28 FreeBSD, 30 macOS, 10 Linux, 23 Windows. */
static int loopback_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 4);
    if (rc)
        return rc;
    uint32_t family = dp_be32(cursor->at);
    if (family > 0xffff)
        family = __builtin_bswap32(family);
    dp_cursor_skip(cursor, 4);
    switch (family) {
    case 2:
        return dp_ipv4_decode(cursor, packet);
    case 10:
    case 23:
    case 24:
    case 28:
    case 30:
        return dp_ipv6_decode(cursor, packet);
    default:
        return DP_ERR_UNSUPPORTED;
    }
}

static int cooked_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 16);
    if (rc)
        return rc;
    uint16_t device = dp_be16(cursor->at + 2);
    uint16_t type = dp_be16(cursor->at + 14);
    dp_cursor_skip(cursor, 16);
    return device == ARPHRD_NETLINK ? DP_ERR_UNSUPPORTED : dp_ethertype_decode(type, cursor, packet);
}

static int cooked2_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 20);
    if (rc)
        return rc;
    uint16_t type = dp_be16(cursor->at);
    uint16_t device = dp_be16(cursor->at + 8);
    dp_cursor_skip(cursor, 20);
    return device == ARPHRD_NETLINK ? DP_ERR_UNSUPPORTED : dp_ethertype_decode(type, cursor, packet);
}

/* An address, a control byte, an EtherType. */
static int cisco_hdlc_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 4);
    if (rc)
        return rc;
    uint16_t type = dp_be16(cursor->at + 2);
    dp_cursor_skip(cursor, 4);
    return dp_ethertype_decode(type, cursor, packet);
}

/* PPP on a serial line; or Cisco HDLC, whose addresses are others (unicast and multicast). */
static int serial_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 1);
    if (rc)
        return rc;
    if (cursor->at[0] == 0x0f || cursor->at[0] == 0x8f)
        return cisco_hdlc_decode(cursor, packet);
    return dp_ppp_decode(cursor, packet);
}

/* A byte that tells the direction in place of HDLC's address (pppd), then the control byte; or before all. */
static int directed_ppp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 2);
    if (rc)
        return rc;
    dp_cursor_skip(cursor, cursor->at[1] == 0x03 ? 2 : 1);
    return dp_ppp_decode(cursor, packet);
}

/* nflog: family, version, group, then TLVs in the byte order of the machine that captured. Types are small
 * numbers, perhaps with a flag in the highest bit: that shows the order. The payload TLV may itself be a part
 * of the packet, so that the frame's length says nothing about the packet's. */
static int nflog_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 4);
    if (rc)
        return rc;
    if (cursor->at[1] != 0)
        return DP_ERR_UNSUPPORTED;
    dp_cursor_skip(cursor, 4);
    for (;;) {
        if (cursor->wire == 0)
            return DP_ERR_UNSUPPORTED; /* no payload: only metadata was logged */
        rc = dp_cursor_need(cursor, 4);
        if (rc)
            return rc;
        uint16_t len, type;
        memcpy(&len, cursor->at, 2);
        memcpy(&type, cursor->at + 2, 2);
        if ((type & 0x7f) == 0) {
            len = __builtin_bswap16(len);
            type = __builtin_bswap16(type);
        }
        if (len < 4 || len > cursor->wire)
            return DP_ERR_FORMAT;
        if ((type & 0x7fff) == NFLOG_PAYLOAD) {
            dp_cursor_skip(cursor, 4);
            dp_cursor_limit(cursor, len - 4U);
            cursor->wire_known = false;
            return dp_ip_decode(cursor, packet);
        }
        size_t padded = (len + 3U) & ~3U;
        if (padded > cursor->wire)
            padded = cursor->wire;
        rc = dp_cursor_need(cursor, padded);
        if (rc)
            return rc;
        dp_cursor_skip(cursor, padded);
    }
}

int dp_link_decode(int link_type, struct dp_cursor *cursor, struct dp_packet *packet)
{
    if (link_type == LINK_ETHERNET) /* nearly always */
        return ethernet_decode(cursor, packet);
    switch (link_type) {
    case LINK_COOKED:
        return cooked_decode(cursor, packet);
    case LINK_COOKED2:
        return cooked2_decode(cursor, packet);
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
        return dp_ip_decode(cursor, packet);
    case LINK_IPV4:
        return dp_ipv4_decode(cursor, packet);
    case LINK_IPV6:
        return dp_ipv6_decode(cursor, packet);
    case LINK_NULL:
    case LINK_LOOP:
        return loopback_decode(cursor, packet);
    case LINK_PPP:
        return dp_ppp_decode(cursor, packet);
    case LINK_PPP_SERIAL:
        return serial_decode(cursor, packet);
    case LINK_PPP_ETHER:
        return dp_pppoe_decode(cursor, packet);
    case LINK_CISCO_HDLC:
        return cisco_hdlc_decode(cursor, packet);
    case LINK_PPP_PPPD:
    case LINK_PPP_DIRECTION:
        return directed_ppp_decode(cursor, packet);
    case LINK_NFLOG:
        return nflog_decode(cursor, packet);
    default:
        return DP_ERR_UNSUPPORTED;
    }
}
