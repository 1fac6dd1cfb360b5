/* Link layers, VLANs and IP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/packet/packet.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/hello.h"

enum {
    ETHERNET = 1,
    LOOP_NULL = 0,
    RAW = 101,
    LOOP = 108,
    COOKED = 113,
    IPV4 = 228,
    IPV6 = 229,
    NFLOG = 239,
    COOKED2 = 276
};

/* Every supported link type in front of the same packet. */
struct sample {
    int link_type;
    uint8_t family;
    struct frame frame;
};

static size_t nflog_begin(struct frame *frame, uint8_t family)
{
    const uint16_t prefix_len = 4 + 5, prefix_type = 10, mark_len = 8, mark_type = 3;
    frame_8(frame, family);
    frame_8(frame, 0);
    frame_16(frame, 7);
    frame_put(frame, &mark_len, 2);
    frame_put(frame, &mark_type, 2);
    frame_32(frame, 1);
    frame_put(frame, &prefix_len, 2);
    frame_put(frame, &prefix_type, 2);
    frame_put(frame, "drop\0\0\0\0", 8);
    return frame->len;
}

static void nflog_payload(struct frame *frame, size_t len)
{
    const uint16_t tlv_len = (uint16_t)(4 + len), type = 9;
    frame_put(frame, &tlv_len, 2);
    frame_put(frame, &type, 2);
}

static void link_header(int link_type, uint8_t family, size_t packet_len, struct frame *frame)
{
    uint16_t type = family == 4 ? 0x0800 : 0x86dd;
    switch (link_type) {
    case ETHERNET:
        frame_ethernet(frame, type);
        break;
    case LOOP_NULL: /* as a little-endian BSD writes it */
        frame_put(frame, family == 4 ? "\x02\0\0\0" : "\x1c\0\0\0", 4);
        break;
    case LOOP:
        frame_32(frame, family == 4 ? 2 : 24);
        break;
    case COOKED:
        frame_put(frame, "\0\x04\0\x01\0\x06\x02\0\0\0\0\x01\0\0", 14);
        frame_16(frame, type);
        break;
    case COOKED2:
        frame_16(frame, type);
        frame_put(frame, "\0\0\0\0\0\x02\0\x01\x04\x06\x02\0\0\0\0\x01\0\0", 18);
        break;
    case NFLOG:
        nflog_begin(frame, family == 4 ? 2 : 10);
        nflog_payload(frame, packet_len);
        break;
    default:
        break;
    }
}

static void make_sample(int link_type, uint8_t family, struct sample *sample)
{
    *sample = (struct sample){.link_type = link_type, .family = family};
    link_header(link_type, family, family == 4 ? 57 : 77, &sample->frame);
    if (family == 4)
        frame_hello4(&sample->frame);
    else
        frame_hello6(&sample->frame);
}

static const int link_types[] = {ETHERNET, LOOP_NULL, RAW, 12, 14, LOOP, COOKED, COOKED2, NFLOG, IPV4, IPV6};

static void test_each_link_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof link_types / sizeof link_types[0]; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct sample sample;
            struct dp_packet packet = {0};
            make_sample(link_types[i], family, &sample);
            int rc = decode_frame(link_types[i], &sample.frame, sample.frame.len, sample.frame.len, &packet);
            assert_true(dp_link_type_supported(link_types[i]));
            if ((link_types[i] == IPV4 && family == 6) || (link_types[i] == IPV6 && family == 4)) {
                assert_int_equal(rc, DP_ERR_FORMAT);
                continue;
            }
            assert_int_equal(rc, DP_OK);
            assert_hello(&packet, family);
            assert_int_equal(packet.vlan_depth, 0);
        }
    }
}

static void test_unknown_link_type(void **state)
{
    (void)state;
    struct sample sample;
    struct dp_packet packet;
    make_sample(ETHERNET, 4, &sample);
    assert_false(dp_link_type_supported(105));
    assert_int_equal(decode_frame(105, &sample.frame, sample.frame.len, sample.frame.len, &packet),
                     DP_ERR_UNSUPPORTED);
    assert_int_equal(decode_frame(-1, &sample.frame, sample.frame.len, sample.frame.len, &packet),
                     DP_ERR_UNSUPPORTED);
}

