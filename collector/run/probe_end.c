/* What the operator is told of a probe, while it runs, at its end, and later from the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/probe_compare.h"
#include "collector/run/probe_internal.h"

static const char *const state_names[] = {"preparing", "ready", "running", "away", "done", "failed"};

void run_probe_progress(struct run_probe *probe)
{
    if (probe->operator_peer == NULL)
        return;
    Droppoint__ProbeAgent *agents = calloc(probe->agent_count + 1, sizeof *agents);
    Droppoint__ProbeAgent **pointers = calloc(probe->agent_count + 1, sizeof(Droppoint__ProbeAgent *));
    if (agents != NULL && pointers != NULL) {
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__ProbeProgress body = DROPPOINT__PROBE_PROGRESS__INIT;
        for (size_t i = 0; i < probe->agent_count; i++) {
            droppoint__probe_agent__init(&agents[i]);
            agents[i].agent = probe->agents[i].name;
            agents[i].state = (char *)state_names[probe->agents[i].state];
            agents[i].text = probe->agents[i].text;
            pointers[i] = &agents[i];
        }
        body.probe_id = probe->id;
        body.n_agents = probe->agent_count;
        body.agents = pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_PROGRESS;
        envelope.probe_progress = &body;
        run_send(probe->run, probe->operator_peer, probe->request, &envelope);
    }
    free(agents);
    free(pointers);
}

void run_probe_fail_agent(struct run_probe *probe, struct run_probe_agent *agent, int code, const char *text)
{
    agent->state = PROBE_FAILED;
    agent->code = code;
    snprintf(agent->text, sizeof agent->text, "%s", text);
    dp_log(probe->run->log, DP_LOG_INFO, "Probe %s (%s) has no result from %s: %s", probe->id, probe->kind,
           agent->name, agent->text);
}

/* --- the order of the results --- */

static size_t place_on(const struct run_path *path, const char *agent)
{
    size_t len = strlen(agent);
    for (size_t i = 0; i < path->vantage_count; i++)
        if (strncmp(path->vantages[i], agent, len) == 0 && path->vantages[i][len] == '/')
            return i;
    return SIZE_MAX;
}

static const char *agent_of(const json_t *result)
{
    const char *name = json_string_value(json_object_get(result, "agent"));
    return name != NULL ? name : "";
}

/* The path that all the agents lie on; NULL: none, or only one agent. */
static const struct run_path *common_path(const struct dp_run *run, const json_t *results)
{
    for (const struct run_path *path = run->paths; path != NULL; path = path->hh.next) {
        bool all = json_array_size(results) > 1;
        size_t i;
        const json_t *result;
        json_array_foreach(results, i, result)
        {
            all = all && place_on(path, agent_of(result)) != SIZE_MAX;
        }
        if (all)
            return path;
    }
    return NULL;
}

/* The results in the order of the path; a new reference. */
static json_t *along(const struct run_path *path, const json_t *results)
{
    json_t *ordered = json_array();
    for (size_t at = 0; at < path->vantage_count; at++) {
        size_t i;
        json_t *result;
        json_array_foreach((json_t *)(uintptr_t)results, i, result)
        {
            if (place_on(path, agent_of(result)) == at)
                (void)json_array_append(ordered, result);
        }
    }
    return ordered;
}

static json_t *compare(const struct dp_run *run, const char *kind, const json_t *results)
{
    const struct run_path *path = common_path(run, results);
    json_t *ordered = path != NULL ? along(path, results) : json_deep_copy(results);
    json_t *comparison = dp_probe_compare(kind, ordered, path != NULL ? path->name : NULL);
    json_decref(ordered);
    return comparison;
}

/* --- the end --- */

static bool send_json(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id,
                      const json_t *result)
{
    char *text = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(15));
    bool fits = text != NULL && strlen(text) < DP_WIRE_MAX_MESSAGE - 4096;
    if (fits) {
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__ProbeResult body = DROPPOINT__PROBE_RESULT__INIT;
        body.probe_id = (char *)id;
        body.json = text;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_RESULT;
        envelope.probe_result = &body;
        run_send(run, peer, request, &envelope);
    }
    free(text);
    return fits;
}

/* A result that no message can hold goes without its data. */
static void send_result(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id,
                        json_t *result)
{
    if (send_json(run, peer, request, id, result))
        return;
    json_t *bare = json_copy(result);
    (void)json_object_set_new(bare, "data",
                              json_pack("{s:s}", "left_out", "too large to be sent; the database has it"));
    (void)send_json(run, peer, request, id, bare);
    json_decref(bare);
}

