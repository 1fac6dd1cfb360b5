/* Probes: the row, results by way of a stream's watermark, and reading them back. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "collector/store/probes.h"

static struct fixture *fix;

static void wait_done(void)
{
    run_until(fix, &fix->done, 1);
    fix->done = 0;
}

static void add_probe(const char *id, const char *target, int64_t started_ns)
{
    struct dp_store_probe probe = {.kind = "tcp",
                                   .target = (char *)target,
                                   .options = "[[\"--wait\", \"1\"]]",
                                   .started_ns = started_ns};
    snprintf(probe.id, sizeof probe.id, "%s", id);
    assert_int_equal(dp_store_probe_add(fix->store, &probe, on_done, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_OK);
}

static void on_opened(void *context, int code, const char *text, uint64_t last, bool has_closed,
                      uint64_t closed)
{
    (void)last;
    (void)has_closed;
    (void)closed;
    on_done(context, code, text);
}

static struct dp_stream_key open_stream(const char *id, uint64_t stream)
{
    struct dp_stream_key key = {.epoch = 1, .stream = stream};
    snprintf(key.capture_id, sizeof key.capture_id, "%s", id);
    assert_int_equal(dp_store_stream_open(fix->store, &key, "key-a", "mx1/probe", 2, on_opened, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_OK);
    return key;
}

static uint64_t watermark_seen;

static void on_result(void *context, int code, uint64_t watermark)
{
    watermark_seen = watermark;
    on_done(context, code, NULL);
}

static int put(const struct dp_stream_key *key, uint64_t number, const char *agent, const char *status)
{
    struct dp_store_probe_result result = {.started_ns = 1000 + (int64_t)key->stream,
                                           .duration_us = 12300,
                                           .summary = "it is so",
                                           .document = "{\"agent\": \"mx1\"}"};
    snprintf(result.agent, sizeof result.agent, "%s", agent);
    snprintf(result.agent_key, sizeof result.agent_key, "key-%s", agent);
    snprintf(result.status, sizeof result.status, "%s", status);
    snprintf(result.class, sizeof result.class, "%s", strcmp(status, "ok") == 0 ? "open" : "refused");
    assert_int_equal(dp_store_probe_result(fix->store, key, number, &result, on_result, fix), DP_OK);
    wait_done();
    return fix->code;
}

static void test_a_result_is_stored_once(void **state)
{
    (void)state;
    add_probe("p-1", "192.0.2.1:25", 5);
    struct dp_stream_key key = open_stream("p-1", 1);
    assert_int_equal(put(&key, 2, "mx1", "ok"), DP_ERR_GAP);
    assert_int_equal(watermark_seen, 0);
    assert_int_equal(put(&key, 1, "mx1", "ok"), DP_OK);
    assert_int_equal(watermark_seen, 1);
    assert_int_equal(put(&key, 1, "mx1", "critical"), DP_ERR_DUPLICATE);
    assert_int_equal(
        ask(fix, "SELECT count(*) FROM probe_result WHERE probe_id = 'p-1' AND status = 'ok' AND kind = "
                 "'tcp' AND target = '192.0.2.1:25' AND duration_us = 12300"),
        1);
    struct dp_stream_key unknown = {.capture_id = "p-1", .epoch = 9, .stream = 9};
    assert_int_equal(put(&unknown, 1, "mx1", "ok"), DP_ERR_NOT_FOUND);
    /* A record without a result moves the watermark alone. */
    assert_int_equal(dp_store_probe_result(fix->store, &key, 2, NULL, on_result, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_OK);
    assert_int_equal(watermark_seen, 2);
    assert_int_equal(ask(fix, "SELECT count(*) FROM probe_result WHERE probe_id = 'p-1'"), 1);
}

