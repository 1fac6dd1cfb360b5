/* Any bytes as a server's answer to a hello of each version. */
#include <stdlib.h>

#include "agent/probe/tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int v = TLS_SSL2; v < TLS_VERSIONS; v++) {
        struct tls_answer part = tls_answer_read((enum tls_version)v, data, size, false);
        struct tls_answer whole = tls_answer_read((enum tls_version)v, data, size, true);
        // what is decided stays so when the peer is done, and then nothing is open any more
        if (whole.kind == TLS_ANSWER_MORE || (part.kind != TLS_ANSWER_MORE && part.kind != whole.kind) ||
            part.ssl2_count > 16 || part.dh_bits > 65535 * 8)
            abort();
    }
    return 0;
}
