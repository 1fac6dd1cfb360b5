/* An SMTP dialogue: pieces of a length byte, a byte whose lowest bit says who sends and whose others how much
 * the snap length cuts, and the payload. The batch that comes of it must encode. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAW = 101, HEADERS = 40 };

static const uint8_t key[DP_HASH_KEY_SIZE] = "0123456789abcde";

static void digest_piece(struct dp_digester *digester, bool server, uint32_t seq, const uint8_t *payload,
                         size_t len, size_t cut, struct dp_batch *batch)
{
    uint8_t frame[HEADERS + 255] = {
        0x45, 0, 0, 0,   0,  0,   0, 0,    64,   6, 0,  0,           192,
        0,    2, 1, 198, 51, 100, 9, 0x9c, 0x40, 0, 25, [32] = 0x50, [33] = DP_TCP_ACK};
    frame[2] = (uint8_t)((HEADERS + len) >> 8);
    frame[3] = (uint8_t)(HEADERS + len);
    if (server) {
        memcpy(frame + 12, "\xc6\x33\x64\x09\xc0\x00\x02\x01\x00\x19\x9c\x40", 12);
    }
    for (size_t i = 0; i < 4; i++)
        frame[24 + i] = (uint8_t)(seq >> (24 - 8 * i));
    if (len)
        memcpy(frame + HEADERS, payload, len);
    size_t captured = HEADERS + (cut < len ? len - cut : len);
    /* A copy of the exact size lets AddressSanitizer see a read past the end. */
    uint8_t *exact = malloc(captured);
    if (!exact)
        return;
    memcpy(exact, frame, captured);
    if (dp_digester_frame(digester, RAW, 1, exact, captured, HEADERS + len, batch) != DP_OK)
        abort();
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_digester *digester;
    struct dp_batch batch = {0};
    uint32_t seq[2] = {1000, 5000};
    if (dp_digester_new(key, &digester) != DP_OK)
        return 0;
    while (size >= 2 && batch.digest_count < DP_BATCH_MAX_RECORDS) {
        size_t len = data[0] < size - 2 ? data[0] : size - 2;
        bool server = data[1] & 1;
        digest_piece(digester, server, seq[server], data + 2, len, data[1] >> 1, &batch);
        seq[server] += (uint32_t)len;
        data += 2 + len;
        size -= 2 + len;
    }
    uint8_t *bytes;
    size_t encoded;
    if (dp_batch_encode(&batch, &bytes, &encoded) != DP_OK)
        abort();
    free(bytes);
    dp_digester_free(digester);
    dp_batch_free(&batch);
    return 0;
}
