/* `tls`: which versions and cipher suites a server takes, in which order, and whether its certificate holds.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/net/tls.h"
#include "agent/probe/tls/ask.h"
#include "agent/probe/tls/chain.h"
#include "agent/probe/tls/verdict.h"

#define BUDGET 500U /* connections to one target */
#define HANDSHAKE_MS 15000

struct tls_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct tls_target where;
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    struct tls_ask *handshake;
    struct tls_chain *chains[TLS_VERSIONS];
    unsigned open, budget, handshakes;
    struct tls_certificate certificate;
    char text[DP_ADDRESS_TEXT], key_type[24], error[160];
    bool concluded;
};

static void conclude(struct tls_probe *tls)
{
    static const struct tls_chain_state nothing = {.why = "the time was over"};
    if (tls->concluded)
        return;
    tls->concluded = true;
    const struct tls_chain_state *states[TLS_VERSIONS];
    json_t *data = dp_probe_data(tls->probe), *protocols = json_array();
    unsigned connections = tls->handshakes, accepted = 0, rejected = 0, inconclusive = 0;
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++) {
        states[v] = tls->chains[v] ? tls_chain_state(tls->chains[v]) : &nothing;
        connections += states[v]->connections;
        accepted += states[v]->accepted;
        rejected += states[v]->rejected;
        inconclusive += states[v]->inconclusive;
        (void)json_array_append_new(protocols, tls_chain_json((enum tls_version)v, states[v]));
    }
    char label[DP_HOST_TEXT + 300];
    const char *target = dp_request_target(dp_probe_request(tls->probe));
    bool other = strcmp(tls->where.name, tls->target.host) != 0;
    (void)snprintf(label, sizeof label, other ? "%s (%s)" : "%s", target, tls->where.name);
    struct tls_verdict verdict = tls_judge(label, states, &tls->certificate);
    (void)json_object_set_new(data, "address", json_string(tls->text));
    (void)json_object_set_new(data, "protocols", protocols);
    (void)json_object_set_new(data, "connections", json_integer(connections));
    (void)json_object_set_new(data, "questions",
                              json_pack("{s:i, s:i, s:i}", "accepted", (int)accepted, "rejected",
                                        (int)rejected, "inconclusive", (int)inconclusive));
    (void)json_object_set_new(data, "weaknesses", verdict.weaknesses);
    if (!tls->certificate.seen)
        (void)json_object_set_new(data, "certificate", json_null());
    dp_probe_finish(tls->probe, verdict.class, verdict.next_step, "%s", verdict.summary);
}

static void one_less(struct tls_probe *tls)
{
    if (--tls->open == 0)
        conclude(tls);
}

static void on_chain(void *context)
{
    struct tls_probe *tls = context;
    dp_probe_progress(tls->probe, "%u of %d versions looked at", TLS_VERSIONS - tls->open + 1,
                      TLS_VERSIONS + 1);
    one_less(tls);
}

