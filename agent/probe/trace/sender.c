#include "agent/probe/trace/sender.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/net/echo.h"
#include "agent/probe/net/handles.h"

#define PAYLOAD 32
#define WINDOW_ICMP 8

struct trace_sender {
    struct dp_probe *probe;
    enum trace_mode mode;
    union dp_address to;
    char text[DP_ADDRESS_TEXT];
    trace_answered *answered;
    void *context;
    struct dp_echo *echo;
    struct dp_watch *watch; /* UDP */
    int fd;
    uint16_t source_port; /* TCP */
    struct dp_dial *dial;
    uint16_t id; /* under way, UDP and TCP */
};

static bool is_expired(const struct dp_icmp *icmp)
{
    return icmp->family == AF_INET ? icmp->type == 11 : icmp->type == 3;
}

static bool from_target(const struct trace_sender *sender, const char *from)
{
    return strcmp(from, sender->text) == 0;
}

static void hand_up(struct trace_sender *sender, uint16_t id, const struct dp_icmp *icmp, uint32_t mtu)
{
    struct trace_answer answer = {
        .id = id, .icmp = icmp, .mtu = mtu, .from = icmp ? icmp->from : sender->text};
    answer.expired = icmp && is_expired(icmp);
    answer.target = !icmp || (!answer.expired && from_target(sender, icmp->from));
    sender->answered(sender->context, &answer);
}

/* --- ICMP --- */

static void on_reply(void *context, uint16_t seq, int64_t at_ns, int ttl)
{
    (void)at_ns;
    (void)ttl;
    hand_up(context, seq, NULL, 0);
}

static void on_error(void *context, uint16_t seq, const struct dp_icmp *icmp, uint32_t mtu)
{
    hand_up(context, seq, icmp, mtu);
}

static const struct dp_echo_events echo_events = {.reply = on_reply, .error = on_error};

/* --- UDP --- */

