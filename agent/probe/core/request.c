#include "agent/probe/core/request.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/probe/core/prober.h"
#include "agent/probe/net/target.h"
#include "common/units/units.h"

#define VALUE_MAX 1024
#define REPEAT_MAX 64

const struct dp_probe_option dp_probe_common_options[] = {
    {"--timeout", DP_OPT_SECONDS, "SECONDS", NULL, 100, 3600000, NULL, false, "bounds the whole probe"},
    {"-4", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false, "IPv4 only"},
    {"-6", DP_OPT_FLAG, NULL, NULL, 0, 0, NULL, false, "IPv6 only"},
    {"--interface", DP_OPT_TEXT, "IF", NULL, 0, 0, NULL, false, "send by this interface"},
    {"--source", DP_OPT_TEXT, "ADDRESS", NULL, 0, 0, NULL, false, "send from this address"},
};
const size_t dp_probe_common_option_count =
    sizeof dp_probe_common_options / sizeof dp_probe_common_options[0];

struct dp_request {
    const struct dp_probe_kind *kind;
    char *target;
    json_t *values; /* option to text, true, or an array of texts */
};

int dp_request_new(const char *kind, struct dp_request **ret_request, struct dp_diag *diag)
{
    const struct dp_probe_kind *found = dp_probe_kind_find(kind);
    if (!found) {
        char names[300] = "";
        for (size_t i = 0; i < dp_probe_kind_count; i++) {
            size_t used = strlen(names);
            (void)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", dp_probe_kinds[i]->name);
        }
        return dp_fail(diag, DP_ERR_NOT_FOUND, "there is no probe '%.40s'; these are known: %s", kind, names);
    }
    struct dp_request *request = calloc(1, sizeof *request);
    json_t *values = json_object();
    char *target = strdup("");
    if (!request || !values || !target) {
        free(request);
        json_decref(values);
        free(target);
        return DP_ERR_NOMEM;
    }
    *request = (struct dp_request){found, target, values};
    *ret_request = request;
    return 0;
}

void dp_request_free(struct dp_request *request)
{
    if (!request)
        return;
    json_decref(request->values);
    free(request->target);
    free(request);
}

static const struct dp_probe_option *find_in(const struct dp_probe_option *options, size_t count,
                                             const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static const struct dp_probe_option *find_option(const struct dp_request *request, const char *name)
{
    const struct dp_probe_option *own = find_in(request->kind->options, request->kind->option_count, name);
    return own ? own : find_in(dp_probe_common_options, dp_probe_common_option_count, name);
}

static bool clean_text(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i]))
            return false;
    return length > 0 && length <= VALUE_MAX;
}

static int number_of(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno)
        return DP_ERR_USAGE;
    *ret_number = number;
    return 0;
}

static bool is_word(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = words; *at;) {
        size_t word = strcspn(at, "|");
        if (word == length && strncmp(at, text, word) == 0)
            return true;
        at += word + (at[word] == '|');
    }
    return false;
}

static int check_value(const struct dp_probe_option *option, const char *value, struct dp_diag *diag)
{
    uint64_t number = 0;
    if (option->type == DP_OPT_FLAG)
        return value ? dp_fail(diag, DP_ERR_USAGE, "%s takes no value", option->name) : 0;
    if (!value || !clean_text(value))
        return dp_fail(diag, DP_ERR_USAGE, "%s needs a value: 1 to %d characters without control characters",
                       option->name, VALUE_MAX);
    switch (option->type) {
    case DP_OPT_NUMBER:
        if (number_of(value, &number) || number < option->min || number > option->max)
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a whole number from %llu to %llu, not '%s'",
                           option->name, (unsigned long long)option->min, (unsigned long long)option->max,
                           value);
        return 0;
    case DP_OPT_SECONDS:
        if (dp_duration_parse(value, &number) || number < option->min || number > option->max)
            return dp_fail(diag, DP_ERR_USAGE,
                           "%s needs seconds from %.12g to %.12g, such as 2.5 or 500ms, not '%s'", option->name,
                           (double)option->min / 1000, (double)option->max / 1000, value);
        return 0;
    case DP_OPT_WORD:
        if (!is_word(option->words, value))
            return dp_fail(diag, DP_ERR_USAGE, "%s is one of %s, not '%s'", option->name, option->words,
                           value);
        return 0;
    case DP_OPT_TEXT:
    case DP_OPT_FLAG:
        break;
    }
    return 0;
}

int dp_request_set(struct dp_request *request, const char *option, const char *value, struct dp_diag *diag)
{
    const struct dp_probe_option *found = find_option(request, option);
    if (!found)
        return dp_fail(diag, DP_ERR_USAGE, "unknown option %.60s for the probe %s", option,
                       request->kind->name);
    int rc = check_value(found, value, diag);
    if (rc)
        return rc;
    json_t *text = value ? json_string(value) : json_true();
    if (!text) // jansson takes UTF-8 only
        return dp_fail(diag, DP_ERR_USAGE, "%s: the value is not UTF-8", option);
    if (!found->repeat)
        return json_object_set_new(request->values, option, text) ? DP_ERR_NOMEM : 0;
    json_t *list = json_object_get(request->values, option);
    if (!list) {
        list = json_array();
        if (json_object_set_new(request->values, option, list)) {
            json_decref(text);
            return DP_ERR_NOMEM;
        }
    }
    if (json_array_size(list) == REPEAT_MAX) {
        json_decref(text);
        return dp_fail(diag, DP_ERR_USAGE, "%s more than %d times", option, REPEAT_MAX);
    }
    return json_array_append_new(list, text) ? DP_ERR_NOMEM : 0;
}

