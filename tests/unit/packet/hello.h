/* One TCP packet that says "hello", to be wrapped in this and that and recognised again. */
#ifndef DROPPOINT_TESTS_HELLO_H
#define DROPPOINT_TESTS_HELLO_H

#include "common/packet/packet.h"
#include "tests/unit/packet/frames.h"

extern const char hello_timestamps[12]; /* the option, with padding */

/* Port 40000 to 25, with the option above; 57 and 77 bytes. Appended. */
void frame_hello4(struct frame *frame);
void frame_hello6(struct frame *frame);

void assert_hello(const struct dp_packet *packet, uint8_t family);

/* Decodes a copy that ends where the frame ends, so that a sanitizer sees each byte read too many. */
int decode_frame(int link_type, const struct frame *frame, size_t captured, size_t wire,
                 struct dp_packet *packet);

#endif
