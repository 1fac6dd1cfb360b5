#include "agent/probe/core/parts.h"

#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/prober.h"

/* The whole ends after its parts, so that none is cut before it has said what it knows. */
#define MARGIN_MS 1000
#define MARGIN_OF_TIMEOUT_MS 250
#define LEAST_MS 100 /* that --timeout takes */

struct part {
    struct dp_parts *owner;
    json_t *id;
    struct dp_request *request;
    struct dp_probe *probe; /* NULL: over, or not begun */
    bool done, skipped;
    int code; /* of a part that has no result */
    enum dp_probe_status status;
    char class[32], summary[600], next_step[600];
    json_t *data;
};

struct dp_parts {
    struct dp_probe *probe; /* the whole */
    const struct dp_parts_rules *rules;
    struct dp_prober *prober; /* their own: they go at once when the whole does */
    struct part *list;
    size_t count, room, next, running;
    char note[120];
    bool concluded;
};

int dp_parts_new(struct dp_probe *probe, const struct dp_parts_rules *rules, size_t count,
                 struct dp_parts **ret_parts, struct dp_diag *diag)
{
    struct dp_parts *parts = calloc(1, sizeof *parts);
    struct part *list = calloc(count ? count : 1, sizeof *list);
    int rc = parts && list ? 0 : DP_ERR_NOMEM;
    if (!rc) {
        *parts = (struct dp_parts){.probe = probe, .rules = rules, .list = list, .room = count};
        rc = dp_prober_new(dp_probe_loop(probe), &parts->prober, diag);
    }
    if (rc) {
        free(parts);
        free(list);
        return rc;
    }
    *ret_parts = parts;
    return 0;
}

/* --- what is asked of a part --- */

struct copying {
    struct dp_request *request;
    const char *without;
    struct dp_diag *diag;
    int rc;
};

static void copy_option(void *context, const char *option, const char *value)
{
    struct copying *copying = context;
    bool left = strcmp(option, "--timeout") == 0 || strcmp(option, "-4") == 0 || strcmp(option, "-6") == 0 ||
                (copying->without && strcmp(option, copying->without) == 0);
    if (!copying->rc && !left)
        copying->rc = dp_request_set(copying->request, option, value, copying->diag);
}

int dp_parts_request(const struct dp_parts *parts, const char *without, struct dp_request **ret_request,
                     struct dp_diag *diag)
{
    const struct dp_request *whole = dp_probe_request(parts->probe);
    struct copying copying = {.without = without, .diag = diag};
    copying.rc = dp_request_new(dp_request_kind(whole)->name, &copying.request, diag);
    if (copying.rc)
        return copying.rc;
    dp_request_each(whole, copy_option, &copying);
    if (copying.rc)
        dp_request_free(copying.request);
    else
        *ret_request = copying.request;
    return copying.rc;
}

static void put_failure(struct part *part, int code, const char *why)
{
    part->done = true;
    part->code = code;
    part->status = DP_STATUS_UNKNOWN;
    (void)snprintf(part->class, sizeof part->class, "inconclusive");
    (void)snprintf(part->summary, sizeof part->summary, "%s", why);
}

void dp_parts_add(struct dp_parts *parts, json_t *id, struct dp_request *request, int rc, const char *why)
{
    if (parts->count == parts->room) {
        json_decref(id);
        dp_request_free(request);
        return;
    }
    struct part *part = &parts->list[parts->count++];
    *part = (struct part){.owner = parts, .id = id, .request = request};
    if (rc)
        put_failure(part, rc, why);
}

void dp_parts_skip(struct dp_parts *parts, json_t *id, const char *why)
{
    dp_parts_add(parts, id, NULL, 0, NULL);
    struct part *part = &parts->list[parts->count - 1];
    part->skipped = true;
    put_failure(part, 0, why);
}

/* --- what it came to --- */

