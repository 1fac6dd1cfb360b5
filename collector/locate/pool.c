#include "collector/locate/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A short capture needs little: pieces begin small and double up to the size of a huge page, then beyond. */
#define FIRST_PIECE ((size_t)32 * 1024)
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)
#define LARGEST_PIECE (4 * HUGE_PAGE)
#define SHARED (FIRST_PIECE / 2) /* the largest block that is cut from a piece */
/* A piece's head takes the place of one smallest block, so that all blocks keep their alignment. */
#define HEAD ((size_t)1 << POOL_SMALLEST)

#if defined(__SANITIZE_ADDRESS__)
#define POOL_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_CHECKED 1
#endif
#endif
#ifdef POOL_CHECKED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

struct pool_piece {
    struct pool_piece *before;
    size_t size;
};

struct pool_block {
    struct pool_block *next;
};

static unsigned class_of(size_t size)
{
    unsigned bits = POOL_SMALLEST;
    while (((size_t)1 << bits) < size)
        bits++;
    return bits - POOL_SMALLEST;
}

static size_t size_of(unsigned class)
{
    return (size_t)1 << (class + POOL_SMALLEST);
}

static void spare(struct pool *pool, void *block, unsigned class)
{
    struct pool_block *b = block;
    b->next = pool->spare[class];
    pool->spare[class] = b;
    ASAN_POISON_MEMORY_REGION(block, size_of(class));
}

/* What is left of the newest piece goes into spare blocks, the largest first. */
static void use_up(struct pool *pool)
{
    for (unsigned class = POOL_CLASSES; class -- > 0;)
        while (pool->left >= size_of(class)) {
            ASAN_UNPOISON_MEMORY_REGION(pool->next, size_of(class));
            spare(pool, pool->next, class);
            pool->next += size_of(class);
            pool->left -= size_of(class);
        }
}

static struct pool_piece *piece_new(size_t size)
{
    void *memory;
    if (posix_memalign(&memory, size < HUGE_PAGE ? size_of(0) : HUGE_PAGE, size) != 0)
        return NULL;
    struct pool_piece *piece = memory;
    if (size >= HUGE_PAGE)
        (void)madvise(piece, size, MADV_HUGEPAGE); /* only advice */
    *piece = (struct pool_piece){.size = size};
    ASAN_POISON_MEMORY_REGION((char *)piece + HEAD, size - HEAD);
    return piece;
}

/* A new piece to cut blocks of class_of(SHARED) and smaller from. */
static int another_piece(struct pool *pool)
{
    size_t size = pool->pieces ? pool->pieces->size * 2 : FIRST_PIECE;
    use_up(pool);
    struct pool_piece *piece = piece_new(size < LARGEST_PIECE ? size : LARGEST_PIECE);
    if (!piece)
        return DP_ERR_NOMEM;
    piece->before = pool->pieces;
    pool->pieces = piece;
    pool->next = (char *)piece + HEAD;
    pool->left = piece->size - HEAD;
    return DP_OK;
}

/* A large block: a piece of its own. */
static void *lone_block(struct pool *pool, size_t size)
{
    struct pool_piece *piece = piece_new(size + HEAD);
    if (!piece)
        return NULL;
    piece->before = pool->lone;
    pool->lone = piece;
    return (char *)piece + HEAD;
}

static void *shared_block(struct pool *pool, size_t size)
{
    if (pool->left < size && another_piece(pool))
        return NULL;
    void *block = pool->next;
    pool->next += size;
    pool->left -= size;
    return block;
}

void *pool_take(struct pool *pool, size_t size, size_t *ret_size)
{
    unsigned class = class_of(size);
    if (class >= POOL_CLASSES)
        return NULL;
    size = size_of(class);
    struct pool_block *block = pool->spare[class];
    if (!block)
        block = size <= SHARED ? shared_block(pool, size) : lone_block(pool, size);
    if (!block)
        return NULL;
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    if (block == pool->spare[class])
        pool->spare[class] = block->next;
    *ret_size = size;
    return block;
}

void pool_give(struct pool *pool, void *block, size_t size)
{
    if (block)
        spare(pool, block, class_of(size));
}

int pool_grow(struct pool *pool, void *items, size_t *room, size_t need, size_t each)
{
    if (need <= *room)
        return DP_OK;
    size_t bytes = *room * each * 2;
    if (need > size_of(POOL_CLASSES - 1) / each)
        return DP_ERR_NOMEM;
    if (bytes < need * each)
        bytes = need * each;
    void *old;
    memcpy(&old, items, sizeof old); /* items is the address of a typed pointer */
    void *fresh = pool_take(pool, bytes, &bytes);
    if (!fresh)
        return DP_ERR_NOMEM;
    if (old)
        memcpy(fresh, old, *room * each);
    pool_give(pool, old, *room * each);
    memcpy(items, &fresh, sizeof fresh);
    *room = bytes / each;
    return DP_OK;
}

static void free_pieces(struct pool_piece *piece)
{
    for (struct pool_piece *before; piece; piece = before) {
        before = piece->before;
        ASAN_UNPOISON_MEMORY_REGION(piece, piece->size);
        free(piece);
    }
}

void pool_free(struct pool *pool)
{
    free_pieces(pool->pieces);
    free_pieces(pool->lone);
    *pool = (struct pool){.pieces = NULL};
}
