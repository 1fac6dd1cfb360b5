/* A captured frame, taken apart: link layer, VLAN tags, encapsulations, IPv4/IPv6, TCP/UDP/ICMP. Free of I/O;
 * reads only inside the captured bytes; never trusts a length that the bytes claim. */
#ifndef DROPPOINT_COMMON_PACKET_PACKET_H
#define DROPPOINT_COMMON_PACKET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

/* TCP flags as they stand in the header (RFC 9293, RFC 3168), bit 8 is AE/NS. */
enum dp_tcp_flag {
    DP_TCP_FIN = 0x01,
    DP_TCP_SYN = 0x02,
    DP_TCP_RST = 0x04,
    DP_TCP_PSH = 0x08,
    DP_TCP_ACK = 0x10,
    DP_TCP_URG = 0x20,
    DP_TCP_ECE = 0x40,
    DP_TCP_CWR = 0x80,
};

#define DP_SACK_MAX 4

/* An IPv4 address uses the first 4 bytes, the rest is zero. */
struct dp_addr {
    uint8_t family; /* 4 or 6 */
    uint8_t bytes[16];
};

/* Encapsulations that are followed, one inside the other; a frame with more is not ours. VLAN tags count by
 * themselves. */
#define DP_ENCAPSULATIONS_MAX 8

/* One packet: the innermost one, where the frame carries it in others (docs/architecture.md names what is
 * followed), so that it is the same with and without them. A fragment's inside is not followed: the datagram
 * is not there as a whole. What claims to carry a packet and doesn't is an ordinary packet itself. Pointers
 * lead into the frame that was decoded and live as long as it does. Numbers are in host order. */
struct dp_packet {
    struct dp_addr src;
    struct dp_addr dst;
    uint8_t proto;          /* IP protocol of the innermost header: 6, 17, 1, 58 ... */
    uint8_t ttl;            /* or hop limit */
    uint8_t vlan_depth;     /* VLAN tags passed (802.1Q, 802.1ad), inside of encapsulations too */
    uint8_t encapsulations; /* passed on the way to this packet */
    bool has_ip_id;         /* IPv4 (or an IPv6 fragment header) */
    bool fragment;          /* part of a fragmented datagram (first or later) */
    bool later_fragment;    /* not the first: no transport header here */
    bool checksum_partial;  /* reserved: transport checksum known to be left to the NIC */
    uint16_t ip_id;
    const uint8_t *ip; /* this packet's IP header */
    uint32_t ip_len;   /* bytes on the wire from the IP header on. Where the header says 0 (TSO super-packet),
                          from the frame's length */
    uint16_t sport, dport; /* TCP, UDP, SCTP; ICMP echo: identifier in both; else 0 */

    /* TCP */
    uint16_t tcp_flags;
    uint16_t window;
    uint32_t seq, ack;
    bool has_timestamps; /* RFC 7323 */
    bool sack_permitted;
    bool options_cut;   /* the capture has only a part of the TCP options */
    uint8_t wscale;     /* 0xff: no option */
    uint8_t sack_count; /* 0 to DP_SACK_MAX */
    uint16_t mss;       /* 0: no option */
    uint32_t tsval, tsecr;
    uint32_t sack[DP_SACK_MAX][2]; /* left and right edge */

    /* ICMP */
    uint8_t icmp_type, icmp_code;

    uint32_t payload_len; /* TCP or UDP payload on the wire (ICMP and others: bytes after the IP header) */
    uint32_t payload_captured; /* of these, in the frame; at most payload_len */
    const uint8_t *payload;    /* NULL where payload_captured is 0 */
};

/* Whether frames of this pcap link type (DLT/LINKTYPE number, as in a capture file) can be taken apart:
 * Ethernet 1, raw IP 101/12/14/228/229, BSD loopback 0/108, Linux cooked 113/276, nflog 239, PPP
 * 9/50/166/204, PPPoE without its Ethernet header 51, Cisco HDLC 104. */
bool dp_link_type_supported(int link_type);

/* Takes one frame apart. `captured` bytes are at `frame`, `wire_len` were on the wire (at least `captured`).
 * 0; DP_ERR_UNSUPPORTED: not IP, or link type unknown (ARP and the like are not an error, just not ours);
 * DP_ERR_TRUNCATED: the snap length cut before the end of the (innermost) transport header; DP_ERR_FORMAT:
 * lengths that lie. ret_packet is untouched on failure. */
int dp_packet_decode(int link_type, const uint8_t *frame, size_t captured, size_t wire_len,
                     struct dp_packet *ret_packet) DP_MUST_CHECK;

/* Whether a glance tells that the frame carries a TCP packet as it is: IPv4 or IPv6 directly behind an
 * Ethernet header, TCP behind that. False says nothing. For those who would else decode a frame only to learn
 * that. */
bool dp_packet_is_plain_tcp(int link_type, const uint8_t *frame, size_t captured);

/* Whether both are the same address. */
bool dp_addr_equal(const struct dp_addr *a, const struct dp_addr *b);

/* Writes "192.0.2.1" or "2001:db8::1" (RFC 5952). `size` at least DP_ADDR_TEXT. Returns `text`. */
#define DP_ADDR_TEXT 46
char *dp_addr_text(const struct dp_addr *addr, char *text, size_t size);

/* Writes "192.0.2.1:25" or "[2001:db8::1]:25". `size` at least DP_ENDPOINT_TEXT. Returns `text`. */
#define DP_ENDPOINT_TEXT 56
char *dp_endpoint_text(const struct dp_addr *addr, uint16_t port, char *text, size_t size);

#endif
