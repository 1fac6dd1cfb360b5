/* Writing probes and their results. Reading them is in probes_read.c. */
#include "collector/store/probes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

struct probe_job {
    struct dp_job job;
    char id[64], kind[32], state[16];
    char *target, *options, *failures;
    int64_t started_ns;
    dp_store_done *done;
    void *context;
};

static char *copy_or_empty(const char *text)
{
    return strdup(text != NULL ? text : "");
}

static void free_probe_job(struct probe_job *job)
{
    free(job->target);
    free(job->options);
    free(job->failures);
    free(job);
}

static void finish_probe(struct dp_job *job)
{
    struct probe_job *own = (struct probe_job *)job;
    if (own->done != NULL)
        own->done(own->context, job->code, job->diag.text);
    free_probe_job(own);
}

static int submit(struct dp_store *store, struct probe_job *job)
{
    int code = job->target != NULL && job->options != NULL && job->failures != NULL ? DP_OK : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free_probe_job(job);
    return code;
}

static int work_add(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct probe_job *own = (const struct probe_job *)job;
    char started[DP_PG_NUMBER];
    const char *const values[] = {own->id, own->kind, own->target, own->options,
                                  dp_pg_number(started, own->started_ns)};
    return dp_pg_query(connection,
                       "INSERT INTO probe (probe_id, kind, target, options, started_ns, state) VALUES "
                       "($1, $2, $3, $4, $5, 'running') ON CONFLICT DO NOTHING",
                       5, values, NULL, diag);
}

int dp_store_probe_add(struct dp_store *store, const struct dp_store_probe *probe, dp_store_done *done,
                       void *context)
{
    struct probe_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct probe_job){.job = {.work = work_add, .finish = finish_probe},
                              .target = copy_or_empty(probe->target),
                              .options = copy_or_empty(probe->options),
                              .failures = copy_or_empty(""),
                              .started_ns = probe->started_ns,
                              .done = done,
                              .context = context};
    snprintf(job->id, sizeof job->id, "%s", probe->id);
    snprintf(job->kind, sizeof job->kind, "%s", probe->kind);
    return submit(store, job);
}

static int work_end(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct probe_job *own = (const struct probe_job *)job;
    const char *const values[] = {own->id, own->state, own->failures};
    return dp_pg_query(connection, "UPDATE probe SET state = $2, failures = $3 WHERE probe_id = $1", 3,
                       values, NULL, diag);
}

int dp_store_probe_end(struct dp_store *store, const char *id, const char *state, const char *failures,
                       dp_store_done *done, void *context)
{
    struct probe_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct probe_job){.job = {.work = work_end, .finish = finish_probe},
                              .target = copy_or_empty(""),
                              .options = copy_or_empty(""),
                              .failures = copy_or_empty(failures),
                              .done = done,
                              .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    snprintf(job->state, sizeof job->state, "%s", state);
    return submit(store, job);
}

/* --- results --- */

struct result_job {
    struct dp_job job;
    struct dp_stream_key key;
    uint64_t number, watermark;
    bool has_result;
    struct dp_store_probe_result result;
    int outcome;
    dp_store_batch_done *done;
    void *context;
};

static void free_result_job(struct result_job *job)
{
    free(job->result.summary);
    free(job->result.document);
    free(job);
}

/* As in batches.c: the watermark keeps a result from being stored twice, also when the answer to a COMMIT was
 * lost. */
static int move_watermark(PGconn *connection, struct result_job *own, struct dp_diag *diag)
{
    char position[DP_PG_NUMBER], epoch[DP_PG_NUMBER], stream[DP_PG_NUMBER], previous[DP_PG_NUMBER],
        next[DP_PG_NUMBER];
    const char *const values[] = {own->key.capture_id,
                                  dp_pg_number(position, own->key.position),
                                  dp_pg_number(epoch, (int64_t)own->key.epoch),
                                  dp_pg_number(stream, (int64_t)own->key.stream),
                                  dp_pg_number(previous, (int64_t)own->number - 1),
                                  dp_pg_number(next, (int64_t)own->number)};
    PGresult *result = NULL;
    int code = dp_pg_prepared(connection, "stream_move", 6, values, &result, diag);
    if (code != DP_OK)
        return code;
    bool moved = strcmp(PQcmdTuples(result), "1") == 0;
    PQclear(result);
    own->outcome = DP_OK;
    own->watermark = own->number;
    if (moved)
        return DP_OK;
    code = dp_pg_prepared(connection, "stream_last", 4, values, &result, diag);
    if (code != DP_OK)
        return code;
    bool known = PQntuples(result) == 1;
    own->watermark = known ? (uint64_t)dp_pg_int(result, 0, 0) : 0;
    PQclear(result);
    own->outcome = !known ? DP_ERR_NOT_FOUND : own->watermark < own->number ? DP_ERR_GAP : DP_ERR_DUPLICATE;
    return DP_OK;
}

static int body_result(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct result_job *own = (struct result_job *)job;
    int code = move_watermark(connection, own, diag);
    if (code != DP_OK || own->outcome != DP_OK || !own->has_result)
        return code;
    char started[DP_PG_NUMBER], duration[DP_PG_NUMBER];
    const struct dp_store_probe_result *result = &own->result;
    const char *const values[] = {own->key.capture_id,
                                  result->agent_key,
                                  result->agent,
                                  dp_pg_number(started, result->started_ns),
                                  dp_pg_number(duration, result->duration_us),
                                  result->status,
                                  result->class,
                                  result->summary,
                                  result->document};
    return dp_pg_query(
        connection,
        "INSERT INTO probe_result (probe_id, agent_key, agent, kind, target, started_ns, duration_us, "
        "status, class, summary, document) SELECT probe_id, $2, $3, kind, target, $4::bigint, "
        "$5::bigint, $6, $7, $8, $9 FROM probe WHERE probe_id = $1 ON CONFLICT DO NOTHING",
        9, values, NULL, diag);
}

static int work_result(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_result, diag);
}

static void finish_result(struct dp_job *job)
{
    struct result_job *own = (struct result_job *)job;
    own->done(own->context, job->code == DP_OK ? own->outcome : job->code, own->watermark);
    free_result_job(own);
}

int dp_store_probe_result(struct dp_store *store, const struct dp_stream_key *key, uint64_t number,
                          const struct dp_store_probe_result *result, dp_store_batch_done *done,
                          void *context)
{
    struct result_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct result_job){.job = {.work = work_result, .finish = finish_result},
                               .key = *key,
                               .number = number,
                               .has_result = result != NULL,
                               .done = done,
                               .context = context};
    int code = DP_OK;
    if (result != NULL) {
        job->result = *result;
        job->result.summary = strdup(result->summary);
        job->result.document = strdup(result->document);
        code = job->result.summary != NULL && job->result.document != NULL ? DP_OK : DP_ERR_NOMEM;
    }
    if (code == DP_OK)
        code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free_result_job(job);
    return code;
}
