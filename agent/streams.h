/* Batches on their way to the collector: into the spool, synced, sent while credit lasts, kept until
 * acknowledged. After each welcome every stream that is still held is opened anew, and goes on where the
 * collector says. */
#ifndef DROPPOINT_AGENT_STREAMS_H
#define DROPPOINT_AGENT_STREAMS_H

#include "agent/agent.h"

/* Takes up what the spool holds from earlier starts. */
int agent_streams_open(struct agent *agent) DP_MUST_CHECK;
/* Forgets all in memory; the spool keeps what it has. */
void agent_streams_close(struct agent *agent);

struct agent_stream_events {
    /* An append that was not taken at once has found room. */
    void (*resume)(void *context);
    /* The capture is to end for this reason. forgotten: the stream is no longer the caller's. */
    void (*over)(void *context, const char *reason, bool forgotten);
};

/* Begins a stream of digests, or of a probe's records. It goes by itself some time after agent_stream_end.
 * events may be NULL. */
int agent_stream_begin(struct agent *agent, Droppoint__StreamKind kind, const char *capture_id,
                       const char *vantage, const struct agent_stream_events *events, void *context,
                       struct agent_stream **ret_stream) DP_MUST_CHECK;
/* Takes a batch. false: the spool is full; the batch is kept, but the next only after resume(). `last_words`:
 * nobody will wait: what does not fit is lost and becomes a gap. */
bool agent_stream_append(struct agent *agent, struct agent_stream *stream, uint32_t records,
                         const uint8_t *bytes, size_t len, bool last_words);
/* Packets were lost on this host between two moments (CLOCK_REALTIME). packets 0: an unknown number. */
void agent_stream_gap(struct agent *agent, struct agent_stream *stream, int64_t from_ns, int64_t to_ns,
                      uint64_t packets);
/* No more comes; syncs, so that the collector has all soon. No callback comes any more. */
void agent_stream_end(struct agent *agent, struct agent_stream *stream);

/* Session events. */
void agent_streams_up(struct agent *agent, uint64_t credit);
void agent_streams_down(struct agent *agent);
void agent_streams_resume(struct agent *agent, const Droppoint__StreamResume *message);
void agent_streams_ack(struct agent *agent, const Droppoint__StreamAck *message);
/* The collector does not want this stream. */
void agent_streams_unwanted(struct agent *agent, const Droppoint__StreamClose *message);
void agent_streams_credit(struct agent *agent, const Droppoint__Credit *message);

#endif
