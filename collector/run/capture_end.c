/* The end of a capture: is everything in, the verdict, the document, the answer. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/report/report_out.h"
#include "collector/run/run_internal.h"

#define LOST_MS 15000      /* after the others ended an absent agent is waited for so long */
#define NO_STREAM_MS 1000  /* an ended vantage point without packets may have no stream */
#define SAME_CLOCK_NS 1000 /* two interfaces of one host share a clock; their stamps differ by so much */
#define DOCUMENT_MAX (1900 * 1024)

void run_capture_problem(struct run_capture *capture, const char *format, ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(capture->problems, json_string(text));
    dp_log(capture->run->log, DP_LOG_WARNING, "Capture %s: %s", capture->id, text);
}

/* --- is everything in? --- */

static bool complete(const struct run_capture *capture, const struct run_vantage *vantage)
{
    const struct run_stream *stream = vantage->stream;
    if (!vantage->ended)
        return false;
    if (stream == NULL)
        return vantage->row.packets == 0 && strcmp(vantage->reason, "crash") != 0 &&
               uv_now(capture->run->loop) - vantage->ended_ms > NO_STREAM_MS;
    return stream->has_closed && stream->committed >= stream->closed;
}

/* Whether a vantage point that is not complete is still to be waited for. */
static bool worth_waiting(const struct run_capture *capture, const struct run_vantage *vantage,
                          uint64_t others_ms)
{
    uint64_t now = uv_now(capture->run->loop);
    const struct run_stream *stream = vantage->stream;
    if (stream != NULL && (stream->committed < stream->received || stream->refused))
        return true; /* it is here, or wants to be, and waits for the database */
    if (capture->stop_ms == 0 && now - capture->phase_ms <= capture->duration_ms)
        return true;
    uint64_t since = others_ms > vantage->heard_ms ? others_ms : vantage->heard_ms;
    if (since < capture->phase_ms)
        since = capture->phase_ms;
    return now - since <= LOST_MS;
}

static void tell_over(struct run_capture *capture, struct run_vantage *vantage);

static bool all_in(struct run_capture *capture)
{
    uint64_t others_ms = 0;
    bool wait = false;
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (capture->vantages[i].engine >= 0 && capture->vantages[i].ended_ms > others_ms)
            others_ms = capture->vantages[i].ended_ms;
    for (size_t i = 0; i < capture->vantage_count && !wait; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine >= 0 && complete(capture, vantage))
            tell_over(capture, vantage);
        else if (vantage->engine >= 0)
            wait = worth_waiting(capture, vantage, others_ms);
    }
    return !wait;
}

static void name_lost(struct run_capture *capture)
{
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine < 0)
            continue;
        bool whole = complete(capture, vantage);
        vantage->lost = !whole || strcmp(vantage->reason, "crash") == 0;
        if (whole)
            continue;
        snprintf(vantage->row.state, sizeof vantage->row.state, "failed");
        snprintf(vantage->row.text, sizeof vantage->row.text, "Its agent was lost before all data was here.");
        run_capture_problem(
            capture,
            "%s: its agent was lost before all data was here. What it saw after its last data is "
            "not known; the verdict is drawn without it.",
            vantage->row.vantage);
        run_vantage_save(capture, vantage);
    }
}

void run_capture_check_end(struct run_capture *capture)
{
    if (capture->phase == PHASE_RECOVERING) {
        run_recover_check(capture);
        return;
    }
    if (capture->phase != PHASE_RUNNING || !all_in(capture))
        return;
    name_lost(capture);
    run_capture_finish(capture);
}

/* --- the verdict --- */

/* The clock against the first vantage point's, as far as both were measured against ours. */
static void clock_end(const struct run_vantage *first, const struct run_vantage *own,
                      struct dp_engine_end *end)
{
    if (own == first)
        return;
    if (strcmp(own->row.agent_key, first->row.agent_key) == 0) {
        end->has_clock = true;
        end->error_ns = SAME_CLOCK_NS;
    } else if (own->row.clock_error_ns >= 0 && first->row.clock_error_ns >= 0) {
        end->has_clock = true;
        end->offset_ns = own->row.clock_offset_ns - first->row.clock_offset_ns;
        end->error_ns = own->row.clock_error_ns + first->row.clock_error_ns;
    }
}

