/* Reading probes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/probes.h"
#include "collector/store/store_internal.h"

#define WANTED " WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR target = $2) AND ($3 = '' OR agent = $3)"
#define RESULT_COLUMNS "agent_key, agent, started_ns, duration_us, status, class, summary"

static int read_result(const PGresult *result, int row, int column, struct dp_store_probe_result *ret_result)
{
    dp_pg_copy_text(result, row, column, ret_result->agent_key, sizeof ret_result->agent_key);
    dp_pg_copy_text(result, row, column + 1, ret_result->agent, sizeof ret_result->agent);
    ret_result->started_ns = dp_pg_int(result, row, column + 2);
    ret_result->duration_us = dp_pg_int(result, row, column + 3);
    dp_pg_copy_text(result, row, column + 4, ret_result->status, sizeof ret_result->status);
    dp_pg_copy_text(result, row, column + 5, ret_result->class, sizeof ret_result->class);
    ret_result->summary = strdup(PQgetvalue(result, row, column + 6));
    return ret_result->summary != NULL ? DP_OK : DP_ERR_NOMEM;
}

/* --- one probe --- */

struct load_job {
    struct dp_job job;
    char id[64];
    struct dp_store_probe probe;
    dp_store_probe_done *done;
    void *context;
};

static void clear_probe(struct dp_store_probe *probe)
{
    for (size_t i = 0; i < probe->result_count; i++) {
        free(probe->results[i].summary);
        free(probe->results[i].document);
    }
    free(probe->results);
    free(probe->target);
    free(probe->options);
    free(probe->failures);
    memset(probe, 0, sizeof *probe);
}

static int read_probe(const PGresult *result, struct dp_store_probe *probe)
{
    dp_pg_copy_text(result, 0, 0, probe->id, sizeof probe->id);
    dp_pg_copy_text(result, 0, 1, probe->kind, sizeof probe->kind);
    probe->target = strdup(PQgetvalue(result, 0, 2));
    probe->options = strdup(PQgetvalue(result, 0, 3));
    probe->started_ns = dp_pg_int(result, 0, 4);
    dp_pg_copy_text(result, 0, 5, probe->state, sizeof probe->state);
    probe->failures = strdup(PQgetvalue(result, 0, 6));
    return probe->target != NULL && probe->options != NULL && probe->failures != NULL ? DP_OK : DP_ERR_NOMEM;
}

static int read_results(PGconn *connection, struct dp_store_probe *probe, struct dp_diag *diag)
{
    const char *const values[] = {probe->id};
    PGresult *result = NULL;
    int code = dp_pg_query(connection,
                           "SELECT " RESULT_COLUMNS
                           ", document FROM probe_result WHERE probe_id = $1 ORDER BY agent",
                           1, values, &result, diag);
    if (code != DP_OK)
        return code;
    int rows = PQntuples(result);
    probe->results = calloc((size_t)rows + 1, sizeof *probe->results);
    if (probe->results == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++) {
        struct dp_store_probe_result *own = &probe->results[probe->result_count++];
        code = read_result(result, row, 0, own);
        own->document = strdup(PQgetvalue(result, row, 7));
        if (own->document == NULL)
            code = DP_ERR_NOMEM;
    }
    PQclear(result);
    return code;
}

static int body_load(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct load_job *own = (struct load_job *)job;
    const char *const values[] = {own->id};
    PGresult *result = NULL;
    clear_probe(&own->probe); /* of an attempt before */
    int code = dp_pg_query(
        connection,
        "SELECT probe_id, kind, target, options, started_ns, state, failures FROM probe WHERE probe_id = $1",
        1, values, &result, diag);
    if (code != DP_OK)
        return code;
    code = PQntuples(result) == 1
               ? read_probe(result, &own->probe)
               : dp_fail(diag, DP_ERR_NOT_FOUND,
                         "There is no probe %s. `droppoint probe history` shows those there are.", own->id);
    PQclear(result);
    return code == DP_OK ? read_results(connection, &own->probe, diag) : code;
}

static int work_load(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_load, diag);
}

static void finish_load(struct dp_job *job)
{
    struct load_job *own = (struct load_job *)job;
    own->done(own->context, job->code, job->diag.text, job->code == DP_OK ? &own->probe : NULL);
    clear_probe(&own->probe);
    free(own);
}

int dp_store_probe_load(struct dp_store *store, const char *id, dp_store_probe_done *done, void *context)
{
    struct load_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct load_job){
        .job = {.work = work_load, .finish = finish_load}, .done = done, .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

/* --- the list --- */

struct list_job {
    struct dp_job job;
    struct dp_store_probe_filter filter;
    struct dp_store_probe_entry *entries;
    size_t count;
    dp_store_probes_done *done;
    void *context;
};

static void clear_list(struct list_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        free(job->entries[i].target);
        free(job->entries[i].result.summary);
    }
    free(job->entries);
    job->entries = NULL;
    job->count = 0;
}

static int work_list(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct list_job *own = (struct list_job *)job;
    const struct dp_store_probe_filter *filter = &own->filter;
    char limit[DP_PG_NUMBER];
    const char *const values[] = {filter->kind, filter->target, filter->agent, filter->status,
                                  dp_pg_number(limit, filter->limit)};
    PGresult *result = NULL;
    clear_list(own); /* of an attempt before */
    /* Which change it is has to be known before the status is asked for. */
    int code = dp_pg_query(
        connection,
        filter->changes ? "SELECT probe_id, kind, target, " RESULT_COLUMNS
                          " FROM (SELECT *, lag(class) OVER (PARTITION BY kind, target, agent_key ORDER BY "
                          "started_ns) AS before"
                          " FROM probe_result" WANTED
                          ") AS result WHERE before IS DISTINCT FROM class AND ($4 = '' OR status = $4)"
                          " ORDER BY started_ns DESC, agent LIMIT $5"
                        : "SELECT probe_id, kind, target, " RESULT_COLUMNS " FROM probe_result" WANTED
                          " AND ($4 = '' OR status = $4) ORDER BY started_ns DESC, agent LIMIT $5",
        5, values, &result, diag);
    if (code != DP_OK)
        return code;
    int rows = PQntuples(result);
    own->entries = calloc((size_t)rows + 1, sizeof *own->entries);
    if (own->entries == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++) {
        struct dp_store_probe_entry *entry = &own->entries[own->count++];
        dp_pg_copy_text(result, row, 0, entry->id, sizeof entry->id);
        dp_pg_copy_text(result, row, 1, entry->kind, sizeof entry->kind);
        entry->target = strdup(PQgetvalue(result, row, 2));
        code = read_result(result, row, 3, &entry->result);
        if (entry->target == NULL)
            code = DP_ERR_NOMEM;
    }
    PQclear(result);
    return code;
}

static void finish_list(struct dp_job *job)
{
    struct list_job *own = (struct list_job *)job;
    own->done(own->context, job->code, job->diag.text, own->entries, job->code == DP_OK ? own->count : 0);
    clear_list(own);
    free(own);
}

int dp_store_probes(struct dp_store *store, const struct dp_store_probe_filter *filter,
                    dp_store_probes_done *done, void *context)
{
    struct list_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct list_job){.job = {.work = work_list, .finish = finish_list},
                             .filter = *filter,
                             .done = done,
                             .context = context};
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}
