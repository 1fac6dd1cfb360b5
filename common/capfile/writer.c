#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/capfile/capfile.h"

/* Stays in the second-level cache between the copying in and the writing out. */
#define BUFFER_SIZE ((size_t)256 * 1024)
#define MAX_COMMENT 65000U
#define PACKET_HEAD 7 /* 32-bit words before a packet's bytes */

struct dp_capwriter {
    int fd;
    int failed; /* errno of the first write that failed */
    char *path;
    uint64_t size;
    uint32_t interface_count;
    size_t used;
    uint8_t buffer[BUFFER_SIZE];
};

static int flush_buffer(struct dp_capwriter *writer)
{
    size_t done = 0;
    while (done < writer->used && writer->failed == 0) {
        ssize_t put = write(writer->fd, writer->buffer + done, writer->used - done);
        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            writer->failed = errno;
    }
    writer->used = 0;
    return writer->failed == 0 ? DP_OK : DP_ERR_IO;
}

static int put(struct dp_capwriter *writer, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        if (writer->used == BUFFER_SIZE && flush_buffer(writer) != DP_OK)
            return DP_ERR_IO;
        size_t part = BUFFER_SIZE - writer->used;
        part = part < len ? part : len;
        memcpy(writer->buffer + writer->used, at, part);
        writer->used += part;
        writer->size += part;
        at += part;
        len -= part;
    }
    return writer->failed == 0 ? DP_OK : DP_ERR_IO;
}

static int put_padded(struct dp_capwriter *writer, const void *bytes, size_t len)
{
    static const uint8_t zeros[4] = {0};
    int code = put(writer, bytes, len);
    return code == DP_OK ? put(writer, zeros, (4 - len % 4) % 4) : code;
}

static int put_option(struct dp_capwriter *writer, uint16_t option, const void *bytes, size_t len)
{
    uint16_t head[2] = {option, (uint16_t)len};
    int code = put(writer, head, sizeof head);
    return code == DP_OK ? put_padded(writer, bytes, len) : code;
}

static size_t option_size(size_t len)
{
    return 4 + ((len + 3) & ~(size_t)3);
}

static int put_section(struct dp_capwriter *writer)
{
    static const char program[] = "droppoint " DROPPOINT_VERSION;
    uint32_t size = (uint32_t)(28 + option_size(sizeof program - 1) + 4);
    struct {
        uint32_t type, len, magic;
        uint16_t major, minor;
        uint32_t section[2];
    } head = {0x0a0d0d0a, size, 0x1a2b3c4d, 1, 0, {UINT32_MAX, UINT32_MAX}};
    uint32_t tail[2] = {0, size}; /* end of options, trailing length */
    _Static_assert(sizeof head == 24, "no padding");
    int code = put(writer, &head, sizeof head);
    if (code == DP_OK)
        code = put_option(writer, 4, program, sizeof program - 1);
    return code == DP_OK ? put(writer, tail, sizeof tail) : code;
}

int dp_capwriter_open(const char *path, struct dp_capwriter **ret_writer, struct dp_diag *diag)
{
    struct dp_capwriter *writer = malloc(sizeof *writer);
    if (!writer)
        return DP_ERR_NOMEM;
    /* The buffer needs no clearing. */
    memset(writer, 0, offsetof(struct dp_capwriter, buffer));
    writer->path = strdup(path);
    if (!writer->path) {
        free(writer);
        return DP_ERR_NOMEM;
    }
    writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (writer->fd < 0) {
        int code = dp_fail(diag, DP_ERR_IO, "%s: cannot be written: %s.", path, strerror(errno));
        free(writer->path);
        free(writer);
        return code;
    }
    int code = put_section(writer);
    if (code != DP_OK) {
        int closed = dp_capwriter_close(writer, diag);
        return closed != DP_OK ? closed : code;
    }
    *ret_writer = writer;
    return DP_OK;
}

int dp_capwriter_interface(struct dp_capwriter *writer, const char *name, int link_type, uint32_t snaplen,
                           uint32_t *ret_interface)
{
    static const uint8_t nanoseconds = 9;
    static const uint32_t end_of_options = 0;
    size_t name_len = strlen(name);
    if (link_type < 0 || link_type > UINT16_MAX || name_len > MAX_COMMENT)
        return DP_ERR_RANGE;
    size_t size = 16 + option_size(name_len) + option_size(1) + 4 + 4;
    uint32_t head[4] = {1, (uint32_t)size, (uint32_t)link_type, snaplen};
    uint32_t trailing = (uint32_t)size;
    /* The link type is a 16 bit field followed by 16 reserved bits. */
    uint16_t type[2] = {(uint16_t)link_type, 0};
    memcpy(&head[2], type, sizeof type);
    int code = put(writer, head, sizeof head);
    if (code == DP_OK)
        code = put_option(writer, 2, name, name_len);
    if (code == DP_OK)
        code = put_option(writer, 9, &nanoseconds, 1);
    if (code == DP_OK)
        code = put(writer, &end_of_options, sizeof end_of_options);
    if (code == DP_OK)
        code = put(writer, &trailing, sizeof trailing);
    if (code == DP_OK)
        *ret_interface = writer->interface_count++;
    return code;
}

