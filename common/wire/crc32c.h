/* The fallback of dp_crc32c by itself, so that a test can compare both. Inside of common/wire only. */
#ifndef DROPPOINT_COMMON_WIRE_CRC32C_H
#define DROPPOINT_COMMON_WIRE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t dp_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
