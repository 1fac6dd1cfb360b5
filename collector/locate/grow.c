#include "collector/locate/grow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int dp_grow_now(void *items, size_t *room, size_t need, size_t size)
{
    size_t grown = *room ? *room : 8;
    while (grown < need) {
        if (grown > SIZE_MAX / 2 / size)
            return DP_ERR_NOMEM;
        grown *= 2;
    }
    void *old;
    memcpy(&old, items, sizeof old); /* items is the address of a typed pointer */
    char *fresh = realloc(old, grown * size);
    if (!fresh)
        return DP_ERR_NOMEM;
    memset(fresh + *room * size, 0, (grown - *room) * size);
    memcpy(items, &fresh, sizeof fresh);
    *room = grown;
    return DP_OK;
}
