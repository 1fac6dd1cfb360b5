/* A capture that runs: what its vantage points tell, how long to wait for them, the live line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define PREPARE_MS 10000
#define STOP_LATE_MS 2000  /* after its duration a capture is asked to stop */
#define STOP_WAIT_MS 10000 /* ... and then given up */

void run_capture_stop_agents(struct run_capture *capture, const char *reason)
{
    capture->stop_ms = uv_now(capture->run->loop);
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        struct run_agent *agent = run_agent_keyed(capture->run, vantage->row.agent_key);
        if (!vantage->row.taking_part || vantage->ended || agent == NULL)
            continue;
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__CaptureStop body = DROPPOINT__CAPTURE_STOP__INIT;
        body.capture_id = capture->id;
        body.reason = (char *)reason;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_STOP;
        envelope.capture_stop = &body;
        run_send(capture->run, agent->peer, 0, &envelope);
    }
}

static void end_vantage(struct run_capture *capture, struct run_vantage *vantage, const char *reason,
                        const char *text)
{
    if (vantage->ended)
        return;
    vantage->ended = true;
    vantage->ended_ms = uv_now(capture->run->loop);
    snprintf(vantage->reason, sizeof vantage->reason, "%s", reason);
    bool planned =
        strcmp(reason, "duration") == 0 || strcmp(reason, "stopped") == 0 || strcmp(reason, "packets") == 0;
    snprintf(vantage->row.state, sizeof vantage->row.state, "%s", planned ? "ended" : "failed");
    snprintf(vantage->row.text, sizeof vantage->row.text, "%s", text[0] != '\0' || planned ? text : reason);
    if (!planned)
        run_capture_problem(capture, "%s stopped early (%s)%s%s", vantage->row.vantage, reason,
                            text[0] != '\0' ? ": " : ".", text);
    run_vantage_save(capture, vantage);
}

static void take_counts(struct run_vantage *vantage, const Droppoint__CaptureState *state)
{
    /* After a crash the agent does not know them any more; what was told before holds. */
    if (state->packets > vantage->row.packets)
        vantage->row.packets = state->packets;
    if (state->kernel_dropped > vantage->row.kernel_dropped)
        vantage->row.kernel_dropped = state->kernel_dropped;
    if (state->started_ns != 0)
        vantage->row.started_ns = state->started_ns;
    if (state->ended_ns != 0)
        vantage->row.ended_ns = state->ended_ns;
}

static void stop_unknown(struct dp_run *run, struct run_agent *agent, const Droppoint__CaptureState *state)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureStop body = DROPPOINT__CAPTURE_STOP__INIT;
    body.capture_id = state->capture_id;
    body.reason = (char *)"collector-lost";
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_STOP;
    envelope.capture_stop = &body;
    run_send(run, agent->peer, 0, &envelope);
}

void run_capture_state(struct dp_run *run, struct run_agent *agent, const Droppoint__CaptureState *state)
{
    struct run_capture *capture = run_capture_find(run, state->capture_id);
    struct run_vantage *vantage = capture != NULL ? run_capture_vantage(capture, state->vantage) : NULL;
    bool wanted = vantage != NULL && strcmp(vantage->row.agent_key, agent->row.key) == 0 &&
                  (capture->phase == PHASE_RUNNING || capture->phase == PHASE_RECOVERING);
    if (state->running && (!wanted || capture->phase == PHASE_RECOVERING))
        stop_unknown(run, agent, state);
    if (!wanted)
        return;
    bool first = !vantage->started;
    vantage->started = true;
    capture->heard_ms = vantage->heard_ms = uv_now(run->loop);
    take_counts(vantage, state);
    if (strcmp(vantage->row.state, "away") == 0) {
        snprintf(vantage->row.state, sizeof vantage->row.state, "running");
        vantage->row.text[0] = '\0';
    }
    if (!state->running)
        end_vantage(capture, vantage, state->reason, state->error_text);
    if (state->running && first && capture->engine != NULL && vantage->engine >= 0 &&
        state->started_ns != 0 &&
        dp_engine_started(capture->engine, (uint32_t)vantage->engine, state->started_ns) != DP_OK)
        run_capture_problem(capture, "%s: %s", vantage->row.vantage, dp_err_sentence(DP_ERR_NOMEM));
    if (state->running && first)
        run_vantage_save(capture, vantage); /* a restarted collector knows from when on it captured */
    run_capture_check_end(capture);
}

/* It captures on without us for a while, and may come back with what it saw. The operator is to know. */
static void mark_away(struct run_capture *capture, const struct run_agent *agent)
{
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (strcmp(vantage->row.agent_key, agent->row.key) != 0 || vantage->engine < 0 || vantage->ended)
            continue;
        snprintf(vantage->row.state, sizeof vantage->row.state, "away");
        snprintf(vantage->row.text, sizeof vantage->row.text,
                 "Agent %s is not connected any more. Losses behind this point show once it is back.",
                 agent->row.name);
    }
}

void run_captures_agent_gone(struct dp_run *run, struct run_agent *agent)
{
    struct run_capture *capture, *next;
    HASH_ITER(hh, run->captures, capture, next)
    {
        if (capture->phase == PHASE_RUNNING)
            mark_away(capture, agent);
        if (capture->phase != PHASE_PREPARING && capture->phase != PHASE_STORING)
            continue;
        for (size_t i = 0; i < capture->vantage_count; i++) {
            struct run_vantage *vantage = &capture->vantages[i];
            if (strcmp(vantage->row.agent_key, agent->row.key) != 0 || vantage->engine < 0)
                continue;
            vantage->engine = -1;
            vantage->row.taking_part = false;
            snprintf(vantage->row.state, sizeof vantage->row.state, "absent");
            snprintf(vantage->row.text, sizeof vantage->row.text, "Agent %s went away.", agent->row.name);
        }
    }
}

