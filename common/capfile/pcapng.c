/* pcapng (draft-ietf-opsawg-pcapng): sections in either byte order, interfaces, packets, interface
 * statistics. Blocks of other types are passed over. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/capfile/format.h"

#define BLOCK_SECTION 0x0a0d0d0aU
#define BLOCK_INTERFACE 1U
#define BLOCK_OLD_PACKET 2U
#define BLOCK_SIMPLE_PACKET 3U
#define BLOCK_STATISTICS 5U
#define BLOCK_PACKET 6U

#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define MAX_BLOCK (16U * 1024U * 1024U) /* the bound that Wireshark sets too */
#define MAX_PACKET_OPTIONS (128U * 1024U)
#define MAX_INTERFACES 65536U

#define OPTION_END 0
#define OPTION_SHB_USERAPPL 4
#define OPTION_IF_NAME 2
#define OPTION_IF_TSRESOL 9
#define OPTION_IF_TSOFFSET 14
#define OPTION_EPB_DROPCOUNT 4
#define OPTION_ISB_START 2
#define OPTION_ISB_END 3
#define OPTION_ISB_IFRECV 4
#define OPTION_ISB_IFDROP 5
#define OPTION_ISB_OSDROP 7

/* A block at the source's position, wholly inside the window and with lengths that agree. */
struct block {
    uint32_t type;
    uint32_t len;
    const uint8_t *at;
    uint64_t offset;
};

struct option {
    uint16_t code;
    uint16_t len;
    const uint8_t *value;
};

bool dp_pcapng_is_magic(const uint8_t *head)
{
    uint32_t type;
    memcpy(&type, head, sizeof type);
    return type == BLOCK_SECTION;
}

static int damaged(const struct dp_capfile *file, const struct block *block, const char *why, uint64_t number,
                   struct dp_diag *diag)
{
    return dp_fail(diag, DP_ERR_FORMAT,
                   "%s: the pcapng block of type %" PRIu32 " at byte %" PRIu64 " %s (%" PRIu64
                   "). The file is damaged there: copy it again, or capture anew.",
                   file->source->name, block->type, block->offset, why, number);
}

/* Steps to the next option in [*at, end). False at the end; *ret_code is an error where a length lies. */
static bool next_option(const struct dp_capfile *file, const struct block *block, const uint8_t **at,
                        const uint8_t *end, struct option *ret_option, int *ret_code, struct dp_diag *diag)
{
    if (end - *at < 4)
        return false;
    uint16_t code = dp_get16(file, *at);
    uint16_t len = dp_get16(file, *at + 2);
    if (code == OPTION_END)
        return false;
    size_t padded = ((size_t)len + 3) & ~(size_t)3;
    if ((size_t)(end - *at) - 4 < padded) {
        *ret_code = damaged(file, block, "has an option that is longer than the block", len, diag);
        return false;
    }
    *ret_option = (struct option){code, len, *at + 4};
    *at += 4 + padded;
    return true;
}

