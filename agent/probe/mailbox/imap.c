/* IMAP as client, RFC 9051: capability, STARTTLS, login, list of mailboxes, logout. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/mailbox/session.h"

#define LITERAL_MAX (64U * 1024)
#define MAILBOXES_MAX 1000
#define SEARCH_AGAIN_MS 1000

static void command(struct mailbox_session *s, enum mailbox_stage stage, const char *text)
{
    mailbox_enter(s, stage);
    s->tag++;
    mailbox_say(s, NULL, "a%u %s", s->tag, text);
}

static void take_capabilities(struct mailbox_session *s, const char *words)
{
    (void)json_array_clear(s->capabilities);
    s->starttls_offered = s->login_disabled = s->plain_offered = s->initial_response = false;
    while (*words) {
        size_t skip = strspn(words, " "), length = strcspn(words + skip, " ]");
        if (!length)
            break;
        const char *word = words + skip;
        (void)json_array_append_new(s->capabilities, dp_peer_text(word, length));
        s->starttls_offered = s->starttls_offered || (length == 8 && !strncasecmp(word, "STARTTLS", 8));
        s->login_disabled = s->login_disabled || (length == 13 && !strncasecmp(word, "LOGINDISABLED", 13));
        s->plain_offered = s->plain_offered || (length == 10 && !strncasecmp(word, "AUTH=PLAIN", 10));
        s->initial_response = s->initial_response || (length == 7 && !strncasecmp(word, "SASL-IR", 7));
        words = word + length;
    }
}

/* Quoted string, RFC 9051 4.3. */
static void quote(const char *text, char *out, size_t size)
{
    size_t used = 0;
    out[used++] = '"';
    for (; *text && used + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used++] = '"';
    out[used] = '\0';
}

static void log_in(struct mailbox_session *s)
{
    char user[2 * DP_AUTH_MAX + 4], password[2 * DP_AUTH_MAX + 4], plain[DP_AUTH_PLAIN_TEXT];
    if (!s->auth->known) {
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "greets and talks");
        return;
    }
    mailbox_enter(s, MAILBOX_LOGIN);
    if (!s->secure)
        (void)json_array_append_new(s->problems,
                                    json_pack("{s:s, s:s}", "word", "password-in-clear", "text",
                                              "The password went over the network without TLS."));
    s->tag++;
    s->step = 0;
    if (s->plain_offered && s->initial_response) {
        mailbox_say(s, "AUTHENTICATE PLAIN <hidden>", "a%u AUTHENTICATE PLAIN %s", s->tag,
                    dp_auth_plain(s->auth, plain));
        s->step = 1;
    } else if (s->plain_offered) {
        mailbox_say(s, NULL, "a%u AUTHENTICATE PLAIN", s->tag);
    } else if (s->login_disabled) {
        (void)json_array_clear(s->problems);
        mailbox_judge(s, MAILBOX_AUTH_FAILED, NULL, NULL, "the server allows no login here%s (LOGINDISABLED)",
                      s->secure ? "" : " without TLS");
    } else {
        quote(s->auth->user, user, sizeof user);
        quote(s->auth->password, password, sizeof password);
        mailbox_say(s, "LOGIN <hidden>", "a%u LOGIN %s %s", s->tag, user, password);
        s->step = 1;
        memset(password, 0, sizeof password);
    }
}

static void ask_for_news(void *context)
{
    struct mailbox_session *s = context;
    if (s->judged || s->over)
        return;
    s->step = 0;
    command(s, MAILBOX_SEARCH, "NOOP"); /* lets the server tell of new messages */
}

/* A round of NOOP and SEARCH; the next one a moment later. */
static void take_round(struct mailbox_session *s, bool ok, const char *status, const char *text)
{
    if (!ok) {
        mailbox_judge(s, MAILBOX_DISCONNECTED, status, text, "the search was answered with %s %.200s", status,
                      text);
    } else if (s->step++ == 0) {
        char search[128];
        (void)snprintf(search, sizeof search, "UID SEARCH HEADER Message-ID \"%.80s\"", s->token);
        command(s, MAILBOX_SEARCH, search);
    } else if (s->found) {
        mailbox_leave(s, status, text);
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "holds the message");
    } else {
        dp_timer_start(s->again, SEARCH_AGAIN_MS, 0);
    }
}

