#include "agent/capture/pipe.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define PIPE_VERSION 1
#define READ_STEP ((size_t)256 * 1024)

static void put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

void dp_pipe_header(enum dp_pipe_type type, uint32_t records, size_t len, uint8_t ret_header[DP_PIPE_HEADER])
{
    ret_header[0] = 'D';
    ret_header[1] = 'P';
    ret_header[2] = PIPE_VERSION;
    ret_header[3] = (uint8_t)type;
    put32(ret_header + 4, (uint32_t)len);
    put32(ret_header + 8, records);
}

struct dp_pipe_reader {
    uint8_t *bytes;
    size_t begin, end, room; /* bytes[begin..end) are not consumed yet */
    bool broken;
};

int dp_pipe_reader_new(struct dp_pipe_reader **ret_reader)
{
    struct dp_pipe_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return DP_ERR_NOMEM;
    *ret_reader = reader;
    return DP_OK;
}

void dp_pipe_reader_free(struct dp_pipe_reader *reader)
{
    if (!reader)
        return;
    free(reader->bytes);
    free(reader);
}

uint8_t *dp_pipe_reader_room(struct dp_pipe_reader *reader, size_t *ret_room)
{
    if (reader->begin == reader->end)
        reader->begin = reader->end = 0;
    if (reader->room - reader->end < READ_STEP / 2 && reader->begin > 0) {
        memmove(reader->bytes, reader->bytes + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    if (reader->room - reader->end < READ_STEP / 2) {
        size_t room = reader->room ? reader->room * 2 : READ_STEP;
        uint8_t *grown = realloc(reader->bytes, room);
        if (!grown)
            return NULL;
        reader->bytes = grown;
        reader->room = room;
    }
    *ret_room = reader->room - reader->end;
    return reader->bytes + reader->end;
}

void dp_pipe_reader_filled(struct dp_pipe_reader *reader, size_t len)
{
    if (len > reader->room - reader->end)
        len = reader->room - reader->end;
    reader->end += len;
}

static bool type_known(uint8_t type)
{
    return (type >= DP_PIPE_CONFIG && type <= DP_PIPE_STOP) || (type >= DP_PIPE_READY && type <= DP_PIPE_END);
}

int dp_pipe_reader_next(struct dp_pipe_reader *reader, struct dp_pipe_message *ret_message)
{
    if (reader->broken)
        return DP_ERR_PROTOCOL;
    size_t held = reader->end - reader->begin;
    if (held < DP_PIPE_HEADER)
        return DP_ERR_END;
    const uint8_t *at = reader->bytes + reader->begin;
    size_t len = get32(at + 4);
    if (at[0] != 'D' || at[1] != 'P' || at[2] != PIPE_VERSION || !type_known(at[3]) ||
        len > DP_PIPE_MAX_PAYLOAD) {
        reader->broken = true;
        return DP_ERR_PROTOCOL;
    }
    if (held - DP_PIPE_HEADER < len)
        return DP_ERR_END;
    *ret_message = (struct dp_pipe_message){
        .type = (enum dp_pipe_type)at[3],
        .records = get32(at + 8),
        .bytes = at + DP_PIPE_HEADER,
        .len = len,
    };
    reader->begin += DP_PIPE_HEADER + len;
    return DP_OK;
}

/* The config's fixed part: key, 4 numbers of 4 bytes, 3 of 8; then five texts, each with its terminator. */
#define CONFIG_FIXED (DP_HASH_KEY_SIZE + 4 * 4 + 3 * 8)

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text) + 1;
    memcpy(at, text, size);
    return at + size;
}

int dp_pipe_config_pack(const struct dp_pipe_config *config, uint8_t **ret_bytes, size_t *ret_len)
{
    size_t len = CONFIG_FIXED + strlen(config->interface) + strlen(config->vantage) +
                 strlen(config->ring_directory) + strlen(config->filter) + strlen(config->own_filter) + 5;
    uint8_t *bytes = malloc(DP_PIPE_HEADER + len);
    if (!bytes)
        return DP_ERR_NOMEM;
    dp_pipe_header(DP_PIPE_CONFIG, 0, len, bytes);
    uint8_t *at = bytes + DP_PIPE_HEADER;
    memcpy(at, config->hash_key, DP_HASH_KEY_SIZE);
    at += DP_HASH_KEY_SIZE;
    put32(at, config->snaplen);
    put32(at + 4, config->duration_ms);
    put32(at + 8, config->uid);
    put32(at + 12, config->gid);
    put64(at + 16, config->max_packets);
    put64(at + 24, config->ring_bytes);
    put64(at + 32, config->buffer_bytes);
    at = put_text(at + 40, config->interface);
    at = put_text(at, config->vantage);
    at = put_text(at, config->ring_directory);
    at = put_text(at, config->filter);
    (void)put_text(at, config->own_filter);
    *ret_bytes = bytes;
    *ret_len = DP_PIPE_HEADER + len;
    return DP_OK;
}

/* Takes one terminated text of at most size - 1 bytes; returns what follows it, NULL where there is none. */
static const uint8_t *get_text(const uint8_t *at, const uint8_t *end, char *text, size_t size)
{
    const uint8_t *stop = at ? memchr(at, 0, (size_t)(end - at)) : NULL;
    if (!stop || (size_t)(stop - at) >= size)
        return NULL;
    memcpy(text, at, (size_t)(stop - at) + 1);
    return stop + 1;
}

