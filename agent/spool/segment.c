#include "agent/spool/segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/wire/wire.h"

#define MAGIC 0x31525044u /* "DPR1" */
#define MAX_FILE ((off_t)64 * 1024 * 1024)

/* A record's header, little-endian: magic, payload's length, number (8 bytes), records, payload's CRC32C,
 * CRC32C of the 24 bytes before. */
struct header {
    uint64_t number;
    uint32_t len, records, crc32c;
};

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

static void pack_header(const struct header *header, uint8_t bytes[DP_SEGMENT_HEADER])
{
    uint64_t number = htole64(header->number);
    put32(bytes, MAGIC);
    put32(bytes + 4, header->len);
    memcpy(bytes + 8, &number, sizeof number);
    put32(bytes + 16, header->records);
    put32(bytes + 20, header->crc32c);
    put32(bytes + 24, dp_crc32c(0, bytes, 24));
}

static bool unpack_header(const uint8_t *bytes, struct header *ret_header)
{
    uint64_t number;
    if (get32(bytes) != MAGIC || get32(bytes + 24) != dp_crc32c(0, bytes, 24))
        return false;
    memcpy(&number, bytes + 8, sizeof number);
    *ret_header = (struct header){
        .number = le64toh(number),
        .len = get32(bytes + 4),
        .records = get32(bytes + 16),
        .crc32c = get32(bytes + 20),
    };
    return ret_header->len <= DP_SEGMENT_MAX_PAYLOAD;
}

uint64_t dp_segment_next(const struct dp_segment *segment)
{
    return segment->first + segment->count;
}

void dp_segment_name(uint64_t first, char ret_name[32])
{
    (void)snprintf(ret_name, 32, "%016" PRIx64 ".seg", first);
}

bool dp_segment_name_parse(const char *name, uint64_t *ret_first)
{
    char *end = NULL;
    char same[32];
    uint64_t first = strtoull(name, &end, 16);
    dp_segment_name(first, same);
    if (first == 0 || strcmp(same, name) != 0)
        return false;
    *ret_first = first;
    return true;
}

int dp_segment_create(int directory, uint64_t first, struct dp_segment *ret_segment, int *ret_fd,
                      struct dp_diag *diag)
{
    char name[32];
    dp_segment_name(first, name);
    int fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return dp_fail(diag, errno == ENOSPC || errno == EDQUOT ? DP_ERR_FULL : DP_ERR_IO,
                       "The spool's file %s can't be made: %s.", name, strerror(errno));
    *ret_segment = (struct dp_segment){.first = first};
    *ret_fd = fd;
    return DP_OK;
}

static int add_record(struct dp_segment *segment, const struct dp_segment_record *record)
{
    if (segment->count == segment->room) {
        size_t room = segment->room ? segment->room * 2 : 64;
        struct dp_segment_record *grown = realloc(segment->index, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        segment->index = grown;
        segment->room = room;
    }
    segment->index[segment->count++] = *record;
    return DP_OK;
}

static int add_damaged_until(struct dp_segment *segment, uint64_t next)
{
    const struct dp_segment_record damaged = {.damaged = true};
    int code = DP_OK;
    while (code == DP_OK && dp_segment_next(segment) < next)
        code = add_record(segment, &damaged);
    return code;
}

/* The next readable header at or behind `at`, of a record that can follow. Damage is rare, so the search may
 * be slow. */
static size_t find_header(const uint8_t *bytes, size_t at, size_t len, uint64_t least,
                          struct header *ret_header)
{
    /* Numbers can't grow by more than the bytes between could hold. */
    for (size_t i = at; i + DP_SEGMENT_HEADER <= len; i++) {
        if (bytes[i] == 'D' && unpack_header(bytes + i, ret_header) && ret_header->number >= least &&
            ret_header->number - least <= (i - at) / DP_SEGMENT_HEADER &&
            ret_header->len <= len - i - DP_SEGMENT_HEADER)
            return i;
    }
    return len;
}

static bool payload_good(const uint8_t *payload, const struct header *header)
{
    return dp_crc32c(0, payload, header->len) == header->crc32c;
}

/* Fills the index from the file's bytes; *ret_good is where the last good record ends. */
static int index_bytes(struct dp_segment *segment, const uint8_t *bytes, size_t len, bool last,
                       size_t *ret_good)
{
    size_t at = 0;
    size_t good = 0;
    size_t good_count = 0;
    struct header header;
    int code = DP_OK;
    while (code == DP_OK) {
        at = find_header(bytes, at, len, dp_segment_next(segment), &header);
        if (at == len)
            break;
        code = add_damaged_until(segment, header.number);
        const uint8_t *payload = bytes + at + DP_SEGMENT_HEADER;
        struct dp_segment_record record = {
            .offset = (uint32_t)(at + DP_SEGMENT_HEADER),
            .len = header.len,
            .records = header.records,
            .crc32c = header.crc32c,
        };
        if (code == DP_OK)
            code = add_record(segment, &record);
        at += DP_SEGMENT_HEADER + header.len;
        if (!last || payload_good(payload, &header)) {
            good = at;
            good_count = segment->count;
        }
    }
    /* A record whose payload is bad at the very end was being written when the host went down. */
    segment->count = good_count;
    *ret_good = good;
    return code;
}

static int read_whole(int fd, size_t len, uint8_t **ret_bytes)
{
    uint8_t *bytes = malloc(len ? len : 1);
    if (!bytes)
        return DP_ERR_NOMEM;
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, bytes + got, len - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            free(bytes);
            return DP_ERR_IO;
        }
        got += (size_t)n;
    }
    *ret_bytes = bytes;
    return DP_OK;
}

