/* The layers of a frame, one function each; each hands the cursor on to the next. Internal to packet.
 * All return 0, DP_ERR_UNSUPPORTED, DP_ERR_TRUNCATED or DP_ERR_FORMAT, and fill `packet` as far as they get.
 */
#ifndef DROPPOINT_COMMON_PACKET_LAYERS_H
#define DROPPOINT_COMMON_PACKET_LAYERS_H

#include "common/packet/cursor.h"
#include "common/packet/packet.h"

/* A frame of a capture, by its link type. */
int dp_link_decode(int link_type, struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* What follows an EtherType: VLAN tags, then IP. */
int dp_ethertype_decode(uint16_t type, struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* IPv4 or IPv6, as the version nibble says. */
int dp_ip_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;
int dp_ipv4_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;
int dp_ipv6_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

/* What packet->proto names; the cursor ends where the IP packet ends. */
int dp_transport_decode(struct dp_cursor *cursor, struct dp_packet *packet) DP_MUST_CHECK;

#endif
