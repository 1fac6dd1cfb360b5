#include "agent/probe/mailbox/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/net/tls.h"
#include "agent/probe/net/transcript.h"

#define CONNECT_MS 20000
#define GOODBYE_MS 2000

static const char *const class_names[] = {"ok",      "auth-failed", "tls-failed", "disconnected",
                                          "timeout", "refused",     "filtered"};
static const char *const stage_names[] = {"connect", "banner", "capability", "starttls", "login",
                                          "list",    "select", "search",     "logout"};

const char *mailbox_class_name(enum mailbox_class class)
{
    return class_names[class];
}

const char *mailbox_stage_name(enum mailbox_stage stage)
{
    return stage_names[stage];
}

void mailbox_enter(struct mailbox_session *s, enum mailbox_stage stage)
{
    s->stage = stage;
    s->stage_ms = dp_probe_elapsed_ms(s->probe);
}

void mailbox_leave(struct mailbox_session *s, const char *status, const char *text)
{
    json_t *entry = json_pack("{s:s, s:f}", "stage", stage_names[s->stage], "ms",
                              dp_probe_elapsed_ms(s->probe) - s->stage_ms);
    if (!entry)
        return;
    if (status) {
        char clean[1024];
        (void)snprintf(clean, sizeof clean, "%s", text ? text : "");
        dp_auth_redact(s->auth, clean);
        (void)json_object_set_new(
            entry, "reply",
            json_pack("{s:s, s:o}", "status", status, "text", dp_peer_text(clean, strlen(clean))));
    } else {
        (void)json_object_set_new(entry, "reply", json_null());
    }
    (void)json_array_append_new(s->stages, entry);
}

static void finish(struct mailbox_session *s)
{
    if (s->over)
        return;
    s->over = true;
    dp_timer_start(s->timer, 0, 0);
}

void mailbox_say(struct mailbox_session *s, const char *shown, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text - 2, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text - 2)
        length = (int)sizeof text - 3;
    dp_transcript_add(s->transcript, s->auth, 'C', shown ? shown : text,
                      shown ? strlen(shown) : (size_t)length);
    memcpy(text + length, "\r\n", 2);
    if (dp_stream_send(s->stream, text, (size_t)length + 2))
        dp_probe_fail(s->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    memset(text, 0, sizeof text);
}

void mailbox_judge(struct mailbox_session *s, enum mailbox_class class, const char *status, const char *text,
                   const char *format, ...)
{
    if (s->judged)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    dp_auth_redact(s->auth, s->why);
    s->judged = true;
    s->class = class;
    s->ended = class == MAILBOX_OK ? MAILBOX_LOGOUT : s->stage;
    if (class != MAILBOX_OK)
        mailbox_leave(s, status, text);
    bool broken = class == MAILBOX_DISCONNECTED || class == MAILBOX_TIMEOUT ||
                  (class == MAILBOX_TLS_FAILED && s->secure);
    if (s->stream && !broken) {
        mailbox_enter(s, MAILBOX_LOGOUT);
        mailbox_say(s, NULL, "%s", s->protocol->goodbye);
        dp_timer_start(s->timer, GOODBYE_MS, 0);
    } else {
        finish(s);
    }
}

void mailbox_leave_taken(struct mailbox_session *s, const char *status, const char *text)
{
    if (s->over)
        return;
    mailbox_leave(s, status, text);
    finish(s);
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct mailbox_session *s = context;
    const char *line;
    size_t size;
    bool cut;
    if (s->over)
        return;
    if (dp_lines_add(&s->lines, bytes, length) != 0) {
        mailbox_judge(s, MAILBOX_DISCONNECTED, NULL, NULL,
                      "the server floods: more than 256 KiB without an end of line");
        return;
    }
    while (!s->over && !(s->secure && !dp_stream_ssl(s->stream))) {
        if (s->literal) {
            if (!dp_lines_take(&s->lines, s->literal, &line))
                return;
            char *whole = malloc(strlen(s->held) + s->literal + 1);
            if (whole) {
                (void)sprintf(whole, "%s", s->held);
                memcpy(whole + strlen(s->held), line, s->literal);
                whole[strlen(s->held) + s->literal] = '\0';
            }
            free(s->held);
            s->held = whole;
            s->literal = 0;
        }
        if (!dp_lines_next(&s->lines, &line, &size, &cut))
            return;
        dp_transcript_add(s->transcript, s->auth, 'S', line, size);
        s->protocol->line(s, line, size);
    }
}

static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    struct mailbox_session *s = context;
    if (s->over)
        return;
    if (s->judged) {
        mailbox_leave_taken(s, NULL, NULL);
        return;
    }
    (void)json_object_set_new(s->json, "closed_with",
                              json_string(end == DP_STREAM_EOF     ? "FIN"
                                          : end == DP_STREAM_RESET ? "RST"
                                                                   : "error"));
    mailbox_judge(s, MAILBOX_DISCONNECTED, NULL, NULL, "%s at stage %s", why, stage_names[s->stage]);
}

