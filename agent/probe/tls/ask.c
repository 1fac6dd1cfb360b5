#include "agent/probe/tls/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/lines.h"
#include "agent/probe/net/stream.h"
#include "agent/probe/net/tls.h"

struct tls_ask {
    const struct tls_target *target;
    enum tls_version version;
    uint8_t *hello;
    size_t length;
    tls_asked *done;
    void *context;
    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer;
    struct dp_lines lines;
    struct starttls starttls;
    bool asked; /* the hello is out */
    uint8_t *answer;
    size_t answered;
    struct tls_got got;
    bool settled;
};

static void settle(struct tls_ask *ask, enum tls_outcome outcome, const char *why)
{
    if (ask->settled)
        return;
    ask->settled = true;
    ask->got.outcome = outcome;
    (void)snprintf(ask->got.why, sizeof ask->got.why, "%s", why);
    dp_timer_start(ask->timer, 0, 0);
}

static void on_time(void *context)
{
    struct tls_ask *ask = context;
    if (!ask->settled) {
        ask->settled = true;
        ask->got.outcome = TLS_GOT_NOTHING;
        (void)snprintf(ask->got.why, sizeof ask->got.why, "no answer in time");
    }
    ask->got.ssl = ask->got.outcome == TLS_GOT_HANDSHAKE ? dp_stream_ssl(ask->stream) : NULL;
    ask->done(ask->context, &ask->got); // may free ask
}

static void begin_tls(struct tls_ask *ask)
{
    SSL *ssl = NULL;
    ask->asked = true;
    if (ask->hello) {
        if (dp_stream_send(ask->stream, ask->hello, ask->length))
            settle(ask, TLS_GOT_NOTHING, dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    SSL_CTX *context = dp_probe_tls_context(ask->target->probe);
    if (!context || dp_tls_session(context, ask->target->name, &ssl) || dp_stream_start_tls(ask->stream, ssl))
        settle(ask, TLS_GOT_NOTHING, dp_err_sentence(DP_ERR_NOMEM));
}

static void take_lines(struct tls_ask *ask)
{
    const char *line;
    size_t length;
    bool cut;
    while (!ask->settled && !ask->asked && dp_lines_next(&ask->lines, &line, &length, &cut)) {
        char text[160];
        (void)snprintf(text, sizeof text, "the server says \"%.*s\"", (int)(length < 120 ? length : 120),
                       line);
        switch (starttls_take(&ask->starttls, line, length)) {
        case STARTTLS_WAIT:
            break;
        case STARTTLS_SAY:
            if (dp_stream_send(ask->stream, ask->starttls.say, strlen(ask->starttls.say)))
                settle(ask, TLS_GOT_NOTHING, dp_err_sentence(DP_ERR_NOMEM));
            break;
        case STARTTLS_READY:
            begin_tls(ask);
            break;
        case STARTTLS_ABSENT:
            settle(ask, TLS_GOT_OTHER, text);
            break;
        case STARTTLS_LATER:
            settle(ask, TLS_GOT_NOTHING, text);
            break;
        }
    }
}

static void judge(struct tls_ask *ask, bool whole)
{
    struct tls_answer answer = tls_answer_read(ask->version, ask->answer, ask->answered, whole);
    ask->got.answer = answer;
    if (answer.kind == TLS_ANSWER_HELLO)
        settle(ask, TLS_GOT_HELLO, "");
    else if (answer.kind == TLS_ANSWER_ALERT)
        settle(ask, TLS_GOT_ALERT, "an alert");
    else if (answer.kind == TLS_ANSWER_NOT_TLS)
        settle(ask, ask->answered ? TLS_GOT_OTHER : TLS_GOT_CLOSED,
               ask->answered ? "the answer is no TLS" : "the connection was closed");
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct tls_ask *ask = context;
    if (ask->settled)
        return;
    if (!ask->asked) {
        if (dp_lines_add(&ask->lines, bytes, length))
            settle(ask, TLS_GOT_OTHER, "the server floods");
        else
            take_lines(ask);
        return;
    }
    size_t room = TLS_ANSWER_MAX - ask->answered;
    size_t taken = length < room ? length : room;
    memcpy(ask->answer + ask->answered, bytes, taken);
    ask->answered += taken;
    judge(ask, ask->answered == TLS_ANSWER_MAX);
}

static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    struct tls_ask *ask = context;
    (void)end;
    if (ask->settled)
        return;
    if (!ask->asked)
        settle(ask, TLS_GOT_NOTHING, why); // hung up before STARTTLS: that says nothing of TLS
    else
        judge(ask, true);
}

static void on_secure(void *context, bool done, const char *why)
{
    settle(context, done ? TLS_GOT_HANDSHAKE : TLS_GOT_CLOSED, why);
}

static const struct dp_stream_events stream_events = {
    .data = on_data, .closed = on_closed, .secure = on_secure};

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct tls_ask *ask = context;
    dp_dial_drop(ask->dial);
    ask->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        settle(ask, TLS_GOT_NOTHING, result->why);
        return;
    }
    if (dp_stream_new(dp_probe_loop(ask->target->probe), result->fd, &stream_events, ask, &ask->stream))
        settle(ask, TLS_GOT_NOTHING, dp_err_sentence(DP_ERR_NOMEM));
    else if (ask->target->starttls == STARTTLS_NONE)
        begin_tls(ask);
}

int tls_ask_start(const struct tls_target *target, enum tls_version version, const uint8_t *hello,
                  size_t length, uint64_t timeout_ms, tls_asked *done, void *context,
                  struct tls_ask **ret_ask)
{
    struct tls_ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return DP_ERR_NOMEM;
    *ask = (struct tls_ask){
        .target = target, .version = version, .length = length, .done = done, .context = context};
    ask->starttls.protocol = target->starttls;
    ask->answer = malloc(TLS_ANSWER_MAX);
    ask->hello = hello ? malloc(length) : NULL;
    if (!ask->answer || (hello && !ask->hello) ||
        dp_timer_new(dp_probe_loop(target->probe), on_time, ask, &ask->timer) ||
        dp_dial_start(dp_probe_loop(target->probe), dp_probe_request(target->probe), &target->address,
                      timeout_ms, on_dialled, ask, &ask->dial)) {
        tls_ask_free(ask);
        return DP_ERR_NOMEM;
    }
    if (hello)
        memcpy(ask->hello, hello, length);
    dp_timer_start(ask->timer, timeout_ms, 0);
    *ret_ask = ask;
    return 0;
}

void tls_ask_free(struct tls_ask *ask)
{
    if (!ask)
        return;
    dp_dial_drop(ask->dial);
    dp_stream_drop(ask->stream);
    dp_timer_drop(ask->timer);
    dp_lines_free(&ask->lines);
    free(ask->answer);
    free(ask->hello);
    free(ask);
}
