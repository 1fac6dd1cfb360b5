#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capture/ring.h"

/* A capture's directory with all that is below it. */
struct held {
    char name[NAME_MAX + 1];
    uint64_t bytes; /* of rings that are not written any more */
    time_t newest;
    bool busy;
};

struct list {
    struct held *items;
    size_t count, room;
};

static struct held *add(struct list *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        struct held *grown = realloc(list->items, room * sizeof *grown);
        if (!grown)
            return NULL;
        list->items = grown;
        list->room = room;
    }
    struct held *item = &list->items[list->count++];
    *item = (struct held){0};
    (void)snprintf(item->name, sizeof item->name, "%s", name);
    return item;
}

/* A running capture holds a lock on its directory. */
static bool locked(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(fd);
    return held;
}

static int walk(const char *root, struct list *list)
{
    char *const paths[] = {(char *)(uintptr_t)root, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return DP_ERR_IO;
    struct held *current = NULL;
    bool written = false; /* the directory that is being read belongs to a running capture */
    int code = DP_OK;
    for (FTSENT *entry; code == DP_OK && (entry = fts_read(tree)) != NULL;) {
        if (entry->fts_info == FTS_D && entry->fts_level == 1) {
            current = add(list, entry->fts_name);
            code = current ? DP_OK : DP_ERR_NOMEM;
        }
        if (code != DP_OK || !current || entry->fts_level < 1)
            continue;
        if (entry->fts_info == FTS_D) {
            written = locked(entry->fts_accpath);
            current->busy = current->busy || written;
        }
        if (entry->fts_info == FTS_D || entry->fts_info == FTS_F) {
            current->bytes += entry->fts_info == FTS_F && !written ? (uint64_t)entry->fts_statp->st_size : 0;
            if (entry->fts_statp->st_mtime > current->newest)
                current->newest = entry->fts_statp->st_mtime;
        }
        if (entry->fts_info == FTS_DP && entry->fts_level == 1)
            current = NULL;
    }
    (void)fts_close(tree);
    return code;
}

static int delete_tree(const char *root, const char *name)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", root, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return DP_ERR_IO;
    char *const paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return DP_ERR_IO;
    int code = DP_OK;
    for (FTSENT *entry; (entry = fts_read(tree)) != NULL;) {
        if (entry->fts_info == FTS_D)
            continue;
        if (remove(entry->fts_accpath) != 0 && errno != ENOENT)
            code = DP_ERR_IO;
    }
    (void)fts_close(tree);
    return code;
}

static int compare_age(const void *a, const void *b)
{
    const struct held *x = a;
    const struct held *y = b;
    if (x->newest != y->newest)
        return x->newest < y->newest ? -1 : 1;
    return strcmp(x->name, y->name);
}

int dp_ring_trim(const char *root, uint64_t max_bytes, uint64_t *ret_bytes, struct dp_diag *diag)
{
    struct stat st;
    struct list list = {0};
    uint64_t total = 0;
    if (stat(root, &st) != 0 && errno == ENOENT) {
        *ret_bytes = 0;
        return DP_OK;
    }
    int code = walk(root, &list);
    for (size_t i = 0; i < list.count; i++)
        total += list.items[i].bytes;
    if (list.count)
        qsort(list.items, list.count, sizeof *list.items, compare_age);
    for (size_t i = 0; code == DP_OK && i < list.count && total > max_bytes; i++) {
        if (list.items[i].busy)
            continue;
        code = delete_tree(root, list.items[i].name);
        total -= list.items[i].bytes;
    }
    free(list.items);
    if (code != DP_OK)
        return dp_fail(diag, code, "Old rings of packets in %s can't be deleted: %s.", root, strerror(errno));
    *ret_bytes = total;
    return DP_OK;
}