static void test_loopback_of_other_byte_order(void **state)
{
    (void)state;
    static const uint8_t ipv6_families[] = {10, 23, 24, 28, 30};
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_32(&frame, 2);
    frame_hello4(&frame);
    assert_int_equal(decode_frame(LOOP_NULL, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_hello(&packet, 4);
    for (size_t i = 0; i < sizeof ipv6_families; i++) {
        frame = (struct frame){.len = 0};
        frame_32(&frame, ipv6_families[i]);
        frame_hello6(&frame);
        assert_int_equal(decode_frame(LOOP_NULL, &frame, frame.len, frame.len, &packet), DP_OK);
        assert_hello(&packet, 6);
    }
    memset(frame.bytes, 0x55, 4);
    assert_int_equal(decode_frame(LOOP_NULL, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
}

/* Cut after each byte: an error that says truncated until the transport header is whole, then less payload.
 */
static void test_cut_by_the_snap_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof link_types / sizeof link_types[0]; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct sample sample;
            if ((link_types[i] == IPV4 && family == 6) || (link_types[i] == IPV6 && family == 4))
                continue;
            make_sample(link_types[i], family, &sample);
            size_t whole = sample.frame.len;
            for (size_t len = 0; len <= whole; len++) {
                struct dp_packet packet, before;
                memset(&packet, 0xa5, sizeof packet);
                before = packet;
                int rc = decode_frame(link_types[i], &sample.frame, len, whole, &packet);
                if (len < whole - 17) {
                    assert_int_equal(rc, DP_ERR_TRUNCATED);
                    assert_memory_equal(&packet, &before, sizeof packet);
                    continue;
                }
                assert_int_equal(rc, DP_OK);
                assert_int_equal(packet.payload_len, 5);
                assert_int_equal(packet.payload_captured, len > whole - 5 ? len - (whole - 5) : 0);
                assert_int_equal(packet.payload == NULL, packet.payload_captured == 0);
                assert_int_equal(packet.has_timestamps, len >= whole - 5);
                assert_int_equal(packet.options_cut, len < whole - 5);
            }
        }
    }
}

/* The same, but the packet itself was that short on the wire: its lengths lie. */
static void test_short_on_the_wire(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof link_types / sizeof link_types[0]; i++) {
        struct sample sample;
        struct dp_packet packet;
        if (link_types[i] == NFLOG || link_types[i] == IPV6)
            continue; /* nflog may pass on a part of the packet */
        make_sample(link_types[i], 4, &sample);
        for (size_t len = 0; len < sample.frame.len; len++)
            assert_int_equal(decode_frame(link_types[i], &sample.frame, len, len, &packet), DP_ERR_FORMAT);
    }
}

static void test_vlan_stack(void **state)
{
    (void)state;
    static const uint16_t kinds[] = {0x8100, 0x88a8, 0x9100};
    for (uint8_t depth = 1; depth <= 9; depth++) {
        struct frame frame = {.len = 0};
        struct dp_packet packet;
        frame_ethernet(&frame, kinds[depth % 3]);
        for (uint8_t i = 1; i < depth; i++) {
            frame_16(&frame, i);
            frame_16(&frame, kinds[i % 3]);
        }
        frame_16(&frame, depth);
        frame_16(&frame, 0x86dd);
        frame_hello6(&frame);
        int rc = decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet);
        assert_int_equal(rc, depth <= 8 ? DP_OK : DP_ERR_UNSUPPORTED);
        if (rc == DP_OK) {
            assert_hello(&packet, 6);
            assert_int_equal(packet.vlan_depth, depth);
        }
        for (size_t len = 0; len < frame.len - 77; len++)
            assert_int_equal(decode_frame(ETHERNET, &frame, len, frame.len, &packet),
                             depth > 8 && len >= 14 + 32 ? DP_ERR_UNSUPPORTED : DP_ERR_TRUNCATED);
    }
}

