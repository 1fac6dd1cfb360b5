/* Beginning a capture: who can take part, prepare at all of them, then start at all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "collector/run/run_internal.h"

#define RING_BYTES ((uint64_t)256 * 1024 * 1024)

static void set_text(struct run_vantage *vantage, const char *state, const char *text)
{
    snprintf(vantage->row.state, sizeof vantage->row.state, "%s", state);
    snprintf(vantage->row.text, sizeof vantage->row.text, "%s", text);
}

/* Finds the vantage point's agent; says why it can't take part where it can't. */
static void look_up(struct run_capture *capture, struct run_vantage *vantage)
{
    char name[64], text[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(vantage->row.vantage, "/"), vantage->row.vantage);
    const struct run_agent *agent = run_agent_named(capture->run, name);
    vantage->engine = -1;
    vantage->row.clock_error_ns = -1;
    if (agent == NULL) {
        snprintf(text, sizeof text, "No approved agent is named %s.", name);
        set_text(vantage, "absent", text);
        return;
    }
    snprintf(vantage->row.agent_key, sizeof vantage->row.agent_key, "%s", agent->row.key);
    if (agent->peer == NULL) {
        snprintf(text, sizeof text, "Agent %s is not connected.", name);
        set_text(vantage, "absent", text);
        return;
    }
    vantage->engine = 0;
    vantage->epoch = agent->epoch;
    vantage->row.taking_part = true;
    vantage->row.clock_offset_ns = agent->peer->clock_offset_ns;
    vantage->row.clock_error_ns = agent->peer->clock_error_ns;
    set_text(vantage, "preparing", "");
}

/* Names those that can't take part. Returns how many of the others there are. */
static size_t list_out(const struct run_capture *capture, char *text, size_t size)
{
    size_t taking_part = 0, len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine >= 0)
            taking_part++;
        else if (len < size)
            len += (size_t)snprintf(text + len, size - len, "%s%s: %s", len > 0 ? " " : "",
                                    vantage->row.vantage, vantage->row.text);
    }
    return taking_part;
}

/* Whether the capture can go on with those that are left; ends it where it can't. */
static bool enough(struct run_capture *capture)
{
    char out[1024];
    size_t taking_part = list_out(capture, out, sizeof out);
    if (taking_part == capture->vantage_count || (capture->partial && taking_part > 0))
        return true;
    run_capture_progress(capture);
    run_capture_fail(capture, DP_ERR_UNAVAILABLE, "%s can't take part. %s%s",
                     taking_part == 0 ? "All vantage points" : "Some vantage points", out,
                     taking_part > 0 ? " To go on without them use --partial." : "");
    return false;
}

static void send_prepare(struct run_capture *capture, struct run_vantage *vantage,
                         const uint8_t key[DP_HASH_KEY_SIZE])
{
    struct run_agent *agent = run_agent_keyed(capture->run, vantage->row.agent_key);
    if (agent == NULL)
        return; /* the timeout tells */
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CapturePrepare body = DROPPOINT__CAPTURE_PREPARE__INIT;
    body.capture_id = capture->id;
    body.vantage = vantage->row.vantage;
    body.interface = strchr(vantage->row.vantage, '/') + 1;
    body.filter = capture->filter;
    body.snaplen = capture->snaplen;
    body.duration_ms = capture->duration_ms;
    body.max_packets = capture->max_packets;
    body.ring_bytes = RING_BYTES;
    body.hash_key = (ProtobufCBinaryData){.len = DP_HASH_KEY_SIZE, .data = (uint8_t *)key};
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_PREPARE;
    envelope.capture_prepare = &body;
    run_send(capture->run, agent->peer, 0, &envelope);
}

static void prepare_all(struct run_capture *capture)
{
    /* The same at all vantage points, so that hashes compare; it is kept nowhere. */
    uint8_t key[DP_HASH_KEY_SIZE];
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key) {
        run_capture_fail(capture, DP_ERR_IO, "The system gives no random numbers.");
        return;
    }
    run_capture_set_phase(capture, PHASE_PREPARING);
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (capture->vantages[i].engine >= 0)
            send_prepare(capture, &capture->vantages[i], key);
    explicit_bzero(key, sizeof key);
}

static void on_added(void *context, int code, const char *text)
{
    struct run_capture *capture = context;
    if (!capture->run->closing && capture->phase == PHASE_STORING) {
        if (code == DP_OK)
            prepare_all(capture);
        else
            run_capture_fail(capture, code, "The capture could not be stored: %s",
                             text != NULL && text[0] != '\0' ? text : dp_err_sentence(code));
    }
    run_capture_release(capture);
}

static void store_row(struct run_capture *capture)
{
    struct dp_store_vantage rows[MAX_VANTAGES];
    for (size_t i = 0; i < capture->vantage_count; i++)
        rows[i] = capture->vantages[i].row;
    struct dp_store_capture row = {.filter = capture->filter,
                                   .started_ns = capture->started_ns,
                                   .duration_ms = capture->duration_ms,
                                   .vantages = rows,
                                   .vantage_count = capture->vantage_count};
    snprintf(row.id, sizeof row.id, "%s", capture->id);
    snprintf(row.path, sizeof row.path, "%s", capture->path);
    run_capture_set_phase(capture, PHASE_STORING);
    capture->holds++;
    int code = dp_store_capture_add(capture->run->store, &row, on_added, capture);
    if (code != DP_OK)
        on_added(capture, code, NULL);
}

