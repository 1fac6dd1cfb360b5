#include <ctype.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/tls.h"
#include "agent/probe/net/transcript.h"
#include "agent/probe/smtp/dialogue_internal.h"

#define CONNECT_MS 30000
#define GOODBYE_MS 3000
#define PIECE (256U * 1024)
#define SMTPS_PORT 465

static const char *const stage_names[] = {"connect", "banner", "ehlo", "starttls", "auth",
                                          "mail",    "rcpt",   "data", "body",     "quit"};
static const char *const class_names[] = {"accepted",    "greylisted", "deferred",  "rejected",
                                          "auth-failed", "tls-failed", "injection", "disconnected",
                                          "timeout",     "refused",    "filtered"};

const char *smtp_class_name(enum smtp_class class)
{
    return class_names[class];
}

void smtp_enter(struct smtp_dialogue *d, enum smtp_stage stage)
{
    d->stage = stage;
    d->stage_ms = dp_probe_elapsed_ms(d->probe);
}

void smtp_leave(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    json_t *entry = json_pack("{s:s, s:f}", "stage", stage_names[d->stage], "ms",
                              dp_probe_elapsed_ms(d->probe) - d->stage_ms);
    if (entry)
        (void)json_object_set_new(entry, "reply",
                                  reply && reply->code ? dp_smtp_reply_json(reply) : json_null());
    (void)json_array_append_new(d->stages, entry);
}

/* Calls the asker from the loop, once everything of this turn is through. */
static void finish(struct smtp_dialogue *d)
{
    if (d->over)
        return;
    d->over = true;
    dp_timer_start(d->timer, 0, 0);
}

void smtp_say(struct smtp_dialogue *d, const char *shown, const char *format, ...)
{
    char text[1400];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text - 2, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text - 2)
        length = (int)sizeof text - 3;
    dp_transcript_add(d->transcript, d->plan.auth, 'C', shown ? shown : text,
                      shown ? strlen(shown) : (size_t)length);
    memcpy(text + length, "\r\n", 2);
    if (dp_stream_send(d->stream, text, (size_t)length + 2))
        dp_probe_fail(d->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    memset(text, 0, sizeof text);
}

static void say_goodbye(struct smtp_dialogue *d)
{
    smtp_enter(d, STAGE_QUIT);
    smtp_say(d, NULL, "QUIT");
    dp_timer_start(d->timer, GOODBYE_MS, 0);
}

void smtp_judge(struct smtp_dialogue *d, enum smtp_class class, const struct dp_smtp_reply *reply,
                const char *format, ...)
{
    if (d->judged)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(d->why, sizeof d->why, format, args);
    va_end(args);
    dp_auth_redact(d->plan.auth, d->why);
    d->judged = true;
    d->class = class;
    if (reply)
        d->decisive = *reply;
    d->ended = class == SMTP_ACCEPTED ? STAGE_QUIT : d->stage;
    if (class != SMTP_ACCEPTED || d->stage == STAGE_BODY)
        smtp_leave(d, reply);
    // a conversation that is broken off, or has bytes of others in it, has no good end
    bool can_talk = d->stream && class != SMTP_INJECTION && class != SMTP_DISCONNECTED &&
                    class != SMTP_TIMEOUT && !(d->stage == STAGE_BODY && !d->body_whole) &&
                    !(d->stage == STAGE_STARTTLS && d->secure);
    if (can_talk)
        say_goodbye(d);
    else
        finish(d);
}

/* --- the stream --- */

static void take_reply(struct smtp_dialogue *d)
{
    struct dp_smtp_reply reply = d->reply;
    d->reply = (struct dp_smtp_reply){.code = 0};
    if (d->skip) {
        d->skip--;
    } else if (d->judged) {
        smtp_leave(d, &reply);
        finish(d);
    } else {
        smtp_next(d, &reply);
    }
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct smtp_dialogue *d = context;
    const char *line;
    size_t size;
    bool cut;
    if (d->over)
        return;
    if (dp_lines_add(&d->lines, bytes, length) != 0) {
        smtp_judge(d, SMTP_REJECTED, NULL, "the server floods: more than 256 KiB without an end of line");
        return;
    }
    while (!d->over && dp_lines_next(&d->lines, &line, &size, &cut)) {
        dp_transcript_add(d->transcript, d->plan.auth, 'S', line, size);
        // a reply is stored: secrets that a server sends back go first
        char clean[DP_LINE_MAX + 1];
        for (size_t i = 0; i < size; i++)
            clean[i] = line[i] ? line[i] : '?';
        clean[size] = '\0';
        dp_auth_redact(d->plan.auth, clean);
        switch (dp_smtp_reply_line(&d->reply, clean, strlen(clean))) {
        case DP_SMTP_MORE:
            break;
        case DP_SMTP_DONE:
            take_reply(d);
            break;
        case DP_SMTP_INVALID:
            if (!d->judged)
                smtp_judge(d, SMTP_REJECTED, NULL, "the server does not speak SMTP; it says \"%.120s\"",
                           clean);
            finish(d);
            break;
        }
    }
}

