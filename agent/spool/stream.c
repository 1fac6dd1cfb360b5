#include "agent/spool/stream.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/wire/wire.h"

#define DESCRIPTION "stream"
#define DESCRIPTION_NEW "stream.new"

/* The description: "DPS1", kind, closed, capture and vantage (fixed width, zero-filled), CRC32C of what is
 * before. */
#define CAPTURE_AT 12
#define VANTAGE_AT (CAPTURE_AT + 64)
#define CRC_AT (VANTAGE_AT + 96)
#define DESCRIPTION_SIZE (CRC_AT + 4)

void dp_stream_name(uint64_t epoch, uint64_t stream, char ret_name[DP_STREAM_NAME])
{
    (void)snprintf(ret_name, DP_STREAM_NAME, "%016" PRIx64 "-%016" PRIx64, epoch, stream);
}

bool dp_stream_name_parse(const char *name, uint64_t *ret_epoch, uint64_t *ret_stream)
{
    uint64_t epoch = 0, stream = 0;
    char same[DP_STREAM_NAME];
    if (sscanf(name, "%16" SCNx64 "-%16" SCNx64, &epoch, &stream) != 2)
        return false;
    dp_stream_name(epoch, stream, same);
    if (strcmp(same, name) != 0)
        return false;
    *ret_epoch = epoch;
    *ret_stream = stream;
    return true;
}

static int disk_error(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return DP_ERR_FULL;
    return error == EACCES || error == EPERM || error == EROFS ? DP_ERR_DENIED : DP_ERR_IO;
}

static void put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

