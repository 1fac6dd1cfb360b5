#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/probe/net/dial.h"
#include "agent/probe/net/echo_codec.h"
#include "agent/probe/ping/stats.h"
#include "agent/probe/trace/labels.h"
#include "agent/probe/trace/path.h"

static void test_echo(void **state)
{
    (void)state;
    static const uint8_t cookie[DP_ECHO_COOKIE] = "0123456789abcdef";
    uint8_t bytes[8 + 40];
    struct dp_echo_message m;
    dp_echo_write(AF_INET, 0x1122, 7, cookie, 40, bytes);
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof bytes; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(((sum & 0xffff) + (sum >> 16)) & 0xffff, 0xffff); // RFC 1071
    assert_true(dp_echo_read(AF_INET, bytes, sizeof bytes, &m));
    assert_false(m.reply);
    assert_int_equal(m.ident, 0x1122);
    assert_int_equal(m.seq, 7);
    assert_int_equal(m.payload_length, 40);
    assert_memory_equal(m.payload, cookie, sizeof cookie);
    bytes[0] = 0;
    assert_true(dp_echo_read(AF_INET, bytes, 8, &m));
    assert_true(m.reply);
    assert_false(dp_echo_read(AF_INET6, bytes, 8, &m));
    assert_false(dp_echo_read(AF_INET, bytes, 7, &m));
    bytes[1] = 1;
    assert_false(dp_echo_read(AF_INET, bytes, sizeof bytes, &m));
}

static void test_ip_header(void **state)
{
    (void)state;
    uint8_t bytes[24] = {0x46, [8] = 61, [9] = 1};
    int ttl = 0;
    assert_int_equal(dp_echo_ip4_header(bytes, sizeof bytes, &ttl), 24);
    assert_int_equal(ttl, 61);
    assert_int_equal(dp_echo_ip4_header(bytes, 23, &ttl), 0);
    bytes[9] = 17;
    assert_int_equal(dp_echo_ip4_header(bytes, sizeof bytes, &ttl), 0);
    bytes[9] = 1;
    bytes[0] = 0x41;
    assert_int_equal(dp_echo_ip4_header(bytes, sizeof bytes, &ttl), 0);
}

/* A time exceeded message with 128 bytes quoted and one MPLS label, as RFC 4950 has it. */
static void make_labelled(uint8_t bytes[148])
{
    memset(bytes, 0, 148);
    bytes[0] = 11;
    bytes[5] = 32; // words of the quoted packet
    bytes[8] = 0x45;
    memcpy(bytes + 8 + 16, "\xcb\x00\x71\x19", 4);
    uint8_t *extension = bytes + 136;
    static const uint8_t object[] = {0x20, 0, 0, 0, 0, 8, 1, 1, 0x00, 0x3e, 0x8b, 0x40};
    memcpy(extension, object, sizeof object);
}

static void test_labels(void **state)
{
    (void)state;
    uint8_t bytes[148];
    struct trace_label labels[TRACE_LABELS_MAX];
    make_labelled(bytes);
    assert_int_equal(trace_labels_read(false, bytes, sizeof bytes, labels), 1);
    assert_int_equal(labels[0].label, 1000);
    assert_int_equal(labels[0].traffic_class, 5);
    assert_true(labels[0].bottom);
    assert_int_equal(labels[0].ttl, 64);
    static const uint8_t target[] = {203, 0, 113, 25}, other[] = {203, 0, 113, 26};
    assert_true(trace_quotes_target(false, bytes, sizeof bytes, target));
    assert_false(trace_quotes_target(false, bytes, sizeof bytes, other));
    assert_false(trace_quotes_target(false, bytes, 20, target));
    for (size_t length = 0; length < sizeof bytes; length++)
        (void)trace_labels_read(false, bytes, length, labels);
    bytes[136 + 2] = 1; // a checksum that does not hold
    assert_int_equal(trace_labels_read(false, bytes, sizeof bytes, labels), 0);
    make_labelled(bytes);
    bytes[136 + 5] = 200; // an object longer than the message
    assert_int_equal(trace_labels_read(false, bytes, sizeof bytes, labels), 0);
    bytes[0] = 0;
    assert_int_equal(trace_labels_read(false, bytes, sizeof bytes, labels), 0);
}

