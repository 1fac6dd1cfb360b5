#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/spool/place.h"

static void test_append_sync_read_acknowledge_reopen(void **state)
{
    struct place *place = *state;
    struct dp_spool *spool = open_spool(place, 7, ROOMY);
    uint64_t stream = 0;
    assert_int_equal(dp_spool_stream(spool, 1, "cap-1", "mx1/eth0", &stream), DP_OK);
    assert_int_equal(stream, 1);
    for (uint64_t n = 1; n <= 2000; n++)
        assert_int_equal(append(spool, stream, n), DP_OK);
    assert_int_equal(info_at(spool, 0).last, 2000);
    uint64_t synced = info_at(spool, 0).synced; /* whole segments are synced as they fill */
    assert_true(synced < 2000);
    assert_int_equal(read_code(spool, 7, stream, 2000), DP_ERR_END);
    assert_true(dp_spool_sync_due(spool, 0));
    assert_int_equal(dp_spool_sync(spool), DP_OK);
    assert_false(dp_spool_sync_due(spool, UINT64_MAX));
    for (uint64_t n = 1; n <= 2000; n += 97)
        check_batch(spool, 7, stream, n);
    assert_int_equal(read_code(spool, 7, stream, 2001), DP_ERR_END);
    assert_int_equal(read_code(spool, 7, 9, 1), DP_ERR_NOT_FOUND);
    assert_int_equal(dp_spool_acknowledge(spool, 7, stream, 1500), DP_OK);
    assert_int_equal(info_at(spool, 0).first, 1501);
    assert_int_equal(dp_spool_acknowledge(spool, 7, stream, 2001), DP_ERR_RANGE);
    dp_spool_close(spool);

    spool = open_spool(place, 8, ROOMY);
    struct dp_spool_stream_info info = info_at(spool, 0);
    assert_int_equal(info.epoch, 7);
    assert_int_equal(info.kind, 1);
    assert_string_equal(info.capture_id, "cap-1");
    assert_string_equal(info.vantage, "mx1/eth0");
    assert_true(info.closed); /* nobody is left to append to it */
    assert_true(info.first <= 1501 && info.first > 1);
    assert_int_equal(info.synced, 2000);
    check_batch(spool, 7, 1, 1501);
    check_batch(spool, 7, 1, 2000);
    assert_int_equal(dp_spool_stream(spool, 1, "cap-2", "mx1/eth1", &stream), DP_OK);
    assert_int_equal(append(spool, stream, 1), DP_OK);
    assert_int_equal(info_at(spool, 1).epoch, 8);
    assert_int_equal(dp_spool_acknowledge(spool, 7, 1, 2000), DP_OK); /* to the end: it vanishes */
    assert_int_equal(info_at(spool, 0).epoch, 8);
    assert_int_equal(dp_spool_acknowledge(spool, 7, 1, 2000), DP_ERR_NOT_FOUND);
    assert_int_equal(dp_spool_end(spool, stream), DP_OK);
    assert_true(info_at(spool, 0).closed);
    assert_int_equal(append(spool, stream, 2), DP_ERR_NOT_FOUND);
    assert_int_equal(dp_spool_forget(spool, 8, stream), DP_OK);
    struct dp_spool_stream_info none;
    assert_false(dp_spool_stream_at(spool, 0, &none));
    dp_spool_close(spool);
    char path[128];
    (void)snprintf(path, sizeof path, "%s", place->directory);
    assert_int_equal(rmdir(path), 0); /* nothing is left behind */
}

static void test_sync_is_due_by_age(void **state)
{
    struct dp_spool *spool = open_spool(*state, 1, ROOMY);
    uint64_t stream = 0;
    assert_int_equal(dp_spool_stream(spool, 1, "c", "v/e", &stream), DP_OK);
    assert_false(dp_spool_sync_due(spool, UINT64_MAX));
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    assert_int_equal(append(spool, stream, 1), DP_OK);
    assert_false(dp_spool_sync_due(spool, ms + 900));
    assert_true(dp_spool_sync_due(spool, ms + 1100));
    dp_spool_close(spool);
}

static void test_bound_is_reached_and_left(void **state)
{
    struct dp_spool *spool = open_spool(*state, 1, 1024 * 1024);
    uint64_t stream = 0;
    assert_int_equal(dp_spool_stream(spool, 1, "c", "v/e", &stream), DP_OK);
    uint64_t n = 1;
    for (int round = 0; round < 20; round++) {
        uint64_t before = n;
        int code;
        while ((code = append(spool, stream, n)) == DP_OK)
            n++;
        assert_int_equal(code, DP_ERR_FULL);
        assert_true(n - before > 20);
        assert_int_equal(dp_spool_sync(spool), DP_OK);
        check_batch(spool, 1, stream, n - 1);
        assert_int_equal(dp_spool_acknowledge(spool, 1, stream, round % 2 ? n - 1 : (before + n) / 2), DP_OK);
    }
    dp_spool_close(spool);
}

static void test_one_agent_only_and_unwritable(void **state)
{
    struct place *place = *state;
    struct dp_spool *spool = open_spool(place, 1, ROOMY);
    struct dp_spool *second = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_spool_open(place->directory, 2, ROOMY, &second, &diag), DP_ERR_DENIED);
    assert_non_null(strstr(diag.text, "in use by another agent"));
    dp_spool_close(spool);
    assert_int_equal(dp_spool_open("/proc/nosuch/spool", 2, ROOMY, &second, &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, "/proc/nosuch/spool"));
    assert_null(second);
    if (geteuid() != 0)
        return;
    /* As an ordinary user that may look but not write. */
    pid_t child = fork();
    if (child == 0) {
        if (chmod(place->directory, 0755) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        int code = dp_spool_open(place->directory, 2, ROOMY, &second, &diag);
        _exit(code == DP_ERR_DENIED && strstr(diag.text, "can't be written") ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_sync_read_acknowledge_reopen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sync_is_due_by_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound_is_reached_and_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_agent_only_and_unwritable, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
