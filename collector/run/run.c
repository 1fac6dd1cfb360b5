#include "collector/run/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "collector/run/run_internal.h"

#define TICK_MS 500

int64_t run_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void run_make_id(char id[64])
{
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint16_t)uv_hrtime();
    time_t now = time(NULL);
    struct tm utc;
    char stamp[32];
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &utc);
    snprintf(id, 64, "%s-%04x", stamp, random);
}

/* A peer that can't be reached is noticed by its heartbeat; whoever waits for an answer then knows. */
void run_send(struct dp_run *run, struct dp_peer *peer, uint64_t request, Droppoint__Envelope *envelope)
{
    if (peer == NULL)
        return;
    envelope->request = request;
    int code = dp_link_send(run->link, peer, envelope);
    if (code != DP_OK && code != DP_ERR_UNAVAILABLE)
        dp_log(run->log, DP_LOG_ERROR, "A message to %s could not be sent: %s", peer->address,
               dp_err_sentence(code));
}

void run_result(struct dp_run *run, struct dp_peer *peer, uint64_t request, int code, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Result result = DROPPOINT__RESULT__INIT;
    result.code = code;
    result.text = text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    run_send(run, peer, request, &envelope);
}

void run_refuse(struct dp_run *run, struct dp_peer *peer, const char *reason, const char *text)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Refused refused = DROPPOINT__REFUSED__INIT;
    refused.reason = (char *)reason;
    refused.text = (char *)text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_REFUSED;
    envelope.refused = &refused;
    run_send(run, peer, 0, &envelope);
}

struct run_asker *run_asker_new(struct dp_run *run, struct dp_peer *peer, uint64_t request)
{
    struct run_asker *asker = calloc(1, sizeof *asker);
    if (asker == NULL) {
        run_result(run, peer, request, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return NULL;
    }
    asker->run = run;
    asker->peer = peer;
    asker->request = request;
    DL_APPEND(run->askers, asker);
    return asker;
}

void run_asker_free(struct run_asker *asker)
{
    DL_DELETE(asker->run->askers, asker);
    free(asker);
}

void run_asker_answer(struct run_asker *asker, int code, const char *text)
{
    if (!asker->run->closing)
        run_result(asker->run, asker->peer, asker->request, code, "%s",
                   text != NULL && text[0] != '\0' ? text : dp_err_sentence(code));
    run_asker_free(asker);
}

/* --- what the link tells --- */

static enum dp_peer_role on_who(void *context, const char *key, const char *address)
{
    struct dp_run *run = context;
    return run_is_operator(run, key) ? DP_ROLE_OPERATOR : run_agents_who(run, key, address);
}

static void agent_message(struct dp_run *run, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    struct run_agent *agent = peer->owner;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_AGENT_HELLO) {
        run_agent_hello(run, peer, envelope->agent_hello);
        return;
    }
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_OPERATOR_HELLO) {
        run_refuse(run, peer, "not-an-operator", "This key belongs to an agent. Use an operator's key.");
        return;
    }
    if (agent == NULL)
        return; /* no hello yet: it says hello first, or it is not one of ours */
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_READY:
        run_capture_ready(run, agent, envelope->capture_ready);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_STATE:
        run_capture_state(run, agent, envelope->capture_state);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_OPEN:
        run_stream_open(run, agent, envelope->stream_open);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_DATA:
        run_stream_data(run, agent, envelope->stream_data);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE:
        run_stream_close(run, agent, envelope->stream_close);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_READY:
        run_probe_ready(run, agent, envelope->probe_ready);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK:
        run_export_chunk(run, agent, envelope->export_chunk);
        break;
    default:
        dp_log(run->log, DP_LOG_WARNING, "Agent %s sent a message that agents don't send.", agent->row.name);
        break;
    }
}

static void on_message(void *context, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    struct dp_run *run = context;
    if (peer->role == DP_ROLE_AGENT)
        agent_message(run, peer, envelope);
    else
        run_operator_message(run, peer, envelope);
}

static void on_gone(void *context, struct dp_peer *peer)
{
    struct dp_run *run = context;
    if (peer->role == DP_ROLE_AGENT) {
        run_agent_gone(run, peer);
    } else {
        struct run_asker *asker;
        DL_FOREACH(run->askers, asker)
        {
            if (asker->peer == peer)
                asker->peer = NULL;
        }
        run_captures_operator_gone(run, peer);
        run_probes_operator_gone(run, peer);
        run_exports_gone(run, peer, NULL);
    }
}

