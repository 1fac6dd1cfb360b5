#include "common/digest/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#define V1_MOST 107 /* the longest line, CRLF included */
#define V2_FIXED 16

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool read_port(const char *text, uint16_t *ret_port)
{
    uint32_t value = 0;
    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *ret_port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool read_address(const char *text, uint8_t family, struct dp_addr *ret_addr)
{
    struct dp_addr addr = {.family = family};
    if (inet_pton(family == 4 ? AF_INET : AF_INET6, text, addr.bytes) != 1)
        return false;
    *ret_addr = addr;
    return true;
}

/* "PROXY TCP4 192.0.2.1 198.51.100.9 40000 25\r\n" */
static bool read_v1(const uint8_t *bytes, size_t len, struct dp_proxy_header *ret)
{
    const uint8_t *end = memchr(bytes, '\r', len < V1_MOST ? len : V1_MOST);
    if (!end || (size_t)(end - bytes) + 1 >= len || end[1] != '\n')
        return false;
    char line[V1_MOST + 1], *rest = line, *words[6];
    memcpy(line, bytes, (size_t)(end - bytes));
    line[end - bytes] = '\0';
    for (size_t i = 0; i < 6; i++)
        if (!(words[i] = strsep(&rest, " ")))
            return false;
    uint8_t family = strcmp(words[1], "TCP4") == 0 ? 4 : strcmp(words[1], "TCP6") == 0 ? 6 : 0;
    ret->len = (uint32_t)(end + 2 - bytes);
    return rest == NULL && family && read_address(words[2], family, &ret->from) &&
           read_address(words[3], family, &ret->to) && read_port(words[4], &ret->from_port) &&
           read_port(words[5], &ret->to_port);
}

static uint16_t port_at(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static bool read_v2(const uint8_t *bytes, size_t len, struct dp_proxy_header *ret)
{
    if (len < V2_FIXED || bytes[12] != 0x21 || (bytes[13] != 0x11 && bytes[13] != 0x21))
        return false;
    bool v4 = bytes[13] == 0x11;
    size_t size = v4 ? 4 : 16, said = port_at(bytes + 14);
    const uint8_t *at = bytes + V2_FIXED;
    if (said < 2 * size + 4 || len < V2_FIXED + 2 * size + 4)
        return false;
    ret->from.family = ret->to.family = v4 ? 4 : 6;
    memcpy(ret->from.bytes, at, size);
    memcpy(ret->to.bytes, at + size, size);
    ret->from_port = port_at(at + 2 * size);
    ret->to_port = port_at(at + 2 * size + 2);
    ret->len = (uint32_t)(V2_FIXED + said);
    return true;
}

bool dp_proxy_header_read(const uint8_t *bytes, size_t len, struct dp_proxy_header *ret_header)
{
    struct dp_proxy_header header = {0};
    bool found = false;
    if (len >= 6 && memcmp(bytes, "PROXY ", 6) == 0)
        found = read_v1(bytes, len, &header);
    else if (len >= sizeof v2_signature && memcmp(bytes, v2_signature, sizeof v2_signature) == 0)
        found = read_v2(bytes, len, &header);
    if (found)
        *ret_header = header;
    return found;
}
