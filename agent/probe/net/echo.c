#include "agent/probe/net/echo.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/probe/net/echo_codec.h"
#include "agent/probe/net/handles.h"

#define PACKETS_AT_ONCE 64

struct dp_echo {
    const struct dp_echo_events *events;
    void *context;
    struct dp_watch *watch;
    union dp_address to;
    int fd;
    bool raw;
    int connect_errno; /* no way there from the start */
    bool busy, closed; /* closed from within an event: freed when that is through */
    uint16_t ident;
    uint8_t cookie[DP_ECHO_COOKIE];
    uint8_t *out;
};

static int64_t realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What comes with a message. */
struct extras {
    int64_t at_ns;
    int ttl;
    bool error;
    struct dp_icmp icmp;
    uint32_t info;
};

static void read_error(const struct cmsghdr *c, struct extras *extras)
{
    bool v4 = c->cmsg_level == IPPROTO_IP;
    const struct sock_extended_err *error = (const void *)CMSG_DATA(c);
    if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
        return;
    union dp_address from;
    memset(&from, 0, sizeof from);
    memcpy(&from, SO_EE_OFFENDER(error), v4 ? sizeof from.v4 : sizeof from.v6);
    extras->error = true;
    extras->info = error->ee_info;
    extras->icmp = (struct dp_icmp){
        .present = true, .family = v4 ? AF_INET : AF_INET6, .type = error->ee_type, .code = error->ee_code};
    (void)dp_address_text(&from, extras->icmp.from);
}

static void read_extras(struct msghdr *message, struct extras *extras)
{
    *extras = (struct extras){.at_ns = realtime_ns(), .ttl = -1};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            extras->at_ns = (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&extras->ttl, CMSG_DATA(c), sizeof extras->ttl);
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            read_error(c, extras);
        }
    }
}

/* With a kernel's ping socket the identifier is the socket's; with a raw one anybody's messages come by. */
static bool is_ours(const struct dp_echo *echo, const struct dp_echo_message *message)
{
    return message->ident == echo->ident && message->payload_length >= DP_ECHO_COOKIE &&
           memcmp(message->payload, echo->cookie, DP_ECHO_COOKIE) == 0;
}

static void take_reply(struct dp_echo *echo, const uint8_t *bytes, size_t length,
                       const union dp_address *from, struct extras *extras)
{
    int family = echo->to.any.sa_family;
    if (echo->raw && family == AF_INET) {
        size_t header = dp_echo_ip4_header(bytes, length, &extras->ttl);
        bytes += header;
        length = header ? length - header : 0;
    }
    struct dp_echo_message message;
    if (!dp_echo_read(family, bytes, length, &message) || !message.reply)
        return;
    if (is_ours(echo, &message) && dp_address_same(from, &echo->to)) {
        echo->events->reply(echo->context, message.seq, extras->at_ns, extras->ttl);
    } else if (message.ident == echo->ident && echo->events->foreign) {
        char text[DP_ADDRESS_TEXT];
        echo->events->foreign(echo->context, dp_address_text(from, text));
    }
}

/* The quoted message may be cut to eight bytes (RFC 792): the cookie counts only where it is there. */
static void take_error(struct dp_echo *echo, const uint8_t *bytes, size_t length, const struct extras *extras)
{
    struct dp_echo_message message;
    if (!dp_echo_read(echo->to.any.sa_family, bytes, length, &message) || message.reply ||
        message.ident != echo->ident)
        return;
    size_t known = message.payload_length < DP_ECHO_COOKIE ? message.payload_length : DP_ECHO_COOKIE;
    if (memcmp(message.payload, echo->cookie, known) != 0)
        return;
    struct dp_icmp icmp = extras->icmp;
    bool too_big = icmp.family == AF_INET ? icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED
                                          : icmp.type == ICMP6_PACKET_TOO_BIG;
    echo->events->error(echo->context, message.seq, &icmp, too_big ? extras->info : 0);
}

/* Takes one message. False: none is there. */
static bool take_one(struct dp_echo *echo, int flags)
{
    uint8_t bytes[2048];
    char control[512];
    union dp_address from;
    memset(&from, 0, sizeof from);
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(echo->fd, &message, flags | MSG_DONTWAIT);
    if (got < 0)
        return !(flags & MSG_ERRQUEUE) && errno != EAGAIN &&
               errno != EINTR; // an error that stands in the queue, too
    struct extras extras;
    read_extras(&message, &extras);
    if (flags & MSG_ERRQUEUE) {
        if (extras.error)
            take_error(echo, bytes, (size_t)got, &extras);
    } else {
        take_reply(echo, bytes, (size_t)got, &from, &extras);
    }
    return true;
}

static void on_packets(void *context, int events)
{
    struct dp_echo *echo = context;
    (void)events;
    echo->busy = true;
    for (int i = 0; i < PACKETS_AT_ONCE && !echo->closed && take_one(echo, MSG_ERRQUEUE); i++) {
    }
    for (int i = 0; i < PACKETS_AT_ONCE && !echo->closed && take_one(echo, 0); i++) {
    }
    echo->busy = false;
    if (echo->closed)
        dp_echo_close(echo);
}

static int open_socket(int family, bool *ret_raw, struct dp_diag *diag)
{
    int protocol = family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    *ret_raw = false;
    if (fd >= 0 || (errno != EACCES && errno != EPERM))
        return fd >= 0 ? fd : dp_fail(diag, DP_ERR_IO, "no ICMP socket: %s", strerror(errno));
    fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    *ret_raw = true;
    if (fd >= 0)
        return fd;
    return dp_fail(
        diag, errno == EACCES || errno == EPERM ? DP_ERR_DENIED : DP_ERR_IO,
        "this user may not send ICMP echo requests: run as root, or let its group have ping sockets with "
        "'sysctl net.ipv4.ping_group_range=\"0 2147483647\"'");
}