static void send_done(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id, int code,
                      const char *text, const json_t *document)
{
    char *json = json_dumps(document, JSON_COMPACT);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeDone body = DROPPOINT__PROBE_DONE__INIT;
    body.probe_id = (char *)id;
    body.code = code;
    body.text = (char *)text;
    body.json = json != NULL ? json : (char *)"";
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_DONE;
    envelope.probe_done = &body;
    run_send(run, peer, request, &envelope);
    free(json);
}

/* Why no agent has a result: all of them say so. */
static int why_none(const json_t *failures, char *text, size_t size)
{
    int code = DP_ERR_UNAVAILABLE;
    size_t i, len = 0;
    const json_t *failure;
    text[0] = '\0';
    json_array_foreach(failures, i, failure)
    {
        const char *name = json_string_value(json_object_get(failure, "error"));
        for (int known = -1; i == 0 && name != NULL && known >= DP_ERR_END; known--)
            if (strcmp(dp_err_name(known), name) == 0)
                code = known;
        if (len < size)
            len += (size_t)snprintf(text + len, size - len, "%s%s: %s", i > 0 ? " " : "", agent_of(failure),
                                    json_string_value(json_object_get(failure, "text")));
    }
    return code;
}

void run_probe_tell(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const struct dp_store_probe *row, const json_t *results, const json_t *failures)
{
    char text[3000] = "";
    size_t i;
    json_t *result;
    if (peer == NULL)
        return;
    json_array_foreach((json_t *)(uintptr_t)results, i, result)
    {
        send_result(run, peer, request, row->id, result);
    }
    int code = json_array_size(results) > 0 ? DP_OK : why_none(failures, text, sizeof text);
    json_t *document = json_pack("{s:s, s:s}", "kind", row->kind, "target", row->target);
    json_t *comparison = compare(run, row->kind, results);
    if (comparison != NULL)
        (void)json_object_set_new(document, "comparison", comparison);
    if (json_array_size(failures) > 0)
        (void)json_object_set(document, "failures", (json_t *)(uintptr_t)failures);
    send_done(run, peer, request, row->id, code, text, document);
    json_decref(document);
}

static json_t *failures_of(const struct run_probe *probe)
{
    json_t *failures = json_array();
    for (size_t i = 0; i < probe->agent_count; i++)
        if (probe->agents[i].state == PROBE_FAILED)
            (void)json_array_append_new(failures, json_pack("{s:s, s:s, s:s}", "agent", probe->agents[i].name,
                                                            "error", dp_err_name(probe->agents[i].code),
                                                            "text", probe->agents[i].text));
    return failures;
}

static void finish(struct run_probe *probe)
{
    json_t *failures = failures_of(probe), *results = json_array();
    for (size_t i = 0; i < probe->agent_count; i++)
        if (probe->agents[i].result != NULL)
            (void)json_array_append(results, probe->agents[i].result);
    char *text = json_dumps(failures, JSON_COMPACT);
    if (dp_store_probe_end(probe->run->store, probe->id, json_array_size(results) > 0 ? "done" : "failed",
                           text != NULL ? text : "[]", NULL, NULL) != DP_OK)
        dp_log(probe->run->log, DP_LOG_WARNING, "The end of probe %s is not stored.", probe->id);
    free(text);
    struct dp_store_probe row = {.target = probe->target};
    snprintf(row.id, sizeof row.id, "%s", probe->id);
    snprintf(row.kind, sizeof row.kind, "%s", probe->kind);
    run_probe_tell(probe->run, probe->operator_peer, probe->request, &row, results, failures);
    json_decref(results);
    json_decref(failures);
    probe->over = true;
}

void run_probe_check(struct run_probe *probe)
{
    for (size_t i = 0; i < probe->agent_count; i++)
        if (probe->agents[i].state < PROBE_DONE)
            return;
    if (!probe->over)
        finish(probe);
}

static void free_probe(struct run_probe *probe)
{
    HASH_DEL(probe->run->probes, probe);
    for (size_t i = 0; i < probe->agent_count; i++)
        json_decref(probe->agents[i].result);
    free(probe->agents);
    free(probe->target);
    json_decref(probe->options);
    free(probe);
}

void run_probe_release(struct run_probe *probe)
{
    if (--probe->holds == 0 && probe->over)
        free_probe(probe);
}

void run_probes_free(struct dp_run *run)
{
    struct run_probe *probe, *next;
    HASH_ITER(hh, run->probes, probe, next)
    {
        free_probe(probe);
    }
}
