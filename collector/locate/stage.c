#include "collector/locate/stage.h"

#include <stdio.h>
#include <string.h>

#include "collector/locate/grow.h"
#include "collector/locate/text.h"

#define STAGES_MOST 512
#define LOOK_BACK 8 /* several vantage points tell the same at about the same time */

int stage_note(struct flow *flow, int half, uint32_t vantage, const struct observation *o, uint16_t app)
{
    for (size_t i = flow->stage_count, steps = 0; i-- > 0 && steps < LOOK_BACK; steps++) {
        const struct stage_mark *m = &flow->stages[i];
        if (m->position == o->start && m->half == half && m->app == app)
            return DP_OK;
    }
    if (flow->stage_count == STAGES_MOST) { /* a session of many messages: its beginning is of no more use */
        memmove(flow->stages, flow->stages + STAGES_MOST / 2, STAGES_MOST / 2 * sizeof *flow->stages);
        flow->stage_count = STAGES_MOST / 2;
    }
    int code = dp_grow(&flow->stages, &flow->stage_room, flow->stage_count + 1, sizeof *flow->stages);
    if (code == DP_OK)
        flow->stages[flow->stage_count++] =
            (struct stage_mark){o->start, o->ts_ns, app, (uint8_t)vantage, (uint8_t)half};
    return code;
}

static int64_t time_of(const struct dp_locate *l, const struct stage_mark *m)
{
    return to_reference(l, m->vantage, m->ts_ns);
}

/* The client's last words at or before a stream position; NULL: none. */
static const struct stage_mark *client_at(const struct flow *flow, uint64_t position)
{
    const struct stage_mark *best = NULL;
    for (size_t i = 0; i < flow->stage_count; i++) {
        const struct stage_mark *m = &flow->stages[i];
        if (m->half == 0 && m->position <= position && (!best || m->position >= best->position))
            best = m;
    }
    return best;
}

/* ... at or before a moment. */
static const struct stage_mark *client_by(const struct dp_locate *l, const struct flow *flow, int64_t t_ns)
{
    const struct stage_mark *best = NULL;
    for (size_t i = 0; i < flow->stage_count; i++) {
        const struct stage_mark *m = &flow->stages[i];
        if (m->half == 0 && time_of(l, m) <= t_ns && (!best || m->position >= best->position))
            best = m;
    }
    return best;
}

/* The code with which the server answered a client's words by then; 0: not yet. */
static uint16_t answer_to(const struct dp_locate *l, const struct flow *flow, const struct stage_mark *to,
                          int64_t t_ns)
{
    const struct stage_mark *first = NULL;
    for (size_t i = 0; i < flow->stage_count; i++) {
        const struct stage_mark *m = &flow->stages[i];
        if (m->half == 1 && time_of(l, m) > time_of(l, to) && time_of(l, m) <= t_ns &&
            (!first || m->position < first->position))
            first = m;
    }
    return first ? first->app : 0;
}

static bool speaks_smtp(const struct flow *flow)
{
    uint16_t port = flow->endpoints.server_port;
    return flow->stage_count || port == 25 || port == 587 || port == 2525;
}

/* What a client's words are. at: the bytes are these words themselves, not what follows them. */
static struct stage of_mark(const struct dp_locate *l, const struct flow *flow, const struct stage_mark *m,
                            uint64_t position, int64_t t_ns)
{
    bool itself = position == m->position;
    switch (m->app) {
    case DP_SMTP_CONTENT:
        return (struct stage){.kind = STAGE_CONTENT, .byte = position - m->position};
    case DP_SMTP_END_OF_DATA:
        return (struct stage){.kind = STAGE_DOT};
    case DP_SMTP_STARTTLS:
        if (!itself && answer_to(l, flow, m, t_ns) == 220)
            return (struct stage){.kind = STAGE_TLS};
        break;
    default:
        break;
    }
    return (struct stage){.kind = STAGE_COMMAND, .verb = m->app};
}

