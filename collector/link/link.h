/* The collector's side of the transport: ROUTER with CURVE and ZAP on the event loop, sessions by public key,
 * heartbeats, clock measurement. Hands validated messages up, sends messages down. */
#ifndef DROPPOINT_COLLECTOR_LINK_LINK_H
#define DROPPOINT_COLLECTOR_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err/err.h"
#include "common/keys/keys.h"
#include "common/wire/wire.h"

struct dp_link;

enum dp_peer_role { DP_ROLE_NONE, DP_ROLE_AGENT, DP_ROLE_OPERATOR };

/* A connected peer; lives until gone() returns. */
struct dp_peer {
    char public_z85[DP_KEY_Z85];
    enum dp_peer_role role;
    char address[64];          /* remote address as ZeroMQ tells it */
    void *owner;               /* the upper layer's own */
    int64_t clock_offset_ns;   /* peer's clock minus ours, best recent measurement */
    int64_t clock_error_ns;    /* its bound, half the round trip; -1 not measured */
    int64_t clock_measured_ns; /* when, by our CLOCK_REALTIME */
};

struct dp_link_events {
    /* Who is this key? ZAP asks at every handshake, also for unknown keys (the place to note a pending one),
     * and the link once more at the first message. DP_ROLE_NONE: refused, nothing of it reaches message(). */
    enum dp_peer_role (*who)(void *context, const char *public_z85, const char *address);
    /* A valid message. Ping and Pong do not come up. */
    void (*message)(void *context, struct dp_peer *peer, const Droppoint__Envelope *envelope);
    /* Three heartbeats missed, the connection closed, the same key connected anew (agents; operators may have
     * several sessions), ten malformed messages, dp_link_drop or dp_link_close. */
    void (*gone)(void *context, struct dp_peer *peer);
    /* A new clock measurement stands in the peer (may be NULL). */
    void (*clock)(void *context, struct dp_peer *peer);
    /* A sentence for the log: malformed messages, a key that connected twice (may be NULL). */
    void (*notice)(void *context, const char *text);
};

struct dp_link_options {
    const char *bind; /* "tcp://0.0.0.0:9910"; IPv6 too */
    const struct dp_keypair *keys;
    uint32_t heartbeat_ms; /* default 1000 */
};

int dp_link_open(uv_loop_t *loop, const struct dp_link_options *options, const struct dp_link_events *events,
                 void *context, struct dp_link **ret_link, struct dp_diag *diag) DP_MUST_CHECK;
/* Where it listens, as ZeroMQ tells it ("tcp://0.0.0.0:9910"). */
const char *dp_link_endpoint(const struct dp_link *link);
/* Never blocks. DP_ERR_UNAVAILABLE: the peer is gone or its queue is full (100,000 messages: credit is the
 * bound that counts). The envelope stays the caller's. */
int dp_link_send(struct dp_link *link, struct dp_peer *peer, Droppoint__Envelope *envelope) DP_MUST_CHECK;
/* Ends the session and ignores what still comes from it. gone() is called before it returns; not to be called
 * from gone() for the same peer. The place to go when a key is revoked. */
void dp_link_drop(struct dp_link *link, struct dp_peer *peer);
/* Calls gone() for each peer and closes the sockets; the loop must run once more for handles to close. Not to
 * be called from an event. */
void dp_link_close(struct dp_link *link);

#endif
