/* Probes of before, from the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/probe_internal.h"

#define LIMIT_DEFAULT 20

static void fill(const struct dp_store_probe_entry *entry, Droppoint__ProbeEntry *ret_entry)
{
    droppoint__probe_entry__init(ret_entry);
    ret_entry->probe_id = (char *)entry->id;
    ret_entry->kind = (char *)entry->kind;
    ret_entry->target = entry->target;
    ret_entry->agent = (char *)entry->result.agent;
    ret_entry->started_ns = entry->result.started_ns;
    ret_entry->duration_us = (uint64_t)entry->result.duration_us;
    ret_entry->status = (char *)entry->result.status;
    ret_entry->class_ = (char *)entry->result.class;
    ret_entry->summary = entry->result.summary;
}

static void on_list(void *context, int code, const char *text, const struct dp_store_probe_entry *rows,
                    size_t count)
{
    struct run_asker *asker = context;
    Droppoint__ProbeEntry *entries = calloc(count + 1, sizeof *entries);
    Droppoint__ProbeEntry **pointers = calloc(count + 1, sizeof(Droppoint__ProbeEntry *));
    if (code == DP_OK && (entries == NULL || pointers == NULL))
        code = DP_ERR_NOMEM;
    if (code != DP_OK || asker->run->closing) {
        run_asker_answer(asker, code, text);
    } else {
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__ProbeList list = DROPPOINT__PROBE_LIST__INIT;
        for (size_t i = 0; i < count; i++) {
            fill(&rows[i], &entries[i]);
            pointers[i] = &entries[i];
        }
        list.n_entries = count;
        list.entries = pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_LIST;
        envelope.probe_list = &list;
        run_send(asker->run, asker->peer, asker->request, &envelope);
        run_asker_free(asker);
    }
    free(entries);
    free(pointers);
}

void run_probe_list(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const Droppoint__ProbeListRequest *ask)
{
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    struct dp_store_probe_filter filter = {.limit = ask->limit > 0 ? ask->limit : LIMIT_DEFAULT,
                                           .changes = ask->changes};
    snprintf(filter.kind, sizeof filter.kind, "%s", ask->kind);
    snprintf(filter.target, sizeof filter.target, "%s", ask->target);
    snprintf(filter.agent, sizeof filter.agent, "%s", ask->agent);
    snprintf(filter.status, sizeof filter.status, "%s", ask->status);
    int code = dp_store_probes(run->store, &filter, on_list, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

/* Only what this program wrote is in there; what cannot be read any more is left out. */
static void on_shown(void *context, int code, const char *text, const struct dp_store_probe *probe)
{
    struct run_asker *asker = context;
    if (code != DP_OK || asker->run->closing) {
        run_asker_answer(asker, code, text);
        return;
    }
    json_t *results = json_array(), *failures = json_loads(probe->failures, 0, NULL);
    for (size_t i = 0; i < probe->result_count; i++) {
        json_t *result = json_loads(probe->results[i].document, 0, NULL);
        if (result != NULL)
            (void)json_array_append_new(results, result);
    }
    if (json_array_size(results) == 0 && strcmp(probe->state, "running") == 0)
        run_result(asker->run, asker->peer, asker->request, DP_ERR_UNAVAILABLE,
                   "Probe %s has no result yet: it runs, or the collector ended while it ran.", probe->id);
    else
        run_probe_tell(asker->run, asker->peer, asker->request, probe, results, failures);
    json_decref(results);
    json_decref(failures);
    run_asker_free(asker);
}

void run_probe_show(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id)
{
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    int code = dp_store_probe_load(run->store, id, on_shown, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}