static int rank(const struct dp_parts *parts, const struct part *part)
{
    static const int by_status[] = {
        [DP_STATUS_OK] = 0, [DP_STATUS_WARNING] = 1, [DP_STATUS_UNKNOWN] = 2, [DP_STATUS_CRITICAL] = 3};
    int order = 0;
    for (int i = 0; parts->rules->classes[i]; i++)
        if (strcmp(parts->rules->classes[i], part->class) == 0)
            order = i;
    return by_status[part->status] * 64 + order;
}

static bool is_well(const struct part *part)
{
    return part->done && !part->code && !part->skipped && part->status == DP_STATUS_OK;
}

static json_t *entry_json(const struct dp_parts *parts, const struct part *part)
{
    json_t *entry = json_object(), *data = part->probe ? dp_probe_data(part->probe) : part->data;
    (void)json_object_update(entry, part->id);
    if (data)
        (void)json_object_update(entry, data);
    if (parts->rules->detail && is_well(part))
        (void)json_object_del(entry, parts->rules->detail);
    (void)json_object_set_new(entry, "class", part->done ? json_string(part->class) : json_null());
    (void)json_object_set_new(entry, "status",
                              part->done ? json_string(dp_status_name(part->status)) : json_null());
    (void)json_object_set_new(entry, "summary", json_string(part->summary));
    (void)json_object_set_new(entry, "skipped", json_boolean(part->skipped));
    return entry;
}

static json_t *entries_json(const struct dp_parts *parts)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < parts->count; i++)
        (void)json_array_append_new(entries, entry_json(parts, &parts->list[i]));
    return entries;
}

/* "; 1 of its 2 addresses is well". Counts those that were tried. */
static void describe_rest(const struct dp_parts *parts, const struct part *worst, char *text, size_t size)
{
    size_t well = 0, tried = 0, used = 0;
    const char *what = parts->rules->array;
    for (size_t i = 0; i < parts->count; i++) {
        tried += !parts->list[i].skipped;
        well += is_well(&parts->list[i]);
    }
    text[0] = '\0';
    if (worst->status != DP_STATUS_OK && well)
        used = (size_t)snprintf(text, size, "; %zu of %zu %s %s well", well, tried, what,
                                well == 1 ? "is" : "are");
    else if (tried > 1)
        used = (size_t)snprintf(text, size, "; %zu %s tried", tried, what);
    (void)snprintf(text + used, size - used, "%s", parts->note);
}

static void conclude(struct dp_parts *parts)
{
    const struct part *worst = NULL, *failed = NULL;
    if (parts->concluded)
        return;
    parts->concluded = true;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->list[i];
        failed = part->code && !failed ? part : failed;
        if (part->done && !part->code && !part->skipped && (!worst || rank(parts, part) > rank(parts, worst)))
            worst = part;
    }
    if (!worst) {
        dp_probe_fail(parts->probe, failed ? failed->code : DP_ERR_TIMEOUT, "%s",
                      failed ? failed->summary : "nothing could be tried");
        return;
    }
    json_t *data = dp_probe_data(parts->probe), *entries = entries_json(parts);
    (void)json_object_clear(data); // what was there for who watched
    (void)json_object_update(data, worst->data);
    (void)json_object_set_new(data, parts->rules->array, entries);
    bool open_question = failed && worst->status == DP_STATUS_OK;
    if (worst->status == DP_STATUS_WARNING || open_question)
        dp_probe_warn(parts->probe);
    char rest[200];
    describe_rest(parts, worst, rest, sizeof rest);
    dp_probe_finish(parts->probe, worst->class,
                    open_question ? "Not every one could be tried: its entry says why." : worst->next_step,
                    "%.*s%s", (int)(sizeof worst->summary - sizeof rest), worst->summary, rest);
}

/* --- how they run --- */

static void go_on(struct dp_parts *parts);

