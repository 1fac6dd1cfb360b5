#include "agent/probe/net/echo_codec.h"

#include <string.h>
#include <sys/socket.h>

#define ECHO_REQUEST4 8
#define ECHO_REPLY4 0
#define ECHO_REQUEST6 128
#define ECHO_REPLY6 129
#define PROTOCOL_ICMP 1

/* RFC 1071. */
static uint16_t checksum(const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (length & 1)
        sum += (uint32_t)bytes[length - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)(value & 0xff);
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void dp_echo_write(int family, uint16_t ident, uint16_t seq, const uint8_t cookie[DP_ECHO_COOKIE],
                   size_t payload, uint8_t *out)
{
    out[0] = family == AF_INET ? ECHO_REQUEST4 : ECHO_REQUEST6;
    out[1] = 0;
    put16(out + 2, 0);
    put16(out + 4, ident);
    put16(out + 6, seq);
    for (size_t i = 0; i < payload; i++)
        out[DP_ECHO_HEADER + i] = i < DP_ECHO_COOKIE ? cookie[i] : (uint8_t)i;
    if (family == AF_INET)
        put16(out + 2, checksum(out, DP_ECHO_HEADER + payload));
}

bool dp_echo_read(int family, const uint8_t *bytes, size_t length, struct dp_echo_message *ret_message)
{
    if (length < DP_ECHO_HEADER || bytes[1] != 0)
        return false;
    uint8_t request = family == AF_INET ? ECHO_REQUEST4 : ECHO_REQUEST6;
    uint8_t reply = family == AF_INET ? ECHO_REPLY4 : ECHO_REPLY6;
    if (bytes[0] != request && bytes[0] != reply)
        return false;
    *ret_message = (struct dp_echo_message){.reply = bytes[0] == reply,
                                            .ident = get16(bytes + 4),
                                            .seq = get16(bytes + 6),
                                            .payload = bytes + DP_ECHO_HEADER,
                                            .payload_length = length - DP_ECHO_HEADER};
    return true;
}

size_t dp_echo_ip4_header(const uint8_t *bytes, size_t length, int *ret_ttl)
{
    if (length < 20 || bytes[0] >> 4 != 4 || bytes[9] != PROTOCOL_ICMP)
        return 0;
    size_t header = (size_t)(bytes[0] & 15) * 4;
    if (header < 20 || header > length)
        return 0;
    *ret_ttl = bytes[8];
    return header;
}
