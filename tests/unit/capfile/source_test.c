/* Files of all kinds, and compressed ones. */
#include <setjmp.h>
#include <stdarg.h>

#include "bytes.h"

#include <cmocka.h>

#include <fcntl.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define PACKETS 5000

static char folder[] = "/tmp/capfile-test-XXXXXX";
static char path[128];

/* A capture larger than any buffer of the reader: PACKETS packets of 600 bytes. */
static uint8_t *capture;
static size_t capture_len;

static int start_group(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/file", folder);
    static struct bytes part;
    put_pcap_header(&part, 0xa1b2c3d4, 1);
    capture = malloc(24 + (size_t)PACKETS * 616);
    if (!capture)
        return -1;
    memcpy(capture, part.at, 24);
    capture_len = 24;
    for (uint32_t i = 0; i < PACKETS; i++) {
        part.len = 0;
        put_pcap_record(&part, i, i, 600, 600);
        memcpy(capture + capture_len, part.at, part.len);
        capture_len += part.len;
    }
    return 0;
}

static int end_group(void **state)
{
    (void)state;
    (void)unlink(path);
    free(capture);
    return rmdir(folder);
}

static void write_file(const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Opening must fail with this code, naming the file and `what`. */
static void check_refused(const char *name, int expected, const char *what)
{
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_capfile_open(name, &file, &diag), expected);
    assert_null(file);
    assert_int_equal(strncmp(diag.text, name, strlen(name)), 0);
    if (!strstr(diag.text, what))
        fail_msg("'%s' does not say '%s'", diag.text, what);
}

static void test_what_is_no_capture(void **state)
{
    (void)state;
    check_refused("/tmp/there/is/nothing.pcap", DP_ERR_NOT_FOUND, "No such file");
    check_refused(folder, DP_ERR_FORMAT, "is a directory");
    check_refused("/dev/zero", DP_ERR_FORMAT, "is a device");
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_refused(path, DP_ERR_FORMAT, "is a pipe");
    (void)unlink(path);
    write_file("", 0);
    check_refused(path, DP_ERR_FORMAT, "is empty: not a capture file");
    write_file("ab", 2);
    check_refused(path, DP_ERR_FORMAT, "too short");
    write_file("Hello, this is a letter.\n", 25);
    check_refused(path, DP_ERR_FORMAT, "looks like text");
    write_file("\x7f"
               "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
               20);
    check_refused(path, DP_ERR_FORMAT, "a program");
    write_file("\xfd"
               "7zXZ\0\0\0\0\0\0\0",
               12);
    check_refused(path, DP_ERR_FORMAT, "xz");
    write_file("\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    check_refused(path, DP_ERR_FORMAT, "is not a pcap");
    write_file("\x0a\x0d\x0d\x0a\x1c\0\0\0", 8);
    check_refused(path, DP_ERR_FORMAT, "section header");
    write_file("\xd4\xc3\xb2\xa1\x02\0\x04\0", 8);
    check_refused(path, DP_ERR_FORMAT, "file header");
}

/* Reads the file at `path`: all packets, in order, whole. */
static void check_reads(uint64_t expected, bool cut)
{
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    int code = dp_capfile_open(path, &file, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    struct dp_capfile_packet packet;
    uint64_t count = 0;
    while ((code = dp_capfile_next(file, &packet, &diag)) == DP_OK) {
        assert_int_equal(packet.ts_ns, (int64_t)count * 1000001000);
        assert_int_equal(packet.captured, 600);
        assert_int_equal(packet.data[0], 1);
        assert_int_equal(packet.data[599], 600 & 0xff);
        assert_int_equal(packet.offset, 24 + count * 616);
        count++;
    }
    if (code != DP_ERR_END)
        fail_msg("%s", dp_reason(&diag, code));
    assert_int_equal(count, expected);
    assert_int_equal(dp_capfile_stats(file)->cut_short, cut);
    assert_true(dp_capfile_progress(file) > 0.99);
    dp_capfile_close(file);
}

static void test_plain_file(void **state)
{
    (void)state;
    write_file(capture, capture_len);
    check_reads(PACKETS, false);
    write_file(capture, capture_len - 1);
    check_reads(PACKETS - 1, true);
}

/* Compress in two frames, as two files behind one another are. */
static size_t gzip_part(uint8_t *to, size_t room, const uint8_t *from, size_t len)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)from;
    z.avail_in = (uInt)len;
    z.next_out = to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t made = room - z.avail_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return made;
}

