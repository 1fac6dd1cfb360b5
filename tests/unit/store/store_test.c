#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/store/migrate.h"
#include "collector/store/pg.h"

static struct fixture fixture;

/* --- the cluster --- */

static void test_a_torn_initdb_is_redone(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/postgresql.new", fixture.state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/postgresql.new/PG_VERSION", fixture.state);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("1", file);
    fclose(file);
    struct dp_diag diag = {""};
    int code = dp_cluster_open(fixture.state, NULL, &fixture.cluster, &diag);
    if (code != DP_OK)
        print_message("%s\n", diag.text);
    assert_int_equal(code, DP_OK);
    snprintf(path, sizeof path, "%s/postgresql.new", fixture.state);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(ask(&fixture, "SHOW data_checksums") == 0 ? 0 : 1, 0);
    assert_int_equal(ask(&fixture,
                         "SELECT count(*) FROM pg_settings WHERE (name, setting) IN (('fsync', 'on'), "
                         "('full_page_writes', 'on'), ('data_checksums', 'on'), ('listen_addresses', ''))"),
                     4);
}

static void test_a_running_cluster_is_taken_over(void **state)
{
    (void)state;
    int64_t started = ask(&fixture, "SELECT extract(epoch FROM pg_postmaster_start_time()) * 1000000");
    struct dp_cluster *second = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_cluster_open(fixture.state, NULL, &second, &diag), DP_OK);
    assert_int_equal(ask(&fixture, "SELECT extract(epoch FROM pg_postmaster_start_time()) * 1000000"),
                     started);
    free(second); /* not closed: that would stop the server */
}

static void test_a_long_state_directory_gets_a_short_socket(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/%0120d", fixture.state, 1);
    assert_int_equal(mkdir(path, 0700), 0);
    struct dp_cluster *cluster = NULL;
    struct dp_diag diag = {""};
    int code = dp_cluster_open(path, NULL, &cluster, &diag);
    if (code != DP_OK)
        print_message("%s\n", diag.text);
    assert_int_equal(code, DP_OK);
    assert_null(strstr(dp_cluster_conninfo(cluster), fixture.state));
    dp_cluster_close(cluster);
}

static void test_missing_programs_are_named(void **state)
{
    (void)state;
    struct dp_cluster *cluster = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_cluster_open(fixture.state, "/nowhere", &cluster, &diag), DP_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nowhere"));
    assert_null(cluster);
}

/* --- migrations --- */

static void test_two_processes_migrate_at_once(void **state)
{
    (void)state;
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            PGconn *connection = NULL;
            struct dp_diag diag = {""};
            int code = dp_pg_connect(dp_cluster_conninfo(fixture.cluster), &connection, &diag);
            if (code == DP_OK)
                code = dp_migrate(connection, &diag);
            if (code != DP_OK)
                fprintf(stderr, "%s\n", diag.text);
            PQfinish(connection);
            _exit(code == DP_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    int known = 0;
    for (const struct dp_migration *m = dp_migrations; m->number != 0; m++)
        known++;
    assert_int_equal(ask(&fixture, "SELECT count(*) FROM schema_version"), known);
}

static void test_a_newer_schema_is_refused(void **state)
{
    (void)state;
    must_sql(&fixture, "INSERT INTO schema_version (number, name) VALUES (9999, 'from the future')");
    struct dp_diag diag = {""};
    const struct dp_store_options options = {.conninfo = dp_cluster_conninfo(fixture.cluster)};
    struct dp_store *store = NULL;
    assert_int_equal(dp_store_open(&fixture.loop, &options, &store, &diag), DP_ERR_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "9999"));
    assert_null(store);
    must_sql(&fixture, "DELETE FROM schema_version WHERE number = 9999");
}

/* --- agents, paths, captures --- */

static struct dp_store_agent read_agents[4];
static size_t read_count;

static void on_agents(void *context, int code, const char *text, const struct dp_store_agent *agents,
                      size_t count)
{
    memcpy(read_agents, agents, (count < 4 ? count : 4) * sizeof *agents);
    read_count = count;
    on_done(context, code, text);
}

static void wait_done(void)
{
    run_until(&fixture, &fixture.done, 1);
    fixture.done = 0;
}

