#include "agent/probe/relay/imap_proof.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/mailbox/session.h"
#include "agent/probe/net/resolve.h"

#define PLAIN "imap://"
#define SECURE "imaps://"

struct imap_proof {
    struct dp_probe *probe;
    const struct imap_proof_events *events;
    void *context;
    struct imap_place place;
    const char *token;
    struct dp_lookup *lookup;
    struct dp_auth auth;
    struct mailbox_session session;
    bool begun, over;
};

bool imap_place_meant(const char *mailbox)
{
    return !strncasecmp(mailbox, PLAIN, strlen(PLAIN)) || !strncasecmp(mailbox, SECURE, strlen(SECURE));
}

int imap_place_parse(const char *url, struct imap_place *ret_place, struct dp_diag *diag)
{
    bool secure = !strncasecmp(url, SECURE, strlen(SECURE));
    const char *server = url + strlen(secure ? SECURE : PLAIN), *slash = strchr(server, '/');
    const char *folder = slash && slash[1] ? slash + 1 : "INBOX";
    char text[DP_HOST_TEXT + 8];
    size_t length = slash ? (size_t)(slash - server) : strlen(server);
    if (length == 0 || length >= sizeof text || memchr(server, '@', length))
        return dp_fail(diag, DP_ERR_USAGE,
                       "--proof-mailbox '%.100s' is not imap[s]://HOST[:PORT][/FOLDER]; the user stands in "
                       "--auth-file",
                       url);
    for (const char *at = folder; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            return dp_fail(diag, DP_ERR_USAGE,
                           "--proof-mailbox: the folder has a character that is not ASCII");
    if (strlen(folder) >= sizeof ret_place->folder)
        return dp_fail(diag, DP_ERR_USAGE, "--proof-mailbox: the folder's name is too long");
    (void)snprintf(text, sizeof text, "%.*s", (int)length, server);
    (void)snprintf(ret_place->folder, sizeof ret_place->folder, "%s", folder);
    int rc = dp_host_port_parse(text, &ret_place->server, diag);
    if (!rc && secure && ret_place->server.port && ret_place->server.port != mailbox_imap.tls_port)
        rc = dp_fail(diag, DP_ERR_USAGE,
                     "--proof-mailbox: imaps:// is port %u; at other ports STARTTLS is spoken, with imap://",
                     mailbox_imap.tls_port);
    if (!rc && !ret_place->server.port)
        ret_place->server.port = secure ? mailbox_imap.tls_port : mailbox_imap.port;
    return rc;
}

static void on_ready(void *context)
{
    struct imap_proof *proof = context;
    proof->events->ready(proof->context);
}

static void on_done(void *context)
{
    struct imap_proof *proof = context;
    proof->over = true;
    proof->events->done(proof->context, proof->session.found, proof->session.why);
}

/* The first address is as good as any: all lead to one mailbox. */
static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct imap_proof *proof = context;
    (void)count;
    if (code) {
        dp_probe_fail(proof->probe, code, "--proof-mailbox: %s", why);
        return;
    }
    proof->session = (struct mailbox_session){.probe = proof->probe,
                                              .protocol = &mailbox_imap,
                                              .auth = &proof->auth,
                                              .tls_name = proof->place.server.host,
                                              .address = addresses[0],
                                              .done = on_done,
                                              .context = proof,
                                              .folder = proof->place.folder,
                                              .token = proof->token,
                                              .ready = on_ready};
    proof->begun = true;
    if (mailbox_session_start(&proof->session))
        dp_probe_fail(proof->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

int imap_proof_start(struct dp_probe *probe, const char *url, const char *token,
                     const struct imap_proof_events *events, void *context, struct imap_proof **ret_proof,
                     struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct imap_proof *proof = calloc(1, sizeof *proof);
    if (!proof)
        return DP_ERR_NOMEM;
    proof->probe = probe;
    proof->token = token;
    proof->events = events;
    proof->context = context;
    int rc = imap_place_parse(url, &proof->place, diag);
    if (!rc)
        rc = dp_auth_read(dp_request_text(request, "--auth-file"), &proof->auth, diag);
    if (!rc && !proof->auth.known)
        rc = dp_fail(diag, DP_ERR_USAGE,
                     "--proof-mailbox %.100s needs --auth-file with the account's user and password", url);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), proof->place.server.host, dp_request_family(request),
                             proof->place.server.port, on_addresses, proof, &proof->lookup);
    if (rc) {
        imap_proof_drop(proof);
        return rc;
    }
    *ret_proof = proof;
    return 0;
}

void imap_proof_look(struct imap_proof *proof)
{
    if (!proof->over)
        mailbox_imap_search(&proof->session);
}

void imap_proof_write(struct imap_proof *proof, json_t *data)
{
    if (!proof->begun)
        return;
    json_t *mailbox = json_pack("{s:s, s:i, s:s}", "server", proof->session.text, "port",
                                proof->place.server.port, "folder", proof->place.folder);
    json_t *tls = json_object_get(proof->session.json, "tls");
    (void)json_object_set(mailbox, "tls", tls ? tls : json_null());
    (void)json_object_set(mailbox, "problems", proof->session.problems);
    (void)json_object_set_new(data, "mailbox", mailbox);
}

void imap_proof_drop(struct imap_proof *proof)
{
    if (!proof)
        return;
    dp_lookup_drop(proof->lookup);
    if (proof->begun)
        mailbox_session_free(&proof->session);
    dp_auth_forget(&proof->auth);
    free(proof);
}
