#include "cli/headers/report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli/remote/text.h"

static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    char *copy = strdup(text); // bytes that are no UTF-8
    for (char *c = copy; c && *c; c++)
        *c = (unsigned char)*c > 126 ? '?' : *c;
    json = copy ? json_string(copy) : NULL;
    free(copy);
    return json;
}

static json_t *or_null(const char *text)
{
    return text && text[0] ? text_json(text) : json_null();
}

static json_t *decoded(const struct header_list *list, const char *name)
{
    const char *value = headers_find(list, name);
    char *text = value ? header_decode(value) : NULL;
    json_t *json = or_null(text);
    free(text);
    return json;
}

/* The way, oldest hop first. Each delay is the time since the hop before; a clock that is wrong makes it
 * negative. */
static json_t *hops_json(const struct header_list *list, double *ret_total)
{
    json_t *hops = json_array();
    bool known = false, first_known = false;
    int64_t before = 0, first = 0;
    unsigned number = 0;
    for (size_t i = list->count; i-- > 0;) {
        if (strcasecmp(list->fields[i].name, "Received") != 0)
            continue;
        struct received_hop hop;
        char utc[32];
        received_parse(list->fields[i].value, &hop);
        json_t *json =
            json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "hop", (int)++number, "from", or_null(hop.from),
                      "address", or_null(hop.address), "by", or_null(hop.by), "with", or_null(hop.with), "id",
                      or_null(hop.id), "for", or_null(hop.recipient));
        if (!json)
            continue;
        (void)json_object_set_new(
            json, "time",
            hop.has_time ? text_json(dp_time_utc(hop.time * 1000000000, utc, sizeof utc)) : json_null());
        (void)json_object_set_new(
            json, "delay_s", hop.has_time && known ? json_real((double)(hop.time - before)) : json_null());
        (void)json_object_set_new(json, "clock_wrong",
                                  json_boolean(hop.has_time && known && hop.time < before));
        (void)json_array_append_new(hops, json);
        if (hop.has_time) {
            first = first_known ? first : hop.time;
            first_known = known = true;
            before = hop.time;
        }
    }
    *ret_total = first_known ? (double)(before - first) : 0;
    return hops;
}

/* "spf=pass (comment) smtp.mailfrom=x; dkim=fail ..." of RFC 8601: method, result, and what else is said. */
static void take_results(json_t *results, const char *value)
{
    const char *at = strchr(value, ';');
    while (at) {
        at++;
        at += strspn(at, " \t");
        size_t length = strcspn(at, ";");
        const char *equals = memchr(at, '=', length);
        if (equals) {
            size_t method = (size_t)(equals - at), result = strcspn(equals + 1, " \t;(");
            json_t *entry = json_object();
            char *text = strndup(at, length), *name = strndup(at, method),
                 *word = strndup(equals + 1, result);
            if (entry && text && name && word) {
                (void)json_object_set_new(entry, "method", text_json(name));
                (void)json_object_set_new(entry, "result", text_json(word));
                (void)json_object_set_new(entry, "text", text_json(text));
                (void)json_array_append(results, entry);
            }
            json_decref(entry);
            free(text);
            free(name);
            free(word);
        }
        at = at[length] ? at + length : NULL;
    }
}

/* The word of the first result of that method; new reference. */
static json_t *result_of(const json_t *results, const char *method)
{
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *entry = json_array_get(results, i);
        if (strcasecmp(json_string_value(json_object_get(entry, "method")), method) == 0)
            return json_incref(json_object_get(entry, "result"));
    }
    return json_null();
}

