/* The classic pcap format (pcap-savefile(5), draft-ietf-opsawg-pcap): also with nanoseconds, in either byte
 * order, and with the longer records of Alexey Kuznetsov's tcpdump. */
#include <inttypes.h>

#include "common/capfile/format.h"

#define MAGIC_MICRO 0xa1b2c3d4U
#define MAGIC_NANO 0xa1b23c4dU
#define MAGIC_MODIFIED 0xa1b2cd34U

#define FILE_HEADER 24
#define RECORD_HEADER 16
#define MODIFIED_RECORD_HEADER 24

/* What libpcap takes as the largest sensible snap length: writers that set less have been seen to exceed it.
 */
#define LARGEST_SNAPLEN 262144U

static bool is_magic(uint32_t magic)
{
    return magic == MAGIC_MICRO || magic == MAGIC_NANO || magic == MAGIC_MODIFIED;
}

bool dp_pcap_is_magic(const uint8_t *head)
{
    uint32_t magic;
    memcpy(&magic, head, sizeof magic);
    return is_magic(magic) || is_magic(__builtin_bswap32(magic));
}

/* Old writers put the two lengths the other way round: version below 2.3 always, 2.3 sometimes. */
static void unswap_lengths(const struct dp_capfile *file, uint32_t *captured, uint32_t *wire)
{
    if (file->minor < 3 || (file->minor == 3 && *captured > *wire)) {
        uint32_t other = *captured;
        *captured = *wire;
        *wire = other;
    }
}

static int next_packet(struct dp_capfile *file, struct dp_capfile_packet *ret_packet, struct dp_diag *diag)
{
    struct dp_source *source = file->source;
    size_t header = file->header_size;
    if (dp_source_have(source) < header) {
        int code = dp_source_fill(source, header, diag);
        if (code != DP_OK)
            return code;
        if (dp_source_have(source) < header)
            return dp_capfile_end(file, header);
    }
    const uint8_t *at = dp_source_at(source);
    uint32_t captured = dp_get32(file, at + 8);
    uint32_t wire = dp_get32(file, at + 12);
    if (file->minor <= 3)
        unswap_lengths(file, &captured, &wire);
    if (captured > file->max_captured)
        return dp_fail(diag, DP_ERR_FORMAT,
                       "%s: the packet record at byte %" PRIu64 " claims %" PRIu32
                       " captured bytes; at most %" PRIu32
                       " are possible. The file is damaged there: copy it again, or capture anew.",
                       source->name, dp_source_offset(source), captured, file->max_captured);
    size_t size = header + captured;
    if (dp_source_have(source) < size) {
        int code = dp_source_fill(source, size, diag);
        if (code != DP_OK)
            return code;
        if (dp_source_have(source) < size)
            return dp_capfile_end(file, size);
        at = dp_source_at(source);
    }
    ret_packet->ts_ns =
        (int64_t)dp_get32(file, at) * DP_NS_PER_S + (int64_t)dp_get32(file, at + 4) * (int64_t)file->tick_ns;
    ret_packet->data = at + header;
    ret_packet->captured = captured;
    ret_packet->wire_len = wire > captured ? wire : captured;
    ret_packet->link_type = file->link_type;
    ret_packet->interface = 0;
    ret_packet->dropped_before = 0;
    ret_packet->offset = dp_source_offset(source);
    source->pos += size;
    return DP_OK;
}

int dp_pcap_begin(struct dp_capfile *file, struct dp_diag *diag)
{
    struct dp_source *source = file->source;
    if (dp_source_have(source) < FILE_HEADER)
        return dp_fail(diag, DP_ERR_FORMAT,
                       "%s: ends inside the pcap file header (%zu of %d bytes are there).", source->name,
                       dp_source_have(source), FILE_HEADER);
    const uint8_t *at = dp_source_at(source);
    file->swapped = !is_magic(dp_get32(file, at));
    uint32_t magic = dp_get32(file, at);
    uint16_t major = dp_get16(file, at + 4);
    file->minor = dp_get16(file, at + 6);
    /* 543.0 is DG/UX's tcpdump; its lengths stand the old way round. */
    if (major != 2 && !(major == 543 && file->minor == 0))
        return dp_fail(diag, DP_ERR_UNSUPPORTED, "%s: is pcap of version %u.%u; only version 2 is known.",
                       source->name, major, file->minor);
    uint32_t snaplen = dp_get32(file, at + 16);
    file->max_captured = snaplen > 0 && snaplen <= LARGEST_SNAPLEN ? LARGEST_SNAPLEN : DP_CAPFILE_MAX_PACKET;
    file->tick_ns = magic == MAGIC_NANO ? 1 : 1000;
    file->header_size = magic == MAGIC_MODIFIED ? MODIFIED_RECORD_HEADER : RECORD_HEADER;
    file->link_type =
        (int)(dp_get32(file, at + 20) & 0x03ffffffU); /* the rest tells of frame check sequences */
    file->next = next_packet;
    source->pos += FILE_HEADER;
    return DP_OK;
}
