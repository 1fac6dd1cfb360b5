#include "agent/spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/spool/stream.h"
#include "common/wire/wire.h"

#define SEGMENT_BYTES ((uint64_t)8 * 1024 * 1024)
#define SEGMENT_LEAST ((uint64_t)64 * 1024)
#define SYNC_BYTES ((uint64_t)512 * 1024)
#define SYNC_MS 1000
#define ROTATE_WHEN_ACKNOWLEDGED ((uint64_t)1024 * 1024)

struct dp_spool {
    int root; /* the directory, and the lock on it */
    uint64_t epoch, next_stream;
    uint64_t max_bytes, segment_bytes, bytes;
    uint64_t unsynced_bytes, unsynced_since_ms;
    bool failed;                /* a sync failed: what the disk holds is not known any more */
    struct dp_stream **streams; /* by epoch and number */
    size_t count, room;
};

static int add_stream(struct dp_spool *spool, struct dp_stream *stream)
{
    if (spool->count == spool->room) {
        size_t room = spool->room ? spool->room * 2 : 16;
        struct dp_stream **grown = realloc(spool->streams, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        spool->streams = grown;
        spool->room = room;
    }
    spool->streams[spool->count++] = stream;
    return DP_OK;
}

static int compare_streams(const void *a, const void *b)
{
    const struct dp_spool_stream_info *x = &(*(struct dp_stream *const *)a)->info;
    const struct dp_spool_stream_info *y = &(*(struct dp_stream *const *)b)->info;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return x->stream < y->stream ? -1 : x->stream > y->stream;
}

/* A stream that can't be read is set aside, not deleted, and does not keep the agent from starting. */
static void set_aside(struct dp_spool *spool, const char *name)
{
    char aside[DP_STREAM_NAME + 16];
    (void)snprintf(aside, sizeof aside, "damaged-%.40s", name);
    (void)renameat(spool->root, name, spool->root, aside);
}

static int load_stream(struct dp_spool *spool, const char *name, uint64_t epoch, uint64_t number,
                       struct dp_diag *diag)
{
    struct dp_stream *stream = NULL;
    int code = dp_stream_load(spool->root, epoch, number, &stream, diag);
    if (code == DP_ERR_NOT_FOUND) {
        if (diag)
            diag->text[0] = '\0';
        dp_stream_remove(spool->root, epoch, number);
        return DP_OK;
    }
    if (code == DP_ERR_FORMAT) {
        set_aside(spool, name);
        return DP_OK;
    }
    if (code != DP_OK)
        return code;
    /* Whoever appended to it is gone. */
    stream->info.interrupted = !stream->info.closed;
    stream->info.closed = true;
    spool->bytes += dp_stream_bytes(stream);
    if (epoch == spool->epoch && number >= spool->next_stream)
        spool->next_stream = number + 1;
    code = add_stream(spool, stream);
    if (code != DP_OK)
        dp_stream_free(stream);
    return code;
}

static int load_streams(struct dp_spool *spool, struct dp_diag *diag)
{
    int fd = openat(spool->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        if (fd >= 0)
            (void)close(fd);
        return DP_ERR_IO;
    }
    int code = DP_OK;
    for (struct dirent *entry; code == DP_OK && (entry = readdir(entries)) != NULL;) {
        uint64_t epoch = 0, number = 0;
        if (dp_stream_name_parse(entry->d_name, &epoch, &number))
            code = load_stream(spool, entry->d_name, epoch, number, diag);
    }
    (void)closedir(entries);
    if (spool->count)
        qsort(spool->streams, spool->count, sizeof *spool->streams, compare_streams);
    return code;
}

static int open_root(struct dp_spool *spool, const char *directory, struct dp_diag *diag)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return dp_fail(diag, errno == EACCES || errno == EPERM || errno == EROFS ? DP_ERR_DENIED : DP_ERR_IO,
                       "The spool's directory %s can't be made: %s.", directory, strerror(errno));
    spool->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->root < 0)
        return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO,
                       "The spool's directory %s can't be opened: %s.", directory, strerror(errno));
    if (faccessat(spool->root, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return dp_fail(diag, DP_ERR_DENIED, "The spool's directory %s can't be written: %s.", directory,
                       strerror(errno));
    if (flock(spool->root, LOCK_EX | LOCK_NB) != 0)
        return dp_fail(diag, DP_ERR_DENIED,
                       "The spool's directory %s is in use by another agent. Stop it, or give this one "
                       "another directory.",
                       directory);
    return DP_OK;
}

int dp_spool_open(const char *directory, uint64_t epoch, uint64_t max_bytes, struct dp_spool **ret_spool,
                  struct dp_diag *diag)
{
    struct dp_spool *spool = calloc(1, sizeof *spool);
    if (!spool)
        return DP_ERR_NOMEM;
    spool->root = -1;
    spool->epoch = epoch;
    spool->next_stream = 1;
    spool->max_bytes = max_bytes;
    /* Space comes back by whole files: several of them must fit under the bound. */
    spool->segment_bytes = max_bytes / 8 < SEGMENT_BYTES ? max_bytes / 8 : SEGMENT_BYTES;
    if (spool->segment_bytes < SEGMENT_LEAST)
        spool->segment_bytes = SEGMENT_LEAST;
    int code = open_root(spool, directory, diag);
    if (code == DP_OK)
        code = load_streams(spool, diag);
    if (code != DP_OK) {
        dp_spool_close(spool);
        return code;
    }
    *ret_spool = spool;
    return DP_OK;
}

void dp_spool_close(struct dp_spool *spool)
{
    if (!spool)
        return;
    for (size_t i = 0; i < spool->count; i++)
        dp_stream_free(spool->streams[i]);
    free(spool->streams);
    if (spool->root >= 0)
        (void)close(spool->root);
    free(spool);
}

static struct dp_stream *find(const struct dp_spool *spool, uint64_t epoch, uint64_t stream,
                              size_t *ret_index)
{
    for (size_t i = spool->count; i > 0; i--) {
        struct dp_stream *candidate = spool->streams[i - 1];
        if (candidate->info.epoch == epoch && candidate->info.stream == stream) {
            if (ret_index)
                *ret_index = i - 1;
            return candidate;
        }
    }
    return NULL;
}

int dp_spool_stream(struct dp_spool *spool, uint32_t kind, const char *capture_id, const char *vantage,
                    uint64_t *ret_stream)
{
    struct dp_spool_stream_info info = {
        .epoch = spool->epoch, .stream = spool->next_stream, .kind = kind, .first = 1};
    if (strlen(capture_id) >= sizeof info.capture_id || strlen(vantage) >= sizeof info.vantage)
        return DP_ERR_RANGE;
    memcpy(info.capture_id, capture_id, strlen(capture_id));
    memcpy(info.vantage, vantage, strlen(vantage));
    struct dp_stream *stream = NULL;
    int code = dp_stream_create(spool->root, &info, &stream, NULL);
    if (code != DP_OK)
        return code;
    code = add_stream(spool, stream);
    if (code != DP_OK) {
        dp_stream_free(stream);
        dp_stream_remove(spool->root, info.epoch, info.stream);
        return code;
    }
    /* A clock that was set back can make this epoch smaller than one that is held. */
    qsort(spool->streams, spool->count, sizeof *spool->streams, compare_streams);
    *ret_stream = spool->next_stream++;
    return DP_OK;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int failed(struct dp_spool *spool, int code)
{
    if (code == DP_ERR_IO)
        spool->failed = true;
    return code;
}

/* Only a sync that fails is for good; a file that can't be made now may be made later. */
static int next_segment(struct dp_spool *spool, struct dp_stream *stream)
{
    int code = failed(spool, dp_stream_sync(stream));
    return code == DP_OK ? dp_stream_rotate(stream) : code;
}

int dp_spool_append(struct dp_spool *spool, uint64_t stream, uint32_t records, const uint8_t *payload,
                    size_t len, uint64_t *ret_number)
{
    struct dp_stream *s = find(spool, spool->epoch, stream, NULL);
    if (!s || s->info.closed)
        return DP_ERR_NOT_FOUND;
    if (len > DP_SEGMENT_MAX_PAYLOAD)
        return DP_ERR_RANGE;
    if (spool->failed)
        return DP_ERR_IO;
    uint64_t size = DP_SEGMENT_HEADER + len;
    if (spool->bytes + size > spool->max_bytes)
        return DP_ERR_FULL;
    int code = DP_OK;
    if (s->fd < 0 || s->segments[s->count - 1].bytes >= spool->segment_bytes)
        code = next_segment(spool, s);
    if (code == DP_OK)
        code = dp_segment_append(&s->segments[s->count - 1], s->fd, records, dp_crc32c(0, payload, len),
                                 payload, len);
    if (code != DP_OK)
        return code;
    if (spool->unsynced_bytes == 0)
        spool->unsynced_since_ms = now_ms();
    spool->unsynced_bytes += size;
    spool->bytes += size;
    *ret_number = ++s->info.last;
    return DP_OK;
}

int dp_spool_end(struct dp_spool *spool, uint64_t stream)
{
    struct dp_stream *s = find(spool, spool->epoch, stream, NULL);
    if (!s)
        return DP_ERR_NOT_FOUND;
    if (s->info.closed)
        return DP_OK;
    /* Its data first: a stream that is closed on disk is whole on disk. */
    int code = failed(spool, dp_stream_sync(s));
    s->info.closed = true;
    if (code == DP_OK)
        code = dp_stream_describe(s);
    return code;
}

bool dp_spool_sync_due(const struct dp_spool *spool, uint64_t at_ms)
{
    return spool->unsynced_bytes >= SYNC_BYTES ||
           (spool->unsynced_bytes > 0 && at_ms >= spool->unsynced_since_ms + SYNC_MS);
}

int dp_spool_sync(struct dp_spool *spool)
{
    if (spool->failed)
        return DP_ERR_IO;
    for (size_t i = 0; i < spool->count; i++) {
        int code = dp_stream_sync(spool->streams[i]);
        if (code != DP_OK)
            return failed(spool, code);
    }
    spool->unsynced_bytes = 0;
    return DP_OK;
}

int dp_spool_read(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number,
                  uint32_t *ret_crc32c, uint32_t *ret_records, uint8_t **ret_payload, size_t *ret_len)
{
    struct dp_stream *s = find(spool, epoch, stream, NULL);
    if (!s)
        return DP_ERR_NOT_FOUND;
    struct dp_segment_record record;
    int code = dp_stream_read(s, number, &record, ret_payload);
    if (code != DP_OK)
        return code;
    *ret_crc32c = record.crc32c;
    *ret_records = record.records;
    *ret_len = record.len;
    return DP_OK;
}

static void drop_stream(struct dp_spool *spool, size_t index)
{
    struct dp_stream *s = spool->streams[index];
    uint64_t epoch = s->info.epoch;
    uint64_t number = s->info.stream;
    spool->bytes -= dp_stream_bytes(s);
    dp_stream_free(s);
    dp_stream_remove(spool->root, epoch, number);
    spool->count--;
    memmove(spool->streams + index, spool->streams + index + 1,
            (spool->count - index) * sizeof *spool->streams);
}

int dp_spool_acknowledge(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number)
{
    size_t index = 0;
    struct dp_stream *s = find(spool, epoch, stream, &index);
    if (!s)
        return DP_ERR_NOT_FOUND;
    if (number > s->info.synced)
        return DP_ERR_RANGE;
    if (number > s->acknowledged)
        s->acknowledged = number;
    s->info.first = s->acknowledged + 1;
    if (s->info.closed && s->acknowledged == s->info.last) {
        drop_stream(spool, index);
        return DP_OK;
    }
    /* A long segment that is not needed any more goes too: an empty one that follows keeps the count. */
    if (s->fd >= 0 && s->acknowledged == s->info.last &&
        s->segments[s->count - 1].bytes >= (spool->segment_bytes < ROTATE_WHEN_ACKNOWLEDGED
                                                ? spool->segment_bytes
                                                : ROTATE_WHEN_ACKNOWLEDGED)) {
        int code = next_segment(spool, s);
        if (code == DP_OK)
            code = failed(spool, dp_stream_sync(s));
        if (code != DP_OK)
            return code;
    }
    spool->bytes -= dp_stream_trim(s);
    return DP_OK;
}

int dp_spool_forget(struct dp_spool *spool, uint64_t epoch, uint64_t stream)
{
    size_t index = 0;
    if (!find(spool, epoch, stream, &index))
        return DP_ERR_NOT_FOUND;
    drop_stream(spool, index);
    return DP_OK;
}

bool dp_spool_stream_at(const struct dp_spool *spool, size_t index, struct dp_spool_stream_info *ret_info)
{
    if (index >= spool->count)
        return false;
    *ret_info = spool->streams[index]->info;
    return true;
}
