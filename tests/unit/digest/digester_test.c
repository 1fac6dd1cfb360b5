/* Packets to digests and flows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "common/digest/digest.h"
#include "tests/unit/packet/frames.h"

enum { RAW = 101 };

static const uint8_t key[DP_HASH_KEY_SIZE] = "0123456789abcde";

struct fixture {
    struct dp_digester *digester;
    struct dp_batch batch;
};

static int begin(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    *state = &fixture;
    return dp_digester_new(key, &fixture.digester);
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    dp_digester_free(fixture->digester);
    dp_batch_free(&fixture->batch);
    return 0;
}

static struct dp_digest digest_cut(struct fixture *f, const struct frame *frame, size_t captured)
{
    assert_int_equal(
        dp_digester_frame(f->digester, RAW, 12345, frame->bytes, captured, frame->len, &f->batch), DP_OK);
    assert_true(f->batch.digest_count > 0);
    return f->batch.digests[f->batch.digest_count - 1];
}

static struct dp_digest digest(struct fixture *f, const struct frame *frame)
{
    return digest_cut(f, frame, frame->len);
}

static struct frame tcp(bool back, uint16_t sport, uint16_t dport, size_t payload)
{
    struct frame frame = {.len = 0};
    if (back)
        frame_ipv4_back(&frame, 6, 32 + payload);
    else
        frame_ipv4(&frame, 6, 32 + payload);
    frame_tcp(&frame, sport, dport, DP_TCP_ACK, "\x01\x01\x08\x0a\0\0\0\x07\0\0\0\x05", 12);
    for (size_t i = 0; i < payload; i++)
        frame_8(&frame, (uint8_t)i);
    return frame;
}

static void test_every_field(void **state)
{
    struct fixture *f = *state;
    struct frame frame = {.len = 0};
    frame_ipv4(&frame, 6, 40 + 3);
    frame_tcp(&frame, 40000, 80, DP_TCP_SYN,
              "\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x07\0\0\0\x05\x01\x03\x03\x07", 20);
    frame_text(&frame, "abc");
    struct dp_digest d = digest(f, &frame);
    assert_true(d.ts_ns == 12345);
    assert_int_equal(d.flow, 0);
    assert_int_equal(d.dir, 0);
    assert_int_equal(d.bits, DP_DIGEST_HAS_TS | DP_DIGEST_HAS_IP_ID | DP_DIGEST_SACK_PERMITTED);
    assert_int_equal(d.ttl, 64);
    assert_int_equal(d.hash_len, 3);
    assert_int_not_equal(d.hash, 0);
    assert_int_equal(d.seq, 1000);
    assert_int_equal(d.ack, 2000);
    assert_int_equal(d.payload_len, 3);
    assert_int_equal(d.ip_len, 63);
    assert_int_equal(d.tsval, 7);
    assert_int_equal(d.tsecr, 5);
    assert_int_equal(d.tcp_flags, DP_TCP_SYN);
    assert_int_equal(d.window, 502);
    assert_int_equal(d.ip_id, 0x1234);
    assert_int_equal(d.app, 0);
    assert_int_equal(d.mss, 1460);
    assert_int_equal(d.wscale, 7);
    assert_int_equal(d.sack_count, 0);
    const struct dp_flow_def *def = &f->batch.flows[0];
    assert_int_equal(f->batch.flow_count, 1);
    assert_int_equal(def->flow, 0);
    assert_int_equal(def->proto, 6);
    assert_int_equal(def->a.bytes[0], 192);
    assert_int_equal(def->b.bytes[0], 198);
    assert_int_equal(def->a_port, 40000);
    assert_int_equal(def->b_port, 80);
}

static void test_directions_and_flows(void **state)
{
    struct fixture *f = *state;
    static const struct {
        bool back;
        uint16_t sport, dport;
        uint32_t flow;
        uint8_t dir;
    } cases[] = {
        {false, 40000, 80, 0, 0}, {true, 80, 40000, 0, 1}, {false, 40001, 80, 1, 0},
        {false, 40000, 80, 0, 0}, {true, 40000, 80, 2, 0}, {false, 80, 40000, 2, 1},
        {true, 80, 40001, 1, 1},  {false, 7, 7, 3, 0},     {true, 7, 7, 3, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frame frame = tcp(cases[i].back, cases[i].sport, cases[i].dport, 0);
        struct dp_digest d = digest(f, &frame);
        assert_int_equal(d.flow, cases[i].flow);
        assert_int_equal(d.dir, cases[i].dir);
    }
    assert_int_equal(f->batch.flow_count, 4);
    /* Both ends on one host: only the ports tell the directions apart. */
    for (size_t i = 0; i < 4; i++) {
        struct frame frame = tcp(false, i % 2 ? 80 : 40000, i % 2 ? 40000 : 80, 0);
        memcpy(frame.bytes + 16, frame.bytes + 12, 4);
        struct frame between = tcp(false, 40000, 80, 0);
        struct dp_digest d = digest(f, &frame);
        assert_int_equal(d.flow, 4);
        assert_int_equal(d.dir, i % 2);
        assert_int_equal(digest(f, &between).flow, 0);
    }
}

