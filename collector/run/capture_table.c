/* Captures as objects: making, finding, holding and freeing them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

struct run_capture *run_capture_new(struct dp_run *run, const char *id)
{
    struct run_capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return NULL;
    capture->run = run;
    capture->problems = json_array();
    snprintf(capture->id, sizeof capture->id, "%s", id);
    if (capture->problems == NULL) {
        free(capture);
        return NULL;
    }
    capture->heard_ms = capture->phase_ms = uv_now(run->loop);
    HASH_ADD_STR(run->captures, id, capture);
    return capture;
}

struct run_capture *run_capture_find(struct dp_run *run, const char *id)
{
    struct run_capture *capture = NULL;
    HASH_FIND_STR(run->captures, id, capture);
    return capture;
}

struct run_vantage *run_capture_vantage(struct run_capture *capture, const char *vantage)
{
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (strcmp(capture->vantages[i].row.vantage, vantage) == 0)
            return &capture->vantages[i];
    return NULL;
}

void run_capture_set_phase(struct run_capture *capture, enum run_phase phase)
{
    capture->phase = phase;
    capture->phase_ms = uv_now(capture->run->loop);
}

static void free_capture(struct run_capture *capture)
{
    HASH_DEL(capture->run->captures, capture);
    for (size_t i = 0; i < capture->vantage_count; i++)
        run_stream_free(capture->vantages[i].stream);
    json_decref(capture->problems);
    free(capture->document_text);
    free(capture->filter);
    free(capture);
}

void run_capture_release(struct run_capture *capture)
{
    capture->holds--;
    if (capture->holds == 0 && capture->phase == PHASE_OVER && !capture->run->closing)
        free_capture(capture);
}

void run_capture_over(struct run_capture *capture)
{
    capture->holds++; /* closing the engine gives its batches back */
    dp_engine_close(capture->engine);
    capture->engine = NULL;
    run_capture_set_phase(capture, PHASE_OVER);
    run_capture_release(capture);
}

void run_captures_free(struct dp_run *run)
{
    struct run_capture *capture, *next;
    HASH_ITER(hh, run->captures, capture, next)
    {
        free_capture(capture);
    }
}

/* Vantage points that take part are numbered in path order. */
int run_capture_engine(struct run_capture *capture, struct dp_diag *diag)
{
    const char *names[MAX_VANTAGES];
    capture->engine_count = 0;
    for (size_t i = 0; i < capture->vantage_count; i++)
        if (capture->vantages[i].engine >= 0) {
            capture->vantages[i].engine = (int)capture->engine_count;
            names[capture->engine_count++] = capture->vantages[i].row.vantage;
        }
    const struct dp_engine_events events = {
        .eaten = run_stream_eaten, .verdict = run_capture_verdict, .context = capture};
    return dp_engine_open(capture->run->loop, names, capture->engine_count, &events, &capture->engine, diag);
}

void run_vantage_save(struct run_capture *capture, const struct run_vantage *vantage)
{
    int code = dp_store_vantage_put(capture->run->store, capture->id, &vantage->row);
    if (code != DP_OK)
        dp_log(capture->run->log, DP_LOG_WARNING, "The state of %s is not saved: %s", vantage->row.vantage,
               dp_err_sentence(code));
}
