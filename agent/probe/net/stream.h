/* A connected TCP socket as a stream of bytes, in the clear or inside TLS, on the loop. Never blocks; a peer
 * that does not read cannot make it grow without bound. */
#ifndef DROPPOINT_AGENT_PROBE_NET_STREAM_H
#define DROPPOINT_AGENT_PROBE_NET_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/probe/net/target.h"
#include "common/err/err.h"

#define DP_STREAM_SEND_MAX (32U * 1024 * 1024) /* bytes that may wait to be sent */

enum dp_stream_end {
    DP_STREAM_EOF,   /* the peer closed (FIN, or TLS close_notify) */
    DP_STREAM_RESET, /* RST, also one that came while sending */
    DP_STREAM_ERROR, /* anything else; `why` tells */
};

struct dp_stream;

/* Any of them may drop the stream from within. */
struct dp_stream_events {
    /* Bytes of the peer, decrypted where TLS is on. Nothing is kept back. */
    void (*data)(void *context, const char *bytes, size_t length);
    /* Once, no calls after it. `why` is a clause. */
    void (*closed)(void *context, enum dp_stream_end end, const char *why);
    /* The handshake that dp_stream_start_tls began is over. On failure `why` is a clause ("the peer speaks no
     * TLS: wrong version number") and closed() does not follow: the stream is of no more use. NULL where no
     * TLS is ever started. */
    void (*secure)(void *context, bool done, const char *why);
    /* All that was given to dp_stream_send has gone to the kernel. NULL: nobody asks. */
    void (*sent)(void *context);
};

/* Takes `fd` over, also when it fails. `events` and `context` outlive the stream. DP_ERR_NOMEM, DP_ERR_IO. */
int dp_stream_new(uv_loop_t *loop, int fd, const struct dp_stream_events *events, void *context,
                  struct dp_stream **ret_stream) DP_MUST_CHECK;
/* Copies and sends as the peer takes it. What fails shows in closed(). DP_ERR_FULL, DP_ERR_NOMEM. */
int dp_stream_send(struct dp_stream *stream, const void *bytes, size_t length) DP_MUST_CHECK;
/* Bytes in the clear that are there already and were not handed to data() yet. After a reply to STARTTLS
 * there must be none: what is there was slipped in. Returns how many were put into `bytes`. */
size_t dp_stream_take_waiting(struct dp_stream *stream, char *bytes, size_t size);
/* Begins a handshake as client with an SSL made by dp_tls_session (taken over, also when it fails). All that
 * was to be sent before must be sent. DP_ERR_NOMEM. */
int dp_stream_start_tls(struct dp_stream *stream, SSL *ssl) DP_MUST_CHECK;
/* For questions on the session; NULL in the clear. Borrowed. */
SSL *dp_stream_ssl(const struct dp_stream *stream);
/* This end's address; false where it cannot be told. */
bool dp_stream_local(const struct dp_stream *stream, union dp_address *ret_address);
/* Bytes that the kernel sent or holds and that the peer has not acknowledged (SIOCOUTQ); -1: not known. */
int dp_stream_unacknowledged(const struct dp_stream *stream);
/* Closes the socket, with close_notify where TLS is on. NULL is fine. */
void dp_stream_drop(struct dp_stream *stream);

#endif
