#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/packet/packet.h"

bool dp_addr_equal(const struct dp_addr *a, const struct dp_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

char *dp_addr_text(const struct dp_addr *addr, char *text, size_t size)
{
    if (!inet_ntop(addr->family == 6 ? AF_INET6 : AF_INET, addr->bytes, text, (socklen_t)size) && size > 0)
        text[0] = '\0';
    return text;
}

char *dp_endpoint_text(const struct dp_addr *addr, uint16_t port, char *text, size_t size)
{
    char address[DP_ADDR_TEXT];
    dp_addr_text(addr, address, sizeof address);
    (void)snprintf(text, size, addr->family == 6 ? "[%s]:%u" : "%s:%u", address, port);
    return text;
}