static void note_unacknowledged(struct smtp_dialogue *d)
{
    int waiting = d->stream ? dp_stream_unacknowledged(d->stream) : -1;
    if (d->stage != STAGE_BODY)
        return;
    (void)json_object_set_new(d->json, "body_bytes_sent", json_integer((json_int_t)d->body_sent));
    if (waiting >= 0)
        (void)json_object_set_new(d->json, "bytes_unacknowledged", json_integer(waiting));
}

static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    struct smtp_dialogue *d = context;
    if (d->over)
        return;
    if (d->judged) {
        if (d->stage == STAGE_QUIT)
            smtp_leave(d, NULL);
        finish(d);
        return;
    }
    note_unacknowledged(d);
    (void)json_object_set_new(d->json, "closed_with",
                              json_string(end == DP_STREAM_EOF     ? "FIN"
                                          : end == DP_STREAM_RESET ? "RST"
                                                                   : "error"));
    smtp_judge(d, SMTP_DISCONNECTED, NULL, "%s%s%s", why,
               d->stage == STAGE_BODY     ? " while the message was sent"
               : d->stage == STAGE_BANNER ? " before it greeted"
                                          : " at stage ",
               d->stage == STAGE_BODY || d->stage == STAGE_BANNER ? "" : stage_names[d->stage]);
}

static void on_secure(void *context, bool done, const char *why)
{
    struct smtp_dialogue *d = context;
    if (!done) {
        smtp_judge(d, SMTP_TLS_FAILED, NULL, "the TLS handshake failed: %s", why);
        return;
    }
    json_t *tls = dp_tls_json(dp_stream_ssl(d->stream));
    if (!json_is_true(json_object_get(tls, "verified")))
        (void)json_array_append_new(d->problems,
                                    json_pack("{s:s, s:s}", "word", "certificate", "text",
                                              "The server's certificate does not hold; most mail servers do "
                                              "not mind, those with DANE or MTA-STS do."));
    (void)json_object_set_new(d->json, "tls", tls);
    smtp_leave(d, d->decisive.code ? &d->decisive : NULL);
    d->decisive.code = 0;
    if (dp_address_port(&d->to) == SMTPS_PORT)
        smtp_enter(d, STAGE_BANNER);
    else
        smtp_say_hello(d);
}

static void on_sent(void *context)
{
    struct smtp_dialogue *d = context;
    if (d->stage == STAGE_BODY && !d->body_whole && !d->judged)
        smtp_send_body(d);
}

static const struct dp_stream_events stream_events = {
    .data = on_data, .closed = on_closed, .secure = on_secure, .sent = on_sent};

