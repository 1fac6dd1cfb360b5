#include "agent/probe/tls/suites.h"

#include <stdio.h>
#include <string.h>

const char *tls_version_name(enum tls_version version)
{
    static const char *const names[] = {"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    return names[version];
}

uint16_t tls_version_number(enum tls_version version)
{
    static const uint16_t numbers[] = {0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304};
    return numbers[version];
}

const char *tls_suite_name(uint16_t number, char text[12])
{
    size_t low = 0, high = tls_suite_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tls_suites[middle].number == number)
            return tls_suites[middle].name;
        if (tls_suites[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    (void)snprintf(text, 12, "0x%04X", number);
    return text;
}

static bool is_tls13(uint16_t number)
{
    return number >> 8 == 0x13 || number == 0x00c6 || number == 0x00c7;
}

bool tls_suite_fits(const struct tls_suite *suite, enum tls_version version)
{
    static const char *const new_in_tls12[] = {"_GCM_",    "_CCM",  "_SHA256", "_SHA384",
                                               "POLY1305", "_OMAC", "MGM"};
    if (version == TLS_1_3 || is_tls13(suite->number))
        return version == TLS_1_3 && is_tls13(suite->number);
    if (version == TLS_1_2)
        return true;
    for (size_t i = 0; i < sizeof new_in_tls12 / sizeof new_in_tls12[0]; i++)
        if (strstr(suite->name, new_in_tls12[i]))
            return false;
    // elliptic curves need an extension, which SSLv3 has not
    return version != TLS_SSL3 || !strstr(suite->name, "ECDH");
}

const struct tls_ssl2_suite tls_ssl2_suites[TLS_SSL2_SUITES] = {
    {0x010080, "SSL_CK_RC4_128_WITH_MD5"},          {0x020080, "SSL_CK_RC4_128_EXPORT40_WITH_MD5"},
    {0x030080, "SSL_CK_RC2_128_CBC_WITH_MD5"},      {0x040080, "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5"},
    {0x050080, "SSL_CK_IDEA_128_CBC_WITH_MD5"},     {0x060040, "SSL_CK_DES_64_CBC_WITH_MD5"},
    {0x0700c0, "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"},
};

enum tls_strength tls_suite_strength(const char *name, const char **ret_why)
{
    static const struct {
        const char *part, *why;
    } weak[] = {{"_NULL_", "no encryption"},
                {"_anon_", "anonymous"},
                {"EXPORT", "export"},
                {"_RC4_", "RC4"},
                {"_RC2_", "RC2"},
                {"3DES", "3DES"},
                {"_DES", "DES"},
                {"SSL_CK_", "SSLv2"}};
    static const struct {
        const char *part, *why;
    } named[] = {{"TLS_RSA_", "no forward secrecy"},  {"TLS_ECDH_", "no forward secrecy"},
                 {"TLS_DH_", "no forward secrecy"},   {"TLS_PSK_", "no forward secrecy"},
                 {"TLS_KRB5_", "no forward secrecy"}, {"_CBC_", "CBC"}};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof weak / sizeof weak[0]; i++)
        if (strstr(name, weak[i].part)) {
            *ret_why = weak[i].why;
            return TLS_WEAK;
        }
    if (length > 4 && strcmp(name + length - 4, "_MD5") == 0) {
        *ret_why = "MD5";
        return TLS_WEAK;
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (strstr(name, named[i].part)) {
            *ret_why = named[i].why;
            return TLS_ACCEPTABLE;
        }
    *ret_why = "";
    return TLS_STRONG;
}

const char *tls_strength_name(enum tls_strength strength)
{
    static const char *const names[] = {"strong", "acceptable", "weak"};
    return names[strength];
}

bool tls_suite_has_dh(const char *name)
{
    return strstr(name, "_DHE_") != NULL || strstr(name, "_DH_anon_") != NULL;
}
