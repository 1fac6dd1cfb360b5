#include "tests/unit/packet/wraps.h"

#include <string.h>

static uint16_t ethertype(uint8_t family)
{
    return family == 4 ? 0x0800 : 0x86dd;
}

static void append(struct frame *frame, const struct frame *packet)
{
    frame_put(frame, packet->bytes, packet->len);
}

void outer_ethernet(struct frame *frame, uint16_t type)
{
    frame_put(frame, "\x02\x00\x00\x00\x00\x11\x02\x00\x00\x00\x00\x12", 12);
    frame_16(frame, type);
}

void outer_ipv4(struct frame *frame, uint8_t proto, size_t len)
{
    frame_32(frame, 0x45000000 | (uint32_t)(20 + len));
    frame_32(frame, 0x77774000);
    frame_8(frame, 255);
    frame_8(frame, proto);
    frame_16(frame, 0);
    frame_put(frame, "\xcb\x00\x71\x51\xcb\x00\x71\x52", 8);
}

void outer_ipv6(struct frame *frame, uint8_t next, size_t len)
{
    frame_32(frame, 0x60000000);
    frame_16(frame, (uint16_t)len);
    frame_8(frame, next);
    frame_8(frame, 254);
    frame_put(frame, "\x20\x01\x0d\xb8\0\xff\0\0\0\0\0\0\0\0\0\x51", 16);
    frame_put(frame, "\x20\x01\x0d\xb8\0\xff\0\0\0\0\0\0\0\0\0\x52", 16);
}

void inner_ethernet(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_ethernet(frame, ethertype(family));
    append(frame, packet);
}

/* --- over Ethernet --- */

static void qinq(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x88a8);
    frame_32(frame, 0x00648100);
    frame_16(frame, 0x2005);
    frame_16(frame, ethertype(family));
    append(frame, packet);
}

static void mpls_ip(struct frame *frame, const struct frame *packet, uint8_t family)
{
    (void)family;
    outer_ethernet(frame, 0x8847);
    frame_32(frame, 100U << 12 | 64);
    frame_32(frame, 7U << 12 | 64); /* entropy label indicator and label (RFC 6790) */
    frame_32(frame, 70001U << 12);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    append(frame, packet);
}

static void mpls_control_word(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8847);
    frame_32(frame, 100U << 12 | 64);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    frame_32(frame, 0x00000017);
    inner_ethernet(frame, packet, family);
}

/* Without a control word, and with a destination address that may as well begin one, or an IP header. */
static void pseudowire(struct frame *frame, uint8_t first, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8848);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    size_t at = frame->len;
    inner_ethernet(frame, packet, family);
    memcpy(frame->bytes + at + 4, "\xfe\xdc", 2);
    frame->bytes[at] = first;
}

static void mpls_ethernet_0(struct frame *frame, const struct frame *packet, uint8_t family)
{
    pseudowire(frame, 0x02, packet, family);
}

static void mpls_ethernet_4(struct frame *frame, const struct frame *packet, uint8_t family)
{
    pseudowire(frame, 0x4a, packet, family);
}

static void mpls_ethernet_6(struct frame *frame, const struct frame *packet, uint8_t family)
{
    pseudowire(frame, 0x6e, packet, family);
}

static void mpls_ethernet_a(struct frame *frame, const struct frame *packet, uint8_t family)
{
    pseudowire(frame, 0xae, packet, family);
}

static void pppoe_header(struct frame *frame, size_t len)
{
    frame_16(frame, 0x1100);
    frame_16(frame, 0x4711);
    frame_16(frame, (uint16_t)len);
}

static void pppoe(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8864);
    pppoe_header(frame, packet->len + 2);
    frame_16(frame, family == 4 ? 0x0021 : 0x0057);
    append(frame, packet);
}

static void pppoe_compressed(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8100);
    frame_32(frame, 0x00078864);
    pppoe_header(frame, packet->len + 1);
    frame_8(frame, family == 4 ? 0x21 : 0x57);
    append(frame, packet);
}

/* --- PPP as it is captured --- */

static void ppp(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_16(frame, family == 4 ? 0x0021 : 0x0057);
    append(frame, packet);
}

static void ppp_hdlc(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_16(frame, 0xff03);
    frame_8(frame, family == 4 ? 0x21 : 0x57);
    append(frame, packet);
}

static void ppp_pppd(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_16(frame, 0x0103);
    ppp(frame, packet, family);
}

static void ppp_direction(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_8(frame, 0);
    ppp_hdlc(frame, packet, family);
}

static void ppp_mpls(struct frame *frame, const struct frame *packet, uint8_t family)
{
    (void)family;
    frame_32(frame, 0xff030281);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    append(frame, packet);
}

static void ppp_ether(struct frame *frame, const struct frame *packet, uint8_t family)
{
    pppoe_header(frame, packet->len + 2);
    ppp(frame, packet, family);
}

static void cisco_hdlc(struct frame *frame, const struct frame *packet, uint8_t family)
{
    frame_16(frame, 0x0f00);
    frame_16(frame, ethertype(family));
    append(frame, packet);
}

