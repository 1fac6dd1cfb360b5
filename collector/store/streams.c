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

#define PAGE_BATCHES 64

struct page_job {
    struct dp_job job;
    char id[64];
    uint64_t number, epoch, stream; /* the page begins after this batch */
    int position;
    PGresult *result;
    dp_store_batches_done *done;
    void *context;
};

static int work_page(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct page_job *own = (struct page_job *)job;
    char number[DP_PG_NUMBER], position[DP_PG_NUMBER], epoch[DP_PG_NUMBER], stream[DP_PG_NUMBER];
    const char *const values[] = {
        own->id, dp_pg_number(number, (int64_t)own->number), dp_pg_number(position, own->position),
        dp_pg_number(epoch, (int64_t)own->epoch), dp_pg_number(stream, (int64_t)own->stream)};
    PQclear(own->result);
    own->result = NULL;
    /* All vantage points seal their batches at the same pace: the number is roughly the time. */
    static const char sql[] =
        "SELECT position, epoch, stream, number, records, payload FROM batch WHERE capture_id = $1 "
        "AND (number, position, epoch, stream) > ($2, $3, $4, $5) "
        "ORDER BY number, position, epoch, stream LIMIT 64";
    return dp_pg_take(connection, PQexecParams(connection, sql, 5, NULL, values, NULL, NULL, 1), &own->result,
                      diag);
}

static uint64_t big_endian(const PGresult *result, int row, int column)
{
    uint64_t value = 0;
    const uint8_t *p = (const uint8_t *)PQgetvalue(result, row, column);
    for (int i = 0; i < PQgetlength(result, row, column); i++)
        value = value << 8 | p[i];
    return value;
}

static void finish_page(struct dp_job *job)
{
    struct page_job *own = (struct page_job *)job;
    struct dp_store_stored_batch batches[PAGE_BATCHES];
    size_t count = job->code == DP_OK ? (size_t)PQntuples(own->result) : 0;
    for (size_t i = 0; i < count; i++) {
        struct dp_store_stored_batch *b = &batches[i];
        int row = (int)i;
        snprintf(b->key.capture_id, sizeof b->key.capture_id, "%s", own->id);
        b->key.position = (int)big_endian(own->result, row, 0);
        b->key.epoch = big_endian(own->result, row, 1);
        b->key.stream = big_endian(own->result, row, 2);
        b->number = big_endian(own->result, row, 3);
        b->records = (uint32_t)big_endian(own->result, row, 4);
        b->payload = (const uint8_t *)PQgetvalue(own->result, row, 5);
        b->len = (size_t)PQgetlength(own->result, row, 5);
    }
    own->done(own->context, job->code, job->diag.text, batches, count);
    PQclear(own->result);
    free(own);
}

int dp_store_batches(struct dp_store *store, const char *id, const struct dp_store_stored_batch *after,
                     dp_store_batches_done *done, void *context)
{
    struct page_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct page_job){
        .job = {.work = work_page, .finish = finish_page}, .done = done, .context = context};
    snprintf(job->id, sizeof job->id, "%s", id);
    if (after != NULL) {
        job->number = after->number;
        job->position = after->key.position;
        job->epoch = after->key.epoch;
        job->stream = after->key.stream;
    }
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}
