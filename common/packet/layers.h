/* The layers of a frame, one function each; each hands the cursor on to the next. Internal to packet.
 * All return 0, DP_ERR_UNSUPPORTED, DP_ERR_TRUNCATED or DP_ERR_FORMAT, and fill `packet` as far as they get.
 */
#ifndef DROPPOINT_COMMON_PACKET_LAYERS_H
#define DROPPOINT_COMMON_PACKET_LAYERS_H

#include "common/packet/cursor.h"
#include "common/packet/packet.h"

enum dp_ethertype {
    DP_TYPE_LEAST = 0x0600, /* smaller numbers are lengths (IEEE 802.3) */
    DP_TYPE_IPV4 = 0x0800,
    DP_TYPE_TEB = 0x6558, /* an Ethernet frame (RFC 1701) */
    DP_TYPE_VLAN = 0x8100,
    DP_TYPE_IPV6 = 0x86dd,
    DP_TYPE_PPP = 0x880b,
    DP_TYPE_MPLS = 0x8847,
    DP_TYPE_MPLS_UPSTREAM = 0x8848, /* once multicast (RFC 5332) */
    DP_TYPE_PPPOE = 0x8864,         /* session stage */
    DP_TYPE_QINQ = 0x88a8,
    DP_TYPE_ERSPAN2 = 0x88be,
    DP_TYPE_ERSPAN3 = 0x22eb,
    DP_TYPE_VLAN_OLD = 0x9100,
};

#define DP_LINK_ETHERNET 1 /* LINKTYPE_ number */
#define DP_VLAN_DEPTH_MAX 8

static inline bool dp_is_vlan(uint16_t type)
{
    return type == DP_TYPE_VLAN || type == DP_TYPE_QINQ || type == DP_TYPE_VLAN_OLD;
}

/* A frame of a capture, by its link type. */
int dp_link_decode(int link_type, struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* An Ethernet frame without its checksum. */
int dp_ethernet_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* What follows an EtherType: VLAN tags, then IP or what carries it. */
int dp_ethertype_decode(uint16_t type, struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* IPv4 or IPv6, as the version nibble says. */
int dp_ip_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;
int dp_ipv4_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;
int dp_ipv6_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* MPLS (RFC 3032): a stack of labels, then IP or an Ethernet pseudowire (RFC 4448), which no field tells
 * apart. */
int dp_mpls_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* PPPoE's session stage (RFC 2516), from its version on. */
int dp_pppoe_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* PPP (RFC 1661), with HDLC's address and control bytes or without. */
int dp_ppp_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* Where packet->proto names an encapsulation: what it carries. The cursor is behind the IP header. */
int dp_ip_tunnel_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* Where packet->dport is that of an encapsulation: what it carries. The cursor is behind the UDP header. */
int dp_udp_tunnel_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* What packet->proto names; the cursor ends where the IP packet ends. */
int dp_transport_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* Everything from here on is the packet's payload. */
int dp_payload_decode(const struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* One encapsulation farther in: the packet around is forgotten. */
static inline int dp_go_inside(struct dp_packet *packet)
{
    if (packet->encapsulations == DP_ENCAPSULATIONS_MAX)
        return DP_ERR_UNSUPPORTED;
    *packet = (struct dp_packet){
        .wscale = 0xff,
        .vlan_depth = packet->vlan_depth,
        .encapsulations = (uint8_t)(packet->encapsulations + 1),
    };
    return DP_OK;
}

#endif
