#include "agent/rings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPTURES_MAX 4096
#define DEPTH 4

struct ring {
    char name[64];
    struct timespec made;
    uint64_t bytes;
};

int agent_ring_path(const char *state_directory, const char *capture_id, const char *interface,
                    char ret_path[PATH_MAX])
{
    int len = snprintf(ret_path, PATH_MAX, "%s/rings/%s/%s", state_directory, capture_id, interface);
    return len > 0 && len < PATH_MAX ? DP_OK : DP_ERR_RANGE;
}

static int make_directory(const char *path, struct dp_diag *diag)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return DP_OK;
    return dp_fail(diag, DP_ERR_IO, "%s: cannot make the directory: %s.", path, strerror(errno));
}

int agent_ring_make_parents(const char *state_directory, const char *capture_id, struct dp_diag *diag)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/rings", state_directory);
    int code = make_directory(path, diag);
    if (code != DP_OK)
        return code;
    if (agent_ring_path(state_directory, capture_id, "", path) != DP_OK)
        return DP_ERR_RANGE;
    return make_directory(path, diag);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

/* Bytes of the files in the directories of one capture. */
static uint64_t ring_bytes(const char *path)
{
    uint64_t bytes = 0;
    DIR *capture = opendir(path);
    if (!capture)
        return 0;
    for (struct dirent *entry; (entry = readdir(capture)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(capture), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *interface = fd >= 0 ? fdopendir(fd) : NULL;
        if (!interface) {
            if (fd >= 0)
                (void)close(fd);
            continue;
        }
        struct stat st;
        for (struct dirent *file; (file = readdir(interface)) != NULL;)
            if (fstatat(dirfd(interface), file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
                bytes += (uint64_t)st.st_size;
        (void)closedir(interface);
    }
    (void)closedir(capture);
    return bytes;
}

static int older_first(const void *a, const void *b)
{
    const struct ring *x = a;
    const struct ring *y = b;
    if (x->made.tv_sec != y->made.tv_sec)
        return x->made.tv_sec < y->made.tv_sec ? -1 : 1;
    return (x->made.tv_nsec > y->made.tv_nsec) - (x->made.tv_nsec < y->made.tv_nsec);
}

static size_t list_rings(const char *directory, struct ring *rings)
{
    size_t count = 0;
    DIR *dir = opendir(directory);
    if (!dir)
        return 0;
    for (struct dirent *entry; count < CAPTURES_MAX && (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX];
        struct stat st;
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof rings->name ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)snprintf(rings[count].name, sizeof rings->name, "%s", entry->d_name);
        rings[count].made = st.st_mtim;
        rings[count++].bytes = ring_bytes(path);
    }
    (void)closedir(dir);
    return count;
}

void agent_rings_trim(const char *state_directory, uint64_t bytes,
                      int (*in_use)(void *context, const char *capture_id), void *context)
{
    char directory[PATH_MAX - 256];
    (void)snprintf(directory, sizeof directory, "%s/rings", state_directory);
    struct ring *rings = calloc(CAPTURES_MAX, sizeof *rings);
    if (!rings)
        return;
    size_t count = list_rings(directory, rings);
    uint64_t held = 0;
    for (size_t i = 0; i < count; i++)
        held += rings[i].bytes;
    qsort(rings, count, sizeof *rings, older_first);
    for (size_t i = 0; i < count && held > bytes; i++) {
        char path[PATH_MAX];
        if (in_use(context, rings[i].name))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", directory, rings[i].name);
        (void)nftw(path, remove_entry, DEPTH, FTW_DEPTH | FTW_PHYS);
        held -= rings[i].bytes;
    }
    free(rings);
}
