/* One TCP connection attempt, and what became of it, with the ICMP message that ended it where there was one.
 * Needs no privilege: the kernel keeps such messages in the socket's error queue (IP_RECVERR). */
#ifndef DROPPOINT_AGENT_PROBE_NET_DIAL_H
#define DROPPOINT_AGENT_PROBE_NET_DIAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/probe/core/request.h"
#include "agent/probe/net/target.h"
#include "common/err/err.h"

enum dp_dial_outcome {
    DP_DIAL_OPEN,        /* the handshake is done */
    DP_DIAL_REFUSED,     /* RST */
    DP_DIAL_SILENT,      /* nothing came in the time */
    DP_DIAL_UNREACHABLE, /* an ICMP message, or this host has no way there */
    DP_DIAL_FAILED,      /* this host cannot even try: no descriptor left, address in use; `why` says */
};

struct dp_icmp {
    bool present;
    int family; /* AF_INET: ICMP, AF_INET6: ICMPv6 */
    uint8_t type, code;
    char from[DP_ADDRESS_TEXT];
    bool from_here; /* made by this host itself: no neighbour answers, no route */
};

struct dp_dial_result {
    enum dp_dial_outcome outcome;
    int fd;        /* with DP_DIAL_OPEN: non-blocking, now the receiver's; else -1 */
    double ms;     /* until the outcome */
    double rtt_ms; /* of the handshake by the kernel's own stamps (TCP_INFO); -1: none */
    struct dp_icmp icmp;
    bool
        reset; /* with DP_DIAL_OPEN: and the peer has reset it since; what it said before can still be read */
    int error; /* errno, 0 where there was none */
    char why[256]; /* a clause: "port unreachable (ICMP 3/3) from 192.0.2.1" */
};

struct dp_dial;
typedef void dp_dial_done(void *context, const struct dp_dial_result *result);

/* Connects to `to` from the request's --interface and --source. `done` comes once, never from within; not
 * after dp_dial_drop. DP_ERR_NOMEM. */
int dp_dial_start(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                  uint64_t timeout_ms, dp_dial_done *done, void *context,
                  struct dp_dial **ret_dial) DP_MUST_CHECK;
/* The same with the hops that its packets live for (0: the system's) and a source port (0: any), which may be
 * one of an attempt before. */
int dp_dial_start_with(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                       uint64_t timeout_ms, int ttl, uint16_t source_port, dp_dial_done *done, void *context,
                       struct dp_dial **ret_dial) DP_MUST_CHECK;
void dp_dial_drop(struct dp_dial *dial); /* also after `done`; NULL is fine */

/* "administratively prohibited", for ICMP and ICMPv6 errors; NULL where the number is not assigned. RFC 792,
 * 1812, 4443. */
const char *dp_icmp_meaning(int family, uint8_t type, uint8_t code);
/* Takes one ICMP error from a socket's error queue. False: none is there (or a local error: *ret_error is its
 * errno). */
bool dp_icmp_take(int fd, struct dp_icmp *ret_icmp, int *ret_error);
/* Sets icmp_from, icmp_type, icmp_code and icmp_meaning in a JSON object; nothing where none is present. */
void dp_icmp_json(const struct dp_icmp *icmp, json_t *object);

#endif
