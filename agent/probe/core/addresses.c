#include "agent/probe/core/addresses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/probe/core/prober.h"

/* The whole ends after its parts, so that none is cut before it has said what it knows. */
#define MARGIN_MS 1000
#define MARGIN_OF_TIMEOUT_MS 250

struct part {
    struct dp_addresses *owner;
    union dp_address address;
    struct dp_request *request;
    struct dp_probe *probe; /* NULL: over, or never begun */
    bool done, skipped;     /* skipped: this host has no such addresses itself */
    int code;               /* of a part that has no result */
    enum dp_probe_status status;
    char class[32], summary[600], next_step[600];
    json_t *data;
};

struct dp_addresses {
    struct dp_probe *probe; /* of the whole */
    const struct dp_addresses_rules *rules;
    char name[DP_HOST_TEXT];
    struct dp_prober *prober; /* the parts' own: they go at once when the whole does */
    struct part *parts;
    size_t count, open;
    bool concluded;
};

/* --- which is the worst --- */

static int rank(const struct dp_addresses *addresses, const struct part *part)
{
    static const int by_status[] = {
        [DP_STATUS_OK] = 0, [DP_STATUS_WARNING] = 1, [DP_STATUS_UNKNOWN] = 2, [DP_STATUS_CRITICAL] = 3};
    int order = 0;
    for (int i = 0; addresses->rules->classes[i]; i++)
        if (strcmp(addresses->rules->classes[i], part->class) == 0)
            order = i;
    return by_status[part->status] * 64 + order;
}

static json_t *entry_json(const struct part *part)
{
    char text[DP_ADDRESS_TEXT];
    json_t *entry = json_pack("{s:s, s:s}", "address", dp_address_text(&part->address, text), "family",
                              part->address.any.sa_family == AF_INET ? "ipv4" : "ipv6");
    if (!entry)
        return NULL;
    json_t *data = part->probe ? dp_probe_data(part->probe) : part->data;
    if (data)
        (void)json_object_update(entry, data);
    (void)json_object_set_new(entry, "class", part->done ? json_string(part->class) : json_null());
    (void)json_object_set_new(entry, "status",
                              part->done ? json_string(dp_status_name(part->status)) : json_null());
    (void)json_object_set_new(entry, "summary", json_string(part->summary));
    (void)json_object_set_new(entry, "skipped", json_boolean(part->skipped));
    return entry;
}

static json_t *entries_json(const struct dp_addresses *addresses)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < addresses->count; i++)
        (void)json_array_append_new(entries, entry_json(&addresses->parts[i]));
    return entries;
}

/* --- the whole --- */

/* "; 1 of its 2 addresses is well". Counts those that were tried. */
static void describe_rest(const struct dp_addresses *addresses, const struct part *worst, char *text,
                          size_t size)
{
    size_t well = 0, skipped = 0, used = 0;
    for (size_t i = 0; i < addresses->count; i++) {
        const struct part *part = &addresses->parts[i];
        skipped += part->skipped;
        well += !part->skipped && part->done && !part->code && part->status == DP_STATUS_OK;
    }
    size_t tried = addresses->count - skipped;
    text[0] = '\0';
    if (worst->status != DP_STATUS_OK && well)
        used = (size_t)snprintf(text, size, "; %zu of its %zu addresses %s well", well, tried,
                                well == 1 ? "is" : "are");
    else if (tried > 1)
        used = (size_t)snprintf(text, size, "; %zu addresses tried", tried);
    if (skipped)
        (void)snprintf(text + used, size - used, "; %zu left out, this host has no %s", skipped,
                       worst->address.any.sa_family == AF_INET ? "IPv6" : "IPv4");
}

static void conclude(struct dp_addresses *addresses)
{
    const struct part *worst = NULL, *failed = NULL;
    if (addresses->concluded)
        return;
    addresses->concluded = true;
    for (size_t i = 0; i < addresses->count; i++) {
        const struct part *part = &addresses->parts[i];
        failed = part->code && !failed ? part : failed;
        if (part->done && !part->code && !part->skipped &&
            (!worst || rank(addresses, part) > rank(addresses, worst)))
            worst = part;
    }
    if (!worst) {
        dp_probe_fail(addresses->probe, failed ? failed->code : DP_ERR_TIMEOUT, "%s",
                      failed ? failed->summary : "no address gave a result in the time");
        return;
    }
    json_t *data = dp_probe_data(addresses->probe), *entries = entries_json(addresses);
    (void)json_object_clear(data); // what was there for who watched
    (void)json_object_update(data, worst->data);
    (void)json_object_set_new(data, "addresses", entries);
    // a part that could not even be tried leaves the question open
    bool open_question = failed && worst->status == DP_STATUS_OK;
    if (worst->status == DP_STATUS_WARNING || open_question)
        dp_probe_warn(addresses->probe);
    char rest[160];
    describe_rest(addresses, worst, rest, sizeof rest);
    dp_probe_finish(addresses->probe, worst->class,
                    open_question ? "Not every address could be tried: their entries say why."
                                  : worst->next_step,
                    "%.*s%s", (int)(sizeof worst->summary - sizeof rest), worst->summary, rest);
}

