/* Batches against a database that goes away: nothing acknowledged is lost, nothing is stored twice. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture *fix;

#define STREAMS 3
#define ANSWERS 4096

struct answers {
    int count;
    int code[ANSWERS];
    uint64_t watermark[ANSWERS];
};

static struct answers answers;

static void on_batch(void *context, int code, uint64_t watermark)
{
    struct answers *a = context;
    assert_true(a->count < ANSWERS);
    a->code[a->count] = code;
    a->watermark[a->count] = watermark;
    a->count++;
}

static void on_counted(void *context, int code, uint64_t watermark)
{
    (void)watermark;
    assert_int_equal(code, DP_OK);
    ++*(int *)context;
}

static void on_stream(void *context, int code, const char *text, uint64_t last, bool has_closed,
                      uint64_t closed)
{
    (void)last;
    (void)has_closed;
    (void)closed;
    on_done(context, code, text);
}

static struct dp_stream_key open_stream(const char *capture, int position)
{
    struct dp_stream_key key = {.position = position, .epoch = 42, .stream = 1};
    snprintf(key.capture_id, sizeof key.capture_id, "%s", capture);
    fix->done = 0;
    assert_int_equal(dp_store_stream_open(fix->store, &key, "key", "mx1/eth0", 1, on_stream, fix), DP_OK);
    run_until(fix, &fix->done, 1);
    assert_int_equal(fix->code, DP_OK);
    return key;
}

static uint8_t payload[80 * 1024];

static void put(const struct dp_stream_key *key, uint64_t number)
{
    assert_int_equal(
        dp_store_batch(fix->store, key, number, 4096, payload, sizeof payload, on_batch, &answers), DP_OK);
}

static void must_be(const char *capture, int64_t batches)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM batch WHERE capture_id = '%s'", capture);
    assert_int_equal(ask(fix, sql), batches);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM (SELECT position FROM batch WHERE capture_id = '%s' GROUP BY position, "
             "epoch, stream "
             "HAVING min(number) <> 1 OR max(number) <> count(*)) broken",
             capture);
    assert_int_equal(ask(fix, sql), 0);
    snprintf(
        sql, sizeof sql,
        "SELECT count(*) FROM stream s WHERE capture_id = '%s' AND last <> (SELECT coalesce(max(number), 0) "
        "FROM "
        "batch b WHERE (b.capture_id, b.position, b.epoch, b.stream) = (s.capture_id, s.position, s.epoch, "
        "s.stream))",
        capture);
    assert_int_equal(ask(fix, sql), 0);
}

static void test_duplicates_and_gaps(void **state)
{
    (void)state;
    struct dp_stream_key key = open_stream("c-dup", 0);
    answers.count = 0;
    put(&key, 1);
    put(&key, 2);
    put(&key, 2); /* again */
    put(&key, 4); /* 3 is missing */
    put(&key, 3);
    run_until(fix, &answers.count, 5);
    const int codes[] = {DP_OK, DP_OK, DP_ERR_DUPLICATE, DP_ERR_GAP, DP_OK};
    for (int i = 0; i < 5; i++)
        assert_int_equal(answers.code[i], codes[i]);
    assert_int_equal(answers.watermark[2], 2);
    assert_int_equal(answers.watermark[3], 2);
    answers.count = 0;
    for (uint64_t n = 1; n <= 6; n++) /* a reconnect that sends from the start */
        put(&key, n);
    run_until(fix, &answers.count, 6);
    assert_int_equal(answers.code[0], DP_ERR_DUPLICATE);
    assert_int_equal(answers.code[5], DP_OK);
    assert_int_equal(answers.watermark[5], 6);
    must_be("c-dup", 6);
    struct dp_stream_key unknown = key;
    unknown.stream = 77;
    answers.count = 0;
    put(&unknown, 1);
    run_until(fix, &answers.count, 1);
    assert_int_equal(answers.code[0], DP_ERR_NOT_FOUND);
}

/* Sends batches of three streams; calls `disturb` a few times on the way. Sends again from the watermark on a
 * gap. */
