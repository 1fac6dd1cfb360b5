/* Whatever a capture process that was taken over may write to the agent, and the other way. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/pipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(const struct dp_pipe_message *message, struct dp_pipe_config *config)
{
    struct dp_pipe_ready ready;
    struct dp_pipe_error error;
    struct dp_pipe_end end;
    struct dp_capture_counts counts;
    int codes = 0;
    codes +=
        dp_pipe_config_unpack(message->bytes, message->len, config) == DP_OK && strlen(config->filter) > 99;
    codes +=
        dp_pipe_ready_unpack(message->bytes, message->len, &ready) == DP_OK && ready.link_type > UINT16_MAX;
    codes += dp_pipe_counts_unpack(message->bytes, message->len, &counts) == DP_OK;
    if (dp_pipe_error_unpack(message->bytes, message->len, &error) == DP_OK && error.code >= 0)
        abort();
    if (dp_pipe_end_unpack(message->bytes, message->len, &end) == DP_OK &&
        strlen(end.text) >= sizeof end.text)
        abort();
    (void)codes;
}

/* The first byte says in what pieces the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_pipe_reader *reader = NULL;
    struct dp_pipe_config *config = malloc(sizeof *config);
    if (size < 2 || !config || dp_pipe_reader_new(&reader) != DP_OK) {
        free(config);
        return 0;
    }
    size_t step = (size_t)data[0] + 1;
    for (size_t at = 1; at < size;) {
        size_t room = 0;
        uint8_t *to = dp_pipe_reader_room(reader, &room);
        if (!to)
            break;
        size_t part = size - at < step ? size - at : step;
        part = part < room ? part : room;
        memcpy(to, data + at, part);
        dp_pipe_reader_filled(reader, part);
        at += part;
        struct dp_pipe_message message;
        while (dp_pipe_reader_next(reader, &message) == DP_OK)
            unpack(&message, config);
    }
    dp_pipe_reader_free(reader);
    free(config);
    return 0;
}