static void test_flows_of_other_protocols(void **state)
{
    struct fixture *f = *state;
    struct frame echo = {.len = 0}, reply = {.len = 0}, unreachable = {.len = 0}, udp = {.len = 0};
    frame_ipv4(&echo, 1, 8);
    frame_put(&echo, "\x08\0\0\0\x01\x02\0\1", 8);
    frame_ipv4_back(&reply, 1, 8);
    frame_put(&reply, "\0\0\0\0\x01\x02\0\1", 8);
    frame_ipv4_back(&unreachable, 1, 8);
    frame_put(&unreachable, "\x03\x04\0\0\0\0\x05\xdc", 8);
    frame_ipv4(&udp, 17, 8);
    frame_udp(&udp, 40000, 80, 0);
    struct dp_digest d = digest(f, &echo);
    assert_int_equal(d.app, 0x0800);
    assert_int_equal(d.hash_len, 8);
    assert_int_equal(d.tcp_flags, 0);
    d = digest(f, &reply);
    assert_int_equal(d.flow, 0);
    assert_int_equal(d.dir, 1);
    d = digest(f, &unreachable);
    assert_int_equal(d.flow, 1);
    assert_int_equal(d.app, 0x0304);
    assert_int_equal(f->batch.flows[1].a_port, 0);
    d = digest(f, &udp);
    assert_int_equal(d.flow, 2);
    assert_int_equal(d.hash_len, 0);
    struct frame same = tcp(false, 40000, 80, 0); /* the same ports, another protocol */
    assert_int_equal(digest(f, &same).flow, 3);
}

static void test_fragments_share_a_flow(void **state)
{
    struct fixture *f = *state;
    struct frame frame = {.len = 0};
    frame_ipv4(&frame, 17, 24);
    frame.bytes[6] = 0x20;
    frame_udp(&frame, 53, 5353, 3000);
    frame_zeros(&frame, 16);
    struct dp_digest first = digest(f, &frame);
    frame.bytes[6] = 0, frame.bytes[7] = 3;
    struct dp_digest second = digest(f, &frame);
    assert_true(first.bits & DP_DIGEST_FRAGMENT);
    assert_true(second.bits & DP_DIGEST_FRAGMENT);
    assert_int_equal(first.flow, second.flow);
    assert_int_equal(f->batch.flows[0].a_port, 0);
    assert_int_equal(f->batch.flows[0].b_port, 0);
    assert_int_equal(second.payload_len, 24);
}

static void test_what_the_hash_covers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        size_t payload, captured;
        uint8_t covers;
    } cases[] = {
        {0, 0, 0},        {1, 1, 1},      {63, 63, 63},   {64, 64, 64},  {65, 65, 64},
        {1000, 1000, 64}, {1000, 63, 32}, {1000, 31, 16}, {1000, 15, 8}, {1000, 8, 8},
        {1000, 7, 0},     {63, 62, 32},   {20, 19, 16},   {5, 4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frame frame = tcp(false, 40000, 80, cases[i].payload);
        struct dp_digest d = digest_cut(f, &frame, 52 + cases[i].captured);
        assert_int_equal(d.payload_len, cases[i].payload);
        assert_int_equal(d.hash_len, cases[i].covers);
        assert_int_equal(d.hash == 0, cases[i].covers == 0);
        assert_false(d.bits & DP_DIGEST_OPTIONS_CUT);
    }
    struct frame frame = tcp(false, 40000, 80, 100);
    assert_true(digest_cut(f, &frame, 51).bits & DP_DIGEST_OPTIONS_CUT);
}

/* The hash is the same at every vantage point of a capture, differs with the bytes and with the key, and is
 * SipHash. */
