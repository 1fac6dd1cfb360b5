#include "agent/link/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "common/zmqloop/zmqloop.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
/* Somebody may be waiting for the approval that was given just now: not as slow as a collector that is away.
 */
#define REFUSED_MIN_MS 2000
#define REFUSED_MAX_MS 10000
#define ATTEMPT_MS 10000
#define CONNECT_MS 5000
#define HANDSHAKE_MS 8000
#define SETTLED_MS 10000
#define HEARTBEAT_FIRST_MS 3000 /* until Welcome tells the collector's */
#define HEARTBEATS_MISSED_MAX 3
#define SEND_MARK 100000 /* never reached: credit bounds what is under way */
#define RECEIVE_MARK 256
#define CLOSE_LINGER_MS 250 /* a last word may still leave */
#define WATCHED                                                                                              \
    (ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |                             \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                            \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* libzmq 4.3.4 gives up for good after a refusal. So its own reconnecting is off, and each attempt has a new
 * socket. */
struct dp_dialer {
    uv_loop_t *loop;
    struct dp_dialer_events events;
    void *context;
    char *endpoint;
    struct dp_keypair keys;
    char collector_z85[DP_KEY_Z85];
    bool once;

    void *zmq, *socket, *monitor;
    struct dp_zmqloop *socket_bridge, *monitor_bridge;
    unsigned attempt; /* names the monitor */
    bool connected;
    uint64_t connected_ms;
    unsigned silent; /* heartbeats without a message */
    uint32_t heartbeat_ms;
    uint64_t backoff_ms;

    uv_timer_t dial_timer;      /* the next attempt, or the end of this one */
    uv_timer_t heartbeat_timer; /* while connected */
    unsigned handles;
};

static int dial(struct dp_dialer *dialer, struct dp_diag *diag);
static void on_dial_timer(uv_timer_t *timer);

static int64_t realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void hang_up(struct dp_dialer *dialer, int linger_ms)
{
    dp_zmqloop_close(dialer->socket_bridge);
    dp_zmqloop_close(dialer->monitor_bridge);
    dialer->socket_bridge = dialer->monitor_bridge = NULL;
    if (dialer->socket) {
        (void)zmq_socket_monitor(dialer->socket, NULL, 0);
        (void)zmq_setsockopt(dialer->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        (void)zmq_close(dialer->socket);
    }
    if (dialer->monitor)
        (void)zmq_close(dialer->monitor);
    dialer->socket = dialer->monitor = NULL;
    dialer->connected = false;
    (void)uv_timer_stop(&dialer->heartbeat_timer);
    (void)uv_timer_stop(&dialer->dial_timer);
}

/* Between half and all of the back-off, so that agents of a collector that comes back do not come at once. */
static uint64_t jittered(uint64_t ms)
{
    uint32_t random = 0;
    (void)uv_random(NULL, NULL, &random, sizeof random, 0, NULL);
    return ms / 2 + random % (ms / 2 + 1);
}

/* The attempt or the connection is over. Tells it as the last thing: the owner may close the dialer then. */
static void fail(struct dp_dialer *dialer, enum dp_dialer_state state, const char *text)
{
    bool refused = state != DP_DIALER_LOST;
    uint64_t least = refused ? REFUSED_MIN_MS : BACKOFF_MIN_MS;
    uint64_t most = refused ? REFUSED_MAX_MS : BACKOFF_MAX_MS;
    if (dialer->connected && uv_now(dialer->loop) - dialer->connected_ms >= SETTLED_MS)
        dialer->backoff_ms = 0;
    hang_up(dialer, 0);
    if (dialer->backoff_ms < least)
        dialer->backoff_ms = least;
    if (dialer->backoff_ms > most)
        dialer->backoff_ms = most;
    if (!dialer->once)
        (void)uv_timer_start(&dialer->dial_timer, on_dial_timer, jittered(dialer->backoff_ms), 0);
    dialer->backoff_ms *= 2;
    dialer->events.state(dialer->context, state, text);
}

static void fail_reaching(struct dp_dialer *dialer, const char *why)
{
    char text[512];
    (void)snprintf(text, sizeof text, "Cannot reach the collector at %s: %s.", dialer->endpoint, why);
    fail(dialer, DP_DIALER_LOST, text);
}

static void on_dial_timer(uv_timer_t *timer)
{
    struct dp_dialer *dialer = timer->data;
    struct dp_diag diag = {""};
    if (dialer->socket) {
        fail_reaching(dialer, "no answer in time");
        return;
    }
    int code = dial(dialer, &diag);
    if (code != DP_OK)
        fail(dialer, DP_DIALER_LOST, dp_reason(&diag, code));
    else
        dialer->events.state(dialer->context, DP_DIALER_CONNECTING, "Connecting.");
}

static void on_heartbeat(uv_timer_t *timer)
{
    struct dp_dialer *dialer = timer->data;
    if (++dialer->silent > HEARTBEATS_MISSED_MAX)
        fail(dialer, DP_DIALER_LOST, "The collector is silent: three heartbeats are missing.");
}

static void set_heartbeat(struct dp_dialer *dialer, uint32_t ms)
{
    dialer->heartbeat_ms = ms;
    dialer->silent = 0;
    (void)uv_timer_start(&dialer->heartbeat_timer, on_heartbeat, ms, ms);
}

static void answer_ping(struct dp_dialer *dialer, const Droppoint__Ping *ping, int64_t received_ns)
{
    Droppoint__Pong pong = DROPPOINT__PONG__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PONG;
    envelope.pong = &pong;
    pong.number = ping->number;
    pong.ping_sent_ns = ping->sent_ns;
    pong.received_ns = received_ns;
    pong.sent_ns = realtime_ns();
    int code = dp_dialer_send(dialer, &envelope);
    (void)code; /* the collector counts what is missing */
}

static void on_message(void *context, void *socket)
{
    struct dp_dialer *dialer = context;
    zmq_msg_t frame;
    (void)zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&frame);
        return;
    }
    int64_t received_ns = realtime_ns();
    Droppoint__Envelope *envelope;
    struct dp_diag diag = {""};
    int code = dp_wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), &envelope, &diag);
    (void)zmq_msg_close(&frame);
    if (code != DP_OK) {
        char text[640];
        (void)snprintf(text, sizeof text, "The collector sent a message that is refused: %s",
                       dp_reason(&diag, code));
        fail(dialer, DP_DIALER_LOST, text);
        return;
    }
    dialer->silent = 0;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_WELCOME)
        set_heartbeat(dialer, envelope->welcome->heartbeat_ms);
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_PING)
        answer_ping(dialer, envelope->ping, received_ns);
    else if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_PONG)
        dialer->events.message(dialer->context, envelope);
    droppoint__envelope__free_unpacked(envelope, NULL);
}

