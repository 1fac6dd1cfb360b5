/* Captures that the collector did not see to their end: it was killed, or an agent came back after the
 * verdict. What is in the agents' spools is taken in, then the verdict is drawn from the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define SILENCE_MS 60000

static struct run_capture *rebuild(struct dp_run *run, const struct dp_store_capture *row, const char *why)
{
    struct run_capture *capture = run_capture_new(run, row->id);
    if (capture == NULL)
        return NULL;
    capture->filter = strdup(row->filter);
    snprintf(capture->path, sizeof capture->path, "%s", row->path);
    capture->started_ns = row->started_ns;
    capture->duration_ms = row->duration_ms;
    capture->vantage_count = row->vantage_count < MAX_VANTAGES ? row->vantage_count : MAX_VANTAGES;
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        vantage->row = row->vantages[i];
        vantage->row.position = (int)i;
        vantage->engine = vantage->row.taking_part ? 0 : -1;
        vantage->started = vantage->row.started_ns != 0;
        vantage->ended = vantage->row.ended_ns != 0;
        if (vantage->engine < 0)
            run_capture_problem(capture, "%s took no part: %s", vantage->row.vantage, vantage->row.text);
    }
    for (size_t i = 0; i < row->stream_count; i++) {
        const struct dp_store_stream *s = &row->streams[i];
        struct run_agent *agent = run_agent_keyed(run, s->agent_key);
        if (agent == NULL || (size_t)s->key.position >= capture->vantage_count)
            continue;
        struct run_stream *stream =
            run_stream_add(capture, &capture->vantages[s->key.position], agent, s->key.epoch, s->key.stream);
        if (stream == NULL)
            continue;
        stream->received = stream->fed = stream->committed = s->last;
        stream->has_closed = s->has_closed;
        stream->closed = s->closed;
    }
    run_capture_problem(capture, "%s", why);
    run_capture_set_phase(capture, PHASE_RECOVERING);
    if (capture->filter == NULL)
        run_capture_fail(capture, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    return capture->filter != NULL ? capture : NULL;
}

static void on_unfinished(void *context, int code, const char *text, const struct dp_store_capture *captures,
                          size_t count)
{
    struct dp_run *run = context;
    for (size_t i = 0; i < count && code == DP_OK; i++) {
        struct run_capture *capture =
            rebuild(run, &captures[i],
                    "The collector restarted while this capture ran; the verdict is drawn from what "
                    "was stored.");
        if (capture != NULL)
            code = dp_store_capture_state(
                run->store, capture->id, "aborted",
                "the collector restarted; the verdict follows when the agents have sent the rest.", NULL,
                NULL);
    }
    run_loaded(run, code, text);
}

void run_captures_load(struct dp_run *run)
{
    int code = dp_store_capture_load(run->store, NULL, on_unfinished, run);
    if (code != DP_OK)
        run_loaded(run, code, NULL);
}

/* --- a stream for a capture that is not in memory --- */

struct late_open {
    struct dp_run *run;
    char agent_key[48];
    char capture_id[64];
    char vantage[96];
    uint64_t epoch, stream;
    Droppoint__StreamKind kind;
};

/* Whether the stream is wholly stored already: only its last acknowledgement got lost. */
static const struct dp_store_stream *settled(const struct late_open *late,
                                             const struct dp_store_capture *capture)
{
    for (size_t i = 0; i < capture->stream_count; i++) {
        const struct dp_store_stream *s = &capture->streams[i];
        if (s->key.epoch == late->epoch && s->key.stream == late->stream &&
            strcmp(s->agent_key, late->agent_key) == 0 && s->has_closed && s->last >= s->closed)
            return s;
    }
    return NULL;
}

static void on_late_loaded(void *context, int code, const char *text, const struct dp_store_capture *captures,
                           size_t count)
{
    struct late_open *late = context;
    struct dp_run *run = late->run;
    struct run_agent *agent = run->closing ? NULL : run_agent_keyed(run, late->agent_key);
    (void)text;
    if (agent != NULL && code == DP_OK) {
        struct run_capture *capture = run_capture_find(run, late->capture_id);
        const struct dp_store_stream *over =
            count == 1 && capture == NULL ? settled(late, &captures[0]) : NULL;
        if (over != NULL && strcmp(captures[0].state, "done") == 0) {
            run_stream_settled(run, agent, late->epoch, late->stream, over->last);
            free(late);
            return;
        }
        /* A failed capture wants no data; one that is done takes late data in and draws its verdict anew. */
        if (capture == NULL && count == 1 && strcmp(captures[0].state, "failed") != 0)
            capture = rebuild(run, &captures[0],
                              "Data of an agent came after the verdict; it was drawn anew with it.");
        Droppoint__StreamOpen open = DROPPOINT__STREAM_OPEN__INIT;
        open.epoch = late->epoch;
        open.stream = late->stream;
        open.kind = late->kind;
        open.capture_id = late->capture_id;
        open.vantage = late->vantage;
        if (capture != NULL)
            run_stream_open(run, agent, &open);
        else
            run_stream_unwanted(run, agent, late->epoch, late->stream);
    }
    free(late);
}

