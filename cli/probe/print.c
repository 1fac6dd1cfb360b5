#include "cli/probe/print.h"

#include <string.h>

#include "agent/probe/core/prober.h"
#include "cli/remote/options.h"
#include "cli/remote/text.h"

json_t *probe_document(const char *kind, const char *target, json_t *results, json_t *comparison)
{
    json_t *document = json_pack("{s:s, s:s, s:s, s:O}", "schema", "droppoint.probe.v1", "kind", kind,
                                 "target", target, "results", results);
    if (document && comparison)
        (void)json_object_set(document, "comparison", comparison);
    return document;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static enum dp_probe_status status_of(const json_t *result)
{
    const char *name = text_of(result, "status");
    for (int s = DP_STATUS_OK; s <= DP_STATUS_UNKNOWN; s++)
        if (strcmp(dp_status_name((enum dp_probe_status)s), name) == 0)
            return (enum dp_probe_status)s;
    return DP_STATUS_UNKNOWN;
}

/* A copy in which no string can move the cursor. */
static json_t *printable_copy(const json_t *value)
{
    if (json_is_string(value)) {
        char *text = strdup(json_string_value(value));
        json_t *copy = text ? json_string(dp_printable(text)) : NULL;
        free(text);
        return copy;
    }
    if (json_is_array(value)) {
        json_t *copy = json_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            (void)json_array_append_new(copy, printable_copy(json_array_get(value, i)));
        return copy;
    }
    if (json_is_object(value)) {
        json_t *copy = json_object();
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            char *name = strdup(key);
            if (name)
                (void)json_object_set_new(copy, dp_printable(name), printable_copy(member));
            free(name);
        }
        return copy;
    }
    return json_deep_copy(value);
}

void probe_print(const json_t *document, FILE *out)
{
    json_t *safe = printable_copy(document);
    const struct dp_probe_kind *kind = dp_probe_kind_find(text_of(safe, "kind"));
    const json_t *results = json_object_get(safe, "results");
    size_t count = json_array_size(results);
    for (size_t i = 0; i < count; i++) {
        const json_t *result = json_array_get(results, i);
        if (count > 1)
            fprintf(out, "%s%s: ", i ? "\n" : "", text_of(result, "agent"));
        fprintf(out, "%s  %s\n", text_of(result, "class"), text_of(result, "summary"));
        if (kind && kind->print)
            kind->print(json_object_get(result, "data"), out);
        if (text_of(result, "next_step")[0])
            fprintf(out, "Next step: %s\n", text_of(result, "next_step"));
    }
    size_t f;
    const json_t *failure, *comparison = json_object_get(safe, "comparison");
    json_array_foreach(json_object_get(safe, "failures"), f, failure)
    {
        fprintf(out, "\n%s: no result: %s\n", text_of(failure, "agent"), text_of(failure, "text"));
    }
    if (comparison)
        fprintf(out, "\n%s\n", text_of(comparison, "summary"));
    json_decref(safe);
}

int probe_exit_code(const json_t *document)
{
    const json_t *results = json_object_get(document, "results");
    bool whole = json_array_size(results) && !json_array_size(json_object_get(document, "failures"));
    int code = whole ? DP_EXIT_CLEAN : DP_EXIT_INCONCLUSIVE;
    for (size_t i = 0; i < json_array_size(results); i++) {
        enum dp_probe_status status = status_of(json_array_get(results, i));
        if (status == DP_STATUS_CRITICAL)
            return DP_EXIT_FAULT;
        // a warning is a fault where its class is one: `ok` classes and those worth knowing are none
        if (status == DP_STATUS_UNKNOWN)
            code = DP_EXIT_INCONCLUSIVE;
    }
    return code;
}

int probe_print_nagios(const json_t *document, FILE *out)
{
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    static const int badness[] = {0, 1, 3, 2};
    json_t *safe = printable_copy(document);
    const struct dp_probe_kind *kind = dp_probe_kind_find(text_of(safe, "kind"));
    const json_t *results = json_object_get(safe, "results"), *worst = json_array_get(results, 0);
    for (size_t i = 1; i < json_array_size(results); i++)
        if (badness[status_of(json_array_get(results, i))] > badness[status_of(worst)])
            worst = json_array_get(results, i);
    enum dp_probe_status status = worst ? status_of(worst) : DP_STATUS_UNKNOWN;
    const json_t *failure = json_array_get(json_object_get(safe, "failures"), 0);
    if (failure && status != DP_STATUS_CRITICAL)
        status = DP_STATUS_UNKNOWN;
    char summary[1400];
    (void)snprintf(summary, sizeof summary, "%s%s%s%s%s%s%s",
                   json_array_size(results) > 1 ? text_of(worst, "agent") : "",
                   json_array_size(results) > 1 ? ": " : "", worst ? text_of(worst, "summary") : "no result",
                   failure ? "; " : "", failure ? text_of(failure, "agent") : "",
                   failure ? ": no result: " : "", failure ? text_of(failure, "text") : "");
    for (char *c = summary; *c; c++) // the bar begins performance data
        if (*c == '|')
            *c = '/';
    fprintf(out, "%s %s: %s: %s", kind ? kind->name : "probe", words[status],
            worst ? text_of(worst, "class") : "none", summary);
    if (worst) {
        fprintf(out, " | duration=%.1fms", json_number_value(json_object_get(worst, "duration_ms")));
        if (kind && kind->perfdata && fputs(" ", out) >= 0)
            kind->perfdata(json_object_get(worst, "data"), out);
    }
    fputs("\n", out);
    json_decref(safe);
    return (int)status;
}

int probe_show(json_t *document, bool json, bool nagios)
{
    int code = probe_exit_code(document);
    if (json) {
        if (json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) || putchar('\n') < 0)
            code = dp_trouble("the document could not be written to standard output");
    } else if (nagios) {
        code = probe_print_nagios(document, stdout);
    } else {
        probe_print(document, stdout);
    }
    json_decref(document);
    return code;
}
