/* Packets inside of others: VLAN tags, MPLS, PPP, tunnels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/packet/packet.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/hello.h"
#include "tests/unit/packet/wraps.h"

enum { ETHERNET = 1, RAW = 101 };

static void hello(struct frame *frame, uint8_t family)
{
    *frame = (struct frame){.len = 0};
    if (family == 4)
        frame_hello4(frame);
    else
        frame_hello6(frame);
}

static void wrap_hello(const struct wrap *wrap, uint8_t family, struct frame *frame)
{
    struct frame packet;
    hello(&packet, family);
    *frame = (struct frame){.len = 0};
    wrap->around(frame, &packet, family);
}

/* The digest of a packet that travels inside of another is that of the packet as it is. */
static void test_same_packet_in_every_encapsulation(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct frame frame;
            struct dp_packet packet = {0};
            wrap_hello(&wraps[i], family, &frame);
            assert_true(dp_link_type_supported(wraps[i].link_type));
            int rc = decode_frame(wraps[i].link_type, &frame, frame.len, frame.len, &packet);
            if (rc != DP_OK || packet.dport != 25 || packet.encapsulations != wraps[i].encapsulations ||
                packet.vlan_depth != wraps[i].vlan_depth)
                fail_msg("%s, IPv%d: code %d, port %d, encapsulations %d, tags %d", wraps[i].name, family, rc,
                         packet.dport, packet.encapsulations, packet.vlan_depth);
            assert_hello(&packet, family);
        }
    }
}

/* However long the frame was in its bare form, what came behind it is not payload. */
static void test_padding_and_trailers(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        struct frame frame;
        struct dp_packet packet;
        wrap_hello(&wraps[i], 6, &frame);
        frame_text(&frame, "CRC!");
        int rc = decode_frame(wraps[i].link_type, &frame, frame.len, frame.len, &packet);
        if (rc != DP_OK)
            fail_msg("%s: code %d", wraps[i].name, rc);
        assert_hello(&packet, 6);
    }
}

/* Until the innermost transport header is there, the packet is cut off: it is never taken for the one around.
 */
static void test_cut_by_the_snap_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct frame frame;
            wrap_hello(&wraps[i], family, &frame);
            for (size_t len = 0; len < frame.len; len++) {
                struct dp_packet packet;
                int rc = decode_frame(wraps[i].link_type, &frame, len, frame.len, &packet);
                if (rc != (len < frame.len - 17 ? DP_ERR_TRUNCATED : DP_OK))
                    fail_msg("%s, IPv%d, %zu of %zu bytes: code %d", wraps[i].name, family, len, frame.len,
                             rc);
                if (rc == DP_OK)
                    assert_int_equal(packet.dport, 25);
            }
        }
    }
}

/* The frame itself was so short on the wire: then some length lies, and the packet is not followed. */
static void test_short_on_the_wire(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct frame frame;
            wrap_hello(&wraps[i], family, &frame);
            for (size_t len = 0; len < frame.len; len++) {
                struct dp_packet packet;
                int rc = decode_frame(wraps[i].link_type, &frame, len, len, &packet);
                if (rc == DP_OK || rc == DP_ERR_TRUNCATED)
                    fail_msg("%s, IPv%d, %zu of %zu bytes: code %d", wraps[i].name, family, len, frame.len,
                             rc);
            }
        }
    }
}

/* The outer lengths hold, and the inner packet claims to be longer than there is room for it. */
static void test_inner_length_that_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct frame frame, lying;
            struct dp_packet packet = {0};
            hello(&lying, family);
            lying.bytes[family == 4 ? 3 : 5]++;
            frame = (struct frame){.len = 0};
            wraps[i].around(&frame, &lying, family);
            int rc = decode_frame(wraps[i].link_type, &frame, frame.len, frame.len, &packet);
            if (rc == DP_OK && packet.dport == 25)
                fail_msg("%s, IPv%d: followed", wraps[i].name, family);
        }
    }
}

/* What is behind a UDP or IP header and does not hold together is the payload of an ordinary packet. */
static void assert_outer(const struct frame *frame, uint8_t proto, uint16_t dport, uint32_t payload_len)
{
    struct dp_packet packet = {0};
    assert_int_equal(decode_frame(ETHERNET, frame, frame->len, frame->len, &packet), DP_OK);
    assert_int_equal(packet.proto, proto);
    assert_int_equal(packet.dport, dport);
    assert_int_equal(packet.payload_len, payload_len);
    assert_int_equal(packet.encapsulations, 0);
    assert_int_equal(packet.src.bytes[3], 0x51);
}

