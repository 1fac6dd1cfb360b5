#include "agent/probe/net/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int port_parse(const char *text, uint16_t *ret_port)
{
    unsigned long port = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || text[digits] || digits > 5)
        return DP_ERR_USAGE;
    port = strtoul(text, NULL, 10);
    if (port < 1 || port > 65535)
        return DP_ERR_USAGE;
    *ret_port = (uint16_t)port;
    return 0;
}

static bool host_form(const char *host, size_t length)
{
    if (!length || length >= DP_HOST_TEXT)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c <= ' ' || c == 127 || strchr("[]/\\\"'@", c))
            return false;
    }
    return true;
}

int dp_host_port_parse(const char *text, struct dp_host_port *ret_target, struct dp_diag *diag)
{
    struct dp_host_port got = {.port = 0};
    const char *host = text, *port = NULL;
    size_t length = strlen(text);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return dp_fail(diag, DP_ERR_USAGE,
                           "target '%s': an IPv6 address with a port is written [2001:db8::1]:25", text);
        host = text + 1;
        length = (size_t)(end - host);
        port = end[1] ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) { // two and more colons are an IPv6 address
            length = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    if (!host_form(host, length))
        return dp_fail(diag, DP_ERR_USAGE, "target '%s' is no host name or address", text);
    if (port && port_parse(port, &got.port))
        return dp_fail(diag, DP_ERR_USAGE, "target '%s': a port is a number from 1 to 65535", text);
    memcpy(got.host, host, length);
    union dp_address address;
    if (strchr(got.host, ':') && dp_address_parse(got.host, 0, &address))
        return dp_fail(diag, DP_ERR_USAGE, "target '%s': '%s' is no IPv6 address", text, got.host);
    *ret_target = got;
    return 0;
}

int dp_address_parse(const char *text, uint16_t port, union dp_address *ret_address)
{
    union dp_address got;
    memset(&got, 0, sizeof got);
    if (inet_pton(AF_INET, text, &got.v4.sin_addr) == 1) {
        got.v4.sin_family = AF_INET;
        got.v4.sin_port = htons(port);
        *ret_address = got;
        return 0;
    }
    char plain[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%");
    if (length >= sizeof plain)
        return DP_ERR_FORMAT;
    memcpy(plain, text, length);
    plain[length] = '\0';
    if (inet_pton(AF_INET6, plain, &got.v6.sin6_addr) != 1)
        return DP_ERR_FORMAT;
    got.v6.sin6_family = AF_INET6;
    got.v6.sin6_port = htons(port);
    if (text[length]) {
        got.v6.sin6_scope_id = if_nametoindex(text + length + 1);
        if (!got.v6.sin6_scope_id)
            return DP_ERR_FORMAT;
    }
    *ret_address = got;
    return 0;
}

char *dp_address_text(const union dp_address *address, char text[DP_ADDRESS_TEXT])
{
    if (address->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, text, DP_ADDRESS_TEXT);
    } else if (address->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, text, DP_ADDRESS_TEXT);
        char name[IF_NAMESIZE];
        size_t length = strlen(text);
        if (address->v6.sin6_scope_id && if_indextoname(address->v6.sin6_scope_id, name))
            (void)snprintf(text + length, DP_ADDRESS_TEXT - length, "%%%s", name);
    } else {
        (void)snprintf(text, DP_ADDRESS_TEXT, "?");
    }
    return text;
}

socklen_t dp_address_size(const union dp_address *address)
{
    return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

uint16_t dp_address_port(const union dp_address *address)
{
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

void dp_address_set_port(union dp_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else
        address->v6.sin6_port = htons(port);
}

bool dp_address_same(const union dp_address *a, const union dp_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

/* A device binding needs CAP_NET_RAW where the socket is bound already; the index of the outgoing interface
 * does not. */
static int bind_interface(int fd, int family, const char *interface, struct dp_diag *diag)
{
    unsigned index = if_nametoindex(interface);
    if (!index)
        return dp_fail(diag, DP_ERR_INTERFACE, "interface %s is gone", interface);
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) == 0)
        return 0;
    uint32_t wanted = htonl(index);
    int rc = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &wanted, sizeof wanted)
                               : setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, &wanted, sizeof wanted);
    if (rc != 0)
        return dp_fail(diag, DP_ERR_DENIED, "cannot send by interface %s: %s", interface, strerror(errno));
    return 0;
}

int dp_bind_from(int fd, int family, const struct dp_request *request, uint16_t port, struct dp_diag *diag)
{
    const char *interface = dp_request_text(request, "--interface");
    const char *source = dp_request_text(request, "--source");
    int rc = interface ? bind_interface(fd, family, interface, diag) : 0;
    if (rc || (!source && !port))
        return rc;
    union dp_address from;
    memset(&from, 0, sizeof from);
    from.any.sa_family = (sa_family_t)family;
    dp_address_set_port(&from, port);
    if (source && dp_address_parse(source, port, &from))
        return dp_fail(diag, DP_ERR_USAGE, "--source '%s' is no address", source);
    if (from.any.sa_family != family)
        return dp_fail(diag, DP_ERR_USAGE, "--source %s is of the other family than the target", source);
    if (bind(fd, &from.any, dp_address_size(&from)) != 0)
        return dp_fail(diag, errno == EADDRNOTAVAIL ? DP_ERR_USAGE : DP_ERR_IO, "cannot send from %s: %s",
                       source ? source : "this port", strerror(errno));
    return 0;
}

bool dp_outgoing_address(const struct dp_request *request, int family, char text[DP_ADDRESS_TEXT])
{
    union dp_address far, own;
    socklen_t size = sizeof own;
    const char *source = dp_request_text(request, "--source");
    if (source && dp_address_parse(source, 0, &own) == 0) {
        (void)snprintf(text, DP_ADDRESS_TEXT, "%s", source);
        return own.any.sa_family == family;
    }
    // nothing is sent: the kernel only says which way it would take
    if (dp_address_parse(family == AF_INET ? "203.0.113.1" : "2001:db8::1", 25, &far))
        return false;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known =
        fd >= 0 && connect(fd, &far.any, dp_address_size(&far)) == 0 && getsockname(fd, &own.any, &size) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (known)
        text[strcspn(dp_address_text(&own, text), "%")] = '\0';
    return known;
}

bool dp_address_is_private(const union dp_address *address)
{
    if (address->any.sa_family == AF_INET) {
        uint32_t host = ntohl(address->v4.sin_addr.s_addr);
        return host >> 24 == 10 || host >> 24 == 127 || host >> 20 == 0xac1 || host >> 16 == 0xc0a8 ||
               host >> 22 == 0x191 || host >> 16 == 0xa9fe;
    }
    const uint8_t *bytes = address->v6.sin6_addr.s6_addr;
    return (bytes[0] & 0xfe) == 0xfc || IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr) ||
           IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}
