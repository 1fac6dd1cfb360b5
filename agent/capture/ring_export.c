#include "agent/capture/ring.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capture/ring_select.h"
#include "common/capfile/capfile.h"

#define LINK_TYPES 8   /* a ring has one; a directory used again after a change may have more */
#define BLOCK_BYTES 36 /* of a packet besides its data and padding */

/* The one pcapng writer writes to a path: here to a file in memory, which is emptied as it is handed out. */
struct dp_ring_export {
    char directory[PATH_MAX];
    char vantage[96];
    uint64_t max_bytes;
    struct dp_ring_selector *selector;
    unsigned *files; /* numbers, in order */
    size_t count, at;
    struct dp_capfile *file; /* the one being read; NULL: the next is to be opened */
    struct dp_capwriter *writer;
    int memory;
    uint64_t written, taken; /* offsets in the pcapng file */
    struct {
        int link_type;
        uint32_t interface;
    } interfaces[LINK_TYPES];
    size_t interface_count;
    bool ended;
    uint64_t packets;
    char left_out[256];
    uint8_t piece[DP_RING_PIECE];
};

static int compare_numbers(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a;
    unsigned y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

static int list_files(struct dp_ring_export *e, struct dp_diag *diag)
{
    DIR *directory = opendir(e->directory);
    if (!directory)
        return dp_fail(
            diag,
            errno == ENOENT   ? DP_ERR_NOT_FOUND
            : errno == EACCES ? DP_ERR_DENIED
                              : DP_ERR_IO,
            "The packets of %s can't be read (%s: %s). They are kept only for a while, and only where the "
            "agent's policy lets it keep any.",
            e->vantage, e->directory, strerror(errno));
    size_t room = 0;
    int code = DP_OK;
    for (struct dirent *entry; code == DP_OK && (entry = readdir(directory)) != NULL;) {
        unsigned number = 0;
        int end = 0;
        if (sscanf(entry->d_name, "ring-%6u.pcapng%n", &number, &end) != 1 || end == 0 || entry->d_name[end])
            continue;
        if (e->count == room) {
            room = room ? room * 2 : 16;
            unsigned *grown = realloc(e->files, room * sizeof *grown);
            code = grown ? DP_OK : DP_ERR_NOMEM;
            e->files = grown ? grown : e->files;
        }
        if (code == DP_OK)
            e->files[e->count++] = number;
    }
    (void)closedir(directory);
    if (e->count)
        qsort(e->files, e->count, sizeof *e->files, compare_numbers);
    return code;
}

static int open_memory(struct dp_ring_export *e, struct dp_diag *diag)
{
    char path[64];
    e->memory = memfd_create("droppoint-export", MFD_CLOEXEC);
    if (e->memory < 0)
        return dp_fail(diag, DP_ERR_IO, "Memory for the export can't be had: %s.", strerror(errno));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", e->memory);
    return dp_capwriter_open(path, &e->writer, diag);
}

int dp_ring_export_open(const struct dp_ring_export_options *options, struct dp_ring_export **ret_export,
                        struct dp_diag *diag)
{
    struct dp_ring_export *e = malloc(sizeof *e);
    if (!e)
        return DP_ERR_NOMEM;
    memset(e, 0, offsetof(struct dp_ring_export, piece));
    e->memory = -1;
    e->max_bytes = options->max_bytes;
    int code = DP_OK;
    if (strlen(options->directory) >= sizeof e->directory - 32)
        code = dp_fail(diag, DP_ERR_USAGE, "The ring's directory has too long a name.");
    (void)snprintf(e->directory, sizeof e->directory, "%s", options->directory);
    (void)snprintf(e->vantage, sizeof e->vantage, "%s", options->vantage);
    if (code == DP_OK)
        code = list_files(e, diag);
    if (code == DP_OK)
        code = dp_ring_selector_new(options->flows, options->flow_count, options->cut_payload, &e->selector);
    if (code == DP_OK)
        code = open_memory(e, diag);
    if (code != DP_OK) {
        dp_ring_export_close(e);
        return code;
    }
    *ret_export = e;
    return DP_OK;
}

void dp_ring_export_close(struct dp_ring_export *export)
{
    if (!export)
        return;
    dp_capfile_close(export->file);
    (void)!dp_capwriter_close(export->writer, NULL);
    if (export->memory >= 0)
        (void)close(export->memory);
    dp_ring_selector_free(export->selector);
    free(export->files);
    free(export);
}

static int interface_for(struct dp_ring_export *e, int link_type, uint32_t *ret_interface)
{
    for (size_t i = 0; i < e->interface_count; i++) {
        if (e->interfaces[i].link_type == link_type) {
            *ret_interface = e->interfaces[i].interface;
            return DP_OK;
        }
    }
    if (e->interface_count == LINK_TYPES)
        return DP_ERR_UNSUPPORTED;
    uint32_t interface = 0;
    int code = dp_capwriter_interface(e->writer, e->vantage, link_type, 0, &interface);
    if (code != DP_OK)
        return code;
    e->interfaces[e->interface_count].link_type = link_type;
    e->interfaces[e->interface_count++].interface = interface;
    *ret_interface = interface;
    return DP_OK;
}

static void leave_out(struct dp_ring_export *e, const char *text)
{
    if (!e->left_out[0])
        (void)snprintf(e->left_out, sizeof e->left_out, "%s", text);
}

/* Opens the next file that can be opened. DP_ERR_END: there is none. */
static int next_file(struct dp_ring_export *e)
{
    while (e->at < e->count) {
        char path[PATH_MAX];
        struct dp_diag diag = {""};
        (void)snprintf(path, sizeof path, "%.*s/ring-%06u.pcapng", PATH_MAX - 32, e->directory,
                       e->files[e->at++]);
        int code = dp_capfile_open(path, &e->file, &diag);
        if (code == DP_OK || code == DP_ERR_NOMEM)
            return code;
        /* The ring went on and deleted it, or nothing is written to it yet: neither is a loss that needs
         * words. */
        struct stat st;
        if (stat(path, &st) == 0 && st.st_size > 0)
            leave_out(e, diag.text);
    }
    return DP_ERR_END;
}

static int add_packet(struct dp_ring_export *e, const struct dp_capfile_packet *packet)
{
    size_t take = dp_ring_selector_take(e->selector, packet->link_type, packet->data, packet->captured,
                                        packet->wire_len);
    if (take == 0)
        return DP_OK;
    if (e->max_bytes && dp_capwriter_size(e->writer) + take + BLOCK_BYTES > e->max_bytes) {
        leave_out(e, "The export reached its size bound; later packets are left out.");
        return DP_ERR_END;
    }
    uint32_t interface = 0;
    int code = interface_for(e, packet->link_type, &interface);
    if (code == DP_OK)
        code = dp_capwriter_packet(e->writer, interface, packet->ts_ns, packet->data, take, packet->wire_len,
                                   NULL);
    if (code == DP_OK)
        e->packets++;
    return code;
}

/* Reads on until a piece is full or the ring's end is reached. */
static int fill(struct dp_ring_export *e)
{
    int code = DP_OK;
    while (code == DP_OK && dp_capwriter_size(e->writer) - e->written < DP_RING_PIECE) {
        struct dp_capfile_packet packet;
        struct dp_diag diag = {""};
        if (!e->file && (code = next_file(e)) != DP_OK)
            break;
        code = dp_capfile_next(e->file, &packet, &diag);
        if (code == DP_OK) {
            code = add_packet(e, &packet);
        } else if (code != DP_ERR_NOMEM) {
            if (code != DP_ERR_END)
                leave_out(e, diag.text);
            dp_capfile_close(e->file);
            e->file = NULL;
            code = DP_OK;
        }
    }
    e->ended = code == DP_ERR_END;
    if (code != DP_OK && code != DP_ERR_END)
        return code;
    code = dp_capwriter_flush(e->writer);
    e->written = dp_capwriter_size(e->writer);
    return code;
}

int dp_ring_export_next(struct dp_ring_export *export, const uint8_t **ret_bytes, size_t *ret_len,
                        struct dp_diag *diag)
{
    struct dp_ring_export *e = export;
    if (e->taken == e->written) {
        if (e->ended)
            return DP_ERR_END;
        /* What was handed out needs no memory any more; the writer goes on behind the hole. */
        if (ftruncate(e->memory, 0) != 0)
            return dp_fail(diag, DP_ERR_IO, "Memory for the export can't be given back: %s.",
                           strerror(errno));
        int code = fill(e);
        if (code != DP_OK)
            return dp_fail(diag, code, "The packets of %s can't be exported: %s", e->vantage,
                           dp_err_sentence(code));
        if (e->taken == e->written)
            return DP_ERR_END;
    }
    size_t len = e->written - e->taken < DP_RING_PIECE ? (size_t)(e->written - e->taken) : DP_RING_PIECE;
    ssize_t got = pread(e->memory, e->piece, len, (off_t)e->taken);
    if (got <= 0)
        return dp_fail(diag, DP_ERR_IO, "The export can't be read back from memory.");
    e->taken += (uint64_t)got;
    *ret_bytes = e->piece;
    *ret_len = (size_t)got;
    return DP_OK;
}

uint64_t dp_ring_export_packets(const struct dp_ring_export *export)
{
    return export->packets;
}

const char *dp_ring_export_left_out(const struct dp_ring_export *export)
{
    return export->left_out;
}
