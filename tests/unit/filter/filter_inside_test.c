/* A filter is about the packet that is followed, wherever that travels inside of something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/filter/filter.h"
#include "tests/unit/packet/hello.h"
#include "tests/unit/packet/wraps.h"

enum { ETHERNET = 1 };

/* Looks at a copy that ends where the captured bytes end. */
static bool passes(const char *expression, enum dp_filter_level level, int link_type,
                   const struct frame *frame, size_t captured, struct dp_filter_counts *ret_counts)
{
    struct dp_filter *filter = NULL;
    struct dp_diag diag = {""};
    bool match = false;
    uint8_t *copy = malloc(captured + 1);
    assert_non_null(copy);
    memcpy(copy, frame->bytes, captured);
    assert_int_equal(dp_filter_new(expression, level, &filter), DP_OK);
    int code = dp_filter_match(filter, link_type, copy, captured, frame->len, &match, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    if (ret_counts)
        *ret_counts = dp_filter_counts(filter);
    dp_filter_free(filter);
    free(copy);
    return match;
}

static const struct wrap *wrap_named(const char *name)
{
    for (size_t i = 0; i < wrap_count; i++) {
        if (strcmp(wraps[i].name, name) == 0)
            return &wraps[i];
    }
    fail_msg("no wrap %s", name);
    return NULL;
}

/* Around a packet to `port`. */
static struct frame wrapped(const struct wrap *wrap, uint8_t family, uint8_t port)
{
    struct frame packet = {.len = 0}, frame = {.len = 0};
    if (family == 4)
        frame_hello4(&packet);
    else
        frame_hello6(&packet);
    packet.bytes[(family == 4 ? 20 : 40) + 3] = port;
    wrap->around(&frame, &packet, family);
    return frame;
}

static bool inner(const char *expression, int link_type, const struct frame *frame)
{
    return passes(expression, DP_FILTER_INNERMOST, link_type, frame, frame->len, NULL);
}

static void test_the_inner_packet_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < wrap_count; i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            int link = wraps[i].link_type;
            struct frame frame = wrapped(&wraps[i], family, 25);
            const char *host = family == 4 ? "src host 192.0.2.1" : "src host 2001:db8::1";
            const char *length = family == 4 ? "len = 71" : "len = 91";
            if (!inner("tcp port 25", link, &frame) || !inner(host, link, &frame) ||
                (family == 4 && !inner("tcp[tcpflags] & tcp-push != 0", link, &frame)))
                fail_msg("%s, IPv%d: left out", wraps[i].name, family);
            if (inner("tcp port 26", link, &frame) || inner("udp", link, &frame) ||
                inner("not port 25", link, &frame) || inner("net 203.0.113.0/24", link, &frame))
                fail_msg("%s, IPv%d: let in", wraps[i].name, family);
            if (wraps[i].encapsulations || wraps[i].vlan_depth)
                assert_true(inner(length, link, &frame));
        }
    }
}

static void test_levels(void **state)
{
    (void)state;
    struct frame frame = wrapped(wrap_named("VXLAN"), 4, 25);
    struct dp_filter_counts counts;
    assert_false(passes("udp port 4789", DP_FILTER_INNERMOST, ETHERNET, &frame, frame.len, &counts));
    assert_int_equal(counts.only_outside, 1);
    assert_int_equal(counts.cut, 0);
    assert_true(passes("udp port 4789", DP_FILTER_OUTERMOST, ETHERNET, &frame, frame.len, NULL));
    assert_true(passes("udp port 4789", DP_FILTER_EITHER, ETHERNET, &frame, frame.len, NULL));
    assert_false(passes("tcp port 25", DP_FILTER_OUTERMOST, ETHERNET, &frame, frame.len, NULL));
    assert_true(passes("tcp port 25", DP_FILTER_EITHER, ETHERNET, &frame, frame.len, &counts));
    assert_int_equal(counts.only_outside, 0);
    assert_false(passes("tcp port 26", DP_FILTER_EITHER, ETHERNET, &frame, frame.len, NULL));
    /* What a live capture needs lets nothing else in afterwards. */
    frame = wrapped(wrap_named("VXLAN"), 4, 80);
    assert_false(inner("tcp port 25 or udp port 4789", ETHERNET, &frame));
    frame = wrapped(wrap_named("VXLAN"), 4, 25);
    assert_true(inner("tcp port 25 or udp port 4789", ETHERNET, &frame));
}

/* What only a frame has is looked for there. */
static void test_expressions_about_frames(void **state)
{
    (void)state;
    struct frame frame = wrapped(wrap_named("QinQ"), 4, 25);
    assert_true(inner("vlan 100 and vlan 5 and tcp port 25", ETHERNET, &frame));
    assert_false(inner("vlan 100 and vlan 6", ETHERNET, &frame));
    assert_false(inner("vlan 100 and vlan 5 and tcp port 26", ETHERNET, &frame));
    frame = wrapped(wrap_named("MPLS"), 4, 25);
    assert_true(inner("mpls 100", ETHERNET, &frame));
    assert_false(inner("mpls 101", ETHERNET, &frame));
    assert_true(inner("ether host 02:00:00:00:00:11", ETHERNET, &frame));
}

/* A packet whose inner headers are cut off is left out, and counted; one that passes as captured goes on to
 * be counted elsewhere. */
static void test_cut_packets(void **state)
{
    (void)state;
    struct frame frame = wrapped(wrap_named("VXLAN"), 6, 25);
    struct dp_filter_counts counts;
    size_t most = frame.len - 17; /* what decoding needs */
    for (size_t len = 0; len <= frame.len; len++) {
        bool match = passes("tcp port 25", DP_FILTER_INNERMOST, ETHERNET, &frame, len, &counts);
        assert_int_equal(match, len >= most);
        assert_int_equal(counts.cut, len < most);
        assert_int_equal(counts.only_outside, 0);
    }
    assert_true(passes("udp", DP_FILTER_INNERMOST, ETHERNET, &frame, 60, &counts));
    assert_int_equal(counts.cut, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_inner_packet_counts),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_expressions_about_frames),
        cmocka_unit_test(test_cut_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
