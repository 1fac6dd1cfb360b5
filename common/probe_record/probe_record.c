#include "common/probe_record/probe_record.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define MAGIC "dpr\x01"
#define MAGIC_SIZE 4
#define ZSTD_LEVEL 3
#define TEXT_MAX 4096

json_t *dp_probe_record_result(int64_t started_ns, json_t *result)
{
    return json_pack("{s:I, s:O}", "started_ns", (json_int_t)started_ns, "result", result);
}

json_t *dp_probe_record_error(int64_t started_ns, int code, const char *text)
{
    return json_pack("{s:I, s:s, s:s}", "started_ns", (json_int_t)started_ns, "error", dp_err_name(code),
                     "text", text);
}

int dp_probe_record_encode(const json_t *record, uint8_t **ret_bytes, size_t *ret_len)
{
    char *text = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (!text)
        return DP_ERR_NOMEM;
    size_t length = strlen(text), room = MAGIC_SIZE + ZSTD_compressBound(length);
    uint8_t *bytes = length <= DP_RECORD_MAX_JSON ? malloc(room) : NULL;
    int code = length > DP_RECORD_MAX_JSON ? DP_ERR_FULL : bytes ? DP_OK : DP_ERR_NOMEM;
    size_t packed = 0;
    if (code == DP_OK) {
        memcpy(bytes, MAGIC, MAGIC_SIZE);
        packed = ZSTD_compress(bytes + MAGIC_SIZE, room - MAGIC_SIZE, text, length, ZSTD_LEVEL);
        code = ZSTD_isError(packed)                        ? DP_ERR_NOMEM
               : packed + MAGIC_SIZE > DP_RECORD_MAX_BYTES ? DP_ERR_FULL
                                                           : DP_OK;
    }
    free(text);
    if (code != DP_OK) {
        free(bytes);
        return code;
    }
    *ret_bytes = bytes;
    *ret_len = packed + MAGIC_SIZE;
    return DP_OK;
}

/* --- decoding --- */

static bool text_within(const json_t *object, const char *key, size_t min, size_t max)
{
    const json_t *text = json_object_get(object, key);
    return json_is_string(text) && json_string_length(text) >= min && json_string_length(text) <= max;
}

/* The contract's words: a class, a status, an error's name. */
static bool is_token(const json_t *object, const char *key)
{
    if (!text_within(object, key, 1, 31))
        return false;
    const char *text = json_string_value(json_object_get(object, key));
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

static bool is_status(const json_t *object)
{
    static const char *const words[] = {"ok", "warning", "critical", "unknown"};
    const char *text = json_string_value(json_object_get(object, "status"));
    for (size_t i = 0; text && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], text) == 0)
            return true;
    return false;
}

static const char *wrong_in_result(const json_t *result)
{
    const json_t *duration = json_object_get(result, "duration_ms");
    return !json_is_object(result)                      ? "result"
           : !text_within(result, "agent", 1, 63)       ? "result.agent"
           : !text_within(result, "started_at", 20, 40) ? "result.started_at"
           : !json_is_number(duration) || !isfinite(json_number_value(duration)) ||
                   json_number_value(duration) < 0 || json_number_value(duration) > 1e12
               ? "result.duration_ms"
           : !is_status(result)                               ? "result.status"
           : !is_token(result, "class")                       ? "result.class"
           : !text_within(result, "summary", 0, TEXT_MAX)     ? "result.summary"
           : !text_within(result, "next_step", 0, TEXT_MAX)   ? "result.next_step"
           : !json_is_object(json_object_get(result, "data")) ? "result.data"
                                                              : NULL;
}

static const char *wrong_in_record(const json_t *record)
{
    const json_t *started = json_object_get(record, "started_ns");
    if (!json_is_integer(started) || json_integer_value(started) < 0)
        return "started_ns";
    if (json_object_get(record, "result"))
        return wrong_in_result(json_object_get(record, "result"));
    return !is_token(record, "error") ? "error" : !text_within(record, "text", 0, TEXT_MAX) ? "text" : NULL;
}

static int unpack(const uint8_t *bytes, size_t len, char **ret_text, size_t *ret_len, struct dp_diag *diag)
{
    if (len < MAGIC_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE - 1) != 0)
        return dp_fail(diag, DP_ERR_FORMAT, "These bytes are not a probe's record.");
    if (bytes[MAGIC_SIZE - 1] != (uint8_t)MAGIC[MAGIC_SIZE - 1])
        return dp_fail(
            diag, DP_ERR_FORMAT,
            "The probe's record has format version %u; this program reads version 1. Upgrade the older side.",
            bytes[MAGIC_SIZE - 1]);
    const uint8_t *frame = bytes + MAGIC_SIZE;
    size_t packed = len - MAGIC_SIZE;
    unsigned long long size = ZSTD_getFrameContentSize(frame, packed);
    if (size > DP_RECORD_MAX_JSON || ZSTD_findFrameCompressedSize(frame, packed) != packed)
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The probe's record is corrupt: its compressed part has a bad size.");
    char *text = malloc((size_t)size + 1);
    if (!text)
        return DP_ERR_NOMEM;
    size_t got = ZSTD_decompress(text, (size_t)size, frame, packed);
    if (ZSTD_isError(got) || got != size) {
        free(text);
        return dp_fail(diag, DP_ERR_FORMAT,
                       "The probe's record is corrupt: its compressed part does not unpack.");
    }
    *ret_text = text;
    *ret_len = got;
    return DP_OK;
}

int dp_probe_record_decode(const uint8_t *bytes, size_t len, json_t **ret_record, struct dp_diag *diag)
{
    char *text = NULL;
    size_t length = 0;
    if (len > DP_RECORD_MAX_BYTES)
        return dp_fail(diag, DP_ERR_FORMAT, "The probe's record is larger than a record can be.");
    int code = unpack(bytes, len, &text, &length, diag);
    if (code != DP_OK)
        return code;
    json_error_t error;
    json_t *record = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!record)
        return dp_fail(diag, DP_ERR_FORMAT, "The probe's record is no JSON: %s (byte %d).", error.text,
                       error.position);
    const char *wrong = json_is_object(record) ? wrong_in_record(record) : "the whole";
    if (wrong) {
        json_decref(record);
        return dp_fail(diag, DP_ERR_FORMAT, "The probe's record is wrong: %s.", wrong);
    }
    *ret_record = record;
    return DP_OK;
}
