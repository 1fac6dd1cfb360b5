/* What the client says next, by what the server answered. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/probe/smtp/dialogue_internal.h"

#define COMMAND_MAX 1024

static const char *command_of(const struct smtp_dialogue *d)
{
    static const char *const commands[] = {"the connection", "the greeting", "EHLO", "STARTTLS",    "AUTH",
                                           "MAIL FROM",      "RCPT TO",      "DATA", "the message", "QUIT"};
    return d->stage == STAGE_EHLO && d->helo ? "HELO" : commands[d->stage];
}

/* A reply that is not the one hoped for: 4xx defers, everything else rejects. */
static void turned_away(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%.190s", reply->text);
    smtp_judge(d, reply->code / 100 == 4 ? SMTP_DEFERRED : SMTP_REJECTED, reply,
               "%s was answered with %d %s%s%s", command_of(d), reply->code, reply->enhanced,
               reply->enhanced[0] ? " " : "", text);
}

/* RFC 5321 4.1.4: a name, or an address literal where this host has none that is qualified. */
static void hello_name(const struct smtp_dialogue *d, char *name, size_t size)
{
    char host[256] = "";
    if (d->plan.helo) {
        (void)snprintf(name, size, "%s", d->plan.helo);
        return;
    }
    (void)gethostname(host, sizeof host - 1);
    if (strchr(host, '.')) {
        (void)snprintf(name, size, "%s", host);
        return;
    }
    union dp_address own;
    char text[DP_ADDRESS_TEXT];
    if (!dp_stream_local(d->stream, &own)) {
        (void)snprintf(name, size, "localhost.localdomain");
        return;
    }
    (void)dp_address_text(&own, text);
    text[strcspn(text, "%")] = '\0';
    (void)snprintf(name, size, "[%s%s]", own.any.sa_family == AF_INET6 ? "IPv6:" : "", text);
}

void smtp_say_hello(struct smtp_dialogue *d)
{
    char name[300];
    hello_name(d, name, sizeof name);
    smtp_enter(d, STAGE_EHLO);
    smtp_say(d, NULL, "%s %s", d->helo ? "HELO" : "EHLO", name);
}

static void say_rcpt(struct smtp_dialogue *d)
{
    smtp_say(d, NULL, "RCPT TO:<%s>", d->plan.rcpt_to);
}

static void say_mail(struct smtp_dialogue *d)
{
    char size[48] = "";
    if (!d->plan.mail_from && !d->plan.rcpt_to) {
        smtp_judge(d, SMTP_ACCEPTED, NULL, "greets and talks");
        return;
    }
    if (d->plan.size && dp_smtp_offers(&d->ehlo, "SIZE", NULL))
        (void)snprintf(size, sizeof size, " SIZE=%llu", (unsigned long long)d->plan.size);
    smtp_enter(d, STAGE_MAIL);
    smtp_say(d, NULL, "MAIL FROM:<%s>%s", d->plan.mail_from ? d->plan.mail_from : "", size);
    if (d->plan.rcpt_to && dp_smtp_offers(&d->ehlo, "PIPELINING", NULL)) {
        d->pipelined = true;
        say_rcpt(d);
    }
}

static void say_cram_response(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    unsigned char challenge[1024], digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char response[DP_AUTH_MAX + 64], encoded[1024];
    size_t length = strcspn(reply->text, "\n");
    int got = length && length % 4 == 0 && length < 1024
                  ? EVP_DecodeBlock(challenge, (const unsigned char *)reply->text, (int)length)
                  : -1;
    if (got < 0) {
        smtp_say(d, NULL, "*");
        return;
    }
    for (size_t i = length; i && reply->text[i - 1] == '='; i--)
        got--;
    const char *password = d->plan.auth->password;
    if (!HMAC(EVP_md5(), password, (int)strlen(password), challenge, (size_t)got, digest, &size)) {
        smtp_say(d, NULL, "*");
        return;
    }
    int used = snprintf(response, sizeof response, "%s ", d->plan.auth->user);
    for (unsigned i = 0; i < size; i++)
        used += snprintf(response + used, sizeof response - (size_t)used, "%02x", digest[i]);
    smtp_say(d, "<hidden>", "%s", dp_base64(response, (size_t)used, encoded, sizeof encoded));
}

