/* POP3 as client, RFC 1939, 2449 (CAPA), 2595 (STLS): login, number of messages, quit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/mailbox/session.h"

static void command(struct mailbox_session *s, enum mailbox_stage stage, const char *text)
{
    mailbox_enter(s, stage);
    mailbox_say(s, NULL, "%s", text);
}

static void ask_capabilities(struct mailbox_session *s)
{
    (void)json_array_clear(s->capabilities);
    s->starttls_offered = false;
    command(s, MAILBOX_CAPABILITY, "CAPA");
}

static void log_in(struct mailbox_session *s)
{
    if (!s->auth->known) {
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "greets and talks");
        return;
    }
    if (!s->secure)
        (void)json_array_append_new(s->problems,
                                    json_pack("{s:s, s:s}", "word", "password-in-clear", "text",
                                              "The password went over the network without TLS."));
    mailbox_enter(s, MAILBOX_LOGIN);
    s->step = 0;
    mailbox_say(s, NULL, "USER %s", s->auth->user);
}

static void take_capability(struct mailbox_session *s, const char *text)
{
    if (strcmp(text, ".") == 0) {
        s->multiline = false;
        mailbox_leave(s, "+OK", "");
        if (s->starttls_offered && !s->secure)
            command(s, MAILBOX_STARTTLS, "STLS");
        else
            log_in(s);
        return;
    }
    if (json_array_size(s->capabilities) < 100)
        (void)json_array_append_new(s->capabilities, dp_peer_text(text, strlen(text)));
    s->starttls_offered = s->starttls_offered || !strcasecmp(text, "STLS");
}

static void take_login(struct mailbox_session *s, bool ok, const char *status, const char *text)
{
    if (!ok) {
        mailbox_judge(s, MAILBOX_AUTH_FAILED, status, text, "%s was answered with %s %.200s",
                      s->step ? "PASS" : "USER", status, text);
    } else if (!s->step++) {
        mailbox_say(s, "PASS <hidden>", "PASS %s", s->auth->password);
    } else {
        mailbox_leave(s, status, text);
        command(s, MAILBOX_LIST, "STAT");
    }
}

static void take_stat(struct mailbox_session *s, bool ok, const char *status, const char *text)
{
    unsigned long messages = 0, bytes = 0;
    mailbox_leave(s, status, text);
    if (ok && sscanf(text, "%lu %lu", &messages, &bytes) == 2) {
        (void)json_object_set_new(s->json, "messages", json_integer((json_int_t)messages));
        (void)json_object_set_new(s->json, "bytes", json_integer((json_int_t)bytes));
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "lets %s in; %lu messages", s->auth->user, messages);
    } else {
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "lets %s in, but gives no number of messages",
                      s->auth->user);
    }
}

static void take_reply(struct mailbox_session *s, bool ok, const char *text)
{
    const char *status = ok ? "+OK" : "-ERR";
    switch (s->stage) {
    case MAILBOX_BANNER:
        if (ok) {
            mailbox_leave(s, status, text);
            ask_capabilities(s);
        } else {
            mailbox_judge(s, MAILBOX_DISCONNECTED, status, text, "the server turns this host away: %.200s",
                          text);
        }
        break;
    case MAILBOX_CAPABILITY:
        s->multiline = ok;
        if (!ok) { // an old server
            mailbox_leave(s, status, text);
            log_in(s);
        }
        break;
    case MAILBOX_STARTTLS:
        if (ok)
            mailbox_start_tls(s);
        else
            mailbox_judge(s, MAILBOX_TLS_FAILED, status, text, "STLS was answered with %s %.200s", status,
                          text);
        break;
    case MAILBOX_LOGIN:
        take_login(s, ok, status, text);
        break;
    case MAILBOX_LIST:
        take_stat(s, ok, status, text);
        break;
    case MAILBOX_LOGOUT:
        mailbox_leave_taken(s, status, text);
        break;
    case MAILBOX_SELECT: /* IMAP only */
    case MAILBOX_SEARCH:
    case MAILBOX_CONNECT:
        break;
    }
}

static void on_line(struct mailbox_session *s, const char *line, size_t length)
{
    char text[1024];
    length = length < sizeof text ? length : sizeof text - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = line[i] ? line[i] : '?';
    text[length] = '\0';
    dp_auth_redact(s->auth, text);
    bool ok = !strncmp(text, "+OK", 3), error = !strncmp(text, "-ERR", 4);
    if (s->multiline) {
        take_capability(s, text);
    } else if (ok || error) {
        const char *rest = text + (ok ? 3 : 4);
        take_reply(s, ok, rest + strspn(rest, " "));
    } else {
        mailbox_judge(s, MAILBOX_DISCONNECTED, NULL, NULL,
                      "the server does not speak POP3; it says \"%.150s\"", text);
    }
}

const struct mailbox_protocol mailbox_pop3 = {.name = "pop3",
                                              .port = 110,
                                              .tls_port = 995,
                                              .goodbye = "QUIT",
                                              .line = on_line,
                                              .secured = ask_capabilities};
