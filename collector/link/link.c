#include "collector/link/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "collector/link/link_internal.h"

#define HEARTBEAT_MS 1000
/* Credit and export windows bound what is under way; the marks only must never be the ones that bite (a
 * ROUTER refuses at its mark). Towards us the mark is small: behind it TCP holds the sender back. */
#define SEND_MARK 100000
#define RECEIVE_MARK 64
#define HANDSHAKE_MS 10000
/* ZMTP's own heartbeat only clears away connections that we no longer listen to. */
#define ZMTP_PING_MS 5000
#define ZMTP_PING_TIMEOUT_MS 15000

void dp_link_notice(const struct dp_link *link, const char *format, ...)
{
    if (!link->events.notice)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    link->events.notice(link->context, text);
}

static void refuse(struct dp_link *link, struct session *session, uint64_t request, int code,
                   const char *text)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Refused refused = DROPPOINT__REFUSED__INIT;
    Droppoint__Result result = DROPPOINT__RESULT__INIT;
    envelope.request = request;
    if (code == DP_ERR_UNSUPPORTED) {
        refused.reason = (char *)"version";
        refused.text = (char *)text;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_REFUSED;
        envelope.refused = &refused;
    } else {
        result.code = code;
        result.text = (char *)text;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_RESULT;
        envelope.result = &result;
    }
    int sent = dp_link_send(link, &session->peer, &envelope);
    (void)sent; /* a courtesy: a peer that cannot take it has other troubles */
}

static void on_malformed(struct dp_link *link, struct session *session, uint64_t request, int code,
                         const struct dp_diag *diag)
{
    session->malformed++;
    dp_link_notice(link, "%s (%s) sent a message that is refused: %s", session->peer.public_z85,
                   session->peer.address, dp_reason(diag, code));
    refuse(link, session, request, code, dp_reason(diag, code));
    if (session->malformed < MALFORMED_MAX)
        return;
    dp_link_notice(link, "%s (%s) sent %d malformed messages: the session ends.", session->peer.public_z85,
                   session->peer.address, MALFORMED_MAX);
    dp_link_drop(link, &session->peer);
}

static void take_frame(struct dp_link *link, const uint8_t *routing_id, size_t routing_id_len,
                       zmq_msg_t *frame)
{
    const char *user = zmq_msg_gets(frame, "User-Id");
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    if (!user || strlen(user) != DP_KEY_Z85 - 1)
        return; /* cannot happen behind ZAP; and nobody gets in if it does */
    struct session *session =
        dp_link_session(link, routing_id, routing_id_len, user, address ? address : "unknown");
    if (!session)
        return;
    struct dp_diag diag = {""};
    Droppoint__Envelope *envelope;
    int code = dp_wire_unpack(zmq_msg_data(frame), zmq_msg_size(frame), &envelope, &diag);
    if (code != DP_OK) {
        on_malformed(link, session, dp_wire_request_of(zmq_msg_data(frame), zmq_msg_size(frame)), code,
                     &diag);
        return;
    }
    dp_link_take(link, session, envelope);
    droppoint__envelope__free_unpacked(envelope, NULL);
}

/* One ZeroMQ message: the routing id and one frame. More frames are not ours: they are read and dropped. */
static void on_router(void *context, void *socket)
{
    struct dp_link *link = context;
    uint8_t routing_id[ROUTING_ID_MAX];
    int got = zmq_recv(socket, routing_id, sizeof routing_id, ZMQ_DONTWAIT);
    if (got < 0)
        return;
    size_t routing_id_len = (size_t)got < sizeof routing_id ? (size_t)got : sizeof routing_id;
    bool more = true;
    for (unsigned frames = 0; more; frames++) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            return;
        }
        more = zmq_msg_more(&frame);
        if (frames == 0 && !more)
            take_frame(link, routing_id, routing_id_len, &frame);
        (void)zmq_msg_close(&frame);
        if (!link->router)
            return; /* closed by the message */
    }
}

