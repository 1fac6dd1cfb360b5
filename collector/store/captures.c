/* Captures: adding, changing, finishing. Reading lists is in captures_read.c, streams are in streams.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

/* --- a new capture --- */

struct add_job {
    struct dp_job job;
    struct dp_store_capture capture; /* filter and vantages are the job's own */
    dp_store_done *done;
    void *context;
};

static int put_vantage(PGconn *connection, const char *id, const struct dp_store_vantage *v,
                       struct dp_diag *diag)
{
    char numbers[7][DP_PG_NUMBER];
    const char *const values[] = {id,
                                  dp_pg_number(numbers[0], v->position),
                                  v->vantage,
                                  v->agent_key,
                                  v->taking_part ? "t" : "f",
                                  v->state,
                                  v->text,
                                  dp_pg_number(numbers[1], (int64_t)v->packets),
                                  dp_pg_number(numbers[2], (int64_t)v->kernel_dropped),
                                  dp_pg_number(numbers[3], v->started_ns),
                                  dp_pg_number(numbers[4], v->ended_ns),
                                  dp_pg_number(numbers[5], v->clock_offset_ns),
                                  dp_pg_number(numbers[6], v->clock_error_ns)};
    return dp_pg_query(
        connection,
        "INSERT INTO capture_vantage (capture_id, position, vantage, agent_key, taking_part, state, text, "
        "packets, "
        "kernel_dropped, started_ns, ended_ns, clock_offset_ns, clock_error_ns) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (capture_id, position) "
        "DO UPDATE "
        "SET agent_key = $4, taking_part = $5, state = $6, text = $7, packets = $8, kernel_dropped = $9, "
        "started_ns = $10, ended_ns = $11, clock_offset_ns = $12, clock_error_ns = $13",
        13, values, NULL, diag);
}

static int body_add(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct dp_store_capture *capture = &((struct add_job *)job)->capture;
    char started[DP_PG_NUMBER], duration[DP_PG_NUMBER];
    const char *const values[] = {capture->id, capture->path, capture->filter,
                                  dp_pg_number(started, capture->started_ns),
                                  dp_pg_number(duration, capture->duration_ms)};
    int code =
        dp_pg_query(connection,
                    "INSERT INTO capture (capture_id, path, filter, started_ns, duration_ms, state) VALUES "
                    "($1, $2, $3, $4, $5, 'running') ON CONFLICT DO NOTHING",
                    5, values, NULL, diag);
    for (size_t i = 0; i < capture->vantage_count && code == DP_OK; i++)
        code = put_vantage(connection, capture->id, &capture->vantages[i], diag);
    return code;
}

static int work_add(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_add, diag);
}

static void free_add(struct add_job *own)
{
    free(own->capture.filter);
    free(own->capture.vantages);
    free(own);
}

static void finish_add(struct dp_job *job)
{
    struct add_job *own = (struct add_job *)job;
    own->done(own->context, job->code, job->diag.text);
    free_add(own);
}

int dp_store_capture_add(struct dp_store *store, const struct dp_store_capture *capture, dp_store_done *done,
                         void *context)
{
    struct add_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct add_job){.job = {.work = work_add, .finish = finish_add},
                            .capture = *capture,
                            .done = done,
                            .context = context};
    size_t bytes = capture->vantage_count * sizeof *capture->vantages;
    job->capture.filter = strdup(capture->filter);
    job->capture.vantages = malloc(bytes + 1);
    job->capture.streams = NULL;
    int code = job->capture.filter != NULL && job->capture.vantages != NULL ? DP_OK : DP_ERR_NOMEM;
    if (code == DP_OK) {
        memcpy(job->capture.vantages, capture->vantages, bytes);
        code = dp_store_submit(store, &job->job);
    }
    if (code != DP_OK)
        free_add(job);
    return code;
}

/* --- one vantage point's row --- */

struct vantage_job {
    struct dp_job job;
    char id[64];
    struct dp_store_vantage vantage;
};

static int work_vantage(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct vantage_job *own = (const struct vantage_job *)job;
    return put_vantage(connection, own->id, &own->vantage, diag);
}

static void finish_vantage(struct dp_job *job)
{
    free(job);
}

int dp_store_vantage_put(struct dp_store *store, const char *id, const struct dp_store_vantage *vantage)
{
    struct vantage_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct vantage_job){.job = {.work = work_vantage, .finish = finish_vantage}, .vantage = *vantage};
    snprintf(job->id, sizeof job->id, "%s", id);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

/* --- texts about a capture: its state, its document --- */

struct text_job {
    struct dp_job job;
    char id[64];
    char state[16];
    char *text; /* the problem or the document, in or out */
    dp_store_done *done;
    void *context;
};

static void finish_text(struct dp_job *job)
{
    struct text_job *own = (struct text_job *)job;
    if (own->done != NULL)
        own->done(own->context, job->code,
                  own->text != NULL && job->code == DP_OK ? own->text : job->diag.text);
    free(own->text);
    free(own);
}

