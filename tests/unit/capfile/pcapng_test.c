#include <setjmp.h>
#include <stdarg.h>

#include "bytes.h"

#include <cmocka.h>

#include <string.h>

static struct bytes bytes;
static struct bytes options;
static struct bytes body;

static int start(void **state)
{
    (void)state;
    memset(&bytes, 0, sizeof bytes);
    memset(&options, 0, sizeof options);
    memset(&body, 0, sizeof body);
    return 0;
}

/* Statistics of one interface, time stamps in its ticks. */
static void put_stats(uint32_t interface, uint64_t start_ticks, uint64_t end_ticks, int64_t ifdrop,
                      int64_t osdrop)
{
    memset(&body, 0, sizeof body);
    body.big_endian = bytes.big_endian;
    put32(&body, interface);
    put64(&body, 0);
    uint64_t times[2] = {start_ticks, end_ticks};
    for (uint16_t i = 0; i < 2; i++) {
        if (times[i] == 0)
            continue;
        put16(&body, (uint16_t)(2 + i));
        put16(&body, 8);
        put32(&body, (uint32_t)(times[i] >> 32));
        put32(&body, (uint32_t)times[i]);
    }
    if (ifdrop >= 0)
        put_option64(&body, 5, (uint64_t)ifdrop);
    if (osdrop >= 0)
        put_option64(&body, 7, (uint64_t)osdrop);
    put_block(&bytes, 5, &body);
}

static void check_sections(bool big_endian)
{
    memset(&bytes, 0, sizeof bytes);
    bytes.big_endian = big_endian;
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    size_t offset = put_packet(&bytes, 0, 1700000000123456, 61, 1514, NULL);
    /* A second section in the other byte order starts with no interface. */
    bytes.big_endian = !big_endian;
    put_section(&bytes);
    put_interface(&bytes, 101, NULL);
    put_packet(&bytes, 0, 1700000000123457, 20, 20, NULL);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.ts_ns, 1700000000123456000);
    assert_int_equal(packet.captured, 61);
    assert_int_equal(packet.wire_len, 1514);
    assert_int_equal(packet.link_type, 1);
    assert_int_equal(packet.offset, offset);
    assert_int_equal(packet.data[60], 61);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.ts_ns, 1700000000123457000);
    assert_int_equal(packet.link_type, 101);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    dp_capfile_close(file);
}

static void test_sections_in_both_byte_orders(void **state)
{
    (void)state;
    check_sections(false);
    check_sections(true);
}

/* One packet at `ticks` on an interface with this if_tsresol and if_tsoffset. */
static int time_of(uint8_t resolution, int64_t offset, uint64_t ticks, int64_t *ret_ns)
{
    memset(&bytes, 0, sizeof bytes);
    memset(&options, 0, sizeof options);
    put_section(&bytes);
    put_option(&options, 9, &resolution, 1);
    if (offset != 0)
        put_option64(&options, 14, (uint64_t)offset);
    put_option(&options, 0, NULL, 0);
    put_interface(&bytes, 1, &options);
    put_packet(&bytes, 0, ticks, 4, 4, NULL);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    struct dp_diag diag = {""};
    int code = dp_capfile_next(file, &packet, &diag);
    if (code == DP_OK)
        *ret_ns = packet.ts_ns;
    else
        assert_non_null(strstr(diag.text, "time"));
    dp_capfile_close(file);
    return code;
}

