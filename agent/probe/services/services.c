/* `services`: what speaks on the ports of a host, and what of it nobody expected. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/services/knock.h"
#include "agent/probe/services/recognise.h"

#define AT_ONCE 64

static const char usual_ports[] =
    "21,22,25,53,80,110,143,443,465,587,993,995,2525,3306,4190,5432,5900,6379,8080,8443";

struct services_probe;

struct port_state {
    struct services_probe *owner;
    uint16_t port;
    struct service_knock *knock;
    bool done;
};

struct services_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    const char *name; /* that is asked for within TLS */
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    uint16_t numbers[SERVICE_PORTS_MAX], expected[SERVICE_PORTS_MAX];
    struct port_state *ports;
    size_t count, expected_count, next, running;
    bool has_expectation, concluded;
};

static bool is_expected(const struct services_probe *services, uint16_t port)
{
    for (size_t i = 0; i < services->expected_count; i++)
        if (services->expected[i] == port)
            return true;
    return false;
}

static json_t *port_json(const struct port_state *port, bool unexpected)
{
    static const struct service_found nothing = {.class = "filtered"};
    const struct service_found *found = port->knock ? service_knock_found(port->knock) : &nothing;
    json_t *json = json_pack("{s:i, s:s, s:b, s:b, s:b}", "port", port->port, "class", found->class, "tls",
                             found->tls, "starttls", found->starttls, "unexpected", unexpected);
    if (!json)
        return NULL;
    (void)json_object_set_new(json, "protocol", found->protocol ? json_string(found->protocol) : json_null());
    (void)json_object_set_new(json, "banner", found->banner[0] ? json_string(found->banner) : json_null());
    dp_icmp_json(&found->icmp, json);
    return json;
}

static bool is_open(const struct port_state *port)
{
    const char *class = port->knock ? service_knock_found(port->knock)->class : "filtered";
    return strcmp(class, "open") == 0 || strcmp(class, "closed-by-peer") == 0;
}

static void conclude(struct services_probe *services)
{
    if (services->concluded)
        return;
    services->concluded = true;
    json_t *data = dp_probe_data(services->probe), *ports = json_array(), *missing = json_array();
    size_t open = 0, unexpected = 0, used = 0;
    char list[200] = "";
    for (size_t i = 0; i < services->count; i++) {
        const struct port_state *port = &services->ports[i];
        bool wrong = is_open(port) && services->has_expectation && !is_expected(services, port->port);
        (void)json_array_append_new(ports, port_json(port, wrong));
        open += is_open(port);
        unexpected += wrong;
        if (wrong && used < sizeof list - 40) {
            const char *protocol = service_knock_found(port->knock)->protocol;
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%u (%s)", used ? ", " : "",
                                     port->port, protocol ? protocol : "unknown");
        }
        if (!is_open(port) && services->has_expectation && is_expected(services, port->port))
            (void)json_array_append_new(missing, json_integer(port->port));
    }
    size_t absent = json_array_size(missing);
    (void)json_object_set_new(data, "address", json_string(services->text));
    (void)json_object_set_new(data, "ports", ports);
    (void)json_object_set_new(data, "missing", missing);
    if (absent)
        dp_probe_warn(services->probe);
    if (unexpected) {
        dp_probe_finish(services->probe, "unexpected",
                        "Find the process ('ss -ltnp' on the host) and stop it, close the port in the "
                        "firewall, or declare it.",
                        "%s: %zu of %zu ports tried are open, %zu of them not expected: %s", services->text,
                        open, services->count, unexpected, list);
    } else {
        dp_probe_finish(
            services->probe, "ok",
            absent ? "Some declared ports are not open: is the service up? 'droppoint probe tcp' tells more."
                   : "",
            "%s: %zu of %zu ports tried are open%s%s", services->text, open, services->count,
            services->has_expectation ? ", all of them expected" : "",
            absent ? "; some that are expected are not open" : "");
    }
}

static void go_on(struct services_probe *services);

static void on_knocked(void *context)
{
    struct port_state *port = context;
    port->done = true;
    port->owner->running--;
    go_on(port->owner);
}