/* --- over IP --- */

static void ip_in_ipv4(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, family == 4 ? 4 : 41, packet->len);
    append(frame, packet);
}

static void ip_in_ipv6(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x86dd);
    outer_ipv6(frame, 60, 8 + packet->len);
    frame_8(frame, family == 4 ? 4 : 41);
    frame_put(frame, "\x00\x04\x01\x04\x01\x01\x00", 7); /* tunnel encapsulation limit (RFC 2473) */
    append(frame, packet);
}

static void srv6_ethernet(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x86dd);
    outer_ipv6(frame, 43, 24 + 14 + packet->len);
    frame_put(frame, "\x8f\x02\x04\x00\x00\x00\x00\x00\x20\x01\x0d\xb8\0\xff\0\0\0\0\0\0\0\0\0\x52", 24);
    inner_ethernet(frame, packet, family);
}

static void ah_tunnel(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 51, 24 + packet->len);
    frame_8(frame, family == 4 ? 4 : 41);
    frame_put(frame, "\x04\0\0\0\0\1\0\0\0\2\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\0", 23);
    append(frame, packet);
}

static void etherip(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 97, 2 + 14 + packet->len);
    frame_16(frame, 0x3000);
    inner_ethernet(frame, packet, family);
}

static void mpls_in_ip(struct frame *frame, const struct frame *packet, uint8_t family)
{
    (void)family;
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 137, 4 + packet->len);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    append(frame, packet);
}

static void gre(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 4 + packet->len);
    frame_16(frame, 0);
    frame_16(frame, ethertype(family));
    append(frame, packet);
}

static void gre_with_all(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x86dd);
    outer_ipv6(frame, 47, 16 + packet->len);
    frame_16(frame, 0xb000);
    frame_16(frame, ethertype(family));
    frame_put(frame, "\xab\xcd\0\0\0\0\0\x2a\0\0\0\1", 12);
    append(frame, packet);
}

static void gre_ethernet(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 8 + 14 + packet->len);
    frame_32(frame, 0x20006558);
    frame_32(frame, 0x00138800); /* NVGRE: a segment and a flow */
    inner_ethernet(frame, packet, family);
}

static void gre_mpls(struct frame *frame, const struct frame *packet, uint8_t family)
{
    (void)family;
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 8 + packet->len);
    frame_32(frame, 0x00008847);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    append(frame, packet);
}

static void gre_ppp(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 6 + packet->len);
    frame_32(frame, 0x0000880b);
    ppp(frame, packet, family);
}

static void erspan1(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 4 + 14 + packet->len);
    frame_32(frame, 0x000088be);
    inner_ethernet(frame, packet, family);
}

static void erspan2(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 16 + 14 + packet->len);
    frame_32(frame, 0x100088be);
    frame_put(frame, "\0\0\0\1\x10\x05\0\x07\0\0\0\x09", 12);
    inner_ethernet(frame, packet, family);
}

static void erspan3(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 47, 28 + 14 + packet->len);
    frame_32(frame, 0x100022eb);
    frame_put(frame, "\0\0\0\1\x20\x05\0\x07\0\0\0\x09\0\0\0\x01\0\0\0\0\0\0\0\0", 24);
    inner_ethernet(frame, packet, family);
}

/* --- over UDP --- */

static void vxlan_to(uint16_t port, uint32_t flags, struct frame *frame, const struct frame *packet,
                     uint8_t family)
{
    frame_udp(frame, 51000, port, 8 + 14 + packet->len);
    frame_32(frame, flags);
    frame_32(frame, 42U << 8);
    inner_ethernet(frame, packet, family);
}

static void vxlan(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 17, 8 + 8 + 14 + packet->len);
    vxlan_to(4789, 0x08000000, frame, packet, family);
}

static void vxlan_of_linux(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x86dd);
    outer_ipv6(frame, 17, 8 + 8 + 14 + packet->len);
    vxlan_to(8472, 0x08000000, frame, packet, family);
}

static void vxlan_group_policy(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 17, 8 + 8 + 14 + packet->len);
    vxlan_to(4789, 0x88081234, frame, packet, family);
}

static void vxlan_tagged(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8100);
    frame_32(frame, 0x00050800);
    outer_ipv4(frame, 17, 8 + 8 + 14 + 4 + packet->len);
    frame_udp(frame, 51000, 4789, 8 + 14 + 4 + packet->len);
    frame_32(frame, 0x08000000);
    frame_32(frame, 42U << 8);
    frame_ethernet(frame, 0x8100);
    frame_16(frame, 0x0006);
    frame_16(frame, ethertype(family));
    append(frame, packet);
}

static void geneve(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 17, 8 + 16 + 14 + packet->len);
    frame_udp(frame, 51000, 6081, 16 + 14 + packet->len);
    frame_32(frame, 0x02406558); /* 8 bytes of options, critical ones */
    frame_32(frame, 42U << 8);
    frame_put(frame, "\x01\x02\x80\x01\0\0\0\x05", 8);
    inner_ethernet(frame, packet, family);
}