static void test_every_resolution(void **state)
{
    (void)state;
    static const struct {
        uint8_t resolution;
        int64_t offset;
        uint64_t ticks;
        int64_t ns;
    } good[] = {
        {0, 0, 1700000000, 1700000000000000000},
        {3, 0, 1700000000123, 1700000000123000000},
        {6, 0, 1700000000123456, 1700000000123456000},
        {9, 0, 1700000000123456789, 1700000000123456789},
        {9, 0, INT64_MAX, INT64_MAX},
        {10, 0, 17000000001234567899U, 1700000000123456789},
        {12, 0, 1700000000123456, 1700000000123},
        {19, 0, UINT64_MAX, 1844674407},
        {30, 0, UINT64_MAX, 0},
        {127, 0, UINT64_MAX, 0},
        {6, 1700000000, 123456, 1700000000123456000},
        {9, -5, 6000000001, 1000000001},
        {0x80, 0, 1700000000, 1700000000000000000},
        {0x80 | 10, 0, 1700000000ULL << 10 | 512, 1700000000500000000},
        {0x80 | 32, 0, 1700000000ULL << 32 | 0x40000000, 1700000000250000000},
        {0x80 | 63, 1700000000, 1ULL << 62, 1700000000500000000},
        {0x80 | 127, 0, UINT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ns = -1;
        assert_int_equal(time_of(good[i].resolution, good[i].offset, good[i].ticks, &ns), DP_OK);
        assert_int_equal(ns, good[i].ns);
    }
    int64_t ns;
    assert_int_equal(time_of(6, 0, UINT64_MAX, &ns), DP_ERR_FORMAT);
    assert_int_equal(time_of(9, 0, UINT64_MAX, &ns), DP_ERR_FORMAT);
    assert_int_equal(time_of(6, INT64_MAX, 1, &ns), DP_ERR_FORMAT);
    assert_int_equal(time_of(6, INT64_MIN, 1, &ns), DP_ERR_FORMAT);
}

/* A simple packet has no captured length of its own: the interface's snap length is it. */
static void test_simple_packet_beyond_snaplen(void **state)
{
    (void)state;
    put_section(&bytes);
    size_t interface = put_interface(&bytes, 1, NULL);
    set32(&bytes, interface + 12, 4);
    put32(&body, 1514);
    put(&body, "abcd", 4);
    put_block(&bytes, 3, &body);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.captured, 4);
    assert_int_equal(packet.wire_len, 1514);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    dp_capfile_close(file);
}

static void test_simple_and_obsolete_packets(void **state)
{
    (void)state;
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    put_packet(&bytes, 0, 77, 4, 4, NULL);
    put32(&body, 6); /* simple: wire length, data */
    put(&body, "abcdef\0\0", 8);
    put_block(&bytes, 3, &body);
    memset(&body, 0, sizeof body);
    put16(&body, 0); /* obsolete: interface, drops */
    put16(&body, 3);
    put32(&body, 0);
    put32(&body, 99);
    put32(&body, 4);
    put32(&body, 40);
    put(&body, "wxyz", 4);
    put_block(&bytes, 2, &body);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.captured, 6);
    assert_int_equal(packet.wire_len, 6);
    assert_memory_equal(packet.data, "abcdef", 6);
    assert_int_equal(packet.ts_ns, 77000);
    assert_int_equal(dp_capfile_stats(file)->without_time, 1);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.captured, 4);
    assert_int_equal(packet.wire_len, 40);
    assert_int_equal(packet.ts_ns, 99000);
    assert_int_equal(packet.dropped_before, 3);
    assert_memory_equal(packet.data, "wxyz", 4);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    /* Without statistics the packets' own counts are the number of drops. */
    assert_true(dp_capfile_stats(file)->has_dropped);
    assert_int_equal(dp_capfile_stats(file)->dropped, 3);
    dp_capfile_close(file);
}

static void test_statistics(void **state)
{
    (void)state;
    put_section(&bytes);
    put_option(&options, 2, "eth0", 4);
    put_interface(&bytes, 1, &options);
    put_interface(&bytes, 101, NULL);
    put_packet(&bytes, 0, 1700000000000000, 4, 4, NULL);
    put_packet(&bytes, 1, 1700000001000000, 4, 4, NULL);
    put_stats(0, 1699999999000000, 1700000002000000, 5, 2);
    put_stats(1, 1699999998000000, 1700000001500000, 1, -1);
    put_stats(0, 0, 0, 10, 2); /* counts so far, not since the one before */
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_string_equal(dp_capfile_interface_name(file, 0), "eth0");
    assert_string_equal(dp_capfile_interface_name(file, 1), "");
    assert_string_equal(dp_capfile_interface_name(file, 2), "");
    uint64_t count;
    assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
    const struct dp_capfile_stats *stats = dp_capfile_stats(file);
    assert_true(stats->has_dropped);
    assert_int_equal(stats->dropped, 13);
    assert_true(stats->has_start && stats->has_end);
    assert_int_equal(stats->start_ns, 1699999998000000000);
    assert_int_equal(stats->end_ns, 1700000002000000000);
    dp_capfile_close(file);
}

/* Zero drops is knowledge; no count is none. Times that contradict the packets are not believed. */
static void test_statistics_that_say_little(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        memset(&bytes, 0, sizeof bytes);
        put_section(&bytes);
        put_interface(&bytes, 1, NULL);
        put_packet(&bytes, 0, 1700000000000000, 4, 4, NULL);
        put_stats(0, 1700000000000001, 1699999999999999, known ? 0 : -1, -1);
        struct dp_capfile *file = open_bytes(&bytes);
        uint64_t count;
        assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
        assert_int_equal(dp_capfile_stats(file)->has_dropped, known);
        assert_int_equal(dp_capfile_stats(file)->dropped, 0);
        assert_false(dp_capfile_stats(file)->has_start);
        assert_false(dp_capfile_stats(file)->has_end);
        dp_capfile_close(file);
    }
}

