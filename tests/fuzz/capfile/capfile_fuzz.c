/* Any bytes as a capture file: no read outside of them, no endless loop, and what is promised of packets
 * holds. */
#include <stdint.h>
#include <stdlib.h>

#include "common/capfile/capfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Compressed input can hold far more than its size; a few thousand packets show what there is to see. */
#define MAX_PACKETS 5000

static volatile uint8_t sink;

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    int code = dp_capfile_open_memory(data, size, "fuzz", &file, &diag);
    if (code != DP_OK) {
        require(file == NULL && diag.text[0] != '\0');
        return 0;
    }
    struct dp_capfile_packet packet;
    uint64_t count = 0;
    while ((code = dp_capfile_next(file, &packet, &diag)) == DP_OK && count < MAX_PACKETS) {
        require(packet.captured <= DP_CAPFILE_MAX_PACKET);
        require(packet.wire_len >= packet.captured);
        for (size_t i = 0; i < packet.captured; i++)
            sink = packet.data[i];
        sink = (uint8_t)dp_capfile_interface_name(file, packet.interface)[0];
        count++;
    }
    const struct dp_capfile_stats *stats = dp_capfile_stats(file);
    require(stats->packets == count + (code == DP_OK));
    require(!stats->cut_short || stats->cut_text[0] != '\0');
    if (code != DP_OK && code != DP_ERR_END)
        require(diag.text[0] != '\0' && dp_capfile_next(file, &packet, NULL) == code);
    dp_capfile_close(file);
    return 0;
}
