#include "agent/probe/net/lines.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX (256U * 1024)

void dp_lines_free(struct dp_lines *lines)
{
    free(lines->bytes);
    *lines = (struct dp_lines){.bytes = NULL};
}

int dp_lines_add(struct dp_lines *lines, const char *bytes, size_t length)
{
    size_t waiting = lines->length - lines->taken;
    if (length > WAITING_MAX - waiting)
        return DP_ERR_FULL;
    if (lines->taken) {
        memmove(lines->bytes, lines->bytes + lines->taken, waiting);
        lines->length = waiting;
        lines->taken = 0;
    }
    if (lines->length + length > lines->room) {
        size_t room = lines->length + length + 1024;
        char *more = realloc(lines->bytes, room);
        if (!more)
            return DP_ERR_NOMEM;
        lines->bytes = more;
        lines->room = room;
    }
    if (length)
        memcpy(lines->bytes + lines->length, bytes, length);
    lines->length += length;
    return 0;
}

bool dp_lines_next(struct dp_lines *lines, const char **ret_line, size_t *ret_length, bool *ret_cut)
{
    size_t waiting = lines->length - lines->taken;
    const char *line = waiting ? lines->bytes + lines->taken : NULL;
    const char *end = line ? memchr(line, '\n', waiting) : NULL;
    if (!end)
        return false;
    size_t length = (size_t)(end - line);
    lines->taken += length + 1;
    if (length && line[length - 1] == '\r')
        length--;
    *ret_cut = length > DP_LINE_MAX;
    *ret_length = *ret_cut ? DP_LINE_MAX : length;
    *ret_line = line;
    return true;
}

bool dp_lines_take(struct dp_lines *lines, size_t length, const char **ret_bytes)
{
    if (lines->length - lines->taken < length)
        return false;
    *ret_bytes = length ? lines->bytes + lines->taken : "";
    lines->taken += length;
    return true;
}

const char *dp_lines_rest(const struct dp_lines *lines, size_t *ret_length)
{
    *ret_length = lines->length - lines->taken;
    return *ret_length ? lines->bytes + lines->taken : "";
}
