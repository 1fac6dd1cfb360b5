/* The wire format's border: packs envelopes, unpacks and validates what arrives. Free of I/O. */
#ifndef DROPPOINT_COMMON_WIRE_WIRE_H
#define DROPPOINT_COMMON_WIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "droppoint.pb-c.h"

#define DP_WIRE_VERSION 1
#define DP_WIRE_MAX_MESSAGE (2 * 1024 * 1024) /* also ZMQ_MAXMSGSIZE */

/* Packs `envelope` (version is filled in). *ret_bytes is malloc'd. DP_ERR_NOMEM; DP_ERR_RANGE over the bound.
 */
int dp_wire_pack(Droppoint__Envelope *envelope, uint8_t **ret_bytes, size_t *ret_len) DP_MUST_CHECK;

/* Unpacks and validates every field: version, body present, enums, names' form, lengths, numbers' ranges,
 * UTF-8 of texts. DP_ERR_PROTOCOL with diag naming message and field; DP_ERR_UNSUPPORTED for another version.
 * Free with droppoint__envelope__free_unpacked(e, NULL). */
int dp_wire_unpack(const uint8_t *bytes, size_t len, Droppoint__Envelope **ret_envelope,
                   struct dp_diag *diag) DP_MUST_CHECK;

/* The request number of a message that dp_wire_unpack refused, for the answer; 0 where it cannot be read. */
uint64_t dp_wire_request_of(const uint8_t *bytes, size_t len);

/* CRC32C (Castagnoli), as in iSCSI (RFC 3720 B.4). Start with crc 0. */
uint32_t dp_crc32c(uint32_t crc, const void *data, size_t len);

/* [a-z0-9][a-z0-9._-]*, at most 63 bytes: agents and paths. */
int dp_wire_name_valid(const char *name);
/* "agent/interface": agent as above, interface 1 to 15 bytes without '/', space or control characters. */
int dp_wire_vantage_valid(const char *vantage);

#endif