static const struct run_vantage *first_of(const struct run_capture *capture)
{
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (capture->vantages[i].engine >= 0)
            return &capture->vantages[i];
    return NULL;
}

static struct dp_engine_end end_of(const struct run_capture *capture, const struct run_vantage *vantage)
{
    struct dp_engine_end end = {.start_ns = vantage->row.started_ns,
                                .end_ns = vantage->row.ended_ns,
                                .lost = vantage->lost,
                                .has_dropped = vantage->row.started_ns != 0 && !vantage->lost,
                                .dropped = vantage->row.kernel_dropped};
    clock_end(first_of(capture), vantage, &end);
    return end;
}

/* Its capture is over and all that it saw is here: the others do not wait for it. */
static void tell_over(struct run_capture *capture, struct run_vantage *vantage)
{
    const struct run_stream *stream = vantage->stream;
    if (vantage->over || (stream != NULL && stream->fed < stream->closed))
        return;
    vantage->lost = strcmp(vantage->reason, "crash") == 0;
    struct dp_engine_end end = end_of(capture, vantage);
    vantage->over = dp_engine_over(capture->engine, (uint32_t)vantage->engine, &end) == DP_OK;
}

void run_capture_clocks(struct run_capture *capture)
{
    for (size_t i = 0; i < capture->vantage_count && capture->engine != NULL; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        struct dp_engine_end end = {.has_clock = false};
        if (vantage->engine < 0)
            continue;
        clock_end(first_of(capture), vantage, &end);
        if (end.has_clock && dp_engine_clock_hint(capture->engine, (uint32_t)vantage->engine, end.offset_ns,
                                                  end.error_ns) != DP_OK)
            return; /* it is told again in a second */
    }
}

void run_capture_finish(struct run_capture *capture)
{
    struct dp_engine_end ends[MAX_VANTAGES];
    memset(ends, 0, sizeof ends);
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (capture->vantages[i].engine >= 0)
            ends[capture->vantages[i].engine] = end_of(capture, &capture->vantages[i]);
    run_capture_set_phase(capture, PHASE_FINISHING);
    int code = dp_engine_finish(capture->engine, ends);
    if (code != DP_OK)
        run_capture_fail(capture, code, "%s", dp_err_sentence(code));
}

static json_t *time_json(int64_t ns)
{
    if (ns == 0)
        return json_null();
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm utc;
    char text[64], stamp[32];
    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%06dZ", stamp, (int)(ns % 1000000000 / 1000));
    return json_string(text);
}

static json_t *vantage_json(const struct run_vantage *vantage)
{
    return json_pack(
        "{s:s, s:s%, s:o, s:o, s:I, s:I, s:I, s:I, s:s, s:s}", "name", vantage->row.vantage, "agent",
        vantage->row.vantage, strcspn(vantage->row.vantage, "/"), "started_at",
        time_json(vantage->row.started_ns), "ended_at", time_json(vantage->row.ended_ns), "packets",
        (json_int_t)vantage->row.packets, "kernel_dropped", (json_int_t)vantage->row.kernel_dropped,
        "clock_offset_ns", (json_int_t)vantage->row.clock_offset_ns, "clock_error_ns",
        (json_int_t)vantage->row.clock_error_ns, "state", vantage->row.state, "text", vantage->row.text);
}

