#include "agent/captures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/capture/ring.h"
#include "agent/capture/supervisor.h"
#include "agent/rings.h"
#include "agent/session.h"
#include "agent/streams.h"

#define CAPTURES_MAX 64

struct agent_capture {
    struct agent *agent;
    char capture_id[64];
    char vantage[96];
    char interface[16];
    char *filter; /* in force, as it is shown */
    uint64_t request;
    struct dp_capture_process *process; /* NULL after it ended */
    uint64_t ring_bytes;                /* that its ring may take while the process runs */
    struct agent_stream
        *stream; /* NULL before start, after the end, and where the collector does not want it */
    bool started;
    bool last_words; /* it is to end: nobody waits for room in the spool any more */
    struct dp_capture_counts counts;
    char reason[32]; /* set when ended */
    char text[512];
    int64_t batch_ns; /* when the last batch came */
    struct agent_capture *prev, *next;
};

static struct agent_capture *find_capture(const struct agent *agent, const char *capture_id,
                                          const char *vantage)
{
    struct agent_capture *capture;
    DL_FOREACH(agent->captures, capture)
    if (strcmp(capture->capture_id, capture_id) == 0 && strcmp(capture->vantage, vantage) == 0)
        return capture;
    return NULL;
}

static void remove_capture(struct agent_capture *capture)
{
    DL_DELETE(capture->agent->captures, capture);
    free(capture->filter);
    free(capture);
}

/* --- to the collector --- */

static void send_ready(struct agent *agent, uint64_t request, const char *capture_id, const char *vantage,
                       const char *filter, int link_type, int code, const char *text)
{
    Droppoint__CaptureReady ready = DROPPOINT__CAPTURE_READY__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_READY;
    envelope.capture_ready = &ready;
    ready.capture_id = (char *)capture_id;
    ready.vantage = (char *)vantage;
    ready.ok = code == DP_OK;
    if (code == DP_OK) {
        ready.filter = (char *)filter;
        ready.link_type = (uint32_t)link_type;
    } else {
        ready.error = (char *)dp_err_name(code);
        ready.error_text = (char *)text;
        dp_log(&agent->log, DP_LOG_WARNING, "Capture %s cannot run at %s: %s", capture_id, vantage, text);
    }
    int sent = agent_send(agent, &envelope);
    (void)sent; /* a lost collector ends what is only prepared */
}

/* The reasons that the wire knows. A capture process may name others; its text still tells. */
static const char *known_reason(const char *reason)
{
    static const char *const known[] = {"duration", "stopped",   "packets",
                                        "disk",     "interface", "collector-lost"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(reason, known[i]) == 0)
            return known[i];
    return "crash";
}

static bool send_state(struct agent_capture *capture)
{
    Droppoint__CaptureState state = DROPPOINT__CAPTURE_STATE__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_STATE;
    envelope.capture_state = &state;
    state.capture_id = capture->capture_id;
    state.vantage = capture->vantage;
    state.running = capture->process != NULL;
    state.packets = capture->counts.packets;
    state.kernel_dropped = capture->counts.kernel_dropped;
    state.started_ns = capture->counts.started_ns;
    state.ended_ns = state.running ? 0 : capture->counts.ended_ns;
    state.reason = state.running ? (char *)"" : capture->reason;
    state.error_text = state.running ? (char *)"" : capture->text;
    return agent_send(capture->agent, &envelope) == DP_OK;
}

/* --- from the capture process --- */

static void on_ready(void *context, struct dp_capture_process *process, int code, const char *text,
                     int link_type)
{
    struct agent_capture *capture = context;
    (void)process;
    send_ready(capture->agent, capture->request, capture->capture_id, capture->vantage, capture->filter,
               link_type, code, text);
}

static bool on_batch(void *context, struct dp_capture_process *process, uint32_t records,
                     const uint8_t *bytes, size_t len)
{
    struct agent_capture *capture = context;
    (void)process;
    capture->batch_ns = agent_realtime_ns();
    return !capture->stream ||
           agent_stream_append(capture->agent, capture->stream, records, bytes, len, capture->last_words);
}

static void on_counts(void *context, struct dp_capture_process *process,
                      const struct dp_capture_counts *counts)
{
    struct agent_capture *capture = context;
    (void)process;
    capture->counts = *counts;
    (void)send_state(capture);
}

/* A process that fell down took packets along: from its last batch on nothing is known. */
static void note_crash(struct agent_capture *capture)
{
    int64_t now = agent_realtime_ns();
    int64_t from = capture->batch_ns ? capture->batch_ns - 500000000 : capture->counts.started_ns;
    if (from <= 0 || from > now)
        from = now;
    agent_stream_gap(capture->agent, capture->stream, from, now, 0);
}