static void stream_through(const char *capture, int total, int every, void (*disturb)(void))
{
    struct dp_stream_key keys[STREAMS];
    for (int s = 0; s < STREAMS; s++)
        keys[s] = open_stream(capture, s);
    answers.count = 0;
    for (int n = 1; n <= total; n++) {
        for (int s = 0; s < STREAMS; s++)
            put(&keys[s], (uint64_t)n);
        if (n % every == 0)
            disturb();
        uv_run(&fix->loop, UV_RUN_NOWAIT);
    }
    run_until(fix, &answers.count, total * STREAMS);
    for (int i = 0; i < answers.count; i++)
        assert_true(answers.code[i] == DP_OK || answers.code[i] == DP_ERR_DUPLICATE);
    must_be(capture, total * STREAMS);
}

static void kill_backends(void)
{
    must_sql(fix, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                  "'droppoint-collector' AND pid <> pg_backend_pid()");
}

static void test_killed_backends(void **state)
{
    (void)state;
    stream_through("c-backend", 200, 20, kill_backends);
}

static void kill_postmaster(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/postgresql/postmaster.pid", fix->state);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return; /* between two lives */
    long pid = 0;
    int got = fscanf(file, "%ld", &pid);
    fclose(file);
    if (got == 1 && pid > 1)
        kill((pid_t)pid, SIGKILL);
}

static void test_killed_postmaster(void **state)
{
    (void)state;
    stream_through("c-postmaster", 120, 50, kill_postmaster);
}

struct reading {
    const char *capture;
    size_t len;
    int done;
    uint64_t next[STREAMS];
    uint64_t last; /* number of the batch before: they come in its order */
    size_t count, pages;
};

static void on_page(void *context, int code, const char *text, const struct dp_store_stored_batch *batches,
                    size_t count)
{
    (void)text;
    struct reading *r = context;
    assert_int_equal(code, DP_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(batches[i].number, r->next[batches[i].key.position] + 1);
        assert_true(batches[i].number >= r->last);
        r->next[batches[i].key.position]++;
        r->last = batches[i].number;
        assert_int_equal(batches[i].records, 4096);
        assert_int_equal(batches[i].len, r->len);
        assert_memory_equal(batches[i].payload, payload, r->len);
    }
    r->count += count;
    r->pages++;
    if (count == 0)
        r->done = 1;
    else
        assert_int_equal(dp_store_batches(fix->store, r->capture, batches[count - 1].number, on_page, r),
                         DP_OK);
}

static void read_back(struct reading *r)
{
    assert_int_equal(dp_store_batches(fix->store, r->capture, 0, on_page, r), DP_OK);
    run_until(fix, &r->done, 1);
}

static void test_batches_are_read_back_in_order(void **state)
{
    (void)state;
    struct reading r = {.capture = "c-backend", .len = sizeof payload};
    read_back(&r);
    assert_int_equal(r.count, 200 * STREAMS);
}

static void test_a_capture_without_batches_is_read_back(void **state)
{
    (void)state;
    struct reading none = {.capture = "c-none"}, empty = {.capture = "c-empty"};
    read_back(&none);
    assert_int_equal(none.pages, 1);
    (void)open_stream("c-empty", 0);
    read_back(&empty);
    assert_int_equal(empty.pages, 1);
    assert_int_equal(empty.count, 0);
}

