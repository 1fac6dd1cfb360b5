#include <string.h>

#include "common/wire/rules.h"
#include "common/wire/wire.h"

#define NAME_MAX_BYTES 63
#define INTERFACE_MAX_BYTES 15 /* IFNAMSIZ without the terminator */

bool dp_wire_label_valid(const char *text, size_t len, bool upper)
{
    if (len < 1 || len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z');
        bool mark = i > 0 && (c == '.' || c == '_' || c == '-');
        if (!plain && !mark)
            return false;
    }
    return true;
}

int dp_wire_name_valid(const char *name)
{
    return name && dp_wire_label_valid(name, strlen(name), false);
}

bool dp_wire_interface_valid(const char *text)
{
    size_t len = strlen(text);
    if (len < 1 || len > INTERFACE_MAX_BYTES || strchr(text, '/') || strchr(text, ' '))
        return false;
    /* Rings have a directory for each interface. */
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    return dp_wire_text_valid(text, "", false);
}

int dp_wire_vantage_valid(const char *vantage)
{
    const char *slash = vantage ? strchr(vantage, '/') : NULL;
    return slash && dp_wire_label_valid(vantage, (size_t)(slash - vantage), false) &&
           dp_wire_interface_valid(slash + 1);
}

/* Decodes one character at *text and moves past it. A value past U+10FFFF: not UTF-8 (overlong, surrogate,
 * cut). */
static uint32_t next_character(const unsigned char **text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = *text;
    uint32_t c = *p++;
    size_t more = c < 0x80                ? 0
                  : c >= 0xc2 && c < 0xe0 ? 1
                  : c >= 0xe0 && c < 0xf0 ? 2
                  : c >= 0xf0 && c < 0xf5 ? 3
                                          : 4;
    if (more == 4)
        return UINT32_MAX;
    if (more > 0)
        c &= 0x3fU >> more;
    for (size_t i = 0; i < more; i++) {
        if ((*p & 0xc0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (*p++ & 0x3fU);
    }
    if (c < least[more] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        return UINT32_MAX;
    *text = p;
    return c;
}

bool dp_wire_text_valid(const char *text, const char *allowed, bool c1)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        uint32_t c = next_character(&p);
        if (c == UINT32_MAX)
            return false;
        if (c < 0x20 && !strchr(allowed, (int)c))
            return false;
        if (!c1 && c >= 0x7f && c <= 0x9f)
            return false;
    }
    return true;
}
