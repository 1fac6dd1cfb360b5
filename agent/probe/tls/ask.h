/* One connection to a TLS server, with the lines before STARTTLS where there are any: a hand-built hello and
 * its answer, or a handshake by OpenSSL. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_ASK_H
#define DROPPOINT_AGENT_PROBE_TLS_ASK_H

#include "agent/probe/core/kind.h"
#include "agent/probe/net/target.h"
#include "agent/probe/tls/hello.h"
#include "agent/probe/tls/starttls.h"

enum tls_outcome {
    TLS_GOT_HELLO,     /* `answer` */
    TLS_GOT_ALERT,     /* `answer` */
    TLS_GOT_CLOSED,    /* closed or reset where the answer should be */
    TLS_GOT_OTHER,     /* the answer is no TLS, or STARTTLS is not there */
    TLS_GOT_NOTHING,   /* no answer in time, no connection, put off: the question stays open */
    TLS_GOT_HANDSHAKE, /* OpenSSL's, `ssl` */
};

struct tls_got {
    enum tls_outcome outcome;
    struct tls_answer answer;
    SSL *ssl; /* borrowed, during the call */
    char why[256];
};

struct tls_ask;
typedef void tls_asked(void *context, const struct tls_got *got);

struct tls_target {
    struct dp_probe *probe;
    union dp_address address;
    enum starttls_protocol starttls;
    const char *name; /* for SNI and the certificate */
};

/* `hello` of `length` bytes (copied) for `version`; NULL: by OpenSSL. `done` comes once, never from within;
 * the ask is to be freed then, also from within it. DP_ERR_NOMEM. */
int tls_ask_start(const struct tls_target *target, enum tls_version version, const uint8_t *hello,
                  size_t length, uint64_t timeout_ms, tls_asked *done, void *context,
                  struct tls_ask **ret_ask) DP_MUST_CHECK;
void tls_ask_free(struct tls_ask *ask); /* NULL is fine */

#endif
