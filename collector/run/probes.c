/* Probes over agents: who can take part, prepare at all of them, start at all of them at the same instant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/probe_internal.h"

#define PREPARE_MS 5000
#define START_AHEAD_MS 150 /* time for the start to reach all */
#define AWAY_MS 30000      /* so long an agent that went away may come back with its result */
#define RESTARTED_MS 5000  /* ... and one that came back anew may still send what its spool holds */
#define LONGEST_MS 3700000 /* no probe takes longer than an hour */

struct run_probe *run_probe_find(struct dp_run *run, const char *id)
{
    struct run_probe *probe = NULL;
    HASH_FIND_STR(run->probes, id, probe);
    return probe;
}

static struct run_probe_agent *agent_of(struct run_probe *probe, const struct run_agent *agent)
{
    for (size_t i = 0; i < probe->agent_count; i++)
        if (strcmp(probe->agents[i].key, agent->row.key) == 0)
            return &probe->agents[i];
    return NULL;
}

/* --- who takes part --- */

static void look_up(struct run_probe *probe, struct run_probe_agent *own)
{
    char text[256];
    const struct run_agent *agent = run_agent_named(probe->run, own->name);
    if (agent != NULL && agent->peer != NULL) {
        snprintf(own->key, sizeof own->key, "%s", agent->row.key);
        own->epoch = agent->epoch;
        return;
    }
    if (agent == NULL)
        snprintf(text, sizeof text, "No approved agent is named %s. `droppoint agent list` shows them.",
                 own->name);
    else
        snprintf(text, sizeof text, "Agent %s is not connected.", own->name);
    run_probe_fail_agent(probe, own, agent == NULL ? DP_ERR_NOT_FOUND : DP_ERR_UNAVAILABLE, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct run_probe_agent *)a)->name, ((const struct run_probe_agent *)b)->name);
}

/* All approved ones, or those that are named, each once. */
static int list_agents(struct run_probe *probe, const Droppoint__ProbeRun *ask)
{
    size_t count = ask->n_agents > 0 ? ask->n_agents : HASH_COUNT(probe->run->agents);
    probe->agents = calloc(count + 1, sizeof *probe->agents);
    if (probe->agents == NULL)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < ask->n_agents; i++) {
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || strcmp(ask->agents[i], ask->agents[k]) == 0;
        if (!twice)
            snprintf(probe->agents[probe->agent_count++].name, sizeof probe->agents->name, "%s",
                     ask->agents[i]);
    }
    if (ask->n_agents > 0)
        return DP_OK;
    for (const struct run_agent *agent = probe->run->agents; agent != NULL; agent = agent->hh.next)
        if (agent->row.state == DP_AGENT_APPROVED && agent->row.name[0] != '\0')
            snprintf(probe->agents[probe->agent_count++].name, sizeof probe->agents->name, "%s",
                     agent->row.name);
    qsort(probe->agents, probe->agent_count, sizeof *probe->agents, by_name);
    return DP_OK;
}

/* An unknown name is the operator's slip: nothing is begun then. */
static bool all_known(const struct run_probe *probe, struct dp_peer *peer, uint64_t request)
{
    if (probe->agent_count == 0)
        run_result(probe->run, peer, request, DP_ERR_NOT_FOUND,
                   "There is no approved agent yet. `droppoint agent list` shows those that wait.");
    for (size_t i = 0; i < probe->agent_count; i++)
        if (run_agent_named(probe->run, probe->agents[i].name) == NULL) {
            run_result(probe->run, peer, request, DP_ERR_NOT_FOUND,
                       "No approved agent is named %s. `droppoint agent list` shows them.",
                       probe->agents[i].name);
            return false;
        }
    return probe->agent_count > 0;
}

/* --- preparing --- */