static void on_connected(struct dp_dialer *dialer)
{
    dialer->connected = true;
    dialer->connected_ms = uv_now(dialer->loop);
    (void)uv_timer_stop(&dialer->dial_timer);
    set_heartbeat(dialer, HEARTBEAT_FIRST_MS);
    dialer->events.state(dialer->context, DP_DIALER_CONNECTED, "Connected.");
}

static void take_event(struct dp_dialer *dialer, uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        on_connected(dialer);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        fail(dialer, DP_DIALER_REFUSED,
             "The collector refuses this key: it is not approved yet, or revoked.");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        /* A server that cannot open our first box (made for another key) hangs up without a word. */
        fail(dialer, DP_DIALER_WRONG_COLLECTOR,
             "The collector hung up in the handshake: most likely its public key is not the one configured "
             "here.");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        fail(dialer, DP_DIALER_WRONG_COLLECTOR,
             "What answers there does not speak droppoint's transport (ZeroMQ with CURVE).");
        break;
    case ZMQ_EVENT_DISCONNECTED:
        if (dialer->connected)
            fail(dialer, DP_DIALER_LOST, "The collector closed the connection.");
        else
            fail_reaching(dialer, "the connection closed");
        break;
    case ZMQ_EVENT_CLOSED:
        fail_reaching(dialer, "no connection");
        break;
    default:
        break;
    }
}