static void on_clock(void *context, struct dp_peer *peer)
{
    if (peer->role == DP_ROLE_AGENT)
        run_agent_clock(context, peer);
}

static void on_notice(void *context, const char *text)
{
    struct dp_run *run = context;
    dp_log(run->log, DP_LOG_WARNING, "%s", text);
}

static void on_tick(uv_timer_t *timer)
{
    struct dp_run *run = timer->data;
    struct run_capture *capture, *next;
    run_streams_tick(run);
    HASH_ITER(hh, run->captures, capture, next)
    {
        run_capture_tick(capture);
    }
    run_exports_tick(run);
    run_probes_tick(run);
    run_probe_streams_tick(run);
}

/* --- life --- */

static void listen_now(struct dp_run *run)
{
    const struct dp_link_options options = {
        .bind = run->bind, .keys = &run->keys, .heartbeat_ms = HEARTBEAT_MS};
    static const struct dp_link_events events = {
        .who = on_who, .message = on_message, .gone = on_gone, .clock = on_clock, .notice = on_notice};
    struct dp_diag diag = {""};
    int code = dp_link_open(run->loop, &options, &events, run, &run->link, &diag);
    if (code == DP_OK)
        uv_timer_start(&run->timer, on_tick, TICK_MS, TICK_MS);
    run->events.ready(run->events.context, code,
                      code == DP_OK ? dp_link_endpoint(run->link) : dp_reason(&diag, code));
}

static void free_run(struct dp_run *run)
{
    run_captures_free(run);
    run_exports_free(run);
    run_probes_free(run);
    run_probe_streams_free(run);
    run_agents_free(run);
    run_paths_free(run);
    dp_keypair_wipe(&run->keys);
    free(run->operators);
    free(run->bind);
    free(run->operators_directory);
    free(run);
}

void run_loaded(struct dp_run *run, int code, const char *text)
{
    if (code != DP_OK && run->load_code == DP_OK) {
        run->load_code = code;
        snprintf(run->load_text, sizeof run->load_text, "%s",
                 text != NULL && text[0] ? text : dp_err_sentence(code));
    }
    if (--run->loads > 0 || run->closing)
        return;
    if (run->load_code != DP_OK)
        run->events.ready(run->events.context, run->load_code, run->load_text);
    else
        listen_now(run);
}

int dp_run_open(uv_loop_t *loop, struct dp_store *store, const struct dp_run_options *options,
                const struct dp_run_events *events, struct dp_run **ret_run, struct dp_diag *diag)
{
    struct dp_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    run->loop = loop;
    run->store = store;
    run->log = options->log;
    run->events = *events;
    run->keys = *options->keys;
    run->bind = strdup(options->bind);
    run->operators_directory = strdup(options->operators_directory);
    snprintf(run->local_operator, sizeof run->local_operator, "%s", options->local_operator);
    if (run->bind == NULL || run->operators_directory == NULL) {
        free_run(run);
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
    uv_timer_init(loop, &run->timer);
    run->timer.data = run;
    run->pending_tokens = 1;
    run->loads = 3;
    run_agents_load(run);
    run_paths_load(run);
    run_captures_load(run);
    *ret_run = run;
    return DP_OK;
}

void dp_run_database(struct dp_run *run, bool up, const char *text)
{
    if (up)
        dp_log(run->log, DP_LOG_INFO, "The database answers again.");
    else
        dp_log(run->log, DP_LOG_WARNING,
               "The database is gone; nothing is lost, the agents keep what is not stored. %s", text);
}

static void on_closed(uv_handle_t *handle)
{
    free_run(handle->data);
}

void dp_run_close(struct dp_run *run)
{
    if (run == NULL)
        return;
    run->closing = true;
    struct run_capture *capture, *next;
    HASH_ITER(hh, run->captures, capture, next)
    {
        dp_engine_close(capture->engine);
        capture->engine = NULL;
    }
    if (run->link != NULL)
        dp_link_close(run->link);
    run->link = NULL;
    uv_timer_stop(&run->timer);
    uv_close((uv_handle_t *)&run->timer, on_closed);
}
