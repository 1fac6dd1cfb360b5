#include "common/capfile/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fits the second-level cache, so that bytes are still warm when the packet is looked at. */
#define BUFFER_SIZE ((size_t)256 * 1024)

static const char *file_kind(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a pipe";
    if (S_ISSOCK(mode))
        return "a socket";
    return "a device";
}

static int source_new(const char *name, struct dp_source **ret_source)
{
    struct dp_source *source = calloc(1, sizeof *source);
    char *copy = source ? strdup(name) : NULL;
    if (!copy) {
        free(source);
        return DP_ERR_NOMEM;
    }
    source->name = copy;
    source->fd = -1;
    *ret_source = source;
    return DP_OK;
}

void dp_source_close(struct dp_source *source)
{
    if (!source)
        return;
    dp_decoder_free(source->decoder);
    if (source->fd >= 0)
        (void)close(source->fd);
    free(source->buffer);
    free(source->name);
    free(source);
}

ptrdiff_t dp_source_raw(struct dp_source *source, uint8_t *bytes, size_t room, struct dp_diag *diag)
{
    uint64_t left = source->raw_size - source->raw_done;
    if (room > left)
        room = (size_t)left;
    if (room == 0)
        return 0;
    if (source->fd < 0) {
        memcpy(bytes, source->memory + source->raw_done, room);
        source->raw_done += room;
        return (ptrdiff_t)room;
    }
    ssize_t got;
    do {
        got = read(source->fd, bytes, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot be read: %s.", source->name, strerror(errno));
    source->raw_done += (uint64_t)got;
    return got;
}

/* Makes room for n bytes from the window's position on. */
static int make_room(struct dp_source *source, size_t n)
{
    size_t have = dp_source_have(source);
    if (source->pos > 0 && source->buffer) {
        memmove(source->buffer, source->buffer + source->pos, have);
        source->base += source->pos;
        source->pos = 0;
        source->end = have;
    }
    if (n <= source->room)
        return DP_OK;
    size_t room = source->room ? source->room : BUFFER_SIZE;
    while (room < n)
        room *= 2;
    uint8_t *grown = realloc(source->buffer, room);
    if (!grown)
        return DP_ERR_NOMEM;
    source->buffer = grown;
    source->data = grown;
    source->room = room;
    return DP_OK;
}

int dp_source_fill(struct dp_source *source, size_t n, struct dp_diag *diag)
{
    if (dp_source_have(source) >= n || source->eof)
        return DP_OK;
    int code = make_room(source, n);
    if (code != DP_OK)
        return code;
    while (dp_source_have(source) < n) {
        uint8_t *at = source->buffer + source->end;
        size_t room = source->room - source->end;
        ptrdiff_t got = source->decoder ? dp_decoder_read(source->decoder, source, at, room, diag)
                                        : dp_source_raw(source, at, room, diag);
        if (got < 0)
            return (int)got;
        if (got == 0) {
            source->eof = true;
            break;
        }
        source->end += (size_t)got;
    }
    return DP_OK;
}

/* Looks at the first bytes and starts over through a decoder where they are compressed. */
static int choose_decoder(struct dp_source *source, struct dp_diag *diag)
{
    if (source->raw_size == 0)
        return dp_fail(diag, DP_ERR_FORMAT, "%s: is empty: not a capture file. Capture again.", source->name);
    int code = dp_source_fill(source, 4, diag);
    if (code != DP_OK)
        return code;
    code = dp_decoder_new(dp_source_at(source), dp_source_have(source), &source->decoder);
    if (code != DP_OK || !source->decoder)
        return code;
    if (source->fd >= 0 && lseek(source->fd, 0, SEEK_SET) != 0)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot be read: %s.", source->name, strerror(errno));
    source->raw_done = 0;
    source->pos = source->end = 0;
    source->base = 0;
    source->data = source->buffer;
    source->eof = false;
    return DP_OK;
}

static int open_regular(const char *path, int *ret_fd, uint64_t *ret_size, struct dp_diag *diag)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return dp_fail(diag, errno == ENOENT ? DP_ERR_NOT_FOUND : DP_ERR_IO, "%s: cannot be opened: %s.",
                       path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dp_fail(diag, DP_ERR_FORMAT,
                       "%s: is %s, not a regular file. Write the capture to a file first.", path,
                       file_kind(st.st_mode));
    /* O_NONBLOCK: should a pipe have taken the name since, opening does not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot be opened: %s.", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return dp_fail(diag, DP_ERR_IO, "%s: changed while it was opened. Try again.", path);
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return DP_OK;
}

int dp_source_open(const char *path, struct dp_source **ret_source, struct dp_diag *diag)
{
    struct dp_source *source = NULL;
    int code = source_new(path, &source);
    if (code != DP_OK)
        return code;
    code = open_regular(path, &source->fd, &source->raw_size, diag);
    if (code == DP_OK)
        code = choose_decoder(source, diag);
    if (code != DP_OK) {
        dp_source_close(source);
        return code;
    }
    *ret_source = source;
    return DP_OK;
}

int dp_source_open_memory(const uint8_t *bytes, size_t len, const char *name, struct dp_source **ret_source,
                          struct dp_diag *diag)
{
    struct dp_source *source = NULL;
    int code = source_new(name, &source);
    if (code != DP_OK)
        return code;
    source->memory = bytes;
    source->raw_size = len;
    /* Plain memory is the window itself. */
    source->data = bytes;
    source->end = len;
    source->eof = true;
    code = choose_decoder(source, diag);
    if (code == DP_OK && !source->decoder)
        source->raw_done = len;
    if (code != DP_OK) {
        dp_source_close(source);
        return code;
    }
    *ret_source = source;
    return DP_OK;
}
