/* A dialer's side of the transport (agents and the command line): DEALER with CURVE on the event loop,
 * reconnect with jittered back-off, heartbeat. Lives in agent/link; the command line uses it too. */
#ifndef DROPPOINT_AGENT_LINK_LINK_H
#define DROPPOINT_AGENT_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err/err.h"
#include "common/keys/keys.h"
#include "common/wire/wire.h"

struct dp_dialer;

enum dp_dialer_state {
    DP_DIALER_CONNECTING,
    DP_DIALER_REFUSED,         /* the collector refuses this key: not approved yet, or revoked */
    DP_DIALER_CONNECTED,       /* the CURVE handshake is done */
    DP_DIALER_LOST,            /* the connection or three heartbeats went missing; dialling again */
    DP_DIALER_WRONG_COLLECTOR, /* the handshake failed: most likely another collector's public key */
};

/* Called from the event loop only, never from within dp_dialer_open or dp_dialer_send. Both may close the
 * dialer. */
struct dp_dialer_events {
    void (*state)(void *context, enum dp_dialer_state state, const char *text);
    /* A valid message. Pings are answered by the dialer itself and do not come up. */
    void (*message)(void *context, const Droppoint__Envelope *envelope);
};

struct dp_dialer_options {
    const char *endpoint; /* "tcp://collector.example.net:9910" */
    const struct dp_keypair *keys;
    const char *collector_z85; /* the collector's public key */
    bool once; /* one attempt only: after REFUSED, LOST or WRONG_COLLECTOR the dialer stays silent */
};

/* Begins to dial; CONNECTING is told for later attempts only. Copies what options point to. DP_ERR_USAGE: not
 * an endpoint; DP_ERR_NOMEM; DP_ERR_IO. */
int dp_dialer_open(uv_loop_t *loop, const struct dp_dialer_options *options,
                   const struct dp_dialer_events *events, void *context, struct dp_dialer **ret_dialer,
                   struct dp_diag *diag) DP_MUST_CHECK;
/* DP_ERR_UNAVAILABLE while not connected or the queue is full. The envelope stays the caller's. */
int dp_dialer_send(struct dp_dialer *dialer, Droppoint__Envelope *envelope) DP_MUST_CHECK;
/* Lets what was sent leave (at most 250 ms) and closes. No events come any more; the loop must run once more
 * for handles to close. NULL is fine. */
void dp_dialer_close(struct dp_dialer *dialer);

#endif
