#include "common/capfile/capfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/capfile/format.h"

static bool looks_like_text(const uint8_t *head, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool printable = head[i] >= 0x20 && head[i] < 0x7f;
        if (!printable && head[i] != '\n' && head[i] != '\r' && head[i] != '\t')
            return false;
    }
    return len > 0;
}

/* What a file that is no capture seems to be, for the message. */
static const char *looks_like(const uint8_t *head, size_t len)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *what;
    } known[] = {
        {"\xfd"
         "7zXZ",
         5, "an xz archive; unpack it first"},
        {"BZh", 3, "a bzip2 archive; unpack it first"},
        {"PK\x03\x04", 4, "a zip archive; unpack it first"},
        {"\x02\x21\x4c\x18", 4, "an lz4 file of the legacy kind; unpack it first"},
        {"snoop\0", 6, "a snoop capture; convert it with editcap"},
        {"XCP\0", 4, "a Network Associates Sniffer capture; convert it with editcap"},
        {"GMBU", 4, "a Microsoft Network Monitor capture; convert it with editcap"},
        {"\x7f"
         "ELF",
         4, "a program"},
        {"%PDF", 4, "a PDF document"},
        {"\x1f\x8b", 2, "gzip data"},
        {"\x28\xb5\x2f\xfd", 4, "zstd data"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (len >= known[i].len && memcmp(head, known[i].magic, known[i].len) == 0)
            return known[i].what;
    }
    return looks_like_text(head, len) ? "text" : NULL;
}

static int not_a_capture(const struct dp_source *source, struct dp_diag *diag)
{
    size_t have = dp_source_have(source);
    const char *what = have >= 4 ? looks_like(dp_source_at(source), have < 64 ? have : 64) : NULL;
    const char *packed = source->decoder ? " after decompression" : "";
    if (have < 4)
        return dp_fail(diag, DP_ERR_FORMAT, "%s: is too short%s for a capture file (%zu bytes).",
                       source->name, packed, have);
    if (what)
        return dp_fail(diag, DP_ERR_FORMAT, "%s: is not a pcap or pcapng file; it looks like %s%s.",
                       source->name, what, packed);
    return dp_fail(diag, DP_ERR_FORMAT, "%s: is not a pcap or pcapng file%s.", source->name, packed);
}

static int begin(struct dp_capfile *file, struct dp_diag *diag)
{
    int code = dp_source_fill(file->source, 24, diag);
    if (code != DP_OK)
        return code;
    const uint8_t *head = dp_source_at(file->source);
    bool enough = dp_source_have(file->source) >= 4;
    if (enough && dp_pcap_is_magic(head))
        return dp_pcap_begin(file, diag);
    if (enough && dp_pcapng_is_magic(head))
        return dp_pcapng_begin(file, diag);
    return not_a_capture(file->source, diag);
}

static int capfile_new(struct dp_source *source, struct dp_capfile **ret_file, struct dp_diag *diag)
{
    struct dp_capfile *file = calloc(1, sizeof *file);
    if (!file) {
        dp_source_close(source);
        return DP_ERR_NOMEM;
    }
    file->source = source;
    int code = begin(file, diag);
    if (code != DP_OK) {
        dp_capfile_close(file);
        return code;
    }
    *ret_file = file;
    return DP_OK;
}

int dp_capfile_open(const char *path, struct dp_capfile **ret_file, struct dp_diag *diag)
{
    struct dp_source *source = NULL;
    int code = dp_source_open(path, &source, diag);
    return code == DP_OK ? capfile_new(source, ret_file, diag) : code;
}

int dp_capfile_open_memory(const uint8_t *bytes, size_t len, const char *name, struct dp_capfile **ret_file,
                           struct dp_diag *diag)
{
    struct dp_source *source = NULL;
    int code = dp_source_open_memory(bytes, len, name, &source, diag);
    return code == DP_OK ? capfile_new(source, ret_file, diag) : code;
}

