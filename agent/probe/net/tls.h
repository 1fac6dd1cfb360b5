/* TLS sessions as client, and what is to be told of them. */
#ifndef DROPPOINT_AGENT_PROBE_NET_TLS_H
#define DROPPOINT_AGENT_PROBE_NET_TLS_H

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/err/err.h"

/* A context that all sessions of a prober share: trust from SSL_CERT_FILE, SSL_CERT_DIR or the system's
 * store. Certificates are checked and the outcome kept, but the handshake goes on with one that does not
 * hold: that is for the probe to tell. Everything from TLS 1.0 on is offered (security level 0), as servers
 * that are old are what one looks for. Free with SSL_CTX_free. DP_ERR_NOMEM. */
int dp_tls_context(SSL_CTX **ret_context, struct dp_diag *diag) DP_MUST_CHECK;

/* A session that asks for `name` (SNI where it is no address) and checks the certificate against it (RFC
 * 6125, names or addresses). DP_ERR_NOMEM. */
int dp_tls_session(SSL_CTX *context, const char *name, SSL **ret_ssl) DP_MUST_CHECK;

/* After the handshake: {version, cipher, verified, verify_error, certificate}; verified: chain, dates and
 * name hold. A new reference; NULL when out of memory. */
json_t *dp_tls_json(SSL *ssl);

/* {subject, issuer, names[], not_before, not_after (RFC 3339), days_left, key {type, bits}, signature,
 * serial, sha256}. */
json_t *dp_certificate_json(X509 *certificate);

enum dp_tls_trust { DP_TRUST_OK, DP_TRUST_EXPIRED, DP_TRUST_MISMATCH, DP_TRUST_UNTRUSTED, DP_TRUST_NONE };
/* Why the peer's certificate does not hold; NONE: it sent none. */
enum dp_tls_trust dp_tls_trust(const SSL *ssl);

#endif
