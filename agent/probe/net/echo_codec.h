/* ICMP and ICMPv6 echo messages, RFC 792 and RFC 4443. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_NET_ECHO_CODEC_H
#define DROPPOINT_AGENT_PROBE_NET_ECHO_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_ECHO_HEADER 8
#define DP_ECHO_COOKIE 16

struct dp_echo_message {
    bool reply;
    uint16_t ident, seq;
    const uint8_t *payload; /* into the bytes that were read */
    size_t payload_length;
};

/* Writes a request of 8 + `payload` bytes; the payload begins with the cookie and is filled up with a
 * pattern. The checksum is that of ICMP; ICMPv6's, which covers addresses, is the kernel's matter. `out` has
 * room for it. */
void dp_echo_write(int family, uint16_t ident, uint16_t seq, const uint8_t cookie[DP_ECHO_COOKIE],
                   size_t payload, uint8_t *out);
/* Reads an echo request or reply from its ICMP header on. False: it is none, or cut before the header's end.
 */
bool dp_echo_read(int family, const uint8_t *bytes, size_t length, struct dp_echo_message *ret_message);
/* Steps over an IPv4 header in front. Returns its length, 0 where it is not one that carries ICMP. *ret_ttl:
 * its TTL. */
size_t dp_echo_ip4_header(const uint8_t *bytes, size_t length, int *ret_ttl);

#endif