static void go_on(struct services_probe *services)
{
    while (services->running < AT_ONCE && services->next < services->count) {
        struct port_state *port = &services->ports[services->next++];
        union dp_address to = services->address;
        dp_address_set_port(&to, port->port);
        if (service_knock_start(services->probe, &to, services->name, on_knocked, port, &port->knock)) {
            dp_probe_fail(services->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
            return;
        }
        services->running++;
        if (services->next % 200 == 0)
            dp_probe_progress(services->probe, "%zu of %zu ports tried", services->next, services->count);
    }
    if (!services->running && services->next == services->count)
        conclude(services);
}

static const char *const from_good_to_bad[] = {"ok", "unexpected", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct services_probe *services = context;
    if (code) {
        dp_probe_fail(services->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(services->probe, &rules, &services->target, "--servername", addresses, count,
                          &services->parts))
        return;
    services->address = addresses[0];
    (void)dp_address_text(&services->address, services->text);
    services->ports = calloc(services->count, sizeof *services->ports);
    if (!services->ports) {
        dp_probe_fail(services->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    for (size_t i = 0; i < services->count; i++)
        services->ports[i] = (struct port_state){.owner = services, .port = services->numbers[i]};
    go_on(services);
}

static void services_stop(void *state)
{
    struct services_probe *services = state;
    dp_lookup_drop(services->lookup);
    dp_parts_free(services->parts);
    for (size_t i = 0; services->ports && i < services->count; i++)
        service_knock_free(services->ports[i].knock);
    free(services->ports);
    free(services);
}

static int read_ports(struct services_probe *services, const struct dp_request *request, struct dp_diag *diag)
{
    const char *expect = dp_request_text(request, "--expect"), *ports = dp_request_text(request, "--ports");
    char both[2 * 1024 + 512];
    if (expect && strcmp(expect, "none") != 0) {
        services->expected_count = service_ports_parse(expect, services->expected);
        if (!services->expected_count)
            return dp_fail(diag, DP_ERR_USAGE, "--expect '%.100s': ports such as 25,80,8000-8010, or 'none'",
                           expect);
    }
    services->has_expectation = expect != NULL;
    // what is expected is looked at in any case
    (void)snprintf(both, sizeof both, "%s%s%s", ports ? ports : usual_ports,
                   services->expected_count && !ports ? "," : "",
                   services->expected_count && !ports ? expect : "");
    services->count = service_ports_parse(both, services->numbers);
    if (!services->count)
        return dp_fail(diag, DP_ERR_USAGE, "--ports '%.100s': ports such as 25,80,8000-8010, at most %d",
                       both, SERVICE_PORTS_MAX);
    return 0;
}

static int services_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    const char *target = dp_request_target(request);
    struct services_probe *services = calloc(1, sizeof *services);
    if (!services)
        return DP_ERR_NOMEM;
    services->probe = probe;
    int rc = dp_host_port_parse(target[0] ? target : "localhost", &services->target, diag);
    if (!rc && services->target.port)
        rc = dp_fail(diag, DP_ERR_USAGE, "target '%s': the ports go into --ports", target);
    services->name = dp_request_text(request, "--servername");
    if (!services->name)
        services->name = services->target.host;
    if (!rc)
        rc = read_ports(services, request, diag);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), services->target.host, dp_request_family(request), 0,
                             on_addresses, services, &services->lookup);
    if (rc) {
        services_stop(services);
        return rc;
    }
    dp_probe_allow(probe, 20000 + services->count / AT_ONCE * 10000);
    *ret_state = services;
    return 0;
}

static void services_expire(void *state)
{
    struct services_probe *services = state;
    if (dp_parts_expire(services->parts))
        return;
    if (services->ports)
        conclude(services);
    else
        dp_probe_fail(services->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      services->target.host);
}

static void services_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *port;
    dp_parts_print(data, "addresses", "address", out);
    json_array_foreach(json_object_get(data, "ports"), i, port)
    {
        const char *class = json_string_value(json_object_get(port, "class"));
        const char *protocol = json_string_value(json_object_get(port, "protocol"));
        const char *banner = json_string_value(json_object_get(port, "banner"));
        if (strcmp(class, "refused") == 0)
            continue;
        fprintf(out, "%5lld  %-15s %-12s %-9s%s%s\n", json_integer_value(json_object_get(port, "port")),
                class, protocol ? protocol : "",
                json_is_true(json_object_get(port, "tls"))        ? "TLS"
                : json_is_true(json_object_get(port, "starttls")) ? "STARTTLS"
                                                                  : "",
                json_is_true(json_object_get(port, "unexpected")) ? "NOT EXPECTED  " : "",
                banner ? banner : "");
    }
}

static const struct dp_probe_option options[] = {
    {"--ports", DP_OPT_TEXT, "LIST", NULL, 0, 0, NULL, false,
     "which to try, such as 25,80,8000-8010 (default: the usual ones)"},
    {"--expect", DP_OPT_TEXT, "LIST", NULL, 0, 0, NULL, false,
     "declared ports; any other that is open is a fault ('none': all)"},
    {"--servername", DP_OPT_TEXT, "NAME", NULL, 0, 0, NULL, false,
     "the name to ask for within TLS (default: the host)"},
};

const struct dp_probe_kind dp_probe_services = {
    .name = "services",
    .about = "What speaks on the ports of a host (plain, TLS or STARTTLS), and what of it is not expected.",
    .target_text = "[HOST]",
    .target = DP_TARGET_OPTIONAL,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 30000,
    .examples = "  droppoint probe services --local\n"
                "  droppoint probe services --local --ports 1-1024 --expect 22,25,587,993 mail.example.net\n",
    .start = services_start,
    .expire = services_expire,
    .stop = services_stop,
    .print = services_print,
};
