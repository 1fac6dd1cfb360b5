/* What the readers of pcap and pcapng share. Private to capfile. */
#ifndef DROPPOINT_COMMON_CAPFILE_FORMAT_H
#define DROPPOINT_COMMON_CAPFILE_FORMAT_H

#include <string.h>

#include "common/capfile/capfile.h"
#include "common/capfile/source.h"

#define DP_NS_PER_S 1000000000

/* A pcapng interface of the section that is being read. */
struct dp_interface {
    int link_type;
    uint32_t snaplen;    /* 0: unlimited */
    uint8_t resolution;  /* if_tsresol as it stands */
    uint64_t multiplier; /* ticks to ns, where that is a whole number and no offset is set; else 0 */
    int64_t offset_s;    /* if_tsoffset */
    uint64_t dropped;    /* of its latest statistics block */
    uint64_t received;   /* as well: isb_ifrecv */
    char name[64];
};

struct dp_capfile {
    struct dp_source *source;
    int (*next)(struct dp_capfile *, struct dp_capfile_packet *, struct dp_diag *);
    bool swapped; /* numbers stand in the other byte order than this machine's */
    int ended;    /* what the last call answered: DP_ERR_END or an error; DP_OK while it goes on */
    struct dp_diag ended_diag;
    struct dp_capfile_stats stats;
    int64_t first_ns, last_ns; /* of the packets */

    /* pcap */
    int link_type;
    size_t header_size; /* of a record */
    uint32_t tick_ns;
    uint32_t max_captured;
    uint16_t minor;

    /* pcapng */
    struct dp_interface *interfaces;
    size_t interface_count, interface_room;
    uint64_t received; /* isb_ifrecv over all interfaces; 0 where the file does not say */
    bool has_packet_drops;
    uint64_t packet_drops; /* sum of dropped_before */
};

static inline uint16_t dp_get16(const struct dp_capfile *file, const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return file->swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t dp_get32(const struct dp_capfile *file, const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return file->swapped ? __builtin_bswap32(value) : value;
}

static inline uint64_t dp_get64(const struct dp_capfile *file, const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return file->swapped ? __builtin_bswap64(value) : value;
}

/* Read the file's head; the source stands at its first record (pcap) or section (pcapng) afterwards. */
int dp_pcap_begin(struct dp_capfile *file, struct dp_diag *diag) DP_MUST_CHECK;
int dp_pcapng_begin(struct dp_capfile *file, struct dp_diag *diag) DP_MUST_CHECK;
bool dp_pcap_is_magic(const uint8_t *head);
bool dp_pcapng_is_magic(const uint8_t *head);

/* Ends the file: cleanly where nothing is left, else as cut inside a record that needs `need` bytes. */
int dp_capfile_end(struct dp_capfile *file, size_t need);

#endif
