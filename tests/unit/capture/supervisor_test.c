/* One real capture process after the other, in a network namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/capture/harness.h"

#define FILTER "udp dst port 9999"

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

static void test_stop_flushes_everything(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    assert_int_equal(seen.link_type, 1);
    send_udp(20000, 100);
    dp_capture_stop(seen.process, "stopped"); /* while the kernel still holds the last ones */
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "stopped");
    assert_string_equal(seen.text, "");
    assert_int_equal(seen.counts.packets, 20000);
    assert_int_equal(seen.digests + seen.other + seen.counts.kernel_dropped, 20000);
    assert_int_equal(seen.gap_packets, seen.counts.kernel_dropped);
    assert_true(seen.counts.started_ns > 0 && seen.counts.started_ns <= seen.first_ns);
    assert_true(seen.counts.ended_ns >= seen.last_ns &&
                seen.counts.ended_ns - seen.counts.started_ns < 15000000000);
    seen_free(&seen);
}

static void test_packets_after_the_stop_do_not_count(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    send_udp(1000, 10);
    dp_capture_stop(seen.process, "stopped");
    turn(&seen, 30); /* the child reads it */
    for (int i = 0; i < 200 && !seen.ended; i++) {
        send_udp(100, 10);
        turn(&seen, 10);
    }
    assert_true(seen.ended); /* traffic that goes on does not hold it up */
    assert_int_equal(seen.digests, 1000);
    assert_true(seen.last_ns <= seen.counts.ended_ns);
    seen_free(&seen);
}

static void test_packets_before_the_start_do_not_count(void **state)
{
    (void)state;
    struct seen seen;
    struct dp_diag diag = {""};
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    assert_int_equal(prepare(&seen, &spec, &diag), DP_OK);
    wait_for(&seen, &seen.ready);
    assert_int_equal(seen.ready_code, DP_OK);
    send_udp(500, 10);
    turn(&seen, 300);
    send_udp(500, 10); /* these are still in the kernel's ring at the start */
    assert_int_equal(dp_capture_start(seen.process), DP_OK);
    turn(&seen, 60);
    send_udp(77, 10);
    dp_capture_stop(seen.process, "collector-lost");
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "collector-lost");
    assert_int_equal(seen.digests, 77);
    seen_free(&seen);
}

static void test_duration_and_packet_bound(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.duration_ms = 1500;
    start(&seen, &spec);
    send_udp(10, 10);
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "duration");
    assert_int_equal(seen.digests, 10);
    assert_true(seen.counts_calls >= 1);
    int64_t lasted = (seen.counts.ended_ns - seen.counts.started_ns) / 1000000;
    assert_true(lasted >= 1500); /* how much longer depends on the machine */
    seen_free(&seen);

    seen_new(&seen);
    spec.duration_ms = 0;
    spec.max_packets = 5000;
    start(&seen, &spec);
    send_udp(9000, 10);
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "packets");
    assert_int_equal(seen.digests, 5000);
    assert_int_equal(seen.counts.packets, 5000);
    /* What the kernel held behind the last one was not captured: the capture ended with that. */
    assert_true(seen.counts.ended_ns == seen.last_ns);
    seen_free(&seen);
}

static void test_silence_is_told(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    for (int i = 0; i < 150 && seen.silences < 3; i++)
        turn(&seen, 100);
    assert_true(seen.silences >= 3);
    assert_int_equal(seen.batches, seen.silences);
    assert_true(seen.complete_ns > seen.counts.started_ns);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_true(seen.complete_ns == seen.counts.ended_ns);
    assert_int_equal(seen.digests, 0);
    seen_free(&seen);
}

/* A packet that the kernel still holds in an open block as the capture looks at its clock, once a second. A
 * START that means nothing any more makes it look soon after the packet. */
static void test_silence_overtakes_no_packet(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    for (uint64_t sent = 0, calls = 0; sent < 5; sent++) {
        for (int i = 0; i < 3000 && seen.counts_calls == calls; i++)
            turn(&seen, 5);
        calls = seen.counts_calls;
        turn(&seen, 970);
        send_udp(1, 10);
        for (int i = 0; i < 20 && seen.counts_calls == calls; i++) {
            assert_int_equal(dp_capture_start(seen.process), DP_OK);
            turn(&seen, 2);
        }
    }
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_int_equal(seen.digests, 5);
    assert_int_equal(seen.overtaken, 0);
    seen_free(&seen);
}

static void refused(const struct dp_capture_spec *spec, int code, const char *part)
{
    struct seen seen;
    struct dp_diag diag = {""};
    seen_new(&seen);
    assert_int_equal(prepare(&seen, spec, &diag), DP_OK);
    wait_for(&seen, &seen.ended);
    assert_int_equal(seen.ready_code, code);
    if (!strstr(seen.ready_text, part))
        fail_msg("\"%s\" does not say \"%s\"", seen.ready_text, part);
    seen_free(&seen);
}

