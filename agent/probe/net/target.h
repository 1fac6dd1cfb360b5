/* Targets as the user writes them, and addresses as text. */
#ifndef DROPPOINT_AGENT_PROBE_NET_TARGET_H
#define DROPPOINT_AGENT_PROBE_NET_TARGET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "agent/probe/core/request.h"
#include "common/err/err.h"

#define DP_HOST_TEXT 256
#define DP_ADDRESS_TEXT 64 /* with "%scope" */

union dp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct dp_host_port {
    char host[DP_HOST_TEXT]; /* without brackets */
    uint16_t port;           /* 0: not given */
};

/* "host", "host:port", "192.0.2.1:25", "[2001:db8::1]:25", "2001:db8::1" (no port). A port is 1 to 65535.
 * DP_ERR_USAGE with diag. */
int dp_host_port_parse(const char *text, struct dp_host_port *ret_target, struct dp_diag *diag) DP_MUST_CHECK;

/* A literal address, with "%interface" for link-local ones. DP_ERR_FORMAT. */
int dp_address_parse(const char *text, uint16_t port, union dp_address *ret_address) DP_MUST_CHECK;
/* Without port and brackets. Returns text. */
char *dp_address_text(const union dp_address *address, char text[DP_ADDRESS_TEXT]);
socklen_t dp_address_size(const union dp_address *address);
uint16_t dp_address_port(const union dp_address *address);
void dp_address_set_port(union dp_address *address, uint16_t port);
/* The same host; ports do not count. */
bool dp_address_same(const union dp_address *a, const union dp_address *b);

/* The address of the family that this host sends to the world from, by its routes or --source. False: it has
 * none. */
bool dp_outgoing_address(const struct dp_request *request, int family, char text[DP_ADDRESS_TEXT]);
/* RFC 1918, 6598, 4193, link-local, loopback: known to nobody outside. */
bool dp_address_is_private(const union dp_address *address);

/* Where a socket of the family sends from: binds `fd` to --interface (SO_BINDTODEVICE, IP_UNICAST_IF where
 * that is not permitted) and --source, and port `port` (0: any). DP_ERR_DENIED, DP_ERR_INTERFACE, DP_ERR_IO;
 * diag says which. */
int dp_bind_from(int fd, int family, const struct dp_request *request, uint16_t port,
                 struct dp_diag *diag) DP_MUST_CHECK;

#endif
