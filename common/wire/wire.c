#include "common/wire/wire.h"

#include <stdlib.h>

#include "common/wire/rules.h"

/* Two bytes on the wire can become an object of a hundred in memory. A message may take this much, not more.
 */
#define UNPACK_BUDGET (32 * 1024 * 1024)

struct budget {
    size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;
    if (size > budget->left)
        return NULL;
    budget->left -= size;
    return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
    (void)data;
    free(pointer);
}

int dp_wire_pack(Droppoint__Envelope *envelope, uint8_t **ret_bytes, size_t *ret_len)
{
    envelope->version = DP_WIRE_VERSION;
    size_t len = droppoint__envelope__get_packed_size(envelope);
    if (len > DP_WIRE_MAX_MESSAGE)
        return DP_ERR_RANGE;
    uint8_t *bytes = malloc(len);
    if (!bytes)
        return DP_ERR_NOMEM;
    (void)droppoint__envelope__pack(envelope, bytes);
    *ret_bytes = bytes;
    *ret_len = len;
    return DP_OK;
}

static int check_envelope(const Droppoint__Envelope *envelope, struct dp_diag *diag)
{
    if (envelope->version != DP_WIRE_VERSION)
        return dp_fail(diag, DP_ERR_UNSUPPORTED,
                       "The message has protocol version %u, this program speaks %d.", envelope->version,
                       DP_WIRE_VERSION);
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY__NOT_SET)
        return dp_fail(diag, DP_ERR_PROTOCOL, "The message has no body that this program knows.");
    return dp_wire_validate(&envelope->base, diag);
}

static Droppoint__Envelope *unpack_bounded(const uint8_t *bytes, size_t len)
{
    struct budget budget = {UNPACK_BUDGET};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    return droppoint__envelope__unpack(&allocator, len, bytes);
}

int dp_wire_unpack(const uint8_t *bytes, size_t len, Droppoint__Envelope **ret_envelope, struct dp_diag *diag)
{
    if (len > DP_WIRE_MAX_MESSAGE)
        return dp_fail(diag, DP_ERR_PROTOCOL, "The message has %zu bytes, at most %d are allowed.", len,
                       DP_WIRE_MAX_MESSAGE);
    Droppoint__Envelope *envelope = unpack_bounded(bytes, len);
    if (!envelope)
        return dp_fail(diag, DP_ERR_PROTOCOL, "The message is not a droppoint message.");
    int code = check_envelope(envelope, diag);
    if (code != DP_OK) {
        droppoint__envelope__free_unpacked(envelope, NULL);
        return code;
    }
    *ret_envelope = envelope;
    return DP_OK;
}

uint64_t dp_wire_request_of(const uint8_t *bytes, size_t len)
{
    Droppoint__Envelope *envelope = len <= DP_WIRE_MAX_MESSAGE ? unpack_bounded(bytes, len) : NULL;
    uint64_t request = envelope ? envelope->request : 0;
    droppoint__envelope__free_unpacked(envelope, NULL);
    return request;
}