/* A packet block without options that the buffer has room for: what a ring at full speed writes. */
static int put_at_once(struct dp_capwriter *writer, const uint32_t head[PACKET_HEAD], const uint8_t *data,
                       size_t captured, size_t size)
{
    uint8_t *at = writer->buffer + writer->used;
    uint32_t trailing = (uint32_t)size;
    memset(at + size - 8, 0, 4); /* padding, as far as what follows does not overwrite it */
    memcpy(at, head, PACKET_HEAD * sizeof *head);
    if (captured)
        memcpy(at + PACKET_HEAD * sizeof *head, data, captured);
    memcpy(at + size - 4, &trailing, sizeof trailing);
    writer->used += size;
    writer->size += size;
    return writer->failed == 0 ? DP_OK : DP_ERR_IO;
}

int dp_capwriter_packet(struct dp_capwriter *writer, uint32_t interface, int64_t ts_ns, const uint8_t *data,
                        size_t captured, size_t wire_len, const char *comment)
{
    static const uint32_t end_of_options = 0;
    if (interface >= writer->interface_count || captured > DP_CAPFILE_MAX_PACKET || wire_len > UINT32_MAX)
        return DP_ERR_RANGE;
    size_t comment_len = comment ? strlen(comment) : 0;
    if (comment_len > MAX_COMMENT)
        comment_len = MAX_COMMENT;
    size_t size = 32 + ((captured + 3) & ~(size_t)3) + (comment_len ? option_size(comment_len) + 4 : 0);
    uint64_t stamp = (uint64_t)ts_ns;
    uint32_t head[PACKET_HEAD] = {6,
                                  (uint32_t)size,
                                  interface,
                                  (uint32_t)(stamp >> 32),
                                  (uint32_t)stamp,
                                  (uint32_t)captured,
                                  (uint32_t)wire_len};
    uint32_t trailing = (uint32_t)size;
    if (comment_len == 0 && size <= BUFFER_SIZE - writer->used)
        return put_at_once(writer, head, data, captured, size);
    int code = put(writer, head, sizeof head);
    if (code == DP_OK)
        code = put_padded(writer, data, captured);
    if (code == DP_OK && comment_len > 0)
        code = put_option(writer, 1, comment, comment_len);
    if (code == DP_OK && comment_len > 0)
        code = put(writer, &end_of_options, sizeof end_of_options);
    return code == DP_OK ? put(writer, &trailing, sizeof trailing) : code;
}

static int put_number(struct dp_capwriter *writer, uint16_t option, uint64_t value)
{
    return put_option(writer, option, &value, sizeof value);
}

static int put_time(struct dp_capwriter *writer, uint16_t option, int64_t ns)
{
    uint32_t halves[2] = {(uint32_t)((uint64_t)ns >> 32), (uint32_t)(uint64_t)ns};
    return put_option(writer, option, halves, sizeof halves);
}

int dp_capwriter_stats(struct dp_capwriter *writer, uint32_t interface, int64_t start_ns, int64_t end_ns,
                       uint64_t received, uint64_t dropped)
{
    if (interface >= writer->interface_count)
        return DP_ERR_RANGE;
    bool has_dropped = dropped != DP_CAPWRITER_UNKNOWN;
    bool has_times = start_ns <= end_ns;
    int64_t stamp_ns = has_times ? end_ns : 0;
    uint32_t size = 20 + (1U + (has_dropped ? 1 : 0) + (has_times ? 2 : 0)) * 12 + 4 + 4;
    uint32_t head[5] = {5, size, interface, (uint32_t)((uint64_t)stamp_ns >> 32),
                        (uint32_t)(uint64_t)stamp_ns};
    uint32_t tail[2] = {0, size}; /* end of options, trailing length */
    int code = put(writer, head, sizeof head);
    if (code == DP_OK && has_times)
        code = put_time(writer, 2, start_ns);
    if (code == DP_OK && has_times)
        code = put_time(writer, 3, end_ns);
    if (code == DP_OK)
        code = put_number(writer, 4, received);
    if (code == DP_OK && has_dropped)
        code = put_number(writer, 5, dropped);
    return code == DP_OK ? put(writer, tail, sizeof tail) : code;
}

uint64_t dp_capwriter_size(const struct dp_capwriter *writer)
{
    return writer->size;
}

int dp_capwriter_flush(struct dp_capwriter *writer)
{
    return flush_buffer(writer);
}

int dp_capwriter_close(struct dp_capwriter *writer, struct dp_diag *diag)
{
    if (!writer)
        return DP_OK;
    (void)flush_buffer(writer);
    int failed = writer->failed;
    if (close(writer->fd) != 0 && failed == 0)
        failed = errno;
    int code = DP_OK;
    if (failed != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s: could not be written: %s.", writer->path, strerror(failed));
    free(writer->path);
    free(writer);
    return code;
}
