/* Small Ethernet frames with IPv4 and TCP. */
#ifndef DROPPOINT_TESTS_CLI_LOCATE_FRAMES_H
#define DROPPOINT_TESTS_CLI_LOCATE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ROOM 2048

struct frame {
    bool from_client; /* 192.0.2.1:40000 to 198.51.100.9:25, or back */
    uint8_t flags;
    uint32_t seq, ack;
    size_t payload_len;
};

/* Writes the frame to `bytes` (FRAME_ROOM) and returns its length. */
size_t make_frame(const struct frame *frame, uint8_t *bytes);

#endif