static struct stage of_reply(const struct dp_locate *l, const struct flow *flow, uint64_t start, int64_t t_ns)
{
    const struct half *h = &flow->half[1];
    const struct stage_mark *m = client_by(l, flow, t_ns);
    bool begins = h->syn && start == h->first_position + 1;
    if (begins || (!m && h->syn))
        return (struct stage){.kind = STAGE_BANNER, .reply = true};
    if (!m)
        return (struct stage){.kind = STAGE_UNKNOWN};
    struct stage stage = of_mark(l, flow, m, m->position + 1, t_ns);
    stage.reply = true;
    return stage;
}

struct stage stage_of_bytes(const struct dp_locate *l, const struct flow *flow, int half, uint64_t start,
                            bool syn, int64_t t_ns)
{
    if (!speaks_smtp(flow))
        return (struct stage){.kind = STAGE_UNKNOWN};
    if (syn)
        return (struct stage){.kind = STAGE_CONNECT, .reply = half == 1};
    if (half == 1)
        return of_reply(l, flow, start, t_ns);
    const struct stage_mark *m = client_at(flow, start);
    return m ? of_mark(l, flow, m, start, t_ns) : (struct stage){.kind = STAGE_UNKNOWN};
}

struct stage stage_at(const struct dp_locate *l, const struct flow *flow, int64_t t_ns)
{
    if (!speaks_smtp(flow))
        return (struct stage){.kind = STAGE_UNKNOWN};
    const struct stage_mark *m = client_by(l, flow, t_ns);
    if (!m) {
        bool begun = flow->half[0].syn && flow->half[1].syn;
        if (flow->established && !begun)
            return (struct stage){.kind = STAGE_UNKNOWN}; /* seen from its middle */
        return (struct stage){.kind = flow->established ? STAGE_BANNER : STAGE_CONNECT,
                              .reply = flow->established};
    }
    uint16_t answer = answer_to(l, flow, m, t_ns);
    uint64_t reached = flow->half[0].position > m->position + 1 ? flow->half[0].position : m->position + 1;
    if (m->app == DP_SMTP_DATA && answer == 354)
        return (struct stage){.kind = STAGE_CONTENT};
    struct stage stage = of_mark(l, flow, m, reached, t_ns);
    if (stage.kind == STAGE_CONTENT && t_ns != INT64_MAX)
        stage.byte = 0; /* how much there was by then is not kept */
    stage.answered = answer != 0 && stage.kind != STAGE_TLS && stage.kind != STAGE_CONTENT;
    return stage;
}

const char *stage_verb(uint16_t verb)
{
    static const char *const verbs[] = {"HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT",
                                        "RSET", "NOOP", "QUIT", "VRFY", "AUTH", "STARTTLS"};
    return verb >= DP_SMTP_HELO && verb <= DP_SMTP_STARTTLS ? verbs[verb - DP_SMTP_HELO] : "SMTP";
}

const char *stage_text(const struct stage *s, char text[STAGE_TEXT])
{
    char byte[TEXT_NUMBER];
    text[0] = '\0';
    switch (s->kind) {
    case STAGE_CONNECT:
        (void)snprintf(text, STAGE_TEXT, "the TCP handshake");
        break;
    case STAGE_BANNER:
        (void)snprintf(text, STAGE_TEXT, "the banner");
        break;
    case STAGE_COMMAND:
        (void)snprintf(text, STAGE_TEXT, s->reply || s->answered ? "the reply to %s" : "the %s command",
                       stage_verb(s->verb));
        break;
    case STAGE_CONTENT:
        if (s->reply)
            (void)snprintf(text, STAGE_TEXT, "a reply amid the message's content");
        else if (s->byte)
            (void)snprintf(text, STAGE_TEXT, "the message's content, at byte %s", text_number(s->byte, byte));
        else
            (void)snprintf(text, STAGE_TEXT, "the message's content");
        break;
    case STAGE_DOT:
        (void)snprintf(text, STAGE_TEXT,
                       s->reply || s->answered ? "the reply to the message" : "the final dot");
        break;
    case STAGE_TLS:
        (void)snprintf(text, STAGE_TEXT, "the TLS session behind STARTTLS");
        break;
    case STAGE_UNKNOWN:
        break;
    }
    return text;
}