static void one_less(struct dp_addresses *addresses)
{
    if (--addresses->open == 0)
        conclude(addresses);
}

/* --- the parts --- */

static void put_failure(struct part *part, int code, const char *why)
{
    part->done = true;
    part->code = code;
    part->status = DP_STATUS_UNKNOWN;
    (void)snprintf(part->class, sizeof part->class, "inconclusive");
    (void)snprintf(part->summary, sizeof part->summary, "%s", why);
}

static void on_done(void *context, const struct dp_probe_result *result)
{
    struct part *part = context;
    part->probe = NULL;
    part->data = json_incref(result->data);
    if (result->code) {
        put_failure(part, result->code, result->summary);
    } else {
        part->done = true;
        part->status = result->status;
        (void)snprintf(part->class, sizeof part->class, "%s", result->class);
        (void)snprintf(part->summary, sizeof part->summary, "%s", result->summary);
        (void)snprintf(part->next_step, sizeof part->next_step, "%s", result->next_step);
    }
    one_less(part->owner);
}

/* Who watches finds in data how far the parts are. */
static void on_says(void *context, const char *text)
{
    const struct part *part = context;
    struct dp_addresses *addresses = part->owner;
    (void)json_object_set_new(dp_probe_data(addresses->probe), "addresses", entries_json(addresses));
    dp_probe_progress(addresses->probe, "%s", text);
}

struct copying {
    struct dp_request *request;
    struct dp_diag *diag;
    int rc;
};

static void copy_option(void *context, const char *option, const char *value)
{
    struct copying *copying = context;
    bool own = strcmp(option, "--timeout") == 0 || strcmp(option, "-4") == 0 || strcmp(option, "-6") == 0;
    if (!copying->rc && !own)
        copying->rc = dp_request_set(copying->request, option, value, copying->diag);
}

/* The request of the whole with one address as its target. */
static int make_request(struct part *part, uint16_t port, struct dp_diag *diag)
{
    const struct dp_addresses *addresses = part->owner;
    const struct dp_request *whole = dp_probe_request(addresses->probe);
    const char *option = addresses->rules->name_option;
    char text[DP_ADDRESS_TEXT], target[DP_ADDRESS_TEXT + 16], timeout[32];
    int rc = dp_request_new(dp_request_kind(whole)->name, &part->request, diag);
    if (rc)
        return rc;
    bool v6 = part->address.any.sa_family == AF_INET6;
    (void)dp_address_text(&part->address, text);
    if (port)
        (void)snprintf(target, sizeof target, v6 ? "[%s]:%u" : "%s:%u", text, port);
    else
        (void)snprintf(target, sizeof target, "%s", text);
    struct copying copying = {part->request, diag, 0};
    dp_request_each(whole, copy_option, &copying);
    rc = copying.rc;
    if (!rc && option && !dp_request_given(whole, option))
        rc = dp_request_set(part->request, option, addresses->name, diag);
    if (!rc && dp_request_given(whole, "--timeout")) {
        uint64_t left = dp_probe_left_ms(addresses->probe);
        uint64_t margin = left / 10 < MARGIN_OF_TIMEOUT_MS ? left / 10 : MARGIN_OF_TIMEOUT_MS;
        left = left - margin < 100 ? 100 : left - margin; // 100: the least that the option takes
        (void)snprintf(timeout, sizeof timeout, "%llums", (unsigned long long)left);
        rc = dp_request_set(part->request, "--timeout", timeout, diag);
    }
    if (!rc)
        rc = dp_request_set_target(part->request, target, diag);
    return rc ? rc : dp_request_check(part->request, diag);
}

/* This host has no address of that family that could talk to it: the answer would be about this host, not
 * about the target. */