static void test_stats(void **state)
{
    (void)state;
    double values[] = {10, 30, 20, 40};
    struct dp_rtt_stats s = dp_rtt_stats(values, 4);
    assert_true(s.min == 10 && s.max == 40 && s.avg == 25 && s.p50 == 20 && s.p99 == 40);
    assert_true(s.jitter > 16.6 && s.jitter < 16.7); // (20 + 10 + 20) / 3, in the order of sending
    double one[] = {7};
    s = dp_rtt_stats(one, 1);
    assert_true(s.min == 7 && s.p99 == 7 && s.jitter == 0);
}

static void fill(struct trace_path *path, double rtts[TRACE_HOPS_MAX + 1][8])
{
    memset(path, 0, sizeof *path);
    for (int ttl = 0; ttl <= TRACE_HOPS_MAX; ttl++)
        path->hops[ttl].rtts = rtts[ttl];
}

static void answer(struct trace_path *path, int ttl, const char *from, unsigned sent, unsigned answers,
                   bool target, const struct dp_icmp *icmp)
{
    path->hops[ttl].sent = sent;
    for (unsigned i = 0; i < answers; i++)
        trace_path_take(path, ttl, from, 1, target, icmp);
}

static void test_path(void **state)
{
    (void)state;
    static struct trace_path path;
    static double rtts[TRACE_HOPS_MAX + 1][8];
    int stops;
    fill(&path, rtts);
    answer(&path, 1, "192.0.2.1", 4, 2, false, NULL); // answers only half of the time
    answer(&path, 2, "198.51.100.2", 4, 4, false, NULL);
    answer(&path, 3, "203.0.113.25", 4, 3, true, NULL);
    answer(&path, 4, "203.0.113.25", 1, 1, true, NULL);
    assert_string_equal(trace_path_class(&path, &stops), "reached");
    assert_int_equal(stops, -1);
    assert_int_equal(trace_path_last(&path), 3);
    assert_true(trace_path_carried_loss(&path, 1) == 0);
    assert_true(trace_path_carried_loss(&path, 3) == 0.25);
    // a hop that says unreachable is as far away as it said "expired"
    struct dp_icmp icmp = {.present = true, .family = AF_INET, .type = 3, .code = 13, .from = "198.51.100.2"};
    fill(&path, rtts);
    answer(&path, 1, "192.0.2.1", 1, 1, false, NULL);
    answer(&path, 2, "198.51.100.2", 1, 1, false, NULL);
    answer(&path, 3, "198.51.100.2", 1, 1, false, &icmp);
    assert_string_equal(trace_path_class(&path, &stops), "unreachable");
    assert_int_equal(stops, 2);
    fill(&path, rtts);
    answer(&path, 1, "192.0.2.1", 1, 1, false, NULL);
    path.hops[2].sent = 1;
    assert_string_equal(trace_path_class(&path, &stops), "stopped");
    assert_int_equal(stops, 1);
    fill(&path, rtts);
    assert_string_equal(trace_path_class(&path, &stops), "stopped");
    assert_int_equal(stops, 0);
}

static void test_meanings(void **state)
{
    (void)state;
    assert_string_equal(dp_icmp_meaning(AF_INET, 3, 13), "communication administratively prohibited");
    assert_string_equal(dp_icmp_meaning(AF_INET6, 1, 4), "port unreachable");
    assert_null(dp_icmp_meaning(AF_INET, 3, 99));
    assert_null(dp_icmp_meaning(AF_INET6, 200, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_echo),   cmocka_unit_test(test_ip_header),
                                       cmocka_unit_test(test_labels), cmocka_unit_test(test_stats),
                                       cmocka_unit_test(test_path),   cmocka_unit_test(test_meanings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
