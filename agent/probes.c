#include "agent/probes.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/probe/core/prober.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/target.h"
#include "agent/probe/relay/imap_proof.h"
#include "agent/session.h"
#include "agent/streams.h"
#include "common/probe_record/probe_record.h"

#define PREPARED_MS 20000     /* a probe that nobody starts is forgotten */
#define AHEAD_NS 5000000000LL /* no start lies farther ahead, unless a clock is wrong */
#define PLACES_MAX 80
#define MINUTE 60

enum phase {
    PREPARED, /* forgotten when the timer fires */
    WAITING,  /* begins when it fires */
    RUNNING,
    OVER, /* removed when it fires: the prober still needs the request when it tells the result */
};

struct agent_probe {
    struct agent *agent;
    char id[64];
    struct dp_request *request;
    enum phase phase;
    struct dp_probe *running;
    struct dp_timer *timer;
    struct agent_probe *prev, *next;
};

struct agent_probes {
    struct dp_prober *prober;
    struct agent_probe *list;
    size_t count;
    uint64_t second;        /* the newest of `begun` */
    uint64_t begun[MINUTE]; /* probes by second */
};

static struct agent_probe *find_probe(const struct agent *agent, const char *id)
{
    struct agent_probe *probe;
    DL_FOREACH(agent->probes->list, probe)
    if (strcmp(probe->id, id) == 0)
        return probe;
    return NULL;
}

static void remove_probe(struct agent_probe *probe)
{
    struct agent_probes *probes = probe->agent->probes;
    DL_DELETE(probes->list, probe);
    probes->count--;
    dp_timer_drop(probe->timer);
    dp_request_free(probe->request);
    free(probe);
}

/* --- how many --- */

static void forget_old_seconds(struct agent *agent)
{
    struct agent_probes *probes = agent->probes;
    uint64_t now = uv_now(agent->loop) / 1000;
    for (; probes->second < now; probes->second++) {
        if (now - probes->second > MINUTE)
            probes->second = now - MINUTE;
        probes->begun[(probes->second + 1) % MINUTE] = 0;
    }
}

static uint64_t last_minute(struct agent *agent)
{
    uint64_t sum = 0;
    forget_old_seconds(agent);
    for (size_t i = 0; i < MINUTE; i++)
        sum += agent->probes->begun[i];
    return sum;
}

/* --- what the policy is asked --- */

struct wishes {
    const char *places[PLACES_MAX], *files[PLACES_MAX];
    size_t place_count, file_count;
    char host[DP_HOST_TEXT * 2];
    char servers[PLACES_MAX][DP_HOST_TEXT];
};