/* Of a capture that filled several files each says what all received: then the times are not this file's. */
static void test_statistics_of_a_larger_capture(void **state)
{
    (void)state;
    for (uint64_t received = 1; received < 200; received += 9) {
        memset(&bytes, 0, sizeof bytes);
        memset(&body, 0, sizeof body);
        put_section(&bytes);
        put_interface(&bytes, 1, NULL);
        for (uint64_t i = 0; i < 20; i++)
            put_packet(&bytes, 0, 1700000000000000 + i, 4, 4, NULL);
        put32(&body, 0);
        put64(&body, 0);
        for (uint16_t i = 2; i < 4; i++) {
            uint64_t ticks = i == 2 ? 1699999990000000 : 1700000010000000;
            put16(&body, i);
            put16(&body, 8);
            put32(&body, (uint32_t)(ticks >> 32));
            put32(&body, (uint32_t)ticks);
        }
        put_option64(&body, 4, received);
        put_option64(&body, 5, 100);
        put_block(&bytes, 5, &body);
        struct dp_capfile *file = open_bytes(&bytes);
        uint64_t count;
        assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
        bool whole = received <= 20 + 2 + 16 + 100;
        assert_int_equal(dp_capfile_stats(file)->has_start, whole);
        assert_int_equal(dp_capfile_stats(file)->has_end, whole);
        assert_int_equal(dp_capfile_stats(file)->dropped, 100);
        dp_capfile_close(file);
    }
}

static void test_drop_count_of_a_packet(void **state)
{
    (void)state;
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    put_option(&options, 1, "hello", 5);
    put_option64(&options, 4, 42);
    put_packet(&bytes, 0, 1, 5, 5, &options);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.dropped_before, 42);
    dp_capfile_close(file);
}

static void test_unknown_blocks_are_passed_over(void **state)
{
    (void)state;
    put_section(&bytes);
    put32(&body, 0xdeadbeef);
    put_block(&bytes, 0x40000abc, &body);
    put_interface(&bytes, 1, NULL);
    put_block(&bytes, 4, &body);
    put_packet(&bytes, 0, 1, 4, 4, NULL);
    struct dp_capfile *file = open_bytes(&bytes);
    uint64_t count;
    assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
    assert_int_equal(count, 1);
    dp_capfile_close(file);
}

/* A file with one good packet and a second, of which a field is set to a lie. */
static void check_lie(size_t field, uint32_t value, const char *what)
{
    memset(&bytes, 0, sizeof bytes);
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    put_packet(&bytes, 0, 1, 60, 60, NULL);
    size_t offset = put_packet(&bytes, 0, 2, 60, 60, NULL);
    put_packet(&bytes, 0, 3, 60, 60, NULL);
    set32(&bytes, offset + field, value);
    struct dp_capfile *file = open_bytes(&bytes);
    uint64_t count;
    struct dp_diag diag = {""};
    assert_int_equal(read_all(file, &count, &diag), DP_ERR_FORMAT);
    assert_int_equal(count, 1);
    assert_non_null(strstr(diag.text, "test.pcap"));
    assert_non_null(strstr(diag.text, "at byte 140 "));
    if (!strstr(diag.text, what))
        fail_msg("'%s' does not say '%s'", diag.text, what);
    dp_capfile_close(file);
}

static void test_lying_lengths(void **state)
{
    (void)state;
    check_lie(4, 93, "impossible length");
    check_lie(4, 94, "impossible length");
    check_lie(4, 8, "impossible length");
    check_lie(4, 0, "impossible length");
    check_lie(4, 0xfffffffc, "impossible length");
    check_lie(4, 28, "another length");
    check_lie(4, 96, "another length");
    check_lie(4, 0x00f00000, "does not fit its packet");
    check_lie(88, 96, "another length");
    check_lie(88, 0, "another length");
    check_lie(8, 1, "never described");
    check_lie(8, UINT32_MAX, "never described");
    check_lie(20, 61, "more captured bytes than it holds");
    check_lie(20, 0x00100001, "more captured bytes than are possible");
    check_lie(20, UINT32_MAX, "more captured bytes than are possible");
}