void run_capture_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                     const Droppoint__CaptureRun *ask)
{
    const struct run_path *path = run_path_named(run, ask->path);
    if (path == NULL) {
        run_result(run, peer, request, DP_ERR_NOT_FOUND,
                   "There is no path %s. `droppoint path list` shows those there are, `droppoint path set` "
                   "makes one.",
                   ask->path);
        return;
    }
    char id[64];
    do
        run_make_id(id);
    while (run_capture_find(run, id) != NULL);
    struct run_capture *capture = run_capture_new(run, id);
    if (capture == NULL || (capture->filter = strdup(ask->filter)) == NULL) {
        if (capture != NULL)
            run_capture_over(capture);
        run_result(run, peer, request, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    snprintf(capture->path, sizeof capture->path, "%s", path->name);
    capture->duration_ms = ask->duration_ms;
    capture->snaplen = ask->snaplen;
    capture->max_packets = ask->max_packets;
    capture->partial = ask->partial;
    capture->operator_peer = peer;
    capture->request = request;
    capture->started_ns = run_now_ns();
    capture->vantage_count = path->vantage_count;
    for (size_t i = 0; i < path->vantage_count; i++) {
        snprintf(capture->vantages[i].row.vantage, sizeof capture->vantages[i].row.vantage, "%s",
                 path->vantages[i]);
        capture->vantages[i].row.position = (int)i;
        look_up(capture, &capture->vantages[i]);
    }
    capture->holds++;
    run_capture_progress(capture);
    if (enough(capture))
        store_row(capture);
    run_capture_release(capture);
}

/* --- the answers, and the start --- */

static void send_start(struct run_capture *capture, const struct run_vantage *vantage)
{
    struct run_agent *agent = run_agent_keyed(capture->run, vantage->row.agent_key);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureStart body = DROPPOINT__CAPTURE_START__INIT;
    body.capture_id = capture->id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_START;
    envelope.capture_start = &body;
    if (agent != NULL)
        run_send(capture->run, agent->peer, 0, &envelope);
}

/* One start for each agent starts all its vantage points. */
static bool first_of_agent(const struct run_capture *capture, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (capture->vantages[i].engine >= 0 &&
            strcmp(capture->vantages[i].row.agent_key, capture->vantages[index].row.agent_key) == 0)
            return false;
    return true;
}

void run_capture_start_now(struct run_capture *capture)
{
    if (!enough(capture))
        return;
    struct dp_diag diag = {""};
    int code = run_capture_engine(capture, &diag);
    if (code != DP_OK) {
        run_capture_fail(capture, code, "%s", dp_reason(&diag, code));
        return;
    }
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine < 0)
            run_capture_problem(capture, "%s took no part: %s", vantage->row.vantage, vantage->row.text);
        if (vantage->engine < 0)
            run_vantage_save(capture, vantage);
    }
    run_capture_clocks(capture);
    run_capture_set_phase(capture, PHASE_RUNNING);
    capture->started_ns = run_now_ns();
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine < 0)
            continue;
        vantage->heard_ms = uv_now(capture->run->loop);
        set_text(vantage, "running", "");
        if (first_of_agent(capture, i))
            send_start(capture, vantage);
    }
    dp_log(capture->run->log, DP_LOG_INFO, "Capture %s of path %s runs at %zu vantage points.", capture->id,
           capture->path, capture->engine_count);
    run_capture_progress(capture);
}

void run_capture_ready(struct dp_run *run, struct run_agent *agent, const Droppoint__CaptureReady *ready)
{
    struct run_capture *capture = run_capture_find(run, ready->capture_id);
    struct run_vantage *vantage = capture != NULL ? run_capture_vantage(capture, ready->vantage) : NULL;
    if (vantage == NULL || capture->phase != PHASE_PREPARING || vantage->answered ||
        strcmp(vantage->row.agent_key, agent->row.key) != 0)
        return;
    vantage->answered = true;
    vantage->ready = ready->ok;
    if (ready->ok) {
        set_text(vantage, "ready", "");
    } else {
        vantage->engine = -1;
        vantage->row.taking_part = false;
        set_text(vantage, "failed", ready->error_text[0] != '\0' ? ready->error_text : ready->error);
    }
    capture->holds++;
    run_capture_progress(capture);
    bool all = true;
    for (size_t i = 0; i < capture->vantage_count; i++)
        all = all && (capture->vantages[i].engine < 0 || capture->vantages[i].ready);
    /* A refusal is told at once; the rest need not be waited for. */
    if (!ready->ok && !capture->partial)
        (void)enough(capture);
    else if (all)
        run_capture_start_now(capture);
    run_capture_release(capture);
}

void run_capture_cancel(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id)
{
    struct run_capture *capture = run_capture_find(run, id);
    if (capture == NULL || capture->phase >= PHASE_RECOVERING) {
        /* Over already: its CaptureDone is on the way, or was there. */
        if (capture == NULL)
            run_result(run, peer, request, DP_ERR_NOT_FOUND, "Capture %s does not run.", id);
        return;
    }
    capture->cancelled = true;
    if (capture->phase == PHASE_RUNNING)
        run_capture_stop_agents(capture, "stopped");
    else
        run_capture_fail(capture, DP_ERR_END, "The capture was stopped before it began.");
}