static json_t *authentication_json(const struct header_list *list)
{
    json_t *results = json_array(), *signatures = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const char *value = list->fields[i].value;
        if (strcasecmp(list->fields[i].name, "Authentication-Results") == 0 ||
            strcasecmp(list->fields[i].name, "ARC-Authentication-Results") == 0)
            take_results(results, value);
        else if (strcasecmp(list->fields[i].name, "DKIM-Signature") == 0)
            (void)json_array_append_new(signatures, text_json(value));
    }
    json_t *spf = result_of(results, "spf");
    const char *received_spf = headers_find(list, "Received-SPF");
    if (json_is_null(spf) && received_spf) {
        char word[32];
        (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(received_spf, " \t(;"), received_spf);
        for (char *c = word; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        spf = text_json(word);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "spf", spf, "dkim", result_of(results, "dkim"), "dmarc",
                     result_of(results, "dmarc"), "results", results, "dkim_signatures", signatures);
}

static void add_test(json_t *tests, const char *name, size_t length, const char *score)
{
    char *word = strndup(name, length);
    char *end = NULL;
    double number = score ? strtod(score, &end) : 0;
    if (word && length)
        (void)json_array_append_new(tests,
                                    json_pack("{s:o, s:o}", "name", text_json(word), "score",
                                              score && end != score ? json_real(number) : json_null()));
    free(word);
}

static json_t *number_after(const char *text, const char *key)
{
    const char *at = text ? strcasestr(text, key) : NULL;
    char *end = NULL;
    double number = at ? strtod(at + strlen(key), &end) : 0;
    return at && end != at + strlen(key) ? json_real(number) : json_null();
}

/* "Yes, score=6.2 required=5.0 tests=A=1.2,B autolearn=no": a score stands with its test where the report is
 * written so. */
static json_t *spamassassin_json(const struct header_list *list)
{
    const char *status = headers_find(list, "X-Spam-Status"), *report = headers_find(list, "X-Spam-Report");
    if (!status)
        return json_null();
    json_t *tests = json_array();
    const char *at = strcasestr(status, "tests=");
    for (at = at ? at + 6 : ""; *at && *at != ']';) {
        at += strspn(at, "[, ");
        size_t length = strcspn(at, ",= ]");
        const char *score = at[length] == '=' ? at + length + 1 : NULL;
        const char *next = at + strcspn(at, ", ]");
        char found[64] = "";
        if (!score && report && length && length < 50) { // "*  1.2 NAME text" in the report
            char name[64];
            (void)snprintf(name, sizeof name, " %.*s ", (int)length, at);
            const char *there = strstr(report, name), *star = there;
            while (star && star > report && *star != '*')
                star--;
            if (there && *star == '*') {
                (void)snprintf(found, sizeof found, "%.*s",
                               (int)(there - star - 1 < 60 ? there - star - 1 : 60), star + 1);
                score = found;
            }
        }
        if (strncasecmp(at, "none", 4) != 0)
            add_test(tests, at, length, score);
        at = next;
        if (*at == ' ' && strncmp(at, " autolearn", 10) == 0)
            break;
        at += *at == ',' || *at == ' ';
        if (at[-1] == ' ' && strchr(at, '=') && !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", *at))
            break; // the next key of the field
    }
    return json_pack("{s:b, s:o, s:o, s:o}", "spam", strncasecmp(status, "Yes", 3) == 0, "score",
                     number_after(status, "score="), "required", number_after(status, "required="), "tests",
                     tests);
}

/* "default: False [1.50 / 15.00]; NAME(0.50)[option]; ...": rspamd's milter header. */
static json_t *rspamd_json(const struct header_list *list)
{
    const char *value = headers_find(list, "X-Spamd-Result");
    if (!value)
        return json_null();
    json_t *tests = json_array();
    const char *bracket = strchr(value, '['), *slash = bracket ? strchr(bracket, '/') : NULL;
    for (const char *at = strchr(value, ';'); at;) {
        at++;
        at += strspn(at, " \t");
        size_t length = strcspn(at, "(;");
        if (at[length] == '(')
            add_test(tests, at, length, at + length + 1);
        at = strchr(at, ';');
    }
    const char *action = headers_find(list, "X-Rspamd-Action");
    bool spam = strstr(value, ": True") != NULL;
    return json_pack("{s:b, s:o, s:o, s:o, s:o}", "spam", spam, "score",
                     bracket ? number_after(bracket, "[") : json_null(), "required",
                     slash ? number_after(slash, "/") : json_null(), "action", or_null(action), "tests",
                     tests);
}

json_t *headers_report(const struct header_list *list)
{
    double total;
    json_t *hops = hops_json(list, &total);
    json_t *report = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o}", "schema", "droppoint.headers.v1",
        "subject", decoded(list, "Subject"), "from", decoded(list, "From"), "to", decoded(list, "To"), "date",
        or_null(headers_find(list, "Date")), "message_id", or_null(headers_find(list, "Message-ID")), "hops",
        hops, "total_s", total, "authentication", authentication_json(list), "spamassassin",
        spamassassin_json(list), "rspamd", rspamd_json(list));
    return report;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static void print_tests(const json_t *filter, const char *name, FILE *out)
{
    size_t i;
    json_t *test;
    if (!json_is_object(filter))
        return;
    fprintf(out, "\n%s: %s, score %g of %g\n", name,
            json_is_true(json_object_get(filter, "spam")) ? "spam" : "no spam",
            json_number_value(json_object_get(filter, "score")),
            json_number_value(json_object_get(filter, "required")));
    json_array_foreach(json_object_get(filter, "tests"), i, test)
    {
        const json_t *score = json_object_get(test, "score");
        if (json_is_number(score))
            fprintf(out, "  %7.2f  %s\n", json_number_value(score), text_of(test, "name"));
        else
            fprintf(out, "  %7s  %s\n", "", text_of(test, "name"));
    }
}