static void on_ended(void *context, struct dp_capture_process *process, const char *reason, const char *text,
                     const struct dp_capture_counts *counts)
{
    struct agent_capture *capture = context;
    (void)process;
    capture->process = NULL;
    if (counts->packets > 0 || counts->started_ns != 0)
        capture->counts = *counts;
    if (capture->counts.ended_ns == 0)
        capture->counts.ended_ns = agent_realtime_ns();
    (void)snprintf(capture->reason, sizeof capture->reason, "%s", known_reason(reason));
    (void)snprintf(capture->text, sizeof capture->text, "%s", text);
    if (!capture->started) { /* it was told by ready(), or nobody waits for it */
        remove_capture(capture);
        return;
    }
    dp_log(&capture->agent->log, DP_LOG_INFO,
           "Capture %s at %s ended (%s): %llu packets, %llu dropped by the kernel. %s", capture->capture_id,
           capture->vantage, capture->reason, (unsigned long long)capture->counts.packets,
           (unsigned long long)capture->counts.kernel_dropped, text);
    if (capture->stream) {
        if (strcmp(capture->reason, "crash") == 0)
            note_crash(capture);
        agent_stream_end(capture->agent, capture->stream);
        capture->stream = NULL;
    }
    if (send_state(capture))
        remove_capture(capture); /* else the next welcome brings it */
}

/* --- from the stream --- */

static void on_room(void *context)
{
    struct agent_capture *capture = context;
    if (capture->process)
        dp_capture_resume(capture->process);
}

static void stop(struct agent_capture *capture, const char *reason)
{
    capture->last_words = true;
    if (!capture->process)
        return;
    dp_capture_stop(capture->process, reason);
    dp_capture_resume(capture->process); /* what still comes is taken or counted */
}

static void on_over(void *context, const char *reason, bool forgotten)
{
    struct agent_capture *capture = context;
    if (forgotten)
        capture->stream = NULL;
    stop(capture, reason);
}

/* --- from the collector --- */

/* Sets the bound of a new ring, so that all of them together keep theirs at every moment: what running
 * captures may take is theirs, and old rings make room. It gets half of what is free at most, so that the
 * next one gets some too; 0 where that is too little for a ring. */
static int make_ring_room(const struct agent *agent, struct agent_capture *own, uint64_t wanted,
                          struct dp_diag *diag)
{
    char root[PATH_MAX];
    uint64_t all = agent->settings.ring_bytes, left = 0;
    const struct agent_capture *capture;
    DL_FOREACH(agent->captures, capture)
    if (capture->process)
        all -= capture->ring_bytes < all ? capture->ring_bytes : all;
    uint64_t bytes = wanted < all / 2 ? wanted : all / 2;
    int code = bytes > 0 ? agent_ring_root(agent->settings.state_directory, root) : DP_OK;
    if (code == DP_OK && bytes > 0)
        code = dp_ring_trim(root, all - bytes, &left, diag);
    if (left > all - bytes)
        bytes = left < all ? all - left : 0;
    own->ring_bytes = bytes < DP_RING_LEAST ? 0 : bytes;
    if (code == DP_OK && own->ring_bytes < wanted)
        dp_log(&agent->log, DP_LOG_WARNING,
               "Capture %s at %s keeps %llu KiB of packets instead of %llu: all rings together have %llu "
               "(ring_bytes).",
               own->capture_id, own->vantage, (unsigned long long)own->ring_bytes / 1024,
               (unsigned long long)wanted / 1024, (unsigned long long)agent->settings.ring_bytes / 1024);
    return code;
}

static int check_request(const struct agent *agent, const Droppoint__CapturePrepare *message,
                         struct dp_diag *diag)
{
    struct agent_capture *capture;
    int count;
    DL_COUNT(agent->captures, capture, count);
    if (agent->stopping)
        return dp_fail(diag, DP_ERR_UNAVAILABLE, "This agent is stopping.");
    if (count >= CAPTURES_MAX)
        return dp_fail(diag, DP_ERR_FULL, "This agent runs %d captures already, which is its limit.",
                       CAPTURES_MAX);
    if (find_capture(agent, message->capture_id, message->vantage))
        return dp_fail(diag, DP_ERR_EXISTS, "Capture %s runs at %s already.", message->capture_id,
                       message->vantage);
    if (strcmp(strchr(message->vantage, '/') + 1, message->interface) != 0)
        return dp_fail(diag, DP_ERR_USAGE, "Vantage point %s and interface %s do not belong together.",
                       message->vantage, message->interface);
    return DP_OK;
}

static int start_process(struct agent *agent, struct agent_capture *capture,
                         const Droppoint__CapturePrepare *message, uint64_t ring_bytes, struct dp_diag *diag)
{
    char ring[PATH_MAX];
    static const struct dp_capture_events events = {on_ready, on_batch, on_counts, on_ended};
    struct dp_capture_spec spec = {
        .capture_id = capture->capture_id,
        .vantage = capture->vantage,
        .interface = capture->interface,
        .filter = message->filter,
        .own_filter = dp_policy_filter(agent->policy),
        .snaplen = message->snaplen,
        .duration_ms = message->duration_ms,
        .max_packets = message->max_packets,
        .ring_directory = ring,
    };
    memcpy(spec.hash_key, message->hash_key.data, sizeof spec.hash_key);
    int code =
        agent_ring_path(agent->settings.state_directory, capture->capture_id, capture->interface, ring);
    if (code == DP_OK)
        code = make_ring_room(agent, capture, ring_bytes, diag);
    spec.ring_bytes = capture->ring_bytes;
    return code == DP_OK ? dp_capture_prepare(agent->loop, agent->settings.capture_program, &spec, &events,
                                              capture, &capture->process, diag)
                         : code;
}