/* What a router quotes of the payload tells which packet it was; without it, it is the one under way. */
static void take_udp_error(struct trace_sender *sender)
{
    char control[512];
    uint8_t data[64] = {0};
    struct iovec iov = {data, sizeof data};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(sender->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (got < 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        if (!v4 && !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            continue;
        const struct sock_extended_err *error = (const void *)CMSG_DATA(c);
        if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
            continue;
        union dp_address from;
        memset(&from, 0, sizeof from);
        memcpy(&from, SO_EE_OFFENDER(error), v4 ? sizeof from.v4 : sizeof from.v6);
        struct dp_icmp icmp = {.present = true,
                               .family = v4 ? AF_INET : AF_INET6,
                               .type = error->ee_type,
                               .code = error->ee_code};
        (void)dp_address_text(&from, icmp.from);
        uint16_t quoted = (uint16_t)(data[0] << 8 | data[1]);
        hand_up(sender, got >= 2 ? quoted : sender->id, &icmp, 0);
        return;
    }
}

static void on_udp(void *context, int events)
{
    struct trace_sender *sender = context;
    uint8_t data[64];
    (void)events;
    take_udp_error(sender);
    if (recv(sender->fd, data, sizeof data, MSG_DONTWAIT) >= 0)
        hand_up(sender, sender->id, NULL, 0); // whatever it says, it is the target that talks
}

static int open_udp(struct trace_sender *sender, struct dp_diag *diag)
{
    int on = 1, family = sender->to.any.sa_family;
    sender->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sender->fd < 0)
        return dp_fail(diag, DP_ERR_IO, "no UDP socket: %s", strerror(errno));
    (void)(family == AF_INET ? setsockopt(sender->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on)
                             : setsockopt(sender->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
    int rc = dp_bind_from(sender->fd, family, dp_probe_request(sender->probe), 0, diag);
    if (!rc && connect(sender->fd, &sender->to.any, dp_address_size(&sender->to)) != 0)
        rc = dp_fail(diag, DP_ERR_UNAVAILABLE, "this host has no way to %s: %s", sender->text,
                     strerror(errno));
    return rc ? rc
              : dp_watch_new(dp_probe_loop(sender->probe), sender->fd, UV_READABLE, on_udp, sender,
                             &sender->watch);
}

static int send_udp(struct trace_sender *sender, uint16_t id, int ttl)
{
    // the payload must not change the checksum's place in a flow's hash: length and ports stay the same
    uint8_t payload[PAYLOAD] = {(uint8_t)(id >> 8), (uint8_t)id};
    int family = sender->to.any.sa_family;
    (void)(family == AF_INET ? setsockopt(sender->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl)
                             : setsockopt(sender->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl));
    for (int attempt = 0; attempt < 2; attempt++) // an error of an earlier packet shows once
        if (send(sender->fd, payload, sizeof payload, MSG_NOSIGNAL) >= 0)
            return 0;
    return errno;
}

/* --- TCP --- */

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct trace_sender *sender = context;
    uint16_t id = sender->id;
    dp_dial_drop(sender->dial);
    sender->dial = NULL;
    if (result->fd >= 0) {
        struct linger reset = {1, 0}; // the same ports are used again: nothing may wait for old packets
        (void)setsockopt(result->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(result->fd);
    }
    if (result->outcome == DP_DIAL_OPEN || result->outcome == DP_DIAL_REFUSED) {
        hand_up(sender, id, NULL, 0);
    } else if (result->icmp.present) {
        struct dp_icmp icmp = result->icmp;
        hand_up(sender, id, &icmp, 0);
    }
}

/* A port that is free now, kept by number only. */
static uint16_t choose_port(const struct trace_sender *sender)
{
    union dp_address own;
    socklen_t size = sizeof own;
    int family = sender->to.any.sa_family;
    memset(&own, 0, sizeof own);
    own.any.sa_family = (sa_family_t)family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool known =
        fd >= 0 && bind(fd, &own.any, dp_address_size(&own)) == 0 && getsockname(fd, &own.any, &size) == 0;
    if (fd >= 0)
        (void)close(fd);
    return known ? dp_address_port(&own) : 0;
}

/* --- all --- */

int trace_sender_open(struct dp_probe *probe, enum trace_mode mode, const union dp_address *to,
                      trace_answered *answered, void *context, struct trace_sender **ret_sender,
                      struct dp_diag *diag)
{
    struct trace_sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return DP_ERR_NOMEM;
    *sender = (struct trace_sender){
        .probe = probe, .mode = mode, .to = *to, .answered = answered, .context = context, .fd = -1};
    (void)dp_address_text(to, sender->text);
    int rc = 0;
    if (mode == TRACE_ICMP)
        rc = dp_echo_open(dp_probe_loop(probe), dp_probe_request(probe), to, &echo_events, sender,
                          &sender->echo, diag);
    else if (mode == TRACE_UDP)
        rc = open_udp(sender, diag);
    else
        sender->source_port = choose_port(sender);
    if (rc) {
        trace_sender_close(sender);
        return rc;
    }
    *ret_sender = sender;
    return 0;
}

unsigned trace_sender_window(const struct trace_sender *sender)
{
    return sender->mode == TRACE_ICMP ? WINDOW_ICMP : 1;
}

int trace_sender_send(struct trace_sender *sender, uint16_t id, int ttl, uint64_t timeout_ms)
{
    int64_t ignored;
    sender->id = id;
    if (sender->mode == TRACE_ICMP)
        return dp_echo_send(sender->echo, id, PAYLOAD, ttl, &ignored);
    if (sender->mode == TRACE_UDP)
        return send_udp(sender, id, ttl);
    dp_dial_drop(sender->dial);
    sender->dial = NULL;
    return dp_dial_start_with(dp_probe_loop(sender->probe), dp_probe_request(sender->probe), &sender->to,
                              timeout_ms, ttl, sender->source_port, on_dialled, sender, &sender->dial)
               ? ENOMEM
               : 0;
}

void trace_sender_close(struct trace_sender *sender)
{
    if (!sender)
        return;
    dp_echo_close(sender->echo);
    dp_watch_drop(sender->watch);
    dp_dial_drop(sender->dial);
    if (sender->fd >= 0)
        (void)close(sender->fd);
    free(sender);
}
