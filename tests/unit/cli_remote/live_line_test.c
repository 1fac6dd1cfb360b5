#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 0, 1, text, sizeof text),
                        "12 s left | no loss so far | mx1/eth0 12,345 | lb1/eth0 12,344 | lb1/eth1 12,343");
    sample.progress.lost_packets = 38;
    sample.progress.lost_bytes = 54416;
    sample.points[1].kernel_dropped = 1007;
    sample.points[2].state = (char *)"failed";
    assert_string_equal(
        dp_live_render(&sample.progress, 30000, 2500, 0, 1, text, sizeof text),
        "10 s left | lost 38 packets, 54,416 bytes | mx1/eth0 12,345 | lb1/eth0 12,344 (kernel dropped "
        "1,007) | lb1/eth1 failed 12,343");
    sample.points[2].state = (char *)"away";
    assert_non_null(strstr(dp_live_render(&sample.progress, 30000, 0, 0, 1, text, sizeof text),
                           "| lb1/eth1 away 12,343"));
    sample.progress.lost_packets = 1;
    assert_non_null(
        strstr(dp_live_render(&sample.progress, 30000, 0, 0, 1, text, sizeof text), "lost 1 packet,"));
}

static void test_time_never_runs_below_zero(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    assert_int_equal(
        strncmp(dp_live_render(&sample.progress, 30000, 90000, 0, 1, text, sizeof text), "0 s left", 8), 0);
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
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 0, 1, text, sizeof text),
                        "preparing | mx1/eth0 ready | lb1/eth0 absent | lb1/eth1 preparing");
    make(&sample, "draining");
    assert_non_null(
        strstr(dp_live_render(&sample.progress, 30000, 0, 0, 1, text, sizeof text), "taking in the rest"));
}

static void test_cut_to_the_terminal(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    dp_live_render(&sample.progress, 30000, 0, 40, 1, text, sizeof text);
    assert_string_equal(text, "12 s left | no loss so far | mx1/eth0...");
    assert_int_equal(strlen(text), 40);
    char whole[DP_LIVE_TEXT];
    dp_live_render(&sample.progress, 30000, 0, 0, 1, whole, sizeof whole);
    dp_live_render(&sample.progress, 30000, 0, (unsigned)strlen(whole), 1, text, sizeof text);
    assert_string_equal(text, whole);
}

/* A terminal shows every vantage point: where one line is too short, more of them. */
static void test_wrapped_to_the_terminal(void **state)
{
    (void)state;
    struct sample sample;
    char text[DP_LIVE_TEXT];
    make(&sample, "running");
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 40, 8, text, sizeof text),
                        "12 s left | no loss so far\n"
                        "  mx1/eth0 12,345 | lb1/eth0 12,344\n"
                        "  lb1/eth1 12,343");
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 26, 8, text, sizeof text),
                        "12 s left | no loss so far\n"
                        "  mx1/eth0 12,345\n"
                        "  lb1/eth0 12,344\n"
                        "  lb1/eth1 12,343");
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 26, 3, text, sizeof text),
                        "12 s left | no loss so far\n"
                        "  mx1/eth0 12,345\n"
                        "  lb1/eth0 12,344 | lb1...");
    /* The vantage points begin on a line of their own, so that they stay where they are. */
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 70, 8, text, sizeof text),
                        "12 s left | no loss so far\n"
                        "  mx1/eth0 12,345 | lb1/eth0 12,344 | lb1/eth1 12,343");
    /* What can't be broken is cut. */
    sample.points[0].vantage = (char *)"a-host-with-a-very-long-name/eth0";
    assert_string_equal(dp_live_render(&sample.progress, 30000, 0, 26, 8, text, sizeof text),
                        "12 s left | no loss so far\n"
                        "  a-host-with-a-very-lo...");
}

static void test_small_room_is_not_overrun(void **state)
{
    (void)state;
    struct sample sample;
    char text[33];
    make(&sample, "running");
    for (size_t size = 1; size < 32; size++) {
        memset(text, 'x', sizeof text);
        dp_live_render(&sample.progress, 30000, 0, 0, 1, text, size);
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

/* The first loss does not wait for a long capture's next line. */
static void test_lines_in_a_long_log(void **state)
{
    (void)state;
    struct sample sample;
    char *text = NULL;
    size_t size = 0, quiet = 0, lossy = 0;
    FILE *out = tmpfile();
    assert_non_null(out);
    struct dp_live live;
    make(&sample, "running");
    dp_live_init(&live, out, 0);
    for (uint64_t now = 0; now <= 100000; now += 250) {
        sample.progress.lost_packets = now >= 70000;
        dp_live_show(&live, &sample.progress, 3600000, 0, now);
        if (now == 72000)
            assert_true(ftell(out) > 0);
    }
    rewind(out);
    while (getline(&text, &size, out) > 0) {
        lossy += strstr(text, "lost 1 packet") != NULL;
        quiet += strstr(text, "no loss") != NULL;
    }
    assert_int_equal(quiet, 2); /* at 30 s and 60 s */
    assert_int_equal(lossy, 2); /* at 70 s and 100 s */
    free(text);
    fclose(out);
}

/* What was written to the terminal since the last call. It may come in pieces. */
static void assert_written(int master, const char *wanted)
{
    char bytes[1024];
    size_t held = 0;
    struct pollfd fd = {.fd = master, .events = POLLIN};
    while (held < strlen(wanted) && poll(&fd, 1, 5000) > 0) {
        ssize_t got = read(master, bytes + held, sizeof bytes - 1 - held);
        assert_true(got > 0);
        held += (size_t)got;
    }
    bytes[held] = '\0';
    assert_string_equal(bytes, wanted);
}

static void test_rewritten_on_a_terminal(void **state)
{
    (void)state;
    struct sample sample;
    const struct winsize window = {.ws_row = 24, .ws_col = 41};
    int master, slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &window), 0);
    FILE *out = fdopen(slave, "w");
    assert_non_null(out);
    struct dp_live live;
    make(&sample, "running");
    dp_live_init(&live, out, 1000);
    assert_true(live.terminal);
    dp_live_show(&live, &sample.progress, 30000, 0, 1000);
    assert_written(master, "\r12 s left | no loss so far\033[K\r\n"
                           "  mx1/eth0 12,345 | lb1/eth0 12,344\033[K\r\n"
                           "  lb1/eth1 12,343\033[J");
    sample.progress.n_vantages = 2;
    dp_live_show(&live, &sample.progress, 30000, 0, 1500);
    assert_written(master, "\033[2A\r12 s left | no loss so far\033[K\r\n"
                           "  mx1/eth0 12,345 | lb1/eth0 12,344\033[J");
    dp_live_clear(&live);
    assert_written(master, "\033[1A\r\033[J");
    sample.progress.n_vantages = 0;
    dp_live_show(&live, &sample.progress, 30000, 0, 2000);
    dp_live_clear(&live);
    assert_written(master, "\r12 s left | no loss so far\033[J\r\033[J");
    fclose(out);
    (void)close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_time_never_runs_below_zero),
        cmocka_unit_test(test_other_phases),
        cmocka_unit_test(test_cut_to_the_terminal),
        cmocka_unit_test(test_wrapped_to_the_terminal),
        cmocka_unit_test(test_small_room_is_not_overrun),
        cmocka_unit_test(test_lines_in_a_log),
        cmocka_unit_test(test_lines_in_a_long_log),
        cmocka_unit_test(test_rewritten_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
