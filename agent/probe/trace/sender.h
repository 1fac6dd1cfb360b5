/* Sends one packet that lives for so many hops, of a flow that stays the same (Paris traceroute), and hands
 * up what came of it: by ICMP echo, UDP, or TCP connection attempts to the very port. */
#ifndef DROPPOINT_AGENT_PROBE_TRACE_SENDER_H
#define DROPPOINT_AGENT_PROBE_TRACE_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/dial.h"

enum trace_mode { TRACE_ICMP, TRACE_UDP, TRACE_TCP };

struct trace_answer {
    uint16_t id;
    bool target;                /* it comes from the target itself */
    const struct dp_icmp *icmp; /* NULL: the target answered in the protocol's own way */
    bool expired;               /* `icmp` is "time exceeded" */
    uint32_t mtu;               /* with "too big" */
    const char *from;
};

typedef void trace_answered(void *context, const struct trace_answer *answer);

struct trace_sender;
int trace_sender_open(struct dp_probe *probe, enum trace_mode mode, const union dp_address *to,
                      trace_answered *answered, void *context, struct trace_sender **ret_sender,
                      struct dp_diag *diag) DP_MUST_CHECK;
/* How many may be under way at once without being mixed up. */
unsigned trace_sender_window(const struct trace_sender *sender);
/* 0, or an errno. */
int trace_sender_send(struct trace_sender *sender, uint16_t id, int ttl, uint64_t timeout_ms) DP_MUST_CHECK;
void trace_sender_close(struct trace_sender *sender); /* NULL is fine */

#endif
