/* Says how large the batches of a capture file's packets are, as an agent would send them.
 *
 * Usage: batch_size FILE...
 * Prints "records payload_bytes" over all files. */
#include <stdio.h>
#include <stdlib.h>

#include "common/capfile/capfile.h"
#include "common/digest/digest.h"

struct sum {
    unsigned long long records, bytes;
};

static void die(const char *file, const struct dp_diag *diag, int code)
{
    fprintf(stderr, "batch_size: %s: %s\n", file, dp_reason(diag, code));
    exit(2);
}

static void seal(const char *file, struct dp_batch *batch, struct sum *sum)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    int code = batch->digest_count ? dp_batch_encode(batch, &bytes, &length) : 0;
    if (code)
        die(file, NULL, code);
    sum->records += batch->digest_count;
    sum->bytes += length;
    free(bytes);
    dp_batch_clear(batch);
}

static void measure(const char *path, struct sum *sum)
{
    static const uint8_t key[DP_HASH_KEY_SIZE] = {1};
    struct dp_diag diag = {""};
    struct dp_capfile *file = NULL;
    struct dp_digester *digester = NULL;
    struct dp_batch batch = {.digests = NULL};
    struct dp_capfile_packet packet;
    int code = dp_capfile_open(path, &file, &diag);
    if (!code)
        code = dp_digester_new(key, &digester);
    while (!code && !(code = dp_capfile_next(file, &packet, &diag))) {
        code = dp_digester_frame(digester, packet.link_type, packet.ts_ns, packet.data, packet.captured,
                                 packet.wire_len, &batch);
        if (batch.digest_count >= DP_BATCH_MAX_RECORDS)
            seal(path, &batch, sum);
    }
    if (code != DP_ERR_END)
        die(path, &diag, code);
    seal(path, &batch, sum);
    dp_batch_free(&batch);
    dp_digester_free(digester);
    dp_capfile_close(file);
}

int main(int argc, char **argv)
{
    struct sum sum = {0, 0};
    for (int i = 1; i < argc; i++)
        measure(argv[i], &sum);
    printf("%llu %llu\n", sum.records, sum.bytes);
    return 0;
}
