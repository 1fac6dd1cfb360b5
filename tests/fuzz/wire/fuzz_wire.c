/* Any bytes as a message: refused or valid; what is valid can be packed and is valid again. */
#include <stdlib.h>

#include "common/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_diag diag = {""};
    Droppoint__Envelope *envelope = NULL;
    (void)dp_wire_request_of(data, size);
    if (dp_wire_unpack(data, size, &envelope, &diag) != DP_OK) {
        if (diag.text[0] == '\0' || envelope)
            abort();
        return 0;
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    Droppoint__Envelope *again = NULL;
    if (dp_wire_pack(envelope, &bytes, &len) == DP_OK && dp_wire_unpack(bytes, len, &again, NULL) != DP_OK)
        abort();
    free(bytes);
    droppoint__envelope__free_unpacked(again, NULL);
    droppoint__envelope__free_unpacked(envelope, NULL);
    return 0;
}
