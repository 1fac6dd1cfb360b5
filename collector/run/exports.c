/* Fetching packets of a capture from the agents' rings for an operator, one vantage point after the other. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define SILENCE_MS 30000
#define FLOWS_MAX 10000

struct run_export {
    struct dp_run *run;
    struct dp_peer *peer;
    uint64_t request;
    char capture_id[64];
    bool all_flows;
    json_t *document;
    size_t vantage; /* in hand, number in the document */
    char vantage_name[96];
    struct run_agent *agent;
    uint64_t heard_ms;
    struct run_export *prev, *next;
};

static void forget(struct run_export *export)
{
    DL_DELETE(export->run->exports, export);
    json_decref(export->document);
    free(export);
}

void run_exports_free(struct dp_run *run)
{
    while (run->exports != NULL)
        forget(run->exports);
}

static struct run_export *find(struct dp_run *run, const char *capture_id)
{
    struct run_export *export = NULL;
    DL_FOREACH(run->exports, export)
    {
        if (strcmp(export->capture_id, capture_id) == 0)
            return export;
    }
    return NULL;
}

/* --- which flows --- */

struct flow_keys {
    Droppoint__FlowKey *keys, **pointers;
    size_t count;
    uint8_t (*bytes)[2][16];
};

static void free_keys(struct flow_keys *keys)
{
    free(keys->keys);
    free(keys->pointers);
    free(keys->bytes);
}

/* "192.0.2.1:25" or "[2001:db8::1]:25" */
static bool parse_endpoint(const char *text, uint8_t bytes[16], size_t *ret_len, uint32_t *ret_port)
{
    char host[64];
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    if (colon == NULL || (size_t)(colon - text) >= sizeof host)
        return false;
    bool six = text[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (six ? 2 : 0), text + (six ? 1 : 0));
    *ret_port = (uint32_t)strtoul(colon + 1, NULL, 10) & 0xffff;
    *ret_len = six ? 16 : 4;
    return inet_pton(six ? AF_INET6 : AF_INET, host, bytes) == 1;
}

static uint32_t proto_of(const json_t *flow)
{
    const char *app = json_string_value(json_object_get(flow, "app"));
    if (app != NULL && (strcmp(app, "udp") == 0 || strcmp(app, "dns") == 0))
        return 17;
    if (app != NULL && strncmp(app, "icmp", 4) == 0)
        return strcmp(app, "icmp6") == 0 ? 58 : 1;
    return 6;
}

static void add_key(struct flow_keys *keys, const json_t *flow, const char *vantage)
{
    const json_t *seen = json_object_get(json_object_get(flow, "seen_as"), vantage);
    const json_t *ends = seen != NULL ? seen : flow;
    Droppoint__FlowKey *key = &keys->keys[keys->count];
    droppoint__flow_key__init(key);
    uint8_t(*bytes)[16] = keys->bytes[keys->count];
    if (!parse_endpoint(json_string_value(json_object_get(ends, "client")), bytes[0], &key->a.len,
                        &key->a_port) ||
        !parse_endpoint(json_string_value(json_object_get(ends, "server")), bytes[1], &key->b.len,
                        &key->b_port))
        return;
    key->proto = proto_of(flow);
    key->a.data = bytes[0];
    key->b.data = bytes[1];
    keys->pointers[keys->count++] = key;
}

static bool in_a_finding(const json_t *document, const json_t *id)
{
    size_t i = 0, j = 0;
    json_t *finding = NULL, *flow = NULL;
    json_array_foreach(json_object_get(document, "findings"), i, finding)
        json_array_foreach(json_object_get(finding, "flows"), j,
                           flow) if (json_integer_value(flow) == json_integer_value(id)) return true;
    return false;
}

/* No keys means all flows. */
static int make_keys(const struct run_export *export, struct flow_keys *keys)
{
    const json_t *flows = json_object_get(export->document, "flows");
    size_t i = 0, room = json_array_size(flows) < FLOWS_MAX ? json_array_size(flows) : FLOWS_MAX;
    json_t *flow = NULL;
    *keys = (struct flow_keys){.keys = calloc(room + 1, sizeof *keys->keys),
                               .pointers = calloc(room + 1, sizeof(Droppoint__FlowKey *)),
                               .bytes = calloc(room + 1, sizeof *keys->bytes)};
    if (keys->keys == NULL || keys->pointers == NULL || keys->bytes == NULL)
        return DP_ERR_NOMEM;
    if (!export->all_flows)
        json_array_foreach(flows, i, flow) if (keys->count < room &&
                                               in_a_finding(export->document, json_object_get(flow, "id")))
            add_key(keys, flow, export->vantage_name);
    return DP_OK;
}

/* --- one vantage point after the other --- */

static void next_vantage(struct run_export *export);

static void send_failure(struct run_export *export, int code, const char *text)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    chunk.capture_id = export->capture_id;
    chunk.vantage = export->vantage_name;
    chunk.last = true;
    chunk.error = (char *)dp_err_name(code);
    chunk.error_text = (char *)text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK;
    envelope.export_chunk = &chunk;
    run_send(export->run, export->peer, export->request, &envelope);
}

