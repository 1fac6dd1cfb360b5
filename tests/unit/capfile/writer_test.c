#include <setjmp.h>
#include <stdarg.h>

#include "bytes.h"

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/capwriter-test-XXXXXX";

static int start_group(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int end_group(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_sample(const char *to)
{
    struct dp_capwriter *writer = NULL;
    uint32_t first = 99;
    uint32_t second = 99;
    assert_int_equal(dp_capwriter_open(to, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "mx1/eth0", 1, 0, &first), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "lb1/eth0", 101, 96, &second), DP_OK);
    assert_int_equal(first, 0);
    assert_int_equal(second, 1);
    assert_int_equal(
        dp_capwriter_packet(writer, 0, 1700000000123456789, (const uint8_t *)"abcde", 5, 50, NULL), DP_OK);
    assert_int_equal(
        dp_capwriter_packet(writer, 1, 1700000000123456790, (const uint8_t *)"fghi", 4, 4, "lost somewhere"),
        DP_OK);
    assert_int_equal(dp_capwriter_stats(writer, 0, 1700000000000000000, 1700000009000000000, 2, 7), DP_OK);
    assert_int_equal(
        dp_capwriter_stats(writer, 1, 1700000000000000000, 1700000009000000000, 2, DP_CAPWRITER_UNKNOWN),
        DP_OK);
    uint64_t size = dp_capwriter_size(writer);
    assert_int_equal(dp_capwriter_flush(writer), DP_OK);
    struct stat st;
    assert_int_equal(stat(to, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
}

static void test_what_is_written_reads_back(void **state)
{
    (void)state;
    write_sample(path);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.ts_ns, 1700000000123456789);
    assert_int_equal(packet.wire_len, 50);
    assert_int_equal(packet.captured, 5);
    assert_memory_equal(packet.data, "abcde", 5);
    assert_string_equal(dp_capfile_interface_name(file, 0), "mx1/eth0");
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(packet.ts_ns, 1700000000123456790);
    assert_int_equal(packet.link_type, 101);
    assert_int_equal(packet.interface, 1);
    assert_memory_equal(packet.data, "fghi", 4);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_true(dp_capfile_stats(file)->has_dropped);
    assert_int_equal(dp_capfile_stats(file)->dropped, 7);
    assert_int_equal(dp_capfile_stats(file)->start_ns, 1700000000000000000);
    assert_int_equal(dp_capfile_stats(file)->end_ns, 1700000009000000000);
    dp_capfile_close(file);
}

/* Bytes as the format's draft has them, so that others read them too. */
static void test_comment_option_bytes(void **state)
{
    (void)state;
    write_sample(path);
    uint8_t bytes[2048];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    /* option 1, 14 bytes, padded to 16, end of options, the block's length */
    static const char expected[] = "\x01\0\x0e\0lost somewhere\0\0\0\0\0\0\x3c\0\0\0";
    assert_non_null(memmem(bytes, len, expected, sizeof expected - 1));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Many packets, so that blocks cross the writer's buffer. */
static void test_many_packets(void **state)
{
    (void)state;
    static uint8_t data[9001];
    memset(data, 0x55, sizeof data);
    struct dp_capwriter *writer = NULL;
    uint32_t interface;
    assert_int_equal(dp_capwriter_open(path, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "x", 1, 0, &interface), DP_OK);
    for (int64_t i = 0; i < 500; i++)
        assert_int_equal(dp_capwriter_packet(writer, 0, i, data, (size_t)(8501 + i), (size_t)(8501 + i),
                                             i % 7 ? NULL : "c"),
                         DP_OK);
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
    for (int64_t i = 0; i < 500; i++) {
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.ts_ns, i);
        assert_int_equal(packet.captured, 8501 + i);
        assert_int_equal(packet.data[8500], 0x55);
    }
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_false(dp_capfile_stats(file)->cut_short);
    dp_capfile_close(file);
}

/* Packets of which little or nothing was kept: lengths, padding and the block after them stay right. */
static void test_short_packets(void **state)
{
    (void)state;
    struct dp_capwriter *writer = NULL;
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    uint32_t interface;
    assert_int_equal(dp_capwriter_open(path, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "x", 1, 0, &interface), DP_OK);
    for (size_t len = 0; len < 9; len++)
        assert_int_equal(dp_capwriter_packet(writer, 0, 7,
                                             (const uint8_t *)"\x91\x92\x93\x94\x95\x96\x97\x98", len, 60,
                                             NULL),
                         DP_OK);
    uint64_t size = dp_capwriter_size(writer);
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
    for (size_t len = 0; len < 9; len++) {
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.captured, len);
        assert_int_equal(packet.wire_len, 60);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(packet.data[i], 0x91 + i);
        for (size_t i = len; i % 4; i++) /* the padding, which the draft wants to be zero */
            assert_int_equal(packet.data[i], 0);
    }
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    dp_capfile_close(file);
}

static void test_unknown_times_are_left_out(void **state)
{
    (void)state;
    struct dp_capwriter *writer = NULL;
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    uint32_t interface;
    assert_int_equal(dp_capwriter_open(path, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "mx1/eth0", 1, 0, &interface), DP_OK);
    assert_int_equal(
        dp_capwriter_packet(writer, 0, 1700000000123456789, (const uint8_t *)"abcde", 5, 5, NULL), DP_OK);
    assert_int_equal(dp_capwriter_stats(writer, 0, 1, 0, 1, 3), DP_OK);
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
    assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_false(dp_capfile_stats(file)->has_start);
    assert_false(dp_capfile_stats(file)->has_end);
    assert_int_equal(dp_capfile_stats(file)->dropped, 3);
    dp_capfile_close(file);
}

static void test_failures(void **state)
{
    (void)state;
    struct dp_capwriter *writer = NULL;
    struct dp_diag diag = {""};
    uint32_t interface;
    assert_int_equal(dp_capwriter_open("/tmp/there/is/no/folder.pcapng", &writer, &diag), DP_ERR_IO);
    assert_null(writer);
    assert_non_null(strstr(diag.text, "/tmp/there/is/no/folder.pcapng"));
    assert_int_equal(dp_capwriter_open("/dev/full", &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_packet(writer, 0, 0, (const uint8_t *)"a", 1, 1, NULL), DP_ERR_RANGE);
    assert_int_equal(dp_capwriter_stats(writer, 0, 0, 0, 0, 0), DP_ERR_RANGE);
    assert_int_equal(dp_capwriter_interface(writer, "x", 70000, 0, &interface), DP_ERR_RANGE);
    assert_int_equal(dp_capwriter_interface(writer, "x", 1, 0, &interface), DP_OK);
    assert_int_equal(dp_capwriter_flush(writer), DP_ERR_IO);
    assert_int_equal(dp_capwriter_close(writer, &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, "No space left"));
    assert_int_equal(dp_capwriter_close(NULL, NULL), DP_OK);
    dp_capfile_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_reads_back),
        cmocka_unit_test(test_comment_option_bytes),
        cmocka_unit_test(test_many_packets),
        cmocka_unit_test(test_short_packets),
        cmocka_unit_test(test_unknown_times_are_left_out),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
