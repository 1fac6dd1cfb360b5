#include "collector/run/probe_compare.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 32

/* What those say who have no fault to tell of. */
static const struct {
    const char *kind, *one, *many; /* "mx1 reaches it", "mx1 and lb1 reach it" */
} verbs[] = {
    {"ping", "reaches it", "reach it"},
    {"tcp", "reaches it", "reach it"},
    {"trace", "reaches it", "reach it"},
    {"mtu", "passes whole packets", "pass whole packets"},
    {"smtp", "can deliver", "can deliver"},
    {"imap", "gets in", "get in"},
    {"pop3", "gets in", "get in"},
    {"firewall", "lets it pass", "let it pass"},
    {"dns", "sees it right", "see it right"},
    {"zone", "sees it in sync", "see it in sync"},
    {"dnsbl", "is not listed", "are not listed"},
};

struct group {
    char *signature;
    const json_t *first; /* the first result of it */
    bool fine;
    size_t count;
};

struct text {
    char *bytes;
    size_t len, size;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void add(struct text *text, const char *piece)
{
    size_t len = strlen(piece);
    if (text->len + len + 1 > text->size)
        return; /* cut: the results themselves are there as well */
    memcpy(text->bytes + text->len, piece, len + 1);
    text->len += len;
}

/* --- what counts as the same --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A list in sorted order, so that an order that means nothing makes no difference. */
static json_t *sorted(const json_t *list)
{
    size_t count = json_array_size(list);
    char **texts = calloc(count + 1, sizeof *texts);
    json_t *out = json_array();
    for (size_t i = 0; texts != NULL && i < count; i++) {
        texts[i] = json_dumps(json_array_get(list, i), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        if (texts[i] == NULL)
            texts[i] = strdup("");
    }
    if (texts != NULL)
        qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; texts != NULL && i < count; i++) {
        (void)json_array_append_new(out, json_string(texts[i]));
        free(texts[i]);
    }
    free(texts);
    return out;
}

/* Inside and outside may get different answers (split DNS): name, type and answers of every question, of the
 * first server that the agent's resolver is. */
static json_t *dns_view(const json_t *data)
{
    json_t *views = json_array();
    size_t q;
    const json_t *question, *server = json_array_get(json_object_get(data, "servers"), 0);
    json_array_foreach(json_object_get(server, "questions"), q, question)
    {
        json_t *answers = json_array();
        size_t a;
        const json_t *answer;
        json_array_foreach(json_object_get(question, "answers"), a, answer)
        {
            const json_t *value = json_object_get(answer, "data");
            (void)json_array_append_new(answers, json_deep_copy(value != NULL ? value : answer));
        }
        (void)json_array_append_new(views, json_pack("[s, s, o]", text_of(question, "name"),
                                                     text_of(question, "type"), sorted(answers)));
        json_decref(answers);
    }
    return views;
}

static json_t *zone_view(const json_t *data)
{
    json_t *views = json_array();
    size_t i;
    const json_t *server;
    json_array_foreach(json_object_get(data, "servers"), i, server)
    {
        json_t *serial = json_object_get(server, "serial");
        (void)json_array_append_new(views, json_pack("[s, O?]", text_of(server, "address"), serial));
    }
    json_t *out = sorted(views);
    json_decref(views);
    return out;
}

/* Two results with the same signature say the same. NULL when out of memory. */
static char *signature_of(const char *kind, const json_t *result)
{
    const json_t *data = json_object_get(result, "data");
    json_t *parts = json_pack("[s]", text_of(result, "class"));
    static const char *const telling[] = {"icmp_from", "icmp_type", "icmp_code", "largest", "clamp", "stage"};
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++) {
        json_t *value = json_object_get(data, telling[i]);
        (void)json_array_append_new(parts, value != NULL ? json_incref(value) : json_null());
    }
    if (strcmp(kind, "dns") == 0)
        (void)json_array_append_new(parts, dns_view(data));
    if (strcmp(kind, "zone") == 0)
        (void)json_array_append_new(parts, zone_view(data));
    char *signature = json_dumps(parts, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    json_decref(parts);
    return signature;
}

/* --- groups --- */

static size_t make_groups(const char *kind, const json_t *results, struct group *groups, size_t *group_of)
{
    size_t count = 0, i;
    const json_t *result;
    json_array_foreach(results, i, result)
    {
        char *signature = signature_of(kind, result);
        size_t g = 0;
        while (g < count && strcmp(groups[g].signature, signature != NULL ? signature : "") != 0)
            g++;
        if (g == count && count == GROUPS_MAX)
            g = GROUPS_MAX - 1; /* all different: the rest is not told apart */
        if (g == count) {
            const char *status = text_of(result, "status");
            groups[count++] =
                (struct group){.signature = signature != NULL ? signature : strdup(""),
                               .first = result,
                               .fine = strcmp(status, "ok") == 0 || strcmp(status, "warning") == 0};
            signature = NULL;
        }
        free(signature);
        groups[g].count++;
        group_of[i] = g;
    }
    return count;
}

static void add_names(struct text *out, const json_t *results, const size_t *group_of,
                      const struct group *groups, size_t g)
{
    size_t i, said = 0;
    const json_t *result;
    json_array_foreach(results, i, result)
    {
        if (group_of[i] != g)
            continue;
        if (said > 0)
            add(out, said + 1 == groups[g].count ? " and " : ", ");
        add(out, text_of(result, "agent"));
        said++;
    }
}

static void add_fault(struct text *out, const json_t *result)
{
    char icmp[160];
    const json_t *data = json_object_get(result, "data"), *type = json_object_get(data, "icmp_type"),
                 *code = json_object_get(data, "icmp_code");
    add(out, text_of(result, "class"));
    if (!json_is_integer(code))
        return;
    snprintf(icmp, sizeof icmp, ", ICMP %lld/%lld from %.64s",
             (long long)(json_is_integer(type) ? json_integer_value(type) : 3),
             (long long)json_integer_value(code), text_of(data, "icmp_from"));
    add(out, icmp);
}

static const char *verb_of(const char *kind, bool many)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].kind, kind) == 0)
            return many ? verbs[i].many : verbs[i].one;
    return many ? "find no fault" : "finds no fault";
}

