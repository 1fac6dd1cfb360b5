/* Whether bytes look like a packet, without taking them apart: a look at a few fields, bounded whatever the
 * bytes are. For formats that don't say what they carry, and for ports that others use too. Internal to
 * packet. */
#ifndef DROPPOINT_COMMON_PACKET_LOOKS_H
#define DROPPOINT_COMMON_PACKET_LOOKS_H

#include "common/packet/cursor.h"

enum dp_looks {
    DP_LOOKS_WRONG, /* its fields don't hold together */
    DP_LOOKS_CUT,   /* the snap length cut off what would tell */
    DP_LOOKS_RIGHT, /* nothing speaks against it */
    DP_LOOKS_SURE,  /* and something speaks for it that chance hardly brings about */
};

/* An IPv4 or IPv6 packet that begins at the cursor. `version` 4, 6, or 0 for either. Sure: it fills what is
 * there to the byte, or its header's checksum is right. */
enum dp_looks dp_looks_like_ip(const struct dp_cursor *cursor, unsigned version);

/* An Ethernet frame. Sure: it carries IP that doesn't look wrong, or another encapsulation. */
enum dp_looks dp_looks_like_ethernet(const struct dp_cursor *cursor);

/* A label stack. Sure: with something behind it that is ours. */
enum dp_looks dp_looks_like_mpls(const struct dp_cursor *cursor);

#endif