int dp_pipe_config_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_config *ret_config)
{
    if (len < CONFIG_FIXED)
        return DP_ERR_PROTOCOL;
    struct dp_pipe_config *config = calloc(1, sizeof *config);
    if (!config)
        return DP_ERR_NOMEM;
    memcpy(config->hash_key, bytes, DP_HASH_KEY_SIZE);
    const uint8_t *at = bytes + DP_HASH_KEY_SIZE;
    const uint8_t *end = bytes + len;
    config->snaplen = get32(at);
    config->duration_ms = get32(at + 4);
    config->uid = get32(at + 8);
    config->gid = get32(at + 12);
    config->max_packets = get64(at + 16);
    config->ring_bytes = get64(at + 24);
    config->buffer_bytes = get64(at + 32);
    at = get_text(at + 40, end, config->interface, sizeof config->interface);
    at = get_text(at, end, config->vantage, sizeof config->vantage);
    at = get_text(at, end, config->ring_directory, sizeof config->ring_directory);
    at = get_text(at, end, config->filter, sizeof config->filter);
    at = get_text(at, end, config->own_filter, sizeof config->own_filter);
    int code = at == end ? DP_OK : DP_ERR_PROTOCOL;
    if (code == DP_OK)
        *ret_config = *config;
    explicit_bzero(config, sizeof *config);
    free(config);
    return code;
}

void dp_pipe_ready_pack(const struct dp_pipe_ready *ready, uint8_t ret_bytes[DP_PIPE_READY_SIZE])
{
    put32(ret_bytes, ready->link_type);
    put32(ret_bytes + 4, ready->snaplen);
}

int dp_pipe_ready_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_ready *ret_ready)
{
    if (len != DP_PIPE_READY_SIZE || get32(bytes) > UINT16_MAX)
        return DP_ERR_PROTOCOL;
    *ret_ready = (struct dp_pipe_ready){.link_type = get32(bytes), .snaplen = get32(bytes + 4)};
    return DP_OK;
}

void dp_pipe_counts_pack(const struct dp_capture_counts *counts, uint8_t ret_bytes[DP_PIPE_COUNTS_SIZE])
{
    put64(ret_bytes, counts->packets);
    put64(ret_bytes + 8, counts->kernel_dropped);
    put64(ret_bytes + 16, (uint64_t)counts->started_ns);
    put64(ret_bytes + 24, (uint64_t)counts->ended_ns);
}

int dp_pipe_counts_unpack(const uint8_t *bytes, size_t len, struct dp_capture_counts *ret_counts)
{
    if (len != DP_PIPE_COUNTS_SIZE)
        return DP_ERR_PROTOCOL;
    *ret_counts = (struct dp_capture_counts){
        .packets = get64(bytes),
        .kernel_dropped = get64(bytes + 8),
        .started_ns = (int64_t)get64(bytes + 16),
        .ended_ns = (int64_t)get64(bytes + 24),
    };
    return DP_OK;
}

/* The text is for a person's terminal: no control characters, always terminated. */
static void copy_text(char *text, size_t size, const uint8_t *bytes, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(bytes[i] < 0x20 || bytes[i] > 0x7e ? '?' : bytes[i]);
    text[n] = '\0';
}

size_t dp_pipe_error_pack(const struct dp_pipe_error *error, uint8_t ret_bytes[DP_PIPE_ERROR_MAX])
{
    size_t len = strnlen(error->text, DP_PIPE_TEXT - 1);
    put32(ret_bytes, (uint32_t)error->code);
    memcpy(ret_bytes + 4, error->text, len);
    return 4 + len;
}

int dp_pipe_error_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_error *ret_error)
{
    if (len < 4 || len >= DP_PIPE_ERROR_MAX)
        return DP_ERR_PROTOCOL;
    int code = (int)(int32_t)get32(bytes);
    if (code >= 0 || code < DP_ERR_END)
        return DP_ERR_PROTOCOL;
    ret_error->code = code;
    copy_text(ret_error->text, sizeof ret_error->text, bytes + 4, len - 4);
    return DP_OK;
}

size_t dp_pipe_end_pack(const struct dp_pipe_end *end, uint8_t ret_bytes[DP_PIPE_END_MAX])
{
    size_t len = strnlen(end->text, DP_PIPE_TEXT - 1);
    dp_pipe_counts_pack(&end->counts, ret_bytes);
    memset(ret_bytes + DP_PIPE_COUNTS_SIZE, 0, DP_PIPE_REASON);
    memcpy(ret_bytes + DP_PIPE_COUNTS_SIZE, end->reason, strnlen(end->reason, DP_PIPE_REASON - 1));
    memcpy(ret_bytes + DP_PIPE_COUNTS_SIZE + DP_PIPE_REASON, end->text, len);
    return DP_PIPE_COUNTS_SIZE + DP_PIPE_REASON + len;
}

int dp_pipe_end_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_end *ret_end)
{
    if (len < DP_PIPE_COUNTS_SIZE + DP_PIPE_REASON || len >= DP_PIPE_END_MAX)
        return DP_ERR_PROTOCOL;
    struct dp_pipe_end end;
    int code = dp_pipe_counts_unpack(bytes, DP_PIPE_COUNTS_SIZE, &end.counts);
    if (code != DP_OK)
        return code;
    const uint8_t *reason = bytes + DP_PIPE_COUNTS_SIZE;
    copy_text(end.reason, sizeof end.reason, reason, strnlen((const char *)reason, DP_PIPE_REASON));
    const uint8_t *text = reason + DP_PIPE_REASON;
    copy_text(end.text, sizeof end.text, text, (size_t)(bytes + len - text));
    *ret_end = end;
    return DP_OK;
}
