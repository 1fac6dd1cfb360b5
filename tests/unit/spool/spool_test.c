#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/spool/spool.h"
#include "common/wire/wire.h"

#define ROOMY ((uint64_t)256 * 1024 * 1024)

struct place {
    char directory[64];
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    (void)snprintf(place->directory, sizeof place->directory, "/tmp/dp-spool-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    (void)nftw(place->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(place);
    return 0;
}

static struct dp_spool *open_spool(const struct place *place, uint64_t epoch, uint64_t max_bytes)
{
    struct dp_spool *spool = NULL;
    struct dp_diag diag = {""};
    int code = dp_spool_open(place->directory, epoch, max_bytes, &spool, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    return spool;
}

/* A payload that its number alone determines. */
static size_t make_payload(uint64_t number, uint8_t *bytes)
{
    size_t len = 1 + (size_t)(number * 7919 % 30000);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(number * 31 + i * (number % 13 + 1));
    return len;
}

static int append(struct dp_spool *spool, uint64_t stream, uint64_t expected)
{
    static uint8_t bytes[30001];
    size_t len = make_payload(expected, bytes);
    uint64_t number = 0;
    int code = dp_spool_append(spool, stream, (uint32_t)expected % 4096, bytes, len, &number);
    if (code == DP_OK)
        assert_int_equal(number, expected);
    return code;
}

static void check_batch(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number)
{
    static uint8_t bytes[30001];
    size_t len = make_payload(number, bytes);
    uint32_t crc = 0, records = 0;
    uint8_t *payload = NULL;
    size_t got = 0;
    assert_int_equal(dp_spool_read(spool, epoch, stream, number, &crc, &records, &payload, &got), DP_OK);
    assert_int_equal(got, len);
    assert_memory_equal(payload, bytes, len);
    assert_int_equal(crc, dp_crc32c(0, bytes, len));
    assert_int_equal(records, number % 4096);
    free(payload);
}

static int read_code(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number)
{
    uint32_t crc = 0, records = 0;
    uint8_t *payload = NULL;
    size_t len = 0;
    int code = dp_spool_read(spool, epoch, stream, number, &crc, &records, &payload, &len);
    free(payload);
    return code;
}

static struct dp_spool_stream_info info_at(struct dp_spool *spool, size_t index)
{
    struct dp_spool_stream_info info = {0};
    assert_true(dp_spool_stream_at(spool, index, &info));
    return info;
}

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
