/* Reading captures back: lists, and whole ones with vantage points and streams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

struct read_job {
    struct dp_job job;
    char id[64]; /* empty: see work */
    uint32_t limit;
    struct dp_store_capture *captures;
    size_t count;
    dp_store_captures_done *done;
    void *context;
};

#define CAPTURE_COLUMNS "capture_id, path, filter, started_ns, duration_ms, state, verdict, summary"

static void free_captures(struct read_job *own)
{
    for (size_t i = 0; i < own->count; i++) {
        free(own->captures[i].filter);
        free(own->captures[i].summary);
        free(own->captures[i].vantages);
        free(own->captures[i].streams);
    }
    free(own->captures);
    own->captures = NULL;
    own->count = 0;
}

static int read_capture(const PGresult *result, int row, struct dp_store_capture *capture)
{
    dp_pg_copy_text(result, row, 0, capture->id, sizeof capture->id);
    dp_pg_copy_text(result, row, 1, capture->path, sizeof capture->path);
    capture->filter = strdup(PQgetvalue(result, row, 2));
    capture->started_ns = dp_pg_int(result, row, 3);
    capture->duration_ms = (uint32_t)dp_pg_int(result, row, 4);
    dp_pg_copy_text(result, row, 5, capture->state, sizeof capture->state);
    dp_pg_copy_text(result, row, 6, capture->verdict, sizeof capture->verdict);
    capture->summary = strdup(PQgetvalue(result, row, 7));
    return capture->filter != NULL && capture->summary != NULL ? DP_OK : DP_ERR_NOMEM;
}

/* Takes the result over. */
static int read_captures(struct read_job *own, PGresult *result)
{
    free_captures(own);
    int rows = PQntuples(result), code = DP_OK;
    own->captures = calloc((size_t)rows + 1, sizeof *own->captures);
    if (own->captures == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++) {
        own->count++;
        code = read_capture(result, row, &own->captures[row]);
    }
    PQclear(result);
    return code;
}

static int work_list(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct read_job *own = (struct read_job *)job;
    char limit[DP_PG_NUMBER];
    const char *const values[] = {dp_pg_number(limit, own->limit)};
    PGresult *result = NULL;
    int code = dp_pg_query(connection,
                           "SELECT " CAPTURE_COLUMNS
                           " FROM capture ORDER BY started_ns DESC, capture_id DESC LIMIT $1",
                           1, values, &result, diag);
    return code == DP_OK ? read_captures(own, result) : code;
}

static void read_vantage(const PGresult *result, int row, struct dp_store_vantage *v)
{
    v->position = (int)dp_pg_int(result, row, 0);
    dp_pg_copy_text(result, row, 1, v->vantage, sizeof v->vantage);
    dp_pg_copy_text(result, row, 2, v->agent_key, sizeof v->agent_key);
    v->taking_part = PQgetvalue(result, row, 3)[0] == 't';
    dp_pg_copy_text(result, row, 4, v->state, sizeof v->state);
    dp_pg_copy_text(result, row, 5, v->text, sizeof v->text);
    v->packets = (uint64_t)dp_pg_int(result, row, 6);
    v->kernel_dropped = (uint64_t)dp_pg_int(result, row, 7);
    v->started_ns = dp_pg_int(result, row, 8);
    v->ended_ns = dp_pg_int(result, row, 9);
    v->clock_offset_ns = dp_pg_int(result, row, 10);
    v->clock_error_ns = dp_pg_int(result, row, 11);
}

static int load_vantages(PGconn *connection, struct dp_store_capture *capture, struct dp_diag *diag)
{
    const char *const values[] = {capture->id};
    PGresult *result = NULL;
    int code =
        dp_pg_query(connection,
                    "SELECT position, vantage, agent_key, taking_part, state, text, packets, kernel_dropped, "
                    "started_ns, ended_ns, clock_offset_ns, clock_error_ns FROM capture_vantage "
                    "WHERE capture_id = $1 ORDER BY position",
                    1, values, &result, diag);
    if (code != DP_OK)
        return code;
    int rows = PQntuples(result);
    capture->vantages = calloc((size_t)rows + 1, sizeof *capture->vantages);
    if (capture->vantages == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++, capture->vantage_count++)
        read_vantage(result, row, &capture->vantages[row]);
    PQclear(result);
    return code;
}

static int load_streams(PGconn *connection, struct dp_store_capture *capture, struct dp_diag *diag)
{
    const char *const values[] = {capture->id};
    PGresult *result = NULL;
    int code = dp_pg_query(
        connection,
        "SELECT position, epoch, stream, agent_key, last, closed FROM stream WHERE capture_id = $1 "
        "ORDER BY position, epoch, stream",
        1, values, &result, diag);
    if (code != DP_OK)
        return code;
    int rows = PQntuples(result);
    capture->streams = calloc((size_t)rows + 1, sizeof *capture->streams);
    if (capture->streams == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++, capture->stream_count++) {
        struct dp_store_stream *s = &capture->streams[row];
        snprintf(s->key.capture_id, sizeof s->key.capture_id, "%s", capture->id);
        s->key.position = (int)dp_pg_int(result, row, 0);
        s->key.epoch = (uint64_t)dp_pg_int(result, row, 1);
        s->key.stream = (uint64_t)dp_pg_int(result, row, 2);
        dp_pg_copy_text(result, row, 3, s->agent_key, sizeof s->agent_key);
        s->last = (uint64_t)dp_pg_int(result, row, 4);
        s->has_closed = !PQgetisnull(result, row, 5);
        s->closed = s->has_closed ? (uint64_t)dp_pg_int(result, row, 5) : 0;
    }
    PQclear(result);
    return code;
}

static int body_load(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct read_job *own = (struct read_job *)job;
    const char *const values[] = {own->id};
    PGresult *result = NULL;
    int code =
        own->id[0] != '\0'
            ? dp_pg_query(connection, "SELECT " CAPTURE_COLUMNS " FROM capture WHERE capture_id = $1", 1,
                          values, &result, diag)
            : dp_pg_query(connection,
                          "SELECT " CAPTURE_COLUMNS " FROM capture WHERE state IN ('running', 'aborted')", 0,
                          NULL, &result, diag);
    if (code == DP_OK)
        code = read_captures(own, result);
    for (size_t i = 0; i < own->count && code == DP_OK; i++) {
        code = load_vantages(connection, &own->captures[i], diag);
        if (code == DP_OK)
            code = load_streams(connection, &own->captures[i], diag);
    }
    return code;
}

static int work_load(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_load, diag);
}

static void finish_read(struct dp_job *job)
{
    struct read_job *own = (struct read_job *)job;
    own->done(own->context, job->code, job->diag.text, own->captures, job->code == DP_OK ? own->count : 0);
    free_captures(own);
    free(own);
}

static int submit_read(struct dp_store *store, const char *id, uint32_t limit,
                       int (*work)(PGconn *, struct dp_job *, struct dp_diag *), dp_store_captures_done *done,
                       void *context)
{
    struct read_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct read_job){
        .job = {.work = work, .finish = finish_read}, .limit = limit, .done = done, .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

int dp_store_captures(struct dp_store *store, uint32_t limit, dp_store_captures_done *done, void *context)
{
    return submit_read(store, "", limit, work_list, done, context);
}

int dp_store_capture_load(struct dp_store *store, const char *id, dp_store_captures_done *done, void *context)
{
    return submit_read(store, id != NULL ? id : "", 0, work_load, done, context);
}
