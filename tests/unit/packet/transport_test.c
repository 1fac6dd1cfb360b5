/* TCP and its options, UDP, ICMP, SCTP; addresses as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/packet/packet.h"
#include "tests/unit/packet/frames.h"

enum { RAW = 101 };

static int decode(const struct frame *frame, struct dp_packet *packet)
{
    return dp_packet_decode(RAW, frame->bytes, frame->len, frame->len, packet);
}

/* A SYN with these options, padded with zeros to a multiple of 4. */
static void decode_options(const void *options, size_t len, struct dp_packet *packet)
{
    struct frame frame = {.len = 0};
    uint8_t padded[40] = {0};
    memcpy(padded, options, len);
    len = (len + 3) & ~(size_t)3;
    frame_ipv4(&frame, 6, 20 + len + 2);
    frame_tcp(&frame, 40000, 25, DP_TCP_SYN, padded, len);
    frame_text(&frame, "xy");
    assert_int_equal(decode(&frame, packet), DP_OK);
    assert_int_equal(packet->payload_len, 2);
    assert_memory_equal(packet->payload, "xy", 2);
}

static void test_syn_options(void **state)
{
    (void)state;
    struct dp_packet packet;
    decode_options("\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08\x01\x03\x03\x07", 20,
                   &packet);
    assert_int_equal(packet.mss, 1460);
    assert_true(packet.sack_permitted);
    assert_true(packet.has_timestamps);
    assert_int_equal(packet.tsval, 0x01020304);
    assert_int_equal(packet.tsecr, 0x05060708);
    assert_int_equal(packet.wscale, 7);
}

static void test_sack_blocks(void **state)
{
    (void)state;
    struct dp_packet packet;
    decode_options("\x01\x01\x05\x12\0\0\0\x0a\0\0\0\x14\xff\xff\xff\xff\0\0\0\x01", 20, &packet);
    assert_int_equal(packet.sack_count, 2);
    assert_int_equal(packet.sack[0][0], 10);
    assert_int_equal(packet.sack[0][1], 20);
    assert_int_equal(packet.sack[1][0], UINT32_MAX);
    assert_int_equal(packet.sack[1][1], 1);
    decode_options("\x05\x03\x00", 3, &packet); /* not whole blocks */
    assert_int_equal(packet.sack_count, 0);
    decode_options("\x05\x0d\0\0\0\0\0\0\0\0\0\0\0", 13, &packet); /* one and a part */
    assert_int_equal(packet.sack_count, 0);
    decode_options("\x01\x01\x08\x0a\0\0\0\x07\0\0\0\x05\x01\x01\x05\x0a\0\0\0\x0a\0\0\0\x14", 24, &packet);
    assert_int_equal(packet.tsval, 7);
    assert_int_equal(packet.sack_count, 1);
    uint8_t most[34] = {5, 34};
    memset(most + 2, 9, 32);
    decode_options(most, sizeof most, &packet);
    assert_int_equal(packet.sack_count, 4);
    assert_int_equal(packet.sack[3][1], 0x09090909);
}

static void test_malformed_options_end_the_walk(void **state)
{
    (void)state;
    struct dp_packet packet;
    decode_options("\x02\x04\x05\xb4\x08\x00\x03\x03\x07", 9, &packet); /* length 0 */
    assert_int_equal(packet.mss, 1460);
    assert_int_equal(packet.wscale, 0xff);
    decode_options("\x02\x04\x05\xb4\x08\x0a\x01\x02", 8, &packet); /* beyond the header */
    assert_int_equal(packet.mss, 1460);
    assert_false(packet.has_timestamps);
    decode_options("\x00\x03\x03\x07", 4, &packet); /* behind the end */
    assert_int_equal(packet.wscale, 0xff);
    decode_options("\x02\x03\x05\x03\x03\x07", 6,
                   &packet); /* an MSS of the wrong length; what follows counts */
    assert_int_equal(packet.mss, 0);
    assert_int_equal(packet.wscale, 7);
    decode_options("\x01\x01\x01\x03", 4, &packet); /* no room for its length */
    assert_int_equal(packet.wscale, 0xff);
}

static void test_all_tcp_flags(void **state)
{
    (void)state;
    for (uint16_t flags = 0; flags <= 0x1ff; flags++) {
        struct frame frame = {.len = 0};
        struct dp_packet packet;
        frame_ipv4(&frame, 6, 20);
        frame_tcp(&frame, 40000, 25, flags | 0x0e00, NULL, 0); /* reserved bits don't show */
        assert_int_equal(decode(&frame, &packet), DP_OK);
        assert_int_equal(packet.tcp_flags, flags);
    }
}

