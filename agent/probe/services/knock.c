#include "agent/probe/services/knock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/handles.h"
#include "agent/probe/net/stream.h"
#include "agent/probe/net/tls.h"
#include "agent/probe/services/recognise.h"

#define CONNECT_MS 3000
#define WORDS_MS 1500 /* for the first words, and for each answer */
#define TLS_MS 3000
#define WORDS_MAX 4096

enum step {
    STEP_GREETING,
    STEP_TLS,
    STEP_TLS_GREETING,
    STEP_TLS_HTTP,
    STEP_HTTP,
    STEP_DNS,
    STEP_CAPABILITIES,
    STEP_OVER
};

struct service_knock {
    struct dp_probe *probe;
    union dp_address to;
    const char *name;
    service_knock_done *done;
    void *context;
    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer;
    enum step step;
    uint8_t words[WORDS_MAX];
    size_t length;
    bool hung_up; /* the first connection was closed without a word */
    struct service_found found;
};

static void begin(struct service_knock *knock, enum step step);

static void finish(struct service_knock *knock)
{
    dp_stream_drop(knock->stream);
    knock->stream = NULL;
    knock->step = STEP_OVER;
    dp_timer_start(knock->timer, 0, 0);
}

static void keep_banner(struct service_knock *knock)
{
    size_t length = 0;
    while (length < knock->length && length < sizeof knock->found.banner - 1 &&
           knock->words[length] != '\n' && knock->words[length] != '\r') {
        uint8_t c = knock->words[length];
        knock->found.banner[length++] = (char)(c >= ' ' && c < 127 ? c : '?');
    }
    knock->found.banner[length] = '\0';
}

static void recognised(struct service_knock *knock, const char *protocol)
{
    knock->found.protocol = protocol;
    const char *question = service_capability_question(protocol);
    if (knock->step == STEP_GREETING || knock->step == STEP_TLS_GREETING)
        keep_banner(knock);
    if (!question || knock->found.tls || knock->step != STEP_GREETING) {
        finish(knock);
        return;
    }
    knock->step = STEP_CAPABILITIES;
    knock->length = 0;
    if (dp_stream_send(knock->stream, question, strlen(question)))
        finish(knock);
    else
        dp_timer_start(knock->timer, WORDS_MS, 0);
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct service_knock *knock = context;
    size_t room = WORDS_MAX - knock->length;
    const char *protocol = NULL;
    length = length < room ? length : room;
    memcpy(knock->words + knock->length, bytes, length);
    knock->length += length;
    switch (knock->step) {
    case STEP_GREETING:
    case STEP_TLS_GREETING:
        protocol = service_by_greeting(knock->words, knock->length);
        break;
    case STEP_HTTP:
    case STEP_TLS_HTTP:
        protocol = service_by_http_answer(knock->words, knock->length);
        break;
    case STEP_DNS:
        protocol = service_is_dns(knock->words, knock->length) ? "dns" : NULL;
        break;
    case STEP_CAPABILITIES:
        knock->found.starttls = service_offers_starttls(knock->found.protocol, knock->words, knock->length);
        if (service_capabilities_end(knock->found.protocol, knock->words, knock->length))
            finish(knock);
        return;
    case STEP_TLS:
    case STEP_OVER:
        return;
    }
    if (protocol)
        recognised(knock, protocol);
}

/* This way leads nowhere: the next one. */
static void next(struct service_knock *knock)
{
    static const char request[] = "GET / HTTP/1.0\r\nUser-Agent: droppoint\r\n\r\n";
    switch (knock->step) {
    case STEP_GREETING:
        if (knock->length) { // it talks, but nothing that is known here
            keep_banner(knock);
            finish(knock);
            return;
        }
        begin(knock, STEP_TLS);
        return;
    case STEP_TLS:
        begin(knock, STEP_HTTP);
        return;
    case STEP_TLS_GREETING:
        knock->step = STEP_TLS_HTTP;
        knock->length = 0;
        if (!knock->stream || dp_stream_send(knock->stream, request, sizeof request - 1))
            finish(knock);
        else
            dp_timer_start(knock->timer, WORDS_MS, 0);
        return;
    case STEP_HTTP:
        begin(knock, STEP_DNS);
        return;
    case STEP_TLS_HTTP:
    case STEP_DNS:
    case STEP_CAPABILITIES:
    case STEP_OVER:
        finish(knock);
    }
}

