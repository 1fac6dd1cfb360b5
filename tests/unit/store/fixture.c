#include "fixture.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fixture_begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->state, sizeof f->state, "/tmp/dp-store-test-XXXXXX");
    if (mkdtemp(f->state) == NULL)
        abort();
    if (geteuid() == 0) {
        struct passwd *user = getpwnam("postgres");
        if (user == NULL || chown(f->state, user->pw_uid, user->pw_gid) != 0 || setgroups(0, NULL) != 0 ||
            setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
            fprintf(stderr, "no unprivileged user to run PostgreSQL as: skipped\n");
            exit(77);
        }
    }
    if (chdir("/") != 0 || uv_loop_init(&f->loop) != 0)
        abort();
}

void fixture_end(struct fixture *f)
{
    dp_cluster_close(f->cluster);
    uv_loop_close(&f->loop);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->state);
    if (system(command) != 0)
        abort();
}

void open_store(struct fixture *f)
{
    struct dp_diag diag = {""};
    const struct dp_store_options options = {.conninfo = dp_cluster_conninfo(f->cluster),
                                             .before_connect = dp_cluster_ensure,
                                             .before_context = f->cluster};
    int code = dp_store_open(&f->loop, &options, &f->store, &diag);
    if (code != DP_OK)
        fprintf(stderr, "dp_store_open: %s\n", dp_reason(&diag, code));
    assert_int_equal(code, DP_OK);
}

void close_store(struct fixture *f)
{
    dp_store_close(f->store);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

void run_until(struct fixture *f, const int *counter, int target)
{
    uint64_t end = uv_hrtime() + 60 * (uint64_t)1000000000;
    while (*counter < target) {
        assert_true(uv_hrtime() < end);
        if (uv_run(&f->loop, UV_RUN_NOWAIT) >= 0)
            usleep(500);
    }
}

void on_done(void *context, int code, const char *text)
{
    struct fixture *f = context;
    f->code = code;
    snprintf(f->text, sizeof f->text, "%s", text != NULL ? text : "");
    f->done++;
}

static PGconn *connect_once(struct fixture *f)
{
    PGconn *connection = PQconnectdb(dp_cluster_conninfo(f->cluster));
    for (int i = 0; PQstatus(connection) != CONNECTION_OK && i < 100; i++) {
        PQfinish(connection);
        usleep(100000);
        connection = PQconnectdb(dp_cluster_conninfo(f->cluster));
    }
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    PQclear(PQexec(connection, "SET search_path = droppoint; SET client_min_messages = error"));
    return connection;
}

int64_t ask(struct fixture *f, const char *sql)
{
    PGconn *connection = connect_once(f);
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(connection));
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    assert_true(PQntuples(result) > 0);
    int64_t value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    PQfinish(connection);
    return value;
}

void must_sql(struct fixture *f, const char *sql)
{
    PGconn *connection = connect_once(f);
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(connection));
    assert_true(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
    PQclear(result);
    PQfinish(connection);
}
