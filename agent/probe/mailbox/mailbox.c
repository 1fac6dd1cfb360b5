/* `imap` and `pop3`: does the server let somebody in, and at which stage does it fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/kinds.h"
#include "agent/probe/mailbox/session.h"
#include "agent/probe/net/resolve.h"

struct mailbox_probe {
    struct dp_probe *probe;
    const struct mailbox_protocol *protocol;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_auth auth;
    struct mailbox_session *sessions;
    size_t count, open;
    bool concluded;
};

static const char *next_step(enum mailbox_class class)
{
    switch (class) {
    case MAILBOX_OK:
        return "";
    case MAILBOX_AUTH_FAILED:
        return "Check user and password, and in the server's log why it says no (locked, no such user, no "
               "login without TLS).";
    case MAILBOX_TLS_FAILED:
        return "'droppoint probe tls' with --starttls shows what the server speaks.";
    case MAILBOX_DISCONNECTED:
        return "The server hangs up: its log tells why (too many connections, access rule, crash).";
    case MAILBOX_TIMEOUT:
        return "The server falls silent in mid-dialogue: is it overloaded, does it wait for its user "
               "database? Ask its "
               "administrator.";
    case MAILBOX_REFUSED:
        return "Nothing listens there, or a firewall rejects: ask the server's administrator whether the "
               "service runs.";
    case MAILBOX_FILTERED:
        return "A firewall drops, or the host is down: 'droppoint probe tcp' and 'trace' with this port show "
               "where it ends.";
    }
    return "";
}

static void conclude(struct mailbox_probe *mailbox)
{
    if (mailbox->concluded)
        return;
    mailbox->concluded = true;
    struct mailbox_session *worst = &mailbox->sessions[0];
    json_t *data = dp_probe_data(mailbox->probe), *servers = json_array();
    for (size_t i = 0; i < mailbox->count; i++) {
        mailbox_session_write(&mailbox->sessions[i]);
        worst = mailbox->sessions[i].class > worst->class ? &mailbox->sessions[i] : worst;
        (void)json_array_append(servers, mailbox->sessions[i].json);
    }
    json_t *top = json_copy(worst->json);
    (void)json_object_del(top, "class");
    (void)json_object_update(data, top);
    json_decref(top);
    (void)json_object_set_new(data, "servers", servers);
    const char *version = json_string_value(json_object_get(json_object_get(data, "tls"), "version"));
    dp_probe_finish(mailbox->probe, mailbox_class_name(worst->class), next_step(worst->class),
                    "%s [%s]:%u %s%s%s", mailbox->target.host, worst->text, dp_address_port(&worst->address),
                    worst->why, version ? ", over " : "", version ? version : "");
}

static void on_done(void *context)
{
    struct mailbox_probe *mailbox = context;
    if (--mailbox->open == 0)
        conclude(mailbox);
}

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct mailbox_probe *mailbox = context;
    if (code) {
        dp_probe_fail(mailbox->probe, code, "%s", why);
        return;
    }
    mailbox->sessions = calloc(count, sizeof *mailbox->sessions);
    if (!mailbox->sessions) {
        dp_probe_fail(mailbox->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    mailbox->count = mailbox->open = count;
    for (size_t i = 0; i < count; i++) {
        struct mailbox_session *s = &mailbox->sessions[i];
        *s = (struct mailbox_session){.probe = mailbox->probe,
                                      .protocol = mailbox->protocol,
                                      .auth = &mailbox->auth,
                                      .tls_name = mailbox->target.host,
                                      .address = addresses[i],
                                      .done = on_done,
                                      .context = mailbox};
        if (mailbox_session_start(s))
            dp_probe_fail(mailbox->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
}

static void mailbox_stop(void *state)
{
    struct mailbox_probe *mailbox = state;
    dp_lookup_drop(mailbox->lookup);
    for (size_t i = 0; i < mailbox->count; i++)
        mailbox_session_free(&mailbox->sessions[i]);
    dp_auth_forget(&mailbox->auth);
    free(mailbox->sessions);
    free(mailbox);
}

static int start(struct dp_probe *probe, const struct mailbox_protocol *protocol, void **ret_state,
                 struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct mailbox_probe *mailbox = calloc(1, sizeof *mailbox);
    if (!mailbox)
        return DP_ERR_NOMEM;
    mailbox->probe = probe;
    mailbox->protocol = protocol;
    int rc = dp_host_port_parse(dp_request_target(request), &mailbox->target, diag);
    if (!rc)
        rc = dp_auth_read(dp_request_text(request, "--auth-file"), &mailbox->auth, diag);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), mailbox->target.host, dp_request_family(request),
                             mailbox->target.port ? mailbox->target.port : protocol->port, on_addresses,
                             mailbox, &mailbox->lookup);
    if (rc) {
        mailbox_stop(mailbox);
        return rc;
    }
    *ret_state = mailbox;
    return 0;
}

static int imap_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    return start(probe, &mailbox_imap, ret_state, diag);
}

static int pop3_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    return start(probe, &mailbox_pop3, ret_state, diag);
}

static void mailbox_expire(void *state)
{
    struct mailbox_probe *mailbox = state;
    if (!mailbox->sessions) {
        dp_probe_fail(mailbox->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      mailbox->target.host);
        return;
    }
    for (size_t i = 0; i < mailbox->count; i++)
        mailbox_session_expire(&mailbox->sessions[i]);
    conclude(mailbox);
}

static void mailbox_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(data, "stages"), i, stage)
    {
        const json_t *reply = json_object_get(stage, "reply");
        const char *status = json_string_value(json_object_get(reply, "status"));
        const char *text = json_string_value(json_object_get(reply, "text"));
        fprintf(out, "  %-11s %9.1f ms  %s %.100s\n", json_string_value(json_object_get(stage, "stage")),
                json_number_value(json_object_get(stage, "ms")), status ? status : "", text ? text : "");
    }
    json_array_foreach(json_object_get(data, "problems"), i, stage)
        fprintf(out, "Note: %s\n", json_string_value(json_object_get(stage, "text")));
}

static const struct dp_probe_option options[] = {
    {"--auth-file", DP_OPT_TEXT, "FILE", NULL, 0, 0, NULL, false,
     "log in: 'user:' and 'password:' lines, mode 0600 (or DROPPOINT_USER, DROPPOINT_PASSWORD)"},
};

const struct dp_probe_kind dp_probe_imap = {
    .name = "imap",
    .about = "Does an IMAP server greet, speak TLS, let somebody in and list mailboxes. Port 993 speaks TLS "
             "at once.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 30000,
    .examples = "  droppoint probe imap --local mail.example.net\n"
                "  droppoint probe imap --local --auth-file login.txt mail.example.net:993\n",
    .start = imap_start,
    .expire = mailbox_expire,
    .stop = mailbox_stop,
    .print = mailbox_print,
};

const struct dp_probe_kind dp_probe_pop3 = {
    .name = "pop3",
    .about = "Does a POP3 server greet, speak TLS, let somebody in and count messages. Port 995 speaks TLS "
             "at once.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 30000,
    .examples = "  droppoint probe pop3 --local mail.example.net\n"
                "  droppoint probe pop3 --local --auth-file login.txt mail.example.net:995\n",
    .start = pop3_start,
    .expire = mailbox_expire,
    .stop = mailbox_stop,
    .print = mailbox_print,
};
