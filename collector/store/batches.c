/* Batches are committed in groups: one transaction moves the watermarks of the streams and copies the rows
 * in. The watermark is what keeps a batch from being stored twice, also when the answer to a COMMIT was lost.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

struct batch_job {
    struct dp_job job;
    struct dp_stream_key key;
    uint64_t number;
    uint32_t records;
    const uint8_t *payload;
    size_t len;
    uint64_t watermark;
    int outcome; /* of the attempt in hand; becomes the job's code after COMMIT */
    struct batch_job *next_in_run;
    dp_store_batch_done *done;
    void *context;
};

/* Batches of one stream whose numbers follow each other. */
struct run {
    struct batch_job *first, *last;
};

static void finish_batch(struct dp_job *job)
{
    struct batch_job *batch = (struct batch_job *)job;
    batch->done(batch->context, job->code, batch->watermark);
    free(batch);
}

int dp_store_batch(struct dp_store *store, const struct dp_stream_key *key, uint64_t number, uint32_t records,
                   const uint8_t *payload, size_t len, dp_store_batch_done *done, void *context)
{
    struct batch_job *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return DP_ERR_NOMEM;
    batch->job.finish = finish_batch;
    batch->key = *key;
    batch->number = number;
    batch->records = records;
    batch->payload = payload;
    batch->len = len;
    batch->done = done;
    batch->context = context;
    int code = dp_store_submit(store, &batch->job);
    if (code != DP_OK)
        free(batch);
    return code;
}

size_t dp_batches_group(struct dp_job *first, struct dp_job **ret_jobs)
{
    size_t count = 0, bytes = 0;
    for (struct dp_job *job = first; job != NULL && job->work == NULL && count < DP_GROUP_MAX;
         job = job->next) {
        size_t len = ((struct batch_job *)job)->len;
        if (count > 0 && bytes + len > DP_GROUP_BYTES)
            break;
        bytes += len;
        ret_jobs[count++] = job;
    }
    return count;
}

static bool same_stream(const struct dp_stream_key *a, const struct dp_stream_key *b)
{
    return a->stream == b->stream && a->epoch == b->epoch && a->position == b->position &&
           strcmp(a->capture_id, b->capture_id) == 0;
}

/* Sorts a group into runs, keeping each stream's order. */
static size_t make_runs(struct dp_job **jobs, size_t count, struct run *runs)
{
    size_t run_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct batch_job *batch = (struct batch_job *)jobs[i];
        batch->next_in_run = NULL;
        struct run *home = NULL;
        for (size_t r = run_count; r-- > 0 && home == NULL;)
            if (same_stream(&runs[r].last->key, &batch->key))
                home = &runs[r];
        if (home != NULL && home->last->number + 1 == batch->number) {
            home->last->next_in_run = batch;
            home->last = batch;
        } else {
            runs[run_count++] = (struct run){batch, batch};
        }
    }
    return run_count;
}

static void set_outcome(struct batch_job *from, uint64_t until, int outcome, uint64_t watermark)
{
    for (struct batch_job *b = from; b != NULL && b->number <= until; b = b->next_in_run) {
        b->outcome = outcome;
        b->watermark = watermark;
    }
}

/* Moves the stream's watermark over the run, or finds out why it can't. */
static int move_watermark(PGconn *connection, const struct run *run, struct dp_diag *diag)
{
    const struct dp_stream_key *key = &run->first->key;
    char position[DP_PG_NUMBER], epoch[DP_PG_NUMBER], stream[DP_PG_NUMBER], previous[DP_PG_NUMBER],
        next[DP_PG_NUMBER];
    const char *const values[] = {key->capture_id,
                                  dp_pg_number(position, key->position),
                                  dp_pg_number(epoch, (int64_t)key->epoch),
                                  dp_pg_number(stream, (int64_t)key->stream),
                                  previous,
                                  next};
    struct batch_job *start = run->first;
    dp_pg_number(next, (int64_t)run->last->number);
    while (start != NULL) {
        dp_pg_number(previous, (int64_t)start->number - 1);
        PGresult *result = NULL;
        int code = dp_pg_prepared(connection, "stream_move", 6, values, &result, diag);
        if (code != DP_OK)
            return code;
        bool moved = strcmp(PQcmdTuples(result), "1") == 0;
        PQclear(result);
        if (moved) {
            set_outcome(start, run->last->number, DP_OK, run->last->number);
            return DP_OK;
        }
        code = dp_pg_prepared(connection, "stream_last", 4, values, &result, diag);
        if (code != DP_OK)
            return code;
        bool known = PQntuples(result) == 1;
        uint64_t last = known ? (uint64_t)dp_pg_int(result, 0, 0) : 0;
        PQclear(result);
        if (!known || last < start->number) {
            /* Where last is just before start, another writer moved it back and forth: that can't be. */
            set_outcome(start, run->last->number, known ? DP_ERR_GAP : DP_ERR_NOT_FOUND, last);
            return DP_OK;
        }
        set_outcome(start, last, DP_ERR_DUPLICATE, last);
        while (start != NULL && start->number <= last)
            start = start->next_in_run;
    }
    return DP_OK;
}