static void test_hash(void **state)
{
    struct fixture *f = *state;
    struct fixture other = {0};
    uint8_t sip_key[16];
    for (uint8_t i = 0; i < 16; i++)
        sip_key[i] = i;
    assert_int_equal(dp_digester_new(sip_key, &other.digester), DP_OK);
    struct frame frame = tcp(false, 40000, 80, 15);
    struct frame elsewhere = tcp(true, 1024, 80, 15); /* the same payload behind NAT */
    struct dp_digest d = digest(f, &frame);
    assert_int_equal(digest(f, &elsewhere).hash, d.hash);
    assert_int_not_equal(digest(&other, &frame).hash, d.hash);
    /* The reference vector of SipHash-2-4: key 00..0f, input 00..0e, a129ca6149be45e5. */
    assert_int_equal(other.batch.digests[0].hash, 0x49be45e5);
    frame.bytes[frame.len - 1] ^= 1;
    assert_int_not_equal(digest(f, &frame).hash, d.hash);
    dp_digester_free(other.digester);
    dp_batch_free(&other.batch);
}

static void test_other_packets_are_counted(void **state)
{
    struct fixture *f = *state;
    static const uint8_t arp[60] = {[12] = 0x08, [13] = 0x06};
    assert_int_equal(dp_digester_frame(f->digester, 1, 1, arp, sizeof arp, sizeof arp, &f->batch), DP_OK);
    assert_int_equal(dp_digester_frame(f->digester, 999, 1, arp, sizeof arp, sizeof arp, &f->batch), DP_OK);
    assert_int_equal(f->batch.digest_count, 0);
    assert_true(f->batch.other_packets == 2);
}

static void test_flows_are_stated_once_until_restated(void **state)
{
    struct fixture *f = *state;
    struct frame one = tcp(false, 40000, 80, 0), two = tcp(false, 40001, 80, 0);
    (void)digest(f, &one);
    (void)digest(f, &two);
    dp_batch_clear(&f->batch);
    (void)digest(f, &two);
    assert_int_equal(f->batch.flow_count, 0);
    dp_digester_restate_flows(f->digester);
    (void)digest(f, &two);
    (void)digest(f, &two);
    assert_int_equal(f->batch.flow_count, 1);
    assert_int_equal(f->batch.flows[0].flow, 1);
    assert_int_equal(f->batch.flows[0].a_port, 40001);
    (void)digest(f, &one);
    assert_int_equal(f->batch.flow_count, 2);
}

static void test_many_flows(void **state)
{
    struct fixture *f = *state;
    enum { FLOWS = 60000 };
    struct frame frame = tcp(false, 0, 80, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < FLOWS; i++) {
            frame.bytes[20] = (uint8_t)(i >> 8);
            frame.bytes[21] = (uint8_t)i;
            assert_int_equal(digest(f, &frame).flow, i);
        }
    }
    assert_int_equal(f->batch.flow_count, FLOWS);
}

static void test_speed(void **state)
{
    struct fixture *f = *state;
    enum { PACKETS = 2000000 };
    struct frame frame = tcp(false, 40000, 80, 1448);
    struct timespec t[3];
    struct dp_packet packet;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[0]);
    for (size_t i = 0; i < PACKETS; i++) {
        frame.bytes[24] = (uint8_t)i;
        assert_true(dp_packet_decode(RAW, frame.bytes, 96, frame.len, &packet) == DP_OK);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[1]);
    for (size_t i = 0; i < PACKETS; i++) {
        if (i % 4096 == 0)
            dp_batch_clear(&f->batch);
        assert_true(dp_digester_frame(f->digester, RAW, 1, frame.bytes, frame.len, frame.len, &f->batch) ==
                    DP_OK);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[2]);
    for (size_t i = 0; i < 2; i++)
        print_message(
            "%s: %.0f ns a packet\n", i ? "decode and digest" : "decode",
            ((double)(t[i + 1].tv_sec - t[i].tv_sec) * 1e9 + (double)(t[i + 1].tv_nsec - t[i].tv_nsec)) /
                PACKETS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_field, begin, end),
        cmocka_unit_test_setup_teardown(test_directions_and_flows, begin, end),
        cmocka_unit_test_setup_teardown(test_flows_of_other_protocols, begin, end),
        cmocka_unit_test_setup_teardown(test_fragments_share_a_flow, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_hash_covers, begin, end),
        cmocka_unit_test_setup_teardown(test_hash, begin, end),
        cmocka_unit_test_setup_teardown(test_other_packets_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(test_flows_are_stated_once_until_restated, begin, end),
        cmocka_unit_test_setup_teardown(test_many_flows, begin, end),
        cmocka_unit_test_setup_teardown(test_speed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
