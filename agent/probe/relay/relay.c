/* `relay`: does a server pass mail on from strangers to strangers, in any of the forms in which one can ask.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "agent/probe/kinds.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/lines.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/net/stream.h"
#include "agent/probe/relay/forms.h"
#include "agent/probe/relay/imap_proof.h"
#include "agent/probe/relay/maildir.h"
#include "agent/probe/smtp/reply.h"

#define CONNECT_MS 15000
#define RECONNECTS_MAX 4
#define LOOK_MS 500 /* how often the proof's mailbox is looked into */

enum step { STEP_BANNER, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_RSET, STEP_QUIT };

struct tried {
    bool answered, accepted, deferred, sent;
    struct dp_smtp_reply reply; /* the one that decided */
};

struct relay_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer;
    struct dp_lines lines;
    struct dp_smtp_reply reply;
    union dp_address address;
    char text[DP_ADDRESS_TEXT], token[40];
    const char *mailbox;     /* a maildir, ... */
    struct imap_proof *imap; /* ... or an account; NULL: a maildir, or no mailbox */
    struct relay_form forms[RELAY_FORMS];
    struct tried tried[RELAY_FORMS];
    size_t at;
    enum step step;
    unsigned reconnects;
    bool helo, concluded, looking;
    char trouble[300];         /* why not all forms got an answer */
    char mailbox_trouble[400]; /* why the mailbox could not be looked into to the end */
};

static void connect_again(struct relay_probe *relay);

static json_t *forms_json(const struct relay_probe *relay)
{
    json_t *list = json_array();
    for (size_t i = 0; i < RELAY_FORMS; i++) {
        const struct tried *t = &relay->tried[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o, s:o}", "form", relay->forms[i].name, "from",
                            relay->forms[i].from, "to", relay->forms[i].to, "accepted",
                            t->answered ? json_boolean(t->accepted) : json_null(), "reply",
                            t->answered ? dp_smtp_reply_json(&t->reply) : json_null()));
    }
    return list;
}

static void conclude(struct relay_probe *relay, bool proven)
{
    if (relay->concluded)
        return;
    relay->concluded = true;
    size_t accepted = 0, answered = 0, deferred = 0;
    const char *first = NULL;
    for (size_t i = 0; i < RELAY_FORMS; i++) {
        answered += relay->tried[i].answered;
        deferred += relay->tried[i].deferred;
        if (relay->tried[i].accepted) {
            accepted++;
            first = first ? first : relay->forms[i].name;
        }
    }
    json_t *data = dp_probe_data(relay->probe);
    (void)json_object_set_new(data, "address", json_string(relay->text));
    (void)json_object_set_new(data, "forms", forms_json(relay));
    (void)json_object_set_new(data, "accepted", json_integer((json_int_t)accepted));
    if (relay->imap)
        imap_proof_write(relay->imap, data);
    (void)json_object_set_new(data, "token", relay->mailbox ? json_string(relay->token) : json_null());
    if (proven)
        dp_probe_finish(
            relay->probe, "open",
            "Close it now: it will be used for spam and listed. In Postfix: smtpd_relay_restrictions with "
            "reject_unauth_destination.",
            "%s relays for strangers: the message sent in the form '%s' arrived in the mailbox", relay->text,
            first);
    else if (accepted)
        dp_probe_finish(relay->probe, "open-unproven",
                        "Acceptance alone is no proof: the server may bounce or discard it, or take an odd "
                        "address for a local "
                        "one. --remote-domain with a domain of your own elsewhere and --proof-mailbox with "
                        "its maildir or IMAP account prove it.",
                        "%s accepts %zu of %zu forms, the first is '%s'%s%s", relay->text, accepted, answered,
                        first,
                        relay->mailbox_trouble[0] ? "; the mailbox could not be looked into any more: "
                        : relay->mailbox          ? "; nothing arrived in the mailbox in the time"
                                                  : "",
                        relay->mailbox_trouble);
    else if (answered < RELAY_FORMS || deferred)
        dp_probe_finish(
            relay->probe, "inconclusive",
            "Not every form was answered with yes or no: try again later, or from an address that the server "
            "does not know.",
            "%s: %zu of %zu forms answered, %zu of them put off, none accepted%s%s", relay->text, answered,
            (size_t)RELAY_FORMS, deferred, relay->trouble[0] ? ": " : "", relay->trouble);
    else
        dp_probe_finish(relay->probe, "closed", "", "%s refuses all %zu forms", relay->text, answered);
}

