/* The road in: numbered batches from the agents' spools into the database and the engine, acknowledged after
 * commit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define ROOM_AGAIN 40000 /* jobs of the store: half of what is too many for a batch */

struct batch {
    struct dp_run *run;
    struct run_stream *stream;
    uint64_t number;
    size_t len;
    int users; /* the store and the engine */
    uint8_t payload[];
};

/* --- small messages --- */

void run_stream_ask_from(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream,
                         uint64_t next)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__StreamResume body = DROPPOINT__STREAM_RESUME__INIT;
    body.epoch = epoch;
    body.stream = stream;
    body.next = next;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_RESUME;
    envelope.stream_resume = &body;
    run_send(run, agent->peer, 0, &envelope);
}

void run_stream_acknowledge(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream,
                            uint64_t number)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__StreamAck body = DROPPOINT__STREAM_ACK__INIT;
    body.epoch = epoch;
    body.stream = stream;
    body.number = number;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_ACK;
    envelope.stream_ack = &body;
    run_send(run, agent->peer, 0, &envelope);
}

static void send_resume(struct dp_run *run, struct run_stream *stream)
{
    stream->resumed = stream->received + 1;
    stream->refused = false;
    run_stream_ask_from(run, stream->agent, stream->id.epoch, stream->id.stream, stream->resumed);
}

static void send_ack(struct dp_run *run, struct run_stream *stream)
{
    run_stream_acknowledge(run, stream->agent, stream->id.epoch, stream->id.stream, stream->committed);
}

void run_stream_unwanted(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__StreamClose body = DROPPOINT__STREAM_CLOSE__INIT;
    body.epoch = epoch;
    body.stream = stream;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE;
    envelope.stream_close = &body;
    run_send(run, agent->peer, 0, &envelope);
}

void run_stream_settled(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t number,
                        uint64_t last)
{
    run_stream_ask_from(run, agent, epoch, number, last + 1);
    run_stream_acknowledge(run, agent, epoch, number, last);
}

void run_stream_credit(struct dp_run *run, struct run_agent *agent, uint64_t bytes)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Credit body = DROPPOINT__CREDIT__INIT;
    body.bytes = bytes;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CREDIT;
    envelope.credit = &body;
    run_send(run, agent->peer, 0, &envelope);
}

/* What a fresh session may send. Batches of the session before that we still hold count against it. */
uint64_t run_credit_for(const struct dp_run *run, const struct run_agent *agent)
{
    uint64_t own = agent->outstanding < CREDIT_AGENT ? CREDIT_AGENT - agent->outstanding : 0;
    uint64_t all = run->outstanding < CREDIT_TOTAL ? CREDIT_TOTAL - run->outstanding : 0;
    uint64_t credit = own < all ? own : all;
    return credit > CREDIT_LEAST ? credit : CREDIT_LEAST;
}

/* --- streams --- */

struct run_stream_id run_stream_id_of(const struct run_agent *agent, uint64_t epoch, uint64_t number)
{
    struct run_stream_id id;
    memset(&id, 0, sizeof id); /* also the padding: it is a hash key */
    snprintf(id.agent_key, sizeof id.agent_key, "%s", agent->row.key);
    id.epoch = epoch;
    id.stream = number;
    return id;
}

static struct run_stream *find(struct dp_run *run, const struct run_agent *agent, uint64_t epoch,
                               uint64_t number)
{
    struct run_stream_id id = run_stream_id_of(agent, epoch, number);
    struct run_stream *stream = NULL;
    HASH_FIND(hh, run->streams, &id, sizeof id, stream);
    return stream;
}

struct run_stream *run_stream_add(struct run_capture *capture, struct run_vantage *vantage,
                                  struct run_agent *agent, uint64_t epoch, uint64_t number)
{
    struct run_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->id = run_stream_id_of(agent, epoch, number);
    snprintf(stream->key.capture_id, sizeof stream->key.capture_id, "%s", capture->id);
    stream->key.position = vantage->row.position;
    stream->key.epoch = epoch;
    stream->key.stream = number;
    stream->capture = capture;
    stream->agent = agent;
    vantage->stream = stream;
    HASH_ADD(hh, capture->run->streams, id, sizeof stream->id, stream);
    return stream;
}

void run_stream_free(struct run_stream *stream)
{
    if (stream == NULL)
        return;
    HASH_DEL(stream->capture->run->streams, stream);
    free(stream);
}