static void vxlan_like(struct frame *frame, uint16_t port, const void *header, const void *rest,
                       size_t rest_len)
{
    *frame = (struct frame){.len = 0};
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, 17, 8 + 8 + rest_len);
    frame_udp(frame, 51000, port, 8 + rest_len);
    frame_put(frame, header, 8);
    frame_put(frame, rest, rest_len);
}

static void test_port_of_vxlan_without_vxlan(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "\x00\0\0\0\0\0\x2a\0", /* no network identifier */
        "\x0c\0\0\0\0\0\x2a\0", /* reserved flags */
        "\x18\0\0\0\0\0\x2a\0",
        "\x08\0\0\x01\0\0\x2a\0", /* reserved bits */
        "\x08\0\0\0\0\0\x2a\x01",
        "\x88\x80\x12\x34\0\0\x2a\0", /* the group policy's too */
        "\x00\x26\x01\x00\x00\x01\x00\x00" /* a question for a name server */,
    };
    struct frame frame, packet, in = {.len = 0};
    hello(&packet, 4);
    inner_ethernet(&in, &packet, 4);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        vxlan_like(&frame, 4789, headers[i], in.bytes, in.len);
        assert_outer(&frame, 17, 4789, 8 + (uint32_t)in.len);
    }
    /* The header is right; what follows is no frame. */
    const char *right = "\x08\0\0\0\0\0\x2a\0";
    for (size_t len = 0; len < 14; len++) {
        vxlan_like(&frame, 8472, right, in.bytes, len);
        assert_outer(&frame, 17, 8472, 8 + (uint32_t)len);
    }
    in.bytes[14] = 0x65; /* another version than the EtherType says */
    vxlan_like(&frame, 4789, right, in.bytes, in.len);
    assert_outer(&frame, 17, 4789, 8 + (uint32_t)in.len);
    in.bytes[14] = 0x44; /* too short a header */
    vxlan_like(&frame, 4789, right, in.bytes, in.len);
    assert_outer(&frame, 17, 4789, 8 + (uint32_t)in.len);
    in.bytes[14] = 0x45, in.bytes[17] = 58; /* longer than there is room */
    vxlan_like(&frame, 4789, right, in.bytes, in.len);
    assert_outer(&frame, 17, 4789, 8 + (uint32_t)in.len);
    in.bytes[12] = 0x05, in.bytes[13] = 0xdc; /* neither a type nor a length that fits */
    vxlan_like(&frame, 4789, right, in.bytes, in.len);
    assert_outer(&frame, 17, 4789, 8 + (uint32_t)in.len);
    /* The other way round the port is only the client's. */
    in.bytes[17] = 57, in.bytes[12] = 0x08, in.bytes[13] = 0x00;
    frame = (struct frame){.len = 0};
    outer_ethernet(&frame, 0x0800);
    outer_ipv4(&frame, 17, 8 + 8 + in.len);
    frame_udp(&frame, 4789, 53, 8 + in.len);
    frame_put(&frame, right, 8);
    frame_put(&frame, in.bytes, in.len);
    assert_outer(&frame, 17, 53, 8 + (uint32_t)in.len);
}

static void over_ip(struct frame *frame, uint8_t proto, const void *bytes, size_t len,
                    const struct frame *packet)
{
    *frame = (struct frame){.len = 0};
    outer_ethernet(frame, 0x0800);
    outer_ipv4(frame, proto, len + packet->len);
    frame_put(frame, bytes, len);
    frame_put(frame, packet->bytes, packet->len);
}

