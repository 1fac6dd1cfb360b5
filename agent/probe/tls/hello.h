/* TLS handshakes as far as a scan needs them: a ClientHello, and what a server answers to it. Built by hand,
 * as OpenSSL no longer speaks SSLv2, SSLv3, export, NULL and anonymous suites. RFC 6101, 5246, 8446; SSLv2:
 * RFC 6176 tells where it is written down. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_HELLO_H
#define DROPPOINT_AGENT_PROBE_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/probe/tls/suites.h"

#define TLS_HELLO_MAX 2048
#define TLS_ANSWER_MAX 65536 /* of an answer that is looked at */

/* Writes a ClientHello for exactly that version, with `count` suites in their order (SSLv2: all of its own).
 * `name` goes into SNI; NULL or an address: none. `random` is 64 random bytes. Returns its length, 0 where it
 * does not fit. */
size_t tls_hello_write(enum tls_version version, const uint16_t *suites, size_t count, const char *name,
                       const uint8_t random[64], uint8_t out[TLS_HELLO_MAX]);

enum tls_answer_kind {
    TLS_ANSWER_MORE,  /* not whole yet */
    TLS_ANSWER_HELLO, /* a ServerHello */
    TLS_ANSWER_ALERT,
    TLS_ANSWER_NOT_TLS, /* something else */
};

struct tls_answer {
    enum tls_answer_kind kind;
    uint16_t version; /* chosen */
    uint16_t suite;   /* chosen; not with SSLv2 */
    uint8_t alert;
    unsigned dh_bits; /* of the server's Diffie-Hellman prime; 0: none was sent, or not looked for */
    uint32_t ssl2_suites[16];
    size_t ssl2_count;
};

/* Reads what has come so far. `whole` false: more may come; true: the peer is done, so that what is not whole
 * never will be. `wants_dh`: goes on to the ServerKeyExchange where the suite has one. */
struct tls_answer tls_answer_read(enum tls_version asked, const uint8_t *bytes, size_t length, bool whole);

/* "handshake_failure"; NULL: not assigned. RFC 8446 6. */
const char *tls_alert_name(uint8_t alert);

#endif
