/* MPLS (RFC 3032). Nothing in a label stack says what follows it. Its first nibble tells IP from most of the
 * rest (RFC 4928); of an Ethernet pseudowire it is the control word's (RFC 4385), which is optional, or the
 * destination address's first, which may be anything. So what may be two things is looked at as both. */
#include "common/packet/layers.h"
#include "common/packet/looks.h"

#define LABELS_MAX 16 /* more than routers can push; bounds the walk */
#define BOTTOM 0x100U

static int pass_labels(struct dp_cursor *cursor)
{
    for (int i = 0; i < LABELS_MAX; i++) {
        int rc = dp_cursor_need(cursor, 4);
        if (rc)
            return rc;
        bool bottom = (dp_be32(cursor->at) & BOTTOM) != 0;
        dp_cursor_skip(cursor, 4);
        if (bottom)
            return DP_OK;
    }
    return DP_ERR_FORMAT;
}

enum content { IP, ETHERNET, CONTROL_WORD, CUT, NOTHING };

/* What follows the labels. Routers check an IPv4 header's checksum, so that one without it is no IP. */
static enum content look(const struct dp_cursor *cursor)
{
    enum dp_looks ip = dp_looks_like_ip(cursor, 0);
    if (ip == DP_LOOKS_SURE)
        return IP;
    if (cursor->captured == 0)
        return ip == DP_LOOKS_CUT ? CUT : NOTHING;
    unsigned nibble = cursor->at[0] >> 4;
    enum dp_looks behind = DP_LOOKS_WRONG;
    if (nibble == 0 && dp_cursor_need(cursor, 4) == DP_OK) {
        struct dp_cursor in = *cursor;
        dp_cursor_skip(&in, 4);
        behind = dp_looks_like_ethernet(&in);
        if (behind == DP_LOOKS_SURE)
            return CONTROL_WORD;
    }
    enum dp_looks ethernet = dp_looks_like_ethernet(cursor);
    if (ethernet == DP_LOOKS_SURE)
        return ETHERNET;
    if (ip == DP_LOOKS_RIGHT && nibble == 6)
        return IP;
    return ip == DP_LOOKS_CUT || behind == DP_LOOKS_CUT || ethernet == DP_LOOKS_CUT ? CUT : NOTHING;
}

enum dp_looks dp_looks_like_mpls(const struct dp_cursor *cursor)
{
    struct dp_cursor in = *cursor;
    int rc = pass_labels(&in);
    if (rc)
        return rc == DP_ERR_TRUNCATED ? DP_LOOKS_CUT : DP_LOOKS_WRONG;
    enum content content = look(&in);
    if (content == CUT)
        return DP_LOOKS_CUT;
    return content == NOTHING ? DP_LOOKS_RIGHT : DP_LOOKS_SURE;
}

int dp_mpls_decode(struct dp_cursor *cursor, struct dp_packet *packet)
{
    int rc = dp_go_inside(packet);
    if (rc == DP_OK)
        rc = pass_labels(cursor);
    if (rc)
        return rc;
    switch (look(cursor)) {
    case IP:
        return dp_ip_decode(cursor, packet);
    case CONTROL_WORD:
        dp_cursor_skip(cursor, 4);
        return dp_ethernet_decode(cursor, packet);
    case ETHERNET:
        return dp_ethernet_decode(cursor, packet);
    case CUT:
        return DP_ERR_TRUNCATED;
    default: /* an associated channel (RFC 5586), ARP in a pseudowire, other kinds of pseudowires */
        return DP_ERR_UNSUPPORTED;
    }
}
