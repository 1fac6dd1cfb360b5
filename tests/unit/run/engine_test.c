/* The engine's thread: every batch comes back, bad ones are counted and told, the verdict arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/run/engine.h"
#include "common/digest/digest.h"

struct seen {
    int eaten, copies_eaten, verdicts, code;
    json_t *document;
};

static void on_eaten(void *context, void *tag)
{
    struct seen *seen = context;
    if (tag != NULL)
        seen->eaten++;
    else
        seen->copies_eaten++;
}

static void on_verdict(void *context, int code, const char *text, json_t *document)
{
    struct seen *seen = context;
    (void)text;
    seen->verdicts++;
    seen->code = code;
    seen->document = document;
}

static struct dp_engine *open_engine(uv_loop_t *loop, struct seen *seen)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0"};
    const struct dp_engine_events events = {.eaten = on_eaten, .verdict = on_verdict, .context = seen};
    struct dp_engine *engine = NULL;
    struct dp_diag diag = {""};
    memset(seen, 0, sizeof *seen);
    assert_int_equal(uv_loop_init(loop), 0);
    assert_int_equal(dp_engine_open(loop, names, 2, &events, &engine, &diag), DP_OK);
    return engine;
}

static void close_engine(uv_loop_t *loop, struct dp_engine *engine)
{
    dp_engine_close(engine);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

#define EPOCH 1700000000000000000
#define MS ((int64_t)1000000)
#define SECOND (1000 * MS)

/* `count` UDP packets of one flow, 64 bytes each, `apart` from each other. */
static void make_batch_at(int64_t begin_ns, int64_t apart_ns, uint32_t count, uint8_t **ret_bytes,
                          size_t *ret_len)
{
    struct dp_flow_def flow = {.proto = 17,
                               .a = {.family = 4, .bytes = {192, 0, 2, 1}},
                               .b = {.family = 4, .bytes = {198, 51, 100, 9}},
                               .a_port = 5000,
                               .b_port = 5001};
    struct dp_digest *digests = calloc(count, sizeof *digests);
    assert_non_null(digests);
    for (uint32_t i = 0; i < count; i++)
        digests[i] = (struct dp_digest){.ts_ns = begin_ns + i * apart_ns,
                                        .bits = DP_DIGEST_HAS_IP_ID,
                                        .ttl = 64,
                                        .hash_len = 8,
                                        .payload_len = 64,
                                        .ip_len = 92,
                                        .hash = (i + (uint32_t)(begin_ns / MS)) * 2654435761u,
                                        .ip_id = (uint16_t)i,
                                        .wscale = 0xff};
    struct dp_batch batch = {.digests = digests, .digest_count = count, .flows = &flow, .flow_count = 1};
    assert_int_equal(dp_batch_encode(&batch, ret_bytes, ret_len), DP_OK);
    free(digests);
}

static void make_batch(uint32_t count, uint8_t **ret_bytes, size_t *ret_len)
{
    make_batch_at(EPOCH, MS, count, ret_bytes, ret_len);
}

static void feed_packets(struct dp_engine *engine, uint32_t vantage, int64_t begin_ns, int64_t apart_ns,
                         uint32_t count)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    make_batch_at(begin_ns, apart_ns, count, &bytes, &len);
    assert_int_equal(dp_engine_feed_copy(engine, vantage, bytes, len), DP_OK);
    free(bytes);
}

/* What a point that sees nothing sends. */
static void feed_silence(struct dp_engine *engine, uint32_t vantage, int64_t complete_ns)
{
    const struct dp_batch batch = {.complete_ns = complete_ns};
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_OK);
    assert_int_equal(dp_engine_feed_copy(engine, vantage, bytes, len), DP_OK);
    free(bytes);
}

static uint64_t lost_so_far(struct dp_engine *engine)
{
    struct dp_engine_progress progress;
    dp_engine_progress(engine, &progress);
    return progress.locate.lost_packets;
}

static void run_until(uv_loop_t *loop, const int *counter, int target)
{
    for (int i = 0; *counter < target && i < 20000; i++) {
        uv_run(loop, UV_RUN_NOWAIT);
        usleep(500);
    }
    assert_int_equal(*counter, target);
}

