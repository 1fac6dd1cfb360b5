#include "agent/exports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/capture/ring.h"
#include "agent/rings.h"
#include "agent/session.h"

#define EXPORTS_MAX 16
#define WINDOW_BYTES (1024 * 1024) /* under way to the reader */

/* A piece is looked for on a thread of libuv's pool: a few packets of one flow may lie anywhere in a
 * gigabyte. */
struct agent_export {
    struct agent *agent;
    uint64_t request;
    char capture_id[64];
    char vantage[96];
    struct dp_ring_export *ring;
    uint64_t sent, taken;
    bool working;   /* `work` is on its way */
    bool abandoned; /* goes as soon as the work is back */
    uv_work_t work;
    const uint8_t *piece; /* the work's answer */
    size_t piece_len;
    int code;
    struct dp_diag diag;
    struct agent_export *prev, *next;
};

static int send_chunk(struct agent *agent, uint64_t request, Droppoint__ExportChunk *chunk)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK;
    envelope.export_chunk = chunk;
    return agent_send(agent, &envelope);
}

/* The last word: all is sent (code 0, text may tell what was left out), or it failed. */
static void send_end(struct agent *agent, uint64_t request, const char *capture_id, const char *vantage,
                     uint64_t offset, int code, const char *text)
{
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    chunk.capture_id = (char *)capture_id;
    chunk.vantage = (char *)vantage;
    chunk.offset = offset;
    chunk.last = true;
    chunk.error = code == DP_OK ? (char *)"" : (char *)dp_err_name(code);
    chunk.error_text = (char *)text;
    int sent = send_chunk(agent, request, &chunk);
    (void)sent; /* the reader is gone */
}

static void remove_export(struct agent_export *export)
{
    DL_DELETE(export->agent->exports, export);
    dp_ring_export_close(export->ring);
    free(export);
}

static void on_work(uv_work_t *work)
{
    struct agent_export *export = work->data;
    export->code = dp_ring_export_next(export->ring, &export->piece, &export->piece_len, &export->diag);
}

static void on_worked(uv_work_t *work, int status);

static void look_for_more(struct agent_export *export)
{
    if (export->working || export->sent - export->taken >= WINDOW_BYTES)
        return;
    export->working = uv_queue_work(export->agent->loop, &export->work, on_work, on_worked) == 0;
}

static void on_worked(uv_work_t *work, int status)
{
    struct agent_export *export = work->data;
    struct agent *agent = export->agent;
    export->working = false;
    if (export->abandoned || status != 0) {
        remove_export(export);
        return;
    }
    if (export->code != DP_OK) {
        bool done = export->code == DP_ERR_END;
        send_end(agent, export->request, export->capture_id, export->vantage, export->sent,
                 done ? DP_OK : export->code,
                 done ? dp_ring_export_left_out(export->ring) : dp_reason(&export->diag, export->code));
        remove_export(export);
        return;
    }
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    chunk.capture_id = export->capture_id;
    chunk.vantage = export->vantage;
    chunk.offset = export->sent;
    chunk.data = (ProtobufCBinaryData){.len = export->piece_len, .data = (uint8_t *)export->piece};
    if (send_chunk(agent, export->request, &chunk) != DP_OK) {
        remove_export(export); /* the reader asks again */
        return;
    }
    export->sent += export->piece_len;
    look_for_more(export);
}

static struct dp_addr address_of(const ProtobufCBinaryData *bytes)
{
    struct dp_addr addr = {.family = bytes->len == 4 ? 4 : 6};
    memcpy(addr.bytes, bytes->data, bytes->len);
    return addr;
}

static struct dp_ring_flow *flows_of(const Droppoint__ExportRequest *message)
{
    struct dp_ring_flow *flows = calloc(message->n_flows + 1, sizeof *flows);
    for (size_t i = 0; flows && i < message->n_flows; i++) {
        const Droppoint__FlowKey *key = message->flows[i];
        flows[i] = (struct dp_ring_flow){.proto = (uint8_t)key->proto,
                                         .a = address_of(&key->a),
                                         .b = address_of(&key->b),
                                         .a_port = (uint16_t)key->a_port,
                                         .b_port = (uint16_t)key->b_port};
    }
    return flows;
}