static void geneve_ip(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x86dd);
    outer_ipv6(frame, 17, 8 + 8 + packet->len);
    frame_udp(frame, 51000, 6081, 8 + packet->len);
    frame_16(frame, 0);
    frame_16(frame, ethertype(family));
    frame_32(frame, 42U << 8);
    append(frame, packet);
}

static void mpls_in_udp(struct frame *frame, const struct frame *packet, uint8_t family)
{
    (void)family;
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 17, 8 + 4 + packet->len);
    frame_udp(frame, 51000, 6635, 4 + packet->len);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    append(frame, packet);
}

/* An ADSL line's traffic in a provider's network: PPPoE in a pseudowire in GRE, tagged at both ends. */
static void all_at_once(struct frame *frame, const struct frame *packet, uint8_t family)
{
    outer_ethernet(frame, 0x8100);
    frame_32(frame, 0x00050800);
    outer_ipv4(frame, 47, 4 + 8 + 18 + 8 + packet->len);
    frame_32(frame, 0x00008847);
    frame_32(frame, 200U << 12 | 0x100 | 64);
    frame_32(frame, 0);
    frame_ethernet(frame, 0x8100);
    frame_32(frame, 0x00068864);
    pppoe_header(frame, packet->len + 2);
    ppp(frame, packet, family);
}

#define ETHERNET 1

const struct wrap wraps[] = {
    {"QinQ", ETHERNET, 0, 2, qinq},
    {"MPLS", ETHERNET, 1, 0, mpls_ip},
    {"Ethernet pseudowire with control word", ETHERNET, 1, 0, mpls_control_word},
    {"Ethernet pseudowire, address 02:", ETHERNET, 1, 0, mpls_ethernet_0},
    {"Ethernet pseudowire, address 4a:", ETHERNET, 1, 0, mpls_ethernet_4},
    {"Ethernet pseudowire, address 6e:", ETHERNET, 1, 0, mpls_ethernet_6},
    {"Ethernet pseudowire, address ae:", ETHERNET, 1, 0, mpls_ethernet_a},
    {"PPPoE", ETHERNET, 1, 0, pppoe},
    {"PPPoE, tagged, protocol compressed", ETHERNET, 1, 1, pppoe_compressed},
    {"PPP", 9, 1, 0, ppp},
    {"PPP in HDLC", 9, 1, 0, ppp_hdlc},
    {"PPP on a serial line", 50, 1, 0, ppp_hdlc},
    {"PPP of pppd", 166, 1, 0, ppp_pppd},
    {"PPP with direction", 204, 1, 0, ppp_direction},
    {"MPLS in PPP", 9, 2, 0, ppp_mpls},
    {"PPPoE without Ethernet", 51, 1, 0, ppp_ether},
    {"Cisco HDLC", 104, 0, 0, cisco_hdlc},
    {"Cisco HDLC on a serial line", 50, 0, 0, cisco_hdlc},
    {"IP in IPv4", ETHERNET, 1, 0, ip_in_ipv4},
    {"IP in IPv6", ETHERNET, 1, 0, ip_in_ipv6},
    {"Ethernet in SRv6", ETHERNET, 1, 0, srv6_ethernet},
    {"AH in tunnel mode", ETHERNET, 1, 0, ah_tunnel},
    {"EtherIP", ETHERNET, 1, 0, etherip},
    {"MPLS in IP", ETHERNET, 1, 0, mpls_in_ip},
    {"GRE", ETHERNET, 1, 0, gre},
    {"GRE with checksum, key and sequence number", ETHERNET, 1, 0, gre_with_all},
    {"NVGRE", ETHERNET, 1, 0, gre_ethernet},
    {"MPLS in GRE", ETHERNET, 1, 0, gre_mpls},
    {"PPP in GRE", ETHERNET, 1, 0, gre_ppp},
    {"ERSPAN type I", ETHERNET, 1, 0, erspan1},
    {"ERSPAN type II", ETHERNET, 1, 0, erspan2},
    {"ERSPAN type III", ETHERNET, 1, 0, erspan3},
    {"VXLAN", ETHERNET, 1, 0, vxlan},
    {"VXLAN on Linux's old port", ETHERNET, 1, 0, vxlan_of_linux},
    {"VXLAN with group policy", ETHERNET, 1, 0, vxlan_group_policy},
    {"VXLAN, tagged outside and inside", ETHERNET, 1, 2, vxlan_tagged},
    {"Geneve with options", ETHERNET, 1, 0, geneve},
    {"Geneve with IP", ETHERNET, 1, 0, geneve_ip},
    {"MPLS in UDP", ETHERNET, 1, 0, mpls_in_udp},
    {"PPPoE in a pseudowire in GRE, tagged twice", ETHERNET, 2, 2, all_at_once},
};
const size_t wrap_count = sizeof wraps / sizeof wraps[0];
