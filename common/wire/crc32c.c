/* CRC32C: the processor's instruction where it has one, else a table of nibbles. Debian 12's libcrc32c would
 * bring a C++ runtime into the capture path for these lines. */
#include <string.h>

#include "common/wire/crc32c.h"
#include "common/wire/wire.h"

/* The reflected polynomial 0x82f63b78, a nibble at a time: 64 bytes of table, constant, so no initialization.
 */
static uint32_t crc_portable(uint32_t crc, const unsigned char *p, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; len > 0; len--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const unsigned char *p,
                                                               size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--)
        crc = _mm_crc32_u8(crc, *p++);
    return crc;
}

static uint32_t crc_best(uint32_t crc, const unsigned char *p, size_t len)
{
    return __builtin_cpu_supports("sse4.2") ? crc_hardware(crc, p, len) : crc_portable(crc, p, len);
}
#else
static uint32_t crc_best(uint32_t crc, const unsigned char *p, size_t len)
{
    return crc_portable(crc, p, len);
}
#endif

uint32_t dp_crc32c(uint32_t crc, const void *data, size_t len)
{
    return len == 0 ? crc : ~crc_best(~crc, data, len);
}

uint32_t dp_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    return len == 0 ? crc : ~crc_portable(~crc, data, len);
}