static void test_what_cannot_be_opened_says_why(void **state)
{
    (void)state;
    struct dp_capture_spec spec = spec_for("lo", "port port");
    refused(&spec, DP_ERR_FILTER, "'port port' does not compile");
    spec = spec_for("nosuch0", "");
    refused(&spec, DP_ERR_INTERFACE, "There is no interface nosuch0");
    shell("ip link add downy0 type veth peer name downy1");
    spec = spec_for("downy0", "");
    refused(&spec, DP_ERR_INTERFACE, "downy0 is down");
    spec = spec_for("lo", "");
    spec.snaplen = 5;
    refused(&spec, DP_ERR_RANGE, "snap length");
    spec = spec_for("lo", "");
    spec.buffer_bytes = 77;
    refused(&spec, DP_ERR_RANGE, "kernel buffer");

    struct seen seen;
    struct dp_diag diag = {""};
    seen_new(&seen);
    (void)setenv("DP_TEST_PROGRAM", "/nonexistent/droppoint-capture", 1);
    spec = spec_for("lo", "");
    assert_int_equal(prepare(&seen, &spec, &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, "can't be started"));
    (void)unsetenv("DP_TEST_PROGRAM");
    seen_free(&seen);
}

static void test_vanishing_interface(void **state)
{
    (void)state;
    shell("ip link add gone0 type veth peer name gone1 && ip addr add 192.0.2.1/24 dev gone0 && "
          "ip link set gone0 up && ip link set gone1 up && ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 "
          "dev gone0");
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("gone0", FILTER);
    start(&seen, &spec);
    send_udp_on("gone0", "192.0.2.2", 1234);
    shell("ip link del gone0");
    wait_for(&seen, &seen.ended);
    if (strcmp(seen.reason, "interface") != 0)
        fail_msg("ended by %s: %s", seen.reason, seen.text);
    assert_non_null(strstr(seen.text, "interface"));
    assert_int_equal(seen.digests, 1234);
    assert_int_equal(seen.counts.packets, 1234);
    seen_free(&seen);
}

/* A link that flaps does not end the capture. */
static void test_interface_down_and_up_again(void **state)
{
    (void)state;
    shell("ip link add down0 type veth peer name down1 && ip addr add 192.0.2.1/24 dev down0 && "
          "ip link set down0 up && ip link set down1 up && ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 "
          "dev down0");
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("down0", FILTER);
    start(&seen, &spec);
    send_udp_on("down0", "192.0.2.2", 50);
    shell("ip link set down0 down");
    turn(&seen, 300);
    shell("ip link set down0 up && ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev down0");
    turn(&seen, 100);
    send_udp_on("down0", "192.0.2.2", 70);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "stopped");
    assert_int_equal(seen.digests, 120);
    seen_free(&seen);
    shell("ip link del down0");
}

/* The kernel's buffer overflows while the process stands still: a gap, and nothing uncounted. */
static void test_kernel_drops_become_gaps(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.buffer_bytes = 1024 * 1024;
    start(&seen, &spec);
    pid_t pid = capture_pid(getpid());
    assert_int_equal(kill(pid, SIGSTOP), 0);
    send_udp(40000, 100);
    assert_int_equal(kill(pid, SIGCONT), 0);
    turn(&seen, 500);
    send_udp(10, 100);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_true(seen.counts.kernel_dropped > 1000);
    assert_int_equal(seen.digests + seen.counts.kernel_dropped, 40010);
    assert_int_equal(seen.gap_packets, seen.counts.kernel_dropped);
    seen_free(&seen);
}

static void test_killed_child_is_a_crash(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    send_udp(300, 10);
    turn(&seen, 600);
    assert_int_equal(kill(capture_pid(getpid()), SIGKILL), 0);
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "crash");
    assert_non_null(strstr(seen.text, "signal 9"));
    assert_int_equal(seen.digests, 300);
    seen_free(&seen);
}

static void test_sigterm_is_a_stop_and_sigint_nothing(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    pid_t pid = capture_pid(getpid());
    assert_int_equal(kill(pid, SIGINT), 0);
    send_udp(300, 10);
    turn(&seen, 300);
    assert_false(seen.ended);
    assert_int_equal(kill(pid, SIGTERM), 0);
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "stopped");
    assert_int_equal(seen.digests, 300);
    seen_free(&seen);
}

static void test_hung_child_is_killed(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    assert_int_equal(kill(capture_pid(getpid()), SIGSTOP), 0);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "crash");
    assert_non_null(strstr(seen.text, "5 seconds"));
    seen_free(&seen);
}

static void test_pause_loses_nothing(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    seen.refuse = 3;
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    send_udp(30000, 10);
    turn(&seen, 700);
    assert_int_equal(seen.batches, 1); /* paused after the first */
    dp_capture_resume(seen.process);
    turn(&seen, 300);
    assert_int_equal(seen.batches, 2);
    dp_capture_stop(seen.process, "stopped");
    turn(&seen, 6000); /* longer than a child that does not end may take */
    assert_false(seen.ended);
    dp_capture_resume(seen.process);
    turn(&seen, 300);
    dp_capture_resume(seen.process);
    wait_for(&seen, &seen.ended);
    assert_int_equal(seen.pauses, 3);
    assert_string_equal(seen.reason, "stopped");
    assert_int_equal(seen.digests, 30000);
    seen_free(&seen);
}