/* Without TLS the mechanism that does not show the password goes first. */
static const char *choose_mechanism(const struct smtp_dialogue *d)
{
    static const char *const safe[] = {"PLAIN", "LOGIN", "CRAM-MD5"};
    static const char *const open[] = {"CRAM-MD5", "PLAIN", "LOGIN"};
    const char *offered = "";
    if (!dp_smtp_offers(&d->ehlo, "AUTH", &offered))
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        const char *mechanism = d->secure ? safe[i] : open[i];
        if (dp_smtp_has_word(offered, mechanism))
            return mechanism;
    }
    return NULL;
}

static void say_auth(struct smtp_dialogue *d)
{
    char text[DP_AUTH_PLAIN_TEXT];
    if (!d->plan.auth->known) {
        say_mail(d);
        return;
    }
    smtp_enter(d, STAGE_AUTH);
    d->mechanism = choose_mechanism(d);
    if (!d->mechanism) {
        smtp_judge(d, SMTP_AUTH_FAILED, NULL,
                   "the server offers no AUTH mechanism of PLAIN, LOGIN and CRAM-MD5%s",
                   d->secure ? "" : " without TLS");
        return;
    }
    (void)json_object_set_new(d->json, "auth_mechanism", json_string(d->mechanism));
    if (!d->secure && strcmp(d->mechanism, "CRAM-MD5") != 0)
        (void)json_array_append_new(d->problems,
                                    json_pack("{s:s, s:s}", "word", "password-in-clear", "text",
                                              "The password went over the network without TLS."));
    if (strcmp(d->mechanism, "PLAIN") == 0)
        smtp_say(d, "AUTH PLAIN <hidden>", "AUTH PLAIN %s", dp_auth_plain(d->plan.auth, text));
    else
        smtp_say(d, NULL, "AUTH %s", d->mechanism);
}

static void next_auth(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    char text[DP_AUTH_PLAIN_TEXT];
    const struct dp_auth *auth = d->plan.auth;
    if (reply->code == 235) {
        smtp_leave(d, reply);
        say_mail(d);
    } else if (reply->code == 334 && strcmp(d->mechanism, "CRAM-MD5") == 0 && !d->auth_step++) {
        say_cram_response(d, reply);
    } else if (reply->code == 334 && strcmp(d->mechanism, "LOGIN") == 0 && d->auth_step < 2) {
        const char *value = d->auth_step++ ? auth->password : auth->user;
        smtp_say(d, "<hidden>", "%s", dp_base64(value, strlen(value), text, sizeof text));
    } else {
        smtp_judge(d, reply->code / 100 == 4 ? SMTP_DEFERRED : SMTP_AUTH_FAILED, reply,
                   "AUTH %s was answered with %d %s", d->mechanism, reply->code, reply->enhanced);
    }
}

static void after_hello(struct smtp_dialogue *d)
{
    bool offered = dp_smtp_offers(&d->ehlo, "STARTTLS", NULL);
    if (!d->secure && offered && d->plan.tls != SMTP_TLS_NEVER) {
        smtp_enter(d, STAGE_STARTTLS);
        smtp_say(d, NULL, "STARTTLS");
    } else if (!d->secure && d->plan.tls == SMTP_TLS_MUST) {
        smtp_enter(d, STAGE_STARTTLS);
        smtp_judge(d, SMTP_TLS_FAILED, NULL, "the server does not offer STARTTLS");
    } else {
        say_auth(d);
    }
}

static void next_hello(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    if (reply->code == 250) {
        d->ehlo = *reply;
        smtp_leave(d, reply);
        after_hello(d);
    } else if (reply->code / 100 == 5 && !d->helo && !d->secure) {
        smtp_leave(d, reply);
        d->helo = true;
        smtp_say_hello(d);
    } else {
        turned_away(d, reply);
    }
}

