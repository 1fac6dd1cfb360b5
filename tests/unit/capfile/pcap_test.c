#include <setjmp.h>
#include <stdarg.h>

#include "bytes.h"

#include <cmocka.h>

#include <string.h>

static struct bytes bytes;

static int start(void **state)
{
    (void)state;
    memset(&bytes, 0, sizeof bytes);
    return 0;
}

static void check_one(uint32_t magic, bool big_endian, int64_t expected_ns)
{
    memset(&bytes, 0, sizeof bytes);
    bytes.big_endian = big_endian;
    put_pcap_header(&bytes, magic, 1);
    put_pcap_record(&bytes, 1700000000, 123456, 60, 1514);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.ts_ns, expected_ns);
    assert_int_equal(packet.captured, 60);
    assert_int_equal(packet.wire_len, 1514);
    assert_int_equal(packet.link_type, 1);
    assert_int_equal(packet.offset, 24);
    assert_int_equal(packet.data[0], 1);
    assert_int_equal(packet.data[59], 60);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_false(dp_capfile_stats(file)->cut_short);
    assert_false(dp_capfile_stats(file)->has_dropped);
    assert_int_equal(dp_capfile_stats(file)->packets, 1);
    dp_capfile_close(file);
}

static void test_every_magic_and_byte_order(void **state)
{
    (void)state;
    for (int big = 0; big < 2; big++) {
        check_one(0xa1b2c3d4, big, 1700000000123456000);
        check_one(0xa1b23c4d, big, 1700000000000123456);
    }
}

/* The modified format's records have eight bytes more. */
static void test_modified_records(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2cd34, 113);
    for (uint32_t i = 0; i < 2; i++) {
        put32(&bytes, 5);
        put32(&bytes, i);
        put32(&bytes, 4);
        put32(&bytes, 40);
        put64(&bytes, 0);
        put(&bytes, "abcd", 4);
    }
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.ts_ns, 5000000000 + i * 1000);
        assert_memory_equal(packet.data, "abcd", 4);
        assert_int_equal(packet.link_type, 113);
    }
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    dp_capfile_close(file);
}

/* Frame check sequence bits above the link type are not part of it; seconds past 2038 are not negative. */
static void test_link_type_bits_and_late_times(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 0x54000001);
    put_pcap_record(&bytes, UINT32_MAX, 999999, 14, 14);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.link_type, 1);
    assert_int_equal(packet.ts_ns, 4294967295999999000);
    dp_capfile_close(file);
}

static void test_wire_length_is_never_below_captured(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 1);
    put_pcap_record(&bytes, 1, 1, 60, 20);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.captured, 60);
    assert_int_equal(packet.wire_len, 60);
    dp_capfile_close(file);
}

static void test_header_alone_is_an_empty_capture(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 1);
    struct dp_capfile *file = open_bytes(&bytes);
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_false(dp_capfile_stats(file)->cut_short);
    dp_capfile_close(file);
}

/* Cut at every byte of the second record: one packet, and the place where the file ends is told. */
static void test_cut_anywhere_in_the_last_record(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 1);
    put_pcap_record(&bytes, 1, 1, 60, 60);
    size_t second = bytes.len;
    put_pcap_record(&bytes, 1, 2, 60, 60);
    for (size_t len = second; len <= bytes.len; len++) {
        struct dp_capfile *file = NULL;
        assert_int_equal(dp_capfile_open_memory(bytes.at, len, "test.pcap", &file, NULL), DP_OK);
        uint64_t count;
        assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
        assert_int_equal(count, len == bytes.len ? 2 : 1);
        bool cut = len != second && len != bytes.len;
        assert_int_equal(dp_capfile_stats(file)->cut_short, cut);
        if (cut) {
            assert_non_null(strstr(dp_capfile_stats(file)->cut_text, "byte 100 "));
            assert_int_equal(dp_capfile_stats(file)->cut_offset, 100);
        }
        dp_capfile_close(file);
    }
}

static void test_lying_length_is_damage(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 1);
    put_pcap_record(&bytes, 1, 1, 60, 60);
    put_pcap_record(&bytes, 1, 2, 60, 60);
    set32(&bytes, 100 + 8, 0x7fffffff);
    struct dp_capfile *file = open_bytes(&bytes);
    uint64_t count;
    struct dp_diag diag = {""};
    assert_int_equal(read_all(file, &count, &diag), DP_ERR_FORMAT);
    assert_int_equal(count, 1);
    assert_non_null(strstr(diag.text, "test.pcap"));
    assert_non_null(strstr(diag.text, "byte 100 "));
    /* And stays so. */
    struct dp_capfile_packet packet;
    struct dp_diag again = {""};
    assert_int_equal(dp_capfile_next(file, &packet, &again), DP_ERR_FORMAT);
    assert_string_equal(again.text, diag.text);
    dp_capfile_close(file);
}

static void test_unknown_version(void **state)
{
    (void)state;
    put_pcap_header(&bytes, 0xa1b2c3d4, 1);
    bytes.at[4] = 3;
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_capfile_open_memory(bytes.at, bytes.len, "x", &file, &diag), DP_ERR_UNSUPPORTED);
    assert_null(file);
    assert_non_null(strstr(diag.text, "3.4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_magic_and_byte_order, start),
        cmocka_unit_test_setup(test_modified_records, start),
        cmocka_unit_test_setup(test_link_type_bits_and_late_times, start),
        cmocka_unit_test_setup(test_wire_length_is_never_below_captured, start),
        cmocka_unit_test_setup(test_header_alone_is_an_empty_capture, start),
        cmocka_unit_test_setup(test_cut_anywhere_in_the_last_record, start),
        cmocka_unit_test_setup(test_lying_length_is_damage, start),
        cmocka_unit_test_setup(test_unknown_version, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
