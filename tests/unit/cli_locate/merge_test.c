#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/locate/merge.h"
#include "common/capfile/capfile.h"
#include "frames.h"

#define T0 INT64_C(1700000000000000000)

static char folder[] = "/tmp/merge-test-XXXXXX";
static char near_path[64];
static char far_path[64];
static char out_path[64];

/* COUNT packets with payload; `offset` is what this clock is ahead; some stand out of order in the file. */
#define COUNT 600
static void write_capture(const char *path, int64_t offset, int64_t delay, int64_t disorder)
{
    struct dp_capwriter *writer = NULL;
    uint32_t interface;
    assert_int_equal(dp_capwriter_open(path, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "x", 1, 0, &interface), DP_OK);
    for (int64_t i = 0; i < COUNT; i++) {
        /* Neighbours within groups of `disorder` stand in reverse order. */
        int64_t n = i / disorder * disorder + (disorder - 1 - i % disorder);
        uint8_t bytes[FRAME_ROOM];
        struct frame frame = {
            .from_client = true, .flags = 0x18, .seq = (uint32_t)n * 100, .payload_len = 100};
        size_t len = make_frame(&frame, bytes);
        assert_int_equal(
            dp_capwriter_packet(writer, 0, T0 + offset + delay + n * 1000000, bytes, len, len, NULL), DP_OK);
    }
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
}

static int start_group(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(near_path, sizeof near_path, "%s/near", folder);
    (void)snprintf(far_path, sizeof far_path, "%s/far", folder);
    (void)snprintf(out_path, sizeof out_path, "%s/out", folder);
    write_capture(near_path, 0, 0, 1);
    write_capture(far_path, 5000000000, 10000, 100);
    return 0;
}

static int end_group(void **state)
{
    (void)state;
    (void)unlink(near_path);
    (void)unlink(far_path);
    (void)unlink(out_path);
    return rmdir(folder);
}

static struct dp_merge_input inputs[2];

static void set_inputs(void)
{
    inputs[0] = (struct dp_merge_input){.name = "mx1/eth0", .path = near_path, .reference_ns = T0};
    inputs[1] = (struct dp_merge_input){
        .name = "lb1/eth0", .path = far_path, .offset_ns = 5000000000, .reference_ns = T0};
}

static void test_order_is_by_corrected_time(void **state)
{
    (void)state;
    set_inputs();
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, out_path, NULL), DP_OK);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(out_path, &file, NULL), DP_OK);
    for (int64_t i = 0; i < COUNT; i++) {
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.interface, 0);
        assert_int_equal(packet.ts_ns, T0 + i * 1000000);
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.interface, 1);
        assert_int_equal(packet.ts_ns, T0 + i * 1000000 + 10000);
    }
    assert_string_equal(dp_capfile_interface_name(file, 0), "mx1/eth0");
    assert_string_equal(dp_capfile_interface_name(file, 1), "lb1/eth0");
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    assert_false(dp_capfile_stats(file)->has_dropped);
    dp_capfile_close(file);
}

static void test_skew_grows_from_the_reference(void **state)
{
    (void)state;
    set_inputs();
    inputs[1].skew_ppm = 100;
    assert_int_equal(dp_merge_write(&inputs[1], 1, NULL, 0, NULL, out_path, NULL), DP_OK);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(out_path, &file, NULL), DP_OK);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
    int64_t since = (COUNT - 1) * 1000000 + 10000;
    assert_int_equal(packet.ts_ns, T0 + since - since / 10000);
    dp_capfile_close(file);
}

/* The clock is set back by 3 s at the packet 200, ahead by 10 s at the packet 400: as the report says it. */
static void write_capture_of_set_clock(void)
{
    struct dp_capwriter *writer = NULL;
    uint32_t interface;
    assert_int_equal(dp_capwriter_open(far_path, &writer, NULL), DP_OK);
    assert_int_equal(dp_capwriter_interface(writer, "x", 1, 0, &interface), DP_OK);
    for (int64_t n = 0; n < COUNT; n++) {
        int64_t set = n < 200 ? 0 : n < 400 ? -3000000000 : 7000000000;
        uint8_t bytes[FRAME_ROOM];
        struct frame frame = {
            .from_client = true, .flags = 0x18, .seq = (uint32_t)n * 100, .payload_len = 100};
        size_t len = make_frame(&frame, bytes);
        assert_int_equal(
            dp_capwriter_packet(writer, 0, T0 + 5000010000 + set + n * 1000000, bytes, len, len, NULL),
            DP_OK);
    }
    assert_int_equal(dp_capwriter_close(writer, NULL), DP_OK);
}

