/* What carries packets in IP packets: IP in IP (RFC 2003, 4213, 2473), GRE (RFC 2784, 2890; NVGRE, RFC 7637;
 * ERSPAN), EtherIP (RFC 3378), AH (RFC 4302), Ethernet in SRv6 (RFC 8986), MPLS (RFC 4023, 7510), VXLAN (RFC
 * 7348), Geneve (RFC 8926). Each checks its own header and, by a look, the beginning of what it carries.
 * Where that doesn't hold together, it is not there: then these bytes are payload. From there on the inner
 * packet is judged as if it had come bare. */
#include "common/packet/layers.h"
#include "common/packet/looks.h"

enum {
    PROTO_IPV4 = 4,
    PROTO_IPV6 = 41,
    PROTO_GRE = 47,
    PROTO_AH = 51,
    PROTO_ETHERIP = 97,
    PROTO_MPLS = 137,
    PROTO_ETHERNET = 143,
};

enum {
    PORT_VXLAN = 4789,
    PORT_GENEVE = 6081,
    PORT_MPLS = 6635,
    PORT_VXLAN_OLD = 8472, /* Linux before the port was assigned, and still its default */
};

enum {
    GRE_CHECKSUM = 0x8000,
    GRE_KEY = 0x2000,
    GRE_SEQUENCE = 0x1000,
    GRE_OTHER = 0x4fff, /* routing and more of RFC 1701, a version other than 0: PPTP */
};

#define GRE_HEADER 4U
#define VXLAN_HEADER 8U
#define GENEVE_HEADER 8U
#define AH_LEAST 12U
#define ERSPAN_TRUNCATED 0x0400 /* of the second 16 bits */

/* A header of `len` bytes that is not there as a whole: cut off, or no such header. */
static int without_header(size_t len, const struct dp_cursor *in, const struct dp_cursor *cursor,
                          struct dp_packet *packet)
{
    return dp_cursor_need(in, len) == DP_ERR_TRUNCATED ? DP_ERR_TRUNCATED : dp_payload_decode(cursor, packet);
}

static int ip_inside(unsigned version, struct dp_cursor *in, const struct dp_cursor *cursor,
                     struct dp_packet *packet)
{
    if (dp_looks_like_ip(in, version) == DP_LOOKS_WRONG)
        return dp_payload_decode(cursor, packet);
    int rc = dp_go_inside(packet);
    return rc ? rc : dp_ip_decode(in, packet);
}

static int ethernet_inside(struct dp_cursor *in, const struct dp_cursor *cursor, struct dp_packet *packet)
{
    if (dp_looks_like_ethernet(in) == DP_LOOKS_WRONG)
        return dp_payload_decode(cursor, packet);
    int rc = dp_go_inside(packet);
    return rc ? rc : dp_ethernet_decode(in, packet);
}

/* `least`: what it must look like at least. */
static int mpls_inside(enum dp_looks least, struct dp_cursor *in, const struct dp_cursor *cursor,
                       struct dp_packet *packet)
{
    enum dp_looks looks = dp_looks_like_mpls(in);
    if (looks != DP_LOOKS_CUT && looks < least)
        return dp_payload_decode(cursor, packet);
    return dp_mpls_decode(in, packet);
}

/* By EtherType. What is none of ours is nevertheless carried by something that is. */
static int inside(uint16_t type, struct dp_cursor *in, const struct dp_cursor *cursor,
                  struct dp_packet *packet)
{
    switch (type) {
    case DP_TYPE_IPV4:
        return ip_inside(4, in, cursor, packet);
    case DP_TYPE_IPV6:
        return ip_inside(6, in, cursor, packet);
    case DP_TYPE_TEB:
        return ethernet_inside(in, cursor, packet);
    case DP_TYPE_MPLS:
    case DP_TYPE_MPLS_UPSTREAM:
        return mpls_inside(DP_LOOKS_RIGHT, in, cursor, packet);
    case DP_TYPE_PPP:
        return dp_ppp_decode(in, packet);
    default:
        return DP_ERR_UNSUPPORTED;
    }
}

/* ERSPAN: frames that a switch mirrors. Type I has no header of its own and no GRE sequence number, the
 * others have both. The switch may have cut the frame. */
static int erspan_decode(uint16_t type, bool sequence, struct dp_cursor *in, const struct dp_cursor *cursor,
                         struct dp_packet *packet)
{
    if (type == DP_TYPE_ERSPAN2 && !sequence)
        return ethernet_inside(in, cursor, packet);
    size_t len = type == DP_TYPE_ERSPAN2 ? 8 : 12;
    if (dp_cursor_need(in, len))
        return without_header(len, in, cursor, packet);
    if (in->at[0] >> 4 != (type == DP_TYPE_ERSPAN2 ? 1 : 2))
        return dp_payload_decode(cursor, packet);
    bool cut = (dp_be16(in->at + 2) & ERSPAN_TRUNCATED) != 0;
    if (type == DP_TYPE_ERSPAN3 && in->at[11] & 1) /* a subheader for the platform */
        len += 8;
    if (dp_cursor_need(in, len))
        return without_header(len, in, cursor, packet);
    dp_cursor_skip(in, len);
    if (cut)
        in->wire_known = false;
    return ethernet_inside(in, cursor, packet);
}

