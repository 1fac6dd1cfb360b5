#include "agent/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/session.h"
#include "agent/stream_internal.h"

#define BATCHES_A_TURN 16
#define TICK_MS 100
#define CLOSE_GRACE_MS 10000

static void pump_soon(struct agent *agent);

static void remove_stream(struct agent *agent, struct agent_stream *stream)
{
    if (agent->turn == stream)
        agent->turn = NULL;
    DL_DELETE2(agent->streams, stream, prev, next_stream);
    free(stream->waiting);
    free(stream);
}

static struct agent_stream *find_stream(const struct agent *agent, uint64_t epoch, uint64_t number)
{
    struct agent_stream *stream;
    DL_FOREACH2(agent->streams, stream, next_stream)
    if (stream->epoch == epoch && stream->number == number)
        return stream;
    return NULL;
}

static struct agent_stream *add_stream(struct agent *agent, uint64_t epoch, uint64_t number,
                                       Droppoint__StreamKind kind, const char *capture_id,
                                       const char *vantage)
{
    struct agent_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->epoch = epoch;
    stream->number = number;
    stream->kind = kind;
    stream->next = 1;
    (void)snprintf(stream->capture_id, sizeof stream->capture_id, "%s", capture_id);
    (void)snprintf(stream->vantage, sizeof stream->vantage, "%s", vantage);
    DL_APPEND2(agent->streams, stream, prev, next_stream);
    return stream;
}

/* --- to the collector --- */

static void send_open(struct agent *agent, const struct agent_stream *stream)
{
    Droppoint__StreamOpen open = DROPPOINT__STREAM_OPEN__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_OPEN;
    envelope.stream_open = &open;
    open.epoch = stream->epoch;
    open.stream = stream->number;
    open.kind = stream->kind;
    open.capture_id = (char *)stream->capture_id;
    open.vantage = (char *)stream->vantage;
    int code = agent_send(agent, &envelope);
    (void)code; /* opened again after the next welcome */
}

/* A stream that an earlier agent left open: what came after its last batch is lost on this host, not in the
 * network. */
static void send_crashed(struct agent *agent, const struct agent_stream *stream)
{
    Droppoint__CaptureState state = DROPPOINT__CAPTURE_STATE__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_STATE;
    envelope.capture_state = &state;
    state.capture_id = (char *)stream->capture_id;
    state.vantage = (char *)stream->vantage;
    state.reason = (char *)"crash";
    state.error_text = (char *)"The agent ended without closing this capture.";
    int code = agent_send(agent, &envelope);
    (void)code;
}

static void send_close_if_done(struct agent *agent, struct agent_stream *stream)
{
    if (!stream->ended || stream->close_sent || !stream->resumed || stream->next <= stream->last ||
        stream->waiting || stream->gap_to_ns != 0)
        return;
    Droppoint__StreamClose body = DROPPOINT__STREAM_CLOSE__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE;
    envelope.stream_close = &body;
    body.epoch = stream->epoch;
    body.stream = stream->number;
    body.last = stream->last;
    if (agent_send(agent, &envelope) == DP_OK) {
        stream->close_sent = true;
        stream->close_ms = uv_now(agent->loop);
    }
}

/* One batch of this stream, where there is one and credit covers it. DP_ERR_END: nothing to send now;
 * DP_ERR_FULL: no credit; DP_ERR_UNAVAILABLE: no connection. */
static int send_batch(struct agent *agent, struct agent_stream *stream)
{
    Droppoint__StreamData data = DROPPOINT__STREAM_DATA__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    if (!stream->resumed || stream->next > stream->last)
        return DP_ERR_END;
    uint8_t *payload = NULL;
    size_t len = 0;
    int code = dp_spool_read(agent->spool, stream->epoch, stream->number, stream->next, &data.crc32c,
                             &data.records, &payload, &len);
    if (code != DP_OK)
        return code;
    if (len > agent->credit) {
        free(payload);
        return DP_ERR_FULL;
    }
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_DATA;
    envelope.stream_data = &data;
    data.epoch = stream->epoch;
    data.stream = stream->number;
    data.number = stream->next;
    data.payload = (ProtobufCBinaryData){.len = len, .data = payload};
    code = agent_send(agent, &envelope);
    free(payload);
    if (code != DP_OK)
        return code;
    agent->credit -= len;
    stream->next++;
    return DP_OK;
}