static size_t zstd_part(uint8_t *to, size_t room, const uint8_t *from, size_t len)
{
    size_t made = ZSTD_compress(to, room, from, len, 3);
    assert_false(ZSTD_isError(made));
    return made;
}

static size_t lz4_part(uint8_t *to, size_t room, const uint8_t *from, size_t len)
{
    size_t made = LZ4F_compressFrame(to, room, from, len, NULL);
    assert_false(LZ4F_isError(made));
    return made;
}

typedef size_t (*compressor)(uint8_t *, size_t, const uint8_t *, size_t);
static const compressor compressors[] = {gzip_part, zstd_part, lz4_part};
static const char *const names[] = {"gzip", "zstd", "lz4"};

static void test_compressed_files(void **state)
{
    (void)state;
    size_t room = capture_len + 65536;
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    for (size_t i = 0; i < 3; i++) {
        size_t len = compressors[i](packed, room, capture, 1000000);
        len += compressors[i](packed + len, room - len, capture + 1000000, capture_len - 1000000);
        write_file(packed, len);
        check_reads(PACKETS, false);
    }
    free(packed);
}

/* Cut in the middle: what came before is good, and the cut is told. */
static void test_compressed_files_that_are_cut(void **state)
{
    (void)state;
    size_t room = capture_len + 65536;
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    for (size_t i = 0; i < 3; i++) {
        size_t len = compressors[i](packed, room, capture, capture_len);
        write_file(packed, len * 2 / 3);
        struct dp_capfile *file = NULL;
        assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
        uint64_t count;
        assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
        assert_true(count > 0 && count < PACKETS);
        assert_true(dp_capfile_stats(file)->cut_short);
        dp_capfile_close(file);
    }
    free(packed);
}

/* Also where the packets that can be had end at a record's end: only the compressed data tell that more was
 * to come. */
static void test_cut_between_records(void **state)
{
    (void)state;
    uint8_t packed[65536];
    for (size_t i = 0; i < 3; i++) {
        size_t len = compressors[i](packed, sizeof packed, capture, 24 + 2 * 616);
        (void)compressors[i](packed + len, sizeof packed - len, capture + 24 + 2 * 616, 616);
        write_file(packed, len + 5);
        check_reads(2, true);
    }
}

static void test_compressed_files_that_are_damaged(void **state)
{
    (void)state;
    size_t room = capture_len + 65536;
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    for (size_t i = 0; i < 3; i++) {
        size_t first = compressors[i](packed, room, capture, 1000000);
        size_t len =
            first + compressors[i](packed + first, room - first, capture + 1000000, capture_len - 1000000);
        packed[first] ^= 0xff; /* the second frame's magic */
        write_file(packed, len);
        struct dp_capfile *file = NULL;
        struct dp_diag diag = {""};
        assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
        uint64_t count;
        assert_int_equal(read_all(file, &count, &diag), DP_ERR_FORMAT);
        assert_non_null(strstr(diag.text, names[i]));
        dp_capfile_close(file);
    }
    free(packed);
}

static void test_compressed_text_is_named(void **state)
{
    (void)state;
    uint8_t packed[256];
    size_t len = zstd_part(packed, sizeof packed, (const uint8_t *)"some letter of mine", 19);
    write_file(packed, len);
    check_refused(path, DP_ERR_FORMAT, "looks like text after decompression");
}

/* Bytes that are added while a file is read are not read: else a busy capture would never end. */
static void test_growing_file_ends_where_it_was_opened(void **state)
{
    (void)state;
    write_file(capture, 24 + 2 * 616);
    struct dp_capfile *file = NULL;
    assert_int_equal(dp_capfile_open(path, &file, NULL), DP_OK);
    write_file(capture, capture_len);
    uint64_t count;
    assert_int_equal(read_all(file, &count, NULL), DP_ERR_END);
    assert_int_equal(count, 2);
    assert_false(dp_capfile_stats(file)->cut_short);
    dp_capfile_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_capture),
        cmocka_unit_test(test_plain_file),
        cmocka_unit_test(test_compressed_files),
        cmocka_unit_test(test_compressed_files_that_are_cut),
        cmocka_unit_test(test_cut_between_records),
        cmocka_unit_test(test_compressed_files_that_are_damaged),
        cmocka_unit_test(test_compressed_text_is_named),
        cmocka_unit_test(test_growing_file_ends_where_it_was_opened),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