static void test_vlan_in_cooked(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_put(&frame, "\0\x04\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x81\x00\x00\x05\x08\x00", 20);
    frame_hello4(&frame);
    assert_int_equal(decode_frame(COOKED, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_hello(&packet, 4);
    assert_int_equal(packet.vlan_depth, 1);
}

static void test_not_ip(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_ethernet(&frame, 0x0806);
    frame_zeros(&frame, 46);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
    frame = (struct frame){.len = 0};
    frame_ethernet(&frame, 0x0026); /* an 802.3 length, as spanning tree has */
    frame_zeros(&frame, 46);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
    assert_int_equal(decode_frame(RAW, &frame, 0, 0, &packet), DP_ERR_FORMAT);
    frame.bytes[0] = 0x50;
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
}

static void test_padding_is_not_payload(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_ethernet(&frame, 0x0800);
    frame_ipv4(&frame, 6, 20);
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK, NULL, 0);
    frame_text(&frame, "PADPAD");
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.payload_len, 0);
    assert_int_equal(packet.payload_captured, 0);
    assert_null(packet.payload);
    assert_int_equal(packet.ip_len, 40);
}

static void test_super_packet_without_length(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ethernet(&frame, 0x0800);
    frame_hello4(&frame);
    frame.bytes[16] = frame.bytes[17] = 0;
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, 14 + 66000, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 66000);
    assert_int_equal(packet.payload_len, 66000 - 52);
    assert_int_equal(packet.payload_captured, 5);

    frame = (struct frame){.len = 0};
    frame_ethernet(&frame, 0x86dd);
    frame_hello6(&frame);
    frame.bytes[18] = frame.bytes[19] = 0;
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, 14 + 180000, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 180000);
    assert_int_equal(packet.payload_len, 180000 - 72);

    frame = (struct frame){.len = 0};
    frame_ethernet(&frame, 0x86dd);
    frame_ipv6(&frame, 0, 0); /* a jumbogram: hop-by-hop with the jumbo option */
    frame_put(&frame, "\x06\x00\xc2\x04\x00\x02\xbf\x20", 8);
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK, hello_timestamps, 12);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, 14 + 180000, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 180000);
    assert_int_equal(packet.payload_len, 180000 - 80);

    frame = (struct frame){.len = 0};
    frame_ethernet(&frame, 0x86dd);
    frame_ipv6(&frame, 59, 0); /* nothing behind the header, and the frame padded */
    frame_zeros(&frame, 6);
    assert_int_equal(decode_frame(ETHERNET, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.ip_len, 40);
    assert_int_equal(packet.payload_len, 0);
}

static void test_lengths_that_lie(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame good = {.len = 0};
    frame_hello4(&good);
    struct frame frame = good;
    frame.bytes[0] = 0x44; /* a header of 16 bytes */
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    frame = good;
    frame.bytes[0] = 0x4f; /* a header longer than the packet */
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    frame = good;
    frame.bytes[3] = 19; /* a packet shorter than its header */
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    frame = good;
    frame.bytes[3] = 200; /* a packet longer than the frame */
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, 200, &packet), DP_OK);
    assert_int_equal(packet.payload_len, 148);
    /* A wire length below the captured one is a lie of the file; the captured bytes are there. */
    assert_int_equal(decode_frame(RAW, &good, good.len, 1, &packet), DP_OK);
    assert_hello(&packet, 4);
    assert_int_equal(decode_frame(RAW, &good, good.len, (size_t)UINT32_MAX + 1, &packet), DP_ERR_FORMAT);
}

static void test_ipv4_options(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ipv4(&frame, 17, 12 + 8 + 3);
    frame.bytes[0] = 0x48;
    frame_put(&frame, "\x07\x0b\x04\0\0\0\0\0\0\0\0\0", 12);
    frame_udp(&frame, 53, 5353, 3);
    frame_text(&frame, "abc");
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.sport, 53);
    assert_int_equal(packet.payload_len, 3);
    assert_int_equal(packet.ip_len, frame.len);
}

static void test_ipv6_extensions(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ipv6(&frame, 0, 8 + 16 + 8 + 24 + 8 + 20 + 2);
    frame_put(&frame, "\x3c\x00\x05\x02\x00\x00\x01\x00", 8);          /* hop by hop */
    frame_put(&frame, "\x2b\x01\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 16); /* destination options */
    frame_put(&frame, "\x33\x00\x00\x00\x00\x00\x00\x00", 8);          /* routing */
    frame_put(&frame, "\x2c\x04\0\0\0\0\0\1\0\0\0\2\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c", 24); /* AH */
    frame_put(&frame, "\x06\x00\x00\x00\xde\xad\xbe\xef", 8); /* a fragment that is whole */
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK, NULL, 0);
    frame_text(&frame, "hi");
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.proto, 6);
    assert_int_equal(packet.sport, 40000);
    assert_int_equal(packet.payload_len, 2);
    assert_false(packet.fragment);
    assert_true(packet.has_ip_id);
    assert_int_equal(packet.ip_id, 0xbeef);
    for (size_t len = 0; len < frame.len - 2; len++)
        assert_int_equal(decode_frame(RAW, &frame, len, frame.len, &packet), DP_ERR_TRUNCATED);
}

