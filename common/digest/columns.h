/* The columns of an encoded batch and the numbers in them. Internal to digest; docs/batch-format.md describes
 * it. */
#ifndef DROPPOINT_COMMON_DIGEST_COLUMNS_H
#define DROPPOINT_COMMON_DIGEST_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest/digest.h"

#define DP_BATCH_MAGIC "dpb\x02" /* the last byte is the version */
#define DP_BATCH_MAGIC_SIZE 4
#define DP_BATCH_MAX_RAW (4U * 1024 * 1024) /* more than the largest batch needs before it is compressed */

/* In the order in which they stand in the encoded batch. */
enum dp_column {
    DP_COL_MASK_LOW,
    DP_COL_MASK_HIGH,
    DP_COL_TIME,
    DP_COL_FLOW,
    DP_COL_FLOW_NUMBER,
    DP_COL_TTL,
    DP_COL_BITS,
    DP_COL_APP,
    DP_COL_MSS,
    DP_COL_WSCALE,
    DP_COL_FLAGS,
    DP_COL_PAYLOAD_LEN,
    DP_COL_IP_LEN,
    DP_COL_HASH_LEN,
    DP_COL_HASH,
    DP_COL_SEQ,
    DP_COL_ACK,
    DP_COL_WINDOW,
    DP_COL_TSVAL,
    DP_COL_TSECR,
    DP_COL_IP_ID,
    DP_COL_SACK_COUNT,
    DP_COL_SACK,
    DP_COL_FLOW_DEF,
    DP_COL_NOTE,
    DP_COL_GAP,
    DP_COLUMNS,
};

/* What a record has in the columns: a bit is set where the field is not what was expected. */
enum dp_mask {
    DP_MASK_DIR = 0x0001, /* the direction itself */
    DP_MASK_FLOW = 0x0002,
    DP_MASK_SEQ = 0x0004,
    DP_MASK_ACK = 0x0008,
    DP_MASK_ACK_NEXT = 0x0010, /* acknowledges all that the other direction sent; nothing in a column */
    DP_MASK_PAYLOAD_LEN = 0x0020,
    DP_MASK_IP_LEN = 0x0040,
    DP_MASK_HASH_LEN = 0x0080,
    DP_MASK_TSVAL = 0x0100,
    DP_MASK_TSECR = 0x0200,
    DP_MASK_TSECR_LAST = 0x0400, /* echoes the other direction's last tsval; nothing in a column */
    DP_MASK_IP_ID = 0x0800,
    DP_MASK_WINDOW = 0x1000,
    DP_MASK_FLAGS = 0x2000,
    DP_MASK_RARE = 0x4000, /* ttl, bits, app, mss and wscale, all of them */
    DP_MASK_SACK = 0x8000,
};

#define DP_DIGEST_BITS_KNOWN                                                                                 \
    (DP_DIGEST_HAS_TS | DP_DIGEST_HAS_IP_ID | DP_DIGEST_FRAGMENT | DP_DIGEST_SACK_PERMITTED |                \
     DP_DIGEST_OPTIONS_CUT)
#define DP_TCP_FLAGS_KNOWN 0x1ff
#define DP_HASH_LEN_MAX 64

/* Signed differences as small unsigned numbers. */
static inline uint64_t dp_zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static inline uint64_t dp_unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

static inline uint32_t dp_zigzag32(uint32_t difference)
{
    return difference << 1 ^ (0 - (difference >> 31));
}

static inline uint32_t dp_unzigzag32(uint32_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

/* Writes 7 bits a byte, low ones first (LEB128): up to 5 bytes for 32 bits, 10 for 64. */
static inline uint8_t *dp_put_number(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Bytes yet to be read. */
struct dp_reader {
    const uint8_t *at, *end;
};

static inline bool dp_get_number(struct dp_reader *reader, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return value <= max;
        }
    }
    return false;
}

#endif