static void test_short_blocks(void **state)
{
    (void)state;
    static const uint32_t types[] = {1, 2, 3, 5, 6, 0x0a0d0d0a};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        memset(&bytes, 0, sizeof bytes);
        memset(&body, 0, sizeof body);
        put_section(&bytes);
        put_interface(&bytes, 1, NULL);
        if (types[i] == 0x0a0d0d0a)
            put32(&body, 0x1a2b3c4d);
        else if (types[i] == 3 || types[i] == 1)
            body.len = 0;
        else
            put64(&body, 0);
        put_block(&bytes, types[i], &body);
        put_packet(&bytes, 0, 1, 4, 4, NULL);
        struct dp_capfile *file = open_bytes(&bytes);
        uint64_t count;
        struct dp_diag diag = {""};
        assert_int_equal(read_all(file, &count, &diag), DP_ERR_FORMAT);
        assert_non_null(strstr(diag.text, "is shorter than"));
        dp_capfile_close(file);
    }
}

static void check_bad_options(void)
{
    struct dp_capfile *file = open_bytes(&bytes);
    uint64_t count;
    struct dp_diag diag = {""};
    assert_int_equal(read_all(file, &count, &diag), DP_ERR_FORMAT);
    assert_int_equal(count, 0);
    dp_capfile_close(file);
}

static void test_lying_options(void **state)
{
    (void)state;
    put16(&options, 2);
    put16(&options, 5); /* four bytes follow */
    put32(&options, 0);
    put_section(&bytes);
    put_interface(&bytes, 1, &options);
    check_bad_options();

    start(NULL);
    put_option(&options, 9, "\x06\x06", 2);
    put_section(&bytes);
    put_interface(&bytes, 1, &options);
    check_bad_options();

    start(NULL);
    put_option(&options, 14, "\x06\x06", 2);
    put_section(&bytes);
    put_interface(&bytes, 1, &options);
    check_bad_options();

    start(NULL);
    put16(&options, 4);
    put16(&options, 0xffff);
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    put_packet(&bytes, 0, 1, 4, 4, &options);
    check_bad_options();
}

static void test_no_interface_at_all(void **state)
{
    (void)state;
    put_section(&bytes);
    put32(&body, 0);
    put_block(&bytes, 3, &body);
    check_bad_options();
}

static void test_cut_anywhere_in_the_last_block(void **state)
{
    (void)state;
    put_section(&bytes);
    put_interface(&bytes, 1, NULL);
    put_packet(&bytes, 0, 1, 60, 60, NULL);
    size_t last = put_packet(&bytes, 0, 2, 60, 60, NULL);
    for (size_t len = last; len <= bytes.len; len++) {
        struct dp_capfile *file = NULL;
        assert_int_equal(dp_capfile_open_memory(bytes.at, len, "x", &file, NULL), DP_OK);
        uint64_t count;
        assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
        assert_int_equal(count, len == bytes.len ? 2 : 1);
        assert_int_equal(dp_capfile_stats(file)->cut_short, len != last && len != bytes.len);
        dp_capfile_close(file);
    }
}

static void test_unknown_version(void **state)
{
    (void)state;
    put_section(&bytes);
    bytes.at[12] = 2;
    struct dp_capfile *file = NULL;
    assert_int_equal(dp_capfile_open_memory(bytes.at, bytes.len, "x", &file, NULL), DP_ERR_UNSUPPORTED);
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sections_in_both_byte_orders, start),
        cmocka_unit_test_setup(test_every_resolution, start),
        cmocka_unit_test_setup(test_simple_packet_beyond_snaplen, start),
        cmocka_unit_test_setup(test_simple_and_obsolete_packets, start),
        cmocka_unit_test_setup(test_statistics, start),
        cmocka_unit_test_setup(test_statistics_that_say_little, start),
        cmocka_unit_test_setup(test_statistics_of_a_larger_capture, start),
        cmocka_unit_test_setup(test_drop_count_of_a_packet, start),
        cmocka_unit_test_setup(test_unknown_blocks_are_passed_over, start),
        cmocka_unit_test_setup(test_lying_lengths, start),
        cmocka_unit_test_setup(test_short_blocks, start),
        cmocka_unit_test_setup(test_lying_options, start),
        cmocka_unit_test_setup(test_no_interface_at_all, start),
        cmocka_unit_test_setup(test_cut_anywhere_in_the_last_block, start),
        cmocka_unit_test_setup(test_unknown_version, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
