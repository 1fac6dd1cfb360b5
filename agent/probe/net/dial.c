#include "agent/probe/net/dial.h"

#include <errno.h>
#include <jansson.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/net/handles.h"

struct dp_dial {
    uv_loop_t *loop;
    struct dp_watch *watch;
    struct dp_timer *timer;
    dp_dial_done *done;
    void *context;
    union dp_address to;
    uint64_t begun; /* uv_hrtime */
    int fd;
    struct dp_dial_result early; /* what went wrong before anything was sent */
    bool is_early;
};

static void finish(struct dp_dial *dial, struct dp_dial_result *result)
{
    result->ms = (double)(uv_hrtime() - dial->begun) / 1e6;
    dp_watch_drop(dial->watch);
    dp_timer_drop(dial->timer);
    dial->watch = NULL;
    dial->timer = NULL;
    if (result->outcome == DP_DIAL_OPEN) {
        result->fd = dial->fd;
    } else {
        result->fd = -1;
        if (dial->fd >= 0)
            (void)close(dial->fd);
    }
    dial->fd = -1;
    dial->done(dial->context, result); // may free dial
}

bool dp_icmp_take(int fd, struct dp_icmp *ret_icmp, int *ret_error)
{
    char control[512];
    char data[512];
    struct iovec iov = {data, sizeof data};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *ret_error = 0;
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (!v4 && !v6)
            continue;
        const struct sock_extended_err *error = (const void *)CMSG_DATA(c);
        *ret_error = (int)error->ee_errno;
        if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
            continue;
        union dp_address from;
        memset(&from, 0, sizeof from);
        memcpy(&from, SO_EE_OFFENDER(error), v4 ? sizeof from.v4 : sizeof from.v6);
        *ret_icmp = (struct dp_icmp){.present = true,
                                     .family = v4 ? AF_INET : AF_INET6,
                                     .type = error->ee_type,
                                     .code = error->ee_code};
        (void)dp_address_text(&from, ret_icmp->from);
        return true;
    }
    return false;
}

/* An ICMP message with one's own address as sender was made here: the neighbour does not answer. */
static bool is_own(int fd, const char *from)
{
    union dp_address own;
    socklen_t size = sizeof own;
    char text[DP_ADDRESS_TEXT];
    if (getsockname(fd, &own.any, &size) != 0)
        return false;
    own.v6.sin6_scope_id = own.any.sa_family == AF_INET6 ? 0 : own.v6.sin6_scope_id;
    return strcmp(dp_address_text(&own, text), from) == 0;
}

static void explain_icmp(const struct dp_icmp *icmp, char *why, size_t size)
{
    const char *meaning = dp_icmp_meaning(icmp->family, icmp->type, icmp->code);
    (void)snprintf(why, size, "%s (%s %u/%u) from %s", meaning ? meaning : "an error",
                   icmp->family == AF_INET ? "ICMP" : "ICMPv6", icmp->type, icmp->code,
                   icmp->from_here ? "this host itself" : icmp->from);
}

static void judge_error(struct dp_dial_result *result, int error)
{
    result->error = error;
    if (error == ECONNREFUSED) {
        result->outcome = DP_DIAL_REFUSED;
        (void)snprintf(result->why, sizeof result->why, "refused with a TCP reset");
    } else if (error == ETIMEDOUT) {
        result->outcome = DP_DIAL_SILENT;
        (void)snprintf(result->why, sizeof result->why, "no answer");
    } else if (error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN || error == EHOSTDOWN ||
               error == EACCES || error == EPERM) {
        result->outcome = DP_DIAL_UNREACHABLE;
        (void)snprintf(result->why, sizeof result->why, "%s",
                       error == ENETUNREACH ? "this host has no route there"
                       : error == EACCES    ? "this host's own route or firewall prohibits it"
                       : error == EPERM     ? "this host's own firewall does not let it out"
                                            : strerror(error));
    } else {
        result->outcome = DP_DIAL_FAILED;
        (void)snprintf(result->why, sizeof result->why, "%s", strerror(error));
    }
}