static void test_protocols_that_carry_nothing(void **state)
{
    (void)state;
    struct frame frame, four, six;
    hello(&four, 4);
    hello(&six, 6);
    over_ip(&frame, 4, "", 0, &six); /* IPv6 where IPv4 is said to be, and so on */
    assert_outer(&frame, 4, 0, 77);
    over_ip(&frame, 41, "", 0, &four);
    assert_outer(&frame, 41, 0, 57);
    over_ip(&frame, 47, "\0\0\x08\0", 4, &six);
    assert_outer(&frame, 47, 0, 81);
    over_ip(&frame, 47, "\x40\0\x08\0\0\0\0\0", 8, &four); /* routing */
    assert_outer(&frame, 47, 0, 65);
    over_ip(&frame, 47, "\x30\x01\x88\x0b\0\x3b\0\1\0\0\0\0\0\x21", 14, &four); /* PPTP's GRE */
    assert_outer(&frame, 47, 0, 71);
    over_ip(&frame, 47, "\x10\0\x88\xbe\0\0\0\1\x50\0\0\0\0\0\0\0", 16, &four); /* no ERSPAN */
    assert_outer(&frame, 47, 0, 73);
    over_ip(&frame, 97, "\x30\x01", 2, &four);
    assert_outer(&frame, 97, 0, 59);
    struct frame zeros = {.len = 57};
    over_ip(&frame, 137, "\0\x0c\x80\x40", 4, &zeros); /* no bottom of the stack */
    assert_outer(&frame, 137, 0, 61);
    frame = (struct frame){.len = 0}; /* what nobody knows, on a port that anybody may use */
    outer_ethernet(&frame, 0x0800);
    outer_ipv4(&frame, 17, 8 + 4 + 40);
    frame_udp(&frame, 51000, 6635, 4 + 40);
    frame_32(&frame, 0x000c8140);
    frame_zeros(&frame, 40);
    assert_outer(&frame, 17, 6635, 44);
    over_ip(&frame, 51, "\x33\x01\0\0\0\0\0\0\0\0\0\0", 12, &four); /* AH in AH */
    assert_outer(&frame, 51, 0, 69);
    over_ip(&frame, 51, "\x06\0\0\0\0\0\0\0\0\0\0\0", 12, &four); /* shorter than its own fields */
    assert_outer(&frame, 51, 0, 69);
}

/* Encapsulated, but not IP: ignored as it would be bare. */
static void test_not_ip_inside(void **state)
{
    (void)state;
    struct frame frame, in = {.len = 0};
    struct dp_packet packet;
    frame_ethernet(&in, 0x0806);
    frame_zeros(&in, 28);
    vxlan_like(&frame, 4789, "\x08\0\0\0\0\0\x2a\0", in.bytes, in.len);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
    in = (struct frame){.len = 0};
    frame_ethernet(&in, 38); /* spanning tree */
    frame_put(&in, "\x42\x42\x03\0\0\0", 6);
    frame_zeros(&in, 32);
    vxlan_like(&frame, 4789, "\x08\0\0\0\0\0\x2a\0", in.bytes, in.len);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);

    struct frame none = {.len = 0};
    static const struct {
        uint16_t type;
        size_t len;
        const char *bytes;
    } others[] = {
        {0x8864, 16, "\x11\0\0\1\0\x0a\xc0\x21\x09\x01\0\x08\0\0\0\0"}, /* LCP */
        {0x8864, 12, "\x11\xa7\0\1\0\0\0\0\0\0\0\0"},                   /* the session ends */
        {0x8863, 12, "\x11\x09\0\0\0\0\0\0\0\0\0\0"},                   /* discovery */
        {0x8847, 12, "\0\0\xd1\x40\x10\0\0\x21\x45\0\0\0"},             /* an associated channel (RFC 5586) */
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        frame = (struct frame){.len = 0};
        outer_ethernet(&frame, others[i].type);
        frame_put(&frame, others[i].bytes, others[i].len);
        assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
    }
    over_ip(&frame, 47, "\0\0\0\0", 4, &none); /* a keepalive */
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
}

/* The inner packet is judged as if it had come bare, not turned into the one around it. */
static void test_broken_inner_transport(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        struct frame frame, broken;
        struct dp_packet packet;
        hello(&broken, 4);
        broken.bytes[20 + 12] = 0x40; /* a TCP header of 16 bytes */
        frame = (struct frame){.len = 0};
        wraps[i].around(&frame, &broken, 4);
        int rc = decode_frame(wraps[i].link_type, &frame, frame.len, frame.len, &packet);
        if (rc != DP_ERR_FORMAT)
            fail_msg("%s: code %d", wraps[i].name, rc);
    }
}

/* All headers of the inner packet are in the first fragment of the one around; but it is not there as a
 * whole. */
