/* Shared by the files of collector/link only. */
#ifndef DROPPOINT_COLLECTOR_LINK_LINK_INTERNAL_H
#define DROPPOINT_COLLECTOR_LINK_LINK_INTERNAL_H

#include <uthash.h>

#include "collector/link/clock.h"
#include "collector/link/link.h"
#include "common/zmqloop/zmqloop.h"

#define ROUTING_ID_MAX 255
#define PINGS_KEPT 4
#define PINGS_MISSED_MAX 3
#define MALFORMED_MAX 10

struct sent_ping {
    uint64_t number;
    int64_t realtime_ns, monotonic_ns;
};

/* What stands behind a struct dp_peer (its first member). */
struct session {
    struct dp_peer peer;
    uint8_t routing_id[ROUTING_ID_MAX];
    size_t routing_id_len;
    unsigned missed;    /* pings since the last message */
    unsigned malformed; /* messages in all */
    bool dead;          /* nothing more can be sent; gone() follows at the next heartbeat */
    uint64_t pings;
    struct sent_ping sent[PINGS_KEPT];
    struct dp_clock clock;
    UT_hash_handle hh; /* by public key */
};

/* A connection as ROUTER names it. One without session is over for us: what still comes is ignored. */
struct connection {
    uint8_t routing_id[ROUTING_ID_MAX];
    size_t routing_id_len;
    char public_z85[DP_KEY_Z85];
    struct session *session;
    uint64_t heard_ms;
    UT_hash_handle hh; /* by routing id */
};

struct dp_link {
    uv_loop_t *loop;
    struct dp_link_events events;
    void *context;
    uint32_t heartbeat_ms;
    void *zmq, *router, *zap;
    struct dp_zmqloop *router_bridge, *zap_bridge;
    uv_timer_t timer;
    struct session *sessions;
    struct connection *connections;
    char endpoint[256];
};

int64_t dp_link_clock_ns(clockid_t clock);
void dp_link_notice(const struct dp_link *link, const char *format, ...) DP_PRINTF(2, 3);

/* Answers the ZAP requests of the router's handshakes. */
int dp_link_zap_open(struct dp_link *link, struct dp_diag *diag) DP_MUST_CHECK;

/* The session that a message of this connection and key belongs to; makes both as needed. NULL: ignore the
 * message. */
struct session *dp_link_session(struct dp_link *link, const uint8_t *routing_id, size_t routing_id_len,
                                const char *public_z85, const char *address);
/* One valid message of the session: pongs stay here, the rest goes up. The session may be gone afterwards. */
void dp_link_take(struct dp_link *link, struct session *session, const Droppoint__Envelope *envelope);
/* Pings everybody and lets go of those that no longer answer. */
void dp_link_heartbeat(struct dp_link *link);
/* All sessions end; frees everything of session.c. */
void dp_link_forget_all(struct dp_link *link);

#endif