static int ask_agent(struct run_export *export)
{
    struct flow_keys keys;
    int code = make_keys(export, &keys);
    if (code == DP_OK) {
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__ExportRequest body = DROPPOINT__EXPORT_REQUEST__INIT;
        body.capture_id = export->capture_id;
        body.vantage = export->vantage_name;
        body.n_flows = keys.count;
        body.flows = keys.pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_REQUEST;
        envelope.export_request = &body;
        run_send(export->run, export->agent->peer, export->request, &envelope);
        export->heard_ms = uv_now(export->run->loop);
    }
    free_keys(&keys);
    return code;
}

/* Turns to the vantage point in hand; goes on where it can't be asked. */
static void next_vantage(struct run_export *export)
{
    const json_t *vantages = json_object_get(export->document, "vantages");
    for (; export->vantage < json_array_size(vantages); export->vantage++) {
        const char *name =
            json_string_value(json_object_get(json_array_get(vantages, export->vantage), "name"));
        char agent[64];
        snprintf(export->vantage_name, sizeof export->vantage_name, "%s", name != NULL ? name : "");
        snprintf(agent, sizeof agent, "%.*s", (int)strcspn(export->vantage_name, "/"), export->vantage_name);
        export->agent = run_agent_named(export->run, agent);
        if (export->agent == NULL || export->agent->peer == NULL) {
            char text[128];
            snprintf(text, sizeof text, "Agent %s is not connected.", agent);
            send_failure(export, DP_ERR_UNAVAILABLE, text);
            continue;
        }
        int code = ask_agent(export);
        if (code == DP_OK)
            return;
        send_failure(export, code, dp_err_sentence(code));
    }
    run_result(export->run, export->peer, export->request, DP_OK, "All vantage points were asked.");
    forget(export);
}

static void skip(struct run_export *export, int code, const char *text)
{
    send_failure(export, code, text);
    export->vantage++;
    next_vantage(export);
}

struct ask {
    struct run_asker *asker;
    char capture_id[64];
    bool all_flows;
};

static void on_document(void *context, int code, const char *text)
{
    struct ask *ask = context;
    struct run_asker *asker = ask->asker;
    struct dp_run *run = asker->run;
    json_t *document = code == DP_OK ? json_loads(text, 0, NULL) : NULL;
    struct run_export *export = document != NULL ? calloc(1, sizeof *export) : NULL;
    if (export == NULL || run->closing || asker->peer == NULL || find(run, ask->capture_id) != NULL) {
        json_decref(document);
        bool busy = code == DP_OK && find(run, ask->capture_id) != NULL;
        run_asker_answer(
            asker,
            code == DP_ERR_END ? DP_ERR_UNAVAILABLE
            : code != DP_OK    ? code
                               : DP_ERR_EXISTS,
            busy ? "The packets of this capture are being fetched just now. Try again when that is done."
                 : text);
        free(export);
        free(ask);
        return;
    }
    *export = (struct run_export){.run = run,
                                  .peer = asker->peer,
                                  .request = asker->request,
                                  .all_flows = ask->all_flows,
                                  .document = document};
    snprintf(export->capture_id, sizeof export->capture_id, "%s", ask->capture_id);
    DL_APPEND(run->exports, export);
    run_asker_free(asker);
    free(ask);
    next_vantage(export);
}

void run_export_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const Droppoint__CaptureExport *body)
{
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        run_asker_answer(asker, DP_ERR_NOMEM, NULL);
        return;
    }
    ask->asker = asker;
    ask->all_flows = body->all_flows;
    snprintf(ask->capture_id, sizeof ask->capture_id, "%s", body->capture_id);
    int code = dp_store_document(run->store, body->capture_id, on_document, ask);
    if (code != DP_OK) {
        free(ask);
        run_asker_answer(asker, code, NULL);
    }
}

void run_export_chunk(struct dp_run *run, struct run_agent *agent, const Droppoint__ExportChunk *chunk)
{
    struct run_export *export = find(run, chunk->capture_id);
    if (export == NULL || export->agent != agent || strcmp(export->vantage_name, chunk->vantage) != 0)
        return;
    export->heard_ms = uv_now(run->loop);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK;
    envelope.export_chunk = (Droppoint__ExportChunk *)chunk;
    run_send(run, export->peer, export->request, &envelope);
    if (chunk->last || chunk->error[0] != '\0') {
        export->vantage++;
        next_vantage(export);
    }
}

void run_export_credit(struct dp_run *run, struct dp_peer *peer, const Droppoint__ExportCredit *credit)
{
    struct run_export *export = find(run, credit->capture_id);
    if (export == NULL || export->peer != peer || strcmp(export->vantage_name, credit->vantage) != 0)
        return;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CREDIT;
    envelope.export_credit = (Droppoint__ExportCredit *)credit;
    export->heard_ms = uv_now(run->loop);
    run_send(run, export->agent->peer, export->request, &envelope);
}

void run_exports_gone(struct dp_run *run, const struct dp_peer *operator_peer, const struct run_agent *agent)
{
    struct run_export *export, *next;
    DL_FOREACH_SAFE(run->exports, export, next)
    {
        if (operator_peer != NULL && export->peer == operator_peer)
            forget(export);
        else if (agent != NULL && export->agent == agent && !run->closing)
            skip(export, DP_ERR_UNAVAILABLE, "Its agent went away.");
    }
}

void run_exports_tick(struct dp_run *run)
{
    struct run_export *export, *next;
    DL_FOREACH_SAFE(run->exports, export, next)
    {
        if (uv_now(run->loop) - export->heard_ms > SILENCE_MS)
            skip(export, DP_ERR_TIMEOUT, "Its agent does not answer.");
    }
}