static bool cannot_send(const struct dp_request *request, const union dp_address *address)
{
    char own[DP_ADDRESS_TEXT];
    union dp_address to = *address;
    dp_address_set_port(&to, 9);
    int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT;
    bool reachable = connect(fd, &to.any, dp_address_size(&to)) == 0;
    bool no_address = !reachable && (errno == ENETUNREACH || errno == EADDRNOTAVAIL);
    (void)close(fd);
    return no_address && !dp_outgoing_address(request, to.any.sa_family, own);
}

static void find_skipped(struct dp_addresses *addresses)
{
    size_t skipped = 0;
    for (size_t i = 0; i < addresses->count; i++) {
        struct part *part = &addresses->parts[i];
        part->skipped = cannot_send(dp_probe_request(addresses->probe), &part->address);
        skipped += part->skipped;
    }
    for (size_t i = 0; i < addresses->count; i++) {
        struct part *part = &addresses->parts[i];
        if (skipped == addresses->count)
            part->skipped = false; // all alike: then that is the answer
        if (!part->skipped)
            continue;
        put_failure(part, 0, "left out: this host has no address of that family to send from");
    }
}

static void start_parts(struct dp_addresses *addresses, uint16_t port)
{
    uint64_t longest = 0;
    addresses->open = 1; // none of them ends the whole while others are still to begin
    for (size_t i = 0; i < addresses->count; i++) {
        struct part *part = &addresses->parts[i];
        struct dp_diag diag = {""};
        if (part->skipped)
            continue;
        int rc = make_request(part, port, &diag);
        if (!rc)
            rc = dp_prober_start(addresses->prober, part->request, on_done, on_says, part, &part->probe,
                                 &diag);
        if (rc) {
            put_failure(part, rc, dp_reason(&diag, rc));
            continue;
        }
        addresses->open++;
        uint64_t left = dp_probe_left_ms(part->probe);
        longest = left > longest ? left : longest;
    }
    dp_probe_allow(addresses->probe, (uint64_t)dp_probe_elapsed_ms(addresses->probe) + longest + MARGIN_MS);
    one_less(addresses);
}

bool dp_addresses_take(struct dp_probe *probe, const struct dp_addresses_rules *rules,
                       const struct dp_host_port *target, const union dp_address *list, size_t count,
                       struct dp_addresses **ret_addresses)
{
    union dp_address literal;
    struct dp_diag diag = {""};
    if (dp_address_parse(target->host, 0, &literal) == 0)
        return false;
    struct dp_addresses *addresses = calloc(1, sizeof *addresses);
    struct part *parts = calloc(count, sizeof *parts);
    int rc = addresses && parts ? 0 : DP_ERR_NOMEM;
    if (!rc) {
        *addresses = (struct dp_addresses){.probe = probe, .rules = rules, .parts = parts, .count = count};
        (void)snprintf(addresses->name, sizeof addresses->name, "%s", target->host);
        rc = dp_prober_new(dp_probe_loop(probe), &addresses->prober, &diag);
    }
    if (rc) {
        free(addresses);
        free(parts);
        dp_probe_fail(probe, rc, "%s", dp_reason(&diag, rc));
        return true;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct part){.owner = addresses, .address = list[i]};
    *ret_addresses = addresses;
    find_skipped(addresses);
    start_parts(addresses, target->port);
    return true;
}

bool dp_addresses_expire(struct dp_addresses *addresses)
{
    if (!addresses)
        return false;
    for (size_t i = 0; i < addresses->count; i++)
        if (!addresses->parts[i].done)
            put_failure(&addresses->parts[i], DP_ERR_TIMEOUT, "no result in the time");
    conclude(addresses);
    return true;
}

void dp_addresses_free(struct dp_addresses *addresses)
{
    if (!addresses)
        return;
    dp_prober_close(addresses->prober);
    for (size_t i = 0; i < addresses->count; i++) {
        dp_request_free(addresses->parts[i].request);
        json_decref(addresses->parts[i].data);
    }
    free(addresses->parts);
    free(addresses);
}

void dp_addresses_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *entry;
    const json_t *entries = json_object_get(data, "addresses");
    if (json_array_size(entries) < 2)
        return;
    json_array_foreach(entries, i, entry)
    {
        const char *class = json_string_value(json_object_get(entry, "class"));
        fprintf(out, "%-40s %-12s %s\n", json_string_value(json_object_get(entry, "address")),
                json_is_true(json_object_get(entry, "skipped")) ? "left out"
                : class                                         ? class
                                                                : "...",
                class ? json_string_value(json_object_get(entry, "summary")) : "");
    }
}
