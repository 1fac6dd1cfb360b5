#include "agent/probe/net/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/net/handles.h"

#define READ_BYTES 16384
#define READS_AT_ONCE 8 /* then others have their turn */

struct dp_stream {
    struct dp_watch *watch;
    const struct dp_stream_events *events;
    void *context;
    int fd;
    SSL *ssl;
    bool shaking;       /* the handshake is under way */
    bool closed;        /* closed() was called */
    bool busy, dropped; /* dropped from within an event: freed when that is through */
    bool tls_wants_to_write;
    char *out;
    size_t out_length, out_sent, out_room;
};

static void close_stream(struct dp_stream *stream, enum dp_stream_end end, const char *why)
{
    if (stream->closed)
        return;
    stream->closed = true;
    dp_watch_events(stream->watch, 0);
    stream->events->closed(stream->context, end, why);
}

static void watch_what_matters(struct dp_stream *stream)
{
    int events = UV_READABLE;
    if (stream->tls_wants_to_write || (!stream->shaking && stream->out_length > stream->out_sent))
        events |= UV_WRITABLE;
    dp_watch_events(stream->watch, events);
}

static void tls_why(const SSL *ssl, int rc, char *why, size_t size)
{
    unsigned long error = ERR_get_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    if (reason)
        (void)snprintf(why, size, "%s", reason);
    else if (SSL_get_error(ssl, rc) == SSL_ERROR_SYSCALL && errno == ECONNRESET)
        (void)snprintf(why, size, "the peer reset the connection");
    else
        (void)snprintf(why, size, "the peer closed the connection");
    ERR_clear_error();
}

/* True while it only has to wait. */
static bool tls_waits(struct dp_stream *stream, int rc)
{
    int error = SSL_get_error(stream->ssl, rc);
    stream->tls_wants_to_write = error == SSL_ERROR_WANT_WRITE;
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ;
}

static void shake_hands(struct dp_stream *stream)
{
    char why[256] = "";
    ERR_clear_error();
    int rc = SSL_connect(stream->ssl);
    if (rc != 1 && tls_waits(stream, rc)) {
        watch_what_matters(stream);
        return;
    }
    stream->tls_wants_to_write = false;
    stream->shaking = false;
    if (rc != 1) {
        tls_why(stream->ssl, rc, why, sizeof why);
        stream->closed = true;
        dp_watch_events(stream->watch, 0);
    } else {
        watch_what_matters(stream);
    }
    stream->events->secure(stream->context, rc == 1, why);
}

/* Sends what the kernel takes. False: the stream is over. */
static bool flush(struct dp_stream *stream)
{
    while (stream->out_sent < stream->out_length) {
        const char *from = stream->out + stream->out_sent;
        size_t left = stream->out_length - stream->out_sent;
        ERR_clear_error();
        ssize_t sent = stream->ssl ? SSL_write(stream->ssl, from, left > READ_BYTES ? READ_BYTES : (int)left)
                                   : send(stream->fd, from, left, MSG_NOSIGNAL);
        if (sent > 0) {
            stream->out_sent += (size_t)sent;
            continue;
        }
        if (stream->ssl ? tls_waits(stream, (int)sent) : (errno == EAGAIN || errno == EINTR))
            return true;
        bool reset = errno == ECONNRESET || errno == EPIPE;
        close_stream(stream, reset ? DP_STREAM_RESET : DP_STREAM_ERROR,
                     stream->ssl ? "the TLS session broke while sending" : strerror(errno));
        return false;
    }
    stream->out_sent = stream->out_length = 0;
    return true;
}

/* How many bytes came; 0: wait; -1: over. */
static ssize_t read_some(struct dp_stream *stream, char *bytes, size_t size)
{
    ERR_clear_error();
    ssize_t got = stream->ssl ? SSL_read(stream->ssl, bytes, (int)size) : recv(stream->fd, bytes, size, 0);
    if (got > 0)
        return got;
    if (!stream->ssl) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        bool reset = got < 0 && errno == ECONNRESET;
        close_stream(stream,
                     got == 0 ? DP_STREAM_EOF
                     : reset  ? DP_STREAM_RESET
                              : DP_STREAM_ERROR,
                     got == 0 ? "the peer closed the connection"
                     : reset  ? "the peer reset the connection"
                              : strerror(errno));
        return -1;
    }
    if (tls_waits(stream, (int)got))
        return 0;
    char why[256];
    int error = SSL_get_error(stream->ssl, (int)got);
    bool reset = error == SSL_ERROR_SYSCALL && errno == ECONNRESET;
    tls_why(stream->ssl, (int)got, why, sizeof why);
    // many servers close without close_notify: the end all the same
    bool eof = error == SSL_ERROR_ZERO_RETURN || strstr(why, "unexpected eof") != NULL;
    close_stream(stream,
                 eof     ? DP_STREAM_EOF
                 : reset ? DP_STREAM_RESET
                         : DP_STREAM_ERROR,
                 eof ? "the peer closed the connection" : why);
    return -1;
}

