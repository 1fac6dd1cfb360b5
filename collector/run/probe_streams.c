/* The road in for probes' results: as for digests, but each batch is one record, which becomes a row of its
 * own in the transaction that moves the watermark. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/probe_internal.h"
#include "common/probe_record/probe_record.h"

struct probe_stream {
    struct run_stream_id id;
    struct dp_stream_key key;
    struct dp_run *run;
    struct run_agent *agent;
    char vantage[96];
    bool opening, refused, closing;
    bool dead;     /* no longer in the table */
    unsigned jobs; /* of the store, that will call back with it */
    uint64_t received, committed, closed;
    UT_hash_handle hh; /* run->probe_streams, by id */
};

/* A record on its way into the database. */
struct arrival {
    struct probe_stream *stream;
    size_t len;     /* of the payload, for credit */
    json_t *record; /* NULL: it could not be read */
};

static struct probe_stream *find(struct dp_run *run, const struct run_agent *agent, uint64_t epoch,
                                 uint64_t number)
{
    struct run_stream_id id = run_stream_id_of(agent, epoch, number);
    struct probe_stream *stream = NULL;
    HASH_FIND(hh, run->probe_streams, &id, sizeof id, stream);
    return stream;
}

static void remove_stream(struct probe_stream *stream)
{
    if (!stream->dead)
        HASH_DEL(stream->run->probe_streams, stream);
    stream->dead = true;
    if (stream->jobs == 0)
        free(stream);
}

/* A job has called back. */
static void release(struct probe_stream *stream)
{
    if (--stream->jobs == 0 && stream->dead)
        free(stream);
}

static void resume(struct probe_stream *stream)
{
    stream->refused = false;
    run_stream_ask_from(stream->run, stream->agent, stream->id.epoch, stream->id.stream,
                        stream->received + 1);
}

static void unwanted(struct probe_stream *stream)
{
    run_stream_unwanted(stream->run, stream->agent, stream->id.epoch, stream->id.stream);
    remove_stream(stream);
}

/* --- opening --- */

static void on_opened(void *context, int code, const char *text, uint64_t last, bool has_closed,
                      uint64_t closed)
{
    struct probe_stream *stream = context;
    struct dp_run *run = stream->run;
    (void)has_closed;
    (void)closed;
    stream->opening = false;
    if (code == DP_OK && !run->closing) {
        stream->received = stream->committed = last;
        resume(stream);
    } else if (!run->closing) {
        dp_log(run->log, DP_LOG_ERROR, "A probe's stream of %s is refused: %s", stream->agent->row.name,
               text);
        unwanted(stream);
    }
    release(stream);
}

static void open_it(struct probe_stream *stream)
{
    int code = dp_store_stream_open(stream->run->store, &stream->key, stream->agent->row.key, stream->vantage,
                                    (int)DROPPOINT__STREAM_KIND__STREAM_KIND_PROBES, on_opened, stream);
    if (code == DP_OK)
        stream->jobs++;
    else
        remove_stream(stream); /* opened again at the next connection */
}

/* Its probe is not one that runs: only one that the database knows may be added to. */
static void on_known(void *context, int code, const char *text, const struct dp_store_probe *probe)
{
    struct probe_stream *stream = context;
    (void)text;
    if (!stream->run->closing && code == DP_OK && probe != NULL)
        open_it(stream);
    else if (!stream->run->closing)
        unwanted(stream);
    release(stream);
}

void run_probe_stream_open(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open)
{
    struct probe_stream *stream = find(run, agent, open->epoch, open->stream);
    if (stream != NULL) {
        if (!stream->opening)
            resume(stream);
        return;
    }
    stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return; /* opened again at the next connection */
    stream->id = run_stream_id_of(agent, open->epoch, open->stream);
    stream->run = run;
    stream->agent = agent;
    stream->opening = true;
    snprintf(stream->vantage, sizeof stream->vantage, "%s", open->vantage);
    snprintf(stream->key.capture_id, sizeof stream->key.capture_id, "%s", open->capture_id);
    stream->key.epoch = open->epoch;
    stream->key.stream = open->stream;
    HASH_ADD(hh, run->probe_streams, id, sizeof stream->id, stream);
    if (run_probe_find(run, open->capture_id) != NULL)
        open_it(stream);
    else if (dp_store_probe_load(run->store, open->capture_id, on_known, stream) == DP_OK)
        stream->jobs++;
    else
        remove_stream(stream);
}

/* --- data --- */

static void end_arrival(struct arrival *arrival)
{
    struct probe_stream *stream = arrival->stream;
    stream->run->outstanding -= arrival->len;
    stream->agent->outstanding -= arrival->len;
    if (!stream->run->closing)
        run_stream_credit(stream->run, stream->agent, arrival->len);
    json_decref(arrival->record);
    free(arrival);
    release(stream);
}

static void on_stored(void *context, int code, uint64_t watermark)
{
    struct arrival *arrival = context;
    struct probe_stream *stream = arrival->stream;
    struct dp_run *run = stream->run;
    if (run->closing) {
        end_arrival(arrival);
        return;
    }
    bool stored = code == DP_OK || code == DP_ERR_DUPLICATE;
    if (stored) {
        stream->committed = watermark;
        run_stream_acknowledge(run, stream->agent, stream->id.epoch, stream->id.stream, watermark);
    } else if (code == DP_ERR_GAP) {
        stream->received = stream->committed = watermark;
        resume(stream);
    } else {
        dp_log(run->log, DP_LOG_ERROR, "A result of %s for probe %s is not stored: %s",
               stream->agent->row.name, stream->key.capture_id, dp_err_sentence(code));
        unwanted(stream);
    }
    if (stored && arrival->record != NULL)
        run_probe_record(run, stream->agent, stream->key.capture_id, arrival->record);
    end_arrival(arrival);
}