static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    struct service_knock *knock = context;
    (void)end;
    (void)why;
    if (knock->step == STEP_GREETING && !knock->length)
        knock->hung_up = true;
    dp_stream_drop(knock->stream);
    knock->stream = NULL;
    if (knock->step == STEP_TLS_GREETING) {
        finish(knock);
        return;
    }
    next(knock);
}

static void on_secure(void *context, bool done, const char *why)
{
    struct service_knock *knock = context;
    (void)why;
    if (!done) {
        next(knock);
        return;
    }
    knock->found.tls = true;
    knock->step = STEP_TLS_GREETING;
    knock->length = 0;
    dp_timer_start(knock->timer, WORDS_MS / 2, 0);
}

static const struct dp_stream_events stream_events = {
    .data = on_data, .closed = on_closed, .secure = on_secure};

static void on_time(void *context)
{
    struct service_knock *knock = context;
    if (knock->step == STEP_OVER) {
        // closed without a word at the first, and dumb at all else: an access rule
        if (knock->hung_up && !knock->found.protocol && !knock->found.tls)
            knock->found.class = "closed-by-peer";
        knock->done(knock->context);
        return;
    }
    next(knock);
}

static int start_tls(struct service_knock *knock)
{
    SSL *ssl = NULL;
    SSL_CTX *context = dp_probe_tls_context(knock->probe);
    if (!context || dp_tls_session(context, knock->name, &ssl))
        return DP_ERR_NOMEM;
    dp_timer_start(knock->timer, TLS_MS, 0);
    return dp_stream_start_tls(knock->stream, ssl);
}

static void take_refusal(struct service_knock *knock, const struct dp_dial_result *result)
{
    if (knock->step == STEP_GREETING) {
        knock->found.icmp = result->icmp;
        knock->found.class = result->outcome == DP_DIAL_REFUSED       ? "refused"
                             : result->outcome == DP_DIAL_UNREACHABLE ? "unreachable"
                                                                      : "filtered";
    }
    finish(knock);
}

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct service_knock *knock = context;
    int rc = 0;
    dp_dial_drop(knock->dial);
    knock->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        take_refusal(knock, result);
        return;
    }
    knock->found.class = "open";
    if (knock->step == STEP_GREETING)
        knock->found.connect_ms = result->ms;
    if (dp_stream_new(dp_probe_loop(knock->probe), result->fd, &stream_events, knock, &knock->stream)) {
        finish(knock);
        return;
    }
    dp_timer_start(knock->timer, WORDS_MS, 0);
    if (knock->step == STEP_TLS)
        rc = start_tls(knock);
    else if (knock->step == STEP_HTTP)
        rc = dp_stream_send(knock->stream, "GET / HTTP/1.0\r\n\r\n", 18);
    else if (knock->step == STEP_DNS)
        rc = dp_stream_send(knock->stream, service_dns_question, sizeof service_dns_question);
    if (rc)
        finish(knock);
}

static void begin(struct service_knock *knock, enum step step)
{
    dp_stream_drop(knock->stream);
    knock->stream = NULL;
    dp_timer_stop(knock->timer);
    knock->step = step;
    knock->length = 0;
    if (dp_dial_start(dp_probe_loop(knock->probe), dp_probe_request(knock->probe), &knock->to, CONNECT_MS,
                      on_dialled, knock, &knock->dial))
        finish(knock);
}

int service_knock_start(struct dp_probe *probe, const union dp_address *to, const char *name,
                        service_knock_done *done, void *context, struct service_knock **ret_knock)
{
    struct service_knock *knock = calloc(1, sizeof *knock);
    if (!knock)
        return DP_ERR_NOMEM;
    *knock =
        (struct service_knock){.probe = probe, .to = *to, .name = name, .done = done, .context = context};
    knock->found.class = "filtered";
    if (dp_timer_new(dp_probe_loop(probe), on_time, knock, &knock->timer)) {
        free(knock);
        return DP_ERR_NOMEM;
    }
    begin(knock, STEP_GREETING);
    *ret_knock = knock;
    return 0;
}

const struct service_found *service_knock_found(const struct service_knock *knock)
{
    return &knock->found;
}

void service_knock_free(struct service_knock *knock)
{
    if (!knock)
        return;
    dp_dial_drop(knock->dial);
    dp_stream_drop(knock->stream);
    dp_timer_drop(knock->timer);
    free(knock);
}
