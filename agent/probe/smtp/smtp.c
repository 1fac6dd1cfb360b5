/* `smtp`: does a mail server, or each server of a domain, take mail, and if not, at which stage and with
 * which words does it turn it away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/kinds.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/smtp/dialogue.h"

#define SERVERS_MAX 64

struct smtp_probe;

/* One address of one host. */
struct smtp_server {
    struct smtp_probe *owner;
    char host[DP_HOST_TEXT];
    int preference; /* of its MX; -1: none */
    union dp_address address;
    struct smtp_dialogue *dialogue;
    struct dp_timer *again; /* until the next try */
    struct smtp_outcome outcome;
    json_t *json;
    unsigned tries;
    enum smtp_class first; /* what the first try came to */
    bool done, begun;
};

/* One host whose addresses are looked up. */
struct smtp_host {
    struct smtp_probe *owner;
    struct dp_lookup *lookup;
    char name[DP_HOST_TEXT];
    int preference;
    union dp_address *addresses;
    size_t address_count;
    char why[320]; /* it has no address */
};

struct smtp_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_mx_lookup *mx;
    struct smtp_host *hosts; /* by preference */
    size_t host_count, hosts_open;
    struct smtp_server *servers; /* once all hosts are looked up */
    size_t server_count;
    struct dp_auth auth;
    struct smtp_plan plan;
    uint64_t retries, retry_delay_ms;
    bool sent; /* one server took the message: no other gets it */
    bool concluded;
};

static void conclude(struct smtp_probe *smtp);
static void begin_server(struct smtp_server *server);

static bool one_after_the_other(const struct smtp_probe *smtp)
{
    return smtp->plan.send;
}

static void go_on(struct smtp_probe *smtp)
{
    for (size_t i = 0; i < smtp->server_count; i++) {
        if (!smtp->servers[i].begun) {
            begin_server(&smtp->servers[i]);
            if (one_after_the_other(smtp))
                return;
        }
    }
    for (size_t i = 0; i < smtp->server_count; i++)
        if (!smtp->servers[i].done)
            return;
    conclude(smtp);
}

static bool may_be_greylisting(const struct smtp_server *server)
{
    return server->outcome.class == SMTP_DEFERRED && server->outcome.reply->code &&
           (strcmp(server->outcome.stage, "rcpt") == 0 || strcmp(server->outcome.stage, "mail") == 0 ||
            strcmp(server->outcome.stage, "data") == 0 || strcmp(server->outcome.stage, "body") == 0 ||
            strcmp(server->outcome.stage, "banner") == 0);
}

static void settle(struct smtp_server *server)
{
    struct smtp_probe *smtp = server->owner;
    server->done = true;
    if (server->tries > 1 && server->first == SMTP_DEFERRED && server->outcome.class == SMTP_ACCEPTED) {
        server->outcome.class = SMTP_GREYLISTED;
        (void)json_object_set_new(server->json, "class", json_string("greylisted"));
    }
    (void)json_object_set_new(server->json, "tries", json_integer(server->tries));
    (void)json_object_set_new(server->json, "host", json_string(server->host));
    if (server->preference >= 0)
        (void)json_object_set_new(server->json, "preference", json_integer(server->preference));
    if (smtp->plan.send &&
        (server->outcome.class == SMTP_ACCEPTED || server->outcome.class == SMTP_GREYLISTED))
        smtp->sent = true;
    go_on(smtp);
}

static void on_done(void *context)
{
    struct smtp_server *server = context;
    struct smtp_probe *smtp = server->owner;
    server->outcome = smtp_dialogue_outcome(server->dialogue);
    if (server->tries == 1)
        server->first = server->outcome.class;
    json_decref(server->json);
    server->json = json_incref(server->outcome.json);
    if (may_be_greylisting(server) && server->tries <= smtp->retries &&
        dp_probe_left_ms(smtp->probe) > smtp->retry_delay_ms) {
        dp_probe_progress(smtp->probe, "%s defers (%s); it is tried again in %g s", server->host,
                          server->outcome.why, (double)smtp->retry_delay_ms / 1000);
        dp_timer_start(server->again, smtp->retry_delay_ms, 0);
        return;
    }
    settle(server);
}