static void test_fragments_around(void **state)
{
    (void)state;
    struct dp_packet packet;
    for (size_t i = 0; i < wrap_count; i++) {
        struct frame frame;
        wrap_hello(&wraps[i], 4, &frame);
        if (wraps[i].link_type != ETHERNET || frame.bytes[12] != 0x08 || frame.bytes[13] != 0)
            continue;
        frame.bytes[14 + 6] = 0x20; /* more fragments */
        assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
        assert_true(packet.fragment);
        assert_int_equal(packet.encapsulations, 0);
        assert_int_equal(packet.src.bytes[3], 0x51);
        frame.bytes[14 + 6] = 0, frame.bytes[14 + 7] = 9; /* a later one that looks like a tunnel's packet */
        assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
        assert_true(packet.later_fragment);
        assert_int_equal(packet.encapsulations, 0);
    }
    static const char first[] = "\x29\0\0\1\0\0\0\7", whole[] = "\x29\0\0\0\0\0\0\7";
    struct frame inner, frame = {.len = 0};
    hello(&inner, 6);
    outer_ipv6(&frame, 44, 8 + inner.len);
    frame_put(&frame, first, 8);
    frame_put(&frame, inner.bytes, inner.len);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_true(packet.fragment);
    assert_int_equal(packet.proto, 41);
    assert_int_equal(packet.encapsulations, 0);
    memcpy(frame.bytes + 40, whole, 8);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_hello(&packet, 6);
    /* A second header that says "whole" doesn't put the datagram together. */
    frame = (struct frame){.len = 0};
    outer_ipv6(&frame, 44, 16 + inner.len);
    frame_put(&frame, "\x2c\0\0\1\0\0\0\7", 8);
    frame_put(&frame, whole, 8);
    frame_put(&frame, inner.bytes, inner.len);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.encapsulations, 0);
}

/* A fragment that travels in a packet that is whole is the inner packet, and a fragment. */
static void test_fragments_inside(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        struct frame frame, fragment;
        struct dp_packet packet;
        hello(&fragment, 4);
        fragment.bytes[6] = 0x20;
        frame = (struct frame){.len = 0};
        wraps[i].around(&frame, &fragment, 4);
        assert_int_equal(decode_frame(wraps[i].link_type, &frame, frame.len, frame.len, &packet), DP_OK);
        assert_true(packet.fragment);
        assert_int_equal(packet.dport, 25);
        assert_int_equal(packet.encapsulations, wraps[i].encapsulations);
    }
}

/* Puts one of the same around a packet again and again. */
static void nest(struct frame *frame, uint8_t depth)
{
    struct frame inner;
    hello(&inner, 4);
    *frame = (struct frame){.len = 0};
    frame_ethernet(frame, 0x0800);
    for (size_t i = depth; i > 0; i--)
        outer_ipv4(frame, 4, (i - 1) * 20 + inner.len);
    frame_put(frame, inner.bytes, inner.len);
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    struct frame frame;
    struct dp_packet packet;
    for (uint8_t depth = 0; depth <= 30; depth++) {
        nest(&frame, depth);
        int rc = decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet);
        assert_int_equal(rc, depth <= DP_ENCAPSULATIONS_MAX ? DP_OK : DP_ERR_UNSUPPORTED);
        if (rc == DP_OK) {
            assert_hello(&packet, 4);
            assert_int_equal(packet.encapsulations, depth);
        }
    }
    for (size_t labels = 1; labels <= 20; labels++) {
        frame = (struct frame){.len = 0};
        frame_ethernet(&frame, 0x8847);
        for (size_t i = 1; i < labels; i++)
            frame_32(&frame, 0x00064040);
        frame_32(&frame, 0x00064140);
        frame_hello4(&frame);
        assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet),
                         labels <= 16 ? DP_OK : DP_ERR_FORMAT);
    }
    frame = (struct frame){.len = 0}; /* nothing but labels */
    frame_ethernet(&frame, 0x8847);
    for (size_t i = 0; i < 500; i++)
        frame_32(&frame, 0x00064040);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
}

static void set_checksum(uint8_t *header)
{
    uint32_t sum = 0;
    header[10] = header[11] = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(header[i] << 8 | header[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    header[10] = (uint8_t)(~sum >> 8);
    header[11] = (uint8_t)~sum;
}

/* An IPv4 packet behind labels, padded to the least frame, that would pass for an Ethernet frame as well: its
 * source address is where the EtherType would be, and its destination reads like another IPv4 header. */
static void test_mpls_that_may_be_two_things(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ethernet(&frame, 0x8847);
    frame_32(&frame, 0x000c8140);
    size_t ip = frame.len;
    frame_ipv4(&frame, 6, 20);
    memcpy(frame.bytes + ip + 12, "\x08\x00\x45\x00\x00\x1c\x12\x34", 8);
    set_checksum(frame.bytes + ip);
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK, NULL, 0);
    frame_zeros(&frame, 2);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.dport, 25);
    assert_int_equal(packet.ip_len, 40);
    frame.bytes[ip + 10] ^= 1; /* no longer: now the other reading has more for itself */
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 28);
}