/* --- COPY in binary form --- */

static uint8_t *put16(uint8_t *p, int value)
{
    uint16_t be = htobe16((uint16_t)value);
    memcpy(p, &be, sizeof be);
    return p + sizeof be;
}

static uint8_t *put32(uint8_t *p, uint32_t value)
{
    uint32_t be = htobe32(value);
    memcpy(p, &be, sizeof be);
    return p + sizeof be;
}

static uint8_t *put_int8(uint8_t *p, uint64_t value)
{
    uint64_t be = htobe64(value);
    memcpy(put32(p, 8), &be, sizeof be);
    return p + 4 + sizeof be;
}

static int copy_row(PGconn *connection, const struct batch_job *batch)
{
    uint8_t row[192], *p = row;
    size_t id_len = strlen(batch->key.capture_id);
    p = put16(p, 7);
    p = put32(p, (uint32_t)id_len);
    memcpy(p, batch->key.capture_id, id_len);
    p = put16(put32(p + id_len, 2), batch->key.position);
    p = put_int8(p, batch->key.epoch);
    p = put_int8(p, batch->key.stream);
    p = put_int8(p, batch->number);
    p = put32(put32(p, 4), batch->records);
    p = put32(p, (uint32_t)batch->len);
    if (PQputCopyData(connection, (const char *)row, (int)(p - row)) != 1)
        return -1;
    return batch->len == 0 || PQputCopyData(connection, (const char *)batch->payload, (int)batch->len) == 1
               ? 0
               : -1;
}

static int copy_rows(PGconn *connection, struct dp_job **jobs, size_t count, struct dp_diag *diag)
{
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, extension */
    static const char trailer[] = "\377\377";
    int code = dp_pg_take(connection,
                          PQexec(connection,
                                 "COPY batch (capture_id, position, epoch, stream, number, records, payload) "
                                 "FROM STDIN (FORMAT binary)"),
                          NULL, diag);
    if (code != DP_OK)
        return code;
    int failed = PQputCopyData(connection, header, 19) != 1;
    for (size_t i = 0; i < count && !failed; i++) {
        const struct batch_job *batch = (const struct batch_job *)jobs[i];
        if (batch->outcome == DP_OK)
            failed = copy_row(connection, batch) != 0;
    }
    failed = failed || PQputCopyData(connection, trailer, 2) != 1 || PQputCopyEnd(connection, NULL) != 1;
    if (failed)
        return dp_fail(diag, DP_ERR_UNAVAILABLE, "PostgreSQL: %s", PQerrorMessage(connection));
    code = DP_OK;
    for (PGresult *result = PQgetResult(connection); result != NULL; result = PQgetResult(connection))
        if (code == DP_OK)
            code = dp_pg_take(connection, result, NULL, diag);
        else
            PQclear(result);
    return code;
}

static int commit_runs(PGconn *connection, struct dp_job **jobs, size_t count, const struct run *runs,
                       size_t run_count, struct dp_diag *diag)
{
    int code = dp_pg_command(connection, "BEGIN", diag);
    for (size_t r = 0; r < run_count && code == DP_OK; r++)
        code = move_watermark(connection, &runs[r], diag);
    bool any = false;
    for (size_t i = 0; i < count && code == DP_OK; i++)
        any = any || ((struct batch_job *)jobs[i])->outcome == DP_OK;
    if (code == DP_OK && any)
        code = copy_rows(connection, jobs, count, diag);
    if (code == DP_OK)
        code = dp_pg_command(connection, "COMMIT", diag);
    return code;
}

int dp_batches_commit(PGconn *connection, struct dp_job **jobs, size_t count, struct dp_diag *diag)
{
    struct run *runs = calloc(count, sizeof *runs);
    if (runs == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    size_t run_count = make_runs(jobs, count, runs);
    int code = commit_runs(connection, jobs, count, runs, run_count, diag);
    free(runs);
    if (code != DP_OK)
        return code;
    for (size_t i = 0; i < count; i++)
        jobs[i]->code = ((struct batch_job *)jobs[i])->outcome;
    return DP_OK;
}