static json_t *capture_json(const struct run_capture *capture)
{
    json_t *vantages = json_array();
    for (size_t i = 0; i < capture->vantage_count; i++)
        json_array_append_new(vantages, vantage_json(&capture->vantages[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:f, s:o, s:O}", "id", capture->id, "path", capture->path,
                     "filter", capture->filter, "started_at", time_json(capture->started_ns), "duration_s",
                     (double)capture->duration_ms / 1000, "vantages", vantages, "problems",
                     capture->problems);
}

static bool in_a_finding(const json_t *document, json_int_t id)
{
    size_t i = 0, j = 0;
    json_t *finding = NULL, *flow = NULL;
    json_array_foreach(json_object_get(document, "findings"), i, finding) json_array_foreach(
        json_object_get(finding, "flows"), j, flow) if (json_integer_value(flow) == id) return true;
    return false;
}

/* A message holds 2 MiB. A document that is larger loses the flows that no finding is about, and says so. */
static char *dump(struct run_capture *capture, json_t *document)
{
    char *text = json_dumps(document, DP_REPORT_JSON_FLAGS);
    if (text == NULL || strlen(text) <= DOCUMENT_MAX)
        return text;
    free(text);
    json_t *flows = json_object_get(document, "flows");
    size_t before = json_array_size(flows);
    for (size_t i = before; i-- > 0;)
        if (!in_a_finding(document, json_integer_value(json_object_get(json_array_get(flows, i), "id"))))
            json_array_remove(flows, i);
    run_capture_problem(capture, "There were %zu flows; only the %zu that a finding is about are listed.",
                        before, json_array_size(flows));
    /* The document holds a copy of the problems, made before this one. */
    if (json_object_set(json_object_get(document, "capture"), "problems", capture->problems) != 0)
        return NULL;
    return json_dumps(document, DP_REPORT_JSON_FLAGS);
}

static void send_done(struct run_capture *capture, int code, const char *text)
{
    if (capture->operator_peer == NULL)
        return;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureDone done = DROPPOINT__CAPTURE_DONE__INIT;
    char cut[2048];
    snprintf(cut, sizeof cut, "%s", text);
    done.capture_id = capture->id;
    done.code = code;
    done.text = cut;
    if (code == DP_OK)
        done.json = capture->document_text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_DONE;
    envelope.capture_done = &done;
    run_send(capture->run, capture->operator_peer, capture->request, &envelope);
    capture->operator_peer = NULL;
}

static void on_saved(void *context, int code, const char *text)
{
    struct run_capture *capture = context;
    if (!capture->run->closing) {
        if (code == DP_OK)
            dp_log(capture->run->log, DP_LOG_INFO, "Capture %s is done.", capture->id);
        else
            dp_log(capture->run->log, DP_LOG_ERROR, "The verdict of capture %s is not stored: %s",
                   capture->id, text);
        /* The operator gets the verdict also where the database did not take it. */
        send_done(capture, DP_OK, "");
        run_capture_over(capture);
    }
    run_capture_release(capture);
}

static void note_bad_batches(struct run_capture *capture)
{
    struct dp_engine_progress known;
    dp_engine_progress(capture->engine, &known);
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine >= 0 && known.bad_batches[vantage->engine] > 0)
            run_capture_problem(
                capture,
                "%s: %llu batches could not be read (%s). They count as packets that the capture "
                "itself dropped.",
                vantage->row.vantage, (unsigned long long)known.bad_batches[vantage->engine], known.bad_text);
    }
}

void run_capture_verdict(void *context, int code, const char *text, json_t *document)
{
    struct run_capture *capture = context;
    if (code == DP_OK) {
        note_bad_batches(capture);
        json_object_set_new(document, "capture", capture_json(capture));
        capture->document_text = dump(capture, document);
        code = capture->document_text != NULL ? DP_OK : DP_ERR_NOMEM;
    }
    json_decref(document);
    if (code != DP_OK) {
        run_capture_fail(capture, code, "No verdict could be drawn: %s",
                         text != NULL && text[0] != '\0' ? text : dp_err_sentence(code));
        return;
    }
    run_capture_set_phase(capture, PHASE_SAVING);
    capture->holds++;
    code =
        dp_store_capture_finish(capture->run->store, capture->id, capture->document_text, on_saved, capture);
    if (code != DP_OK)
        on_saved(capture, code, dp_err_sentence(code));
}

/* --- no verdict --- */

void run_capture_fail(struct run_capture *capture, int code, const char *format, ...)
{
    char text[1536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dp_log(capture->run->log, DP_LOG_WARNING, "Capture %s: %s", capture->id, text);
    run_capture_stop_agents(capture, "stopped");
    /* Where the row was never written this changes nothing; where its INSERT is still queued it comes after
     * it. */
    int stored = dp_store_capture_state(capture->run->store, capture->id, "failed", text, NULL, NULL);
    if (stored != DP_OK)
        dp_log(capture->run->log, DP_LOG_WARNING, "That is not stored: %s", dp_err_sentence(stored));
    send_done(capture, code, text);
    run_capture_over(capture);
}