static void set_options(const struct dp_echo *echo)
{
    int on = 1, family = echo->to.any.sa_family;
    int room = 1 << 20;
    (void)setsockopt(echo->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    (void)setsockopt(echo->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (family == AF_INET) {
        (void)setsockopt(echo->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
        (void)setsockopt(echo->fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
        uint32_t wanted = ~(1U << ICMP_ECHOREPLY);
        if (echo->raw)
            (void)setsockopt(echo->fd, SOL_RAW, ICMP_FILTER, &wanted, sizeof wanted);
    } else {
        (void)setsockopt(echo->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
        (void)setsockopt(echo->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on);
        struct icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        if (echo->raw)
            (void)setsockopt(echo->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
    }
}

/* A ping socket's identifier is its port; a raw one only takes what comes from the target. */
static int settle_socket(struct dp_echo *echo, const struct dp_request *request, struct dp_diag *diag)
{
    int family = echo->to.any.sa_family;
    int rc = dp_bind_from(echo->fd, family, request, 0, diag);
    if (rc)
        return rc;
    if (getrandom(echo->cookie, sizeof echo->cookie, 0) != (ssize_t)sizeof echo->cookie ||
        getrandom(&echo->ident, sizeof echo->ident, 0) != (ssize_t)sizeof echo->ident)
        return dp_fail(diag, DP_ERR_IO, "no random numbers: %s", strerror(errno));
    if (echo->raw) {
        union dp_address to = echo->to;
        dp_address_set_port(&to, 0);
        echo->connect_errno = connect(echo->fd, &to.any, dp_address_size(&to)) == 0 ? 0 : errno;
        return 0;
    }
    union dp_address own;
    socklen_t size = sizeof own;
    memset(&own, 0, sizeof own);
    own.any.sa_family = (sa_family_t)family;
    if (getsockname(echo->fd, &own.any, &size) == 0 && dp_address_port(&own) == 0) {
        if (bind(echo->fd, &own.any, size) != 0)
            return dp_fail(diag, DP_ERR_IO, "no ICMP identifier is free: %s", strerror(errno));
        (void)getsockname(echo->fd, &own.any, &size);
    }
    echo->ident = dp_address_port(&own);
    return 0;
}

int dp_echo_open(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                 const struct dp_echo_events *events, void *context, struct dp_echo **ret_echo,
                 struct dp_diag *diag)
{
    struct dp_echo *echo = calloc(1, sizeof *echo);
    if (!echo)
        return DP_ERR_NOMEM;
    *echo = (struct dp_echo){.events = events, .context = context, .to = *to, .fd = -1};
    dp_address_set_port(&echo->to, 0);
    echo->out = malloc(DP_ECHO_HEADER + DP_ECHO_PAYLOAD_MAX);
    int rc = echo->out ? 0 : DP_ERR_NOMEM;
    if (!rc) {
        int fd = open_socket(to->any.sa_family, &echo->raw, diag);
        if (fd < 0)
            rc = fd;
        else
            echo->fd = fd;
    }
    if (!rc) {
        set_options(echo);
        rc = settle_socket(echo, request, diag);
    }
    if (!rc)
        rc = dp_watch_new(loop, echo->fd, UV_READABLE, on_packets, echo, &echo->watch);
    if (rc) {
        dp_echo_close(echo);
        return rc;
    }
    *ret_echo = echo;
    return 0;
}

void dp_echo_forbid_fragments(struct dp_echo *echo)
{
    int probe4 = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE;
    if (echo->to.any.sa_family == AF_INET)
        (void)setsockopt(echo->fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe4, sizeof probe4);
    else
        (void)setsockopt(echo->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof probe6);
}

int dp_echo_send(struct dp_echo *echo, uint16_t seq, size_t payload, int ttl, int64_t *ret_at_ns)
{
    int family = echo->to.any.sa_family;
    if (payload < DP_ECHO_PAYLOAD_MIN || payload > DP_ECHO_PAYLOAD_MAX)
        return EMSGSIZE;
    int hops = ttl ? ttl : -1;
    (void)(family == AF_INET ? setsockopt(echo->fd, IPPROTO_IP, IP_TTL, &hops, sizeof hops)
                             : setsockopt(echo->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops));
    dp_echo_write(family, echo->ident, seq, echo->cookie, payload, echo->out);
    *ret_at_ns = realtime_ns();
    if (echo->connect_errno)
        return echo->connect_errno;
    // an error that came for an earlier packet shows at the next call once; it is in the queue as well
    for (int attempt = 0; attempt < 2; attempt++)
        if (sendto(echo->fd, echo->out, DP_ECHO_HEADER + payload, MSG_NOSIGNAL,
                   echo->raw ? NULL : &echo->to.any, echo->raw ? 0 : dp_address_size(&echo->to)) >= 0)
            return 0;
    return errno;
}

void dp_echo_close(struct dp_echo *echo)
{
    if (!echo)
        return;
    dp_watch_drop(echo->watch);
    echo->watch = NULL;
    echo->closed = true;
    if (echo->busy)
        return;
    if (echo->fd >= 0)
        (void)close(echo->fd);
    free(echo->out);
    free(echo);
}
