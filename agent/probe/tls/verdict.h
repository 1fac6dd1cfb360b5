/* What versions, suites and certificate of a server come to. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_VERDICT_H
#define DROPPOINT_AGENT_PROBE_TLS_VERDICT_H

#include "agent/probe/net/tls.h"
#include "agent/probe/tls/chain.h"

struct tls_certificate {
    bool seen;
    enum dp_tls_trust trust;
    bool expired; /* or not valid yet, whatever else is wrong */
    bool name_holds;
    const char *key_type; /* "RSA", "EC" ... */
    int key_bits, days_left;
    const char *error; /* OpenSSL's words, "" where it holds */
};

struct tls_verdict {
    const char *class;
    char summary[500];
    const char *next_step;
    json_t *weaknesses; /* new reference: sentences */
};

struct tls_verdict tls_judge(const char *target, const struct tls_chain_state *const states[TLS_VERSIONS],
                             const struct tls_certificate *certificate);

#endif