static void on_opened(void *context, int code, const char *text, uint64_t last, bool has_closed,
                      uint64_t closed)
{
    struct run_stream *stream = context;
    struct run_capture *capture = stream->capture;
    struct dp_run *run = capture->run;
    stream->opening = false;
    if (code == DP_OK) {
        stream->received = stream->fed = stream->committed = last;
        stream->has_closed = has_closed;
        stream->closed = closed;
        if (!run->closing)
            send_resume(run, stream);
    } else if (!run->closing) {
        dp_log(run->log, DP_LOG_ERROR, "A stream of %s is refused: %s", stream->agent->row.name, text);
        run_stream_unwanted(run, stream->agent, stream->id.epoch, stream->id.stream);
    }
    run_capture_release(capture);
}

static void open_new(struct run_capture *capture, struct run_vantage *vantage, struct run_agent *agent,
                     const Droppoint__StreamOpen *open)
{
    struct dp_run *run = capture->run;
    struct run_stream *stream = run_stream_add(capture, vantage, agent, open->epoch, open->stream);
    if (stream == NULL)
        return; /* opened again at the next connection */
    stream->opening = true;
    capture->holds++;
    int code = dp_store_stream_open(run->store, &stream->key, agent->row.key, vantage->row.vantage,
                                    (int)open->kind, on_opened, stream);
    if (code == DP_OK)
        return;
    capture->holds--;
    vantage->stream = NULL;
    run_stream_free(stream); /* opened again at the next connection */
}

void run_stream_open(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open)
{
    if (open->kind == DROPPOINT__STREAM_KIND__STREAM_KIND_PROBES) {
        run_probe_stream_open(run, agent, open);
        return;
    }
    struct run_stream *stream = find(run, agent, open->epoch, open->stream);
    if (stream != NULL) {
        if (!stream->opening)
            send_resume(run, stream);
        return;
    }
    struct run_capture *capture = run_capture_find(run, open->capture_id);
    if (capture == NULL) {
        run_recover_for(run, agent, open);
        return;
    }
    struct run_vantage *vantage = run_capture_vantage(capture, open->vantage);
    bool owner =
        vantage != NULL && vantage->engine >= 0 && strcmp(vantage->row.agent_key, agent->row.key) == 0;
    if (!owner || vantage->stream != NULL) {
        dp_log(run->log, DP_LOG_WARNING,
               "Agent %s opened a stream for %s in capture %s, which is not its own.", agent->row.name,
               open->vantage, open->capture_id);
        run_stream_unwanted(run, agent, open->epoch, open->stream);
        return;
    }
    capture->heard_ms = vantage->heard_ms = uv_now(run->loop);
    open_new(capture, vantage, agent, open);
}

/* --- data --- */

static void release(struct batch *batch)
{
    if (--batch->users > 0)
        return;
    struct dp_run *run = batch->run;
    struct run_stream *stream = batch->stream;
    struct run_capture *capture = stream->capture;
    run->outstanding -= batch->len;
    stream->agent->outstanding -= batch->len;
    if (!run->closing)
        run_stream_credit(run, stream->agent, batch->len);
    free(batch);
    run_capture_release(capture);
}

void run_stream_eaten(void *context, void *tag)
{
    if (tag != NULL)
        release(tag);
    else
        run_recover_eaten(context);
}

static void on_stored(void *context, int code, uint64_t watermark)
{
    struct batch *batch = context;
    struct run_stream *stream = batch->stream;
    struct dp_run *run = batch->run;
    if (run->closing) {
        release(batch);
        return;
    }
    if (code == DP_OK || code == DP_ERR_DUPLICATE) {
        bool news = watermark > stream->committed;
        if (news)
            stream->committed = watermark;
        if (news || code == DP_ERR_DUPLICATE)
            send_ack(run, stream);
    } else if (code == DP_ERR_GAP) {
        /* The database went back behind what it had told (a restored backup): go on from there. */
        stream->received = stream->committed = watermark;
        send_resume(run, stream);
    } else {
        dp_log(run->log, DP_LOG_ERROR, "Batch %llu of capture %s is not stored: %s",
               (unsigned long long)batch->number, stream->capture->id, dp_err_sentence(code));
        run_stream_unwanted(run, stream->agent, stream->id.epoch, stream->id.stream);
    }
    struct run_capture *capture = stream->capture;
    capture->holds++; /* release() may be the last */
    release(batch);
    run_capture_check_end(capture);
    run_capture_release(capture);
}

