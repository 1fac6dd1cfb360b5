/* One frame. The first byte chooses the link type, the second how much longer the packet was on the wire. */
#include <stdint.h>
#include <stdlib.h>

#include "common/packet/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int link_types[] = {1,   0,   101, 12, 14, 108, 113, 276, 239,
                                     228, 229, 105, 9,  50, 51,  104, 166, 204};
    if (size < 2)
        return 0;
    int link_type = link_types[data[0] % (sizeof link_types / sizeof link_types[0])];
    const uint8_t *frame = data + 2;
    size_t captured = size - 2;
    struct dp_packet packet;
    if (dp_packet_decode(link_type, frame, captured, captured + (size_t)data[1] * 300, &packet) != DP_OK)
        return 0;
    char text[DP_ENDPOINT_TEXT];
    dp_endpoint_text(&packet.src, packet.sport, text, sizeof text);
    if (packet.payload_captured > packet.payload_len || packet.payload_len > packet.ip_len ||
        (packet.payload == NULL) != (packet.payload_captured == 0) || packet.sack_count > DP_SACK_MAX ||
        packet.encapsulations > DP_ENCAPSULATIONS_MAX)
        abort();
    /* The packet's own header is in the frame, and what is captured of its payload behind that. */
    if (packet.ip < frame || packet.ip + 20 > frame + captured || packet.ip[0] >> 4 != packet.src.family ||
        (packet.payload && packet.payload < packet.ip + 20))
        abort();
    if (dp_packet_is_plain_tcp(link_type, frame, captured) &&
        (packet.encapsulations || packet.vlan_depth || packet.proto != 6))
        abort();
    if (packet.payload &&
        (packet.payload < frame || packet.payload + packet.payload_captured > frame + captured))
        abort();
    return 0;
}