static void send_prepare(struct run_probe *probe, const struct run_probe_agent *own)
{
    const struct run_agent *agent = run_agent_keyed(probe->run, own->key);
    size_t count = json_array_size(probe->options);
    Droppoint__ProbeOption *options = calloc(count + 1, sizeof *options);
    Droppoint__ProbeOption **pointers = calloc(count + 1, sizeof(Droppoint__ProbeOption *));
    if (agent != NULL && options != NULL && pointers != NULL) {
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__ProbePrepare body = DROPPOINT__PROBE_PREPARE__INIT;
        for (size_t i = 0; i < count; i++) {
            const json_t *option = json_array_get(probe->options, i);
            droppoint__probe_option__init(&options[i]);
            options[i].name = (char *)json_string_value(json_array_get(option, 0));
            options[i].value = (char *)json_string_value(json_array_get(option, 1));
            pointers[i] = &options[i];
        }
        body.probe_id = probe->id;
        body.kind = probe->kind;
        body.target = probe->target;
        body.n_options = count;
        body.options = pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_PREPARE;
        envelope.probe_prepare = &body;
        run_send(probe->run, agent->peer, 0, &envelope);
    }
    free(options);
    free(pointers);
}

static void on_added(void *context, int code, const char *text)
{
    struct run_probe *probe = context;
    for (size_t i = 0; i < probe->agent_count && !probe->run->closing; i++) {
        struct run_probe_agent *own = &probe->agents[i];
        if (own->state != PROBE_PREPARING)
            continue;
        if (code == DP_OK)
            send_prepare(probe, own);
        else
            run_probe_fail_agent(probe, own, code,
                                 text != NULL && text[0] != '\0' ? text : dp_err_sentence(code));
    }
    probe->began_ms = uv_now(probe->run->loop);
    if (!probe->run->closing)
        run_probe_check(probe);
    run_probe_release(probe);
}

static void store_row(struct run_probe *probe)
{
    char *options = json_dumps(probe->options, JSON_COMPACT);
    struct dp_store_probe row = {.target = probe->target, .options = options, .started_ns = run_now_ns()};
    snprintf(row.id, sizeof row.id, "%s", probe->id);
    snprintf(row.kind, sizeof row.kind, "%s", probe->kind);
    probe->holds++;
    int code = options != NULL ? dp_store_probe_add(probe->run->store, &row, on_added, probe) : DP_ERR_NOMEM;
    free(options);
    if (code != DP_OK)
        on_added(probe, code, NULL);
}

static json_t *copy_options(const Droppoint__ProbeRun *ask)
{
    json_t *options = json_array();
    for (size_t i = 0; i < ask->n_options; i++)
        (void)json_array_append_new(options,
                                    json_pack("[s, s]", ask->options[i]->name, ask->options[i]->value));
    return options;
}

static struct run_probe *make_probe(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                                    const Droppoint__ProbeRun *ask)
{
    struct run_probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL)
        return NULL;
    probe->run = run;
    probe->operator_peer = peer;
    probe->request = request;
    probe->holds = 1;
    do
        run_make_id(probe->id);
    while (run_probe_find(run, probe->id) != NULL);
    snprintf(probe->kind, sizeof probe->kind, "%s", ask->kind);
    probe->target = strdup(ask->target);
    probe->options = copy_options(ask);
    HASH_ADD_STR(run->probes, id, probe);
    if (probe->target != NULL && probe->options != NULL && list_agents(probe, ask) == DP_OK)
        return probe;
    probe->over = true;
    run_probe_release(probe);
    return NULL;
}