static void begin_server(struct smtp_server *server)
{
    struct smtp_probe *smtp = server->owner;
    struct smtp_plan plan = smtp->plan;
    server->begun = true;
    server->tries++;
    plan.send = plan.send && !smtp->sent;
    plan.tls_name = server->host;
    smtp_dialogue_free(server->dialogue);
    server->dialogue = NULL;
    if (smtp_dialogue_start(smtp->probe, &plan, &server->address, on_done, server, &server->dialogue))
        dp_probe_fail(smtp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static void try_again(void *context)
{
    begin_server(context);
}

/* --- the verdict --- */

static const char *next_step(enum smtp_class class)
{
    switch (class) {
    case SMTP_ACCEPTED:
        return "";
    case SMTP_GREYLISTED:
        return "Greylisting: the server defers first tries of unknown senders on purpose; a mail server that "
               "tries again gets "
               "through.";
    case SMTP_DEFERRED:
        return "The server puts it off: read its words; try again with --retry 1 --retry-delay 300, which "
               "tells greylisting, "
               "and ask the server's administrator where it goes on.";
    case SMTP_REJECTED:
        return "The server itself says no, the network is fine: its words tell why; for reasons of "
               "reputation 'droppoint probe "
               "dnsbl' and 'droppoint probe dns' look at this address and the sender's domain.";
    case SMTP_AUTH_FAILED:
        return "Check user, password and the mechanisms that the server offers (capabilities), and whether "
               "it wants TLS first.";
    case SMTP_TLS_FAILED:
        return "'droppoint probe tls --starttls smtp' shows what the server speaks; --no-starttls tells "
               "whether it takes mail "
               "without.";
    case SMTP_INJECTION:
        return "Something between here and the server, or the server itself, puts bytes in front of the TLS "
               "session: run the "
               "probe from the server's own net, and update the server or the middlebox that does it.";
    case SMTP_DISCONNECTED:
        return "The connection is cut: capture at both ends ('droppoint capture run') to see who cuts it, "
               "and read the server's "
               "log of this moment.";
    case SMTP_TIMEOUT:
        return "It falls silent in mid-dialogue: where it happens at 'data' or 'body', large packets may "
               "die: 'droppoint probe "
               "mtu'; else ask the server's administrator what it waits for.";
    case SMTP_REFUSED:
        return "Nothing listens there, or a firewall rejects: ask the server's administrator whether the "
               "mail server runs.";
    case SMTP_FILTERED:
        return "A firewall drops, or the host is down; many providers block outgoing port 25: 'droppoint "
               "probe tcp' and 'trace' "
               "show where it ends.";
    }
    return "";
}

/* The worse of both: as the enum goes. */
static const struct smtp_server *worst_server(const struct smtp_probe *smtp)
{
    const struct smtp_server *worst = &smtp->servers[0];
    for (size_t i = 1; i < smtp->server_count; i++)
        if (smtp->servers[i].outcome.class > worst->outcome.class)
            worst = &smtp->servers[i];
    return worst;
}

static void add_unresolved(const struct smtp_probe *smtp, json_t *problems)
{
    for (size_t i = 0; i < smtp->host_count; i++) {
        if (!smtp->hosts[i].why[0])
            continue;
        char text[400];
        (void)snprintf(text, sizeof text, "The MX %.100s cannot be tried: %.250s.", smtp->hosts[i].name,
                       smtp->hosts[i].why);
        (void)json_array_append_new(problems,
                                    json_pack("{s:s, s:s}", "word", "mx-without-address", "text", text));
    }
}

static void conclude(struct smtp_probe *smtp)
{
    if (smtp->concluded)
        return;
    smtp->concluded = true;
    const struct smtp_server *worst = worst_server(smtp);
    json_t *data = dp_probe_data(smtp->probe), *servers = json_array();
    bool any_accepts = false;
    for (size_t i = 0; i < smtp->server_count; i++) {
        const struct smtp_server *server = &smtp->servers[i];
        any_accepts = any_accepts || server->outcome.class <= SMTP_GREYLISTED;
        (void)json_array_append(servers, server->json);
    }
    json_t *top = json_copy(worst->json);
    (void)json_object_del(top, "class");
    (void)json_object_update(data, top);
    json_decref(top);
    (void)json_object_set_new(data, "servers", servers);
    json_t *problems = json_copy(json_object_get(data, "problems"));
    add_unresolved(smtp, problems);
    if (json_array_size(problems) > json_array_size(json_object_get(worst->json, "problems")))
        dp_probe_warn(smtp->probe);
    (void)json_object_set_new(data, "problems", problems);
    const char *version = json_string_value(json_object_get(json_object_get(data, "tls"), "version"));
    char address[DP_ADDRESS_TEXT], rest[120] = "";
    if (smtp->server_count > 1)
        (void)snprintf(rest, sizeof rest, "; %zu servers tried, %s", smtp->server_count,
                       worst->outcome.class <= SMTP_GREYLISTED ? "all take it"
                       : any_accepts                           ? "others take it"
                                                               : "none takes it");
    dp_probe_finish(smtp->probe, smtp_class_name(worst->outcome.class), next_step(worst->outcome.class),
                    "%s [%s]:%u %s%s%s%s%s%s", worst->host, dp_address_text(&worst->address, address),
                    dp_address_port(&worst->address),
                    worst->outcome.class == SMTP_GREYLISTED ? "takes it at the second try: greylisting"
                                                            : worst->outcome.why,
                    version ? ", over " : "", version ? version : "",
                    worst->outcome.class > SMTP_GREYLISTED && worst->outcome.stage[0] ? "; it ended at stage "
                                                                                      : "",
                    worst->outcome.class > SMTP_GREYLISTED ? worst->outcome.stage : "", rest);
}

/* --- who is to be asked --- */

static int add_servers(struct smtp_probe *smtp)
{
    size_t all = 0;
    for (size_t i = 0; i < smtp->host_count; i++)
        all += smtp->hosts[i].address_count;
    smtp->servers = calloc(all ? all : 1, sizeof *smtp->servers);
    if (!smtp->servers)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < smtp->host_count; i++) {
        const struct smtp_host *host = &smtp->hosts[i];
        for (size_t k = 0; k < host->address_count && smtp->server_count < SERVERS_MAX; k++) {
            struct smtp_server *server = &smtp->servers[smtp->server_count];
            *server = (struct smtp_server){
                .owner = smtp, .preference = host->preference, .address = host->addresses[k]};
            (void)snprintf(server->host, sizeof server->host, "%s", host->name);
            if (dp_timer_new(dp_probe_loop(smtp->probe), try_again, server, &server->again))
                return DP_ERR_NOMEM;
            smtp->server_count++;
        }
    }
    return 0;
}

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct smtp_host *host = context;
    struct smtp_probe *smtp = host->owner;
    if (code) {
        (void)snprintf(host->why, sizeof host->why, "%s", why);
    } else if ((host->addresses = calloc(count, sizeof *addresses))) {
        memcpy(host->addresses, addresses, count * sizeof *addresses);
        host->address_count = count;
    }
    if (--smtp->hosts_open)
        return;
    if (add_servers(smtp))
        dp_probe_fail(smtp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    else if (!smtp->server_count)
        dp_probe_fail(smtp->probe, code ? code : DP_ERR_NOMEM, "%s",
                      smtp->hosts[0].why[0] ? smtp->hosts[0].why : dp_err_sentence(DP_ERR_NOMEM));
    else
        go_on(smtp);
}

static void look_up_hosts(struct smtp_probe *smtp)
{
    uint16_t port = smtp->target.port ? smtp->target.port : 25;
    smtp->hosts_open = smtp->host_count;
    for (size_t i = 0; i < smtp->host_count; i++)
        if (dp_lookup_start(dp_probe_resolver(smtp->probe), smtp->hosts[i].name,
                            dp_request_family(dp_probe_request(smtp->probe)), port, on_addresses,
                            &smtp->hosts[i], &smtp->hosts[i].lookup)) {
            dp_probe_fail(smtp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
            return;
        }
}

static void add_host(struct smtp_probe *smtp, const char *name, int preference)
{
    struct smtp_host *host = &smtp->hosts[smtp->host_count++];
    host->owner = smtp;
    host->preference = preference;
    (void)snprintf(host->name, sizeof host->name, "%s", name);
}

/* Room for so many hosts. */
static int hosts_new(struct smtp_probe *smtp, size_t count)
{
    smtp->hosts = calloc(count, sizeof *smtp->hosts);
    return smtp->hosts ? 0 : DP_ERR_NOMEM;
}

static void on_mx(void *context, int code, const char *why, const struct dp_mx *list, size_t count)
{
    struct smtp_probe *smtp = context;
    (void)why;
    if (!code && count == 1 && !list[0].host[0]) {
        (void)json_object_set_new(dp_probe_data(smtp->probe), "null_mx", json_true());
        (void)json_object_set_new(dp_probe_data(smtp->probe), "stage", json_string("connect"));
        dp_probe_finish(smtp->probe, "rejected",
                        "The domain says that it takes no mail at all: check the address.",
                        "%s has a null MX (RFC 7505): it takes no mail", smtp->target.host);
        return;
    }
    if (hosts_new(smtp, count + 1)) {
        dp_probe_fail(smtp->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    json_t *mx = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(
            mx, json_pack("{s:s, s:i}", "host", list[i].host, "preference", list[i].preference));
        if (list[i].host[0])
            add_host(smtp, list[i].host, list[i].preference);
    }
    (void)json_object_set_new(dp_probe_data(smtp->probe), "mx", mx);
    if (!smtp->host_count) // no MX, or nobody knows: the name itself is the server, RFC 5321 5.1
        add_host(smtp, smtp->target.host, -1);
    look_up_hosts(smtp);
}

/* --- the kind --- */

static int check_address(const char *option, const char *address, struct dp_diag *diag)
{
    if (address && (strpbrk(address, "<> ") || strlen(address) > 320))
        return dp_fail(diag, DP_ERR_USAGE, "%s '%.100s': an address without blanks and brackets, please",
                       option, address);
    return 0;
}

static int read_plan(struct smtp_probe *smtp, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(smtp->probe);
    struct smtp_plan *plan = &smtp->plan;
    *plan = (struct smtp_plan){.helo = dp_request_text(request, "--helo"),
                               .mail_from = dp_request_text(request, "--mail-from"),
                               .rcpt_to = dp_request_text(request, "--rcpt-to"),
                               .auth = &smtp->auth,
                               .send = dp_request_flag(request, "--send"),
                               .size = dp_request_number(request, "--size")};
    bool never = dp_request_flag(request, "--no-starttls"), must = dp_request_flag(request, "--starttls");
    plan->tls = never ? SMTP_TLS_NEVER : must ? SMTP_TLS_MUST : SMTP_TLS_IF_OFFERED;
    smtp->retries = dp_request_number(request, "--retry");
    smtp->retry_delay_ms = dp_request_ms(request, "--retry-delay");
    if (never && must)
        return dp_fail(diag, DP_ERR_USAGE, "--starttls and --no-starttls exclude each other");
    if (plan->mail_from && strcmp(plan->mail_from, "<>") == 0)
        plan->mail_from = "";
    if (plan->send && !plan->rcpt_to)
        return dp_fail(diag, DP_ERR_USAGE, "--send needs --rcpt-to: whom to send the message to");
    if (plan->helo && strchr(plan->helo, ' '))
        return dp_fail(diag, DP_ERR_USAGE, "--helo '%.100s': a name without blanks, please", plan->helo);
    int rc = check_address("--mail-from", plan->mail_from, diag);
    if (!rc)
        rc = check_address("--rcpt-to", plan->rcpt_to, diag);
    if (!rc)
        rc = dp_auth_read(dp_request_text(request, "--auth-file"), &smtp->auth, diag);
    return rc;
}

static void smtp_stop(void *state)
{
    struct smtp_probe *smtp = state;
    dp_mx_drop(smtp->mx);
    for (size_t i = 0; i < smtp->host_count; i++) {
        dp_lookup_drop(smtp->hosts[i].lookup);
        free(smtp->hosts[i].addresses);
    }
    for (size_t i = 0; i < smtp->server_count; i++) {
        smtp_dialogue_free(smtp->servers[i].dialogue);
        dp_timer_drop(smtp->servers[i].again);
        json_decref(smtp->servers[i].json);
    }
    dp_auth_forget(&smtp->auth);
    free(smtp->hosts);
    free(smtp->servers);
    free(smtp);
}

static int smtp_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    struct smtp_probe *smtp = calloc(1, sizeof *smtp);
    union dp_address literal;
    if (!smtp)
        return DP_ERR_NOMEM;
    smtp->probe = probe;
    int rc = dp_host_port_parse(dp_request_target(dp_probe_request(probe)), &smtp->target, diag);
    if (!rc)
        rc = read_plan(smtp, diag);
    bool is_host = smtp->target.port || dp_address_parse(smtp->target.host, 0, &literal) == 0 ||
                   strcasecmp(smtp->target.host, "localhost") == 0;
    if (!rc)
        rc = is_host ? hosts_new(smtp, 1)
                     : dp_mx_start(dp_probe_resolver(probe), smtp->target.host, on_mx, smtp, &smtp->mx);
    if (rc) {
        smtp_stop(smtp);
        return rc;
    }
    dp_probe_allow(probe, 60000 + smtp->retries * (smtp->retry_delay_ms + 30000));
    if (is_host) {
        add_host(smtp, smtp->target.host, -1);
        look_up_hosts(smtp);
    }
    *ret_state = smtp;
    return 0;
}

static void smtp_expire(void *state)
{
    struct smtp_probe *smtp = state;
    if (!smtp->server_count) {
        dp_probe_fail(smtp->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      smtp->target.host);
        return;
    }
    for (size_t i = 0; i < smtp->server_count; i++) {
        struct smtp_server *server = &smtp->servers[i];
        if (server->done)
            continue;
        if (server->dialogue) {
            if (!smtp_dialogue_is_done(server->dialogue)) {
                smtp_dialogue_expire(server->dialogue);
                server->outcome = smtp_dialogue_outcome(server->dialogue);
                json_decref(server->json);
                server->json = json_incref(server->outcome.json);
            }
        } else { // its turn never came
            char address[DP_ADDRESS_TEXT];
            server->outcome = (struct smtp_outcome){
                .class = SMTP_TIMEOUT, .stage = "connect", .why = "was not tried in the time"};
            server->json =
                json_pack("{s:s, s:i, s:s, s:s}", "address", dp_address_text(&server->address, address),
                          "port", dp_address_port(&server->address), "class", "timeout", "stage", "connect");
        }
        server->done = true;
    }
    conclude(smtp);
}

static void smtp_print(const json_t *data, FILE *out)
{
    size_t i, k;
    json_t *server, *stage;
    json_array_foreach(json_object_get(data, "servers"), i, server)
    {
        fprintf(out, "%s [%s]: %s\n", json_string_value(json_object_get(server, "host")),
                json_string_value(json_object_get(server, "address")),
                json_string_value(json_object_get(server, "class")));
        json_array_foreach(json_object_get(server, "stages"), k, stage)
        {
            const json_t *reply = json_object_get(stage, "reply");
            const char *enhanced = json_string_value(json_object_get(reply, "enhanced"));
            const char *text = json_string_value(json_object_get(reply, "text"));
            fprintf(out, "  %-9s %9.1f ms", json_string_value(json_object_get(stage, "stage")),
                    json_number_value(json_object_get(stage, "ms")));
            if (text)
                fprintf(out, "  %lld %s%s%.100s", json_integer_value(json_object_get(reply, "code")),
                        enhanced ? enhanced : "", enhanced ? " " : "", text);
            fputs("\n", out);
        }
    }
    const json_t *problem;
    json_array_foreach(json_object_get(data, "problems"), i, problem)
        fprintf(out, "Note: %s\n", json_string_value(json_object_get(problem, "text")));
}

static void smtp_perfdata(const json_t *data, FILE *out)
{
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(data, "stages"), i, stage)
        fprintf(out, "%s%s=%.1fms", i ? " " : "", json_string_value(json_object_get(stage, "stage")),
                json_number_value(json_object_get(stage, "ms")));
}

static const struct dp_probe_option options[] = {
    {"--mail-from", DP_OPT_TEXT, "ADDRESS", NULL, 0, 0, NULL, false, "the sender; '<>' is the null sender"},
    {"--rcpt-to", DP_OPT_TEXT, "ADDRESS", NULL, 0, 0, NULL, false, "the recipient to ask for"},
    {"--helo", DP_OPT_TEXT, "NAME", NULL, 0, 0, NULL, false, "this host's name in EHLO (default: its own)"},
    {"--starttls", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false,
     "insist on TLS; without it TLS is used where offered"},
    {"--no-starttls", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false, "stay in the clear"},
    {"--auth-file", DP_OPT_TEXT, "FILE", NULL, 0, 0, NULL, false,
     "log in: 'user:' and 'password:' lines, mode 0600 (or DROPPOINT_USER, DROPPOINT_PASSWORD)"},
    {"--send", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false, "really send a message"},
    {"--size", DP_OPT_NUMBER, "BYTES", NULL, 1, 1073741824, NULL, false,
     "of the message, headers included; without --send it is only announced"},
    {"--retry", DP_OPT_NUMBER, "N", "0", 0, 100, NULL, false,
     "try again so often when deferred, to recognise greylisting"},
    {"--retry-delay", DP_OPT_SECONDS, "SECONDS", "60", 0, 3600000, NULL, false, "between two tries"},
};

const struct dp_probe_kind dp_probe_smtp = {
    .name = "smtp",
    .about = "Does a mail server, or every MX of a domain, take mail; if not, at which stage and with which "
             "words.",
    .target_text = "HOST[:PORT]|DOMAIN",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 60000,
    .examples = "  Does the remote accept?     droppoint probe smtp --local --mail-from me@example.org "
                "--rcpt-to you@example.net "
                "example.net\n"
                "  Local or remote domain?     droppoint probe smtp --local --rcpt-to postmaster@example.net "
                "127.0.0.1\n"
                "  Does the login work?        droppoint probe smtp --local --auth-file login.txt "
                "mail.example.net:587\n"
                "  Does a message arrive?      droppoint probe smtp --local --send --size 100000 --rcpt-to "
                "you@example.net "
                "mx.example.net\n",
    .start = smtp_start,
    .expire = smtp_expire,
    .stop = smtp_stop,
    .print = smtp_print,
    .perfdata = smtp_perfdata,
};
