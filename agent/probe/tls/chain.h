/* All cipher suites of one protocol version, in the server's order, with about one connection for each. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_CHAIN_H
#define DROPPOINT_AGENT_PROBE_TLS_CHAIN_H

#include <jansson.h>

#include "agent/probe/tls/ask.h"

#define TLS_SUITES_MAX 400

struct tls_found {
    uint16_t suite;
    unsigned dh_bits;
};

enum tls_offered { TLS_OFFERED_UNKNOWN, TLS_OFFERED_NO, TLS_OFFERED_YES };

struct tls_chain;
typedef void tls_chain_done(void *context);

/* What is known of one version. */
struct tls_chain_state {
    enum tls_offered offered;
    bool complete;  /* every suite has an answer */
    bool spoke_tls; /* an alert or a hello came, whatever it said */
    bool not_tls;   /* what came was no TLS, or STARTTLS is not there */
    struct tls_found found[TLS_SUITES_MAX];
    size_t count;
    uint32_t ssl2[16];
    size_t ssl2_count;
    int server_order; /* 1: the server follows its own order, 0: the client's, -1: not known */
    unsigned connections, accepted, rejected, inconclusive;
    char why[256]; /* where something stays open */
};

/* `budget` connections at most, shared: counted down. DP_ERR_NOMEM. */
int tls_chain_start(const struct tls_target *target, enum tls_version version, unsigned *budget,
                    tls_chain_done *done, void *context, struct tls_chain **ret_chain) DP_MUST_CHECK;
const struct tls_chain_state *tls_chain_state(const struct tls_chain *chain);
void tls_chain_free(struct tls_chain *chain); /* NULL is fine */

/* {protocol, offered, ciphers, ...}. A new reference. */
json_t *tls_chain_json(enum tls_version version, const struct tls_chain_state *state);

#endif