static void test_the_same_packets_at_both_points_are_clean(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    uint8_t *bytes = NULL;
    size_t len = 0;
    make_batch(1000, &bytes, &len);
    int tag = 0;
    assert_int_equal(dp_engine_feed(engine, 0, bytes, len, &tag), DP_OK);
    assert_int_equal(dp_engine_feed(engine, 1, bytes, len, &tag), DP_OK);
    assert_int_equal(dp_engine_feed_copy(engine, 1, (const uint8_t *)"", 0), DP_OK); /* bad */
    struct dp_engine_end ends[2] = {{.has_dropped = true}, {.has_dropped = true}};
    assert_int_equal(dp_engine_finish(engine, ends), DP_OK);
    run_until(&loop, &seen.verdicts, 1);
    assert_int_equal(seen.eaten, 2);
    assert_int_equal(seen.copies_eaten, 1);
    assert_int_equal(seen.code, DP_OK);
    assert_non_null(seen.document);
    json_t *vantages = json_object_get(seen.document, "vantages");
    assert_int_equal(json_array_size(vantages), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(vantages, i), "packets")), 1000);
    const char *code = json_string_value(json_object_get(json_object_get(seen.document, "verdict"), "code"));
    assert_string_equal(code, "clean");
    struct dp_engine_progress progress;
    dp_engine_progress(engine, &progress);
    assert_int_equal(progress.bad_batches[0], 0);
    assert_int_equal(progress.bad_batches[1], 1);
    assert_int_not_equal(progress.bad_text[0], '\0');
    json_decref(seen.document);
    free(bytes);
    close_engine(&loop, engine);
}

static void test_a_point_without_its_data_is_no_loss(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    uint8_t *bytes = NULL;
    size_t len = 0;
    make_batch(1000, &bytes, &len);
    int tag = 0;
    assert_int_equal(dp_engine_feed(engine, 0, bytes, len, &tag), DP_OK);
    struct dp_engine_end ends[2] = {{.has_dropped = true}, {.start_ns = 1699999999000000000, .lost = true}};
    assert_int_equal(dp_engine_finish(engine, ends), DP_OK);
    run_until(&loop, &seen.verdicts, 1);
    assert_int_equal(seen.code, DP_OK);
    const json_t *segment = json_array_get(json_object_get(seen.document, "segments"), 0);
    const json_t *forward = json_object_get(segment, "forward");
    assert_int_equal(json_integer_value(json_object_get(forward, "lost_packets")), 0);
    const char *code = json_string_value(json_object_get(json_object_get(seen.document, "verdict"), "code"));
    assert_string_not_equal(code, "loss");
    json_decref(seen.document);
    free(bytes);
    close_engine(&loop, engine);
}

/* Both points see a second of packets, then the second one nothing; but it goes on to say so. */
static struct dp_engine *open_with_silence(uv_loop_t *loop, struct seen *seen, int64_t seconds)
{
    struct dp_engine *engine = open_engine(loop, seen);
    for (uint32_t v = 0; v < 2; v++)
        assert_int_equal(dp_engine_started(engine, v, EPOCH - SECOND), DP_OK);
    assert_int_equal(dp_engine_clock_hint(engine, 1, 0, 1000), DP_OK);
    feed_packets(engine, 1, EPOCH, MS, 1000);
    for (int64_t i = 0; i < seconds; i++)
        feed_packets(engine, 0, EPOCH + i * SECOND, MS, 1000);
    return engine;
}

static void test_silence_shows_losses_while_the_capture_runs(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_with_silence(&loop, &seen, 20);
    uint64_t lost = 0;
    for (int64_t i = 0; i < 400 && lost < 14000; i++) {
        feed_silence(engine, 1, EPOCH + 20 * SECOND + i);
        usleep(50000);
        lost = lost_so_far(engine);
    }
    assert_in_range(lost, 14000, 16000); /* what is younger than 4 seconds may still come */
    struct dp_engine_end ends[2] = {{.start_ns = EPOCH - SECOND, .end_ns = EPOCH + 30 * SECOND},
                                    {.start_ns = EPOCH - SECOND, .end_ns = EPOCH + 30 * SECOND}};
    assert_int_equal(dp_engine_finish(engine, ends), DP_OK);
    run_until(&loop, &seen.verdicts, 1);
    const json_t *forward =
        json_object_get(json_array_get(json_object_get(seen.document, "segments"), 0), "forward");
    assert_int_equal(json_integer_value(json_object_get(forward, "lost_packets")), 19000);
    json_decref(seen.document);
    close_engine(&loop, engine);
}