/* How many groups are alike in this: their members can only be told apart by what they saw. */
static bool alone(const struct group *groups, size_t count, size_t g)
{
    for (size_t i = 0; i < count; i++)
        if (i != g && groups[i].fine == groups[g].fine &&
            strcmp(text_of(groups[i].first, "class"), text_of(groups[g].first, "class")) == 0)
            return false;
    return true;
}

static void add_group(struct text *out, const char *kind, const json_t *results, const size_t *group_of,
                      const struct group *groups, size_t count, size_t g, bool any_fine)
{
    const struct group *group = &groups[g];
    add_names(out, results, group_of, groups, g);
    if (group->fine && alone(groups, count, g)) {
        add(out, " ");
        add(out, verb_of(kind, group->count > 1));
        return;
    }
    if (!group->fine && any_fine && alone(groups, count, g))
        add(out, group->count > 1 ? " do not: " : " does not: ");
    else
        add(out, group->count > 1 ? " say " : " says ");
    if (alone(groups, count, g))
        add_fault(out, group->first);
    else
        add(out, text_of(group->first, "summary"));
}

/* Along the path: the first place where a result differs from the one before. */
static void add_place(struct text *out, const json_t *results, const size_t *group_of, const char *path)
{
    for (size_t i = 1; i < json_array_size(results); i++) {
        if (group_of[i] == group_of[i - 1])
            continue;
        add(out, ". Along the path ");
        add(out, path);
        add(out, " it changes between ");
        add(out, text_of(json_array_get(results, i - 1), "agent"));
        add(out, " and ");
        add(out, text_of(json_array_get(results, i), "agent"));
        return;
    }
}

static void say(struct text *out, const char *kind, const json_t *results, const size_t *group_of,
                const struct group *groups, size_t count, const char *path)
{
    bool any_fine = false;
    for (size_t g = 0; g < count; g++)
        any_fine = any_fine || groups[g].fine;
    if (count == 1) {
        add_names(out, results, group_of, groups, 0);
        add(out, groups[0].count == 2 ? " both" : " all");
        add(out, groups[0].fine ? " " : " say ");
        if (groups[0].fine)
            add(out, verb_of(kind, true));
        else
            add_fault(out, groups[0].first);
        return;
    }
    bool first = true;
    for (int fine = 1; fine >= 0; fine--)
        for (size_t g = 0; g < count; g++) {
            if (groups[g].fine != (fine == 1))
                continue;
            add(out, first ? "" : "; ");
            add_group(out, kind, results, group_of, groups, count, g, any_fine);
            first = false;
        }
    for (size_t g = 0; g < count; g++)
        if (groups[g].fine && !alone(groups, count, g)) {
            add(out, strcmp(kind, "dns") == 0 ? ". Their answers differ" : ". What they measured differs");
            break;
        }
    if (path != NULL)
        add_place(out, results, group_of, path);
}

json_t *dp_probe_compare(const char *kind, const json_t *results, const char *path)
{
    size_t count = json_array_size(results);
    if (count < 2)
        return NULL;
    struct group groups[GROUPS_MAX] = {{NULL, NULL, false, 0}};
    size_t *group_of = calloc(count, sizeof *group_of);
    char bytes[2048] = "";
    struct text out = {bytes, 0, sizeof bytes};
    json_t *comparison = NULL;
    if (group_of != NULL) {
        size_t groups_count = make_groups(kind, results, groups, group_of);
        say(&out, kind, results, group_of, groups, groups_count, path);
        comparison = json_pack("{s:b, s:s}", "agree", groups_count == 1, "summary", bytes);
        for (size_t g = 0; g < groups_count; g++)
            free(groups[g].signature);
    }
    free(group_of);
    return comparison;
}
