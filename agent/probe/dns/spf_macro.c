#include "agent/probe/dns/spf_macro.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LONG_NAME 1024
#define LABELS_MAX 128

/* "1.2.3.4", or the 32 nibbles of an IPv6 address with dots. */
static void dotted(const char *address, char out[80])
{
    uint8_t v6[16];
    size_t used = 0;
    if (inet_pton(AF_INET6, address, v6) != 1) {
        (void)snprintf(out, 80, "%.70s", address);
        return;
    }
    for (int i = 0; i < 16; i++)
        used += (size_t)snprintf(out + used, 80 - used, "%s%x.%x", i ? "." : "", v6[i] >> 4, v6[i] & 15);
}

static bool letter_value(char letter, const struct dp_spf_names *names, char value[LONG_NAME])
{
    char text[80];
    switch (tolower((unsigned char)letter)) {
    case 's':
        (void)snprintf(value, LONG_NAME, "postmaster@%s", names->sender);
        return true;
    case 'l':
        (void)snprintf(value, LONG_NAME, "postmaster");
        return true;
    case 'o':
    case 'h':
        (void)snprintf(value, LONG_NAME, "%s", names->sender);
        return true;
    case 'd':
        (void)snprintf(value, LONG_NAME, "%s", names->domain);
        return true;
    case 'i':
        dotted(names->address, text);
        (void)snprintf(value, LONG_NAME, "%s", text);
        return true;
    case 'p':
        (void)snprintf(value, LONG_NAME, "unknown");
        return true;
    case 'v':
        (void)snprintf(value, LONG_NAME, "%s", strchr(names->address, ':') ? "ip6" : "in-addr");
        return true;
    default:
        return false;
    }
}

/* Takes the value apart at the delimiters, turns it round, keeps the rightmost `keep` parts (0: all), joined
 * with dots. */
static void transform(const char *value, const char *delimiters, bool reverse, unsigned keep,
                      char out[LONG_NAME])
{
    const char *parts[LABELS_MAX];
    size_t lengths[LABELS_MAX], count = 0, used = 0;
    for (const char *at = value; count < LABELS_MAX;) {
        size_t length = strcspn(at, delimiters);
        parts[count] = at;
        lengths[count++] = length;
        if (!at[length])
            break;
        at += length + 1;
    }
    size_t first = keep && keep < count ? count - keep : 0;
    out[0] = '\0';
    for (size_t i = first; i < count; i++) {
        // reversed, the rightmost are those that stood leftmost
        size_t index = reverse ? count - 1 - i : i;
        int put = snprintf(out + used, LONG_NAME - used, "%s%.*s", i > first ? "." : "", (int)lengths[index],
                           parts[index]);
        if (put < 0 || (size_t)put >= LONG_NAME - used)
            return;
        used += (size_t)put;
    }
}

/* One "%{...}" from behind the brace. Returns what follows it, NULL where it is malformed. */
static const char *expand_one(const char *at, const struct dp_spf_names *names, char out[LONG_NAME])
{
    char value[LONG_NAME], delimiters[16] = "";
    unsigned keep = 0;
    if (!letter_value(*at++, names, value))
        return NULL;
    bool digits = isdigit((unsigned char)*at);
    while (isdigit((unsigned char)*at) && keep < 1000)
        keep = keep * 10 + (unsigned)(*at++ - '0');
    bool reverse = *at == 'r' || *at == 'R';
    at += reverse;
    size_t length = strspn(at, ".-+,/_=");
    if (length >= sizeof delimiters || at[length] != '}' || (digits && !keep))
        return NULL;
    memcpy(delimiters, at, length);
    delimiters[length] = '\0';
    transform(value, delimiters[0] ? delimiters : ".", reverse, keep, out);
    return at + length + 1;
}

bool dp_spf_expand(const char *spec, const struct dp_spf_names *names, char out[DP_DNS_NAME])
{
    char whole[LONG_NAME] = "", piece[LONG_NAME];
    size_t used = 0;
    for (const char *at = spec; *at;) {
        if (at[0] != '%') {
            piece[0] = *at++;
            piece[1] = '\0';
        } else if (at[1] == '{') {
            at = expand_one(at + 2, names, piece);
            if (!at)
                return false;
        } else if (at[1] == '%' || at[1] == '_' || at[1] == '-') {
            (void)snprintf(piece, sizeof piece, "%s", at[1] == '%' ? "%" : at[1] == '_' ? " " : "%20");
            at += 2;
        } else {
            return false;
        }
        size_t length = strlen(piece);
        if (length >= sizeof whole - used)
            return false;
        memcpy(whole + used, piece, length + 1);
        used += length;
    }
    const char *name = whole;
    if (used && whole[used - 1] == '.')
        whole[--used] = '\0';
    while (strlen(name) > 253) {
        name = strchr(name, '.');
        if (!name)
            return false;
        name++;
    }
    (void)snprintf(out, DP_DNS_NAME, "%s", name);
    return name[0] != '\0';
}