static void test_tcp_header_that_lies(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_ipv4(&frame, 6, 24);
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK, NULL, 0);
    frame_zeros(&frame, 4);
    frame.bytes[32] = 0x40; /* 16 bytes */
    assert_int_equal(decode(&frame, &packet), DP_ERR_FORMAT);
    frame.bytes[32] = 0x70; /* 28 bytes of 24 */
    assert_int_equal(decode(&frame, &packet), DP_ERR_FORMAT);
    frame.bytes[32] = 0x60;
    assert_int_equal(decode(&frame, &packet), DP_OK);
    assert_int_equal(packet.payload_len, 0);
}

static void test_udp(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_ipv4(&frame, 17, 8 + 10);
    frame_udp(&frame, 5000, 53, 4); /* shorter than the IP packet */
    frame_text(&frame, "abcdefghij");
    assert_int_equal(decode(&frame, &packet), DP_OK);
    assert_int_equal(packet.sport, 5000);
    assert_int_equal(packet.dport, 53);
    assert_int_equal(packet.payload_len, 4);
    assert_int_equal(packet.tcp_flags, 0);
    assert_int_equal(packet.ip_len, 38);
    frame.bytes[25] = 7; /* shorter than its header */
    assert_int_equal(decode(&frame, &packet), DP_ERR_FORMAT);
    frame.bytes[25] = 19; /* longer than the IP packet */
    assert_int_equal(decode(&frame, &packet), DP_ERR_FORMAT);
    frame.bytes[25] = 0;
    assert_int_equal(decode(&frame, &packet), DP_OK);
    assert_int_equal(packet.payload_len, 10);
}

static void test_icmp(void **state)
{
    (void)state;
    static const struct {
        uint8_t proto, type;
        uint16_t port;
    } cases[] = {{1, 8, 0x0102}, {1, 0, 0x0102}, {1, 3, 0}, {58, 128, 0x0102}, {58, 129, 0x0102}, {58, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frame frame = {.len = 0};
        struct dp_packet packet;
        if (cases[i].proto == 1)
            frame_ipv4(&frame, 1, 12);
        else
            frame_ipv6(&frame, 58, 12);
        frame_8(&frame, cases[i].type);
        frame_put(&frame,
                  "\x04\xaa\xbb\x01\x02\x00\x09"
                  "data",
                  11);
        assert_int_equal(decode(&frame, &packet), DP_OK);
        assert_int_equal(packet.icmp_type, cases[i].type);
        assert_int_equal(packet.icmp_code, 4);
        assert_int_equal(packet.sport, cases[i].port);
        assert_int_equal(packet.dport, cases[i].port);
        assert_int_equal(packet.payload_len, 12);
    }
}

static void test_other_protocols(void **state)
{
    (void)state;
    struct frame frame = {.len = 0};
    struct dp_packet packet;
    frame_ipv4(&frame, 132, 12);
    frame_16(&frame, 36412);
    frame_16(&frame, 36413);
    frame_zeros(&frame, 8);
    assert_int_equal(decode(&frame, &packet), DP_OK);
    assert_int_equal(packet.sport, 36412);
    assert_int_equal(packet.dport, 36413);
    frame.bytes[9] = 50; /* ESP */
    assert_int_equal(decode(&frame, &packet), DP_OK);
    assert_int_equal(packet.proto, 50);
    assert_int_equal(packet.sport, 0);
    assert_int_equal(packet.payload_len, 12);
}

static void test_text(void **state)
{
    (void)state;
    char text[DP_ENDPOINT_TEXT];
    struct dp_addr v4 = {.family = 4, .bytes = {192, 0, 2, 1}};
    struct dp_addr v6 = {.family = 6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    struct dp_addr longest = {.family = 6};
    memset(longest.bytes, 0xfd, 16);
    assert_string_equal(dp_addr_text(&v4, text, sizeof text), "192.0.2.1");
    assert_string_equal(dp_addr_text(&v6, text, sizeof text), "2001:db8::1");
    assert_string_equal(dp_endpoint_text(&v4, 25, text, sizeof text), "192.0.2.1:25");
    assert_string_equal(dp_endpoint_text(&v6, 25, text, sizeof text), "[2001:db8::1]:25");
    assert_string_equal(dp_endpoint_text(&longest, 65535, text, sizeof text),
                        "[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:65535");
    assert_true(dp_addr_equal(&v4, &v4));
    assert_false(dp_addr_equal(&v4, &v6));
    struct dp_addr other = v4;
    other.bytes[3] = 2;
    assert_false(dp_addr_equal(&v4, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syn_options),
        cmocka_unit_test(test_sack_blocks),
        cmocka_unit_test(test_malformed_options_end_the_walk),
        cmocka_unit_test(test_all_tcp_flags),
        cmocka_unit_test(test_tcp_header_that_lies),
        cmocka_unit_test(test_udp),
        cmocka_unit_test(test_icmp),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
