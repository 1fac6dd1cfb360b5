#include "agent/probe/trace/listener.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/net/echo_codec.h"
#include "agent/probe/net/handles.h"

#define PACKETS_AT_ONCE 32

struct trace_listener {
    struct dp_watch *watch;
    trace_heard *heard;
    void *context;
    union dp_address target;
    int fd;
};

static void take(struct trace_listener *listener, const uint8_t *bytes, size_t length,
                 const union dp_address *from)
{
    bool v6 = listener->target.any.sa_family == AF_INET6;
    struct trace_label labels[TRACE_LABELS_MAX];
    char text[DP_ADDRESS_TEXT];
    int ttl;
    if (!v6) {
        size_t header = dp_echo_ip4_header(bytes, length, &ttl);
        bytes += header;
        length = header ? length - header : 0;
    }
    const uint8_t *target =
        v6 ? listener->target.v6.sin6_addr.s6_addr : (const uint8_t *)&listener->target.v4.sin_addr;
    if (!trace_quotes_target(v6, bytes, length, target))
        return;
    size_t count = trace_labels_read(v6, bytes, length, labels);
    if (count)
        listener->heard(listener->context, dp_address_text(from, text), labels, count);
}

static void on_packets(void *context, int events)
{
    struct trace_listener *listener = context;
    (void)events;
    for (int i = 0; i < PACKETS_AT_ONCE; i++) {
        uint8_t bytes[2048];
        union dp_address from;
        socklen_t size = sizeof from;
        memset(&from, 0, sizeof from);
        ssize_t got = recvfrom(listener->fd, bytes, sizeof bytes, MSG_DONTWAIT, &from.any, &size);
        if (got < 0)
            return;
        take(listener, bytes, (size_t)got, &from);
    }
}

struct trace_listener *trace_listener_open(uv_loop_t *loop, const union dp_address *target,
                                           trace_heard *heard, void *context)
{
    int family = target->any.sa_family;
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
    struct trace_listener *listener = fd >= 0 ? calloc(1, sizeof *listener) : NULL;
    if (!listener) {
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    *listener = (struct trace_listener){.heard = heard, .context = context, .target = *target, .fd = fd};
    if (family == AF_INET) {
        uint32_t wanted = ~(1U << ICMP_TIME_EXCEEDED | 1U << ICMP_DEST_UNREACH);
        (void)setsockopt(fd, SOL_RAW, ICMP_FILTER, &wanted, sizeof wanted);
    } else {
        struct icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &filter);
        ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &filter);
        (void)setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
    }
    if (dp_watch_new(loop, fd, UV_READABLE, on_packets, listener, &listener->watch)) {
        trace_listener_close(listener);
        return NULL;
    }
    return listener;
}

void trace_listener_close(struct trace_listener *listener)
{
    if (!listener)
        return;
    dp_watch_drop(listener->watch);
    (void)close(listener->fd);
    free(listener);
}
