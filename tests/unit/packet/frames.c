#include "tests/unit/packet/frames.h"

#include <stdlib.h>
#include <string.h>

void frame_put(struct frame *frame, const void *bytes, size_t len)
{
    if (len > sizeof frame->bytes - frame->len)
        abort();
    if (len)
        memcpy(frame->bytes + frame->len, bytes, len);
    frame->len += len;
}

void frame_text(struct frame *frame, const char *text)
{
    frame_put(frame, text, strlen(text));
}

void frame_8(struct frame *frame, uint8_t value)
{
    frame_put(frame, &value, 1);
}

void frame_16(struct frame *frame, uint16_t value)
{
    frame_8(frame, (uint8_t)(value >> 8));
    frame_8(frame, (uint8_t)value);
}

void frame_32(struct frame *frame, uint32_t value)
{
    frame_16(frame, (uint16_t)(value >> 16));
    frame_16(frame, (uint16_t)value);
}

void frame_zeros(struct frame *frame, size_t len)
{
    while (len--)
        frame_8(frame, 0);
}

void frame_ethernet(struct frame *frame, uint16_t type)
{
    frame_put(frame, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
    frame_16(frame, type);
}

static void ipv4(struct frame *frame, uint8_t proto, size_t len, const char *src, const char *dst)
{
    frame_16(frame, 0x4500);
    frame_16(frame, (uint16_t)(20 + len));
    frame_16(frame, 0x1234);
    frame_16(frame, 0x4000);
    frame_8(frame, 64);
    frame_8(frame, proto);
    frame_16(frame, 0);
    frame_put(frame, src, 4);
    frame_put(frame, dst, 4);
}

void frame_ipv4(struct frame *frame, uint8_t proto, size_t len)
{
    ipv4(frame, proto, len, "\xc0\x00\x02\x01", "\xc6\x33\x64\x09");
}

void frame_ipv4_back(struct frame *frame, uint8_t proto, size_t len)
{
    ipv4(frame, proto, len, "\xc6\x33\x64\x09", "\xc0\x00\x02\x01");
}

void frame_ipv6(struct frame *frame, uint8_t next, size_t len)
{
    frame_32(frame, 0x60000000);
    frame_16(frame, (uint16_t)len);
    frame_8(frame, next);
    frame_8(frame, 61);
    frame_put(frame, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    frame_put(frame, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09", 16);
}

void frame_tcp(struct frame *frame, uint16_t sport, uint16_t dport, uint16_t flags, const void *options,
               size_t options_len)
{
    frame_16(frame, sport);
    frame_16(frame, dport);
    frame_32(frame, 1000);
    frame_32(frame, 2000);
    frame_16(frame, (uint16_t)((20 + options_len) / 4 << 12 | flags));
    frame_16(frame, 502);
    frame_32(frame, 0);
    frame_put(frame, options, options_len);
}

void frame_udp(struct frame *frame, uint16_t sport, uint16_t dport, size_t len)
{
    frame_16(frame, sport);
    frame_16(frame, dport);
    frame_16(frame, (uint16_t)(8 + len));
    frame_16(frame, 0);
}