static void on_loaded(void *context, int code, const char *text, const struct dp_store_probe *probe)
{
    if (code == DP_OK) {
        assert_string_equal(probe->id, "p-2");
        assert_string_equal(probe->kind, "tcp");
        assert_string_equal(probe->options, "[[\"--wait\", \"1\"]]");
        assert_string_equal(probe->state, "done");
        assert_string_equal(probe->failures, "[{\"agent\": \"edge1\"}]");
        assert_int_equal(probe->result_count, 2);
        assert_string_equal(probe->results[0].agent, "lb1");
        assert_string_equal(probe->results[1].agent, "mx1");
        assert_string_equal(probe->results[1].document, "{\"agent\": \"mx1\"}");
    } else {
        assert_null(probe);
    }
    on_done(context, code, text);
}

static void test_a_probe_is_loaded_whole(void **state)
{
    (void)state;
    add_probe("p-2", "a.example", 6);
    struct dp_stream_key one = open_stream("p-2", 2), other = open_stream("p-2", 3);
    assert_int_equal(put(&one, 1, "mx1", "ok"), DP_OK);
    assert_int_equal(put(&other, 1, "lb1", "critical"), DP_OK);
    assert_int_equal(dp_store_probe_end(fix->store, "p-2", "done", "[{\"agent\": \"edge1\"}]", on_done, fix),
                     DP_OK);
    wait_done();
    assert_int_equal(dp_store_probe_load(fix->store, "p-2", on_loaded, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_OK);
    assert_int_equal(dp_store_probe_load(fix->store, "p-none", on_loaded, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_ERR_NOT_FOUND);
    assert_non_null(strstr(fix->text, "p-none"));
}

static char listed[256];

static void on_list(void *context, int code, const char *text, const struct dp_store_probe_entry *entries,
                    size_t count)
{
    listed[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(listed);
        snprintf(listed + len, sizeof listed - len, "%s/%s ", entries[i].id, entries[i].result.agent);
    }
    on_done(context, code, text);
}

static const char *list(struct dp_store_probe_filter filter)
{
    assert_int_equal(dp_store_probes(fix->store, &filter, on_list, fix), DP_OK);
    wait_done();
    assert_int_equal(fix->code, DP_OK);
    return listed;
}

static void test_the_list_is_filtered(void **state)
{
    (void)state;
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 10}), "p-2/lb1 p-2/mx1 p-1/mx1 ");
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 1}), "p-2/lb1 ");
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 10, .agent = "mx1"}),
                        "p-2/mx1 p-1/mx1 ");
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 10, .status = "critical"}), "p-2/lb1 ");
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 10, .target = "192.0.2.1:25"}),
                        "p-1/mx1 ");
    assert_string_equal(list((struct dp_store_probe_filter){.limit = 10, .kind = "dns"}), "");
    /* ok, critical, critical, ok: the first, the second and the last are changes. */
    static const char *const states[] = {"ok", "critical", "critical", "ok"};
    for (uint64_t i = 0; i < 4; i++) {
        char id[16];
        snprintf(id, sizeof id, "c-%d", (int)i);
        add_probe(id, "listed.example", 10 + (int64_t)i);
        struct dp_stream_key key = open_stream(id, 20 + i);
        assert_int_equal(put(&key, 1, "mx1", states[i]), DP_OK);
    }
    assert_string_equal(
        list((struct dp_store_probe_filter){.limit = 10, .changes = true, .target = "listed.example"}),
        "c-3/mx1 c-1/mx1 c-0/mx1 ");
    assert_string_equal(list((struct dp_store_probe_filter){
                            .limit = 10, .changes = true, .target = "listed.example", .status = "critical"}),
                        "c-1/mx1 ");
}

static int setup(void **state)
{
    (void)state;
    open_store(fix);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_store(fix);
    return 0;
}

int group_probes(struct fixture *f)
{
    fix = f;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_result_is_stored_once),
        cmocka_unit_test(test_a_probe_is_loaded_whole),
        cmocka_unit_test(test_the_list_is_filtered),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