static int store_arrival(struct arrival *arrival, uint64_t number)
{
    struct probe_stream *stream = arrival->stream;
    json_t *result = json_object_get(arrival->record, "result");
    struct dp_store_probe_result row = {.document = NULL};
    if (result == NULL)
        return dp_store_probe_result(stream->run->store, &stream->key, number, NULL, on_stored, arrival);
    snprintf(row.agent_key, sizeof row.agent_key, "%s", stream->agent->row.key);
    snprintf(row.agent, sizeof row.agent, "%s", stream->agent->row.name);
    snprintf(row.status, sizeof row.status, "%s", json_string_value(json_object_get(result, "status")));
    snprintf(row.class, sizeof row.class, "%s", json_string_value(json_object_get(result, "class")));
    row.started_ns = json_integer_value(json_object_get(arrival->record, "started_ns"));
    row.duration_us = (int64_t)(json_number_value(json_object_get(result, "duration_ms")) * 1000);
    row.summary = (char *)json_string_value(json_object_get(result, "summary"));
    row.document = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(15));
    int code = row.document != NULL
                   ? dp_store_probe_result(stream->run->store, &stream->key, number, &row, on_stored, arrival)
                   : DP_ERR_NOMEM;
    free(row.document);
    return code;
}

/* An agent speaks for itself only, by the name that it has here. */
static void set_name(const struct probe_stream *stream, json_t *record)
{
    json_t *result = json_object_get(record, "result");
    if (result != NULL)
        (void)json_object_set_new(result, "agent", json_string(stream->agent->row.name));
}

static void take(struct probe_stream *stream, const Droppoint__StreamData *data)
{
    struct dp_run *run = stream->run;
    struct dp_diag diag = {""};
    struct arrival *arrival = calloc(1, sizeof *arrival);
    int code = arrival != NULL ? DP_OK : DP_ERR_NOMEM;
    if (code == DP_OK) {
        arrival->stream = stream;
        arrival->len = data->payload.len;
        if (dp_probe_record_decode(data->payload.data, data->payload.len, &arrival->record, &diag) == DP_OK)
            set_name(stream, arrival->record);
        else
            arrival->record = dp_probe_record_error(0, DP_ERR_PROTOCOL, diag.text);
        code = store_arrival(arrival, data->number);
    }
    if (code != DP_OK) { /* asked for again once there is room */
        if (arrival != NULL)
            json_decref(arrival->record);
        free(arrival);
        stream->refused = true;
        run_stream_credit(run, stream->agent, data->payload.len);
        return;
    }
    stream->jobs++;
    stream->received = data->number;
    run->outstanding += data->payload.len;
    stream->agent->outstanding += data->payload.len;
    if (diag.text[0] != '\0')
        dp_log(run->log, DP_LOG_ERROR, "The result of %s for probe %s cannot be read: %s",
               stream->agent->row.name, stream->key.capture_id, diag.text);
}

bool run_probe_stream_data(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamData *data)
{
    struct probe_stream *stream = find(run, agent, data->epoch, data->stream);
    if (stream == NULL)
        return false;
    bool intact = dp_crc32c(0, data->payload.data, data->payload.len) == data->crc32c;
    if (!stream->opening && !stream->refused && data->number == stream->received + 1 && intact) {
        take(stream, data);
        return true;
    }
    run_stream_credit(run, agent, data->payload.len);
    if (!stream->opening && !stream->refused && data->number > stream->received)
        resume(stream);
    return true;
}

/* --- the end --- */

/* The result was lost on the agent's host. */
static void tell_lost(struct probe_stream *stream)
{
    json_t *record = dp_probe_record_error(
        0, DP_ERR_FULL, "The agent could not keep its result. Its log says why; its disk may be full.");
    run_probe_record(stream->run, stream->agent, stream->key.capture_id, record);
    json_decref(record);
}

static void on_closed(void *context, int code, const char *text)
{
    struct probe_stream *stream = context;
    struct dp_run *run = stream->run;
    (void)text;
    stream->closing = false;
    if (!run->closing && code == DP_OK) { /* else it is closed again at the next connection */
        run_stream_acknowledge(run, stream->agent, stream->id.epoch, stream->id.stream, stream->committed);
        if (stream->closed == 0)
            tell_lost(stream);
        remove_stream(stream);
    }
    release(stream);
}

bool run_probe_stream_close(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamClose *close)
{
    struct probe_stream *stream = find(run, agent, close->epoch, close->stream);
    if (stream == NULL)
        return false;
    if (stream->opening || stream->closing)
        return true;
    if (close->last > stream->received) {
        if (!stream->refused)
            resume(stream);
        return true;
    }
    stream->closed = close->last;
    stream->closing = true;
    /* Jobs are done in order: what was received is committed by then. */
    if (dp_store_stream_close(run->store, &stream->key, close->last, on_closed, stream) == DP_OK)
        stream->jobs++;
    else
        stream->closing = false;
    return true;
}

void run_probe_streams_tick(struct dp_run *run)
{
    struct probe_stream *stream, *next;
    HASH_ITER(hh, run->probe_streams, stream, next)
    {
        if (stream->refused)
            resume(stream);
    }
}

void run_probe_streams_free(struct dp_run *run)
{
    struct probe_stream *stream, *next;
    HASH_ITER(hh, run->probe_streams, stream, next)
    {
        remove_stream(stream);
    }
}
