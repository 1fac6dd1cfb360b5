/* TCP (RFC 9293) with its options, UDP, ICMP, ICMPv6, SCTP. */
#include "common/packet/layers.h"

enum {
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMPV6 = 58,
    PROTO_SCTP = 132,
    PROTO_UDPLITE = 136
};

enum {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_OK = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8
};

#define TCP_HEADER 20U
#define UDP_HEADER 8U
#define SCTP_HEADER 12U

int dp_payload_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    packet->payload_len = (uint32_t)cursor->wire;
    packet->payload_captured = (uint32_t)cursor->captured;
    packet->payload = cursor->captured ? cursor->at : NULL;
    return DP_OK;
}

static void read_timestamps(const uint8_t *at, struct dp_packet *packet)
{
    packet->has_timestamps = true;
    packet->tsval = dp_be32(at + 2);
    packet->tsecr = dp_be32(at + 6);
}

static void read_option(const uint8_t *at, size_t len, struct dp_packet *packet)
{
    switch (at[0]) {
    case OPTION_MSS:
        if (len == 4)
            packet->mss = dp_be16(at + 2);
        break;
    case OPTION_WSCALE:
        if (len == 3)
            packet->wscale = at[2];
        break;
    case OPTION_SACK_OK:
        if (len == 2)
            packet->sack_permitted = true;
        break;
    case OPTION_SACK:
        if ((len - 2) % 8 || (len - 2) / 8 > DP_SACK_MAX)
            break;
        packet->sack_count = (uint8_t)((len - 2) / 8);
        for (size_t i = 0; i < packet->sack_count; i++) {
            packet->sack[i][0] = dp_be32(at + 2 + i * 8);
            packet->sack[i][1] = dp_be32(at + 6 + i * 8);
        }
        break;
    case OPTION_TIMESTAMPS:
        if (len == 10)
            read_timestamps(at, packet);
        break;
    default:
        break;
    }
}

/* Options that don't parse end the walk and cost only themselves: the packet is as good as its header. */
static void read_options(const uint8_t *at, size_t left, struct dp_packet *packet)
{
    /* What nearly every packet of a connection with timestamps carries, and nothing else (RFC 7323 appendix
     * A). */
    if (left == 12 && dp_be32(at) == 0x0101080a) {
        read_timestamps(at + 2, packet);
        return;
    }
    while (left) {
        if (at[0] == OPTION_END)
            return;
        if (at[0] == OPTION_NOP) {
            at++;
            left--;
            continue;
        }
        if (left < 2 || at[1] < 2 || at[1] > left)
            return;
        size_t len = at[1];
        read_option(at, len, packet);
        at += len;
        left -= len;
    }
}

static int tcp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, TCP_HEADER);
    if (rc)
        return rc;
    const uint8_t *at = cursor->at;
    size_t header = (size_t)(at[12] >> 4) * 4;
    if (header < TCP_HEADER || header > cursor->wire)
        return DP_ERR_FORMAT;
    packet->sport = dp_be16(at);
    packet->dport = dp_be16(at + 2);
    packet->seq = dp_be32(at + 4);
    packet->ack = dp_be32(at + 8);
    packet->tcp_flags = (uint16_t)(dp_be16(at + 12) & 0x1ff);
    packet->window = dp_be16(at + 14);
    size_t captured = header < cursor->captured ? header : cursor->captured;
    packet->options_cut = captured < header;
    read_options(at + TCP_HEADER, captured - TCP_HEADER, packet);
    cursor->at += captured;
    cursor->captured -= captured;
    cursor->wire -= header;
    return dp_payload_decode(cursor, packet);
}

static int udp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, UDP_HEADER);
    if (rc)
        return rc;
    const uint8_t *at = cursor->at;
    size_t len = dp_be16(at + 4);
    /* 0: a jumbogram; a super-packet may be too long for the field. Of a fragment, the length is the whole
     * datagram's; UDP-Lite has a checksum coverage there. */
    if (len && packet->ip_len <= UINT16_MAX && !packet->fragment && packet->proto == PROTO_UDP) {
        if (len < UDP_HEADER || len > cursor->wire)
            return DP_ERR_FORMAT;
        dp_cursor_limit(cursor, len);
    }
    packet->sport = dp_be16(at);
    packet->dport = dp_be16(at + 2);
    dp_cursor_skip(cursor, UDP_HEADER);
    if (packet->fragment || packet->proto != PROTO_UDP)
        return dp_payload_decode(cursor, packet);
    return dp_udp_tunnel_decode(cursor, packet);
}

static int icmp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, 8);
    if (rc)
        return rc;
    const uint8_t *at = cursor->at;
    packet->icmp_type = at[0];
    packet->icmp_code = at[1];
    bool echo = packet->proto == PROTO_ICMP ? at[0] == 8 || at[0] == 0 : at[0] == 128 || at[0] == 129;
    if (echo)
        packet->sport = packet->dport = dp_be16(at + 4);
    return dp_payload_decode(cursor, packet);
}

static int sctp_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_cursor_need(cursor, SCTP_HEADER);
    if (rc)
        return rc;
    packet->sport = dp_be16(cursor->at);
    packet->dport = dp_be16(cursor->at + 2);
    return dp_payload_decode(cursor, packet);
}

static int by_protocol(struct dp_cursor *cursor, struct dp_packet *packet)
{
    switch (packet->proto) {
    case PROTO_TCP:
        return tcp_decode(cursor, packet);
    case PROTO_UDP:
    case PROTO_UDPLITE:
        return udp_decode(cursor, packet);
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        return icmp_decode(cursor, packet);
    case PROTO_SCTP:
        return sctp_decode(cursor, packet);
    default:
        if (packet->fragment)
            return dp_payload_decode(cursor, packet);
        return dp_ip_tunnel_decode(cursor, packet);
    }
}

int dp_transport_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    if (packet->later_fragment)
        return dp_payload_decode(cursor, packet);
    bool fragment = packet->fragment; /* not that of a packet inside */
    int rc = by_protocol(cursor, packet);
    /* A first fragment may be too short for its transport header; the packet is none the less valid. */
    return rc == DP_ERR_FORMAT && fragment ? dp_payload_decode(cursor, packet) : rc;
}
