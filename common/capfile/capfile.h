/* Capture files: reads pcap and pcapng (also gzip, zstd, lz4), writes pcapng. Packets are read one after the
 * other with bounded memory; every length is checked before it is believed. An own reader, because libpcap's
 * savefile reader hides what locating needs: interface statistics and drop counts, several link types and
 * time resolutions in one file, where a damaged file is damaged, and compressed files. */
#ifndef DROPPOINT_COMMON_CAPFILE_CAPFILE_H
#define DROPPOINT_COMMON_CAPFILE_CAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define DP_CAPFILE_MAX_PACKET (1024 * 1024) /* a longer captured length is a lie */

/* One packet of a file. `data` lives until the next call on the same reader. */
struct dp_capfile_packet {
    int64_t ts_ns;
    const uint8_t *data;
    size_t captured;
    size_t wire_len;         /* at least captured */
    int link_type;           /* LINKTYPE_ number of the packet's interface */
    uint32_t interface;      /* pcapng interface number within its section, 0 in pcap */
    uint64_t dropped_before; /* packets that the file says were dropped between the one before and this
                                (epb_dropcount) */
    uint64_t offset;         /* where its record begins in the uncompressed file */
};

/* What the file says about the capture itself, complete once the end is reached (pcapng Interface Statistics
 * Blocks). */
struct dp_capfile_stats {
    uint64_t packets;
    uint64_t without_time; /* packets in Simple Packet Blocks: these carry no time, and get that of the one
                              before */
    bool has_dropped;      /* whether the file says how many were dropped */
    uint64_t dropped; /* ifdrop + osdrop over all interfaces; without statistics the sum of dropped_before */
    bool exact_times; /* droppoint wrote the file: its start and end are the capture's own, to the packet */
    bool has_start, has_end;  /* not where the packets contradict them */
    int64_t start_ns, end_ns; /* isb_starttime, isb_endtime */
    bool cut_short; /* the file ends inside its last record; what came before is good. dp_capfile_cut_text
                       says where */
    uint64_t cut_offset; /* where that record begins in the uncompressed file */
    char cut_text[256];
};

struct dp_capfile;

/* Opens a regular file; what it grows by afterwards is not read. DP_ERR_NOT_FOUND, DP_ERR_IO, DP_ERR_FORMAT
 * (not a capture file; names what it looks like), DP_ERR_UNSUPPORTED (a version of the format), DP_ERR_NOMEM.
 * diag names the file. Any link type is read: whether its frames can be taken apart is the reader's caller's
 * question. */
int dp_capfile_open(const char *path, struct dp_capfile **ret_file, struct dp_diag *diag) DP_MUST_CHECK;

/* The same over bytes in memory, which stay the caller's and must outlive the reader. `name` is for messages.
 */
int dp_capfile_open_memory(const uint8_t *bytes, size_t len, const char *name, struct dp_capfile **ret_file,
                           struct dp_diag *diag) DP_MUST_CHECK;

/* The next packet. DP_ERR_END at the end; a file that is cut inside its last record also ends so, with
 * stats.cut_short set. DP_ERR_FORMAT: corrupt, diag names file and offset. Says the same again when called
 * again. */
int dp_capfile_next(struct dp_capfile *file, struct dp_capfile_packet *ret_packet,
                    struct dp_diag *diag) DP_MUST_CHECK;

const struct dp_capfile_stats *dp_capfile_stats(const struct dp_capfile *file);

/* The interface's if_name in the section being read; "" where the file has none. Lives until the next call.
 */
const char *dp_capfile_interface_name(const struct dp_capfile *file, uint32_t interface);

/* The file's size on disk as it was opened, and how much of it is read (0 to 1). */
uint64_t dp_capfile_size(const struct dp_capfile *file);
double dp_capfile_progress(const struct dp_capfile *file);

void dp_capfile_close(struct dp_capfile *file); /* NULL is fine */

/* Writes pcapng with nanosecond stamps. */
struct dp_capwriter;

/* Creates `path` (mode 0600, truncated). DP_ERR_IO. */
int dp_capwriter_open(const char *path, struct dp_capwriter **ret_writer, struct dp_diag *diag) DP_MUST_CHECK;

/* Adds an interface; returns its number through ret_interface. snaplen 0: unlimited. */
int dp_capwriter_interface(struct dp_capwriter *writer, const char *name, int link_type, uint32_t snaplen,
                           uint32_t *ret_interface) DP_MUST_CHECK;

/* Writes one packet; `comment` may be NULL. */
int dp_capwriter_packet(struct dp_capwriter *writer, uint32_t interface, int64_t ts_ns, const uint8_t *data,
                        size_t captured, size_t wire_len, const char *comment) DP_MUST_CHECK;

/* Writes an interface's statistics (start, end, received, dropped). start_ns > end_ns: the times are not
 * known and left out; so are dropped packets where DP_CAPWRITER_UNKNOWN is given. */
#define DP_CAPWRITER_UNKNOWN UINT64_MAX
int dp_capwriter_stats(struct dp_capwriter *writer, uint32_t interface, int64_t start_ns, int64_t end_ns,
                       uint64_t received, uint64_t dropped) DP_MUST_CHECK;

uint64_t dp_capwriter_size(const struct dp_capwriter *writer); /* bytes written so far */
int dp_capwriter_flush(struct dp_capwriter *writer) DP_MUST_CHECK;
/* Flushes and closes; frees the writer also on failure. NULL is fine. DP_ERR_IO when bytes could not be
 * written. */
int dp_capwriter_close(struct dp_capwriter *writer, struct dp_diag *diag) DP_MUST_CHECK;

#endif
