/* The search for the largest packet that passes: which sizes to try next, and what is known so far. I/O-free.
 */
#ifndef DROPPOINT_AGENT_PROBE_MTU_SEARCH_H
#define DROPPOINT_AGENT_PROBE_MTU_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MTU_BATCH 12

struct mtu_search {
    uint32_t passes; /* largest size known to pass; 0: none yet */
    uint32_t fails;  /* least size known not to; one more than the interface takes, to begin with */
    uint32_t floor;  /* what every path takes: RFC 791, RFC 8200 */
    uint32_t hint;   /* a router's word, 0: none; tried first */
};

/* Sizes from `floor` to `top`, which the interface takes. */
void mtu_search_init(struct mtu_search *search, uint32_t floor, uint32_t top);
/* The sizes to try now, rising, into `sizes` of MTU_BATCH; how many. 0: the search is over. */
size_t mtu_search_next(const struct mtu_search *search, uint32_t *sizes);
void mtu_search_passed(struct mtu_search *search, uint32_t size);
void mtu_search_failed(struct mtu_search *search, uint32_t size);
/* A router says that packets of `size` are too big and `mtu` is not; believed as a hint only, as it may lie.
 */
void mtu_search_told(struct mtu_search *search, uint32_t size, uint32_t mtu);

/* The MSS that TCP announces for packets of that size: 40 bytes of headers less with IPv4, 60 with IPv6 (RFC
 * 6691). */
uint32_t mtu_clamp(uint32_t size, bool ipv6);

#endif
