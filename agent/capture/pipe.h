/* The messages between the agent and droppoint-capture. Both sides run on one host and come from one build,
 * so the form is plain: "DP", version, type; length and records as little-endian 32-bit numbers; then
 * `length` bytes. The capture process parses hostile packets, so the agent believes nothing that it reads
 * here. */
#ifndef DROPPOINT_AGENT_CAPTURE_PIPE_H
#define DROPPOINT_AGENT_CAPTURE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/supervisor.h"

enum dp_pipe_type {
    /* agent to capture process, on its standard input */
    DP_PIPE_CONFIG = 1,
    DP_PIPE_START = 2,
    DP_PIPE_STOP = 3,
    /* capture process to agent, on descriptor DP_PIPE_OUT_FD */
    DP_PIPE_READY = 16,  /* handle open, filter in force, privilege gone */
    DP_PIPE_ERROR = 17,  /* could not prepare; the process ends */
    DP_PIPE_BATCH = 18,  /* an encoded batch; `records` digests */
    DP_PIPE_COUNTS = 19, /* once a second */
    DP_PIPE_END = 20,    /* the capture ended; last message */
};

#define DP_PIPE_OUT_FD 3
#define DP_PIPE_HEADER 12
#define DP_PIPE_MAX_PAYLOAD DP_BATCH_MAX_BYTES

struct dp_pipe_message {
    enum dp_pipe_type type;
    uint32_t records;
    const uint8_t *bytes; /* valid until the reader is touched again */
    size_t len;
};

/* Writes the header that precedes `len` bytes of payload. */
void dp_pipe_header(enum dp_pipe_type type, uint32_t records, size_t len, uint8_t ret_header[DP_PIPE_HEADER]);

/* Puts messages together from bytes that arrive in any pieces. */
struct dp_pipe_reader;

int dp_pipe_reader_new(struct dp_pipe_reader **ret_reader) DP_MUST_CHECK;
void dp_pipe_reader_free(struct dp_pipe_reader *reader);
/* Where the next bytes are to be put, and how many fit (at least 1). NULL: out of memory. */
uint8_t *dp_pipe_reader_room(struct dp_pipe_reader *reader, size_t *ret_room);
/* `len` bytes were put there. */
void dp_pipe_reader_filled(struct dp_pipe_reader *reader, size_t len);
/* The next message. DP_ERR_END: not whole yet; DP_ERR_PROTOCOL: not a message at all, now and ever after. */
int dp_pipe_reader_next(struct dp_pipe_reader *reader, struct dp_pipe_message *ret_message) DP_MUST_CHECK;

#define DP_PIPE_MAX_FILTER 16384

/* What a capture process is told. Lengths include the terminator. */
struct dp_pipe_config {
    uint8_t hash_key[DP_HASH_KEY_SIZE];
    uint32_t snaplen;      /* 0: whole packets */
    uint32_t duration_ms;  /* 0: no bound */
    uint32_t uid, gid;     /* whom to become when started as root; 0: nobody else */
    uint64_t max_packets;  /* 0: no bound */
    uint64_t ring_bytes;   /* 0: no ring */
    uint64_t buffer_bytes; /* 0: default */
    char interface[64];
    char vantage[96];
    char ring_directory[1024];
    char filter[DP_PIPE_MAX_FILTER];
    char own_filter[DP_PIPE_MAX_FILTER];
};

/* *ret_bytes is malloc'd and holds the whole message, header included. DP_ERR_NOMEM. */
int dp_pipe_config_pack(const struct dp_pipe_config *config, uint8_t **ret_bytes,
                        size_t *ret_len) DP_MUST_CHECK;
/* DP_ERR_PROTOCOL. */
int dp_pipe_config_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_config *ret_config) DP_MUST_CHECK;

struct dp_pipe_ready {
    uint32_t link_type; /* LINKTYPE_ number */
    uint32_t snaplen;
};
#define DP_PIPE_READY_SIZE 8
void dp_pipe_ready_pack(const struct dp_pipe_ready *ready, uint8_t ret_bytes[DP_PIPE_READY_SIZE]);
int dp_pipe_ready_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_ready *ret_ready) DP_MUST_CHECK;

#define DP_PIPE_COUNTS_SIZE 32
void dp_pipe_counts_pack(const struct dp_capture_counts *counts, uint8_t ret_bytes[DP_PIPE_COUNTS_SIZE]);
int dp_pipe_counts_unpack(const uint8_t *bytes, size_t len,
                          struct dp_capture_counts *ret_counts) DP_MUST_CHECK;

#define DP_PIPE_REASON 32
#define DP_PIPE_TEXT 512

struct dp_pipe_error {
    int code; /* dp_err, negative */
    char text[DP_PIPE_TEXT];
};
#define DP_PIPE_ERROR_MAX (4 + DP_PIPE_TEXT)
size_t dp_pipe_error_pack(const struct dp_pipe_error *error, uint8_t ret_bytes[DP_PIPE_ERROR_MAX]);
int dp_pipe_error_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_error *ret_error) DP_MUST_CHECK;

struct dp_pipe_end {
    struct dp_capture_counts counts;
    char reason[DP_PIPE_REASON]; /* as in CaptureState */
    char text[DP_PIPE_TEXT];     /* may be empty */
};
#define DP_PIPE_END_MAX (DP_PIPE_COUNTS_SIZE + DP_PIPE_REASON + DP_PIPE_TEXT)
size_t dp_pipe_end_pack(const struct dp_pipe_end *end, uint8_t ret_bytes[DP_PIPE_END_MAX]);
int dp_pipe_end_unpack(const uint8_t *bytes, size_t len, struct dp_pipe_end *ret_end) DP_MUST_CHECK;

#endif
