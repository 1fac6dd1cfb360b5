#include "common/packet/looks.h"

#include "common/packet/layers.h"

#define IPV4_HEADER 20U
#define IPV6_HEADER 40U

static bool checksum_right(const uint8_t *at, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2)
        sum += dp_be16(at + i);
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

static enum dp_looks looks_like_ipv4(const struct dp_cursor *cursor)
{
    int rc = dp_cursor_need(cursor, IPV4_HEADER);
    if (rc == DP_ERR_FORMAT)
        return DP_LOOKS_WRONG;
    const uint8_t *at = cursor->at;
    size_t header = (size_t)(at[0] & 0x0f) * 4;
    if (header < IPV4_HEADER)
        return DP_LOOKS_WRONG;
    if (cursor->captured < 4)
        return DP_LOOKS_CUT;
    size_t claimed = dp_be16(at + 2);
    if (claimed && (claimed < header || (cursor->wire_known && claimed > cursor->wire)))
        return DP_LOOKS_WRONG;
    if (cursor->wire_known && claimed == cursor->wire)
        return DP_LOOKS_SURE;
    rc = dp_cursor_need(cursor, header);
    if (rc)
        return rc == DP_ERR_TRUNCATED ? DP_LOOKS_CUT : DP_LOOKS_WRONG;
    return checksum_right(at, header) ? DP_LOOKS_SURE : DP_LOOKS_RIGHT;
}

static enum dp_looks looks_like_ipv6(const struct dp_cursor *cursor)
{
    if (dp_cursor_need(cursor, IPV6_HEADER) == DP_ERR_FORMAT)
        return DP_LOOKS_WRONG;
    if (cursor->captured < 6)
        return DP_LOOKS_CUT;
    if (!cursor->wire_known)
        return DP_LOOKS_RIGHT;
    size_t claimed = dp_be16(cursor->at + 4) + IPV6_HEADER;
    if (claimed > cursor->wire)
        return DP_LOOKS_WRONG;
    return claimed == cursor->wire ? DP_LOOKS_SURE : DP_LOOKS_RIGHT;
}

enum dp_looks dp_looks_like_ip(const struct dp_cursor *cursor, unsigned version)
{
    if (cursor->captured == 0)
        return cursor->wire || !cursor->wire_known ? DP_LOOKS_CUT : DP_LOOKS_WRONG;
    unsigned said = cursor->at[0] >> 4;
    if (version && said != version)
        return DP_LOOKS_WRONG;
    switch (said) {
    case 4:
        return looks_like_ipv4(cursor);
    case 6:
        return looks_like_ipv6(cursor);
    default:
        return DP_LOOKS_WRONG;
    }
}

enum dp_looks dp_looks_like_ethernet(const struct dp_cursor *cursor)
{
    struct dp_cursor in = *cursor;
    int rc = dp_cursor_need(&in, 14);
    if (rc)
        return rc == DP_ERR_TRUNCATED ? DP_LOOKS_CUT : DP_LOOKS_WRONG;
    uint16_t type = dp_be16(in.at + 12);
    dp_cursor_skip(&in, 14);
    for (int tags = 0; dp_is_vlan(type) && tags < DP_VLAN_DEPTH_MAX; tags++) {
        rc = dp_cursor_need(&in, 4);
        if (rc)
            return rc == DP_ERR_TRUNCATED ? DP_LOOKS_CUT : DP_LOOKS_WRONG;
        type = dp_be16(in.at + 2);
        dp_cursor_skip(&in, 4);
    }
    switch (type) {
    case DP_TYPE_IPV4:
        return dp_looks_like_ip(&in, 4) != DP_LOOKS_WRONG ? DP_LOOKS_SURE : DP_LOOKS_WRONG;
    case DP_TYPE_IPV6:
        return dp_looks_like_ip(&in, 6) != DP_LOOKS_WRONG ? DP_LOOKS_SURE : DP_LOOKS_WRONG;
    case DP_TYPE_MPLS:
    case DP_TYPE_MPLS_UPSTREAM:
    case DP_TYPE_PPPOE:
        return DP_LOOKS_SURE;
    default:
        return type >= DP_TYPE_LEAST || type <= in.wire || !in.wire_known ? DP_LOOKS_RIGHT : DP_LOOKS_WRONG;
    }
}
