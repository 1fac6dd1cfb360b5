/* Every encapsulation around a packet, as the wire has it. */
#ifndef DROPPOINT_TESTS_WRAPS_H
#define DROPPOINT_TESTS_WRAPS_H

#include "tests/unit/packet/frames.h"

struct wrap {
    const char *name;
    int link_type;
    uint8_t encapsulations, vlan_depth; /* that are to be counted */
    void (*around)(struct frame *ret_frame, const struct frame *packet, uint8_t family);
};

extern const struct wrap wraps[];
extern const size_t wrap_count;

/* For wraps of one's own: outer headers, with addresses and all else unlike those of the packet inside.
 * `len`: bytes behind the header. */
void outer_ethernet(struct frame *frame, uint16_t type);
void outer_ipv4(struct frame *frame, uint8_t proto, size_t len);
void outer_ipv6(struct frame *frame, uint8_t next, size_t len);
/* An Ethernet frame with the packet in it. */
void inner_ethernet(struct frame *frame, const struct frame *packet, uint8_t family);

#endif
