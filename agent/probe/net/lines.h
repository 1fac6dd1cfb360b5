/* Lines out of a stream of bytes that comes in pieces. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_NET_LINES_H
#define DROPPOINT_AGENT_PROBE_NET_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err/err.h"

#define DP_LINE_MAX 8192 /* bytes of one line that are kept; more of it is dropped, and said so */

struct dp_lines {
    char *bytes;
    size_t length, room, taken;
};

/* All zero is an empty one. */
void dp_lines_free(struct dp_lines *lines);
/* Appends what came. DP_ERR_FULL: more than 256 KiB wait, which nobody takes out; DP_ERR_NOMEM. */
int dp_lines_add(struct dp_lines *lines, const char *bytes, size_t length) DP_MUST_CHECK;
/* The next whole line without CR LF or LF, valid until the next dp_lines_add; NULs are kept in the length.
 * False: none is whole yet. A line of more than DP_LINE_MAX bytes comes cut to that, *ret_cut set, as soon as
 * its end is there. */
bool dp_lines_next(struct dp_lines *lines, const char **ret_line, size_t *ret_length, bool *ret_cut);
/* The next `length` bytes, line ends and all, valid until the next dp_lines_add. False: they are not there
 * yet. */
bool dp_lines_take(struct dp_lines *lines, size_t length, const char **ret_bytes);
/* What is there and not taken, whole or not. Valid until the next dp_lines_add. */
const char *dp_lines_rest(const struct dp_lines *lines, size_t *ret_length);

#endif