/* A monitor message: event number and value, then the endpoint. */
static void on_monitor(void *context, void *socket)
{
    struct dp_dialer *dialer = context;
    uint8_t head[6];
    char endpoint[256];
    if (zmq_recv(socket, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return;
    (void)zmq_recv(socket, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    uint16_t event;
    memcpy(&event, head, sizeof event);
    take_event(dialer, event);
}

static int set_options(struct dp_dialer *dialer)
{
    static const struct {
        int option, value;
    } numbers[] = {
        {ZMQ_IPV6, 1},
        {ZMQ_LINGER, 0},
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_RECONNECT_IVL, -1},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_SNDHWM, SEND_MARK},
        {ZMQ_RCVHWM, RECEIVE_MARK},
        {ZMQ_TCP_KEEPALIVE, 1},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        failed |=
            zmq_setsockopt(dialer->socket, numbers[i].option, &numbers[i].value, sizeof numbers[i].value);
    int64_t message_max = DP_WIRE_MAX_MESSAGE;
    failed |= zmq_setsockopt(dialer->socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
    failed |= zmq_setsockopt(dialer->socket, ZMQ_CURVE_SERVERKEY, dialer->collector_z85, DP_KEY_Z85);
    failed |= zmq_setsockopt(dialer->socket, ZMQ_CURVE_PUBLICKEY, dialer->keys.public_z85, DP_KEY_Z85);
    failed |= zmq_setsockopt(dialer->socket, ZMQ_CURVE_SECRETKEY, dialer->keys.secret_z85, DP_KEY_Z85);
    return failed;
}

static int open_monitor(struct dp_dialer *dialer)
{
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "inproc://monitor-%u", ++dialer->attempt);
    if (zmq_socket_monitor(dialer->socket, endpoint, WATCHED) != 0)
        return -1;
    dialer->monitor = zmq_socket(dialer->zmq, ZMQ_PAIR);
    return dialer->monitor ? zmq_connect(dialer->monitor, endpoint) : -1;
}

/* One attempt: a new socket and its monitor. On failure everything of it is closed again. */
static int dial(struct dp_dialer *dialer, struct dp_diag *diag)
{
    dialer->socket = zmq_socket(dialer->zmq, ZMQ_DEALER);
    int code = DP_OK;
    if (!dialer->socket || set_options(dialer) != 0 || open_monitor(dialer) != 0)
        code = dp_fail(diag, DP_ERR_IO, "Cannot make a ZeroMQ socket: %s.", zmq_strerror(errno));
    else if (zmq_connect(dialer->socket, dialer->endpoint) != 0)
        code = dp_fail(diag, DP_ERR_USAGE, "\"%s\" is not an endpoint of the form tcp://HOST:PORT: %s.",
                       dialer->endpoint, zmq_strerror(errno));
    if (code == DP_OK)
        code = dp_zmqloop_open(dialer->loop, dialer->socket, on_message, dialer, &dialer->socket_bridge);
    if (code == DP_OK)
        code = dp_zmqloop_open(dialer->loop, dialer->monitor, on_monitor, dialer, &dialer->monitor_bridge);
    if (code != DP_OK) {
        hang_up(dialer, 0);
        return code;
    }
    (void)uv_timer_start(&dialer->dial_timer, on_dial_timer, ATTEMPT_MS, 0);
    return DP_OK;
}

static void free_dialer(struct dp_dialer *dialer)
{
    if (dialer->zmq)
        (void)zmq_ctx_term(dialer->zmq);
    dp_keypair_wipe(&dialer->keys);
    free(dialer->endpoint);
    free(dialer);
}

static void on_closed(uv_handle_t *handle)
{
    struct dp_dialer *dialer = handle->data;
    if (--dialer->handles == 0)
        free_dialer(dialer);
}

int dp_dialer_open(uv_loop_t *loop, const struct dp_dialer_options *options,
                   const struct dp_dialer_events *events, void *context, struct dp_dialer **ret_dialer,
                   struct dp_diag *diag)
{
    if (strncmp(options->endpoint, "tcp://", 6) != 0)
        return dp_fail(diag, DP_ERR_USAGE, "\"%s\" is not an endpoint of the form tcp://HOST:PORT.",
                       options->endpoint);
    struct dp_dialer *dialer = calloc(1, sizeof *dialer);
    if (!dialer)
        return DP_ERR_NOMEM;
    dialer->loop = loop;
    dialer->events = *events;
    dialer->context = context;
    dialer->once = options->once;
    dialer->keys = *options->keys;
    (void)snprintf(dialer->collector_z85, sizeof dialer->collector_z85, "%s", options->collector_z85);
    dialer->endpoint = strdup(options->endpoint);
    dialer->zmq = zmq_ctx_new();
    if (!dialer->endpoint || !dialer->zmq) {
        free_dialer(dialer);
        return DP_ERR_NOMEM;
    }
    (void)uv_timer_init(loop, &dialer->dial_timer);
    (void)uv_timer_init(loop, &dialer->heartbeat_timer);
    dialer->handles = 2;
    dialer->dial_timer.data = dialer->heartbeat_timer.data = dialer;
    int code = dial(dialer, diag);
    if (code != DP_OK) {
        dp_dialer_close(dialer);
        return code;
    }
    *ret_dialer = dialer;
    return DP_OK;
}

int dp_dialer_send(struct dp_dialer *dialer, Droppoint__Envelope *envelope)
{
    uint8_t *bytes;
    size_t len;
    if (!dialer->connected)
        return DP_ERR_UNAVAILABLE;
    int code = dp_wire_pack(envelope, &bytes, &len);
    if (code != DP_OK)
        return code;
    int put = zmq_send(dialer->socket, bytes, len, ZMQ_DONTWAIT);
    free(bytes);
    return put < 0 ? DP_ERR_UNAVAILABLE : DP_OK;
}

void dp_dialer_close(struct dp_dialer *dialer)
{
    if (!dialer)
        return;
    hang_up(dialer, CLOSE_LINGER_MS);
    uv_close((uv_handle_t *)&dialer->dial_timer, on_closed);
    uv_close((uv_handle_t *)&dialer->heartbeat_timer, on_closed);
}
