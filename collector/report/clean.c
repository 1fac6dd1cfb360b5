#include "collector/report/clean.h"

#include <stdlib.h>
#include <string.h>

/* Whether UTF-8 at `at` is a character that changes the direction of what follows (U+061C, U+200E, U+200F,
 * U+202A to U+202E, U+2066 to U+2069): a name could look like another one. Returns its bytes, or 0. */
static size_t turns_text(const unsigned char *at)
{
    if (at[0] == 0xd8 && at[1] == 0x9c)
        return 2;
    if (at[0] != 0xe2)
        return 0;
    bool turns = (at[1] == 0x80 && (at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xaa && at[2] <= 0xae))) ||
                 (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
    return turns ? 3 : 0;
}

/* Replaces control characters (C0, DEL, C1) in every string: names and server replies must not steer the
 * terminal. */
static void clean_text(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            at[0] = at[1] = '?';
        for (size_t len = turns_text(at); len > 0; len--)
            at[len - 1] = '?';
    }
}

static bool clean_string(json_t *string)
{
    char *copy = strdup(json_string_value(string));
    if (!copy)
        return false;
    clean_text(copy);
    bool ok = json_string_set(string, copy) == 0;
    free(copy);
    return ok;
}

static bool clean_key(json_t *object, const char *key, json_t *value)
{
    char *copy = strdup(key);
    if (!copy)
        return false;
    clean_text(copy);
    bool ok = strcmp(copy, key) == 0 || json_object_set(object, copy, value) == 0;
    if (ok && strcmp(copy, key) != 0)
        (void)json_object_del(object, key);
    free(copy);
    return ok;
}

bool dp_report_clean(json_t *value)
{
    bool ok = true;
    size_t i;
    const char *key;
    json_t *member;
    void *next;
    if (json_is_string(value))
        return clean_string(value);
    json_array_foreach(value, i, member)
    {
        ok = ok && dp_report_clean(member);
    }
    json_object_foreach_safe(value, next, key, member)
    {
        ok = ok && dp_report_clean(member) && clean_key(value, key, member);
    }
    return ok;
}
