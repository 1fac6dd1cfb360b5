#include "agent/probe/tls/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

DP_PRINTF(2, 3) static void add(json_t *list, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)json_array_append_new(list, json_string(text));
}

static void find_weak_suites(enum tls_version version, const struct tls_chain_state *state, json_t *list)
{
    char text[12];
    for (size_t i = 0; i < state->count; i++) {
        const char *why, *name = tls_suite_name(state->found[i].suite, text);
        if (tls_suite_strength(name, &why) == TLS_WEAK)
            add(list, "%s takes %s (%s)", tls_version_name(version), name, why);
        else if (state->found[i].dh_bits && state->found[i].dh_bits < 2048)
            add(list, "%s with %s uses a Diffie-Hellman key of %u bits", tls_version_name(version), name,
                state->found[i].dh_bits);
    }
}

static void find_weaknesses(const struct tls_chain_state *const states[TLS_VERSIONS],
                            const struct tls_certificate *certificate, json_t *list)
{
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++) {
        if (states[v]->offered != TLS_OFFERED_YES)
            continue;
        if (v < TLS_1_2)
            add(list, "%s is offered", tls_version_name((enum tls_version)v));
        find_weak_suites((enum tls_version)v, states[v], list);
    }
    if (!certificate->seen)
        return;
    bool rsa = strncmp(certificate->key_type, "RSA", 3) == 0,
         ec = strncmp(certificate->key_type, "EC", 2) == 0;
    if ((rsa && certificate->key_bits < 2048) || (ec && certificate->key_bits < 224))
        add(list, "the certificate's %s key has %d bits only", certificate->key_type, certificate->key_bits);
}

static const char *certificate_class(const struct tls_certificate *certificate)
{
    if (!certificate->seen)
        return NULL;
    if (certificate->expired)
        return "expired";
    if (certificate->trust == DP_TRUST_UNTRUSTED)
        return "untrusted";
    return certificate->trust == DP_TRUST_MISMATCH || !certificate->name_holds ? "mismatch" : NULL;
}

static const char *certificate_step(const char *class)
{
    if (strcmp(class, "expired") == 0)
        return "Renew the certificate, and see why its renewal did not happen by itself.";
    if (strcmp(class, "mismatch") == 0)
        return "Get a certificate with the name that clients use, or let clients use a name that is in it.";
    return "Install the whole chain with its intermediate certificates, or a certificate of an authority "
           "that clients know "
           "(SSL_CERT_FILE adds one here).";
}

struct tls_verdict tls_judge(const char *target, const struct tls_chain_state *const states[TLS_VERSIONS],
                             const struct tls_certificate *certificate)
{
    struct tls_verdict verdict = {.class = "ok", .next_step = "", .weaknesses = json_array()};
    bool any = false, not_tls = false, spoke = certificate->seen;
    const char *open = NULL;
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++) {
        any = any || states[v]->offered == TLS_OFFERED_YES;
        not_tls = not_tls || states[v]->not_tls;
        spoke = spoke || states[v]->spoke_tls;
        if ((states[v]->offered == TLS_OFFERED_UNKNOWN || !states[v]->complete) && !open)
            open = states[v]->why[0] ? states[v]->why : "no answer";
    }
    find_weaknesses(states, certificate, verdict.weaknesses);
    const char *wrong = certificate_class(certificate);
    size_t weak = json_array_size(verdict.weaknesses);
    if (!any && !spoke && !open) {
        verdict.class = "no-tls";
        verdict.next_step =
            "The port speaks something else, or TLS only behind STARTTLS (--starttls smtp, imap, pop3): "
            "'droppoint probe services' tells what is there.";
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s does not speak TLS%s%s", target,
                       not_tls ? ": " : "", not_tls ? states[TLS_1_2]->why : "");
    } else if (wrong) {
        verdict.class = wrong;
        verdict.next_step = certificate_step(wrong);
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s: the certificate does not hold: %s",
                       target, certificate->error[0] ? certificate->error : "its name is another");
    } else if (open && !any) {
        verdict.class = "inconclusive";
        verdict.next_step = "The server does not answer, puts off, or limits connections: try again later, "
                            "or from an address "
                            "that it knows.";
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s gives no answer that could be judged: %s",
                       target, open);
    } else if (weak) {
        verdict.class = "weak";
        verdict.next_step =
            "Switch the weak versions and suites off in the server's configuration; the list names them.";
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s: %s%s", target,
                       json_string_value(json_array_get(verdict.weaknesses, 0)),
                       weak > 1 ? ", and more" : "");
    } else if (open) {
        verdict.class = "inconclusive";
        verdict.next_step =
            "Part of the questions got no answer: try again later, or with a longer --timeout.";
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s: what was answered is fine, but not all was: %s", target, open);
    } else {
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s: versions, suites and certificate are fine (%d days left)", target,
                       certificate->days_left);
    }
    return verdict;
}
