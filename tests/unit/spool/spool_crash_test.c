/* What a crash and a bad disk leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/spool/place.h"

#define ROUNDS 50
#define STREAMS 2

/* What the child had reported before it was killed. */
struct told {
    volatile uint64_t stream[STREAMS];
    volatile uint64_t synced[STREAMS];
    volatile uint64_t last[STREAMS];
    volatile uint64_t acknowledged[STREAMS];
};

/* Appends, syncs and acknowledges as an agent does, until it is killed. */
static void append_for_ever(const struct place *place, uint64_t epoch, struct told *told)
{
    struct dp_spool *spool = open_spool(place, epoch, ROOMY);
    uint64_t next[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        uint64_t stream = 0;
        if (dp_spool_stream(spool, 1, "c", "v/e", &stream) != DP_OK)
            _exit(1);
        told->stream[i] = stream;
        next[i] = 1;
    }
    for (uint64_t turn = 0;; turn++) {
        size_t i = (size_t)(turn % 3 == 0);
        if (append(spool, told->stream[i], next[i]) != DP_OK)
            _exit(1);
        told->last[i] = next[i]++;
        if (turn % 17 == 0 && dp_spool_sync(spool) != DP_OK)
            _exit(1);
        struct dp_spool_stream_info info;
        for (size_t at = 0; dp_spool_stream_at(spool, at, &info); at++)
            for (size_t s = 0; s < STREAMS; s++)
                if (info.epoch == epoch && info.stream == told->stream[s])
                    told->synced[s] = info.synced;
        if (turn % 1000 == 999) {
            uint64_t upto = told->synced[i] / 2;
            told->acknowledged[i] = upto;
            if (dp_spool_acknowledge(spool, epoch, told->stream[i], upto) != DP_OK)
                _exit(1);
        }
    }
}

static void check_what_is_left(const struct place *place, uint64_t epoch, const struct told *told)
{
    struct dp_spool *spool = open_spool(place, 1000000, ROOMY);
    struct dp_spool_stream_info info;
    size_t found = 0;
    for (size_t at = 0; dp_spool_stream_at(spool, at, &info); at++) {
        assert_int_equal(info.epoch, epoch);
        for (size_t s = 0; s < STREAMS; s++) {
            if (info.stream != told->stream[s])
                continue;
            found++;
            /* Between the append and its report the child may have been killed. */
            assert_true(info.synced >= told->synced[s] && info.last <= told->last[s] + 1);
            assert_true(info.first <= told->acknowledged[s] + 1);
            assert_int_equal(info.synced, info.last);
            assert_true(info.closed);
            for (uint64_t n = info.first; n <= info.last; n++)
                check_batch(spool, epoch, info.stream, n);
            assert_int_equal(read_code(spool, epoch, info.stream, info.last + 1), DP_ERR_END);
        }
    }
    assert_int_equal(found, STREAMS);
    while (dp_spool_stream_at(spool, 0, &info))
        assert_int_equal(dp_spool_acknowledge(spool, info.epoch, info.stream, info.last), DP_OK);
    dp_spool_close(spool);
}

static void test_killed_at_any_moment(void **state)
{
    const struct place *place = *state;
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    uint64_t all = 0;
    unsigned seed = 1;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        memset(told, 0, sizeof *told);
        pid_t child = fork();
        if (child == 0)
            append_for_ever(place, round, told);
        while (told->stream[STREAMS - 1] == 0)
            (void)usleep(100);
        (void)usleep((useconds_t)(rand_r(&seed) % 60000));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        all += told->last[0] + told->last[1];
        check_what_is_left(place, round, told);
    }
    assert_true(all > 1000); /* else the children did nothing */
    (void)munmap(told, sizeof *told);
}

