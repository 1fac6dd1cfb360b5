#include "agent/probe/net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/target.h"

int dp_tls_context(SSL_CTX **ret_context, struct dp_diag *diag)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return dp_fail(diag, DP_ERR_NOMEM, "OpenSSL gives no context");
    SSL_CTX_set_security_level(context, 0);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    (void)SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_default_verify_paths(context); // without a store nothing verifies, and that is told
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    ERR_clear_error();
    *ret_context = context;
    return 0;
}

int dp_tls_session(SSL_CTX *context, const char *name, SSL **ret_ssl)
{
    SSL *ssl = SSL_new(context);
    union dp_address address;
    if (!ssl)
        return DP_ERR_NOMEM;
    int rc;
    if (dp_address_parse(name, 0, &address) == 0) {
        rc = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    } else {
        rc = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    }
    if (rc != 1) {
        SSL_free(ssl);
        return DP_ERR_NOMEM;
    }
    *ret_ssl = ssl;
    return 0;
}

enum dp_tls_trust dp_tls_trust(const SSL *ssl)
{
    if (!SSL_get0_peer_certificate(ssl))
        return DP_TRUST_NONE;
    switch (SSL_get_verify_result(ssl)) {
    case X509_V_OK:
        return DP_TRUST_OK;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return DP_TRUST_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return DP_TRUST_MISMATCH;
    default:
        return DP_TRUST_UNTRUSTED;
    }
}

static json_t *name_json(const X509_NAME *name)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    if (!text)
        return NULL;
    (void)X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    long length = BIO_get_mem_data(text, &bytes);
    json_t *json = dp_peer_text(bytes ? bytes : "", length > 0 ? (size_t)length : 0);
    BIO_free(text);
    return json;
}

static json_t *time_json(const ASN1_TIME *when)
{
    struct tm utc;
    char text[48];
    if (ASN1_TIME_to_tm(when, &utc) != 1)
        return json_null();
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

static json_t *names_json(X509 *certificate)
{
    json_t *names = json_array();
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && i < 1000; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        int length = name->type == GEN_DNS || name->type == GEN_IPADD ? ASN1_STRING_length(name->d.ia5) : 0;
        const unsigned char *bytes = length ? ASN1_STRING_get0_data(name->d.ia5) : NULL;
        char text[DP_ADDRESS_TEXT];
        if (name->type == GEN_DNS) {
            (void)json_array_append_new(names, dp_peer_text((const char *)bytes, (size_t)length));
        } else if (name->type == GEN_IPADD && (length == 4 || length == 16)) {
            union dp_address address;
            memset(&address, 0, sizeof address);
            address.any.sa_family = length == 4 ? AF_INET : AF_INET6;
            if (length == 4)
                memcpy(&address.v4.sin_addr, bytes, 4);
            else
                memcpy(&address.v6.sin6_addr, bytes, 16);
            (void)json_array_append_new(names, json_string(dp_address_text(&address, text)));
        }
    }
    GENERAL_NAMES_free(all);
    return names;
}

json_t *dp_certificate_json(X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned size = 0;
    int days = 0, seconds = 0, signature = X509_get_signature_nid(certificate);
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (X509_digest(certificate, EVP_sha256(), digest, &size) == 1)
        for (unsigned i = 0; i < size; i++)
            (void)snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    (void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
    json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:{s:s, s:i}, s:s, s:s}", "subject",
                             name_json(X509_get_subject_name(certificate)), "issuer",
                             name_json(X509_get_issuer_name(certificate)), "names", names_json(certificate),
                             "not_before", time_json(X509_get0_notBefore(certificate)), "not_after",
                             time_json(X509_get0_notAfter(certificate)), "days_left", days, "key", "type",
                             type ? type : "unknown", "bits", key ? EVP_PKEY_get_bits(key) : 0, "signature",
                             signature == NID_undef ? "unknown" : OBJ_nid2ln(signature), "sha256", hex);
    ERR_clear_error();
    return json;
}

json_t *dp_tls_json(SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    const char *standard = cipher ? SSL_CIPHER_standard_name(cipher) : NULL;
    enum dp_tls_trust trust = dp_tls_trust(ssl);
    json_t *json = json_pack("{s:s, s:s, s:b}", "version", SSL_get_version(ssl), "cipher",
                             standard ? standard : "none", "verified", trust == DP_TRUST_OK);
    if (!json)
        return NULL;
    if (trust != DP_TRUST_OK)
        (void)json_object_set_new(json, "verify_error",
                                  json_string(certificate
                                                  ? X509_verify_cert_error_string(SSL_get_verify_result(ssl))
                                                  : "the server sent no certificate"));
    if (certificate)
        (void)json_object_set_new(json, "certificate", dp_certificate_json(certificate));
    return json;
}
