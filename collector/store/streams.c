/* Streams: opening and closing them, reading their batches back. Storing batches is in batches.c. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

/* --- open and close --- */

struct stream_job {
    struct dp_job job;
    struct dp_stream_key key;
    char agent_key[48];
    char vantage[96];
    int kind;
    uint64_t last;
    bool has_closed;
    uint64_t closed;
    dp_store_stream_done *opened;
    dp_store_done *done;
    void *context;
};

static int work_open(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct stream_job *own = (struct stream_job *)job;
    char position[DP_PG_NUMBER], epoch[DP_PG_NUMBER], stream[DP_PG_NUMBER], kind[DP_PG_NUMBER];
    const char *const values[] = {own->key.capture_id,
                                  dp_pg_number(position, own->key.position),
                                  dp_pg_number(epoch, (int64_t)own->key.epoch),
                                  dp_pg_number(stream, (int64_t)own->key.stream),
                                  own->agent_key,
                                  own->vantage,
                                  dp_pg_number(kind, own->kind)};
    int code = dp_pg_query(
        connection,
        "INSERT INTO stream (capture_id, position, epoch, stream, agent_key, vantage, kind) VALUES "
        "($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        7, values, NULL, diag);
    if (code != DP_OK)
        return code;
    PGresult *result = NULL;
    code =
        dp_pg_query(connection,
                    "SELECT last, closed, agent_key FROM stream WHERE capture_id = $1 AND position = $2 AND "
                    "epoch = $3 AND stream = $4",
                    4, values, &result, diag);
    if (code != DP_OK)
        return code;
    if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, 2), own->agent_key) != 0) {
        code = dp_fail(diag, DP_ERR_DENIED, "The stream belongs to another agent.");
    } else {
        own->last = (uint64_t)dp_pg_int(result, 0, 0);
        own->has_closed = !PQgetisnull(result, 0, 1);
        own->closed = own->has_closed ? (uint64_t)dp_pg_int(result, 0, 1) : 0;
    }
    PQclear(result);
    return code;
}

static void finish_open(struct dp_job *job)
{
    struct stream_job *own = (struct stream_job *)job;
    own->opened(own->context, job->code, job->diag.text, own->last, own->has_closed, own->closed);
    free(own);
}

int dp_store_stream_open(struct dp_store *store, const struct dp_stream_key *key, const char *agent_key,
                         const char *vantage, int kind, dp_store_stream_done *done, void *context)
{
    struct stream_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct stream_job){.job = {.work = work_open, .finish = finish_open},
                               .key = *key,
                               .kind = kind,
                               .opened = done,
                               .context = context};
    snprintf(job->agent_key, sizeof job->agent_key, "%s", agent_key);
    snprintf(job->vantage, sizeof job->vantage, "%s", vantage);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

static int work_close(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct stream_job *own = (const struct stream_job *)job;
    char position[DP_PG_NUMBER], epoch[DP_PG_NUMBER], stream[DP_PG_NUMBER], last[DP_PG_NUMBER];
    const char *const values[] = {own->key.capture_id, dp_pg_number(position, own->key.position),
                                  dp_pg_number(epoch, (int64_t)own->key.epoch),
                                  dp_pg_number(stream, (int64_t)own->key.stream),
                                  dp_pg_number(last, (int64_t)own->closed)};
    return dp_pg_query(
        connection,
        "UPDATE stream SET closed = $5 WHERE capture_id = $1 AND position = $2 AND epoch = $3 AND "
        "stream = $4",
        5, values, NULL, diag);
}

static void finish_close(struct dp_job *job)
{
    struct stream_job *own = (struct stream_job *)job;
    own->done(own->context, job->code, job->diag.text);
    free(own);
}

int dp_store_stream_close(struct dp_store *store, const struct dp_stream_key *key, uint64_t last,
                          dp_store_done *done, void *context)
{
    struct stream_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct stream_job){.job = {.work = work_close, .finish = finish_close},
                               .key = *key,
                               .closed = last,
                               .done = done,
                               .context = context};
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

/* --- reading batches back --- */

struct page_job {
    struct dp_job job;
    char id[64];
    uint64_t after;
    PGresult *result;
    struct dp_store_stored_batch *batches;
    dp_store_batches_done *done;
    void *context;
};

/* A page is a range of batch numbers, the same of every stream: all vantage points seal their batches at the
 * same pace, so that a number is roughly a time. Each stream's part of it is one stretch of the primary key
 * (the LIMIT, which never bites, keeps the planner from joining in another way); what is sorted is the page
 * alone. A stream's numbers have no gaps, and so an empty range is the end. */
static const char page[] =
    "WITH s AS (SELECT position, epoch, stream FROM stream WHERE capture_id = $1), "
    "size AS (SELECT greatest(1, 64 / greatest(1, count(*))) AS size FROM s) "
    "SELECT s.position, s.epoch, s.stream, b.number, b.records, b.payload FROM s CROSS JOIN LATERAL "
    "(SELECT number, records, payload FROM batch WHERE capture_id = $1 AND position = s.position AND "
    "epoch = s.epoch AND stream = s.stream AND number > $2::bigint AND "
    "number <= $2::bigint + (SELECT size FROM size) ORDER BY number LIMIT (SELECT size FROM size)) b "
    "ORDER BY number, position, epoch, stream";

static uint64_t big_endian(const PGresult *result, int row, int column)
{
    uint64_t value = 0;
    const uint8_t *p = (const uint8_t *)PQgetvalue(result, row, column);
    for (int i = 0; i < PQgetlength(result, row, column); i++)
        value = value << 8 | p[i];
    return value;
}

static int work_page(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct page_job *own = (struct page_job *)job;
    char after[DP_PG_NUMBER];
    const char *const values[] = {own->id, dp_pg_number(after, (int64_t)own->after)};
    PQclear(own->result);
    own->result = NULL;
    int code = dp_pg_take(connection, PQexecParams(connection, page, 2, NULL, values, NULL, NULL, 1),
                          &own->result, diag);
    if (code != DP_OK)
        return code;
    free(own->batches);
    own->batches = calloc((size_t)PQntuples(own->result) + 1, sizeof *own->batches);
    if (own->batches == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    for (int row = 0; row < PQntuples(own->result); row++) {
        struct dp_store_stored_batch *b = &own->batches[row];
        snprintf(b->key.capture_id, sizeof b->key.capture_id, "%s", own->id);
        b->key.position = (int)big_endian(own->result, row, 0);
        b->key.epoch = big_endian(own->result, row, 1);
        b->key.stream = big_endian(own->result, row, 2);
        b->number = big_endian(own->result, row, 3);
        b->records = (uint32_t)big_endian(own->result, row, 4);
        b->payload = (const uint8_t *)PQgetvalue(own->result, row, 5);
        b->len = (size_t)PQgetlength(own->result, row, 5);
    }
    return DP_OK;
}

static void finish_page(struct dp_job *job)
{
    struct page_job *own = (struct page_job *)job;
    own->done(own->context, job->code, job->diag.text, own->batches,
              job->code == DP_OK ? (size_t)PQntuples(own->result) : 0);
    PQclear(own->result);
    free(own->batches);
    free(own);
}

int dp_store_batches(struct dp_store *store, const char *id, uint64_t after, dp_store_batches_done *done,
                     void *context)
{
    struct page_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct page_job){
        .job = {.work = work_page, .finish = finish_page}, .after = after, .done = done, .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}