void run_recover_for(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open)
{
    struct late_open *late = calloc(1, sizeof *late);
    if (late == NULL)
        return;
    late->run = run;
    late->epoch = open->epoch;
    late->stream = open->stream;
    late->kind = open->kind;
    snprintf(late->agent_key, sizeof late->agent_key, "%s", agent->row.key);
    snprintf(late->capture_id, sizeof late->capture_id, "%s", open->capture_id);
    snprintf(late->vantage, sizeof late->vantage, "%s", open->vantage);
    if (dp_store_capture_load(run->store, open->capture_id, on_late_loaded, late) != DP_OK)
        free(late); /* opened again at the next connection */
}

/* --- reading the batches back --- */

static void feed_stored(struct run_capture *capture, const struct dp_store_stored_batch *batch)
{
    size_t position = (size_t)batch->key.position;
    if (position >= capture->vantage_count || capture->vantages[position].engine < 0)
        return;
    int code = dp_engine_feed_copy(capture->engine, (uint32_t)capture->vantages[position].engine,
                                   batch->payload, batch->len);
    if (code == DP_OK)
        capture->reading++;
    else
        run_capture_problem(capture, "A stored batch could not be read: %s", dp_err_sentence(code));
}

static void on_page(void *context, int code, const char *text, const struct dp_store_stored_batch *batches,
                    size_t count);

/* One page ahead of the engine: the database need not wait for it, and memory holds two pages at most. */
static void read_on(struct run_capture *capture)
{
    if (!capture->page_due || capture->reading > capture->page_batches)
        return;
    capture->page_due = false;
    capture->holds++;
    int code = dp_store_batches(capture->run->store, capture->id, capture->read_number, on_page, capture);
    if (code != DP_OK)
        on_page(capture, code, dp_err_sentence(code), NULL, 0);
}

static void on_page(void *context, int code, const char *text, const struct dp_store_stored_batch *batches,
                    size_t count)
{
    struct run_capture *capture = context;
    if (!capture->run->closing && capture->phase == PHASE_READING) {
        for (size_t i = 0; i < count && code == DP_OK; i++)
            feed_stored(capture, &batches[i]);
        if (code != DP_OK) {
            run_capture_fail(capture, code, "Its batches can't be read back: %s", text);
        } else if (count > 0) {
            capture->read_number = batches[count - 1].number;
            capture->page_batches = count;
            capture->page_due = true;
            read_on(capture);
        } else {
            run_capture_finish(capture);
        }
    }
    run_capture_release(capture);
}

void run_recover_eaten(struct run_capture *capture)
{
    capture->reading--;
    if (!capture->run->closing && capture->phase == PHASE_READING)
        read_on(capture);
}

static void conclude(struct run_capture *capture)
{
    for (size_t i = 0; i < capture->vantage_count; i++) {
        struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine < 0)
            continue;
        const struct run_stream *stream = vantage->stream;
        vantage->lost = stream == NULL || !stream->has_closed || stream->committed < stream->closed ||
                        strcmp(vantage->reason, "crash") == 0;
        if (vantage->lost)
            run_capture_problem(capture, "%s: its data is not complete.", vantage->row.vantage);
    }
    struct dp_diag diag = {""};
    int code = run_capture_engine(capture, &diag);
    if (code != DP_OK) {
        run_capture_fail(capture, code, "%s", dp_reason(&diag, code));
        return;
    }
    /* Also where data is missing at the end: nothing is settled before a point's batches tell that it got so
     * far.
     */
    run_capture_clocks(capture);
    for (size_t i = 0; i < capture->vantage_count && code == DP_OK; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        if (vantage->engine >= 0 && vantage->row.started_ns != 0)
            code = dp_engine_started(capture->engine, (uint32_t)vantage->engine, vantage->row.started_ns);
    }
    if (code != DP_OK) {
        run_capture_fail(capture, code, "%s", dp_err_sentence(code));
        return;
    }
    run_capture_set_phase(capture, PHASE_READING);
    capture->page_due = true;
    read_on(capture);
}

void run_recover_check(struct run_capture *capture)
{
    bool any = false;
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_vantage *vantage = &capture->vantages[i];
        const struct run_stream *stream = vantage->stream;
        if (vantage->engine < 0)
            continue;
        any = true;
        if (stream == NULL || stream->opening || !stream->has_closed || stream->committed < stream->closed)
            return;
    }
    if (any)
        conclude(capture);
}

void run_recover_tick(struct run_capture *capture)
{
    run_recover_check(capture);
    if (capture->phase != PHASE_RECOVERING || uv_now(capture->run->loop) - capture->heard_ms <= SILENCE_MS)
        return;
    for (size_t i = 0; i < capture->vantage_count; i++) {
        const struct run_stream *stream = capture->vantages[i].stream;
        if (stream != NULL && (stream->committed < stream->received || stream->refused))
            return; /* it is here, or wants to be, and waits for the database */
    }
    conclude(capture);
}