void headers_print(const json_t *report, FILE *out)
{
    size_t i;
    json_t *hop;
    double longest = 1;
    const json_t *hops = json_object_get(report, "hops"),
                 *authentication = json_object_get(report, "authentication");
    fprintf(out, "Subject  %s\nFrom     %s\nTo       %s\nDate     %s\n\n", text_of(report, "subject"),
            text_of(report, "from"), text_of(report, "to"), text_of(report, "date"));
    json_array_foreach(hops, i, hop)
    {
        double delay = json_number_value(json_object_get(hop, "delay_s"));
        longest = delay > longest ? delay : longest;
    }
    json_array_foreach(hops, i, hop)
    {
        const json_t *delay = json_object_get(hop, "delay_s");
        double seconds = json_number_value(delay);
        char bar[21] = "";
        for (int k = 0; k < 20 && seconds > 0 && k < (int)(seconds / longest * 20 + 0.99); k++)
            strcat(bar, "#");
        fprintf(out, "%3zu  %-20s  ", i + 1, text_of(hop, "time"));
        if (json_is_number(delay))
            fprintf(out, "%+8.0f s", seconds);
        else
            fprintf(out, "%10s", "");
        fprintf(out, "  %-20s  %s -> %s%s%s\n", bar, text_of(hop, "from"), text_of(hop, "by"),
                json_is_string(json_object_get(hop, "with")) ? " with " : "",
                json_is_string(json_object_get(hop, "with")) ? text_of(hop, "with") : "");
        if (json_is_true(json_object_get(hop, "clock_wrong")))
            fprintf(out, "     earlier than the hop before: one of both clocks is wrong\n");
    }
    fprintf(out, "%zu hops, %.0f s in all\n\nSPF %s, DKIM %s, DMARC %s\n", json_array_size(hops),
            json_number_value(json_object_get(report, "total_s")), text_of(authentication, "spf"),
            text_of(authentication, "dkim"), text_of(authentication, "dmarc"));
    print_tests(json_object_get(report, "spamassassin"), "SpamAssassin", out);
    print_tests(json_object_get(report, "rspamd"), "rspamd", out);
}