static void test_agents_come_back(void **state)
{
    (void)state;
    struct dp_store_agent agent = {.key = "key-a",
                                   .fingerprint = "3f2a",
                                   .name = "mx1",
                                   .state = DP_AGENT_PENDING,
                                   .first_seen_ns = 5,
                                   .last_seen_ns = 6,
                                   .address = "192.0.2.1"};
    assert_int_equal(dp_store_agent_put(fixture.store, &agent, on_done, &fixture), DP_OK);
    wait_done();
    agent.state = DP_AGENT_APPROVED;
    agent.last_seen_ns = 7;
    assert_int_equal(dp_store_agent_put(fixture.store, &agent, on_done, &fixture), DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_OK);
    struct dp_store_agent other = agent;
    snprintf(other.key, sizeof other.key, "key-b");
    assert_int_equal(dp_store_agent_put(fixture.store, &other, on_done, &fixture), DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_ERR_EXISTS); /* the name is taken */
    assert_int_equal(dp_store_agents(fixture.store, on_agents, &fixture), DP_OK);
    wait_done();
    assert_int_equal(read_count, 1);
    assert_memory_equal(&read_agents[0], &agent, sizeof agent);
    assert_int_equal(dp_store_agent_delete(fixture.store, "key-a", on_done, &fixture), DP_OK);
    assert_int_equal(dp_store_agents(fixture.store, on_agents, &fixture), DP_OK);
    run_until(&fixture, &fixture.done, 2);
    fixture.done = 0;
    assert_int_equal(read_count, 0);
}

static void on_paths(void *context, int code, const char *text, const struct dp_store_path *paths,
                     size_t count)
{
    assert_int_equal(count, 1);
    assert_string_equal(paths[0].name, "mail");
    assert_int_equal(paths[0].vantage_count, 2);
    assert_string_equal(paths[0].vantages[0], "lb1/eth0");
    assert_string_equal(paths[0].vantages[1], "edge1/eth1");
    on_done(context, code, text);
}

static void test_a_path_is_replaced_whole(void **state)
{
    (void)state;
    const char *const first[] = {"mx1/eth0", "lb1/eth0", "edge1/eth0"};
    const char *const second[] = {"lb1/eth0", "edge1/eth1"};
    assert_int_equal(dp_store_path_put(fixture.store, "mail", first, 3, on_done, &fixture), DP_OK);
    assert_int_equal(dp_store_path_put(fixture.store, "mail", second, 2, on_done, &fixture), DP_OK);
    assert_int_equal(dp_store_paths(fixture.store, on_paths, &fixture), DP_OK);
    run_until(&fixture, &fixture.done, 3);
    fixture.done = 0;
    assert_int_equal(fixture.code, DP_OK);
}

static void add_capture(const char *id)
{
    struct dp_store_vantage vantages[2] = {
        {.position = 0, .vantage = "mx1/eth0", .agent_key = "key-a", .taking_part = true, .state = "ready"},
        {.position = 1, .vantage = "lb1/eth0", .agent_key = "key-b", .taking_part = true, .state = "ready"},
    };
    struct dp_store_capture capture = {.path = "mail",
                                       .filter = "tcp port 25",
                                       .started_ns = 1000,
                                       .duration_ms = 30000,
                                       .vantages = vantages,
                                       .vantage_count = 2};
    snprintf(capture.id, sizeof capture.id, "%s", id);
    assert_int_equal(dp_store_capture_add(fixture.store, &capture, on_done, &fixture), DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_OK);
}

static const char document[] =
    "{\"schema\": \"droppoint.locate.v1\", \"vantages\": [], \"segments\": [{\"from\": \"mx1/eth0\", \"to\": "
    "\"lb1/eth0\", \"kind\": \"link\", \"forward\": {\"packets\": 6, \"bytes\": 7, \"lost_packets\": 1, "
    "\"lost_bytes\": 2, \"unknown_packets\": 0}, \"reverse\": {\"packets\": 3, \"bytes\": 0, "
    "\"lost_packets\": 0, "
    "\"lost_bytes\": 0, \"unknown_packets\": 0}}], \"flows\": [{\"id\": 1, \"client\": \"192.0.2.1:40000\", "
    "\"server\": \"198.51.100.9:25\", \"app\": \"smtp\"}], \"findings\": [{\"code\": \"loss\", \"from\": "
    "\"mx1/eth0\", \"to\": \"lb1/eth0\", \"direction\": \"forward\", \"pattern\": \"size\", \"size_over\": "
    "1400, "
    "\"lost_packets\": 1, \"lost_bytes\": 2, \"share\": 0.5, \"confidence\": 0.9, \"flows\": [1], "
    "\"summary\": \"s\", "
    "\"next_step\": \"n\"}], \"verdict\": {\"code\": \"loss\", \"finding\": 0, \"summary\": \"lost\"}}";