static int load_open(int fd, uint64_t next, struct dp_segment *segment)
{
    struct stat st;
    uint8_t *bytes = NULL;
    if (fstat(fd, &st) != 0)
        return DP_ERR_IO;
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
        return DP_ERR_FORMAT;
    size_t len = (size_t)st.st_size;
    size_t good = 0;
    int code = read_whole(fd, len, &bytes);
    if (code == DP_OK)
        code = index_bytes(segment, bytes, len, next == 0, &good);
    free(bytes);
    segment->bytes = len;
    if (code == DP_OK && next != 0) {
        if (dp_segment_next(segment) > next)
            segment->count = (size_t)(next - segment->first);
        return add_damaged_until(segment, next);
    }
    if (code == DP_OK && good < len) {
        if (ftruncate(fd, (off_t)good) != 0)
            return DP_ERR_IO;
        segment->bytes = good;
    }
    /* What is found here may never have been synced: it is said to be durable from now on. */
    return code == DP_OK && fdatasync(fd) != 0 ? DP_ERR_IO : code;
}

int dp_segment_load(int directory, uint64_t first, uint64_t next, struct dp_segment *ret_segment,
                    struct dp_diag *diag)
{
    char name[32];
    dp_segment_name(first, name);
    struct dp_segment segment = {.first = first};
    int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO,
                       "The spool's file %s can't be opened: %s.", name, strerror(errno));
    errno = 0;
    int code = load_open(fd, next, &segment);
    int error = errno;
    (void)close(fd);
    if (code != DP_OK) {
        dp_segment_free(&segment);
        return dp_fail(diag, code, "The spool's file %s can't be read: %s.", name,
                       error ? strerror(error) : dp_err_sentence(code));
    }
    *ret_segment = segment;
    return DP_OK;
}

int dp_segment_append(struct dp_segment *segment, int fd, uint32_t records, uint32_t crc32c,
                      const uint8_t *payload, size_t len)
{
    struct header header = {dp_segment_next(segment), (uint32_t)len, records, crc32c};
    uint8_t bytes[DP_SEGMENT_HEADER];
    pack_header(&header, bytes);
    struct iovec parts[2] = {
        {.iov_base = bytes, .iov_len = sizeof bytes},
        {.iov_base = (void *)(uintptr_t)payload, .iov_len = len},
    };
    struct dp_segment_record record = {
        .offset = (uint32_t)segment->bytes + DP_SEGMENT_HEADER,
        .len = (uint32_t)len,
        .records = records,
        .crc32c = crc32c,
    };
    int code = add_record(segment, &record);
    if (code != DP_OK)
        return code;
    ssize_t written = pwritev(fd, parts, 2, (off_t)segment->bytes);
    if (written != (ssize_t)(sizeof bytes + len)) {
        bool full = written >= 0 || errno == ENOSPC || errno == EDQUOT;
        segment->count--;
        /* Half a record would be cut off at the next start; the next append overwrites it anyway. */
        (void)!ftruncate(fd, (off_t)segment->bytes);
        return full ? DP_ERR_FULL : DP_ERR_IO;
    }
    segment->bytes += sizeof bytes + len;
    return DP_OK;
}

int dp_segment_read(const struct dp_segment *segment, int fd, uint64_t number,
                    struct dp_segment_record *ret_record, uint8_t **ret_payload)
{
    const struct dp_segment_record *record = &segment->index[number - segment->first];
    if (record->damaged)
        return DP_ERR_FORMAT;
    uint8_t *payload = malloc(record->len ? record->len : 1);
    if (!payload)
        return DP_ERR_NOMEM;
    size_t got = 0;
    while (got < record->len) {
        ssize_t n = pread(fd, payload + got, record->len - got, (off_t)(record->offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            free(payload);
            return n < 0 ? DP_ERR_IO : DP_ERR_FORMAT;
        }
        got += (size_t)n;
    }
    if (dp_crc32c(0, payload, record->len) != record->crc32c) {
        free(payload);
        return DP_ERR_FORMAT;
    }
    *ret_record = *record;
    *ret_payload = payload;
    return DP_OK;
}

void dp_segment_free(struct dp_segment *segment)
{
    free(segment->index);
    *segment = (struct dp_segment){0};
}