/* Its data ends early, but as far as it says that it saw nothing, that holds: no packet is needed for it. */
static void test_silence_of_a_point_that_was_lost_counts(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_with_silence(&loop, &seen, 20);
    feed_silence(engine, 1, EPOCH + 11 * SECOND);
    struct dp_engine_end ends[2] = {{.start_ns = EPOCH - SECOND, .end_ns = EPOCH + 30 * SECOND},
                                    {.start_ns = EPOCH - SECOND, .lost = true}};
    assert_int_equal(dp_engine_finish(engine, ends), DP_OK);
    run_until(&loop, &seen.verdicts, 1);
    const json_t *forward =
        json_object_get(json_array_get(json_object_get(seen.document, "segments"), 0), "forward");
    assert_in_range(json_integer_value(json_object_get(forward, "lost_packets")), 9900, 10000);
    json_decref(seen.document);
    close_engine(&loop, engine);
}

/* A point without packets and without a clock says nothing that could be put in time. */
static void test_silence_without_a_clock_settles_nothing(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    for (uint32_t v = 0; v < 2; v++)
        assert_int_equal(dp_engine_started(engine, v, EPOCH - SECOND), DP_OK);
    const int64_t off = 3600 * SECOND; /* its clock is an hour ahead */
    for (int64_t i = 0; i < 20; i++) {
        feed_packets(engine, 0, EPOCH + i * SECOND, MS, 1000);
        feed_silence(engine, 1, EPOCH + (i + 1) * SECOND + off);
        usleep(50000);
    }
    assert_int_equal(lost_so_far(engine), 0);
    assert_int_equal(dp_engine_clock_hint(engine, 1, off, 1000), DP_OK);
    uint64_t lost = 0;
    for (int64_t i = 0; i < 400 && lost < 14000; i++) {
        feed_silence(engine, 1, EPOCH + 20 * SECOND + off + i);
        usleep(50000);
        lost = lost_so_far(engine);
    }
    assert_in_range(lost, 14000, 16000);
    close_engine(&loop, engine);
}

/* One point's capture is over early, the other's goes on: nobody waits for the first. */
static void test_a_point_that_ended_holds_nothing_up(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_with_silence(&loop, &seen, 9);
    const struct dp_engine_end end = {.start_ns = EPOCH - SECOND, .end_ns = EPOCH + 3 * SECOND};
    assert_int_equal(dp_engine_over(engine, 1, &end), DP_OK);
    uint64_t lost = 0;
    for (int64_t i = 9; i < 400 && lost < 1900; i++) {
        feed_packets(engine, 0, EPOCH + i * SECOND, MS, 1000);
        usleep(50000);
        lost = lost_so_far(engine);
    }
    assert_in_range(lost, 1900, 2000); /* only while it captured */
    close_engine(&loop, engine);
}

/* One copy of a SYN that nobody answers. */
static void feed_syn(struct dp_engine *engine, uint32_t vantage, int64_t ts_ns, uint16_t ip_id)
{
    struct dp_flow_def flow = {.proto = 6,
                               .a = {.family = 4, .bytes = {192, 0, 2, 1}},
                               .b = {.family = 4, .bytes = {198, 51, 100, 9}},
                               .a_port = 40000,
                               .b_port = 25};
    struct dp_digest digest = {.ts_ns = ts_ns,
                               .bits = DP_DIGEST_HAS_IP_ID,
                               .ttl = 64,
                               .seq = 1000,
                               .ip_len = 60,
                               .tcp_flags = DP_TCP_SYN,
                               .mss = 1460,
                               .ip_id = ip_id,
                               .wscale = 7};
    const struct dp_batch batch = {
        .digests = &digest, .digest_count = 1, .flows = &flow, .flow_count = ip_id == 1};
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_OK);
    assert_int_equal(dp_engine_feed_copy(engine, vantage, bytes, len), DP_OK);
    free(bytes);
}

/* Where nothing passes at all, the same bytes come again and again; what is gone is told all the same, and
 * once.
 */