void run_probe_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request, const Droppoint__ProbeRun *ask)
{
    struct run_probe *probe = make_probe(run, peer, request, ask);
    if (probe == NULL) {
        run_result(run, peer, request, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    if (!all_known(probe, peer, request)) {
        probe->over = true;
        run_probe_release(probe);
        return;
    }
    for (size_t i = 0; i < probe->agent_count; i++)
        look_up(probe, &probe->agents[i]);
    probe->began_ms = uv_now(run->loop);
    run_probe_progress(probe);
    store_row(probe);
    run_probe_release(probe);
}

/* --- the start --- */

static void send_start(struct run_probe *probe, const struct run_probe_agent *own, int64_t now_ns,
                       uint32_t in_ms)
{
    const struct run_agent *agent = run_agent_keyed(probe->run, own->key);
    if (agent == NULL || agent->peer == NULL)
        return;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeStart body = DROPPOINT__PROBE_START__INIT;
    body.probe_id = probe->id;
    body.in_ms =
        in_ms; /* counts where the agent's clock is not measured yet; later by what the message takes */
    if (agent->peer->clock_error_ns >= 0)
        body.at_ns = now_ns + (int64_t)in_ms * 1000000 + agent->peer->clock_offset_ns;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_START;
    envelope.probe_start = &body;
    run_send(probe->run, agent->peer, 0, &envelope);
}

static void start_all(struct run_probe *probe)
{
    int64_t now_ns = run_now_ns();
    size_t count = 0;
    probe->started = true;
    probe->began_ms = uv_now(probe->run->loop);
    for (size_t i = 0; i < probe->agent_count; i++)
        count += probe->agents[i].state == PROBE_READY;
    for (size_t i = 0; i < probe->agent_count; i++) {
        if (probe->agents[i].state != PROBE_READY)
            continue;
        probe->agents[i].state = PROBE_RUNNING;
        send_start(probe, &probe->agents[i], now_ns, count > 1 ? START_AHEAD_MS : 0);
    }
    run_probe_progress(probe);
}

static void start_if_ready(struct run_probe *probe)
{
    bool any = false;
    for (size_t i = 0; i < probe->agent_count; i++) {
        if (probe->agents[i].state == PROBE_PREPARING)
            return;
        any = any || probe->agents[i].state == PROBE_READY;
    }
    if (any && !probe->started)
        start_all(probe);
    else
        run_probe_check(probe);
}

void run_probe_ready(struct dp_run *run, struct run_agent *agent, const Droppoint__ProbeReady *ready)
{
    struct run_probe *probe = run_probe_find(run, ready->probe_id);
    struct run_probe_agent *own = probe != NULL ? agent_of(probe, agent) : NULL;
    if (own == NULL || own->state != PROBE_PREPARING)
        return;
    probe->holds++;
    if (ready->ok) {
        own->state = PROBE_READY;
    } else {
        int code = DP_ERR_UNAVAILABLE;
        for (int known = -1; known >= DP_ERR_END; known--)
            if (strcmp(dp_err_name(known), ready->error) == 0)
                code = known;
        run_probe_fail_agent(probe, own, code,
                             ready->error_text[0] != '\0' ? ready->error_text : ready->error);
    }
    start_if_ready(probe);
    run_probe_release(probe);
}

/* --- while it runs --- */

static void send_cancel(struct run_probe *probe, const struct run_probe_agent *own)
{
    const struct run_agent *agent = run_agent_keyed(probe->run, own->key);
    if (agent == NULL)
        return;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeCancel body = DROPPOINT__PROBE_CANCEL__INIT;
    body.probe_id = probe->id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_CANCEL;
    envelope.probe_cancel = &body;
    run_send(probe->run, agent->peer, 0, &envelope);
}

void run_probe_cancel(struct dp_run *run, const char *id)
{
    struct run_probe *probe = run_probe_find(run, id);
    if (probe == NULL)
        return; /* over: its ProbeDone is on the way, or was there */
    probe->holds++;
    for (size_t i = 0; i < probe->agent_count; i++) {
        struct run_probe_agent *own = &probe->agents[i];
        if (own->state > PROBE_AWAY)
            continue;
        send_cancel(probe, own);
        if (own->state < PROBE_RUNNING)
            run_probe_fail_agent(probe, own, DP_ERR_END, "The probe was stopped before it began.");
    }
    run_probe_check(probe);
    run_probe_release(probe);
}

void run_probe_record(struct dp_run *run, const struct run_agent *agent, const char *id, json_t *record)
{
    struct run_probe *probe = run_probe_find(run, id);
    struct run_probe_agent *own = probe != NULL ? agent_of(probe, agent) : NULL;
    if (own == NULL || own->state == PROBE_DONE || own->state == PROBE_FAILED)
        return;
    json_t *result = json_object_get(record, "result");
    probe->holds++;
    if (result != NULL) {
        own->result = json_incref(result);
        own->state = PROBE_DONE;
        own->text[0] = '\0';
    } else {
        int code = DP_ERR_UNAVAILABLE;
        const char *name = json_string_value(json_object_get(record, "error"));
        for (int known = -1; known >= DP_ERR_END; known--)
            if (strcmp(dp_err_name(known), name) == 0)
                code = known;
        run_probe_fail_agent(probe, own, code, json_string_value(json_object_get(record, "text")));
    }
    run_probe_progress(probe);
    run_probe_check(probe);
    run_probe_release(probe);
}

void run_probes_agent_gone(struct dp_run *run, const struct run_agent *agent)
{
    struct run_probe *probe, *next;
    HASH_ITER(hh, run->probes, probe, next)
    {
        struct run_probe_agent *own = agent_of(probe, agent);
        if (own == NULL || own->state > PROBE_RUNNING)
            continue;
        probe->holds++;
        if (own->state == PROBE_RUNNING) {
            own->state = PROBE_AWAY;
            own->away_ms = uv_now(run->loop);
            snprintf(own->text, sizeof own->text, "Its agent went away; waiting for it.");
            run_probe_progress(probe);
        } else {
            run_probe_fail_agent(probe, own, DP_ERR_UNAVAILABLE, "The agent went away.");
            start_if_ready(probe);
        }
        run_probe_release(probe);
    }
}

void run_probes_agent_back(struct dp_run *run, const struct run_agent *agent)
{
    struct run_probe *probe, *next;
    HASH_ITER(hh, run->probes, probe, next)
    {
        struct run_probe_agent *own = agent_of(probe, agent);
        if (own == NULL || own->state != PROBE_AWAY)
            continue;
        /* A result of the agent before it restarted may still be in its spool: a moment is left for that. */
        if (own->epoch == agent->epoch)
            own->state = PROBE_RUNNING;
        else
            own->away_ms = uv_now(run->loop) - (AWAY_MS - RESTARTED_MS);
        own->text[0] = '\0';
        run_probe_progress(probe);
    }
}

static void tick_agent(struct run_probe *probe, struct run_probe_agent *own)
{
    uint64_t now = uv_now(probe->run->loop), since = now - probe->began_ms;
    if (own->state == PROBE_PREPARING && since > PREPARE_MS)
        run_probe_fail_agent(
            probe, own, DP_ERR_TIMEOUT,
            "The agent gave no answer. Its version may be too old for probes; its log may tell.");
    else if (own->state == PROBE_AWAY && now - own->away_ms > AWAY_MS)
        run_probe_fail_agent(probe, own, DP_ERR_UNAVAILABLE,
                             "The agent went away and did not come back in time with a result.");
    else if (own->state == PROBE_RUNNING && since > LONGEST_MS)
        run_probe_fail_agent(probe, own, DP_ERR_TIMEOUT, "The agent sent no result.");
}

void run_probes_tick(struct dp_run *run)
{
    struct run_probe *probe, *next;
    HASH_ITER(hh, run->probes, probe, next)
    {
        probe->holds++;
        for (size_t i = 0; i < probe->agent_count; i++)
            tick_agent(probe, &probe->agents[i]);
        start_if_ready(probe);
        if (!probe->over)
            run_probe_progress(probe);
        run_probe_release(probe);
    }
}

void run_probes_operator_gone(struct dp_run *run, const struct dp_peer *peer)
{
    for (struct run_probe *probe = run->probes; probe != NULL; probe = probe->hh.next)
        if (probe->operator_peer == peer)
            probe->operator_peer = NULL; /* the results stay in the history */
}