/* This stream cannot go on, the others can. It closes with what was sent, and the collector hears why. */
static void give_up(struct agent *agent, struct agent_stream *stream)
{
    int code = dp_spool_forget(agent->spool, stream->epoch, stream->number);
    (void)code;
    agent_stream_tell_over(stream, "disk", true);
    if (stream->kind == DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS) {
        send_crashed(agent, stream);
        stream->crashed = true;
    }
    stream->ended = true;
    stream->last = stream->next - 1;
    send_close_if_done(agent, stream);
}

static void on_pump(uv_idle_t *idle)
{
    struct agent *agent = idle->data;
    unsigned quiet = 0;
    unsigned streams;
    struct agent_stream *stream;
    DL_COUNT2(agent->streams, stream, streams, next_stream);
    for (int i = 0; i < BATCHES_A_TURN && quiet < streams && agent->up; i++) {
        stream = agent->turn ? agent->turn : agent->streams;
        agent->turn = stream->next_stream;
        int code = send_batch(agent, stream);
        if (code == DP_ERR_FULL || code == DP_ERR_UNAVAILABLE || code == DP_ERR_NOMEM) {
            agent->turn = stream;
            quiet = streams; /* acknowledgement or credit wakes it again */
        } else if (code == DP_ERR_END) {
            quiet++;
        } else if (code != DP_OK) {
            dp_log(&agent->log, DP_LOG_ERROR,
                   "The spool of capture %s at %s cannot be read at batch %llu: %s", stream->capture_id,
                   stream->vantage, (unsigned long long)stream->next, dp_err_sentence(code));
            give_up(agent, stream);
        } else {
            quiet = 0;
        }
        send_close_if_done(agent, stream);
    }
    if (quiet >= streams || !agent->up)
        (void)uv_idle_stop(&agent->pump);
}

static void pump_soon(struct agent *agent)
{
    if (agent->up)
        (void)uv_idle_start(&agent->pump, on_pump);
}

/* --- ends, and room --- */

static void sync_spool(struct agent *agent)
{
    int code = dp_spool_sync(agent->spool);
    if (code != DP_OK)
        dp_log(&agent->log, DP_LOG_ERROR, "The spool cannot be synced: %s", dp_err_sentence(code));
    pump_soon(agent);
}

static void end_in_spool(struct agent *agent, struct agent_stream *stream)
{
    int code = dp_spool_end(agent->spool, stream->number);
    if (code != DP_OK && code != DP_ERR_NOT_FOUND)
        dp_log(&agent->log, DP_LOG_ERROR, "The spool cannot close capture %s: %s", stream->capture_id,
               dp_err_sentence(code));
}

void agent_stream_end(struct agent *agent, struct agent_stream *stream)
{
    stream->ended = true;
    stream->events = (struct agent_stream_events){NULL, NULL};
    if (agent_stream_flush(agent, stream) == DP_OK)
        end_in_spool(agent, stream);
    sync_spool(agent);
}

