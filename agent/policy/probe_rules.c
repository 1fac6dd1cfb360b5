#include "agent/policy/probe_rules.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prefix {
    uint8_t bytes[16];
    unsigned size, bits; /* size in bytes: 4 or 16 */
};

/* "192.0.2.0/24", "2001:db8::1"; without a length the address alone. */
static bool parse_prefix(const char *text, struct prefix *ret_prefix)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/%");
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    struct prefix prefix = {.size = 4};
    if (inet_pton(AF_INET, address, prefix.bytes) != 1) {
        prefix.size = 16;
        if (inet_pton(AF_INET6, address, prefix.bytes) != 1)
            return false;
    }
    prefix.bits = prefix.size * 8;
    if (text[length] == '/') {
        char *end;
        unsigned long bits = strtoul(text + length + 1, &end, 10);
        if (end == text + length + 1 || *end || bits > prefix.bits)
            return false;
        prefix.bits = (unsigned)bits;
    }
    *ret_prefix = prefix;
    return true;
}

/* Every address of `inner` lies in `outer`. */
static bool covers(const struct prefix *outer, const struct prefix *inner)
{
    if (outer->size != inner->size || inner->bits < outer->bits)
        return false;
    unsigned whole = outer->bits / 8, rest = outer->bits % 8;
    if (memcmp(outer->bytes, inner->bytes, whole) != 0)
        return false;
    unsigned mask = rest ? 0xFFu << (8 - rest) & 0xFFu : 0;
    return rest == 0 || (outer->bytes[whole] & mask) == (inner->bytes[whole] & mask);
}

/* Addresses are compared as such; so no name can pass for one, and no pattern for names lets an address
 * through, but the lone star. */
static bool place_allowed(const char *rule, const char *place)
{
    struct prefix ours, theirs;
    bool rule_is_prefix = parse_prefix(rule, &ours), place_is_prefix = parse_prefix(place, &theirs);
    if (strcmp(rule, "*") == 0)
        return true;
    if (rule_is_prefix != place_is_prefix)
        return false;
    return rule_is_prefix ? covers(&ours, &theirs) : fnmatch(rule, place, FNM_CASEFOLD) == 0;
}

static bool any_matches(char **rules, unsigned count, const char *text, bool place)
{
    for (unsigned i = 0; i < count; i++)
        if (place ? place_allowed(rules[i], text) : fnmatch(rules[i], text, FNM_PATHNAME | FNM_PERIOD) == 0)
            return true;
    return false;
}

int dp_probe_rules_valid(const struct dp_probe_rules *rules, const char *path, struct dp_diag *diag)
{
    for (unsigned i = 0; i < rules->target_count; i++) {
        const char *entry = rules->targets[i], *slash = strchr(entry, '/');
        struct prefix prefix;
        if (slash && slash != entry && strspn(slash + 1, "0123456789") == strlen(slash + 1) &&
            !parse_prefix(entry, &prefix))
            return dp_fail(diag, DP_ERR_USAGE, "%s: key \"probe_targets\": \"%.100s\" is no address prefix.",
                           path, entry);
    }
    return DP_OK;
}

static int check_places(const struct dp_probe_rules *rules, const struct dp_probe_wish *wish,
                        struct dp_diag *diag)
{
    for (size_t i = 0; i < wish->place_count && rules->target_count > 0; i++)
        if (!any_matches(rules->targets, rules->target_count, wish->places[i], true))
            return dp_fail(diag, DP_ERR_DENIED,
                           "This agent's policy does not allow probes towards %.200s (key probe_targets).",
                           wish->places[i]);
    for (size_t i = 0; i < wish->file_count; i++)
        if (strstr(wish->files[i], "..") ||
            !any_matches(rules->files, rules->file_count, wish->files[i], false))
            return dp_fail(diag, DP_ERR_DENIED,
                           "This agent's policy does not name the file %.200s for probes (key probe_files).",
                           wish->files[i]);
    return DP_OK;
}

int dp_probe_rules_check(const struct dp_probe_rules *rules, const struct dp_probe_wish *wish,
                         struct dp_diag *diag)
{
    if (rules->kind_count > 0 && !any_matches(rules->kinds, rules->kind_count, wish->kind, false))
        return dp_fail(diag, DP_ERR_DENIED,
                       "This agent's policy does not allow the probe %.40s (key probes).", wish->kind);
    int code = check_places(rules, wish, diag);
    if (code != DP_OK)
        return code;
    if (wish->timeout_ms > rules->max_seconds * 1000)
        return dp_fail(diag, DP_ERR_DENIED,
                       "This agent's policy allows probes of at most %llu seconds (key max_probe_seconds).",
                       (unsigned long long)rules->max_seconds);
    if (wish->running >= rules->at_once)
        return dp_fail(
            diag, DP_ERR_DENIED,
            "This agent's policy allows %llu probes at once, and so many run (key max_probes_at_once).",
            (unsigned long long)rules->at_once);
    if (wish->last_minute >= rules->per_minute)
        return dp_fail(diag, DP_ERR_DENIED,
                       "This agent's policy allows %llu probes a minute, and so many were run (key "
                       "max_probes_per_minute).",
                       (unsigned long long)rules->per_minute);
    return DP_OK;
}
