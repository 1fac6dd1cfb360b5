/* A stream's way into the spool: batches, and gaps for what the spool had no room for. */
#include <stdlib.h>
#include <string.h>

#include "agent/stream_internal.h"
#include "common/digest/digest.h"

void agent_stream_tell_over(struct agent_stream *stream, const char *reason, bool forgotten)
{
    struct agent_stream_events events = stream->events;
    if (forgotten)
        stream->events = (struct agent_stream_events){NULL, NULL};
    if (events.over)
        events.over(stream->context, reason, forgotten);
}

static int append(struct agent *agent, struct agent_stream *stream, uint32_t records, const uint8_t *bytes,
                  size_t len)
{
    uint64_t number;
    int code = dp_spool_append(agent->spool, stream->number, records, bytes, len, &number);
    if (code == DP_OK)
        stream->last = number;
    else if (code != DP_ERR_FULL)
        dp_log(&agent->log, DP_LOG_ERROR, "The spool cannot take a batch of capture %s: %s",
               stream->capture_id, dp_err_sentence(code));
    return code;
}

static int append_gap(struct agent *agent, struct agent_stream *stream)
{
    struct dp_batch batch = {.gap_count = 0};
    uint8_t *bytes = NULL;
    size_t len = 0;
    int code = dp_batch_add_gap(&batch, stream->gap_from_ns, stream->gap_to_ns,
                                stream->gap_unknown ? 0 : stream->gap_packets);
    if (code == DP_OK)
        code = dp_batch_encode(&batch, &bytes, &len);
    if (code == DP_OK)
        code = append(agent, stream, 0, bytes, len);
    free(bytes);
    dp_batch_free(&batch);
    if (code == DP_OK) {
        stream->gap_to_ns = 0;
        stream->gap_packets = 0;
        stream->gap_unknown = false;
    }
    return code;
}

int agent_stream_flush(struct agent *agent, struct agent_stream *stream)
{
    if (stream->waiting) {
        int code = append(agent, stream, stream->waiting_records, stream->waiting, stream->waiting_len);
        if (code != DP_OK)
            return code;
        free(stream->waiting);
        stream->waiting = NULL;
    }
    return stream->gap_to_ns == 0 ? DP_OK : append_gap(agent, stream);
}

static void note_gap(struct agent_stream *stream, int64_t from_ns, int64_t to_ns, uint64_t packets)
{
    if (stream->gap_to_ns == 0)
        stream->gap_from_ns = from_ns;
    if (from_ns < stream->gap_from_ns)
        stream->gap_from_ns = from_ns;
    if (to_ns > stream->gap_to_ns)
        stream->gap_to_ns = to_ns;
    if (packets == 0)
        stream->gap_unknown = true;
    stream->gap_packets += packets;
}

/* A batch that cannot be kept becomes a gap over the time that it covered. One that only told that nothing
 * came leaves none: a later one tells it as well. */
static void lose_batch(struct agent_stream *stream, const uint8_t *bytes, size_t len)
{
    struct dp_batch batch = {.digest_count = 0};
    int64_t now = agent_realtime_ns();
    if (stream->kind != DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS)
        return; /* the collector sees that the stream ends without it */
    if (dp_batch_decode(bytes, len, &batch, NULL) != DP_OK)
        note_gap(stream, now - 1000000000, now, 0);
    else if (batch.digest_count > 0)
        note_gap(stream, batch.digests[0].ts_ns, batch.digests[batch.digest_count - 1].ts_ns,
                 batch.digest_count);
    for (size_t i = 0; i < batch.gap_count; i++)
        note_gap(stream, batch.gaps[i].from_ns, batch.gaps[i].to_ns, batch.gaps[i].packets);
    dp_batch_free(&batch);
}

/* The host may keep the text of SMTP replies to itself; the codes stay. */
static int without_texts(const uint8_t *bytes, size_t len, uint8_t **ret_bytes, size_t *ret_len)
{
    struct dp_batch batch = {.digest_count = 0};
    int code = dp_batch_decode(bytes, len, &batch, NULL);
    for (size_t i = 0; code == DP_OK && i < batch.note_count; i++)
        batch.notes[i].text[0] = '\0';
    if (code == DP_OK)
        code = dp_batch_encode(&batch, ret_bytes, ret_len);
    dp_batch_free(&batch);
    return code;
}

static bool keep_waiting(struct agent_stream *stream, uint32_t records, const uint8_t *bytes, size_t len)
{
    stream->waiting = malloc(len);
    if (!stream->waiting)
        return false;
    memcpy(stream->waiting, bytes, len);
    stream->waiting_len = len;
    stream->waiting_records = records;
    return true;
}

static bool take_batch(struct agent *agent, struct agent_stream *stream, uint32_t records,
                       const uint8_t *bytes, size_t len, bool last_words)
{
    int code = agent_stream_flush(agent, stream);
    if (code == DP_OK)
        code = append(agent, stream, records, bytes, len);
    if (code == DP_OK)
        return true;
    if (code == DP_ERR_FULL && !last_words && !stream->waiting && stream->gap_to_ns == 0 &&
        keep_waiting(stream, records, bytes, len)) {
        dp_log(&agent->log, DP_LOG_WARNING, "The spool is full: capture %s at %s waits for the collector.",
               stream->capture_id, stream->vantage);
        return false;
    }
    lose_batch(stream, bytes, len);
    if (code != DP_ERR_FULL && !last_words)
        agent_stream_tell_over(stream, "disk", false);
    return true;
}

bool agent_stream_append(struct agent *agent, struct agent_stream *stream, uint32_t records,
                         const uint8_t *bytes, size_t len, bool last_words)
{
    uint8_t *bare = NULL;
    size_t bare_len = 0;
    if (stream->kind == DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS &&
        !dp_policy_smtp_reply_text(agent->policy)) {
        if (without_texts(bytes, len, &bare, &bare_len) != DP_OK) {
            lose_batch(stream, bytes, len);
            return true;
        }
        bytes = bare;
        len = bare_len;
    }
    bool taken = take_batch(agent, stream, records, bytes, len, last_words);
    free(bare);
    return taken;
}

void agent_stream_gap(struct agent *agent, struct agent_stream *stream, int64_t from_ns, int64_t to_ns,
                      uint64_t packets)
{
    note_gap(stream, from_ns, to_ns, packets);
    int code = agent_stream_flush(agent, stream);
    (void)code; /* tried again when there is room */
}