/* After room was made: what waited goes in, and who waited may go on. */
static void retry_waiting(struct agent *agent)
{
    struct agent_stream *stream, *after;
    DL_FOREACH_SAFE2(agent->streams, stream, after, next_stream)
    {
        bool waited = stream->waiting != NULL;
        bool pending = waited || stream->gap_to_ns != 0;
        if (!pending || agent_stream_flush(agent, stream) != DP_OK)
            continue;
        if (stream->ended)
            end_in_spool(agent, stream);
        else if (waited && stream->events.resume)
            stream->events.resume(stream->context);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    retry_waiting(agent);
    if (dp_spool_sync_due(agent->spool, uv_now(agent->loop)))
        sync_spool(agent);
    struct agent_stream *stream, *after;
    DL_FOREACH_SAFE2(agent->streams, stream, after, next_stream)
    if (stream->close_sent && stream->acked >= stream->last &&
        uv_now(agent->loop) - stream->close_ms > CLOSE_GRACE_MS)
        remove_stream(agent, stream);
}

/* --- session events --- */

void agent_streams_up(struct agent *agent, uint64_t credit)
{
    agent->credit = credit;
    struct agent_stream *stream;
    DL_FOREACH2(agent->streams, stream, next_stream)
    {
        if (stream->crashed)
            send_crashed(agent, stream);
        send_open(agent, stream);
    }
}

void agent_streams_down(struct agent *agent)
{
    struct agent_stream *stream;
    agent->credit = 0;
    DL_FOREACH2(agent->streams, stream, next_stream)
    stream->resumed = stream->close_sent = false;
}

/* Everything up to `number` is committed there. */
static void acknowledged(struct agent *agent, struct agent_stream *stream, uint64_t number)
{
    if (number <= stream->acked)
        return;
    int code = dp_spool_acknowledge(agent->spool, stream->epoch, stream->number, number);
    if (code != DP_OK && code != DP_ERR_NOT_FOUND) {
        dp_log(&agent->log, DP_LOG_WARNING, "The collector acknowledges batch %llu of capture %s at %s: %s",
               (unsigned long long)number, stream->capture_id, stream->vantage, dp_err_sentence(code));
        return;
    }
    stream->acked = number;
    retry_waiting(agent);
}

void agent_streams_resume(struct agent *agent, const Droppoint__StreamResume *message)
{
    struct agent_stream *stream = find_stream(agent, message->epoch, message->stream);
    if (!stream)
        return;
    if (message->next > stream->last + 1 || message->next <= stream->acked) {
        dp_log(
            &agent->log, DP_LOG_ERROR,
            "The collector wants batch %llu of capture %s at %s, but only those from %llu to %llu are here.",
            (unsigned long long)message->next, stream->capture_id, stream->vantage,
            (unsigned long long)stream->acked + 1, (unsigned long long)stream->last);
        stream->next = stream->acked + 1;
        stream->resumed = true;
        give_up(agent, stream);
        return;
    }
    acknowledged(agent, stream, message->next - 1);
    stream->next = message->next;
    stream->resumed = true;
    stream->close_sent = false;
    send_close_if_done(agent, stream);
    pump_soon(agent);
}

void agent_streams_ack(struct agent *agent, const Droppoint__StreamAck *message)
{
    struct agent_stream *stream = find_stream(agent, message->epoch, message->stream);
    if (!stream)
        return;
    if (message->number >= stream->next) {
        dp_log(&agent->log, DP_LOG_WARNING,
               "The collector acknowledges batch %llu of capture %s at %s, which was not sent.",
               (unsigned long long)message->number, stream->capture_id, stream->vantage);
        return;
    }
    acknowledged(agent, stream, message->number);
    if (stream->close_sent && stream->acked >= stream->last) {
        int code = dp_spool_forget(agent->spool, stream->epoch, stream->number);
        (void)code; /* a closed one is gone already */
        remove_stream(agent, stream);
    }
    pump_soon(agent);
}

void agent_streams_unwanted(struct agent *agent, const Droppoint__StreamClose *message)
{
    struct agent_stream *stream = find_stream(agent, message->epoch, message->stream);
    if (!stream)
        return;
    dp_log(&agent->log, DP_LOG_WARNING,
           "The collector does not want capture %s at %s: its batches are dropped.", stream->capture_id,
           stream->vantage);
    agent_stream_tell_over(stream, "stopped", true);
    int code = dp_spool_forget(agent->spool, stream->epoch, stream->number);
    (void)code;
    remove_stream(agent, stream);
}

void agent_streams_credit(struct agent *agent, const Droppoint__Credit *message)
{
    agent->credit += message->bytes;
    pump_soon(agent);
}

/* --- life --- */

int agent_streams_open(struct agent *agent)
{
    struct dp_spool_stream_info info;
    for (size_t i = 0; dp_spool_stream_at(agent->spool, i, &info); i++) {
        struct agent_stream *stream = add_stream(
            agent, info.epoch, info.stream, (Droppoint__StreamKind)info.kind, info.capture_id, info.vantage);
        if (!stream)
            return DP_ERR_NOMEM;
        stream->last = info.last;
        stream->acked = info.first - 1;
        stream->next = info.first;
        stream->ended = true;
        stream->crashed = info.interrupted && stream->kind == DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS;
    }
    (void)uv_idle_init(agent->loop, &agent->pump);
    (void)uv_timer_init(agent->loop, &agent->tick);
    agent->pump.data = agent->tick.data = agent;
    (void)uv_timer_start(&agent->tick, on_tick, TICK_MS, TICK_MS);
    return DP_OK;
}

int agent_stream_begin(struct agent *agent, Droppoint__StreamKind kind, const char *capture_id,
                       const char *vantage, const struct agent_stream_events *events, void *context,
                       struct agent_stream **ret_stream)
{
    uint64_t number;
    int code = dp_spool_stream(agent->spool, (uint32_t)kind, capture_id, vantage, &number);
    if (code != DP_OK)
        return code;
    struct agent_stream *stream = add_stream(agent, agent->epoch, number, kind, capture_id, vantage);
    if (!stream) {
        code = dp_spool_forget(agent->spool, agent->epoch, number);
        (void)code;
        return DP_ERR_NOMEM;
    }
    if (events)
        stream->events = *events;
    stream->context = context;
    if (agent->up)
        send_open(agent, stream);
    *ret_stream = stream;
    return DP_OK;
}

void agent_streams_close(struct agent *agent)
{
    while (agent->streams)
        remove_stream(agent, agent->streams);
}