/* Whatever stands behind the reply was slipped in by somebody on the way, or the server mixes up its buffers:
 * CVE-2011-0411. */
static void next_starttls(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    char more[512];
    size_t length = 0;
    if (reply->code != 220) {
        smtp_judge(d, SMTP_TLS_FAILED, reply, "STARTTLS was answered with %d %s", reply->code,
                   reply->enhanced);
        return;
    }
    const char *rest = dp_lines_rest(&d->lines, &length);
    if (!length) {
        length = dp_stream_take_waiting(d->stream, more, sizeof more);
        rest = more;
    }
    if (length) {
        (void)json_object_set_new(d->json, "injected", dp_peer_text(rest, length > 512 ? 512 : length));
        smtp_judge(d, SMTP_INJECTION, reply, "%zu bytes in the clear follow the reply to STARTTLS", length);
        return;
    }
    d->decisive = *reply; // the stage's reply, once the handshake is through
    smtp_begin_tls(d);
}

static void say_data(struct smtp_dialogue *d)
{
    unsigned char random[12];
    char name[300], id[32] = "";
    if (!d->plan.send) {
        smtp_judge(d, SMTP_ACCEPTED, &d->decisive, "takes mail for <%s>", d->plan.rcpt_to);
        return;
    }
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 0, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    hello_name(d, name, sizeof name);
    if (name[0] == '[')
        (void)snprintf(name, sizeof name, "droppoint.invalid");
    (void)snprintf(d->message_id, sizeof d->message_id, "%s@%.90s", id, name);
    (void)json_object_set_new(d->json, "message_id", json_string(d->message_id));
    dp_message_init(&d->message, d->plan.mail_from ? d->plan.mail_from : "", d->plan.rcpt_to, d->message_id,
                    time(NULL), d->plan.size);
    smtp_enter(d, STAGE_DATA);
    smtp_say(d, NULL, "DATA");
}

static void next_mail(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    if (reply->code / 100 != 2) {
        d->skip = d->pipelined; // RCPT's answer is still to come
        turned_away(d, reply);
        return;
    }
    smtp_leave(d, reply);
    if (!d->plan.rcpt_to) {
        smtp_judge(d, SMTP_ACCEPTED, reply, "takes mail from <%s>", d->plan.mail_from);
        return;
    }
    smtp_enter(d, STAGE_RCPT);
    if (!d->pipelined)
        say_rcpt(d);
}

void smtp_next(struct smtp_dialogue *d, const struct dp_smtp_reply *reply)
{
    switch (d->stage) {
    case STAGE_CONNECT:
    case STAGE_QUIT:
        break;
    case STAGE_BANNER:
        if (reply->code != 220) {
            turned_away(d, reply);
        } else {
            smtp_leave(d, reply);
            smtp_say_hello(d);
        }
        break;
    case STAGE_EHLO:
        next_hello(d, reply);
        break;
    case STAGE_STARTTLS:
        next_starttls(d, reply);
        break;
    case STAGE_AUTH:
        next_auth(d, reply);
        break;
    case STAGE_MAIL:
        next_mail(d, reply);
        break;
    case STAGE_RCPT:
        if (reply->code / 100 != 2) {
            turned_away(d, reply);
        } else {
            d->decisive = *reply;
            smtp_leave(d, reply);
            say_data(d);
        }
        break;
    case STAGE_DATA:
        if (reply->code != 354) {
            turned_away(d, reply);
        } else {
            smtp_leave(d, reply);
            smtp_enter(d, STAGE_BODY);
            smtp_send_body(d);
        }
        break;
    case STAGE_BODY:
        if (reply->code / 100 != 2 || !d->body_whole)
            turned_away(d, reply);
        else
            smtp_judge(d, SMTP_ACCEPTED, reply, "took the message for <%s>: %d %s %.160s", d->plan.rcpt_to,
                       reply->code, reply->enhanced, reply->text);
        break;
    }
}
