#include "agent/probe/relay/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 2000
#define HEAD_MAX 16384

int maildir_check(const char *path, struct dp_diag *diag)
{
    static const char *const folders[] = {"new", "cur"};
    for (size_t i = 0; i < 2; i++) {
        char name[4096];
        (void)snprintf(name, sizeof name, "%.4000s/%s", path, folders[i]);
        DIR *dir = opendir(name);
        if (!dir && errno == EACCES)
            return dp_fail(diag, DP_ERR_DENIED, "--proof-mailbox %.200s: %s", path, strerror(errno));
        if (!dir)
            return dp_fail(diag, DP_ERR_NOT_FOUND,
                           "--proof-mailbox %.200s is no maildir: it has no folder '%s'", path, folders[i]);
        (void)closedir(dir);
    }
    return 0;
}

static bool file_has(int folder, const char *name, const char *token)
{
    char head[HEAD_MAX];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (fd >= 0)
        (void)close(fd);
    return got > 0 && memmem(head, (size_t)got, token, strlen(token)) != NULL;
}

bool maildir_has(const char *path, const char *token)
{
    static const char *const folders[] = {"new", "cur"};
    bool found = false;
    for (size_t i = 0; i < 2 && !found; i++) {
        char name[4096];
        (void)snprintf(name, sizeof name, "%.4000s/%s", path, folders[i]);
        DIR *dir = opendir(name);
        const struct dirent *entry;
        for (int count = 0; dir && !found && count < FILES_MAX && (entry = readdir(dir)); count++)
            found = entry->d_name[0] != '.' && file_has(dirfd(dir), entry->d_name, token);
        if (dir)
            (void)closedir(dir);
    }
    return found;
}
