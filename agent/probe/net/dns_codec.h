/* DNS messages, RFC 1035 and its successors: what an answer says. I/O-free; names are expanded by c-ares. */
#ifndef DROPPOINT_AGENT_PROBE_NET_DNS_CODEC_H
#define DROPPOINT_AGENT_PROBE_NET_DNS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

enum dp_dns_type {
    DP_DNS_A = 1,
    DP_DNS_NS = 2,
    DP_DNS_CNAME = 5,
    DP_DNS_SOA = 6,
    DP_DNS_PTR = 12,
    DP_DNS_MX = 15,
    DP_DNS_TXT = 16,
    DP_DNS_AAAA = 28,
    DP_DNS_SRV = 33,
    DP_DNS_DS = 43,
    DP_DNS_TLSA = 52,
    DP_DNS_AXFR = 252,
    DP_DNS_CAA = 257,
};

enum dp_dns_rcode {
    DP_DNS_NOERROR = 0,
    DP_DNS_FORMERR = 1,
    DP_DNS_SERVFAIL = 2,
    DP_DNS_NXDOMAIN = 3,
    DP_DNS_NOTIMP = 4,
    DP_DNS_REFUSED = 5,
};

enum dp_dns_section { DP_DNS_ANSWER, DP_DNS_AUTHORITY, DP_DNS_ADDITIONAL };

#define DP_DNS_NAME 256
#define DP_DNS_RECORDS_MAX 1024

struct dp_dns_record {
    enum dp_dns_section section;
    uint16_t type;
    uint32_t ttl;
    char name[DP_DNS_NAME]; /* lower case, no dot at the end */
    char *data; /* as in a zone file, names in lower case without dot at the end; TXT: the joined strings,
                   bytes that are no printable ASCII as '?'; of types not listed above: hex */
    char target[DP_DNS_NAME];                         /* the name in NS, CNAME, PTR, MX, SRV, SOA (mname) */
    uint16_t preference;                              /* MX */
    uint32_t serial, refresh, retry, expire, minimum; /* SOA */
};

struct dp_dns_message {
    uint16_t id;
    bool aa, tc, rd, ra;
    uint16_t rcode;
    struct dp_dns_record *records;
    size_t count;
};

/* Reads a response. DP_ERR_FORMAT (no response, or records that are not what they claim), DP_ERR_TRUNCATED
 * (ends in the middle; not with TC set: then what is whole counts), DP_ERR_NOMEM. Free with
 * dp_dns_message_free. */
int dp_dns_read(const uint8_t *bytes, size_t length, struct dp_dns_message *ret_message) DP_MUST_CHECK;
void dp_dns_message_free(struct dp_dns_message *message);

/* "MX"; "TYPE65280" for what has no name here. */
const char *dp_dns_type_name(uint16_t type, char text[16]);
/* The number for a name as "mx" or "TYPE257"; 0: unknown. */
uint16_t dp_dns_type_number(const char *name);
/* "NXDOMAIN"; "RCODE16". */
const char *dp_dns_rcode_name(uint16_t rcode, char text[16]);
/* "10.2.0.192.in-addr.arpa" for an address. False: no address. */
bool dp_dns_reverse_name(const char *address, char name[DP_DNS_NAME]);
/* Serial number arithmetic, RFC 1982: whether a is newer than b. */
bool dp_dns_serial_newer(uint32_t a, uint32_t b);

#endif
