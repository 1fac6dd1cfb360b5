/* Macros in SPF, RFC 7208 7. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_DNS_SPF_MACRO_H
#define DROPPOINT_AGENT_PROBE_DNS_SPF_MACRO_H

#include <stdbool.h>

#include "agent/probe/net/dns_codec.h"

struct dp_spf_names {
    const char *address; /* of the client, as text */
    const char *sender;  /* domain of the sender */
    const char *domain;  /* whose record is looked at */
};

/* Expands domain-spec `spec` into `out`; names that get too long lose labels from the left, as 7.3 says.
 * False: not a valid macro string. */
bool dp_spf_expand(const char *spec, const struct dp_spf_names *names, char out[DP_DNS_NAME]);

#endif
