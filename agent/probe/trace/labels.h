/* MPLS labels that routers add to ICMP errors, RFC 4884 and 4950. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TRACE_LABELS_H
#define DROPPOINT_AGENT_PROBE_TRACE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_LABELS_MAX 8

struct trace_label {
    uint32_t label;
    uint8_t traffic_class, ttl;
    bool bottom;
};

/* Reads an ICMP (v6 false) or ICMPv6 time-exceeded or unreachable message from its type on. The labels in
 * their order, at most TRACE_LABELS_MAX; how many. 0 where there are none, or the extension does not hold
 * together. */
size_t trace_labels_read(bool v6, const uint8_t *bytes, size_t length, struct trace_label *ret_labels);
/* Whether the quoted packet was for this address (4 or 16 bytes). */
bool trace_quotes_target(bool v6, const uint8_t *bytes, size_t length, const uint8_t *target);

#endif
