#include "agent/capture/ring_writer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/capture/ring.h"
#include "common/capfile/capfile.h"

#define LEAST_FILE (DP_RING_LEAST / DP_RING_FILES)
#define BLOCK_ROOM 192 /* a packet block's head, padding and tail, and the statistics at the end, at most */

struct dp_ring_writer {
    struct dp_capwriter *file;
    uint32_t interface;
    uint32_t snaplen;
    int link_type;
    unsigned number; /* of the file being written */
    uint64_t file_bytes;
    char vantage[96];
};

static void file_name(unsigned number, char name[32])
{
    (void)snprintf(name, 32, "ring-%06u.pcapng", number);
}

/* The highest number that an earlier run left in the current directory. */
static int last_number(unsigned *ret_last, struct dp_diag *diag)
{
    DIR *directory = opendir(".");
    if (!directory)
        return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO,
                       "The ring's directory can't be read: %s.", strerror(errno));
    unsigned last = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        unsigned number = 0;
        char name[32];
        if (sscanf(entry->d_name, "ring-%6u.pcapng", &number) != 1)
            continue;
        file_name(number, name);
        if (strcmp(name, entry->d_name) == 0 && number > last)
            last = number;
    }
    (void)closedir(directory);
    *ret_last = last;
    return DP_OK;
}

static int failed(const struct dp_ring_writer *ring, int code, const struct dp_diag *cause,
                  struct dp_diag *diag)
{
    char name[32];
    file_name(ring->number, name);
    return dp_fail(
        diag, code,
        "The ring of packets can't be written (%s: %.300s). Free some space or lower the ring's bound.", name,
        dp_reason(cause, code));
}

static int open_next(struct dp_ring_writer *ring, struct dp_diag *diag)
{
    char name[32];
    struct dp_diag cause = {""};
    ring->number++;
    /* The oldest goes first, so that the bound holds at every moment. */
    if (ring->number > DP_RING_FILES) {
        file_name(ring->number - DP_RING_FILES, name);
        (void)unlink(name);
    }
    file_name(ring->number, name);
    int code = dp_capwriter_open(name, &ring->file, &cause);
    if (code == DP_OK)
        code = dp_capwriter_interface(ring->file, ring->vantage, ring->link_type, ring->snaplen,
                                      &ring->interface);
    return code == DP_OK ? DP_OK : failed(ring, code, &cause, diag);
}

int dp_ring_writer_open(const char *vantage, int link_type, uint32_t snaplen, uint64_t max_bytes,
                        struct dp_ring_writer **ret_ring, struct dp_diag *diag)
{
    struct dp_ring_writer *ring = calloc(1, sizeof *ring);
    if (!ring)
        return DP_ERR_NOMEM;
    (void)snprintf(ring->vantage, sizeof ring->vantage, "%s", vantage);
    ring->link_type = link_type;
    ring->snaplen = snaplen;
    ring->file_bytes = max_bytes / DP_RING_FILES < LEAST_FILE ? LEAST_FILE : max_bytes / DP_RING_FILES;
    int code = last_number(&ring->number, diag);
    if (code == DP_OK)
        code = open_next(ring, diag);
    if (code != DP_OK) {
        (void)!dp_capwriter_close(ring->file, NULL);
        free(ring);
        return code;
    }
    *ret_ring = ring;
    return DP_OK;
}

static int rotate(struct dp_ring_writer *ring, struct dp_diag *diag)
{
    struct dp_diag cause = {""};
    struct dp_capwriter *file = ring->file;
    ring->file = NULL;
    int code = dp_capwriter_close(file, &cause);
    return code == DP_OK ? open_next(ring, diag) : failed(ring, code, &cause, diag);
}

/* The writer has no words of its own for a write that fails; errno has. */
static int write_failed(const struct dp_ring_writer *ring, int code, struct dp_diag *diag)
{
    struct dp_diag cause;
    (void)snprintf(cause.text, sizeof cause.text, "%s", errno ? strerror(errno) : dp_err_sentence(code));
    return failed(ring, code, &cause, diag);
}

int dp_ring_writer_packet(struct dp_ring_writer *ring, int64_t ts_ns, const uint8_t *frame, size_t captured,
                          size_t wire_len, struct dp_diag *diag)
{
    int code = DP_OK;
    if (dp_capwriter_size(ring->file) + captured + BLOCK_ROOM > ring->file_bytes)
        code = rotate(ring, diag);
    if (code != DP_OK)
        return code;
    /* A packet that is longer than a whole file of a small ring: as much of it as fits. */
    uint64_t used = dp_capwriter_size(ring->file) + BLOCK_ROOM;
    if (used + captured > ring->file_bytes)
        captured = used < ring->file_bytes ? (size_t)(ring->file_bytes - used) : 0;
    code = dp_capwriter_packet(ring->file, ring->interface, ts_ns, frame, captured, wire_len, NULL);
    if (code == DP_OK)
        return DP_OK;
    return write_failed(ring, code, diag);
}

int dp_ring_writer_flush(struct dp_ring_writer *ring, struct dp_diag *diag)
{
    int code = dp_capwriter_flush(ring->file);
    return code == DP_OK ? DP_OK : write_failed(ring, code, diag);
}

int dp_ring_writer_close(struct dp_ring_writer *ring, int64_t start_ns, int64_t end_ns, uint64_t packets,
                         uint64_t dropped, struct dp_diag *diag)
{
    if (!ring)
        return DP_OK;
    int code = DP_OK;
    struct dp_diag cause = {""};
    if (ring->file && start_ns)
        code = dp_capwriter_stats(ring->file, ring->interface, start_ns, end_ns, packets, dropped);
    int closed = dp_capwriter_close(ring->file, &cause);
    if (code == DP_OK)
        code = closed;
    if (code != DP_OK)
        code = failed(ring, code, &cause, diag);
    free(ring);
    return code;
}