static void on_secure(void *context, bool done, const char *why)
{
    struct mailbox_session *s = context;
    if (!done) {
        mailbox_judge(s, MAILBOX_TLS_FAILED, NULL, NULL, "the TLS handshake failed: %s", why);
        return;
    }
    json_t *tls = dp_tls_json(dp_stream_ssl(s->stream));
    if (!json_is_true(json_object_get(tls, "verified"))) {
        const char *reason = json_string_value(json_object_get(tls, "verify_error"));
        char text[300];
        (void)snprintf(text, sizeof text,
                       "The server's certificate does not hold (%.200s): mail programs warn or refuse.",
                       reason ? reason : "?");
        (void)json_array_append_new(s->problems,
                                    json_pack("{s:s, s:s}", "word", "certificate", "text", text));
    }
    (void)json_object_set_new(s->json, "tls", tls);
    mailbox_leave(s, NULL, NULL);
    if (dp_address_port(&s->address) == s->protocol->tls_port)
        mailbox_enter(s, MAILBOX_BANNER);
    else
        s->protocol->secured(s);
}

static const struct dp_stream_events stream_events = {
    .data = on_data, .closed = on_closed, .secure = on_secure};

void mailbox_start_tls(struct mailbox_session *s)
{
    SSL *ssl = NULL;
    SSL_CTX *context = dp_probe_tls_context(s->probe);
    char waiting[256];
    size_t length = 0;
    (void)dp_lines_rest(&s->lines, &length);
    if (s->stage == MAILBOX_STARTTLS && !length)
        length = dp_stream_take_waiting(s->stream, waiting, sizeof waiting);
    if (length) {
        (void)json_array_append_new(
            s->problems,
            json_pack("{s:s, s:s}", "word", "injection", "text",
                      "Bytes in the clear follow the reply to STARTTLS: somebody slips them in, or the "
                      "server mixes up its buffers."));
        mailbox_judge(s, MAILBOX_TLS_FAILED, NULL, NULL,
                      "%zu bytes in the clear follow the reply to STARTTLS", length);
        return;
    }
    s->secure = true;
    if (!context || dp_tls_session(context, s->tls_name, &ssl) || dp_stream_start_tls(s->stream, ssl))
        dp_probe_fail(s->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct mailbox_session *s = context;
    dp_dial_drop(s->dial);
    s->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        dp_icmp_json(&result->icmp, s->json);
        mailbox_judge(s, result->outcome == DP_DIAL_REFUSED ? MAILBOX_REFUSED : MAILBOX_FILTERED, NULL, NULL,
                      "%s", result->why);
        return;
    }
    if (dp_stream_new(dp_probe_loop(s->probe), result->fd, &stream_events, s, &s->stream)) {
        dp_probe_fail(s->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    mailbox_leave(s, NULL, NULL);
    mailbox_enter(s, MAILBOX_BANNER);
    if (dp_address_port(&s->address) == s->protocol->tls_port) {
        mailbox_enter(s, MAILBOX_STARTTLS);
        mailbox_start_tls(s);
    }
}

static void on_time(void *context)
{
    struct mailbox_session *s = context;
    if (!s->over)
        mailbox_leave(s, NULL, NULL); // nobody answers the goodbye
    s->over = true;
    s->done(s->context);
}

int mailbox_session_start(struct mailbox_session *s)
{
    (void)dp_address_text(&s->address, s->text);
    s->json = json_pack("{s:s, s:i}", "address", s->text, "port", dp_address_port(&s->address));
    s->stages = json_array();
    s->transcript = json_array();
    s->problems = json_array();
    s->capabilities = json_array();
    s->mailboxes = json_array();
    uint64_t left = dp_probe_left_ms(s->probe);
    if (!s->json || !s->stages || !s->transcript || !s->problems || !s->capabilities || !s->mailboxes ||
        dp_timer_new(dp_probe_loop(s->probe), on_time, s, &s->timer))
        return DP_ERR_NOMEM;
    mailbox_enter(s, MAILBOX_CONNECT);
    return dp_dial_start(dp_probe_loop(s->probe), dp_probe_request(s->probe), &s->address,
                         left < CONNECT_MS ? left : CONNECT_MS, on_dialled, s, &s->dial);
}

void mailbox_session_expire(struct mailbox_session *s)
{
    if (s->over)
        return;
    if (!s->judged && s->stream)
        mailbox_judge(s, MAILBOX_TIMEOUT, NULL, NULL, "no answer at stage %s for %.1f s",
                      stage_names[s->stage], (dp_probe_elapsed_ms(s->probe) - s->stage_ms) / 1000);
    else if (!s->judged)
        mailbox_judge(s, MAILBOX_FILTERED, NULL, NULL, "no answer to the connection attempt");
    dp_timer_stop(s->timer);
    s->over = true;
}

void mailbox_session_write(struct mailbox_session *s)
{
    (void)json_object_set_new(s->json, "class", json_string(class_names[s->class]));
    (void)json_object_set_new(s->json, "stage", json_string(stage_names[s->ended]));
    (void)json_object_set_new(s->json, "why", dp_peer_text(s->why, strlen(s->why)));
    (void)json_object_set(s->json, "stages", s->stages);
    (void)json_object_set(s->json, "capabilities", s->capabilities);
    (void)json_object_set(s->json, "problems", s->problems);
    (void)json_object_set(s->json, "transcript", s->transcript);
}

void mailbox_session_free(struct mailbox_session *s)
{
    dp_dial_drop(s->dial);
    dp_stream_drop(s->stream);
    dp_timer_drop(s->timer);
    dp_timer_drop(s->again);
    dp_lines_free(&s->lines);
    free(s->held);
    json_decref(s->json);
    json_decref(s->stages);
    json_decref(s->transcript);
    json_decref(s->problems);
    json_decref(s->capabilities);
    json_decref(s->mailboxes);
}
