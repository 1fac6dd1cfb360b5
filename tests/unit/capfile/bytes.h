/* Builds capture files in memory, in either byte order. */
#ifndef DROPPOINT_TESTS_CAPFILE_BYTES_H
#define DROPPOINT_TESTS_CAPFILE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/capfile/capfile.h"

struct bytes {
    uint8_t at[1 << 16];
    size_t len;
    bool big_endian;
};

void put(struct bytes *bytes, const void *data, size_t len);
void put16(struct bytes *bytes, uint16_t value);
void put32(struct bytes *bytes, uint32_t value);
void put64(struct bytes *bytes, uint64_t value);
void set32(struct bytes *bytes, size_t offset, uint32_t value);

void put_pcap_header(struct bytes *bytes, uint32_t magic, uint32_t link_type);
void put_pcap_record(struct bytes *bytes, uint32_t s, uint32_t part, uint32_t captured, uint32_t wire);

/* pcapng. Each returns the offset of the block. */
size_t put_section(struct bytes *bytes);
size_t put_block(struct bytes *bytes, uint32_t type, const struct bytes *body);
size_t put_interface(struct bytes *bytes, uint16_t link_type, const struct bytes *options);
size_t put_packet(struct bytes *bytes, uint32_t interface, uint64_t ticks, uint32_t captured, uint32_t wire,
                  const struct bytes *options);
void put_option(struct bytes *bytes, uint16_t code, const void *value, uint16_t len);
void put_option64(struct bytes *bytes, uint16_t code, uint64_t value);

/* Opens, must work. */
struct dp_capfile *open_bytes(const struct bytes *bytes);
/* Reads to the end or an error and returns that; *ret_count packets were read. */
int read_all(struct dp_capfile *file, uint64_t *ret_count, struct dp_diag *diag);

#endif