void mailbox_imap_search(struct mailbox_session *s)
{
    if (s->judged)
        return;
    if (!s->again && dp_timer_new(dp_probe_loop(s->probe), ask_for_news, s, &s->again))
        dp_probe_fail(s->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    else
        ask_for_news(s);
}

/* What follows the login. */
static void open_or_list(struct mailbox_session *s)
{
    char folder[2 * DP_AUTH_MAX + 4], text[2 * DP_AUTH_MAX + 16];
    if (!s->token) {
        command(s, MAILBOX_LIST, "LIST \"\" \"*\"");
        return;
    }
    quote(s->folder, folder, sizeof folder);
    (void)snprintf(text, sizeof text, "EXAMINE %s", folder);
    command(s, MAILBOX_SELECT, text);
}

/* "(\HasNoChildren) "/" INBOX" to its name; quotes taken off. */
static void take_mailbox(struct mailbox_session *s, const char *text)
{
    const char *at = strchr(text, ')');
    at = at ? at + 1 : text;
    at += strspn(at, " ");
    if (*at == '"') { // the delimiter, "/" or NIL
        at += 1 + strcspn(at + 1, "\"");
        at += *at == '"';
    } else {
        at += strcspn(at, " ");
    }
    at += strspn(at, " ");
    size_t length = strlen(at);
    if (length > 1 && at[0] == '"' && at[length - 1] == '"') {
        at++;
        length -= 2;
    }
    const char *literal = at[0] == '{' ? strchr(at, '}') : NULL;
    if (literal) {
        at = literal + 1;
        length = strlen(at);
    }
    if (json_array_size(s->mailboxes) < MAILBOXES_MAX)
        (void)json_array_append_new(s->mailboxes, dp_peer_text(at, length));
}

static void take_untagged(struct mailbox_session *s, const char *text)
{
    if (!strncasecmp(text, "CAPABILITY ", 11)) {
        take_capabilities(s, text + 11);
    } else if (!strncasecmp(text, "LIST ", 5) && s->stage == MAILBOX_LIST) {
        take_mailbox(s, text + 5);
    } else if (!strncasecmp(text, "SEARCH ", 7) && s->stage == MAILBOX_SEARCH) {
        s->found = s->found || isdigit((unsigned char)text[7]);
    } else if (!strncasecmp(text, "BYE", 3) && !s->judged && s->stage != MAILBOX_LOGOUT) {
        mailbox_judge(s, MAILBOX_DISCONNECTED, "BYE", text + 3, "the server ends it at stage %s: %.200s",
                      mailbox_stage_name(s->stage), text);
    }
}

static void take_banner(struct mailbox_session *s, const char *text)
{
    bool ok = !strncasecmp(text, "* OK", 4), preauth = !strncasecmp(text, "* PREAUTH", 9);
    if (!ok && !preauth) {
        mailbox_judge(s, MAILBOX_DISCONNECTED, "-", text, "%s; it says \"%.150s\"",
                      !strncasecmp(text, "* BYE", 5) ? "the server turns this host away"
                                                     : "the server does not speak IMAP",
                      text);
        return;
    }
    mailbox_leave(s, ok ? "OK" : "PREAUTH", text + (ok ? 4 : 9));
    command(s, MAILBOX_CAPABILITY, "CAPABILITY");
}

static void take_tagged(struct mailbox_session *s, const char *status, const char *text)
{
    bool ok = strcasecmp(status, "OK") == 0;
    const char *code = strstr(text, "[CAPABILITY ");
    if (ok && code)
        take_capabilities(s, code + 12);
    switch (s->stage) {
    case MAILBOX_CAPABILITY:
        mailbox_leave(s, status, text);
        if (s->starttls_offered && !s->secure)
            command(s, MAILBOX_STARTTLS, "STARTTLS");
        else
            log_in(s);
        break;
    case MAILBOX_STARTTLS:
        if (ok)
            mailbox_start_tls(s);
        else
            mailbox_judge(s, MAILBOX_TLS_FAILED, status, text, "STARTTLS was answered with %s %.200s", status,
                          text);
        break;
    case MAILBOX_LOGIN:
        if (ok) {
            mailbox_leave(s, status, text);
            open_or_list(s);
        } else {
            mailbox_judge(s, MAILBOX_AUTH_FAILED, status, text, "the login was answered with %s %.200s",
                          status, text);
        }
        break;
    case MAILBOX_LIST:
        mailbox_leave(s, status, text);
        (void)json_object_set(s->json, "mailboxes", s->mailboxes);
        mailbox_judge(s, MAILBOX_OK, NULL, NULL, "lets %s in; %zu mailboxes", s->auth->user,
                      json_array_size(s->mailboxes));
        break;
    case MAILBOX_SELECT:
        if (!ok) {
            mailbox_judge(s, MAILBOX_AUTH_FAILED, status, text, "opening %.100s was answered with %s %.200s",
                          s->folder, status, text);
            break;
        }
        mailbox_leave(s, status, text);
        s->ready(s->context);
        break;
    case MAILBOX_SEARCH:
        take_round(s, ok, status, text);
        break;
    case MAILBOX_LOGOUT:
        mailbox_leave_taken(s, status, text);
        break;
    case MAILBOX_CONNECT:
    case MAILBOX_BANNER:
        break;
    }
}

/* "... {12}" at the end of a line announces bytes. */
static size_t literal_at_end(const char *text, size_t length)
{
    if (length < 3 || text[length - 1] != '}')
        return 0;
    size_t at = length - 1;
    while (at && isdigit((unsigned char)text[at - 1]))
        at--;
    if (!at || text[at - 1] != '{' || length - 1 - at > 6)
        return 0;
    size_t size = strtoul(text + at, NULL, 10);
    return size <= LITERAL_MAX ? size : 0;
}

static void take_whole(struct mailbox_session *s, char *text)
{
    char tag[16];
    if (s->stage == MAILBOX_BANNER) {
        take_banner(s, text);
        return;
    }
    if (!strncmp(text, "* ", 2)) {
        take_untagged(s, text + 2);
        return;
    }
    if (text[0] == '+') {
        char plain[DP_AUTH_PLAIN_TEXT];
        if (s->stage == MAILBOX_LOGIN && !s->step++)
            mailbox_say(s, "<hidden>", "%s", dp_auth_plain(s->auth, plain));
        return;
    }
    (void)snprintf(tag, sizeof tag, "a%u ", s->tag);
    bool bye = s->judged && !strncmp(text, "z ", 2);
    if (!bye && strncmp(text, tag, strlen(tag)) != 0)
        return; // an answer to something else, or no IMAP: the time bound ends it
    char *status = text + (bye ? 2 : strlen(tag)), *rest = strchr(status, ' ');
    if (rest)
        *rest++ = '\0';
    take_tagged(s, status, rest ? rest : "");
}

static void on_line(struct mailbox_session *s, const char *line, size_t length)
{
    size_t before = s->held ? strlen(s->held) : 0;
    char *whole = malloc(before + length + 1);
    if (!whole) {
        dp_probe_fail(s->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    if (s->held)
        memcpy(whole, s->held, before);
    for (size_t i = 0; i < length; i++)
        whole[before + i] = line[i] ? line[i] : '?';
    whole[before + length] = '\0';
    free(s->held);
    s->held = NULL;
    size_t literal = s->stage == MAILBOX_LIST && before + length < LITERAL_MAX
                         ? literal_at_end(whole, before + length)
                         : 0;
    if (literal) {
        s->held = whole;
        s->literal = literal;
        return;
    }
    dp_auth_redact(s->auth, whole);
    take_whole(s, whole);
    free(whole);
}

static void on_secured(struct mailbox_session *s)
{
    command(s, MAILBOX_CAPABILITY, "CAPABILITY");
}

const struct mailbox_protocol mailbox_imap = {.name = "imap",
                                              .port = 143,
                                              .tls_port = 993,
                                              .goodbye = "z LOGOUT",
                                              .line = on_line,
                                              .secured = on_secured};