static void test_no_privilege_while_capturing(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.uid = spec.gid = 65534;
    start(&seen, &spec);
    pid_t pid = capture_pid(getpid());
    assert_int_equal(status_value(pid, "Uid", 10), 65534);
    assert_int_equal(status_value(pid, "Gid", 10), 65534);
    assert_int_equal(status_value(pid, "CapEff", 16), 0);
    assert_int_equal(status_value(pid, "CapPrm", 16), 0);
    assert_int_equal(status_value(pid, "CapBnd", 16), 0);
    assert_int_equal(status_value(pid, "NoNewPrivs", 10), 1);
    /* Only a sanitizer's build does without the system call filter. */
    bool sanitizer = __asan_init != NULL || __tsan_init != NULL;
    assert_int_equal(status_value(pid, "Seccomp", 10), sanitizer ? 0 : 2);
    send_udp(10, 10);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_int_equal(seen.digests, 10);
    seen_free(&seen);
}

/* A program that is not droppoint-capture, or one that was taken over. */
static void fake(const char *body, int ready_code, const char *part)
{
    static const char path[] = "/tmp/dp-fake-capture";
    struct seen seen;
    struct dp_diag diag = {""};
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\n%s\n", body);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
    seen_new(&seen);
    (void)setenv("DP_TEST_PROGRAM", path, 1);
    struct dp_capture_spec spec = spec_for("lo", "");
    assert_int_equal(prepare(&seen, &spec, &diag), DP_OK);
    wait_for(&seen, &seen.ended);
    (void)unsetenv("DP_TEST_PROGRAM");
    (void)unlink(path);
    assert_int_equal(seen.ready_code, ready_code);
    assert_string_equal(seen.reason, "crash");
    if (!strstr(seen.text, part))
        fail_msg("\"%s\" does not say \"%s\"", seen.text, part);
    seen_free(&seen);
}

static void test_child_that_breaks_the_protocol(void **state)
{
    (void)state;
    fake("exit 3", DP_ERR_UNAVAILABLE, "status 3");
    fake("echo 'this is not a message at all' >&3; sleep 60", DP_ERR_UNAVAILABLE, "not a message");
    /* READY, then a batch of four thousand million records. */
    fake("printf 'DP\\001\\020\\010\\0\\0\\0\\0\\0\\0\\0\\001\\0\\0\\0\\140\\0\\0\\0' >&3; "
         "printf 'DP\\001\\022\\0\\0\\0\\0\\377\\377\\377\\377' >&3; sleep 60",
         DP_OK, "not a message");
    /* READY twice. */
    fake("for i in 1 2; do printf 'DP\\001\\020\\010\\0\\0\\0\\0\\0\\0\\0\\001\\0\\0\\0\\140\\0\\0\\0' >&3; "
         "done; sleep 60",
         DP_OK, "not a message");
}

/* Runs in a child: captures until it is killed. Tells the capture process's pid. */
static void capture_for_ever(int tell)
{
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    start(&seen, &spec);
    pid_t pid = capture_pid(getpid());
    (void)!write(tell, &pid, sizeof pid);
    for (;;)
        turn(&seen, 1000);
}

static void test_capture_ends_with_its_agent(void **state)
{
    (void)state;
    int tell[2];
    assert_int_equal(pipe(tell), 0);
    pid_t agent = fork();
    if (agent == 0)
        capture_for_ever(tell[1]);
    pid_t capture = 0;
    assert_int_equal(read(tell[0], &capture, sizeof capture), sizeof capture);
    assert_int_equal(kill(capture, 0), 0);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    int tries = 0;
    while (kill(capture, 0) == 0 && tries++ < 300)
        (void)usleep(10000);
    assert_true(tries < 300);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

int main(void)
{
    if (!live_possible())
        return 0;
    world_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_flushes_everything),
        cmocka_unit_test(test_packets_after_the_stop_do_not_count),
        cmocka_unit_test(test_packets_before_the_start_do_not_count),
        cmocka_unit_test(test_duration_and_packet_bound),
        cmocka_unit_test(test_silence_is_told),
        cmocka_unit_test(test_silence_overtakes_no_packet),
        cmocka_unit_test(test_what_cannot_be_opened_says_why),
        cmocka_unit_test(test_vanishing_interface),
        cmocka_unit_test(test_interface_down_and_up_again),
        cmocka_unit_test(test_kernel_drops_become_gaps),
        cmocka_unit_test(test_killed_child_is_a_crash),
        cmocka_unit_test(test_child_that_breaks_the_protocol),
        cmocka_unit_test(test_sigterm_is_a_stop_and_sigint_nothing),
        cmocka_unit_test(test_hung_child_is_killed),
        cmocka_unit_test(test_pause_loses_nothing),
        cmocka_unit_test(test_no_privilege_while_capturing),
        cmocka_unit_test(test_capture_ends_with_its_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