int dp_capfile_end(struct dp_capfile *file, size_t need)
{
    struct dp_capfile_stats *stats = &file->stats;
    size_t have = dp_source_have(file->source);
    uint64_t offset = dp_source_offset(file->source);
    if (have > 0) {
        stats->cut_short = true;
        stats->cut_offset = offset;
        (void)snprintf(stats->cut_text, sizeof stats->cut_text,
                       "ends inside the record at byte %" PRIu64 " (%zu of at least %zu bytes are there)",
                       offset, have, need);
    } else if (file->source->cut) {
        stats->cut_short = true;
        stats->cut_offset = offset;
        (void)snprintf(stats->cut_text, sizeof stats->cut_text,
                       "compressed data end in the middle, after %" PRIu64 " uncompressed bytes", offset);
    }
    return DP_ERR_END;
}

/* Whether the capture received so many more packets than stand here that the file is a part of it: one of
 * several that a capture filled, or cut down afterwards. Some that were under way when it stopped are no
 * sign. */
static bool is_a_part(const struct dp_capfile *file)
{
    uint64_t packets = file->stats.packets;
    uint64_t most = packets + packets / 10 + 16;
    return file->received > most && file->received - most > file->stats.dropped;
}

/* Times that contradict the packets (some writers mix up the unit), or are another file's, are worse than
 * none. */
static void settle_stats(struct dp_capfile *file)
{
    struct dp_capfile_stats *stats = &file->stats;
    if (!stats->has_dropped && file->has_packet_drops) {
        stats->has_dropped = true;
        stats->dropped = file->packet_drops;
    }
    if (is_a_part(file))
        stats->has_start = stats->has_end = false;
    if (stats->packets == 0)
        return;
    const int64_t year = (int64_t)366 * 86400 * DP_NS_PER_S;
    if (stats->has_start && (stats->start_ns > file->first_ns || stats->start_ns < file->first_ns - year))
        stats->has_start = false;
    if (stats->has_end && (stats->end_ns < file->last_ns || stats->end_ns - year > file->last_ns))
        stats->has_end = false;
}

int dp_capfile_next(struct dp_capfile *file, struct dp_capfile_packet *ret_packet, struct dp_diag *diag)
{
    if (file->ended != DP_OK)
        return file->ended == DP_ERR_END ? DP_ERR_END
                                         : dp_fail(diag, file->ended, "%s", file->ended_diag.text);
    int code = file->next(file, ret_packet, &file->ended_diag);
    if (__builtin_expect(code == DP_OK, 1)) {
        if (file->stats.packets++ == 0) {
            file->first_ns = file->last_ns = ret_packet->ts_ns;
        } else {
            file->first_ns = ret_packet->ts_ns < file->first_ns ? ret_packet->ts_ns : file->first_ns;
            file->last_ns = ret_packet->ts_ns > file->last_ns ? ret_packet->ts_ns : file->last_ns;
        }
        return DP_OK;
    }
    file->ended = code;
    if (code == DP_ERR_END) {
        settle_stats(file);
        return code;
    }
    if (file->ended_diag.text[0] == '\0')
        (void)dp_fail(&file->ended_diag, code, "%s: %s", file->source->name, dp_err_sentence(code));
    return dp_fail(diag, code, "%s", file->ended_diag.text);
}

const struct dp_capfile_stats *dp_capfile_stats(const struct dp_capfile *file)
{
    return &file->stats;
}

const char *dp_capfile_interface_name(const struct dp_capfile *file, uint32_t interface)
{
    return interface < file->interface_count ? file->interfaces[interface].name : "";
}

uint64_t dp_capfile_size(const struct dp_capfile *file)
{
    return file->source->raw_size;
}

double dp_capfile_progress(const struct dp_capfile *file)
{
    const struct dp_source *source = file->source;
    return source->raw_size ? (double)source->raw_done / (double)source->raw_size : 1.0;
}

void dp_capfile_close(struct dp_capfile *file)
{
    if (!file)
        return;
    dp_source_close(file->source);
    free(file->interfaces);
    free(file);
}