/* What the statistics say of the store's sessions so far. A session's counts are there when it is over. */
static int64_t counted(const char *sql)
{
    close_store(fix);
    uint64_t end = uv_hrtime() + 60 * (uint64_t)1000000000;
    while (ask(fix, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'droppoint-collector'") >
           0) {
        assert_true(uv_hrtime() < end);
        usleep(10000);
    }
    open_store(fix);
    return ask(fix, sql);
}

/* However many pages there are, each is found without looking at the others. */
static void test_reading_back_takes_time_in_proportion(void **state)
{
    (void)state;
    static const char rows[] =
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'batch'";
    static const char blocks[] =
        "SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_tables WHERE relname = 'batch'";
    const uint64_t counts[STREAMS] = {6000, 4000, 3}; /* a busy point, one less so, one that hardly saw any */
    size_t total = 0;
    int stored = 0;
    for (int s = 0; s < STREAMS; s++) {
        struct dp_stream_key key = open_stream("c-pages", s);
        for (uint64_t n = 1; n <= counts[s]; n++)
            assert_int_equal(dp_store_batch(fix->store, &key, n, 4096, payload, 40, on_counted, &stored),
                             DP_OK);
        total += counts[s];
    }
    run_until(fix, &stored, (int)total);
    int64_t rows_before = counted(rows), blocks_before = ask(fix, blocks);
    struct reading r = {.capture = "c-pages", .len = 40};
    read_back(&r);
    for (int s = 0; s < STREAMS; s++)
        assert_int_equal(r.next[s], counts[s]);
    assert_true(r.pages > total / 64); /* a page stays small */
    int64_t rows_read = counted(rows) - rows_before, blocks_read = ask(fix, blocks) - blocks_before;
    print_message("%zu batches read back in %zu pages: %lld rows, %lld blocks of the index\n", r.count,
                  r.pages, (long long)rows_read, (long long)blocks_read);
    assert_int_equal(rows_read, total);
    assert_true(blocks_read <= (int64_t)r.pages * STREAMS * 4); /* the way down the tree, and a leaf more */
}

/* --- too much at once --- */

static void test_a_full_queue_still_takes_what_is_not_a_batch(void **state)
{
    (void)state;
    struct dp_stream_key key = open_stream("c-full", 0);
    static int stored;
    stored = 0;
    int put_in = 0, code = DP_OK;
    /* Nothing is called back before the loop runs. */
    while (put_in < 1000000 && (code = dp_store_batch(fix->store, &key, (uint64_t)put_in + 1, 1, payload, 1,
                                                      on_counted, &stored)) == DP_OK)
        put_in++;
    assert_int_equal(code, DP_ERR_FULL);
    fix->done = 0;
    assert_int_equal(dp_store_stream_close(fix->store, &key, (uint64_t)put_in, on_done, fix), DP_OK);
    run_until(fix, &stored, put_in);
    run_until(fix, &fix->done, 1);
    assert_int_equal(fix->code, DP_OK);
    assert_int_equal(ask(fix, "SELECT last - closed FROM stream WHERE capture_id = 'c-full'"), 0);
}

static void test_rate(void **state)
{
    (void)state;
    struct dp_stream_key key = open_stream("c-rate", 0);
    answers.count = 0;
    uint64_t before = uv_hrtime();
    for (uint64_t n = 1; n <= 500; n++)
        put(&key, n);
    run_until(fix, &answers.count, 500);
    double seconds = (double)(uv_hrtime() - before) / 1e9;
    print_message("500 batches of %zu KiB in %.2f s: %.0f packets/s\n", sizeof payload / 1024, seconds,
                  500 * 4096 / seconds);
    must_be("c-rate", 500);
}

static void test_closing_with_the_database_gone_ends(void **state)
{
    (void)state;
    struct dp_stream_key key = open_stream("c-close", 0);
    answers.count = 0;
    kill_backends();
    for (uint64_t n = 1; n <= 10; n++)
        put(&key, n);
    close_store(fix);
    assert_int_equal(answers.count, 10); /* each was called back, stored or not */
    open_store(fix);
    char sql[] = "SELECT last FROM stream WHERE capture_id = 'c-close'";
    int64_t stored = ask(fix, sql);
    must_be("c-close", stored);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7919 >> 3);
    open_store(fix);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_store(fix);
    return 0;
}

int group_recovery(struct fixture *f)
{
    fix = f;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicates_and_gaps),
        cmocka_unit_test(test_killed_backends),
        cmocka_unit_test(test_batches_are_read_back_in_order),
        cmocka_unit_test(test_a_capture_without_batches_is_read_back),
        cmocka_unit_test(test_reading_back_takes_time_in_proportion),
        cmocka_unit_test(test_a_full_queue_still_takes_what_is_not_a_batch),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_killed_postmaster),
        cmocka_unit_test(test_closing_with_the_database_gone_ends),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