int dp_request_set_target(struct dp_request *request, const char *target, struct dp_diag *diag)
{
    json_t *utf8 = json_string(target);
    json_decref(utf8);
    if (!utf8 || !clean_text(target))
        return dp_fail(diag, DP_ERR_USAGE,
                       "the target needs 1 to %d characters of UTF-8 without control characters", VALUE_MAX);
    char *copy = strdup(target);
    if (!copy)
        return DP_ERR_NOMEM;
    free(request->target);
    request->target = copy;
    return 0;
}

int dp_request_check(struct dp_request *request, struct dp_diag *diag)
{
    const struct dp_probe_kind *kind = request->kind;
    if (kind->target == DP_TARGET_REQUIRED && !request->target[0])
        return dp_fail(diag, DP_ERR_USAGE, "the probe %s needs a target: %s", kind->name, kind->target_text);
    if (kind->target == DP_TARGET_NONE && request->target[0])
        return dp_fail(diag, DP_ERR_USAGE, "the probe %s takes no target", kind->name);
    if (dp_request_flag(request, "-4") && dp_request_flag(request, "-6"))
        return dp_fail(diag, DP_ERR_USAGE, "-4 and -6 exclude each other");
    const char *interface = dp_request_text(request, "--interface");
    if (interface && !if_nametoindex(interface))
        return dp_fail(diag, DP_ERR_INTERFACE, "--interface %s: there is no such interface on this host",
                       interface);
    const char *source = dp_request_text(request, "--source");
    union dp_address from;
    if (source && dp_address_parse(source, 0, &from))
        return dp_fail(diag, DP_ERR_USAGE, "--source needs an IPv4 or IPv6 address, not '%s'", source);
    int family = source ? from.any.sa_family : AF_UNSPEC;
    if ((family == AF_INET && dp_request_flag(request, "-6")) ||
        (family == AF_INET6 && dp_request_flag(request, "-4")))
        return dp_fail(diag, DP_ERR_USAGE, "--source %s is not of the family that -4 or -6 asks for", source);
    return 0;
}

const struct dp_probe_kind *dp_request_kind(const struct dp_request *request)
{
    return request->kind;
}

const char *dp_request_target(const struct dp_request *request)
{
    return request->target;
}

bool dp_request_flag(const struct dp_request *request, const char *option)
{
    return json_is_true(json_object_get(request->values, option));
}

bool dp_request_given(const struct dp_request *request, const char *option)
{
    return json_object_get(request->values, option) != NULL;
}

const char *dp_request_text(const struct dp_request *request, const char *option)
{
    const char *text = json_string_value(json_object_get(request->values, option));
    const struct dp_probe_option *found = text ? NULL : find_option(request, option);
    return text || !found ? text : found->fallback;
}

uint64_t dp_request_number(const struct dp_request *request, const char *option)
{
    const char *text = dp_request_text(request, option);
    uint64_t number = 0;
    return text && number_of(text, &number) == 0 ? number : 0;
}

uint64_t dp_request_ms(const struct dp_request *request, const char *option)
{
    const char *text = dp_request_text(request, option);
    uint64_t ms = 0;
    return text && dp_duration_parse(text, &ms) == 0 ? ms : 0;
}

size_t dp_request_list_size(const struct dp_request *request, const char *option)
{
    return json_array_size(json_object_get(request->values, option));
}

const char *dp_request_list(const struct dp_request *request, const char *option, size_t index)
{
    return json_string_value(json_array_get(json_object_get(request->values, option), index));
}

int dp_request_family(const struct dp_request *request)
{
    const char *source = dp_request_text(request, "--source");
    union dp_address from;
    if (dp_request_flag(request, "-4"))
        return AF_INET;
    if (dp_request_flag(request, "-6"))
        return AF_INET6;
    return source && dp_address_parse(source, 0, &from) == 0 ? from.any.sa_family : AF_UNSPEC;
}

uint64_t dp_request_timeout_ms(const struct dp_request *request)
{
    return dp_request_given(request, "--timeout") ? dp_request_ms(request, "--timeout")
                                                  : request->kind->timeout_ms;
}

void dp_request_each(const struct dp_request *request,
                     void (*each)(void *context, const char *option, const char *value), void *context)
{
    const char *option;
    json_t *value;
    json_object_foreach(request->values, option, value)
    {
        if (!json_is_array(value))
            each(context, option, json_string_value(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            each(context, option, json_string_value(json_array_get(value, i)));
    }
}