static void take_certificate(struct tls_probe *tls, SSL *ssl)
{
    struct tls_certificate *c = &tls->certificate;
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    json_t *data = dp_probe_data(tls->probe);
    (void)json_object_set_new(data, "tls", dp_tls_json(ssl));
    if (!leaf)
        return;
    json_t *chain = json_array(), *json = dp_certificate_json(leaf);
    STACK_OF(X509) *certificates = SSL_get_peer_cert_chain(ssl);
    for (int i = 0; i < sk_X509_num(certificates) && i < 20; i++)
        (void)json_array_append_new(chain, dp_certificate_json(sk_X509_value(certificates, i)));
    c->seen = true;
    c->trust = dp_tls_trust(ssl);
    c->expired = X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0 ||
                 X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0;
    union dp_address address;
    c->name_holds =
        dp_address_parse(tls->where.name, 0, &address) == 0
            ? X509_check_ip_asc(leaf, tls->where.name, 0) == 1
            : X509_check_host(leaf, tls->where.name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
    const char *type = json_string_value(json_object_get(json_object_get(json, "key"), "type"));
    (void)snprintf(tls->key_type, sizeof tls->key_type, "%s", type ? type : "");
    c->key_bits = (int)json_integer_value(json_object_get(json_object_get(json, "key"), "bits"));
    c->days_left = (int)json_integer_value(json_object_get(json, "days_left"));
    if (c->trust != DP_TRUST_OK)
        (void)snprintf(tls->error, sizeof tls->error, "%s",
                       X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
    (void)json_object_set_new(json, "trusted", json_boolean(c->trust == DP_TRUST_OK));
    (void)json_object_set_new(json, "name_holds", json_boolean(c->name_holds));
    (void)json_object_set_new(json, "error", tls->error[0] ? json_string(tls->error) : json_null());
    (void)json_object_set_new(data, "certificate", json);
    (void)json_object_set_new(data, "chain", chain);
    ERR_clear_error();
}

static void on_handshake(void *context, const struct tls_got *got)
{
    struct tls_probe *tls = context;
    if (got->outcome == TLS_GOT_HANDSHAKE && got->ssl)
        take_certificate(tls, got->ssl);
    tls_ask_free(tls->handshake);
    tls->handshake = NULL;
    one_less(tls);
}

static const char *const from_good_to_bad[] = {"ok",       "inconclusive", "no-tls",  "weak",
                                               "mismatch", "untrusted",    "expired", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct tls_probe *tls = context;
    if (code) {
        dp_probe_fail(tls->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(tls->probe, &rules, &tls->target, "--servername", addresses, count, &tls->parts))
        return;
    tls->where.address = addresses[0];
    (void)dp_address_text(&addresses[0], tls->text);
    tls->open = 1;
    tls->handshakes = 1;
    if (tls_ask_start(&tls->where, TLS_1_2, NULL, 0, HANDSHAKE_MS, on_handshake, tls, &tls->handshake)) {
        dp_probe_fail(tls->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++) {
        if (tls_chain_start(&tls->where, (enum tls_version)v, &tls->budget, on_chain, tls, &tls->chains[v])) {
            dp_probe_fail(tls->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
            return;
        }
        tls->open++;
    }
}

static void tls_stop(void *state)
{
    struct tls_probe *tls = state;
    dp_lookup_drop(tls->lookup);
    dp_parts_free(tls->parts);
    tls_ask_free(tls->handshake);
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++)
        tls_chain_free(tls->chains[v]);
    free(tls);
}

static int tls_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    static const uint16_t usual[] = {443, 25, 143, 110};
    const struct dp_request *request = dp_probe_request(probe);
    const char *starttls = dp_request_text(request, "--starttls"),
               *name = dp_request_text(request, "--servername");
    struct tls_probe *tls = calloc(1, sizeof *tls);
    if (!tls)
        return DP_ERR_NOMEM;
    tls->probe = probe;
    tls->budget = BUDGET;
    tls->certificate.key_type = tls->key_type;
    tls->certificate.error = tls->error;
    tls->where.probe = probe;
    tls->where.starttls = !starttls                       ? STARTTLS_NONE
                          : strcmp(starttls, "smtp") == 0 ? STARTTLS_SMTP
                          : strcmp(starttls, "imap") == 0 ? STARTTLS_IMAP
                                                          : STARTTLS_POP3;
    int rc = dp_host_port_parse(dp_request_target(request), &tls->target, diag);
    if (!rc) {
        tls->where.name = name ? name : tls->target.host;
        rc = dp_lookup_start(dp_probe_resolver(probe), tls->target.host, dp_request_family(request),
                             tls->target.port ? tls->target.port : usual[tls->where.starttls], on_addresses,
                             tls, &tls->lookup);
    }
    if (rc) {
        tls_stop(tls);
        return rc;
    }
    *ret_state = tls;
    return 0;
}

static void tls_expire(void *state)
{
    struct tls_probe *tls = state;
    if (dp_parts_expire(tls->parts))
        return;
    if (tls->open)
        conclude(tls);
    else
        dp_probe_fail(tls->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      tls->target.host);
}

static void tls_print(const json_t *data, FILE *out)
{
    size_t i, k;
    json_t *protocol, *cipher;
    dp_parts_print(data, "addresses", "address", out);
    json_array_foreach(json_object_get(data, "protocols"), i, protocol)
    {
        const json_t *offered = json_object_get(protocol, "offered");
        fprintf(out, "%-8s %s\n", json_string_value(json_object_get(protocol, "protocol")),
                json_is_true(offered)    ? "offered"
                : json_is_false(offered) ? "not offered"
                                         : "not known");
        json_array_foreach(json_object_get(protocol, "ciphers"), k, cipher)
            fprintf(out, "         %-48s %-10s %s\n", json_string_value(json_object_get(cipher, "name")),
                    json_string_value(json_object_get(cipher, "strength")),
                    json_string_value(json_object_get(cipher, "why")));
    }
    const json_t *certificate = json_object_get(data, "certificate");
    if (json_is_object(certificate))
        fprintf(out, "certificate %s, from %s, until %s\n",
                json_string_value(json_object_get(certificate, "subject")),
                json_string_value(json_object_get(certificate, "issuer")),
                json_string_value(json_object_get(certificate, "not_after")));
    fprintf(out, "%lld connections\n", json_integer_value(json_object_get(data, "connections")));
}

static void tls_perfdata(const json_t *data, FILE *out)
{
    const json_t *days = json_object_get(json_object_get(data, "certificate"), "days_left");
    if (json_is_integer(days))
        fprintf(out, "days_left=%lld", json_integer_value(days));
}

static const struct dp_probe_option options[] = {
    {"--starttls", DP_OPT_WORD, "PROTOCOL", NULL, 0, 0, "smtp|imap|pop3", false,
     "TLS begins after a few lines of"},
    {"--servername", DP_OPT_TEXT, "NAME", NULL, 0, 0, NULL, false,
     "the name to ask for and to check the certificate against (default: the host)"},
};

const struct dp_probe_kind dp_probe_tls = {
    .name = "tls",
    .about = "Versions from SSLv2 to TLS 1.3 and all cipher suites of each, in the server's order, and its "
             "certificate.",
    .target_text = "HOST:PORT",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 120000,
    .examples = "  droppoint probe tls --local mail.example.net:993\n"
                "  droppoint probe tls --local --starttls smtp mx.example.net:25\n"
                "  droppoint probe tls --local --servername www.example.net 192.0.2.80:443\n",
    .start = tls_start,
    .expire = tls_expire,
    .stop = tls_stop,
    .print = tls_print,
    .perfdata = tls_perfdata,
};
