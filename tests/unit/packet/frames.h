/* Frames made by hand for tests, layer by layer from the outside in. */
#ifndef DROPPOINT_TESTS_FRAMES_H
#define DROPPOINT_TESTS_FRAMES_H

#include <stddef.h>
#include <stdint.h>

struct frame {
    uint8_t bytes[4096];
    size_t len;
};

void frame_put(struct frame *frame, const void *bytes, size_t len);
void frame_text(struct frame *frame, const char *text);
void frame_8(struct frame *frame, uint8_t value);
void frame_16(struct frame *frame, uint16_t value); /* network order, as all below */
void frame_32(struct frame *frame, uint32_t value);
void frame_zeros(struct frame *frame, size_t len);

void frame_ethernet(struct frame *frame, uint16_t type);

/* 192.0.2.1 to 198.51.100.9, TTL 64, IP ID 0x1234. `len`: bytes behind the header. */
void frame_ipv4(struct frame *frame, uint8_t proto, size_t len);
/* The same the other way round. */
void frame_ipv4_back(struct frame *frame, uint8_t proto, size_t len);
/* 2001:db8::1 to 2001:db8::9, hop limit 61. */
void frame_ipv6(struct frame *frame, uint8_t next, size_t len);

/* seq 1000, ack 2000, window 502. `options` is padded by the caller to a multiple of 4. */
void frame_tcp(struct frame *frame, uint16_t sport, uint16_t dport, uint16_t flags, const void *options,
               size_t options_len);
void frame_udp(struct frame *frame, uint16_t sport, uint16_t dport, size_t len);

#endif