static void on_event(void *context, int events)
{
    struct dp_dial *dial = context;
    struct dp_dial_result result = {.outcome = DP_DIAL_OPEN, .fd = -1, .rtt_ms = -1};
    (void)events;
    int queued = 0, error = 0;
    socklen_t size = sizeof error;
    struct tcp_info info;
    memset(&info, 0, sizeof info);
    // the error first: taking the message out of the queue clears it
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    bool icmp = dp_icmp_take(dial->fd, &result.icmp, &queued);
    size = sizeof info;
    if (getsockopt(dial->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        info.tcpi_state = TCP_CLOSE;
    if (!error && info.tcpi_state == TCP_SYN_SENT)
        return; // an ICMP message that the kernel holds for passing: it goes on trying
    if (icmp && (error || info.tcpi_state == TCP_CLOSE)) {
        result.icmp.from_here = is_own(dial->fd, result.icmp.from);
        result.outcome = DP_DIAL_UNREACHABLE;
        result.error = error ? error : queued;
        explain_icmp(&result.icmp, result.why, sizeof result.why);
    } else if (error == ECONNRESET) { // a refusal is ECONNREFUSED: this one stood for a moment
        result.reset = true;
    } else if (error) {
        judge_error(&result, error);
    } else {
        result.icmp.present = false;
        result.rtt_ms = info.tcpi_rtt ? info.tcpi_rtt / 1000.0 : -1;
    }
    finish(dial, &result);
}

static void on_time(void *context)
{
    struct dp_dial *dial = context;
    if (dial->is_early) {
        struct dp_dial_result result = dial->early;
        finish(dial, &result);
        return;
    }
    struct dp_dial_result result = {.outcome = DP_DIAL_SILENT, .fd = -1, .rtt_ms = -1};
    (void)snprintf(result.why, sizeof result.why, "no answer");
    finish(dial, &result);
}

/* Begins; false where it failed at once, with dial->early saying why. */
static bool begin(struct dp_dial *dial, const struct dp_request *request, int ttl, uint16_t source_port)
{
    int family = dial->to.any.sa_family;
    struct dp_diag diag = {""};
    dial->early = (struct dp_dial_result){.outcome = DP_DIAL_FAILED, .fd = -1, .rtt_ms = -1};
    dial->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0) {
        judge_error(&dial->early, errno);
        return false;
    }
    int on = 1;
    (void)(family == AF_INET ? setsockopt(dial->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on)
                             : setsockopt(dial->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
    if (source_port)
        (void)setsockopt(dial->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ttl)
        (void)(family == AF_INET ? setsockopt(dial->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl)
                                 : setsockopt(dial->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl));
    if (dp_bind_from(dial->fd, family, request, source_port, &diag)) {
        (void)snprintf(dial->early.why, sizeof dial->early.why, "%.250s", diag.text);
        return false;
    }
    if (connect(dial->fd, &dial->to.any, dp_address_size(&dial->to)) != 0 && errno != EINPROGRESS) {
        judge_error(&dial->early, errno);
        return false;
    }
    return dp_watch_new(dial->loop, dial->fd, UV_WRITABLE, on_event, dial, &dial->watch) == 0;
}

int dp_dial_start(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                  uint64_t timeout_ms, dp_dial_done *done, void *context, struct dp_dial **ret_dial)
{
    return dp_dial_start_with(loop, request, to, timeout_ms, 0, 0, done, context, ret_dial);
}

int dp_dial_start_with(uv_loop_t *loop, const struct dp_request *request, const union dp_address *to,
                       uint64_t timeout_ms, int ttl, uint16_t source_port, dp_dial_done *done, void *context,
                       struct dp_dial **ret_dial)
{
    struct dp_dial *dial = calloc(1, sizeof *dial);
    if (!dial)
        return DP_ERR_NOMEM;
    dial->loop = loop;
    dial->done = done;
    dial->context = context;
    dial->to = *to;
    dial->begun = uv_hrtime();
    if (dp_timer_new(loop, on_time, dial, &dial->timer)) {
        free(dial);
        return DP_ERR_NOMEM;
    }
    dial->is_early = !begin(dial, request, ttl, source_port);
    dp_timer_start(dial->timer, dial->is_early ? 0 : timeout_ms, 0);
    *ret_dial = dial;
    return 0;
}

void dp_dial_drop(struct dp_dial *dial)
{
    if (!dial)
        return;
    dp_watch_drop(dial->watch);
    dp_timer_drop(dial->timer);
    if (dial->fd >= 0)
        (void)close(dial->fd);
    free(dial);
}

static const char *icmp4_meaning(uint8_t type, uint8_t code)
{
    static const char *const unreachable[] = {"network unreachable",
                                              "host unreachable",
                                              "protocol unreachable",
                                              "port unreachable",
                                              "packet too big and not to be fragmented",
                                              "source route failed",
                                              "network unknown",
                                              "host unknown",
                                              "source host isolated",
                                              "network administratively prohibited",
                                              "host administratively prohibited",
                                              "network unreachable for this type of service",
                                              "host unreachable for this type of service",
                                              "communication administratively prohibited",
                                              "host precedence violation",
                                              "precedence cutoff in effect"};
    if (type == ICMP_DEST_UNREACH && code < sizeof unreachable / sizeof unreachable[0])
        return unreachable[code];
    if (type == ICMP_TIME_EXCEEDED)
        return code == 0 ? "TTL exceeded in transit, maybe a routing loop" : "fragments came too late";
    return type == ICMP_PARAMETERPROB ? "header refused" : NULL;
}

static const char *icmp6_meaning(uint8_t type, uint8_t code)
{
    static const char *const unreachable[] = {"no route to destination",
                                              "communication administratively prohibited",
                                              "beyond scope of source address",
                                              "address unreachable",
                                              "port unreachable",
                                              "source address failed ingress/egress policy",
                                              "reject route to destination"};
    if (type == ICMP6_DST_UNREACH && code < sizeof unreachable / sizeof unreachable[0])
        return unreachable[code];
    if (type == ICMP6_PACKET_TOO_BIG)
        return "packet too big";
    if (type == ICMP6_TIME_EXCEEDED)
        return code == 0 ? "hop limit exceeded in transit, maybe a routing loop" : "fragments came too late";
    return type == ICMP6_PARAM_PROB ? "header refused" : NULL;
}

const char *dp_icmp_meaning(int family, uint8_t type, uint8_t code)
{
    return family == AF_INET ? icmp4_meaning(type, code) : icmp6_meaning(type, code);
}

void dp_icmp_json(const struct dp_icmp *icmp, json_t *object)
{
    if (!icmp->present)
        return;
    const char *meaning = dp_icmp_meaning(icmp->family, icmp->type, icmp->code);
    (void)json_object_set_new(object, "icmp_from", json_string(icmp->from));
    (void)json_object_set_new(object, "icmp_type", json_integer(icmp->type));
    (void)json_object_set_new(object, "icmp_code", json_integer(icmp->code));
    if (meaning)
        (void)json_object_set_new(object, "icmp_meaning", json_string(meaning));
}
