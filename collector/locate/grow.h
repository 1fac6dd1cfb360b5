/* One growing array for the whole engine. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_GROW_H
#define DROPPOINT_COLLECTOR_LOCATE_GROW_H

#include <stddef.h>

#include "common/err/err.h"

int dp_grow_now(void *items, size_t *room, size_t need, size_t size) DP_MUST_CHECK;

/* Makes room for at least `need` items of `size` bytes; *items and *room change together. New room is zeroed.
 * DP_ERR_NOMEM leaves both untouched. */
static inline DP_MUST_CHECK int dp_grow(void *items, size_t *room, size_t need, size_t size)
{
    return need <= *room ? DP_OK : dp_grow_now(items, room, need, size);
}

#endif
