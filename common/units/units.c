#include "common/units/units.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

int dp_duration_parse(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}};
    if (!text || !isdigit((unsigned char)text[0]))
        return DP_ERR_USAGE;
    uint64_t whole = 0, thousandths = 0, place = 100;
    for (; isdigit((unsigned char)*text); text++) {
        whole = whole * 10 + (uint64_t)(*text - '0');
        if (whole > 1000000000000)
            return DP_ERR_USAGE;
    }
    if (*text == '.') {
        if (!isdigit((unsigned char)*++text))
            return DP_ERR_USAGE;
        for (; isdigit((unsigned char)*text); text++, place /= 10)
            thousandths += (uint64_t)(*text - '0') * place;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(text, units[i].name)) {
            *ret_ms = whole * units[i].ms + thousandths * units[i].ms / 1000;
            return 0;
        }
    return DP_ERR_USAGE;
}
