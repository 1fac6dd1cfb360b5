#include "common/packet/packet.h"

#include "common/packet/layers.h"

int dp_packet_decode(int link_type, const uint8_t *frame, size_t captured, size_t wire_len,
                     struct dp_packet *ret_packet)
{
    struct dp_cursor cursor = {.at = frame, .captured = captured, .wire = wire_len, .wire_known = true};
    if (wire_len < captured)
        cursor.wire = captured;
    if (cursor.wire > UINT32_MAX)
        return DP_ERR_FORMAT;
    struct dp_packet packet = {.wscale = 0xff};
    int rc = dp_link_decode(link_type, &cursor, &packet);
    if (rc == DP_OK)
        *ret_packet = packet;
    return rc;
}

bool dp_packet_is_plain_tcp(int link_type, const uint8_t *frame, size_t captured)
{
    if (link_type != DP_LINK_ETHERNET || captured < 34)
        return false;
    uint16_t type = dp_be16(frame + 12);
    return (type == DP_TYPE_IPV4 && frame[23] == 6) || (type == DP_TYPE_IPV6 && frame[20] == 6);
}
