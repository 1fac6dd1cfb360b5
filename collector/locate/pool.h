/* Memory for what waits in the engine: many blocks that come, grow and go again, of few sizes. Blocks are cut
 * from large pieces, which huge pages back where the system has them: much of what settling a burst of
 * packets costs is the system's handing out of pages. What is given back serves later blocks of the same
 * size; nothing returns to the system before the end. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_POOL_H
#define DROPPOINT_COLLECTOR_LOCATE_POOL_H

#include <stddef.h>

#include "common/err/err.h"

#define POOL_SMALLEST 7 /* blocks have 2^7 bytes and more */
#define POOL_LARGEST 22
#define POOL_CLASSES (POOL_LARGEST - POOL_SMALLEST + 1)

struct pool {
    struct pool_piece *pieces, *lone;
    char *next; /* of the newest piece, not handed out yet */
    size_t left;
    struct pool_block *spare[POOL_CLASSES];
};

/* A block of at least `size` bytes (at most 2^POOL_LARGEST), its content undefined. *ret_size: what it really
 * has, to be named when it is given back. NULL without memory. */
void *pool_take(struct pool *pool, size_t size, size_t *ret_size);
void pool_give(struct pool *pool, void *block, size_t size); /* NULL is fine */

/* dp_grow from a pool: makes room for at least `need` items of `each` bytes, content of new room undefined.
 * DP_ERR_NOMEM, also where the largest block is too small. */
int pool_grow(struct pool *pool, void *items, size_t *room, size_t need, size_t each) DP_MUST_CHECK;

void pool_free(struct pool *pool); /* all blocks at once; the struct is the caller's */

#endif
