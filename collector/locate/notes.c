/* What packets say beyond their digests: SMTP replies, whose connection a proxy carries on, which message it
 * is. */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

static void take_reply(struct flow *flow, uint32_t vantage, const struct dp_note *note)
{
    flow->smtp_code = note->code;
    flow->smtp_ns = note->ts_ns;
    flow->smtp_vantage = (uint8_t)vantage;
    memcpy(flow->smtp_text, note->text, sizeof flow->smtp_text);
    flow->smtp_text[sizeof flow->smtp_text - 1] = '\0';
}

/* Only at the very beginning of the client's stream: anyone can write the same words later. */
static int take_origin(struct flow *flow, int half, uint32_t vantage, const struct dp_note *note)
{
    const struct half *h = &flow->half[half];
    uint64_t position = view_position(flow, half, vantage, note->seq);
    if (half != 0 || flow->origin || !h->syn || position != h->first_position + 1)
        return DP_OK;
    flow->origin = malloc(sizeof *flow->origin);
    if (!flow->origin)
        return DP_ERR_NOMEM;
    *flow->origin = (struct dp_endpoints){note->from, note->to, note->from_port, note->to_port};
    flow->origin_end = position + note->len;
    flow->origin_vantage = (uint8_t)vantage;
    return DP_OK;
}

static int take_mail_mark(struct flow *flow, int half, uint32_t vantage, const struct dp_note *note)
{
    uint64_t position = view_position(flow, half, vantage, note->seq);
    for (size_t i = 0; i < flow->mail_count; i++) { /* another vantage point told, or the packet came again */
        const struct mail_mark *m = &flow->mails[i];
        if (m->value == note->value && m->kind == note->kind && m->position == position)
            return DP_OK;
    }
    if (flow->mail_count == MAIL_MARKS_MOST)
        return DP_OK;
    int code = dp_grow(&flow->mails, &flow->mail_room, flow->mail_count + 1, sizeof *flow->mails);
    if (code == DP_OK)
        flow->mails[flow->mail_count++] =
            (struct mail_mark){note->value, position, note->ts_ns, vantage, (uint8_t)half, note->kind};
    return code;
}

int notes_take(struct dp_locate *l, uint32_t vantage, const struct dp_note *note)
{
    bool from_client;
    struct flow *flow = flow_at(&l->vantages[vantage], note->flow, note->dir, &from_client);
    if (!flow)
        return DP_OK;
    int half = from_client ? 0 : 1;
    switch (note->kind) {
    case DP_NOTE_REPLY:
        take_reply(flow, vantage, note);
        return DP_OK;
    case DP_NOTE_PROXIED:
        return take_origin(flow, half, vantage, note);
    default:
        return take_mail_mark(flow, half, vantage, note);
    }
}