/* The path of the stream's `skip`th file of that ending, in order of name. */
static void file_of(const struct place *place, const char *ending, unsigned skip, char *path, size_t size)
{
    char directory[PATH_MAX] = "";
    struct dirent **entries = NULL;
    int count = scandir(place->directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            (void)snprintf(directory, sizeof directory, "%s/%.60s", place->directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    entries = NULL;
    path[0] = '\0';
    count = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *at = strstr(entries[i]->d_name, ending);
        if (at && at[strlen(ending)] == '\0' && skip-- == 0)
            (void)snprintf(path, size, "%s/%.60s", directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    assert_true(path[0]);
}

static void fill(const struct place *place, uint64_t batches)
{
    struct dp_spool *spool = open_spool(place, 1, ROOMY);
    uint64_t stream = 0;
    assert_int_equal(dp_spool_stream(spool, 1, "c", "v/e", &stream), DP_OK);
    for (uint64_t n = 1; n <= batches; n++)
        assert_int_equal(append(spool, stream, n), DP_OK);
    assert_int_equal(dp_spool_sync(spool), DP_OK);
    dp_spool_close(spool);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void test_torn_tail_is_cut(void **state)
{
    const struct place *place = *state;
    char path[PATH_MAX];
    fill(place, 20);
    file_of(place, ".seg", 0, path, sizeof path);
    off_t whole = size_of(path);
    /* Every kind of tear: in the last payload, in its header, and a tail of zeros as a file system may leave.
     */
    for (int kind = 0; kind < 3; kind++) {
        uint64_t last = 20 - (uint64_t)kind;
        if (kind < 2)
            assert_int_equal(truncate(path, kind == 0 ? whole - 5 : size_of(path) - 10), 0);
        else
            assert_int_equal(truncate(path, size_of(path) + 5000), 0);
        struct dp_spool *spool = open_spool(place, 2, ROOMY);
        struct dp_spool_stream_info info = info_at(spool, 0);
        assert_int_equal(info.last, kind == 2 ? last : last - 1);
        check_batch(spool, 1, 1, info.last);
        assert_int_equal(read_code(spool, 1, 1, info.last + 1), DP_ERR_END);
        dp_spool_close(spool);
    }
}

static void overwrite(const char *path, off_t at, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    uint8_t bytes[4096];
    memset(bytes, 0x5a, sizeof bytes);
    assert_true(fd >= 0 && len <= sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    (void)close(fd);
}

/* How many of the batches are good, and that the others are refused, not served wrong. */
static unsigned good_batches(const struct place *place, uint64_t expected_last)
{
    struct dp_spool *spool = open_spool(place, 2, ROOMY);
    struct dp_spool_stream_info info = info_at(spool, 0);
    assert_int_equal(info.last, expected_last);
    unsigned good = 0;
    for (uint64_t n = 1; n <= info.last; n++) {
        int code = read_code(spool, 1, 1, n);
        assert_true(code == DP_OK || code == DP_ERR_FORMAT);
        if (code == DP_OK) {
            check_batch(spool, 1, 1, n);
            good++;
        }
    }
    dp_spool_close(spool);
    return good;
}

static void test_damage_in_the_middle_costs_only_what_it_hits(void **state)
{
    const struct place *place = *state;
    char path[PATH_MAX];
    fill(place, 1500); /* three files */
    assert_int_equal(good_batches(place, 1500), 1500);
    file_of(place, ".seg", 0, path, sizeof path);
    overwrite(path, 0, 4); /* the first header */
    assert_int_equal(good_batches(place, 1500), 1499);
    overwrite(path, 1000000, 4096); /* payload, maybe a header */
    unsigned good = good_batches(place, 1500);
    assert_true(good < 1499 && good >= 1496);
    assert_int_equal(truncate(path, size_of(path) - 100000), 0); /* the end of a file that others follow */
    unsigned less = good_batches(place, 1500);
    assert_true(less < good && less > good - 200);
    file_of(place, ".seg", 2, path, sizeof path); /* the last one */
    overwrite(path, 200000, 100);
    unsigned least = good_batches(place, 1500);
    assert_true(least < less && least >= less - 2);
}

static void test_unreadable_description_is_set_aside(void **state)
{
    const struct place *place = *state;
    char path[PATH_MAX];
    fill(place, 3);
    file_of(place, "stream", 0, path, sizeof path);
    overwrite(path, 20, 8);
    struct dp_spool *spool = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_spool_open(place->directory, 2, ROOMY, &spool, &diag), DP_OK);
    assert_non_null(strstr(diag.text, "can't be read")); /* a warning */
    struct dp_spool_stream_info info;
    assert_false(dp_spool_stream_at(spool, 0, &info));
    uint64_t stream = 0;
    assert_int_equal(dp_spool_stream(spool, 1, "c", "v/e", &stream), DP_OK);
    assert_int_equal(append(spool, stream, 1), DP_OK);
    dp_spool_close(spool);
}

/* A full disk is a bound like any other: what is there stays, and the spool goes on once there is room. */
static void test_full_disk(void **state)
{
    const struct place *place = *state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("skipped: a small disk needs root\n");
        skip();
    }
    assert_int_equal(mount("none", place->directory, "tmpfs", 0, "size=4m"), 0);
    struct dp_spool *spool = open_spool(place, 1, ROOMY);
    static const char *const sizes[] = {"size=8m", "size=12m", "size=16m"};
    uint64_t stream = 0, n = 1;
    assert_int_equal(dp_spool_stream(spool, 1, "c", "v/e", &stream), DP_OK);
    for (int round = 0; round < 3; round++) {
        int code;
        while ((code = append(spool, stream, n)) == DP_OK)
            n++;
        assert_int_equal(code, DP_ERR_FULL);
        assert_int_equal(append(spool, stream, n), DP_ERR_FULL);
        assert_int_equal(dp_spool_sync(spool), DP_OK);
        for (uint64_t i = info_at(spool, 0).first; i < n; i++)
            check_batch(spool, 1, stream, i);
        assert_int_equal(mount(NULL, place->directory, NULL, MS_REMOUNT, sizes[round]), 0);
        assert_int_equal(append(spool, stream, n), DP_OK);
        n++;
    }
    dp_spool_close(spool);
    spool = open_spool(place, 2, ROOMY);
    assert_int_equal(info_at(spool, 0).last, n - 1);
    for (uint64_t i = 1; i < n; i++)
        check_batch(spool, 1, stream, i);
    dp_spool_close(spool);
    assert_int_equal(umount(place->directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_tail_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle_costs_only_what_it_hits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable_description_is_set_aside, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