/* A new epoch: what ran at the agent before is over. What its spool kept still comes. */
void run_captures_agent_back(struct dp_run *run, struct run_agent *agent)
{
    struct run_capture *capture, *next;
    HASH_ITER(hh, run->captures, capture, next)
    {
        if (capture->phase != PHASE_RUNNING)
            continue;
        for (size_t i = 0; i < capture->vantage_count; i++) {
            struct run_vantage *vantage = &capture->vantages[i];
            if (strcmp(vantage->row.agent_key, agent->row.key) == 0 && vantage->epoch != agent->epoch &&
                vantage->engine >= 0)
                end_vantage(capture, vantage, "crash", "The agent restarted.");
        }
        run_capture_check_end(capture);
    }
}

void run_captures_operator_gone(struct dp_run *run, const struct dp_peer *peer)
{
    for (struct run_capture *capture = run->captures; capture != NULL; capture = capture->hh.next)
        if (capture->operator_peer == peer)
            capture->operator_peer = NULL; /* it goes on: `capture show` has the verdict */
}

static const char *phase_name(const struct run_capture *capture)
{
    if (capture->phase < PHASE_RUNNING)
        return "preparing";
    bool running = capture->phase == PHASE_RUNNING;
    bool any = false;
    for (size_t i = 0; i < capture->vantage_count; i++)
        any = any || (capture->vantages[i].engine >= 0 && !capture->vantages[i].ended);
    return running && any ? "running" : "draining";
}

void run_capture_progress(struct run_capture *capture)
{
    if (capture->operator_peer == NULL)
        return;
    Droppoint__VantageProgress vantages[MAX_VANTAGES], *pointers[MAX_VANTAGES];
    struct dp_engine_progress known;
    memset(&known, 0, sizeof known);
    if (capture->engine != NULL)
        dp_engine_progress(capture->engine, &known);
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        droppoint__vantage_progress__init(&vantages[i]);
        vantages[i].vantage = (char *)vantage->row.vantage;
        vantages[i].state = (char *)vantage->row.state;
        vantages[i].text = (char *)vantage->row.text;
        vantages[i].packets = vantage->row.packets;
        if (vantage->engine >= 0 && known.locate.packets[vantage->engine] > vantages[i].packets)
            vantages[i].packets = known.locate.packets[vantage->engine];
        vantages[i].kernel_dropped = vantage->row.kernel_dropped;
        pointers[i] = &vantages[i];
    }
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureProgress body = DROPPOINT__CAPTURE_PROGRESS__INIT;
    body.capture_id = capture->id;
    body.phase = (char *)phase_name(capture);
    body.n_vantages = capture->vantage_count;
    body.vantages = pointers;
    body.lost_packets = known.locate.lost_packets;
    body.lost_bytes = known.locate.lost_bytes;
    if (capture->phase >= PHASE_RUNNING)
        body.elapsed_ms = (uint32_t)((run_now_ns() - capture->started_ns) / 1000000);
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_PROGRESS;
    envelope.capture_progress = &body;
    run_send(capture->run, capture->operator_peer, capture->request, &envelope);
}

static void prepare_timeout(struct run_capture *capture)
{
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine < 0 || vantage->ready)
            continue;
        vantage->engine = -1; /* still told to stop, in case it comes to life */
        snprintf(vantage->row.state, sizeof vantage->row.state, "failed");
        snprintf(vantage->row.text, sizeof vantage->row.text, "Its agent did not answer within %d seconds.",
                 PREPARE_MS / 1000);
    }
    run_capture_start_now(capture);
}

static void running_tick(struct run_capture *capture)
{
    uint64_t now = uv_now(capture->run->loop), since = now - capture->phase_ms;
    if (capture->stop_ms == 0 && since > (uint64_t)capture->duration_ms + STOP_LATE_MS)
        run_capture_stop_agents(capture, "duration");
    if (capture->stop_ms != 0 && now - capture->stop_ms > STOP_WAIT_MS)
        for (size_t i = 0; i < capture->vantage_count; i++)
            if (capture->vantages[i].engine >= 0 && now - capture->vantages[i].heard_ms > STOP_WAIT_MS)
                end_vantage(capture, &capture->vantages[i], "crash",
                            strcmp(capture->vantages[i].row.state, "away") == 0
                                ? "Its agent is not connected."
                                : "Its agent does not confirm that it stopped.");
    run_capture_check_end(capture);
}

void run_capture_tick(struct run_capture *capture)
{
    capture->holds++;
    uint64_t since = uv_now(capture->run->loop) - capture->phase_ms;
    if (capture->phase == PHASE_STORING && since > PREPARE_MS)
        run_capture_fail(capture, DP_ERR_UNAVAILABLE,
                         "The database does not answer. The collector's log says why.");
    else if (capture->phase == PHASE_PREPARING && since > PREPARE_MS)
        prepare_timeout(capture);
    else if (capture->phase == PHASE_RUNNING)
        running_tick(capture);
    else if (capture->phase == PHASE_RECOVERING)
        run_recover_tick(capture);
    if (capture->phase != PHASE_OVER)
        run_capture_progress(capture);
    run_capture_release(capture);
}