static void say(struct relay_probe *relay, enum step step, const char *verb, const char *argument,
                const char *end)
{
    char text[RELAY_ADDRESS + 64];
    int length = snprintf(text, sizeof text, "%s%s%s\r\n", verb, argument, end);
    relay->step = step;
    if (length < 0 || (size_t)length >= sizeof text || dp_stream_send(relay->stream, text, (size_t)length))
        dp_probe_fail(relay->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

/* All forms are through. */
static void last_form(struct relay_probe *relay)
{
    bool sent = false;
    for (size_t i = 0; i < RELAY_FORMS; i++)
        sent = sent || relay->tried[i].sent;
    if (relay->stream)
        say(relay, STEP_QUIT, "QUIT", "", "");
    if (!sent || relay->mailbox_trouble[0]) {
        conclude(relay, false);
        return;
    }
    relay->looking = true;
    dp_probe_progress(relay->probe, "a message was taken; waiting for it in %s", relay->mailbox);
    if (relay->imap)
        imap_proof_look(relay->imap);
    else
        dp_timer_start(relay->timer, LOOK_MS, LOOK_MS);
}

static void next_form(struct relay_probe *relay)
{
    while (relay->at < RELAY_FORMS && relay->tried[relay->at].answered)
        relay->at++;
    if (relay->at == RELAY_FORMS)
        last_form(relay);
    else
        say(relay, STEP_MAIL, "MAIL FROM:<", relay->forms[relay->at].from, ">");
}

static void answered(struct relay_probe *relay, const struct dp_smtp_reply *reply, bool accepted)
{
    struct tried *t = &relay->tried[relay->at];
    t->answered = true;
    t->accepted = accepted;
    t->deferred = !accepted && reply->code / 100 == 4;
    t->reply = *reply;
}

static void say_body(struct relay_probe *relay)
{
    char text[1200];
    time_t now = time(NULL);
    char date[64];
    struct tm utc;
    (void)gmtime_r(&now, &utc);
    (void)strftime(date, sizeof date, "%d %b %Y %H:%M:%S +0000", &utc);
    int length = snprintf(
        text, sizeof text,
        "Date: %s\r\nFrom: <droppoint-relay-test@example.org>\r\nSubject: droppoint relay test %s\r\n"
        "Message-ID: <%s@droppoint.invalid>\r\nAuto-Submitted: auto-generated\r\n\r\n"
        "This message proves that a mail server relays for strangers (form: %s).\r\n.\r\n",
        date, relay->token, relay->token, relay->forms[relay->at].name);
    relay->step = STEP_BODY;
    if (length < 0 || dp_stream_send(relay->stream, text, (size_t)length))
        dp_probe_fail(relay->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static bool proof_sent(const struct relay_probe *relay)
{
    for (size_t i = 0; i < RELAY_FORMS; i++)
        if (relay->tried[i].sent)
            return true;
    return false;
}

static void take_reply(struct relay_probe *relay, const struct dp_smtp_reply *reply)
{
    bool good = reply->code / 100 == 2;
    switch (relay->step) {
    case STEP_BANNER:
        if (!good) {
            (void)snprintf(relay->trouble, sizeof relay->trouble, "greeted with %d %.200s", reply->code,
                           reply->text);
            conclude(relay, false);
            return;
        }
        say(relay, STEP_EHLO, "EHLO droppoint.invalid", "", "");
        break;
    case STEP_EHLO:
        if (good) {
            next_form(relay);
        } else if (!relay->helo) {
            relay->helo = true;
            say(relay, STEP_EHLO, "HELO droppoint.invalid", "", "");
        } else {
            (void)snprintf(relay->trouble, sizeof relay->trouble, "HELO was answered with %d %.200s",
                           reply->code, reply->text);
            conclude(relay, false);
        }
        break;
    case STEP_MAIL:
        if (good) {
            say(relay, STEP_RCPT, "RCPT TO:<", relay->forms[relay->at].to, ">");
            break;
        }
        answered(relay, reply, false);
        say(relay, STEP_RSET, "RSET", "", "");
        break;
    case STEP_RCPT:
        answered(relay, reply, good);
        if (good && relay->mailbox && !proof_sent(relay))
            say(relay, STEP_DATA, "DATA", "", "");
        else
            say(relay, STEP_RSET, "RSET", "", "");
        break;
    case STEP_DATA:
        if (reply->code == 354)
            say_body(relay);
        else
            say(relay, STEP_RSET, "RSET", "", "");
        break;
    case STEP_BODY:
        relay->tried[relay->at].sent = good;
        say(relay, STEP_RSET, "RSET", "", "");
        break;
    case STEP_RSET:
        next_form(relay);
        break;
    case STEP_QUIT:
        break;
    }
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct relay_probe *relay = context;
    const char *line;
    size_t size;
    bool cut;
    if (relay->concluded || dp_lines_add(&relay->lines, bytes, length)) {
        conclude(relay, false);
        return;
    }
    while (!relay->concluded && relay->stream && dp_lines_next(&relay->lines, &line, &size, &cut)) {
        struct dp_smtp_reply reply;
        switch (dp_smtp_reply_line(&relay->reply, line, size)) {
        case DP_SMTP_MORE:
            break;
        case DP_SMTP_DONE:
            reply = relay->reply;
            relay->reply = (struct dp_smtp_reply){.code = 0};
            take_reply(relay, &reply);
            break;
        case DP_SMTP_INVALID:
            (void)snprintf(relay->trouble, sizeof relay->trouble, "the server does not speak SMTP");
            conclude(relay, false);
            return;
        }
    }
}

/* Some servers hang up after so many errors: the rest is asked in a new connection. */
static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    struct relay_probe *relay = context;
    (void)end;
    dp_stream_drop(relay->stream);
    relay->stream = NULL;
    if (relay->concluded || relay->looking || relay->step == STEP_QUIT)
        return;
    if (relay->step == STEP_BANNER || relay->step == STEP_EHLO || ++relay->reconnects > RECONNECTS_MAX) {
        (void)snprintf(relay->trouble, sizeof relay->trouble, "%s", why);
        conclude(relay, false);
        return;
    }
    connect_again(relay);
}

static const struct dp_stream_events stream_events = {.data = on_data, .closed = on_closed};

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct relay_probe *relay = context;
    dp_dial_drop(relay->dial);
    relay->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        dp_icmp_json(&result->icmp, dp_probe_data(relay->probe));
        (void)snprintf(relay->trouble, sizeof relay->trouble, "%s", result->why);
        conclude(relay, false);
    } else if (dp_stream_new(dp_probe_loop(relay->probe), result->fd, &stream_events, relay,
                             &relay->stream)) {
        dp_probe_fail(relay->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
}

static void connect_again(struct relay_probe *relay)
{
    dp_lines_free(&relay->lines);
    relay->reply = (struct dp_smtp_reply){.code = 0};
    relay->step = STEP_BANNER;
    if (dp_dial_start(dp_probe_loop(relay->probe), dp_probe_request(relay->probe), &relay->address,
                      CONNECT_MS, on_dialled, relay, &relay->dial))
        dp_probe_fail(relay->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static void on_look(void *context)
{
    struct relay_probe *relay = context;
    if (maildir_has(relay->mailbox, relay->token)) {
        dp_timer_stop(relay->timer);
        conclude(relay, true);
    }
}

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct relay_probe *relay = context;
    const struct dp_request *request = dp_probe_request(relay->probe);
    const char *local = dp_request_text(request, "--local-domain"),
               *remote = dp_request_text(request, "--remote-domain");
    char literal[DP_ADDRESS_TEXT + 8];
    (void)count;
    if (code) {
        dp_probe_fail(relay->probe, code, "%s", why);
        return;
    }
    relay->address = addresses[0];
    (void)dp_address_text(&relay->address, relay->text);
    bool v6 = relay->address.any.sa_family == AF_INET6;
    (void)snprintf(literal, sizeof literal, "[%s%s]", v6 ? "IPv6:" : "", relay->text);
    union dp_address is_address;
    bool named = dp_address_parse(relay->target.host, 0, &is_address) != 0;
    relay_forms(local   ? local
                : named ? relay->target.host
                        : literal,
                remote ? remote : "example.com", literal, relay->forms);
    connect_again(relay);
}

static int look_up(struct relay_probe *relay)
{
    struct dp_probe *probe = relay->probe;
    return dp_lookup_start(dp_probe_resolver(probe), relay->target.host,
                           dp_request_family(dp_probe_request(probe)),
                           relay->target.port ? relay->target.port : 25, on_addresses, relay, &relay->lookup);
}

/* No message is sent before it is sure that somebody can look for it. */
static void on_mailbox_ready(void *context)
{
    struct relay_probe *relay = context;
    int rc = look_up(relay);
    if (rc)
        dp_probe_fail(relay->probe, rc, "%s", dp_err_sentence(rc));
}

static void on_mailbox_done(void *context, bool found, const char *why)
{
    struct relay_probe *relay = context;
    if (!relay->lookup) {
        dp_probe_fail(relay->probe, DP_ERR_DENIED, "--proof-mailbox %.200s: %s", relay->mailbox, why);
        return;
    }
    if (!found)
        (void)snprintf(relay->mailbox_trouble, sizeof relay->mailbox_trouble, "%s", why);
    if (relay->looking)
        conclude(relay, found);
}

static int check_domain(const struct dp_request *request, const char *option, struct dp_diag *diag)
{
    const char *domain = dp_request_text(request, option);
    if (domain && (strlen(domain) > 250 || strpbrk(domain, " <>@\"")))
        return dp_fail(diag, DP_ERR_USAGE, "%s '%.100s' is no domain", option, domain);
    return 0;
}

static void relay_stop(void *state)
{
    struct relay_probe *relay = state;
    dp_lookup_drop(relay->lookup);
    dp_dial_drop(relay->dial);
    dp_stream_drop(relay->stream);
    dp_timer_drop(relay->timer);
    imap_proof_drop(relay->imap);
    dp_lines_free(&relay->lines);
    free(relay);
}

static const struct imap_proof_events proof_events = {.ready = on_mailbox_ready, .done = on_mailbox_done};

static int relay_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    unsigned char random[12];
    struct relay_probe *relay = calloc(1, sizeof *relay);
    if (!relay)
        return DP_ERR_NOMEM;
    relay->probe = probe;
    relay->mailbox = dp_request_text(request, "--proof-mailbox");
    int rc = dp_host_port_parse(dp_request_target(request), &relay->target, diag);
    if (!rc)
        rc = check_domain(request, "--local-domain", diag);
    if (!rc)
        rc = check_domain(request, "--remote-domain", diag);
    if (!rc && relay->mailbox && !dp_request_given(request, "--remote-domain"))
        rc = dp_fail(diag, DP_ERR_USAGE,
                     "--proof-mailbox needs --remote-domain: postmaster@ that domain has to end up in it");
    bool imap = relay->mailbox && imap_place_meant(relay->mailbox);
    if (!rc && relay->mailbox && !imap)
        rc = maildir_check(relay->mailbox, diag);
    if (!rc && getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        rc = DP_ERR_IO;
    for (size_t i = 0; i < sizeof random && !rc; i++)
        (void)snprintf(relay->token + 2 * i, 3, "%02x", random[i]);
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_look, relay, &relay->timer);
    if (!rc)
        rc = imap ? imap_proof_start(probe, relay->mailbox, relay->token, &proof_events, relay, &relay->imap,
                                     diag)
                  : look_up(relay);
    if (rc) {
        relay_stop(relay);
        return rc;
    }
    *ret_state = relay;
    return 0;
}

static void relay_expire(void *state)
{
    struct relay_probe *relay = state;
    if (!relay->lookup) {
        dp_probe_fail(relay->probe, DP_ERR_TIMEOUT, "--proof-mailbox %.200s: not open in time",
                      relay->mailbox);
        return;
    }
    if (!relay->text[0]) {
        dp_probe_fail(relay->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      relay->target.host);
        return;
    }
    if (!relay->looking)
        (void)snprintf(relay->trouble, sizeof relay->trouble, "no answer in time");
    conclude(relay, false);
}

static void relay_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *form;
    json_array_foreach(json_object_get(data, "forms"), i, form)
    {
        const json_t *accepted = json_object_get(form, "accepted"), *reply = json_object_get(form, "reply");
        const char *text = json_string_value(json_object_get(reply, "text"));
        fprintf(out, "%-22s %-9s %lld %.80s\n", json_string_value(json_object_get(form, "form")),
                json_is_true(accepted)    ? "ACCEPTED"
                : json_is_false(accepted) ? "refused"
                                          : "-",
                json_integer_value(json_object_get(reply, "code")), text ? text : "");
    }
}

static const struct dp_probe_option options[] = {
    {"--local-domain", DP_OPT_TEXT, "DOMAIN", NULL, 0, 0, NULL, false,
     "a domain of the server's own (default: its name)"},
    {"--remote-domain", DP_OPT_TEXT, "DOMAIN", NULL, 0, 0, NULL, false,
     "a domain that it has nothing to do with (default: example.com)"},
    {"--proof-mailbox", DP_OPT_TEXT, "MAILBOX", NULL, 0, 0, NULL, false,
     "sends one message to postmaster@ the remote domain, and waits for it in this maildir, or in "
     "imap[s]://HOST[:PORT][/FOLDER]"},
    {"--auth-file", DP_OPT_TEXT, "FILE", NULL, 0, 0, NULL, false,
     "of that account: 'user:' and 'password:' lines, mode 0600 (or DROPPOINT_USER, DROPPOINT_PASSWORD)"},
};

const struct dp_probe_kind dp_probe_relay = {
    .name = "relay",
    .about = "Does a mail server relay for strangers, in any of the forms in which one can ask; with proof "
             "by delivery.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 60000,
    .examples = "  droppoint probe relay --local --local-domain example.net mx.example.net\n"
                "  droppoint probe relay --local --local-domain example.net --remote-domain example.org \\\n"
                "      --proof-mailbox /home/me/Maildir mx.example.net\n"
                "  droppoint probe relay --local --local-domain example.net --remote-domain example.org \\\n"
                "      --proof-mailbox imaps://mail.example.org --auth-file login.txt mx.example.net\n",
    .start = relay_start,
    .expire = relay_expire,
    .stop = relay_stop,
    .print = relay_print,
};
