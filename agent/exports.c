#include "agent/exports.h"

#include <stdlib.h>

#include "agent/session.h"

static void send_error(struct agent *agent, uint64_t request, const Droppoint__ExportRequest *message,
                       int code, const char *text)
{
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK;
    envelope.export_chunk = &chunk;
    chunk.capture_id = message->capture_id;
    chunk.vantage = message->vantage;
    chunk.last = true;
    chunk.error = (char *)dp_err_name(code);
    chunk.error_text = (char *)text;
    int sent = agent_send(agent, &envelope);
    (void)sent; /* the asker is gone */
}

void agent_export_begin(struct agent *agent, uint64_t request, const Droppoint__ExportRequest *message)
{
    send_error(agent, request, message, DP_ERR_UNSUPPORTED, "This agent cannot export packets.");
}

void agent_export_credit(struct agent *agent, const Droppoint__ExportCredit *message)
{
    (void)agent;
    (void)message;
}

void agent_exports_down(struct agent *agent)
{
    (void)agent;
}
