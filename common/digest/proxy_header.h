/* The PROXY protocol header (HAProxy's proxy-protocol.txt, versions 1 and 2) with which a proxy tells the
 * server whose connection it carries on. Internal to digest. */
#ifndef DROPPOINT_COMMON_DIGEST_PROXY_HEADER_H
#define DROPPOINT_COMMON_DIGEST_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/packet/packet.h"

struct dp_proxy_header {
    struct dp_addr from, to; /* of the connection that the proxy ended */
    uint16_t from_port, to_port;
    uint32_t len; /* bytes of the header; the proxied stream follows */
};

/* Reads a header of a TCP connection at the beginning of `bytes`; false where there is none, or one that
 * names no connection (UNKNOWN, LOCAL, other families). */
bool dp_proxy_header_read(const uint8_t *bytes, size_t len, struct dp_proxy_header *ret_header);

#endif
