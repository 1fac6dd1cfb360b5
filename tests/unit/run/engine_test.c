/* The engine's thread: every batch comes back, bad ones are counted and told, the verdict arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

/* `count` UDP packets of one flow, 64 bytes each, a millisecond apart. */
static void make_batch(uint32_t count, uint8_t **ret_bytes, size_t *ret_len)
{
    struct dp_flow_def flow = {.proto = 17,
                               .a = {.family = 4, .bytes = {192, 0, 2, 1}},
                               .b = {.family = 4, .bytes = {198, 51, 100, 9}},
                               .a_port = 5000,
                               .b_port = 5001};
    struct dp_digest *digests = calloc(count, sizeof *digests);
    assert_non_null(digests);
    for (uint32_t i = 0; i < count; i++)
        digests[i] = (struct dp_digest){.ts_ns = 1700000000000000000 + i * (int64_t)1000000,
                                        .bits = DP_DIGEST_HAS_IP_ID,
                                        .ttl = 64,
                                        .hash_len = 8,
                                        .payload_len = 64,
                                        .ip_len = 92,
                                        .hash = i * 2654435761u,
                                        .ip_id = (uint16_t)i,
                                        .wscale = 0xff};
    struct dp_batch batch = {.digests = digests, .digest_count = count, .flows = &flow, .flow_count = 1};
    assert_int_equal(dp_batch_encode(&batch, ret_bytes, ret_len), DP_OK);
    free(digests);
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
        cmocka_unit_test(test_closing_gives_every_batch_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