/* A switch that mirrors only the beginning of a frame says so; then the inner packet's length is not to be
 * doubted. */
static void test_erspan_that_was_cut(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame, in = {.len = 0}, whole;
    hello(&whole, 4);
    inner_ethernet(&in, &whole, 4);
    in.len -= 3;
    over_ip(&frame, 47, "\x10\0\x88\xbe\0\0\0\1\x10\x05\x04\x07\0\0\0\x09", 16, &in);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.dport, 25);
    assert_int_equal(packet.payload_len, 5);
    assert_int_equal(packet.payload_captured, 2);
    frame.bytes[14 + 20 + 10] = 0; /* it doesn't say so */
    assert_outer(&frame, 47, 0, 16 + (uint32_t)in.len);
}

/* Super-packets: the inner header has no length, or the outer ones are too short for it. */
static void test_super_packet_inside(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame;
    const struct wrap *vxlan = NULL;
    for (size_t i = 0; i < wrap_count; i++)
        vxlan = strcmp(wraps[i].name, "VXLAN") == 0 ? &wraps[i] : vxlan;
    assert_non_null(vxlan);
    wrap_hello(vxlan, 4, &frame);
    size_t outer = 14 + 20 + 8 + 8 + 14, wire = outer + 60000;
    frame.bytes[14 + 2] = (uint8_t)((wire - 14) >> 8), frame.bytes[14 + 3] = (uint8_t)(wire - 14);
    frame.bytes[34 + 4] = (uint8_t)((wire - 34) >> 8), frame.bytes[34 + 5] = (uint8_t)(wire - 34);
    frame.bytes[outer + 2] = (uint8_t)(60000 >> 8), frame.bytes[outer + 3] = (uint8_t)60000;
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, wire, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 60000);
    assert_int_equal(packet.payload_len, 60000 - 52);
    /* More than 64 KiB: all lengths are 0, and UDP's has overflowed. */
    wire = outer + 150000;
    frame.bytes[14 + 2] = frame.bytes[14 + 3] = frame.bytes[outer + 2] = frame.bytes[outer + 3] = 0;
    frame.bytes[34 + 4] = (uint8_t)((wire - 34) >> 8), frame.bytes[34 + 5] = (uint8_t)(wire - 34);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, wire, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 150000);
    assert_int_equal(packet.payload_len, 150000 - 52);
}

static void test_plain_tcp_at_a_glance(void **state)
{
    (void)state;
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct frame frame = {.len = 0}, packet;
        hello(&packet, family);
        inner_ethernet(&frame, &packet, family);
        assert_true(dp_packet_is_plain_tcp(ETHERNET, frame.bytes, frame.len));
        assert_false(dp_packet_is_plain_tcp(RAW, frame.bytes, frame.len));
        assert_false(dp_packet_is_plain_tcp(ETHERNET, frame.bytes, 33));
        for (size_t i = 0; i < wrap_count; i++) {
            wrap_hello(&wraps[i], family, &frame);
            assert_false(dp_packet_is_plain_tcp(wraps[i].link_type, frame.bytes, frame.len));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_packet_in_every_encapsulation),
        cmocka_unit_test(test_padding_and_trailers),
        cmocka_unit_test(test_cut_by_the_snap_length),
        cmocka_unit_test(test_short_on_the_wire),
        cmocka_unit_test(test_inner_length_that_lies),
        cmocka_unit_test(test_port_of_vxlan_without_vxlan),
        cmocka_unit_test(test_protocols_that_carry_nothing),
        cmocka_unit_test(test_not_ip_inside),
        cmocka_unit_test(test_broken_inner_transport),
        cmocka_unit_test(test_fragments_around),
        cmocka_unit_test(test_fragments_inside),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_mpls_that_may_be_two_things),
        cmocka_unit_test(test_erspan_that_was_cut),
        cmocka_unit_test(test_super_packet_inside),
        cmocka_unit_test(test_plain_tcp_at_a_glance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
