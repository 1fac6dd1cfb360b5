/* The message that `--send` sends. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_SMTP_MESSAGE_H
#define DROPPOINT_AGENT_PROBE_SMTP_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define DP_MESSAGE_HEADER_MAX 2048
#define DP_MESSAGE_LINE_MAX 80

struct dp_message {
    char header[DP_MESSAGE_HEADER_MAX]; /* with the empty line */
    size_t header_length;
    uint64_t size; /* on the wire before dot-stuffing; never less than the header */
    uint64_t line; /* next line of the body */
    uint64_t done; /* bytes given out, before dot-stuffing */
};

/* `size` 0: as it comes, a line of text. Addresses without brackets, from may be "". */
void dp_message_init(struct dp_message *message, const char *from, const char *to, const char *message_id,
                     time_t now, uint64_t size);
/* Writes the next piece, dot-stuffed, whole lines; the last piece ends with CRLF and is followed by nothing:
 * the caller sends
 * ".\r\n". Returns its length, 0 at the end. `room` is at least DP_MESSAGE_HEADER_MAX. */
size_t dp_message_next(struct dp_message *message, char *out, size_t room);

#endif
