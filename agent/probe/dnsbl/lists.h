/* The lists that are asked, what their answers mean, and what an answer is worth. RFC 5782. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_DNSBL_LISTS_H
#define DROPPOINT_AGENT_PROBE_DNSBL_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/probe/net/dns_codec.h"

enum dnsbl_subject { DNSBL_IP4 = 1, DNSBL_IP6 = 2, DNSBL_DOMAIN = 4 };

struct dnsbl_code {
    uint8_t first, last; /* of the last octet; with `bits`: the bit */
    const char *meaning;
};

struct dnsbl_list {
    const char *zone;
    unsigned subjects;
    const struct dnsbl_code *codes;
    size_t code_count;
    bool bits;               /* the last octet is a bit mask */
    const char *test_domain; /* always listed; NULL: "test" */
};

extern const struct dnsbl_list dnsbl_lists[];
extern const size_t dnsbl_list_count;

/* A shipped list of that zone, NULL: none. */
const struct dnsbl_list *dnsbl_list_find(const char *zone);

enum dnsbl_answer { DNSBL_CLEAN, DNSBL_LISTED, DNSBL_ERROR };

/* What one A record of a list says: 127.0.0.0/8 is a listing, but 127.255.255.0/24 says that the list does
 * not answer this asker, 127.0.0.1 is no listing by RFC 5782, and other addresses come from a wildcard or a
 * dead list. `meaning` is written. */
enum dnsbl_answer dnsbl_judge(const struct dnsbl_list *list, const char *address, char *meaning, size_t size);

/* "2.0.0.127.zone" for an address, "example.net.zone" for a domain. False: too long, or no address. */
bool dnsbl_name(unsigned subject, const char *what, const char *zone, char name[DP_DNS_NAME]);
/* The test points: always and never listed. */
const char *dnsbl_test_point(const struct dnsbl_list *list, unsigned subject, bool listed);

#endif
