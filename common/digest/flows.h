/* The flow table of one vantage point. Internal to digest. It is fed from outside, so its hash is keyed
 * (SipHash with a random key): nobody can make flows that collide. */
#ifndef DROPPOINT_COMMON_DIGEST_FLOWS_H
#define DROPPOINT_COMMON_DIGEST_FLOWS_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest/digest.h"
#include "common/digest/smtp.h"

struct dp_flow {
    struct dp_flow_def def;
    uint32_t stated;     /* the digester's epoch in which its definition went into a batch; 0 never */
    bool smtp_port;      /* one of its ports is an SMTP server's */
    uint8_t smtp_server; /* direction of the server's packets */
    struct dp_smtp smtp;
};

struct dp_flows;

int dp_flows_new(struct dp_flows **ret_flows) DP_MUST_CHECK; /* DP_ERR_NOMEM */
void dp_flows_free(struct dp_flows *flows);                  /* NULL is fine */

/* The packet's flow, made where it is new, and the packet's direction in it. The pointer lives until the next
 * call. DP_ERR_NOMEM, DP_ERR_FULL. */
int dp_flows_find(struct dp_flows *flows, const struct dp_packet *packet, struct dp_flow **ret_flow,
                  uint8_t *ret_dir) DP_MUST_CHECK;

#endif