static struct agent_export *find_export(const struct agent *agent, const char *capture_id,
                                        const char *vantage)
{
    struct agent_export *export;
    DL_FOREACH(agent->exports, export)
    if (!export->abandoned && strcmp(export->capture_id, capture_id) == 0 &&
        strcmp(export->vantage, vantage) == 0)
        return export;
    return NULL;
}

static int check_request(const struct agent *agent, const Droppoint__ExportRequest *message,
                         struct dp_diag *diag)
{
    struct agent_export *export;
    int count;
    DL_COUNT(agent->exports, export, count);
    if (dp_policy_payload(agent->policy) == DP_PAYLOAD_NEVER)
        return dp_fail(diag, DP_ERR_DENIED,
                       "This agent's policy does not let packets leave the host (payload: never).");
    if (find_export(agent, message->capture_id, message->vantage))
        return dp_fail(diag, DP_ERR_EXISTS, "Packets of capture %s at %s are being fetched already.",
                       message->capture_id, message->vantage);
    if (count >= EXPORTS_MAX)
        return dp_fail(diag, DP_ERR_FULL, "This agent sends %d exports already, which is its limit.",
                       EXPORTS_MAX);
    return DP_OK;
}

static int open_ring(const struct agent *agent, const Droppoint__ExportRequest *message,
                     struct dp_ring_export **ret_ring, struct dp_diag *diag)
{
    char directory[PATH_MAX];
    int code = agent_ring_path(agent->settings.state_directory, message->capture_id,
                               strchr(message->vantage, '/') + 1, directory);
    if (code != DP_OK)
        return code;
    struct dp_ring_flow *flows = flows_of(message);
    if (!flows)
        return DP_ERR_NOMEM;
    struct dp_ring_export_options options = {
        .directory = directory,
        .vantage = message->vantage,
        .flows = flows,
        .flow_count = message->n_flows,
        .cut_payload = dp_policy_payload(agent->policy) != DP_PAYLOAD_FULL,
        .max_bytes = message->max_bytes,
    };
    code = dp_ring_export_open(&options, ret_ring, diag);
    free(flows);
    return code;
}

static int begin(struct agent *agent, uint64_t request, const Droppoint__ExportRequest *message,
                 struct dp_diag *diag)
{
    struct dp_ring_export *ring = NULL;
    int code = check_request(agent, message, diag);
    if (code == DP_OK)
        code = open_ring(agent, message, &ring, diag);
    if (code != DP_OK)
        return code;
    struct agent_export *export = calloc(1, sizeof *export);
    if (!export) {
        dp_ring_export_close(ring);
        return DP_ERR_NOMEM;
    }
    export->agent = agent;
    export->request = request;
    export->ring = ring;
    export->work.data = export;
    (void)snprintf(export->capture_id, sizeof export->capture_id, "%s", message->capture_id);
    (void)snprintf(export->vantage, sizeof export->vantage, "%s", message->vantage);
    DL_APPEND(agent->exports, export);
    dp_log(&agent->log, DP_LOG_INFO, "Packets of capture %s at %s are sent to the collector.",
           export->capture_id, export->vantage);
    look_for_more(export);
    return DP_OK;
}

void agent_export_begin(struct agent *agent, uint64_t request, const Droppoint__ExportRequest *message)
{
    struct dp_diag diag = {""};
    int code = begin(agent, request, message, &diag);
    if (code != DP_OK)
        send_end(agent, request, message->capture_id, message->vantage, 0, code, dp_reason(&diag, code));
}

void agent_export_credit(struct agent *agent, const Droppoint__ExportCredit *message)
{
    struct agent_export *export = find_export(agent, message->capture_id, message->vantage);
    if (!export || message->taken > export->sent || message->taken <= export->taken)
        return;
    export->taken = message->taken;
    look_for_more(export);
}

void agent_exports_down(struct agent *agent)
{
    struct agent_export *export, *after;
    DL_FOREACH_SAFE(agent->exports, export, after)
    {
        if (export->working)
            export->abandoned = true;
        else
            remove_export(export);
    }
}