static void test_a_document_comes_back_as_it_was(void **state)
{
    (void)state;
    add_capture("c-doc");
    assert_int_equal(dp_store_document(fixture.store, "c-doc", on_done, &fixture), DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_ERR_END);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(dp_store_capture_finish(fixture.store, "c-doc", document, on_done, &fixture), DP_OK);
        wait_done();
        if (fixture.code != DP_OK)
            print_message("%s\n", fixture.text);
        assert_int_equal(fixture.code, DP_OK);
    }
    assert_int_equal(ask(&fixture,
                         "SELECT count(*) FROM finding WHERE capture_id = 'c-doc' AND size_over = 1400 AND "
                         "flows = '{1}'"),
                     1);
    assert_int_equal(ask(&fixture, "SELECT count(*) FROM segment WHERE capture_id = 'c-doc'"), 2);
    assert_int_equal(ask(&fixture, "SELECT count(*) FROM flow WHERE capture_id = 'c-doc'"), 1);
    assert_int_equal(ask(&fixture,
                         "SELECT count(*) FROM capture WHERE capture_id = 'c-doc' AND verdict = 'loss' AND "
                         "summary = 'lost' AND state = 'done'"),
                     1);
    assert_int_equal(dp_store_document(fixture.store, "no-such", on_done, &fixture), DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_ERR_NOT_FOUND);
}

static void on_loaded(void *context, int code, const char *text, const struct dp_store_capture *captures,
                      size_t count)
{
    assert_int_equal(count, 1);
    assert_string_equal(captures[0].id, "c-load");
    assert_string_equal(captures[0].filter, "tcp port 25");
    assert_int_equal(captures[0].vantage_count, 2);
    assert_int_equal(captures[0].vantages[1].packets, 77);
    assert_string_equal(captures[0].vantages[1].text, "ok");
    assert_int_equal(captures[0].stream_count, 1);
    assert_int_equal(captures[0].streams[0].key.epoch, 9);
    assert_true(captures[0].streams[0].has_closed);
    assert_int_equal(captures[0].streams[0].closed, 3);
    on_done(context, code, text);
}

static void on_stream(void *context, int code, const char *text, uint64_t last, bool has_closed,
                      uint64_t closed)
{
    (void)closed;
    assert_int_equal(last, 0);
    assert_false(has_closed);
    on_done(context, code, text);
}

static void test_a_capture_is_loaded_whole(void **state)
{
    (void)state;
    add_capture("c-load");
    struct dp_store_vantage v = {.position = 1,
                                 .vantage = "lb1/eth0",
                                 .agent_key = "key-b",
                                 .taking_part = true,
                                 .state = "running",
                                 .text = "ok",
                                 .packets = 77};
    assert_int_equal(dp_store_vantage_put(fixture.store, "c-load", &v), DP_OK);
    struct dp_stream_key key = {.capture_id = "c-load", .position = 1, .epoch = 9, .stream = 1};
    assert_int_equal(dp_store_stream_open(fixture.store, &key, "key-b", "lb1/eth0", 1, on_stream, &fixture),
                     DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_OK);
    assert_int_equal(dp_store_stream_open(fixture.store, &key, "key-z", "lb1/eth0", 1, on_stream, &fixture),
                     DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_ERR_DENIED);
    assert_int_equal(dp_store_stream_close(fixture.store, &key, 3, on_done, &fixture), DP_OK);
    assert_int_equal(dp_store_capture_load(fixture.store, "c-load", on_loaded, &fixture), DP_OK);
    run_until(&fixture, &fixture.done, 2);
    fixture.done = 0;
    assert_int_equal(dp_store_capture_state(fixture.store, "c-load", "failed", "why", on_done, &fixture),
                     DP_OK);
    wait_done();
    assert_int_equal(fixture.code, DP_OK);
}

static int setup_store(void **state)
{
    (void)state;
    open_store(&fixture);
    return 0;
}

static int teardown_store(void **state)
{
    (void)state;
    close_store(&fixture);
    return 0;
}

int main(void)
{
    fixture_begin(&fixture);
    const struct CMUnitTest cluster[] = {
        cmocka_unit_test(test_a_torn_initdb_is_redone),
        cmocka_unit_test(test_a_running_cluster_is_taken_over),
        cmocka_unit_test(test_a_long_state_directory_gets_a_short_socket),
        cmocka_unit_test(test_missing_programs_are_named),
        cmocka_unit_test(test_two_processes_migrate_at_once),
        cmocka_unit_test(test_a_newer_schema_is_refused),
    };
    const struct CMUnitTest rows[] = {
        cmocka_unit_test(test_agents_come_back),
        cmocka_unit_test(test_a_path_is_replaced_whole),
        cmocka_unit_test(test_a_document_comes_back_as_it_was),
        cmocka_unit_test(test_a_capture_is_loaded_whole),
    };
    int failed = cmocka_run_group_tests(cluster, NULL, NULL);
    if (fixture.cluster != NULL) {
        failed += cmocka_run_group_tests(rows, setup_store, teardown_store);
        failed += group_probes(&fixture);
        failed += group_recovery(&fixture);
    }
    fixture_end(&fixture);
    return failed;
}
