#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/probe/zone/named_conf.h"

#define FILE_MAX_BYTES (16L * 1024 * 1024)

static int fill(int fd, char *text, size_t size, size_t *ret_length)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(fd, text + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return DP_ERR_IO;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

int named_load_file(void *context, const char *path, char **ret_text, size_t *ret_length,
                    struct dp_diag *diag)
{
    struct stat about;
    (void)context;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe in its place must not hold us up
    if (fd < 0)
        return dp_fail(diag,
                       errno == ENOENT   ? DP_ERR_NOT_FOUND
                       : errno == EACCES ? DP_ERR_DENIED
                                         : DP_ERR_IO,
                       "%s cannot be read: %s", path, strerror(errno));
    char *text = NULL;
    size_t length = 0;
    int rc = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > FILE_MAX_BYTES)
        rc = dp_fail(diag, DP_ERR_USAGE, "%s is no regular file of at most 16 MiB", path);
    if (!rc) {
        text = malloc((size_t)about.st_size + 1);
        rc = text ? fill(fd, text, (size_t)about.st_size, &length) : DP_ERR_NOMEM;
        if (rc == DP_ERR_IO)
            rc = dp_fail(diag, rc, "%s cannot be read", path);
    }
    (void)close(fd);
    if (rc) {
        free(text);
        return rc;
    }
    *ret_text = text;
    *ret_length = length;
    return 0;
}