static void on_done(void *context, const struct dp_probe_result *result)
{
    struct part *part = context;
    struct dp_parts *parts = part->owner;
    part->probe = NULL;
    part->data = json_incref(result->data);
    parts->running--;
    if (parts->concluded)
        return;
    if (result->code) {
        put_failure(part, result->code, result->summary);
    } else {
        part->done = true;
        part->status = result->status;
        (void)snprintf(part->class, sizeof part->class, "%s", result->class);
        (void)snprintf(part->summary, sizeof part->summary, "%s", result->summary);
        (void)snprintf(part->next_step, sizeof part->next_step, "%s", result->next_step);
    }
    go_on(parts);
}

/* Who watches finds in data how far the parts are. */
static void on_says(void *context, const char *text)
{
    const struct part *part = context;
    struct dp_parts *parts = part->owner;
    (void)json_object_set_new(dp_probe_data(parts->probe), parts->rules->array, entries_json(parts));
    dp_probe_progress(parts->probe, "%s", text);
}

static int start_one(struct part *part, struct dp_diag *diag)
{
    struct dp_parts *parts = part->owner;
    int rc = 0;
    if (dp_request_given(dp_probe_request(parts->probe), "--timeout")) {
        char timeout[32];
        uint64_t left = dp_probe_left_ms(parts->probe);
        uint64_t margin = left / 10 < MARGIN_OF_TIMEOUT_MS ? left / 10 : MARGIN_OF_TIMEOUT_MS;
        left = left - margin < LEAST_MS ? LEAST_MS : left - margin;
        (void)snprintf(timeout, sizeof timeout, "%llums", (unsigned long long)left);
        rc = dp_request_set(part->request, "--timeout", timeout, diag);
    }
    if (!rc)
        rc = dp_request_check(part->request, diag);
    return rc ? rc
              : dp_prober_start(parts->prober, part->request, on_done, on_says, part, &part->probe, diag);
}

static void go_on(struct dp_parts *parts)
{
    while (parts->running < parts->rules->at_once && parts->next < parts->count) {
        struct part *part = &parts->list[parts->next++];
        struct dp_diag diag = {""};
        if (part->done)
            continue;
        int rc = start_one(part, &diag);
        if (rc) {
            put_failure(part, rc, dp_reason(&diag, rc));
            continue;
        }
        parts->running++;
        if (parts->count > parts->rules->at_once && parts->next % 10 == 0)
            dp_probe_progress(parts->probe, "%zu of %zu %s begun", parts->next, parts->count,
                              parts->rules->array);
        dp_probe_allow(parts->probe, (uint64_t)dp_probe_elapsed_ms(parts->probe) +
                                         dp_probe_left_ms(part->probe) + MARGIN_MS);
    }
    if (!parts->running && parts->next == parts->count)
        conclude(parts);
}

void dp_parts_start(struct dp_parts *parts, const char *note)
{
    (void)snprintf(parts->note, sizeof parts->note, "%s", note);
    go_on(parts);
}

bool dp_parts_expire(struct dp_parts *parts)
{
    if (!parts)
        return false;
    for (size_t i = 0; i < parts->count; i++)
        if (!parts->list[i].done)
            put_failure(&parts->list[i], DP_ERR_TIMEOUT, "no result in the time");
    conclude(parts);
    return true;
}

void dp_parts_free(struct dp_parts *parts)
{
    if (!parts)
        return;
    dp_prober_close(parts->prober);
    for (size_t i = 0; i < parts->count; i++) {
        dp_request_free(parts->list[i].request);
        json_decref(parts->list[i].id);
        json_decref(parts->list[i].data);
    }
    free(parts->list);
    free(parts);
}

void dp_parts_print(const json_t *data, const char *array, const char *name, FILE *out)
{
    size_t i;
    json_t *entry;
    const json_t *entries = json_object_get(data, array);
    if (json_array_size(entries) < 2)
        return;
    json_array_foreach(entries, i, entry)
    {
        const char *class = json_string_value(json_object_get(entry, "class"));
        fprintf(out, "%-40s %-12s %s\n", json_string_value(json_object_get(entry, name)),
                json_is_true(json_object_get(entry, "skipped")) ? "left out"
                : class                                         ? class
                                                                : "...",
                class ? json_string_value(json_object_get(entry, "summary")) : "");
    }
}