static int gre_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    if (dp_cursor_need(&in, GRE_HEADER))
        return without_header(GRE_HEADER, &in, cursor, packet);
    uint16_t flags = dp_be16(in.at);
    uint16_t type = dp_be16(in.at + 2);
    if (flags & GRE_OTHER)
        return dp_payload_decode(cursor, packet);
    size_t len = GRE_HEADER + (flags & GRE_CHECKSUM ? 4U : 0U) + (flags & GRE_KEY ? 4U : 0U) +
                 (flags & GRE_SEQUENCE ? 4U : 0U);
    if (dp_cursor_need(&in, len))
        return without_header(len, &in, cursor, packet);
    dp_cursor_skip(&in, len);
    if (type == DP_TYPE_ERSPAN2 || type == DP_TYPE_ERSPAN3)
        return erspan_decode(type, (flags & GRE_SEQUENCE) != 0, &in, cursor, packet);
    return inside(type, &in, cursor, packet);
}

static int etherip_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    if (dp_cursor_need(&in, 2))
        return without_header(2, &in, cursor, packet);
    if (dp_be16(in.at) != 0x3000) /* version 3, and nothing else */
        return dp_payload_decode(cursor, packet);
    dp_cursor_skip(&in, 2);
    return ethernet_inside(&in, cursor, packet);
}

/* The bits that RFC 7348 reserves are 0, except for those of the group policy extension that Linux and others
 * know. */
static bool is_vxlan(const uint8_t *at)
{
    bool group = (at[0] & 0x80) != 0;
    uint32_t other = dp_be32(at) & 0x00ffffff;
    return (at[0] & 0x7f) == 0x08 && at[7] == 0 && (group ? (other & 0xb70000) == 0 : other == 0);
}

static int vxlan_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    if (dp_cursor_need(&in, VXLAN_HEADER))
        return without_header(VXLAN_HEADER, &in, cursor, packet);
    if (!is_vxlan(in.at))
        return dp_payload_decode(cursor, packet);
    dp_cursor_skip(&in, VXLAN_HEADER);
    return ethernet_inside(&in, cursor, packet);
}

static int geneve_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    if (dp_cursor_need(&in, GENEVE_HEADER))
        return without_header(GENEVE_HEADER, &in, cursor, packet);
    size_t len = GENEVE_HEADER + (in.at[0] & 0x3fU) * 4;
    uint16_t type = dp_be16(in.at + 2);
    bool control = (in.at[1] & 0x80) != 0;
    if (in.at[0] >> 6 != 0 || (in.at[1] & 0x3f) != 0 || in.at[7] != 0 || type < DP_TYPE_LEAST)
        return dp_payload_decode(cursor, packet);
    if (dp_cursor_need(&in, len))
        return without_header(len, &in, cursor, packet);
    dp_cursor_skip(&in, len);
    return control ? DP_ERR_UNSUPPORTED : inside(type, &in, cursor, packet);
}

/* An authentication header (RFC 4302) hides nothing. Behind IPv6 it is one of the extension headers. */
static int ah_decode(const struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    if (dp_cursor_need(&in, AH_LEAST))
        return without_header(AH_LEAST, &in, cursor, packet);
    uint8_t next = in.at[0];
    size_t len = (in.at[1] + 2U) * 4;
    if (len < AH_LEAST || next == PROTO_AH)
        return dp_payload_decode(cursor, packet);
    if (dp_cursor_need(&in, len))
        return without_header(len, &in, cursor, packet);
    dp_cursor_skip(&in, len);
    packet->proto = next;
    return dp_transport_decode(&in, packet);
}

int dp_ip_tunnel_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    switch (packet->proto) {
    case PROTO_IPV4:
        return ip_inside(4, &in, cursor, packet);
    case PROTO_IPV6:
        return ip_inside(6, &in, cursor, packet);
    case PROTO_GRE:
        return gre_decode(cursor, packet);
    case PROTO_ETHERIP:
        return etherip_decode(cursor, packet);
    case PROTO_AH:
        return ah_decode(cursor, packet);
    case PROTO_MPLS:
        return mpls_inside(DP_LOOKS_RIGHT, &in, cursor, packet);
    case PROTO_ETHERNET:
        return ethernet_inside(&in, cursor, packet);
    default:
        return dp_payload_decode(cursor, packet);
    }
}

int dp_udp_tunnel_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    struct dp_cursor in = *cursor;
    switch (packet->dport) {
    case PORT_VXLAN:
    case PORT_VXLAN_OLD:
        return vxlan_decode(cursor, packet);
    case PORT_GENEVE:
        return geneve_decode(cursor, packet);
    case PORT_MPLS:
        return mpls_inside(DP_LOOKS_SURE, &in, cursor, packet);
    default:
        return dp_payload_decode(cursor, packet);
    }
}
