/* A probe's record from outside. One that decodes encodes again, and comes back the same. The first byte 0:
 * what follows is the record. Else what follows is its JSON: no mutation finds its way through zstd. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/probe_record/probe_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(const uint8_t *data, size_t size)
{
    json_t *record = NULL, *back = NULL;
    struct dp_diag diag = {""};
    int rc = dp_probe_record_decode(data, size, &record, &diag);
    if (rc != DP_OK) {
        if (rc == DP_ERR_FORMAT && diag.text[0] == '\0')
            abort();
        return;
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    rc = dp_probe_record_encode(record, &bytes, &len);
    if (rc == DP_OK && dp_probe_record_decode(bytes, len, &back, &diag) != DP_OK)
        abort();
    free(bytes);
    json_decref(record);
    json_decref(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEADER = 4 };
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        try_record(data + 1, size - 1);
        return 0;
    }
    size_t room = HEADER + ZSTD_compressBound(size - 1);
    uint8_t *bytes = malloc(room);
    if (!bytes)
        return 0;
    memcpy(bytes, "dpr\x01", HEADER);
    size_t packed = ZSTD_compress(bytes + HEADER, room - HEADER, data + 1, size - 1, 1);
    if (!ZSTD_isError(packed))
        try_record(bytes, HEADER + packed);
    free(bytes);
    return 0;
}
