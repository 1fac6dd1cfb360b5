/* Who is there: connections by ROUTER's routing id, sessions by public key. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/link/link_internal.h"

/* A connection that we no longer listen to is remembered for as long as it talks, and this long after. A
 * dialer that hears no pings redials within seconds. */
#define IGNORED_MS (10 * 60 * 1000)

int64_t dp_link_clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct connection *find_connection(struct dp_link *link, const uint8_t *routing_id, size_t len)
{
    struct connection *connection;
    HASH_FIND(hh, link->connections, routing_id, len, connection);
    return connection;
}

static struct connection *new_connection(struct dp_link *link, const uint8_t *routing_id, size_t len)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    memcpy(connection->routing_id, routing_id, len);
    connection->routing_id_len = len;
    HASH_ADD_KEYPTR(hh, link->connections, connection->routing_id, len, connection);
    return connection;
}

/* Ends the session; its connection stays known, as one to be ignored. */
static void end_session(struct dp_link *link, struct session *session)
{
    HASH_DELETE(hh, link->sessions, session);
    struct connection *connection = find_connection(link, session->routing_id, session->routing_id_len);
    if (connection && connection->session == session)
        connection->session = NULL;
    link->events.gone(link->context, &session->peer);
    free(session);
}

static struct session *new_session(struct dp_link *link, struct connection *connection,
                                   enum dp_peer_role role, const char *address)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    memcpy(session->peer.public_z85, connection->public_z85, sizeof session->peer.public_z85);
    session->peer.role = role;
    session->peer.clock_error_ns = -1;
    (void)snprintf(session->peer.address, sizeof session->peer.address, "%s", address);
    memcpy(session->routing_id, connection->routing_id, connection->routing_id_len);
    session->routing_id_len = connection->routing_id_len;
    connection->session = session;
    HASH_ADD_KEYPTR(hh, link->sessions, session->peer.public_z85, strlen(session->peer.public_z85), session);
    return session;
}

struct session *dp_link_session(struct dp_link *link, const uint8_t *routing_id, size_t routing_id_len,
                                const char *public_z85, const char *address)
{
    struct connection *connection = find_connection(link, routing_id, routing_id_len);
    /* A peer may choose its routing id, and so a later connection with another key may come by the same one.
     */
    if (connection && strcmp(connection->public_z85, public_z85) == 0) {
        connection->heard_ms = uv_now(link->loop);
        return connection->session;
    }
    if (connection && connection->session)
        end_session(link, connection->session);
    /* Asked again after the handshake: the key may have been revoked in between. */
    enum dp_peer_role role = link->events.who(link->context, public_z85, address);
    /* An agent is one process. An operator may watch a capture in one terminal and list agents in another. */
    struct session *before = NULL;
    if (role != DP_ROLE_OPERATOR)
        HASH_FIND(hh, link->sessions, public_z85, strlen(public_z85), before);
    if (before) {
        dp_link_notice(link, "%s connected again, now from %s: the connection before is over.", public_z85,
                       address);
        end_session(link, before);
    }
    if (!connection)
        connection = new_connection(link, routing_id, routing_id_len);
    if (!connection)
        return NULL;
    (void)snprintf(connection->public_z85, sizeof connection->public_z85, "%s", public_z85);
    connection->heard_ms = uv_now(link->loop);
    connection->session = NULL;
    return role == DP_ROLE_NONE ? NULL : new_session(link, connection, role, address);
}

static void take_pong(struct dp_link *link, struct session *session, const Droppoint__Pong *pong)
{
    int64_t now = dp_link_clock_ns(CLOCK_MONOTONIC);
    struct sent_ping *ping = &session->sent[pong->number % PINGS_KEPT];
    if (ping->number != pong->number || pong->number == 0 || ping->realtime_ns != pong->ping_sent_ns)
        return;
    ping->number = 0; /* one pong for one ping */
    if (!dp_clock_add(&session->clock, ping->monotonic_ns, now, pong->received_ns, pong->sent_ns))
        return;
    int64_t realtime = dp_link_clock_ns(CLOCK_REALTIME);
    if (!dp_clock_best(&session->clock, now, realtime, &session->peer.clock_offset_ns,
                       &session->peer.clock_error_ns))
        return;
    session->peer.clock_measured_ns = realtime;
    if (link->events.clock)
        link->events.clock(link->context, &session->peer);
}

void dp_link_take(struct dp_link *link, struct session *session, const Droppoint__Envelope *envelope)
{
    session->missed = 0;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_PONG)
        take_pong(link, session, envelope->pong);
    else if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_PING)
        link->events.message(link->context, &session->peer, envelope);
}

static void ping(struct dp_link *link, struct session *session)
{
    Droppoint__Ping body = DROPPOINT__PING__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PING;
    envelope.ping = &body;
    body.number = ++session->pings;
    body.sent_ns = dp_link_clock_ns(CLOCK_REALTIME);
    session->sent[body.number % PINGS_KEPT] =
        (struct sent_ping){body.number, body.sent_ns, dp_link_clock_ns(CLOCK_MONOTONIC)};
    session->missed++;
    if (dp_link_send(link, &session->peer, &envelope) != DP_OK)
        session->sent[body.number % PINGS_KEPT].number = 0;
}

static struct session *first_dead(const struct dp_link *link)
{
    for (struct session *session = link->sessions; session; session = session->hh.next)
        if (session->dead)
            return session;
    return NULL;
}

void dp_link_heartbeat(struct dp_link *link)
{
    for (struct session *session = link->sessions; session; session = session->hh.next) {
        if (session->missed >= PINGS_MISSED_MAX)
            session->dead = true;
        if (!session->dead)
            ping(link, session);
    }
    /* gone() may end other sessions too: begin anew after each. */
    for (struct session *session; (session = first_dead(link)) != NULL;)
        end_session(link, session);
    struct connection *connection, *next;
    HASH_ITER(hh, link->connections, connection, next)
    {
        if (connection->session || uv_now(link->loop) - connection->heard_ms < IGNORED_MS)
            continue;
        HASH_DELETE(hh, link->connections, connection);
        free(connection);
    }
}

void dp_link_drop(struct dp_link *link, struct dp_peer *peer)
{
    end_session(link, (struct session *)peer);
}

void dp_link_forget_all(struct dp_link *link)
{
    while (link->sessions)
        end_session(link, link->sessions);
    struct connection *connection, *next;
    HASH_ITER(hh, link->connections, connection, next)
    {
        HASH_DELETE(hh, link->connections, connection);
        free(connection);
    }
}