int dp_stream_describe(struct dp_stream *stream)
{
    uint8_t bytes[DESCRIPTION_SIZE] = {'D', 'P', 'S', '1'};
    put32(bytes + 4, stream->info.kind);
    put32(bytes + 8, stream->info.closed);
    memcpy(bytes + CAPTURE_AT, stream->info.capture_id, sizeof stream->info.capture_id);
    memcpy(bytes + VANTAGE_AT, stream->info.vantage, sizeof stream->info.vantage);
    put32(bytes + CRC_AT, dp_crc32c(0, bytes, CRC_AT));
    int fd = openat(stream->directory, DESCRIPTION_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return disk_error(errno);
    bool good = write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
    int error = errno;
    (void)close(fd);
    if (!good)
        return disk_error(error);
    if (renameat(stream->directory, DESCRIPTION_NEW, stream->directory, DESCRIPTION) != 0 ||
        fsync(stream->directory) != 0)
        return disk_error(errno);
    return DP_OK;
}

static int read_description(struct dp_stream *stream)
{
    uint8_t bytes[DESCRIPTION_SIZE];
    int fd = openat(stream->directory, DESCRIPTION, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? DP_ERR_NOT_FOUND : disk_error(errno);
    ssize_t got = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    if (got != (ssize_t)sizeof bytes || memcmp(bytes, "DPS1", 4) != 0 ||
        get32(bytes + CRC_AT) != dp_crc32c(0, bytes, CRC_AT))
        return DP_ERR_FORMAT;
    stream->info.kind = get32(bytes + 4);
    stream->info.closed = get32(bytes + 8) != 0;
    memcpy(stream->info.capture_id, bytes + CAPTURE_AT, sizeof stream->info.capture_id);
    memcpy(stream->info.vantage, bytes + VANTAGE_AT, sizeof stream->info.vantage);
    stream->info.capture_id[sizeof stream->info.capture_id - 1] = '\0';
    stream->info.vantage[sizeof stream->info.vantage - 1] = '\0';
    return DP_OK;
}

static struct dp_stream *stream_new(uint64_t epoch, uint64_t number)
{
    struct dp_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->directory = stream->fd = stream->read_fd = -1;
    stream->info.epoch = epoch;
    stream->info.stream = number;
    stream->info.first = 1;
    return stream;
}

int dp_stream_create(int root, const struct dp_spool_stream_info *info, struct dp_stream **ret_stream,
                     struct dp_diag *diag)
{
    char name[DP_STREAM_NAME];
    dp_stream_name(info->epoch, info->stream, name);
    struct dp_stream *stream = stream_new(info->epoch, info->stream);
    if (!stream)
        return DP_ERR_NOMEM;
    stream->info = *info;
    int code = DP_OK;
    if (mkdirat(root, name, 0700) != 0)
        code = disk_error(errno);
    if (code == DP_OK) {
        stream->directory = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        code = stream->directory < 0 ? disk_error(errno) : dp_stream_describe(stream);
    }
    if (code == DP_OK && fsync(root) != 0)
        code = disk_error(errno);
    if (code != DP_OK) {
        int error = errno;
        dp_stream_free(stream);
        dp_stream_remove(root, info->epoch, info->stream);
        return dp_fail(diag, code, "The spool's stream %s can't be made: %s.", name, strerror(error));
    }
    *ret_stream = stream;
    return DP_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The first numbers of the segments that are there, in order. *ret_firsts is malloc'd. */
static int list_segments(int directory, uint64_t **ret_firsts, size_t *ret_count)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        if (fd >= 0)
            (void)close(fd);
        return DP_ERR_IO;
    }
    uint64_t *firsts = NULL;
    size_t count = 0, room = 0;
    int code = DP_OK;
    for (struct dirent *entry; code == DP_OK && (entry = readdir(entries)) != NULL;) {
        uint64_t first = 0;
        if (!dp_segment_name_parse(entry->d_name, &first))
            continue;
        if (count == room) {
            room = room ? room * 2 : 16;
            uint64_t *grown = realloc(firsts, room * sizeof *grown);
            code = grown ? DP_OK : DP_ERR_NOMEM;
            firsts = grown ? grown : firsts;
        }
        if (code == DP_OK)
            firsts[count++] = first;
    }
    (void)closedir(entries);
    if (code != DP_OK) {
        free(firsts);
        return code;
    }
    if (count)
        qsort(firsts, count, sizeof *firsts, compare_numbers);
    *ret_firsts = firsts;
    *ret_count = count;
    return DP_OK;
}

static int load_segments(struct dp_stream *stream, struct dp_diag *diag)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    int code = list_segments(stream->directory, &firsts, &count);
    if (code != DP_OK)
        return code;
    stream->segments = calloc(count ? count : 1, sizeof *stream->segments);
    stream->room = count ? count : 1;
    if (!stream->segments)
        code = DP_ERR_NOMEM;
    for (size_t i = 0; code == DP_OK && i < count; i++) {
        uint64_t next = i + 1 < count ? firsts[i + 1] : 0;
        /* More numbers than a file can hold records: the files between were taken away. */
        if (next && next - firsts[i] > UINT32_MAX / DP_SEGMENT_HEADER)
            code = dp_fail(diag, DP_ERR_FORMAT, "The spool's files do not follow on one another.");
        if (code == DP_OK)
            code = dp_segment_load(stream->directory, firsts[i], next, &stream->segments[i], diag);
        if (code == DP_OK)
            stream->count++;
    }
    free(firsts);
    return code;
}

int dp_stream_load(int root, uint64_t epoch, uint64_t number, struct dp_stream **ret_stream,
                   struct dp_diag *diag)
{
    char name[DP_STREAM_NAME];
    dp_stream_name(epoch, number, name);
    struct dp_stream *stream = stream_new(epoch, number);
    if (!stream)
        return DP_ERR_NOMEM;
    struct dp_diag cause = {""};
    stream->directory = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int code = stream->directory < 0 ? disk_error(errno) : read_description(stream);
    if (code == DP_OK)
        code = load_segments(stream, &cause);
    if (code != DP_OK) {
        dp_stream_free(stream);
        return dp_fail(diag, code, "The spool's stream %s can't be read: %.400s", name,
                       dp_reason(&cause, code));
    }
    if (stream->count) {
        stream->info.first = stream->segments[0].first;
        stream->info.last = dp_segment_next(&stream->segments[stream->count - 1]) - 1;
    }
    stream->info.synced = stream->info.last;
    stream->acknowledged = stream->info.first - 1;
    *ret_stream = stream;
    return DP_OK;
}