static void test_copies_that_go_on_hide_no_loss(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    for (uint32_t v = 0; v < 2; v++)
        assert_int_equal(dp_engine_started(engine, v, EPOCH - SECOND), DP_OK);
    assert_int_equal(dp_engine_clock_hint(engine, 1, 0, 1000), DP_OK);
    int64_t sent = 0;
    for (uint64_t lost = 0; sent < 400 && lost < 5; lost = lost_so_far(engine)) {
        feed_syn(engine, 0, EPOCH + sent * SECOND, (uint16_t)(sent + 1));
        feed_silence(engine, 1, EPOCH + sent * SECOND + SECOND / 2);
        sent++;
        usleep(50000);
        assert_true((int64_t)lost_so_far(engine) <= (sent > 4 ? sent - 4 : 0));
    }
    assert_true(sent < 400);
    struct dp_engine_end ends[2] = {{.start_ns = EPOCH - SECOND, .end_ns = EPOCH + (sent + 2) * SECOND},
                                    {.start_ns = EPOCH - SECOND, .end_ns = EPOCH + (sent + 2) * SECOND}};
    assert_int_equal(dp_engine_finish(engine, ends), DP_OK);
    run_until(&loop, &seen.verdicts, 1);
    const json_t *forward =
        json_object_get(json_array_get(json_object_get(seen.document, "segments"), 0), "forward");
    assert_int_equal(json_integer_value(json_object_get(forward, "lost_packets")), sent);
    json_decref(seen.document);
    close_engine(&loop, engine);
}

/* What the capture of the silent point dropped itself is not told as loss, not even for now. */
static void test_own_drops_are_not_in_the_live_line(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_with_silence(&loop, &seen, 20);
    struct dp_gap gap = {.from_ns = EPOCH + SECOND, .to_ns = EPOCH + 10 * SECOND, .packets = 9000};
    const struct dp_batch batch = {.gaps = &gap, .gap_count = 1, .complete_ns = EPOCH + 10 * SECOND};
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_OK);
    assert_int_equal(dp_engine_feed_copy(engine, 1, bytes, len), DP_OK);
    free(bytes);
    uint64_t lost = 0;
    for (int64_t i = 0; i < 400 && lost < 5000; i++) {
        feed_silence(engine, 1, EPOCH + 20 * SECOND + i);
        usleep(50000);
        lost = lost_so_far(engine);
    }
    assert_in_range(lost, 5000, 6000);
    close_engine(&loop, engine);
}

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    assert_int_equal(fclose(file), 0);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Millions of packets at one point while the other one sees nothing: they are not kept. */
static void test_memory_stays_bounded_while_a_point_is_silent(void **state)
{
    (void)state;
    enum { PACKETS = 4000, BATCHES = 800 };
    if (__asan_init || __tsan_init)
        skip(); /* their own memory hides ours */
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    assert_int_equal(dp_engine_clock_hint(engine, 1, 0, 1000), DP_OK);
    size_t before = resident_bytes(), most = before;
    for (int64_t i = 0; i < BATCHES; i++) {
        feed_packets(engine, 0, EPOCH + i * SECOND, SECOND / PACKETS, PACKETS);
        feed_silence(engine, 1, EPOCH + (i + 1) * SECOND);
        struct dp_engine_progress progress;
        do { /* not more than the engine eats */
            dp_engine_progress(engine, &progress);
        } while (progress.locate.packets[0] + 4 * PACKETS < (uint64_t)(i + 1) * PACKETS && usleep(1000) == 0);
        size_t now = resident_bytes();
        most = now > most ? now : most;
    }
    print_message("%d packets: at most %zu MiB\n", PACKETS * BATCHES, (most - before) >> 20);
    assert_true(most - before < (size_t)96 << 20); /* all of them are more than twice as much */
    close_engine(&loop, engine);
}

static void test_closing_gives_every_batch_back(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct seen seen;
    struct dp_engine *engine = open_engine(&loop, &seen);
    uint8_t *bytes = NULL;
    size_t len = 0;
    make_batch(4000, &bytes, &len);
    int tag = 0;
    for (int i = 0; i < 50; i++)
        assert_int_equal(dp_engine_feed(engine, 0, bytes, len, &tag), DP_OK);
    close_engine(&loop, engine);
    assert_int_equal(seen.eaten, 50);
    assert_int_equal(seen.verdicts, 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_packets_at_both_points_are_clean),
        cmocka_unit_test(test_a_point_without_its_data_is_no_loss),
        cmocka_unit_test(test_silence_shows_losses_while_the_capture_runs),
        cmocka_unit_test(test_silence_of_a_point_that_was_lost_counts),
        cmocka_unit_test(test_silence_without_a_clock_settles_nothing),
        cmocka_unit_test(test_a_point_that_ended_holds_nothing_up),
        cmocka_unit_test(test_copies_that_go_on_hide_no_loss),
        cmocka_unit_test(test_own_drops_are_not_in_the_live_line),
        cmocka_unit_test(test_memory_stays_bounded_while_a_point_is_silent),
        cmocka_unit_test(test_closing_gives_every_batch_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
