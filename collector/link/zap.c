/* ZeroMQ authentication (RFC 27/ZAP): the router's I/O thread asks here at every handshake. Without this
 * handler libzmq lets every key in. */
#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "collector/link/link_internal.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define FRAME_MAX 256
#define KEY_BYTES 32

enum { VERSION, REQUEST, DOMAIN, ADDRESS, ROUTING_ID, MECHANISM, CREDENTIAL, FRAMES };

struct zap_request {
    char frame[FRAMES][FRAME_MAX]; /* terminated */
    size_t len[FRAMES];
    unsigned count; /* as many as came, also past FRAMES */
};

static bool receive_request(void *socket, struct zap_request *request)
{
    int more = 1;
    memset(request, 0, sizeof *request);
    while (more) {
        char frame[FRAME_MAX];
        int got = zmq_recv(socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (got < 0)
            return false;
        size_t len = (size_t)got < FRAME_MAX - 1 ? (size_t)got : FRAME_MAX - 1;
        if (request->count < FRAMES) {
            memcpy(request->frame[request->count], frame, len);
            request->len[request->count] = (size_t)got;
        }
        request->count++;
        size_t size = sizeof more;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool request_is_curve(const struct zap_request *request)
{
    return request->count == FRAMES && strcmp(request->frame[VERSION], "1.0") == 0 &&
           strcmp(request->frame[MECHANISM], "CURVE") == 0 && request->len[CREDENTIAL] == KEY_BYTES;
}

static void answer(void *socket, const struct zap_request *request, bool allowed, const char *user)
{
    const char *status = allowed ? "200" : "400";
    const char *text = allowed ? "OK" : "This key is not approved";
    if (!allowed)
        user = "";
    /* A REP socket takes the whole answer or none; the asker is a thread of ours. */
    (void)zmq_send(socket, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, request->frame[REQUEST], request->len[REQUEST], ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(socket, "", 0, ZMQ_DONTWAIT);
}

static void on_request(void *context, void *socket)
{
    struct dp_link *link = context;
    struct zap_request request;
    if (!receive_request(socket, &request))
        return;
    if (request.len[REQUEST] >= FRAME_MAX)
        request.len[REQUEST] = FRAME_MAX - 1;
    char user[DP_KEY_Z85] = "";
    bool allowed = request_is_curve(&request) &&
                   zmq_z85_encode(user, (const uint8_t *)request.frame[CREDENTIAL], KEY_BYTES) &&
                   link->events.who(link->context, user, request.frame[ADDRESS]) != DP_ROLE_NONE;
    answer(socket, &request, allowed, user);
}

int dp_link_zap_open(struct dp_link *link, struct dp_diag *diag)
{
    int zero = 0;
    link->zap = zmq_socket(link->zmq, ZMQ_REP);
    if (!link->zap)
        return dp_fail(diag, DP_ERR_IO, "Cannot make the authentication socket: %s.", zmq_strerror(errno));
    (void)zmq_setsockopt(link->zap, ZMQ_LINGER, &zero, sizeof zero);
    if (zmq_bind(link->zap, ZAP_ENDPOINT) != 0)
        return dp_fail(diag, DP_ERR_IO, "Cannot bind the authentication socket: %s.", zmq_strerror(errno));
    return dp_zmqloop_open(link->loop, link->zap, on_request, link, &link->zap_bridge);
}