static void on_timer(uv_timer_t *timer)
{
    dp_link_heartbeat(timer->data);
}

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int open_router(struct dp_link *link, const struct dp_link_options *options, struct dp_diag *diag)
{
    static const struct {
        int option, value;
    } numbers[] = {
        {ZMQ_CURVE_SERVER, 1},
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_IPV6, 1},
        {ZMQ_LINGER, 0},
        {ZMQ_SNDHWM, SEND_MARK},
        {ZMQ_RCVHWM, RECEIVE_MARK},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_HEARTBEAT_IVL, ZMTP_PING_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, ZMTP_PING_TIMEOUT_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_BACKLOG, 512},
    };
    link->router = zmq_socket(link->zmq, ZMQ_ROUTER);
    if (!link->router)
        return dp_fail(diag, DP_ERR_IO, "Cannot make a ZeroMQ socket: %s.", zmq_strerror(errno));
    int failed = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        failed |= set_number(link->router, numbers[i].option, numbers[i].value);
    int64_t message_max = DP_WIRE_MAX_MESSAGE;
    failed |= zmq_setsockopt(link->router, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
    failed |= zmq_setsockopt(link->router, ZMQ_CURVE_SECRETKEY, options->keys->secret_z85, DP_KEY_Z85);
    failed |= zmq_setsockopt(link->router, ZMQ_ZAP_DOMAIN, "droppoint", strlen("droppoint"));
    if (failed)
        return dp_fail(diag, DP_ERR_IO, "Cannot set up the ZeroMQ socket: %s.", zmq_strerror(errno));
    if (zmq_bind(link->router, options->bind) != 0)
        return dp_fail(diag, errno == EINVAL ? DP_ERR_USAGE : DP_ERR_IO, "Cannot listen on %s: %s.",
                       options->bind, zmq_strerror(errno));
    size_t len = sizeof link->endpoint;
    (void)zmq_getsockopt(link->router, ZMQ_LAST_ENDPOINT, link->endpoint, &len);
    return dp_zmqloop_open(link->loop, link->router, on_router, link, &link->router_bridge);
}

static void close_sockets(struct dp_link *link)
{
    dp_zmqloop_close(link->router_bridge);
    dp_zmqloop_close(link->zap_bridge);
    if (link->router)
        (void)zmq_close(link->router);
    if (link->zap)
        (void)zmq_close(link->zap);
    link->router = link->zap = NULL;
    if (link->zmq)
        (void)zmq_ctx_term(link->zmq);
    link->zmq = NULL;
}

int dp_link_open(uv_loop_t *loop, const struct dp_link_options *options, const struct dp_link_events *events,
                 void *context, struct dp_link **ret_link, struct dp_diag *diag)
{
    struct dp_link *link = calloc(1, sizeof *link);
    if (!link)
        return DP_ERR_NOMEM;
    link->loop = loop;
    link->events = *events;
    link->context = context;
    link->heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS;
    link->zmq = zmq_ctx_new();
    /* ZAP first: not one handshake happens without it. */
    int code = link->zmq ? dp_link_zap_open(link, diag) : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = open_router(link, options, diag);
    if (code != DP_OK) {
        close_sockets(link);
        free(link);
        return code;
    }
    (void)uv_timer_init(loop, &link->timer);
    link->timer.data = link;
    (void)uv_timer_start(&link->timer, on_timer, link->heartbeat_ms, link->heartbeat_ms);
    *ret_link = link;
    return DP_OK;
}

const char *dp_link_endpoint(const struct dp_link *link)
{
    return link->endpoint;
}

static void free_bytes(void *data, void *hint)
{
    (void)hint;
    free(data);
}

int dp_link_send(struct dp_link *link, struct dp_peer *peer, Droppoint__Envelope *envelope)
{
    struct session *session = (struct session *)peer;
    uint8_t *bytes;
    size_t len;
    if (session->dead || !link->router)
        return DP_ERR_UNAVAILABLE;
    int code = dp_wire_pack(envelope, &bytes, &len);
    if (code != DP_OK)
        return code;
    zmq_msg_t frame;
    if (zmq_msg_init_data(&frame, bytes, len, free_bytes, NULL) != 0) {
        free(bytes);
        return DP_ERR_NOMEM;
    }
    /* The router decides at the first frame; once it took that, it takes the second too. */
    if (zmq_send(link->router, session->routing_id, session->routing_id_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) <
            0 ||
        zmq_msg_send(&frame, link->router, ZMQ_DONTWAIT) < 0) {
        session->dead = errno == EHOSTUNREACH; /* the connection is closed */
        (void)zmq_msg_close(&frame);
        return DP_ERR_UNAVAILABLE;
    }
    return DP_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void dp_link_close(struct dp_link *link)
{
    if (!link)
        return;
    dp_link_forget_all(link);
    close_sockets(link);
    (void)uv_timer_stop(&link->timer);
    uv_close((uv_handle_t *)&link->timer, on_closed);
}
