#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/remote/live_line.h"

struct sample {
    Droppoint__CaptureProgress progress;
    Droppoint__VantageProgress points[3];
    Droppoint__VantageProgress *pointers[3];
};

static void make(struct sample *sample, const char *phase)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1"};
    droppoint__capture_progress__init(&sample->progress);
    sample->progress.phase = (char *)phase;
    sample->progress.elapsed_ms = 18000;
    for (size_t i = 0; i < 3; i++) {
        droppoint__vantage_progress__init(&sample->points[i]);
        sample->points[i].vantage = (char *)names[i];
        sample->points[i].state = (char *)"running";
        sample->points[i].packets = 12345 - i;
        sample->pointers[i] = &sample->points[i];
    }
    sample->progress.n_vantages = 3;
    sample->progress.vantages = sample->pointers;
}

static void test_running(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 0, text, sizeof text),
                        "12 s left | no loss so far | mx1/eth0 12,345 | lb1/eth0 12,344 | lb1/eth1 12,343");
    sample.progress.lost_packets = 38;
    sample.progress.lost_bytes = 54416;
    sample.points[1].kernel_dropped = 1007;
    sample.points[2].state = (char *)"failed";
    assert_string_equal(
        dp_live_render(&sample.progress, 30000, 2500, 0, text, sizeof text),
        "10 s left | lost 38 packets, 54,416 bytes | mx1/eth0 12,345 | lb1/eth0 12,344 (kernel dropped "
        "1,007) | lb1/eth1 failed 12,343");
    sample.progress.lost_packets = 1;
    assert_non_null(
        strstr(dp_live_render(&sample.progress, 30000, 0, 0, text, sizeof text), "lost 1 packet,"));
}

static void test_time_never_runs_below_zero(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    assert_int_equal(
        strncmp(dp_live_render(&sample.progress, 30000, 90000, 0, text, sizeof text), "0 s left", 8), 0);
}

static void test_other_phases(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "preparing");
    sample.points[0].state = (char *)"ready";
    sample.points[1].state = (char *)"absent";
    sample.points[2].state = (char *)"preparing";
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 0, text, sizeof text),
                        "preparing | mx1/eth0 ready | lb1/eth0 absent | lb1/eth1 preparing");
    make(&sample, "draining");
    assert_non_null(
        strstr(dp_live_render(&sample.progress, 30000, 0, 0, text, sizeof text), "taking in the rest"));
}

static void test_cut_to_the_terminal(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    dp_live_render(&sample.progress, 30000, 0, 40, text, sizeof text);
    assert_string_equal(text, "12 s left | no loss so far | mx1/eth0...");
    assert_int_equal(strlen(text), 40);
    char whole[DP_LIVE_TEXT];
    dp_live_render(&sample.progress, 30000, 0, 0, whole, sizeof whole);
    dp_live_render(&sample.progress, 30000, 0, (unsigned)strlen(whole), text, sizeof text);
    assert_string_equal(text, whole);
}

static void test_small_room_is_not_overrun(void **state)
{
    (void)state;
    struct sample sample;
    char text[33];
    make(&sample, "running");
    for (size_t size = 1; size < 32; size++) {
        memset(text, 'x', sizeof text);
        dp_live_render(&sample.progress, 30000, 0, 0, text, size);
        assert_true(strlen(text) < size);
        assert_int_equal(text[size], 'x');
    }
}

/* Not a terminal: nothing within two seconds, then a line every two. */
static void test_lines_in_a_log(void **state)
{
    (void)state;
    struct sample sample;
    char *text = NULL;
    size_t size = 0, lines = 0;
    FILE *out = tmpfile();
    assert_non_null(out);
    struct dp_live live;
    make(&sample, "running");
    dp_live_init(&live, out, 1000);
    assert_false(live.terminal);
    for (uint64_t now = 1000; now <= 7500; now += 250) {
        dp_live_show(&live, &sample.progress, 30000, 0, now);
        if (now < 3000)
            assert_int_equal(ftell(out), 0);
    }
    dp_live_clear(&live);
    rewind(out);
    while (getline(&text, &size, out) > 0) {
        assert_null(strchr(text, '\r'));
        assert_int_equal(strncmp(text, "12 s left", 9), 0);
        lines++;
    }
    assert_int_equal(lines, 3);
    free(text);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_time_never_runs_below_zero),
        cmocka_unit_test(test_other_phases),
        cmocka_unit_test(test_cut_to_the_terminal),
        cmocka_unit_test(test_small_room_is_not_overrun),
        cmocka_unit_test(test_lines_in_a_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