static void test_order_where_a_clock_was_set(void **state)
{
    (void)state;
    static const struct dp_clock_set sets[] = {
        {.at_ns = T0 + 2200010000, .back_ns = 2999000000, .offset_ns = 2000000000},
        {.at_ns = T0 + 8000000000, .offset_ns = 12000000000},
    };
    write_capture_of_set_clock();
    set_inputs();
    inputs[1].sets = sets;
    inputs[1].set_count = 2;
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, out_path, NULL), DP_OK);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(out_path, &file, NULL), DP_OK);
    for (int64_t i = 0; i < COUNT; i++) {
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.ts_ns, T0 + i * 1000000);
        assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_OK);
        assert_int_equal(packet.ts_ns, T0 + i * 1000000 + 10000);
    }
    dp_capfile_close(file);
    write_capture(far_path, 5000000000, 10000, 100);
}

static size_t count_text(const char *text)
{
    static char content[1 << 20];
    FILE *file = fopen(out_path, "rb");
    assert_non_null(file);
    size_t len = fread(content, 1, sizeof content, file);
    assert_int_equal(fclose(file), 0);
    size_t count = 0;
    for (char *at = content; (at = memmem(at, len - (size_t)(at - content), text, strlen(text))) != NULL;
         at++)
        count++;
    return count;
}

static void test_comments_on_lost_packets(void **state)
{
    (void)state;
    set_inputs();
    struct dp_merge_loss losses[] = {
        /* by the vantage point's own clock */
        {1, T0 + 5000000000 + 10000 + 7000000, 700, 100, 40, "lb1/eth0", "lb1/eth1"},
        {0, T0 + 3000000, 300, 100, 100, "mx1/eth0", "lb1/eth0"},
        {0, T0 + 4000000, 999, 100, 100, "mx1/eth0", "nobody: another sequence number"},
        {0, T0 + 4000000, 400, 99, 99, "mx1/eth0", "nobody: another length"},
        {0, T0 + 4000001, 400, 100, 100, "mx1/eth0", "nobody: another time"},
        {1, T0 + 5000000000 + 10000 + 8000000, 800, 100, 100, "lb1/eth0", "beyond"},
    };
    assert_int_equal(dp_merge_write(inputs, 2, losses, 6, NULL, out_path, NULL), DP_OK);
    assert_int_equal(count_text("lost between lb1/eth0 and lb1/eth1: 40 of 100 payload bytes never came out"),
                     1);
    assert_int_equal(
        count_text("lost between mx1/eth0 and lb1/eth0: 100 of 100 payload bytes never came out"), 1);
    assert_int_equal(count_text("lost beyond lb1/eth0: 100 of 100"), 1);
    assert_int_equal(count_text("nobody"), 0);
    assert_int_equal(count_text("never came out"), 3);
}

static void test_filter_applies(void **state)
{
    (void)state;
    set_inputs();
    struct dp_diag diag = {""};
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, "udp", out_path, &diag), DP_OK);
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    assert_int_equal(dp_capfile_open(out_path, &file, NULL), DP_OK);
    assert_int_equal(dp_capfile_next(file, &packet, NULL), DP_ERR_END);
    /* Interfaces stand there all the same. */
    assert_string_equal(dp_capfile_interface_name(file, 1), "lb1/eth0");
    dp_capfile_close(file);
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, "no such thing", out_path, &diag), DP_ERR_FILTER);
}

static void test_inputs_are_never_overwritten(void **state)
{
    (void)state;
    set_inputs();
    struct stat before;
    struct stat after;
    struct dp_diag diag = {""};
    assert_int_equal(stat(far_path, &before), 0);
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, far_path, &diag), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, far_path));
    assert_int_equal(stat(far_path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, folder, &diag), DP_ERR_IO);
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, "/tmp/no/such/folder/x", &diag), DP_ERR_IO);
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, "/dev/full", &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, "/dev/full"));
}

/* A capture that turns out damaged leaves no half file behind, and the old one as it was. */
static void test_no_half_file(void **state)
{
    (void)state;
    set_inputs();
    FILE *file = fopen(out_path, "wb");
    assert_non_null(file);
    assert_true(fputs("old", file) >= 0);
    assert_int_equal(fclose(file), 0);
    char bad_path[80];
    (void)snprintf(bad_path, sizeof bad_path, "%s/bad", folder);
    write_capture(bad_path, 0, 0, 1);
    file = fopen(bad_path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 20000, SEEK_SET), 0);
    for (int i = 0; i < 400; i++)
        assert_int_equal(fputc(0xff, file), 0xff);
    assert_int_equal(fclose(file), 0);
    inputs[1].path = bad_path;
    assert_int_equal(dp_merge_write(inputs, 2, NULL, 0, NULL, out_path, NULL), DP_ERR_FORMAT);
    (void)unlink(bad_path);
    assert_int_equal(count_text("old"), 1);
    char partial[80];
    (void)snprintf(partial, sizeof partial, "%s.part", out_path);
    assert_int_not_equal(access(partial, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_by_corrected_time),
        cmocka_unit_test(test_skew_grows_from_the_reference),
        cmocka_unit_test(test_order_where_a_clock_was_set),
        cmocka_unit_test(test_comments_on_lost_packets),
        cmocka_unit_test(test_filter_applies),
        cmocka_unit_test(test_inputs_are_never_overwritten),
        cmocka_unit_test(test_no_half_file),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