static void test_extensions_without_end(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ipv6(&frame, 60, 8 * 100);
    for (size_t i = 0; i < 100; i++)
        frame_put(&frame, "\x3c\x00\x01\x04\0\0\0\0", 8);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
}

static void test_fragments(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    frame_ipv4(&frame, 17, 24);
    frame.bytes[6] = 0x20; /* the first: more to come */
    frame_udp(&frame, 53, 5353, 3000);
    frame_zeros(&frame, 16);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_true(packet.fragment);
    assert_false(packet.later_fragment);
    assert_int_equal(packet.sport, 53);
    assert_int_equal(packet.payload_len, 16);
    frame.bytes[6] = 0x00, frame.bytes[7] = 0x40; /* a later one, the last */
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_true(packet.fragment);
    assert_true(packet.later_fragment);
    assert_int_equal(packet.sport, 0);
    assert_int_equal(packet.payload_len, 24);

    frame = (struct frame){.len = 0};
    frame_ipv6(&frame, 44, 8 + 10);
    frame_put(&frame, "\x06\x00\x00\x09\x00\x00\x00\x01", 8);
    frame_zeros(&frame, 10);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.proto, 6);
    assert_true(packet.later_fragment);
    assert_int_equal(packet.payload_len, 10);

    frame = (struct frame){.len = 0};
    frame_ipv4(&frame, 6, 8);
    frame.bytes[6] = 0x20; /* a first fragment too short for a TCP header */
    frame_zeros(&frame, 8);
    assert_int_equal(decode_frame(RAW, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_true(packet.fragment);
    assert_int_equal(packet.payload_len, 8);
}

static void test_nflog(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    nflog_begin(&frame, 2);
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
    nflog_payload(&frame, 57 - 3); /* the rule passed on all but the last 3 bytes */
    frame_hello4(&frame);
    frame.len -= 3;
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_int_equal(packet.payload_len, 5);
    assert_int_equal(packet.payload_captured, 2);
    frame.bytes[4] = 3; /* a TLV shorter than its own header */
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    frame.bytes[4] = 0xff, frame.bytes[5] = 0xff; /* one that goes beyond the frame */
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_ERR_FORMAT);
    frame.bytes[1] = 1; /* another version */
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_ERR_UNSUPPORTED);
}

static void test_nflog_of_other_byte_order(void **state)
{
    (void)state;
    struct dp_packet packet;
    struct frame frame = {.len = 0};
    const uint16_t one = 1;
    bool little = *(const uint8_t *)&one == 1;
    frame_put(&frame, "\x0a\0\0\7", 4);
    frame_put(&frame,
              little ? "\0\x08\0\x03mark\0\x04\x80\x14\0\x51\0\x09"
                     : "\x08\0\x03\0mark\x04\0\x14\x80\x51\0\x09\0",
              16);
    frame_hello6(&frame);
    assert_int_equal(decode_frame(NFLOG, &frame, frame.len, frame.len, &packet), DP_OK);
    assert_hello(&packet, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_link_type),
        cmocka_unit_test(test_unknown_link_type),
        cmocka_unit_test(test_loopback_of_other_byte_order),
        cmocka_unit_test(test_cut_by_the_snap_length),
        cmocka_unit_test(test_short_on_the_wire),
        cmocka_unit_test(test_vlan_stack),
        cmocka_unit_test(test_vlan_in_cooked),
        cmocka_unit_test(test_not_ip),
        cmocka_unit_test(test_padding_is_not_payload),
        cmocka_unit_test(test_super_packet_without_length),
        cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_ipv4_options),
        cmocka_unit_test(test_ipv6_extensions),
        cmocka_unit_test(test_extensions_without_end),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_nflog),
        cmocka_unit_test(test_nflog_of_other_byte_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