static int64_t clamp_ns(__int128 ns)
{
    return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

/* Ticks of an interface to nanoseconds since the epoch, for every resolution; false where that is no possible
 * time. */
static bool ticks_to_ns(const struct dp_interface *interface, uint64_t ticks, int64_t *ret_ns)
{
    unsigned __int128 ns;
    uint8_t power = interface->resolution & 0x7f;
    if (interface->resolution & 0x80) {
        ns = ((unsigned __int128)ticks * DP_NS_PER_S) >> power;
    } else if (power <= 9) {
        ns = ticks;
        for (uint8_t i = power; i < 9; i++)
            ns *= 10;
    } else {
        ns = ticks;
        for (uint8_t i = 9; i < power && ns > 0; i++)
            ns /= 10;
    }
    __int128 all = (__int128)ns + (__int128)interface->offset_s * DP_NS_PER_S;
    *ret_ns = clamp_ns(all);
    return all == *ret_ns;
}

static inline bool stamp(const struct dp_interface *interface, uint32_t high, uint32_t low, int64_t *ret_ns)
{
    uint64_t ticks = (uint64_t)high << 32 | low;
    uint64_t ns;
    if (__builtin_expect(interface->multiplier != 0, 1) &&
        !__builtin_mul_overflow(ticks, interface->multiplier, &ns) && ns <= INT64_MAX) {
        *ret_ns = (int64_t)ns;
        return true;
    }
    return ticks_to_ns(interface, ticks, ret_ns);
}

static int begin_section(struct dp_capfile *file, const struct block *block, struct dp_diag *diag)
{
    if (block->len < 28)
        return damaged(file, block, "is shorter than a section header", block->len, diag);
    uint16_t major = dp_get16(file, block->at + 12);
    uint16_t minor = dp_get16(file, block->at + 14);
    if (major != 1)
        return dp_fail(diag, DP_ERR_UNSUPPORTED, "%s: is pcapng of version %u.%u; only version 1 is known.",
                       file->source->name, major, minor);
    file->interface_count = 0;
    file->stats.exact_times = false;
    struct option option;
    int code = DP_OK;
    const uint8_t *at = block->at + 24;
    while (next_option(file, block, &at, block->at + block->len - 4, &option, &code, diag))
        if (option.code == OPTION_SHB_USERAPPL && option.len >= 9 &&
            memcmp(option.value, "droppoint", 9) == 0)
            file->stats.exact_times = true;
    return code;
}

static int interface_options(struct dp_capfile *file, const struct block *block,
                             struct dp_interface *interface, struct dp_diag *diag)
{
    const uint8_t *at = block->at + 16;
    const uint8_t *end = block->at + block->len - 4;
    struct option option;
    int code = DP_OK;
    while (next_option(file, block, &at, end, &option, &code, diag)) {
        if (option.code == OPTION_IF_NAME) {
            size_t len = option.len < sizeof interface->name - 1 ? option.len : sizeof interface->name - 1;
            memcpy(interface->name, option.value, len);
            interface->name[len] = '\0';
        } else if (option.code == OPTION_IF_TSRESOL) {
            if (option.len != 1)
                return damaged(file, block, "has an if_tsresol of a length other than 1", option.len, diag);
            interface->resolution = option.value[0];
        } else if (option.code == OPTION_IF_TSOFFSET) {
            if (option.len != 8)
                return damaged(file, block, "has an if_tsoffset of a length other than 8", option.len, diag);
            interface->offset_s = (int64_t)dp_get64(file, option.value);
        }
    }
    return code;
}

static int add_interface(struct dp_capfile *file, const struct block *block, struct dp_diag *diag)
{
    if (block->len < 20)
        return damaged(file, block, "is shorter than an interface description", block->len, diag);
    if (file->interface_count == MAX_INTERFACES)
        return damaged(file, block, "describes one interface more than are possible", MAX_INTERFACES, diag);
    if (file->interface_count == file->interface_room) {
        size_t room = file->interface_room ? file->interface_room * 2 : 4;
        struct dp_interface *grown = realloc(file->interfaces, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        file->interfaces = grown;
        file->interface_room = room;
    }
    struct dp_interface interface = {.resolution = 6};
    interface.link_type = dp_get16(file, block->at + 8);
    interface.snaplen = dp_get32(file, block->at + 12);
    int code = interface_options(file, block, &interface, diag);
    if (code != DP_OK)
        return code;
    if (interface.resolution <= 9 && interface.offset_s == 0) {
        interface.multiplier = 1;
        for (uint8_t i = interface.resolution; i < 9; i++)
            interface.multiplier *= 10;
    }
    file->interfaces[file->interface_count++] = interface;
    return DP_OK;
}

static int find_interface(struct dp_capfile *file, const struct block *block, uint32_t number,
                          struct dp_interface **ret_interface, struct dp_diag *diag)
{
    if (number >= file->interface_count)
        return damaged(file, block, "belongs to an interface that was never described", number, diag);
    *ret_interface = &file->interfaces[number];
    return DP_OK;
}

static void take_time(const struct dp_capfile *file, const struct dp_interface *interface,
                      const struct option *option, bool earliest, bool *has, int64_t *value)
{
    int64_t ns;
    if (option->len != 8 ||
        !stamp(interface, dp_get32(file, option->value), dp_get32(file, option->value + 4), &ns))
        return;
    if (!*has || (earliest ? ns < *value : ns > *value))
        *value = ns;
    *has = true;
}

static uint64_t add_up(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Counts run from the capture's start: a later block of the same interface replaces the one before. */
static void take_counts(struct dp_capfile *file, struct dp_interface *interface, bool has_dropped,
                        uint64_t dropped, uint64_t received)
{
    struct dp_capfile_stats *stats = &file->stats;
    if (has_dropped) {
        stats->dropped = add_up(stats->dropped - interface->dropped, dropped);
        stats->has_dropped = true;
        interface->dropped = dropped;
    }
    if (received > 0) {
        file->received = add_up(file->received - interface->received, received);
        interface->received = received;
    }
}

static int read_statistics(struct dp_capfile *file, const struct block *block, struct dp_diag *diag)
{
    if (block->len < 24)
        return damaged(file, block, "is shorter than interface statistics", block->len, diag);
    struct dp_interface *interface = NULL;
    int code = find_interface(file, block, dp_get32(file, block->at + 8), &interface, diag);
    if (code != DP_OK)
        return code;
    struct dp_capfile_stats *stats = &file->stats;
    const uint8_t *at = block->at + 20;
    const uint8_t *end = block->at + block->len - 4;
    struct option option;
    bool has_dropped = false;
    uint64_t dropped = 0;
    uint64_t received = 0;
    while (next_option(file, block, &at, end, &option, &code, diag)) {
        bool number = option.len == 8;
        if (option.code == OPTION_ISB_START) {
            take_time(file, interface, &option, true, &stats->has_start, &stats->start_ns);
        } else if (option.code == OPTION_ISB_END) {
            take_time(file, interface, &option, false, &stats->has_end, &stats->end_ns);
        } else if (option.code == OPTION_ISB_IFRECV && number) {
            received = dp_get64(file, option.value);
        } else if ((option.code == OPTION_ISB_IFDROP || option.code == OPTION_ISB_OSDROP) && number) {
            has_dropped = true;
            dropped = add_up(dropped, dp_get64(file, option.value));
        }
    }
    if (code == DP_OK)
        take_counts(file, interface, has_dropped, dropped, received);
    return code;
}

static void count_drops(struct dp_capfile *file, struct dp_capfile_packet *packet, uint64_t drops)
{
    file->has_packet_drops = true;
    packet->dropped_before = drops;
    file->packet_drops = add_up(file->packet_drops, drops);
}

static int packet_options(struct dp_capfile *file, const struct block *block, const uint8_t *at,
                          struct dp_capfile_packet *packet, struct dp_diag *diag)
{
    const uint8_t *end = block->at + block->len - 4;
    struct option option;
    int code = DP_OK;
    while (next_option(file, block, &at, end, &option, &code, diag)) {
        if (option.code == OPTION_EPB_DROPCOUNT && option.len == 8)
            count_drops(file, packet, dp_get64(file, option.value));
    }
    return code;
}

/* Enhanced Packet Block, and the Packet Block that it replaced, which squeezes a drop count beside a short
 * interface. */
static int read_packet(struct dp_capfile *file, const struct block *block,
                       struct dp_capfile_packet *ret_packet, struct dp_diag *diag)
{
    if (__builtin_expect(block->len < 32, 0))
        return damaged(file, block, "is shorter than a packet block", block->len, diag);
    bool old = block->type == BLOCK_OLD_PACKET;
    uint32_t number = old ? dp_get16(file, block->at + 8) : dp_get32(file, block->at + 8);
    uint32_t captured = dp_get32(file, block->at + 20);
    uint32_t wire = dp_get32(file, block->at + 24);
    if (__builtin_expect(captured > DP_CAPFILE_MAX_PACKET, 0))
        return damaged(file, block, "claims more captured bytes than are possible", captured, diag);
    size_t padded = ((size_t)captured + 3) & ~(size_t)3;
    if (__builtin_expect(padded > block->len - 32, 0))
        return damaged(file, block, "claims more captured bytes than it holds", captured, diag);
    struct dp_interface *interface = NULL;
    int code = find_interface(file, block, number, &interface, diag);
    if (code != DP_OK)
        return code;
    struct dp_capfile_packet packet = {
        .data = block->at + 28,
        .captured = captured,
        .wire_len = wire > captured ? wire : captured,
        .link_type = interface->link_type,
        .interface = number,
        .offset = block->offset,
    };
    if (!stamp(interface, dp_get32(file, block->at + 12), dp_get32(file, block->at + 16), &packet.ts_ns))
        return damaged(file, block, "has a time that is out of range at its interface's resolution",
                       interface->resolution, diag);
    if (old && dp_get16(file, block->at + 10) != 0xffff)
        count_drops(file, &packet, dp_get16(file, block->at + 10));
    if (block->len > 32 + padded) {
        code = packet_options(file, block, packet.data + padded, &packet, diag);
        if (code != DP_OK)
            return code;
    }
    *ret_packet = packet;
    return DP_OK;
}

static int read_simple_packet(struct dp_capfile *file, const struct block *block,
                              struct dp_capfile_packet *ret_packet, struct dp_diag *diag)
{
    if (block->len < 16)
        return damaged(file, block, "is shorter than a packet block", block->len, diag);
    struct dp_interface *interface = NULL;
    int code = find_interface(file, block, 0, &interface, diag);
    if (code != DP_OK)
        return code;
    uint32_t wire = dp_get32(file, block->at + 8);
    uint32_t captured = interface->snaplen > 0 && interface->snaplen < wire ? interface->snaplen : wire;
    if (captured > DP_CAPFILE_MAX_PACKET)
        return damaged(file, block, "claims more captured bytes than are possible", captured, diag);
    if (captured > block->len - 16)
        return damaged(file, block, "claims more captured bytes than it holds", captured, diag);
    *ret_packet = (struct dp_capfile_packet){
        .ts_ns = file->last_ns,
        .data = block->at + 12,
        .captured = captured,
        .wire_len = wire,
        .link_type = interface->link_type,
        .offset = block->offset,
    };
    file->stats.without_time++;
    return DP_OK;
}

/* The file ends before this block does. A packet block whose length cannot fit its packet was a lie, not a
 * cut. */
static int end_inside(struct dp_capfile *file, const struct block *block, struct dp_diag *diag)
{
    bool packet = block->type == BLOCK_PACKET || block->type == BLOCK_OLD_PACKET;
    if (packet && dp_source_have(file->source) >= 28) {
        uint32_t captured = dp_get32(file, block->at + 20);
        if (captured > DP_CAPFILE_MAX_PACKET)
            return damaged(file, block, "claims more captured bytes than are possible", captured, diag);
        if (block->len < 32 + captured || block->len - 32 - captured > MAX_PACKET_OPTIONS)
            return damaged(file, block, "has a length that does not fit its packet", block->len, diag);
    }
    return dp_capfile_end(file, block->len);
}

/* The byte order comes first: it decides how the section header's own length reads. */
static int read_byte_order(struct dp_capfile *file, const struct block *block, struct dp_diag *diag)
{
    uint32_t magic;
    memcpy(&magic, block->at + 8, sizeof magic);
    if (magic != BYTE_ORDER_MAGIC && magic != __builtin_bswap32(BYTE_ORDER_MAGIC))
        return damaged(file, block, "is a section header without the byte-order magic", magic, diag);
    file->swapped = magic != BYTE_ORDER_MAGIC;
    return DP_OK;
}

/* Brings the next block whole into the window and checks its lengths. The source still stands at its start.
 */
static int read_block(struct dp_capfile *file, struct block *ret_block, struct dp_diag *diag)
{
    struct dp_source *source = file->source;
    if (dp_source_have(source) < 12) {
        int code = dp_source_fill(source, 12, diag);
        if (code != DP_OK)
            return code;
        if (dp_source_have(source) < 12)
            return dp_capfile_end(file, 12);
    }
    struct block block = {.at = dp_source_at(source), .offset = dp_source_offset(source)};
    block.type = dp_get32(file, block.at);
    if (__builtin_expect(block.type == BLOCK_SECTION, 0)) {
        int code = read_byte_order(file, &block, diag);
        if (code != DP_OK)
            return code;
    }
    block.len = dp_get32(file, block.at + 4);
    if (__builtin_expect(block.len < 12 || block.len % 4 != 0 || block.len > MAX_BLOCK, 0))
        return damaged(file, &block, "has an impossible length", block.len, diag);
    if (dp_source_have(source) < block.len) {
        int code = dp_source_fill(source, block.len, diag);
        if (code != DP_OK)
            return code;
        block.at = dp_source_at(source);
        if (dp_source_have(source) < block.len)
            return end_inside(file, &block, diag);
    }
    uint32_t trailing = dp_get32(file, block.at + block.len - 4);
    if (__builtin_expect(trailing != block.len, 0))
        return damaged(file, &block, "ends with another length than it begins with", trailing, diag);
    *ret_block = block;
    return DP_OK;
}

static int next_packet(struct dp_capfile *file, struct dp_capfile_packet *ret_packet, struct dp_diag *diag)
{
    for (;;) {
        struct block block;
        int code = read_block(file, &block, diag);
        if (code != DP_OK)
            return code;
        bool packet = false;
        switch (block.type) {
        case BLOCK_PACKET:
        case BLOCK_OLD_PACKET:
            code = read_packet(file, &block, ret_packet, diag);
            packet = true;
            break;
        case BLOCK_SIMPLE_PACKET:
            code = read_simple_packet(file, &block, ret_packet, diag);
            packet = true;
            break;
        case BLOCK_SECTION:
            code = begin_section(file, &block, diag);
            break;
        case BLOCK_INTERFACE:
            code = add_interface(file, &block, diag);
            break;
        case BLOCK_STATISTICS:
            code = read_statistics(file, &block, diag);
            break;
        default:
            break;
        }
        if (code != DP_OK)
            return code;
        file->source->pos += block.len;
        if (packet)
            return DP_OK;
    }
}

int dp_pcapng_begin(struct dp_capfile *file, struct dp_diag *diag)
{
    /* The section header is checked now, so that opening tells whether the file is one. */
    struct block block;
    int code = read_block(file, &block, diag);
    if (code == DP_ERR_END)
        return dp_fail(diag, DP_ERR_FORMAT, "%s: ends inside the pcapng section header.", file->source->name);
    if (code == DP_OK)
        code = begin_section(file, &block, diag);
    if (code != DP_OK)
        return code;
    file->source->pos += block.len;
    file->next = next_packet;
    return DP_OK;
}