/* False: there is no room for it, nothing is taken. */
static bool take(struct dp_run *run, struct run_stream *stream, const Droppoint__StreamData *data)
{
    size_t len = data->payload.len;
    struct batch *batch = malloc(sizeof *batch + len);
    if (batch == NULL)
        return false;
    struct run_capture *capture = stream->capture;
    *batch = (struct batch){.run = run, .stream = stream, .number = data->number, .len = len, .users = 1};
    memcpy(batch->payload, data->payload.data, len);
    int code = dp_store_batch(run->store, &stream->key, data->number, data->records, batch->payload, len,
                              on_stored, batch);
    if (code != DP_OK) {
        free(batch);
        return false;
    }
    capture->holds++;
    run->outstanding += len;
    stream->agent->outstanding += len;
    stream->received = data->number;
    const struct run_vantage *vantage = &capture->vantages[stream->key.position];
    if (capture->engine == NULL || capture->phase != PHASE_RUNNING || stream->fed + 1 != data->number)
        return true;
    if (dp_engine_feed(capture->engine, (uint32_t)vantage->engine, batch->payload, len, batch) == DP_OK) {
        batch->users++;
        stream->fed = data->number;
    }
    return true;
}

/* The batch is let go and its credit kept back, and so is what follows it: an agent with credit would go on
 * sending what there is no room for. */
static void refuse(struct run_stream *stream, size_t len)
{
    stream->refused = true;
    stream->agent->owed += len;
}

void run_streams_tick(struct dp_run *run)
{
    if (dp_store_pending(run->store) > ROOM_AGAIN)
        return;
    for (struct run_agent *agent = run->agents; agent != NULL; agent = agent->hh.next) {
        uint64_t owed = agent->owed;
        agent->owed = 0;
        if (owed > 0)
            run_stream_credit(run, agent, owed);
    }
    for (struct run_stream *stream = run->streams; stream != NULL; stream = stream->hh.next)
        if (stream->refused)
            send_resume(run, stream);
}

void run_stream_data(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamData *data)
{
    struct run_stream *stream = find(run, agent, data->epoch, data->stream);
    if (stream == NULL && run_probe_stream_data(run, agent, data))
        return;
    if (stream == NULL || stream->opening) {
        run_stream_credit(run, agent,
                          data->payload.len); /* it opens the stream first, or was told to forget it */
        return;
    }
    uint64_t now = uv_now(run->loop);
    stream->capture->heard_ms = stream->capture->vantages[stream->key.position].heard_ms = now;
    if (stream->refused) {
        refuse(stream, data->payload.len);
        return;
    }
    if (data->number == stream->received + 1) {
        if (dp_crc32c(0, data->payload.data, data->payload.len) == data->crc32c) {
            if (!take(run, stream, data))
                refuse(stream, data->payload.len);
            return;
        }
        dp_log(run->log, DP_LOG_ERROR, "Batch %llu of %s in capture %s arrived with a wrong checksum.",
               (unsigned long long)data->number, agent->row.name, stream->capture->id);
        stream->resumed = 0;
    }
    run_stream_credit(run, agent, data->payload.len);
    if (data->number <= stream->received)
        send_ack(run, stream);
    else if (stream->resumed != stream->received + 1)
        send_resume(run, stream);
}

/* --- the end of a stream --- */

static void on_close_stored(void *context, int code, const char *text)
{
    struct run_stream *stream = context;
    struct run_capture *capture = stream->capture;
    struct dp_run *run = capture->run;
    if (!run->closing && code != DP_OK)
        dp_log(run->log, DP_LOG_ERROR, "The end of a stream of capture %s is not stored: %s", capture->id,
               text);
    if (!run->closing && code == DP_OK) {
        if (stream->committed >= stream->closed)
            send_ack(run, stream);
        run_capture_check_end(capture);
    }
    run_capture_release(capture);
}

void run_stream_close(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamClose *close)
{
    struct run_stream *stream = find(run, agent, close->epoch, close->stream);
    if (stream == NULL && run_probe_stream_close(run, agent, close))
        return;
    if (stream == NULL || stream->opening)
        return;
    struct run_capture *capture = stream->capture;
    capture->heard_ms = uv_now(run->loop);
    if (close->last > stream->received) {
        if (!stream->refused)
            send_resume(run, stream);
        return;
    }
    stream->has_closed = true;
    stream->closed = close->last;
    capture->holds++;
    int code = dp_store_stream_close(run->store, &stream->key, close->last, on_close_stored, stream);
    if (code != DP_OK)
        on_close_stored(stream, code, dp_err_sentence(code));
}