/* Options that name a file of this host, and such that packets are sent to. */
static bool names_file(const char *option)
{
    static const char *const names[] = {"--auth-file", "--proof-mailbox", "--named-conf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(option, names[i]) == 0)
            return true;
    return false;
}

static bool names_server(const char *option)
{
    return strcmp(option, "--server") == 0 || strcmp(option, "--write-to") == 0;
}

/* The host of "host:port"; what is no such thing is taken whole. */
static void host_of(const char *text, char *host, size_t size)
{
    struct dp_host_port target;
    if (dp_host_port_parse(text, &target, NULL) == 0)
        (void)snprintf(host, size, "%s", target.host);
    else
        (void)snprintf(host, size, "%s", text);
}

static void add_option(void *context, const char *option, const char *value)
{
    struct wishes *wishes = context;
    struct imap_place place;
    bool account = value && strcmp(option, "--proof-mailbox") == 0 && imap_place_meant(value);
    if (value && names_file(option) && !account && wishes->file_count < PLACES_MAX)
        wishes->files[wishes->file_count++] = value;
    if (account && imap_place_parse(value, &place, NULL) == DP_OK)
        value = place.server.host;
    if (value && (account || names_server(option)) && wishes->place_count < PLACES_MAX) {
        char *server = wishes->servers[wishes->place_count];
        host_of(value, server, sizeof wishes->servers[0]);
        wishes->places[wishes->place_count++] = server;
    }
}

static int ask_policy(struct agent *agent, const struct dp_request *request, struct dp_diag *diag)
{
    static const char *const by_interface[] = {"link", "arp"};
    struct wishes wishes = {.place_count = 0};
    const char *target = dp_request_target(request), *kind = dp_request_kind(request)->name;
    bool interface = false;
    for (size_t i = 0; i < sizeof by_interface / sizeof by_interface[0]; i++)
        interface = interface || (strcmp(kind, by_interface[i]) == 0 && if_nametoindex(target) != 0);
    if (target[0] && !interface) {
        host_of(target, wishes.host, sizeof wishes.host);
        wishes.places[wishes.place_count++] = wishes.host;
    }
    dp_request_each(request, add_option, &wishes);
    const struct dp_probe_wish wish = {.kind = kind,
                                       .places = wishes.places,
                                       .place_count = wishes.place_count,
                                       .files = wishes.files,
                                       .file_count = wishes.file_count,
                                       .timeout_ms = dp_request_timeout_ms(request),
                                       .running = agent->probes->count,
                                       .last_minute = last_minute(agent)};
    return dp_policy_probe(agent->policy, &wish, diag);
}

/* --- preparing --- */

static void send_ready(struct agent *agent, uint64_t request, const char *id, int code, const char *text)
{
    Droppoint__ProbeReady ready = DROPPOINT__PROBE_READY__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_READY;
    envelope.probe_ready = &ready;
    ready.probe_id = (char *)id;
    ready.ok = code == DP_OK;
    if (code != DP_OK) {
        ready.error = (char *)dp_err_name(code);
        ready.error_text = (char *)text;
        dp_log(&agent->log, DP_LOG_WARNING, "Probe %s cannot run here: %s", id, text);
    }
    int sent = agent_send(agent, &envelope);
    (void)sent; /* a lost collector forgets what is only prepared, and so do we */
}

static int make_request(const struct agent *agent, const Droppoint__ProbePrepare *message,
                        struct dp_request **ret_request, struct dp_diag *diag)
{
    struct dp_request *request = NULL;
    int code = dp_request_new(message->kind, &request, diag);
    if (code != DP_OK)
        return code;
    for (size_t i = 0; i < message->n_options && code == DP_OK; i++) {
        const Droppoint__ProbeOption *option = message->options[i];
        code = dp_request_set(request, option->name, option->value[0] ? option->value : NULL, diag);
    }
    if (code == DP_OK && message->target[0])
        code = dp_request_set_target(request, message->target, diag);
    if (code == DP_OK && strcmp(message->kind, "services") == 0 && agent->settings.expected_services[0] &&
        !dp_request_given(request, "--expect"))
        code = dp_request_set(request, "--expect", agent->settings.expected_services, diag);
    if (code == DP_OK)
        code = dp_request_check(request, diag);
    if (code != DP_OK)
        dp_request_free(request);
    else
        *ret_request = request;
    return code;
}

static void run_now(struct agent_probe *probe);

static void on_timer(void *context)
{
    struct agent_probe *probe = context;
    if (probe->phase == WAITING)
        run_now(probe);
    else
        remove_probe(probe);
}

static void end(struct agent_probe *probe)
{
    probe->phase = OVER;
    probe->running = NULL;
    dp_timer_start(probe->timer, 0, 0);
}

static int add_probe(struct agent *agent, const char *id, struct dp_request *request)
{
    struct agent_probe *probe = calloc(1, sizeof *probe);
    if (!probe || dp_timer_new(agent->loop, on_timer, probe, &probe->timer) != DP_OK) {
        free(probe);
        return DP_ERR_NOMEM;
    }
    probe->agent = agent;
    probe->request = request;
    (void)snprintf(probe->id, sizeof probe->id, "%s", id);
    dp_timer_start(probe->timer, PREPARED_MS, 0);
    DL_APPEND(agent->probes->list, probe);
    agent->probes->count++;
    forget_old_seconds(agent);
    agent->probes->begun[agent->probes->second % MINUTE]++;
    return DP_OK;
}

void agent_probe_prepare(struct agent *agent, uint64_t request, const Droppoint__ProbePrepare *message)
{
    struct dp_diag diag = {""};
    struct dp_request *made = NULL;
    int code =
        agent->stopping || find_probe(agent, message->probe_id)
            ? dp_fail(&diag, DP_ERR_UNAVAILABLE, "The agent is stopping, or has a probe of this number.")
            : make_request(agent, message, &made, &diag);
    if (code == DP_OK)
        code = ask_policy(agent, made, &diag);
    if (code == DP_OK)
        code = add_probe(agent, message->probe_id, made);
    if (code != DP_OK)
        dp_request_free(made);
    send_ready(agent, request, message->probe_id, code, dp_reason(&diag, code));
}

/* --- results --- */

/* The record and its stream end together: what is in the spool is a whole result. */
static int spool_record(struct agent *agent, const char *id, const json_t *record)
{
    char vantage[96];
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct agent_stream *stream = NULL;
    int code = record ? dp_probe_record_encode(record, &bytes, &len) : DP_ERR_NOMEM;
    if (code != DP_OK)
        return code;
    (void)snprintf(vantage, sizeof vantage, "%s/probe", agent->settings.name);
    code = agent_stream_begin(agent, DROPPOINT__STREAM_KIND__STREAM_KIND_PROBES, id, vantage, NULL, NULL,
                              &stream);
    if (code == DP_OK) {
        (void)agent_stream_append(agent, stream, 1, bytes, len, false); /* a full spool keeps it waiting */
        agent_stream_end(agent, stream);
    }
    free(bytes);
    return code;
}

static void spool_error(struct agent *agent, const char *id, int64_t started_ns, int why, const char *text)
{
    json_t *record = dp_probe_record_error(started_ns, why, text);
    int code = spool_record(agent, id, record);
    if (code != DP_OK)
        dp_log(&agent->log, DP_LOG_ERROR, "The end of probe %s cannot be told: %s", id,
               dp_err_sentence(code));
    json_decref(record);
}

static void on_done(void *context, const struct dp_probe_result *result)
{
    struct agent_probe *probe = context;
    struct agent *agent = probe->agent;
    if (result->code != DP_OK) {
        spool_error(agent, probe->id, result->started_ns, result->code, result->summary);
        end(probe);
        return;
    }
    json_t *entry = dp_probe_result_json(result, agent->settings.name);
    json_t *record = entry ? dp_probe_record_result(result->started_ns, entry) : NULL;
    int code = spool_record(agent, probe->id, record);
    if (code != DP_OK)
        spool_error(agent, probe->id, result->started_ns, code,
                    code == DP_ERR_FULL ? "The result is too large to be sent." : dp_err_sentence(code));
    json_decref(record);
    json_decref(entry);
    end(probe);
}

/* --- starting --- */

static void run_now(struct agent_probe *probe)
{
    struct agent *agent = probe->agent;
    struct dp_diag diag = {""};
    dp_timer_stop(probe->timer);
    probe->phase = RUNNING;
    int code =
        dp_prober_start(agent->probes->prober, probe->request, on_done, NULL, probe, &probe->running, &diag);
    if (code == DP_OK)
        return;
    spool_error(agent, probe->id, agent_realtime_ns(), code, dp_reason(&diag, code));
    end(probe);
}

void agent_probe_start(struct agent *agent, const Droppoint__ProbeStart *message)
{
    struct agent_probe *probe = find_probe(agent, message->probe_id);
    if (!probe || probe->phase != PREPARED)
        return;
    int64_t ahead = message->at_ns ? message->at_ns - agent_realtime_ns() : (int64_t)message->in_ms * 1000000;
    if (ahead <= 0 || ahead > AHEAD_NS) {
        run_now(probe);
        return;
    }
    probe->phase = WAITING;
    uv_update_time(agent->loop);
    dp_timer_start(probe->timer, (uint64_t)(ahead + 500000) / 1000000, 0);
}

void agent_probe_cancel(struct agent *agent, const char *probe_id)
{
    struct agent_probe *probe = find_probe(agent, probe_id);
    if (probe && probe->phase == RUNNING) {
        dp_probe_cut_short(probe->running);
    } else if (probe && probe->phase == WAITING) {
        spool_error(agent, probe->id, agent_realtime_ns(), DP_ERR_END,
                    "The probe was stopped before it began.");
        end(probe);
    } else if (probe && probe->phase == PREPARED) {
        end(probe);
    }
}

/* --- life --- */

void agent_probes_down(struct agent *agent)
{
    struct agent_probe *probe;
    DL_FOREACH(agent->probes->list, probe)
    if (probe->phase == PREPARED)
        end(probe);
}

int agent_probes_open(struct agent *agent, struct dp_diag *diag)
{
    struct agent_probes *probes = calloc(1, sizeof *probes);
    if (!probes)
        return DP_ERR_NOMEM;
    /* What probes remember between runs lies beside the spool. */
    (void)setenv("XDG_STATE_HOME", agent->settings.state_directory, 0);
    int code = dp_prober_new(agent->loop, &probes->prober, diag);
    if (code != DP_OK) {
        free(probes);
        return code;
    }
    agent->probes = probes;
    return DP_OK;
}

void agent_probes_close(struct agent *agent)
{
    if (!agent->probes)
        return;
    dp_prober_close(agent->probes->prober);
    while (agent->probes->list)
        remove_probe(agent->probes->list);
    free(agent->probes);
    agent->probes = NULL;
}