/* One turn: sends, tells, reads. */
static void turn(struct dp_stream *stream)
{
    char bytes[READ_BYTES];
    if (stream->shaking) {
        shake_hands(stream);
        return;
    }
    bool had = stream->out_length > 0;
    if (!flush(stream))
        return;
    if (had && !stream->out_length && stream->events->sent)
        stream->events->sent(stream->context);
    // what OpenSSL has decrypted already makes no event on the socket: it is taken whole
    for (int i = 0; !stream->dropped && !stream->closed && !stream->shaking &&
                    (i < READS_AT_ONCE || (stream->ssl && SSL_pending(stream->ssl) > 0));
         i++) {
        ssize_t got = read_some(stream, bytes, sizeof bytes);
        if (got <= 0)
            break;
        stream->events->data(stream->context, bytes, (size_t)got);
    }
    if (!stream->dropped && !stream->closed && !stream->shaking)
        watch_what_matters(stream);
}

static void on_events(void *context, int events)
{
    struct dp_stream *stream = context;
    (void)events;
    stream->busy = true;
    turn(stream);
    stream->busy = false;
    if (stream->dropped)
        dp_stream_drop(stream);
}

int dp_stream_new(uv_loop_t *loop, int fd, const struct dp_stream_events *events, void *context,
                  struct dp_stream **ret_stream)
{
    struct dp_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        (void)close(fd);
        return DP_ERR_NOMEM;
    }
    *stream = (struct dp_stream){.events = events, .context = context, .fd = fd};
    int rc = dp_watch_new(loop, fd, UV_READABLE, on_events, stream, &stream->watch);
    if (rc) {
        (void)close(fd);
        free(stream);
        return rc;
    }
    *ret_stream = stream;
    return 0;
}

int dp_stream_send(struct dp_stream *stream, const void *bytes, size_t length)
{
    size_t waiting = stream->out_length - stream->out_sent;
    if (length > DP_STREAM_SEND_MAX - waiting)
        return DP_ERR_FULL;
    if (stream->out_sent) {
        memmove(stream->out, stream->out + stream->out_sent, waiting);
        stream->out_length = waiting;
        stream->out_sent = 0;
    }
    if (stream->out_length + length > stream->out_room) {
        size_t room = (stream->out_length + length) * 2;
        char *out = realloc(stream->out, room);
        if (!out)
            return DP_ERR_NOMEM;
        stream->out = out;
        stream->out_room = room;
    }
    memcpy(stream->out + stream->out_length, bytes, length);
    stream->out_length += length;
    if (!stream->closed && !stream->dropped)
        watch_what_matters(stream); // goes out from the loop, never from within this call
    return 0;
}

size_t dp_stream_take_waiting(struct dp_stream *stream, char *bytes, size_t size)
{
    ssize_t got = stream->ssl ? 0 : recv(stream->fd, bytes, size, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

int dp_stream_start_tls(struct dp_stream *stream, SSL *ssl)
{
    if (stream->ssl || SSL_set_fd(ssl, stream->fd) != 1) {
        SSL_free(ssl);
        return DP_ERR_NOMEM;
    }
    stream->ssl = ssl;
    stream->shaking = true;
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    dp_watch_events(stream->watch,
                    UV_READABLE | UV_WRITABLE); // the socket takes bytes: the handshake begins at once
    return 0;
}

SSL *dp_stream_ssl(const struct dp_stream *stream)
{
    return stream->ssl;
}

bool dp_stream_local(const struct dp_stream *stream, union dp_address *ret_address)
{
    socklen_t size = sizeof *ret_address;
    return getsockname(stream->fd, &ret_address->any, &size) == 0;
}

int dp_stream_unacknowledged(const struct dp_stream *stream)
{
    int bytes = -1;
    return ioctl(stream->fd, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
}

void dp_stream_drop(struct dp_stream *stream)
{
    if (!stream)
        return;
    dp_watch_drop(stream->watch);
    stream->watch = NULL;
    stream->dropped = true;
    if (stream->busy)
        return;
    if (stream->ssl && !stream->shaking && !stream->closed)
        (void)SSL_shutdown(stream->ssl);
    SSL_free(stream->ssl);
    ERR_clear_error();
    (void)close(stream->fd);
    free(stream->out);
    free(stream);
}
