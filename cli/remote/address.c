#include "cli/remote/address.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bad_form(const char *endpoint, struct dp_diag *diag)
{
    return dp_fail(diag, DP_ERR_USAGE,
                   "'%s' is not a collector's address; write it as tcp://HOST:PORT, for example "
                   "tcp://collector.example.net:9910 or tcp://[2001:db8::10]:9910",
                   endpoint);
}

int dp_address_split(const char *endpoint, char *ret_host, size_t host_size, char *ret_port, size_t port_size,
                     struct dp_diag *diag)
{
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return bad_form(endpoint, diag);
    const char *host = endpoint + 6, *host_end;
    if (*host == '[') {
        host_end = strchr(++host, ']');
        if (!host_end || host_end[1] != ':')
            return bad_form(endpoint, diag);
    } else {
        host_end = strchr(host, ':');
        if (!host_end)
            return bad_form(endpoint, diag);
    }
    const char *port = strrchr(host_end, ':') + 1;
    size_t length = (size_t)(host_end - host);
    if (!length || length >= host_size || strlen(port) >= port_size ||
        host_end + (*host_end == ']') + 1 != port)
        return bad_form(endpoint, diag);
    for (const char *c = port; *c; c++)
        if (!isdigit((unsigned char)*c))
            return bad_form(endpoint, diag);
    long number = strtol(port, NULL, 10);
    if (number < 1 || number > 65535)
        return bad_form(endpoint, diag);
    memcpy(ret_host, host, length);
    ret_host[length] = '\0';
    memcpy(ret_port, port, strlen(port) + 1);
    return 0;
}

/* 0 or an errno. */
static int try_connect(const struct addrinfo *address, int timeout_ms)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int failure = 0;
    if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS) {
        failure = errno;
    } else {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof failure;
        if (poll(&wait, 1, timeout_ms) != 1)
            failure = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size))
            failure = errno;
    }
    (void)close(fd);
    return failure;
}

int dp_address_check(const char *endpoint, int timeout_ms, struct dp_diag *diag)
{
    char host[256], port[8];
    int rc = dp_address_split(endpoint, host, sizeof host, port, sizeof port, diag);
    if (rc)
        return rc;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    rc = getaddrinfo(host, port, &hints, &found);
    if (rc)
        return dp_fail(diag, DP_ERR_UNAVAILABLE, "%s: %s", host, gai_strerror(rc));
    int failure = ETIMEDOUT;
    for (const struct addrinfo *one = found; one && failure; one = one->ai_next)
        failure = try_connect(one, timeout_ms);
    freeaddrinfo(found);
    return failure ? dp_fail(diag, DP_ERR_UNAVAILABLE, "%s", strerror(failure)) : 0;
}
