#include "common/digest/note_text.h"

#include <string.h>

/* Length of the printable UTF-8 character (RFC 3629) at `at`; 0 where there is none. */
static size_t printable(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f;
    size_t len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || len > left)
        return 0;
    uint32_t value = at[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    bool control = value < 0xa0;
    /* Marks that turn the direction of text around or end a line would falsify what the operator reads. */
    bool turns = (value >= 0x2028 && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069);
    return value < least[len] || value > 0x10ffff || surrogate || control || turns ? 0 : len;
}

size_t dp_note_text_append(char text[DP_NOTE_TEXT], size_t used, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t size = printable(bytes + i, len - i);
        size_t room = size ? size : 1;
        if (used + room >= DP_NOTE_TEXT)
            break;
        if (size)
            memcpy(text + used, bytes + i, size);
        else
            text[used] = '?';
        used += room;
        i += room;
    }
    text[used] = '\0';
    return used;
}

bool dp_note_text_valid(const uint8_t *bytes, size_t len)
{
    if (len >= DP_NOTE_TEXT)
        return false;
    for (size_t i = 0; i < len;) {
        size_t size = printable(bytes + i, len - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}
