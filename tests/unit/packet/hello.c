#include "tests/unit/packet/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

const char hello_timestamps[12] = "\x01\x01\x08\x0a\x00\x00\x00\x07\x00\x00\x00\x05";

int decode_frame(int link_type, const struct frame *frame, size_t captured, size_t wire,
                 struct dp_packet *packet)
{
    uint8_t *copy = malloc(captured ? captured : 1);
    assert_non_null(copy);
    memcpy(copy, frame->bytes, captured);
    int rc = dp_packet_decode(link_type, copy, captured, wire, packet);
    if (rc == DP_OK && packet->payload) {
        assert_true(packet->payload >= copy);
        assert_true(packet->payload + packet->payload_captured <= copy + captured);
    }
    free(copy);
    return rc;
}

void frame_hello4(struct frame *frame)
{
    frame_ipv4(frame, 6, 32 + 5);
    frame_tcp(frame, 40000, 25, DP_TCP_ACK | DP_TCP_PSH, hello_timestamps, 12);
    frame_text(frame, "hello");
}

void frame_hello6(struct frame *frame)
{
    frame_ipv6(frame, 6, 32 + 5);
    frame_tcp(frame, 40000, 25, DP_TCP_ACK | DP_TCP_PSH, hello_timestamps, 12);
    frame_text(frame, "hello");
}

void assert_hello(const struct dp_packet *packet, uint8_t family)
{
    assert_int_equal(packet->src.family, family);
    assert_int_equal(packet->dst.family, family);
    assert_int_equal(packet->src.bytes[family == 4 ? 3 : 15], 1);
    assert_int_equal(packet->dst.bytes[family == 4 ? 3 : 15], 9);
    assert_int_equal(packet->proto, 6);
    assert_int_equal(packet->ttl, family == 4 ? 64 : 61);
    assert_int_equal(packet->has_ip_id, family == 4);
    assert_int_equal(packet->ip_id, family == 4 ? 0x1234 : 0);
    assert_int_equal(packet->ip_len, (family == 4 ? 20 : 40) + 32 + 5);
    assert_int_equal(packet->sport, 40000);
    assert_int_equal(packet->dport, 25);
    assert_int_equal(packet->seq, 1000);
    assert_int_equal(packet->ack, 2000);
    assert_int_equal(packet->window, 502);
    assert_int_equal(packet->tcp_flags, DP_TCP_ACK | DP_TCP_PSH);
    assert_true(packet->has_timestamps);
    assert_int_equal(packet->tsval, 7);
    assert_int_equal(packet->tsecr, 5);
    assert_int_equal(packet->wscale, 0xff);
    assert_int_equal(packet->payload_len, 5);
    assert_int_equal(packet->payload_captured, 5);
}