static int prepare(struct agent *agent, uint64_t request, const Droppoint__CapturePrepare *message,
                   struct dp_diag *diag)
{
    struct dp_policy_request wanted = {message->interface, message->filter, message->snaplen,
                                       message->duration_ms, message->ring_bytes};
    struct dp_policy_grant grant = {NULL, 0};
    int code = check_request(agent, message, diag);
    if (code == DP_OK)
        code = dp_policy_capture(agent->policy, &wanted, &grant, diag);
    if (code != DP_OK)
        return code;
    struct agent_capture *capture = calloc(1, sizeof *capture);
    if (!capture) {
        dp_policy_grant_free(&grant);
        return DP_ERR_NOMEM;
    }
    capture->agent = agent;
    capture->request = request;
    capture->filter = grant.filter;
    (void)snprintf(capture->capture_id, sizeof capture->capture_id, "%s", message->capture_id);
    (void)snprintf(capture->vantage, sizeof capture->vantage, "%s", message->vantage);
    (void)snprintf(capture->interface, sizeof capture->interface, "%s", message->interface);
    DL_APPEND(agent->captures, capture);
    code = start_process(agent, capture, message, grant.ring_bytes, diag);
    if (code != DP_OK)
        remove_capture(capture);
    return code;
}

void agent_capture_prepare(struct agent *agent, uint64_t request, const Droppoint__CapturePrepare *message)
{
    struct dp_diag diag = {""};
    int code = prepare(agent, request, message, &diag);
    if (code != DP_OK)
        send_ready(agent, request, message->capture_id, message->vantage, "", 0, code,
                   dp_reason(&diag, code));
}

static void start(struct agent_capture *capture)
{
    struct agent *agent = capture->agent;
    capture->started = true;
    static const struct agent_stream_events events = {on_room, on_over};
    int code = agent_stream_begin(agent, DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS, capture->capture_id,
                                  capture->vantage, &events, capture, &capture->stream);
    if (code == DP_OK)
        code = dp_capture_start(capture->process);
    if (code == DP_OK) {
        dp_log(&agent->log, DP_LOG_INFO, "Capture %s at %s runs (filter \"%.200s\").", capture->capture_id,
               capture->vantage, capture->filter);
        return;
    }
    dp_log(&agent->log, DP_LOG_ERROR, "Capture %s at %s cannot start: %s", capture->capture_id,
           capture->vantage, dp_err_sentence(code));
    stop(capture, code == DP_ERR_FULL || code == DP_ERR_IO ? "disk" : "stopped");
}

void agent_capture_start(struct agent *agent, const Droppoint__CaptureStart *message)
{
    struct agent_capture *capture, *after;
    DL_FOREACH_SAFE(agent->captures, capture, after)
    if (strcmp(capture->capture_id, message->capture_id) == 0 && capture->process && !capture->started &&
        !capture->last_words)
        start(capture);
}

void agent_capture_stop(struct agent *agent, const Droppoint__CaptureStop *message)
{
    struct agent_capture *capture, *after;
    DL_FOREACH_SAFE(agent->captures, capture, after)
    if (strcmp(capture->capture_id, message->capture_id) == 0)
        stop(capture, message->reason[0] ? message->reason : "stopped");
}

/* --- the session --- */

void agent_captures_up(struct agent *agent)
{
    struct agent_capture *capture, *after;
    (void)uv_timer_stop(&agent->lost_timer);
    DL_FOREACH_SAFE(agent->captures, capture, after)
    if (capture->started && send_state(capture) && !capture->process)
        remove_capture(capture);
}

static void on_lost(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    dp_log(&agent->log, DP_LOG_WARNING, "The collector stays away: running captures are stopped.");
    agent_captures_stop_all(agent, "collector-lost");
}

void agent_captures_down(struct agent *agent)
{
    struct agent_capture *capture, *after;
    DL_FOREACH_SAFE(agent->captures, capture, after)
    if (!capture->started)
        stop(capture, "collector-lost");
    if (agent->captures && !uv_is_active((uv_handle_t *)&agent->lost_timer))
        (void)uv_timer_start(&agent->lost_timer, on_lost, AGENT_LOST_MS, 0);
}

void agent_captures_stop_all(struct agent *agent, const char *reason)
{
    struct agent_capture *capture, *after;
    DL_FOREACH_SAFE(agent->captures, capture, after)
    stop(capture, reason);
}

bool agent_captures_running(const struct agent *agent)
{
    struct agent_capture *capture;
    DL_FOREACH(agent->captures, capture)
    if (capture->process)
        return true;
    return false;
}

void agent_captures_close(struct agent *agent)
{
    while (agent->captures)
        remove_capture(agent->captures);
}
