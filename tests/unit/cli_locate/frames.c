#include "frames.h"

#include <string.h>

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

size_t make_frame(const struct frame *frame, uint8_t *bytes)
{
    static const uint8_t client[4] = {192, 0, 2, 1};
    static const uint8_t server[4] = {198, 51, 100, 9};
    size_t len = 14 + 20 + 20 + frame->payload_len;
    memset(bytes, 0, len);
    bytes[12] = 0x08;
    uint8_t *ip = bytes + 14;
    ip[0] = 0x45;
    put16(ip + 2, len - 14);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, frame->from_client ? client : server, 4);
    memcpy(ip + 16, frame->from_client ? server : client, 4);
    uint8_t *tcp = ip + 20;
    put16(tcp, frame->from_client ? 40000 : 25);
    put16(tcp + 2, frame->from_client ? 25 : 40000);
    put32(tcp + 4, frame->seq);
    put32(tcp + 8, frame->ack);
    tcp[12] = 5 << 4;
    tcp[13] = frame->flags;
    put16(tcp + 14, 60000);
    for (size_t i = 0; i < frame->payload_len; i++)
        tcp[20 + i] = (uint8_t)((frame->seq + i) * 31 >> 3);
    return len;
}