static int submit_text(struct dp_store *store, const char *id, const char *state, const char *text,
                       int (*work)(PGconn *, struct dp_job *, struct dp_diag *), dp_store_done *done,
                       void *context)
{
    struct text_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct text_job){.job = {.work = work, .finish = finish_text}, .done = done, .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    snprintf(job->state, sizeof job->state, "%s", state);
    int code = DP_OK;
    if (text != NULL && (job->text = strdup(text)) == NULL)
        code = DP_ERR_NOMEM;
    if (code == DP_OK)
        code = dp_store_submit(store, &job->job);
    if (code != DP_OK) {
        free(job->text);
        free(job);
    }
    return code;
}

static int work_state(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct text_job *own = (const struct text_job *)job;
    const char *const values[] = {own->id, own->state, own->text};
    return dp_pg_query(
        connection, "UPDATE capture SET state = $2, problem = $3 WHERE capture_id = $1 AND state <> 'done'",
        3, values, NULL, diag);
}

int dp_store_capture_state(struct dp_store *store, const char *id, const char *state, const char *problem,
                           dp_store_done *done, void *context)
{
    return submit_text(store, id, state, problem, work_state, done, context);
}

/* The rows come out of the document itself, so that both can't differ. */
static const char *const finish_sql[] = {
    "UPDATE capture SET state = 'done', problem = '', document = $2::json, "
    "verdict = coalesce($2::json->'verdict'->>'code', ''), summary = "
    "coalesce($2::json->'verdict'->>'summary', '') "
    "WHERE capture_id = $1",
    "DELETE FROM flow WHERE capture_id = $1",
    "DELETE FROM segment WHERE capture_id = $1",
    "DELETE FROM finding WHERE capture_id = $1",
    "INSERT INTO flow (capture_id, flow, client, server, app) SELECT $1, (f->>'id')::integer, f->>'client', "
    "f->>'server', coalesce(f->>'app', '') FROM json_array_elements($2::json->'flows') f",
    "INSERT INTO segment (capture_id, position, direction, from_vantage, to_vantage, kind, packets, bytes, "
    "lost_packets, "
    "lost_bytes, unknown_packets) SELECT $1, s.n - 1, d.name, s.v->>'from', s.v->>'to', s.v->>'kind', "
    "(s.v->d.name->>'packets')::bigint, (s.v->d.name->>'bytes')::bigint, "
    "(s.v->d.name->>'lost_packets')::bigint, "
    "(s.v->d.name->>'lost_bytes')::bigint, (s.v->d.name->>'unknown_packets')::bigint "
    "FROM json_array_elements($2::json->'segments') WITH ORDINALITY s(v, n), "
    "(VALUES ('forward'), ('reverse')) d(name)",
    "INSERT INTO finding (capture_id, position, code, from_vantage, to_vantage, direction, pattern, "
    "size_over, "
    "lost_packets, lost_bytes, share, confidence, flows, summary, next_step) SELECT $1, s.n - 1, "
    "s.v->>'code', "
    "s.v->>'from', s.v->>'to', s.v->>'direction', s.v->>'pattern', (s.v->>'size_over')::integer, "
    "(s.v->>'lost_packets')::bigint, (s.v->>'lost_bytes')::bigint, (s.v->>'share')::float8, "
    "(s.v->>'confidence')::float8, coalesce((SELECT array_agg(e::integer) FROM "
    "json_array_elements_text(s.v->'flows') e), '{}'), coalesce(s.v->>'summary', ''), "
    "coalesce(s.v->>'next_step', '') FROM json_array_elements($2::json->'findings') WITH ORDINALITY s(v, n)",
};

static int body_finish(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct text_job *own = (const struct text_job *)job;
    const char *const values[] = {own->id, own->text};
    int code = DP_OK;
    for (size_t i = 0; i < sizeof finish_sql / sizeof *finish_sql && code == DP_OK; i++)
        code = dp_pg_query(connection, finish_sql[i], strstr(finish_sql[i], "$2") != NULL ? 2 : 1, values,
                           NULL, diag);
    return code;
}

static int work_finish(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_finish, diag);
}

int dp_store_capture_finish(struct dp_store *store, const char *id, const char *document, dp_store_done *done,
                            void *context)
{
    return submit_text(store, id, "", document, work_finish, done, context);
}

static int work_document(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct text_job *own = (struct text_job *)job;
    const char *const values[] = {own->id};
    PGresult *result = NULL;
    int code = dp_pg_query(connection, "SELECT document, state, problem FROM capture WHERE capture_id = $1",
                           1, values, &result, diag);
    if (code != DP_OK)
        return code;
    if (PQntuples(result) == 0) {
        code = dp_fail(diag, DP_ERR_NOT_FOUND,
                       "There is no capture %s. `droppoint capture list` shows those there are.", own->id);
    } else if (PQgetisnull(result, 0, 0)) {
        code = dp_fail(diag, DP_ERR_END, "Capture %s is %s and has no verdict%s%s", own->id,
                       PQgetvalue(result, 0, 1), PQgetlength(result, 0, 2) > 0 ? ": " : ".",
                       PQgetvalue(result, 0, 2));
    } else {
        free(own->text);
        own->text = strdup(PQgetvalue(result, 0, 0));
        code = own->text != NULL ? DP_OK : DP_ERR_NOMEM;
    }
    PQclear(result);
    return code;
}

int dp_store_document(struct dp_store *store, const char *id, dp_store_done *done, void *context)
{
    return submit_text(store, id, "", NULL, work_document, done, context);
}