int dp_stream_rotate(struct dp_stream *stream)
{
    if (stream->count == stream->room) {
        size_t room = stream->room ? stream->room * 2 : 8;
        struct dp_segment *grown = realloc(stream->segments, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        stream->segments = grown;
        stream->room = room;
    }
    int code = dp_stream_sync(stream);
    int fd = -1;
    if (code == DP_OK)
        code = dp_segment_create(stream->directory, stream->info.last + 1, &stream->segments[stream->count],
                                 &fd, NULL);
    if (code != DP_OK)
        return code;
    if (stream->fd >= 0)
        (void)close(stream->fd);
    stream->fd = fd;
    stream->count++;
    stream->directory_dirty = true;
    return DP_OK;
}

int dp_stream_sync(struct dp_stream *stream)
{
    if (stream->info.synced == stream->info.last && !stream->directory_dirty)
        return DP_OK;
    if (stream->fd >= 0 && fdatasync(stream->fd) != 0)
        return DP_ERR_IO;
    if (stream->directory_dirty && fsync(stream->directory) != 0)
        return DP_ERR_IO;
    stream->directory_dirty = false;
    stream->info.synced = stream->info.last;
    return DP_OK;
}

int dp_stream_read(struct dp_stream *stream, uint64_t number, struct dp_segment_record *ret_record,
                   uint8_t **ret_payload)
{
    const struct dp_segment *segment = NULL;
    for (size_t i = stream->count; i > 0 && !segment; i--)
        if (number >= stream->segments[i - 1].first)
            segment = &stream->segments[i - 1];
    if (!segment || number >= dp_segment_next(segment) || number > stream->info.synced)
        return DP_ERR_END;
    if (stream->read_fd < 0 || stream->read_first != segment->first) {
        char name[32];
        dp_segment_name(segment->first, name);
        if (stream->read_fd >= 0)
            (void)close(stream->read_fd);
        stream->read_fd = openat(stream->directory, name, O_RDONLY | O_CLOEXEC);
        stream->read_first = segment->first;
        if (stream->read_fd < 0)
            return DP_ERR_IO;
    }
    return dp_segment_read(segment, stream->read_fd, number, ret_record, ret_payload);
}

uint64_t dp_stream_trim(struct dp_stream *stream)
{
    uint64_t freed = 0;
    size_t gone = 0;
    while (gone + 1 < stream->count && dp_segment_next(&stream->segments[gone]) <= stream->acknowledged + 1) {
        char name[32];
        dp_segment_name(stream->segments[gone].first, name);
        (void)unlinkat(stream->directory, name, 0);
        freed += stream->segments[gone].bytes;
        dp_segment_free(&stream->segments[gone]);
        gone++;
    }
    if (gone) {
        stream->count -= gone;
        memmove(stream->segments, stream->segments + gone, stream->count * sizeof *stream->segments);
    }
    return freed;
}

uint64_t dp_stream_bytes(const struct dp_stream *stream)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < stream->count; i++)
        bytes += stream->segments[i].bytes;
    return bytes;
}

void dp_stream_remove(int root, uint64_t epoch, uint64_t stream)
{
    char name[DP_STREAM_NAME];
    dp_stream_name(epoch, stream, name);
    int directory = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (directory < 0)
        return;
    /* The description goes first: a directory without one is worth nothing, should the host go down here. */
    (void)unlinkat(directory, DESCRIPTION, 0);
    (void)unlinkat(directory, DESCRIPTION_NEW, 0);
    uint64_t *firsts = NULL;
    size_t count = 0;
    if (list_segments(directory, &firsts, &count) == DP_OK) {
        for (size_t i = 0; i < count; i++) {
            char file[32];
            dp_segment_name(firsts[i], file);
            (void)unlinkat(directory, file, 0);
        }
    }
    free(firsts);
    (void)close(directory);
    (void)unlinkat(root, name, AT_REMOVEDIR);
}

void dp_stream_free(struct dp_stream *stream)
{
    if (!stream)
        return;
    for (size_t i = 0; i < stream->count; i++)
        dp_segment_free(&stream->segments[i]);
    free(stream->segments);
    if (stream->fd >= 0)
        (void)close(stream->fd);
    if (stream->read_fd >= 0)
        (void)close(stream->read_fd);
    if (stream->directory >= 0)
        (void)close(stream->directory);
    free(stream);
}