void smtp_begin_tls(struct smtp_dialogue *d)
{
    SSL *ssl = NULL;
    SSL_CTX *context = dp_probe_tls_context(d->probe);
    d->secure = true; // nothing more goes out in the clear
    if (!context || dp_tls_session(context, d->plan.tls_name, &ssl) || dp_stream_start_tls(d->stream, ssl))
        dp_probe_fail(d->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

void smtp_send_body(struct smtp_dialogue *d)
{
    char *piece = malloc(PIECE);
    size_t length = piece ? dp_message_next(&d->message, piece, PIECE - 8) : 0;
    d->body_whole = !piece || length == 0 || d->message.done >= d->message.size;
    if (piece && d->body_whole) {
        memcpy(piece + length, ".\r\n", 3);
        length += 3;
    }
    if (!d->body_sent) {
        char text[80];
        int size =
            snprintf(text, sizeof text, "<message of %llu bytes>", (unsigned long long)d->message.size);
        dp_transcript_add(d->transcript, d->plan.auth, 'C', text, (size_t)size);
        (void)json_object_set_new(d->json, "message_bytes", json_integer((json_int_t)d->message.size));
    }
    if (!piece || dp_stream_send(d->stream, piece, length))
        dp_probe_fail(d->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    d->body_sent += length;
    free(piece);
}

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct smtp_dialogue *d = context;
    dp_dial_drop(d->dial);
    d->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        dp_icmp_json(&result->icmp, d->json);
        if (result->outcome == DP_DIAL_FAILED)
            dp_probe_fail(d->probe, DP_ERR_IO, "%s: this host cannot even try: %s", d->text, result->why);
        smtp_judge(d, result->outcome == DP_DIAL_REFUSED ? SMTP_REFUSED : SMTP_FILTERED, NULL, "%s",
                   result->why);
        return;
    }
    if (dp_stream_new(dp_probe_loop(d->probe), result->fd, &stream_events, d, &d->stream)) {
        dp_probe_fail(d->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    smtp_leave(d, NULL);
    if (dp_address_port(&d->to) == SMTPS_PORT) {
        smtp_enter(d, STAGE_STARTTLS);
        smtp_begin_tls(d);
    } else {
        smtp_enter(d, STAGE_BANNER);
    }
}

static void on_time(void *context)
{
    struct smtp_dialogue *d = context;
    if (!d->over) { // nobody says goodbye to QUIT
        smtp_leave(d, NULL);
        d->over = true;
    }
    d->done(d->context); // may free d
}

int smtp_dialogue_start(struct dp_probe *probe, const struct smtp_plan *plan, const union dp_address *to,
                        smtp_dialogue_done *done, void *context, struct smtp_dialogue **ret_dialogue)
{
    struct smtp_dialogue *d = calloc(1, sizeof *d);
    if (!d)
        return DP_ERR_NOMEM;
    *d = (struct smtp_dialogue){.probe = probe, .plan = *plan, .to = *to, .done = done, .context = context};
    (void)dp_address_text(to, d->text);
    d->stages = json_array();
    d->transcript = json_array();
    d->problems = json_array();
    d->json = json_pack("{s:s, s:i}", "address", d->text, "port", dp_address_port(to));
    uint64_t left = dp_probe_left_ms(probe);
    if (!d->stages || !d->transcript || !d->problems || !d->json ||
        dp_timer_new(dp_probe_loop(probe), on_time, d, &d->timer) ||
        dp_dial_start(dp_probe_loop(probe), dp_probe_request(probe), to,
                      left < CONNECT_MS ? left : CONNECT_MS, on_dialled, d, &d->dial)) {
        smtp_dialogue_free(d);
        return DP_ERR_NOMEM;
    }
    smtp_enter(d, STAGE_CONNECT);
    *ret_dialogue = d;
    return 0;
}

void smtp_dialogue_expire(struct smtp_dialogue *d)
{
    if (!d->judged && d->stream) {
        note_unacknowledged(d);
        smtp_judge(d, SMTP_TIMEOUT, NULL, "no answer at stage %s for %.1f s", stage_names[d->stage],
                   (dp_probe_elapsed_ms(d->probe) - d->stage_ms) / 1000);
    } else if (!d->judged) {
        smtp_judge(d, SMTP_FILTERED, NULL, "no answer to the connection attempt");
    }
    dp_timer_stop(d->timer);
    d->over = true;
}

bool smtp_dialogue_is_done(const struct smtp_dialogue *d)
{
    return d->over;
}

static json_t *capabilities_json(const struct dp_smtp_reply *ehlo)
{
    json_t *list = json_array();
    for (const char *line = strchr(ehlo->text, '\n'); line;) {
        line++;
        size_t length = strcspn(line, "\n");
        (void)json_array_append_new(list, dp_peer_text(line, length));
        line = line[length] ? line + length : NULL;
    }
    return list;
}

struct smtp_outcome smtp_dialogue_outcome(const struct smtp_dialogue *d)
{
    struct smtp_outcome outcome = {
        .class = d->class, .stage = stage_names[d->ended], .reply = &d->decisive, .json = d->json};
    (void)snprintf(outcome.why, sizeof outcome.why, "%s", d->why);
    (void)json_object_set_new(d->json, "class", json_string(class_names[d->class]));
    (void)json_object_set_new(d->json, "stage", json_string(stage_names[d->ended]));
    (void)json_object_set_new(d->json, "why", dp_peer_text(d->why, strlen(d->why)));
    (void)json_object_set(d->json, "stages", d->stages);
    (void)json_object_set_new(d->json, "capabilities", capabilities_json(&d->ehlo));
    (void)json_object_set(d->json, "problems", d->problems);
    (void)json_object_set(d->json, "transcript", d->transcript);
    return outcome;
}

void smtp_dialogue_free(struct smtp_dialogue *d)
{
    if (!d)
        return;
    dp_dial_drop(d->dial);
    dp_stream_drop(d->stream);
    dp_timer_drop(d->timer);
    dp_lines_free(&d->lines);
    json_decref(d->stages);
    json_decref(d->transcript);
    json_decref(d->problems);
    json_decref(d->json);
    free(d);
}
