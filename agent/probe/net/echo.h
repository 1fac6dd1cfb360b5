/* ICMP echo requests to one address, and what comes back: replies with the kernel's receive stamp, and the
 * ICMP errors that routers send, read from the error queue. Ping sockets where the system lets this user have
 * them (net.ipv4.ping_group_range), raw sockets where it is permitted. */
#ifndef DROPPOINT_AGENT_PROBE_NET_ECHO_H
#define DROPPOINT_AGENT_PROBE_NET_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/probe/core/request.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/target.h"
#include "common/err/err.h"

#define DP_ECHO_PAYLOAD_MIN 16 /* what tells our own replies from others */
#define DP_ECHO_PAYLOAD_MAX 65467

struct dp_echo;

struct dp_echo_events {
    /* An answer to the request `seq`: checked for source, identifier and payload. `at_ns` is CLOCK_REALTIME
     * by the kernel; ttl -1: not known. */
    void (*reply)(void *context, uint16_t seq, int64_t at_ns, int ttl);
    /* An ICMP error that quotes the request `seq`. `mtu` with "too big" messages, else 0. */
    void (*error)(void *context, uint16_t seq, const struct dp_icmp *icmp, uint32_t mtu);
    /* Something that is no answer to ours: a wrong source or payload. */
    void (*foreign)(void *context, const char *from);
};

/* Opens; sends nothing. Binds by the request's --interface and --source. DP_ERR_DENIED (neither kind of
 * socket is permitted; diag says what to grant), DP_ERR_INTERFACE, DP_ERR_USAGE, DP_ERR_IO, DP_ERR_NOMEM. */
int dp_echo_open(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                 const struct dp_echo_events *events, void *context, struct dp_echo **ret_echo,
                 struct dp_diag *diag) DP_MUST_CHECK;
/* IP_PMTUDISC_PROBE: don't fragment, and ignore the path MTU that the kernel remembers. */
void dp_echo_forbid_fragments(struct dp_echo *echo);
/* Sends one with `payload` bytes behind the 8 of the ICMP header. ttl 0: the system's. 0, or an errno
 * (EMSGSIZE: larger than the interface's MTU; ENETUNREACH, EHOSTUNREACH, EPERM, ENOBUFS ...). *ret_at_ns:
 * CLOCK_REALTIME just before. */
int dp_echo_send(struct dp_echo *echo, uint16_t seq, size_t payload, int ttl,
                 int64_t *ret_at_ns) DP_MUST_CHECK;
void dp_echo_close(struct dp_echo *echo); /* NULL is fine; also from within an event */

#endif
