/* Cipher suites: numbers, IANA names, and what they are worth. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_SUITES_H
#define DROPPOINT_AGENT_PROBE_TLS_SUITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_suite {
    uint16_t number;
    const char *name;
};

extern const struct tls_suite tls_suites[];
extern const size_t tls_suite_count;

enum tls_version { TLS_SSL2, TLS_SSL3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, TLS_VERSIONS };
/* "TLSv1.2" */
const char *tls_version_name(enum tls_version version);
/* 0x0303; 0x0002 for SSLv2. */
uint16_t tls_version_number(enum tls_version version);

/* The IANA name; "0xC0FF" for a number that has none, written into text. */
const char *tls_suite_name(uint16_t number, char text[12]);
/* Whether a suite can be negotiated in that version (not for SSLv2). */
bool tls_suite_fits(const struct tls_suite *suite, enum tls_version version);

/* SSLv2's own, of three bytes. */
#define TLS_SSL2_SUITES 7
struct tls_ssl2_suite {
    uint32_t number;
    const char *name;
};
extern const struct tls_ssl2_suite tls_ssl2_suites[TLS_SSL2_SUITES];

enum tls_strength { TLS_STRONG, TLS_ACCEPTABLE, TLS_WEAK };
/* Weak: NULL, anonymous, export, RC2, RC4, DES, 3DES, MD5, and all of SSLv2. Acceptable: CBC, no forward
 * secrecy. `why` is one word or two, "" where strong. */
enum tls_strength tls_suite_strength(const char *name, const char **ret_why);
const char *tls_strength_name(enum tls_strength strength);
/* Whether the server's finite field Diffie-Hellman key comes in a message of its own. */
bool tls_suite_has_dh(const char *name);

#endif
