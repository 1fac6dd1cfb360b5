/* `zone`: do all name servers of a zone have the same serial, and are they really its servers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/core/parts.h"
#include "agent/probe/dns/discover.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/dns_query.h"
#include "agent/probe/zone/named_conf.h"
#include "agent/probe/zone/transfer.h"

#define QUERY_MS 5000

enum zone_state { ZONE_IN_SYNC, ZONE_BEHIND, ZONE_LAME, ZONE_UNREACHABLE };
static const char *const state_names[] = {"in-sync", "behind", "lame", "unreachable"};

struct zone_probe;

struct zone_server {
    struct zone_probe *owner;
    struct dns_server server;
    struct dp_dns_query *query;
    struct zone_transfer_try *transfer;
    enum zone_transfer transferable;
    enum zone_state state;
    bool answered, aa, has_soa, primary;
    uint16_t rcode;
    double rtt_ms;
    uint32_t serial, refresh, retry, expire;
    char mname[DP_DNS_NAME];
};

struct zone_probe {
    struct dp_probe *probe;
    char zone[DP_DNS_NAME];
    struct dns_discovery *discovery;
    struct dp_parts *parts; /* zones of a configuration */
    struct zone_server servers[DNS_SERVERS_MAX];
    size_t count, open;
    bool concluded;
};

/* The newest serial, by RFC 1982, among those that are the zone's servers. */
static const struct zone_server *newest(const struct zone_probe *zone)
{
    const struct zone_server *best = NULL;
    for (size_t i = 0; i < zone->count; i++) {
        const struct zone_server *s = &zone->servers[i];
        if (s->has_soa && s->aa && (!best || dp_dns_serial_newer(s->serial, best->serial)))
            best = s;
    }
    return best;
}

static void judge(struct zone_server *server, const struct zone_server *best)
{
    server->state = !server->answered                        ? ZONE_UNREACHABLE
                    : !server->has_soa || !server->aa        ? ZONE_LAME
                    : best && server->serial != best->serial ? ZONE_BEHIND
                                                             : ZONE_IN_SYNC;
}

static json_t *server_json(const struct zone_server *s, const struct zone_server *best)
{
    char text[16];
    json_t *json = json_pack("{s:s, s:s, s:s, s:b, s:f}", "server", s->server.address, "name", s->server.name,
                             "state", state_names[s->state], "aa", s->aa, "rtt_ms", s->rtt_ms);
    if (!json)
        return NULL;
    (void)json_object_set_new(json, "rcode",
                              s->answered ? json_string(dp_dns_rcode_name(s->rcode, text)) : json_null());
    (void)json_object_set_new(json, "serial", s->has_soa ? json_integer(s->serial) : json_null());
    (void)json_object_set_new(
        json, "behind",
        s->has_soa && best ? json_integer((json_int_t)(uint32_t)(best->serial - s->serial)) : json_null());
    if (s->has_soa)
        (void)json_object_set_new(json, "refresh", json_integer(s->refresh));
    (void)json_object_set_new(json, "primary", json_boolean(s->primary));
    (void)json_object_set_new(json, "transfer_refused",
                              s->transferable == ZONE_TRANSFER_UNKNOWN
                                  ? json_null()
                                  : json_boolean(s->transferable == ZONE_TRANSFER_REFUSED));
    return json;
}

static void finish_behind(struct zone_probe *zone, const struct zone_server *worst,
                          const struct zone_server *best)
{
    dp_probe_finish(
        zone->probe, "behind",
        "A secondary that is behind for longer than REFRESH does not get the zone: check its log, whether "
        "the "
        "primary sends NOTIFY and lets it transfer (TCP port 53, allow-transfer, TSIG), and that the serial "
        "was "
        "raised.",
        "%s: %s %s has serial %u, %u behind %u on %s; it should catch up within its REFRESH of %u s",
        zone->zone, worst->server.address, worst->server.name, worst->serial, best->serial - worst->serial,
        best->serial, best->server.address, worst->refresh);
}

static void conclude(struct zone_probe *zone)
{
    if (zone->concluded)
        return;
    zone->concluded = true;
    json_t *data = dp_probe_data(zone->probe), *servers = json_array();
    const struct zone_server *best = newest(zone), *worst = NULL;
    for (size_t i = 0; i < zone->count; i++) {
        struct zone_server *s = &zone->servers[i];
        judge(s, best);
        s->primary = best && s->server.name[0] && strcasecmp(s->server.name, best->mname) == 0;
        worst = !worst || s->state > worst->state ? s : worst;
        (void)json_array_append_new(servers, server_json(s, best));
    }
    (void)json_object_set_new(data, "zone", json_string(zone->zone));
    (void)json_object_set_new(data, "servers", servers);
    (void)json_object_set_new(data, "serial", best ? json_integer(best->serial) : json_null());
    switch (worst->state) {
    case ZONE_IN_SYNC:
        dp_probe_finish(zone->probe, "in-sync", "", "%s: all %zu servers have serial %u", zone->zone,
                        zone->count, best->serial);
        break;
    case ZONE_BEHIND:
        finish_behind(zone, worst, best);
        break;
    case ZONE_LAME:
        dp_probe_finish(zone->probe, "lame",
                        "The server does not serve the zone with authority: load it there (is it expired, or "
                        "in error?), or take "
                        "the server out of the NS records at the parent and in the zone.",
                        "%s: %s %s answers without authority for the zone", zone->zone, worst->server.address,
                        worst->server.name);
        break;
    case ZONE_UNREACHABLE:
        dp_probe_finish(zone->probe, "unreachable",
                        "Is the server up, and do UDP and TCP port 53 pass? 'droppoint probe ping' and "
                        "'probe tcp' with port 53 "
                        "tell.",
                        "%s: %s %s does not answer", zone->zone, worst->server.address, worst->server.name);
        break;
    }
}

static void one_less(struct zone_probe *zone)
{
    if (--zone->open == 0)
        conclude(zone);
}

static void on_soa(void *context, const struct dp_dns_answer *answer)
{
    struct zone_server *server = context;
    server->answered = answer->code == 0;
    server->rtt_ms = answer->rtt_ms;
    server->rcode = answer->message.rcode;
    server->aa = answer->code == 0 && answer->message.aa;
    for (size_t i = 0; !answer->code && i < answer->message.count; i++) {
        const struct dp_dns_record *record = &answer->message.records[i];
        if (record->section != DP_DNS_ANSWER || record->type != DP_DNS_SOA ||
            strcasecmp(record->name, server->owner->zone))
            continue;
        server->has_soa = true;
        server->serial = record->serial;
        server->refresh = record->refresh;
        server->retry = record->retry;
        server->expire = record->expire;
        (void)snprintf(server->mname, sizeof server->mname, "%s", record->target);
    }
    one_less(server->owner);
}

static void on_transfer(void *context, enum zone_transfer outcome)
{
    struct zone_server *server = context;
    server->transferable = outcome;
    one_less(server->owner);
}

static void ask(struct zone_probe *zone, struct zone_server *server)
{
    struct dp_dns_question question = {server->server.address, zone->zone, DP_DNS_SOA, false, QUERY_MS};
    struct dp_host_port parsed;
    union dp_address address;
    if (dp_dns_query_start(dp_probe_loop(zone->probe), &question, on_soa, server, &server->query, NULL) == 0)
        zone->open++;
    if (dp_host_port_parse(server->server.address, &parsed, NULL) == 0 &&
        dp_address_parse(parsed.host, parsed.port, &address) == 0 &&
        zone_transfer_start(zone->probe, &address, zone->zone, QUERY_MS, on_transfer, server,
                            &server->transfer) == 0)
        zone->open++;
}

static void on_discovered(void *context, const char *found, const struct dns_server *servers, size_t count)
{
    struct zone_probe *zone = context;
    bool own = strcasecmp(found, zone->zone) == 0;
    for (size_t i = 0; i < count; i++) {
        if (servers[i].role == DNS_SYSTEM || (servers[i].role == DNS_AUTHORITATIVE && !own))
            continue;
        bool known = false;
        for (size_t k = 0; k < zone->count; k++)
            known = known || strcmp(zone->servers[k].server.address, servers[i].address) == 0;
        if (known && servers[i].role == DNS_AUTHORITATIVE)
            for (size_t k = 0; k < zone->count; k++) // a named one: now its name is known
                if (strcmp(zone->servers[k].server.address, servers[i].address) == 0)
                    zone->servers[k].server = servers[i];
        if (known)
            continue;
        zone->servers[zone->count].owner = zone;
        zone->servers[zone->count++].server = servers[i];
    }
    if (!zone->count) {
        dp_probe_fail(zone->probe, DP_ERR_NOT_FOUND,
                      found[0] ? "%s is no zone of its own: it lies in %s"
                               : "no resolver knows name servers of %s%s; name them with --server",
                      zone->zone, found);
        return;
    }
    zone->open = 1;
    for (size_t i = 0; i < zone->count; i++)
        ask(zone, &zone->servers[i]);
    one_less(zone);
}

static void zone_stop(void *state)
{
    struct zone_probe *zone = state;
    for (size_t i = 0; i < zone->count; i++) {
        dp_dns_query_drop(zone->servers[i].query);
        zone_transfer_drop(zone->servers[i].transfer);
    }
    dns_discovery_free(zone->discovery);
    dp_parts_free(zone->parts);
    free(zone);
}

/* --- one zone, or those that a BIND configuration lists --- */

static const char *const from_good_to_bad[] = {"in-sync", "behind", "lame", "unreachable", NULL};
static const struct dp_parts_rules few = {.classes = from_good_to_bad, .array = "zones", .at_once = 16};
/* With many zones only those tell of their servers that are not well. */
static const struct dp_parts_rules many = {
    .classes = from_good_to_bad, .array = "zones", .at_once = 16, .detail = "servers"};
#define FEW 50

static int add_named_server(struct dp_request *request, const struct named_server *server,
                            struct dp_diag *diag)
{
    char text[DP_ADDRESS_TEXT + 16];
    (void)snprintf(text, sizeof text, strchr(server->text, ':') ? "[%s]:%u" : "%s:%u", server->text,
                   server->port ? server->port : 53);
    return dp_request_set(request, "--server", text, diag);
}

/* The zone as a target; the server on this host and the primaries are asked as well as what the NS records
 * say: one of them may be hidden. */
static int zone_request(struct zone_probe *zone, const struct named_conf *conf,
                        const struct named_zone *listed, struct dp_request **ret_request,
                        struct dp_diag *diag)
{
    const struct dp_request *whole = dp_probe_request(zone->probe);
    int rc = dp_parts_request(zone->parts, "--named-conf", ret_request, diag);
    if (!rc)
        rc = dp_request_set_target(*ret_request, listed->name, diag);
    for (int v6 = 0; !rc && v6 < 2; v6++)
        if (dp_request_flag(whole, v6 ? "-6" : "-4"))
            rc = dp_request_set(*ret_request, v6 ? "-6" : "-4", NULL, diag);
    if (!rc && conf->own.text[0])
        rc = add_named_server(*ret_request, &conf->own, diag);
    for (size_t i = 0; !rc && i < listed->primary_count; i++)
        rc = add_named_server(*ret_request, &listed->primaries[i], diag);
    return rc;
}

static int take_listed(struct zone_probe *zone, const struct named_conf *conf, struct dp_diag *diag)
{
    const char *path = dp_request_text(dp_probe_request(zone->probe), "--named-conf");
    size_t wanted = 0;
    for (size_t i = 0; i < conf->zone_count; i++)
        wanted += !zone->zone[0] || strcmp(conf->zones[i].name, zone->zone) == 0;
    if (!wanted)
        return dp_fail(diag, DP_ERR_NOT_FOUND, "%.300s: no primary or secondary zone%s%s", path,
                       zone->zone[0] ? " of the name " : "", zone->zone);
    int rc = dp_parts_new(zone->probe, wanted > FEW ? &many : &few, wanted, &zone->parts, diag);
    if (rc)
        return rc;
    for (size_t i = 0; i < conf->zone_count; i++) {
        const struct named_zone *listed = &conf->zones[i];
        struct dp_request *request = NULL;
        struct dp_diag why = {""};
        if (zone->zone[0] && strcmp(listed->name, zone->zone) != 0)
            continue;
        rc = zone_request(zone, conf, listed, &request, &why);
        dp_parts_add(zone->parts,
                     json_pack("{s:s, s:s}", "zone", listed->name, "type",
                               listed->secondary ? "secondary" : "primary"),
                     request, rc, dp_reason(&why, rc));
    }
    dp_parts_start(zone->parts, "");
    return 0;
}

/* Files of this host are read at once, as a configuration is small and near. */
static int start_listed(struct zone_probe *zone, struct dp_diag *diag)
{
    struct named_conf conf;
    const char *path = dp_request_text(dp_probe_request(zone->probe), "--named-conf");
    int rc = named_conf_read(path, named_load_file, NULL, &conf, diag);
    if (rc)
        return rc;
    rc = take_listed(zone, &conf, diag);
    named_conf_free(&conf);
    return rc;
}

static int zone_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const char *target = dp_request_target(dp_probe_request(probe));
    bool listed = dp_request_given(dp_probe_request(probe), "--named-conf");
    size_t length = strlen(target);
    if (!length && !listed)
        return dp_fail(diag, DP_ERR_USAGE,
                       "which zone? Write its name, or --named-conf FILE for those that BIND serves here");
    if (length > 1 && target[length - 1] == '.')
        length--;
    if (length > 253 || strpbrk(target, " :[]"))
        return dp_fail(diag, DP_ERR_USAGE, "target '%.100s' is no zone", target);
    struct zone_probe *zone = calloc(1, sizeof *zone);
    if (!zone)
        return DP_ERR_NOMEM;
    zone->probe = probe;
    (void)snprintf(zone->zone, sizeof zone->zone, "%.*s", (int)length, target);
    for (char *c = zone->zone; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    int rc = listed ? start_listed(zone, diag)
                    : dns_discovery_start(probe, zone->zone, on_discovered, zone, &zone->discovery, diag);
    if (rc) {
        zone_stop(zone);
        return rc;
    }
    *ret_state = zone;
    return 0;
}

static void zone_expire(void *state)
{
    struct zone_probe *zone = state;
    if (dp_parts_expire(zone->parts))
        return;
    if (!zone->count)
        dns_discovery_expire(zone->discovery);
    if (zone->count)
        conclude(zone);
}

static void zone_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *server;
    dp_parts_print(data, "zones", "zone", out);
    json_array_foreach(json_object_get(data, "servers"), i, server)
    {
        const json_t *serial = json_object_get(server, "serial"),
                     *refused = json_object_get(server, "transfer_refused");
        fprintf(out, "%-30s %-28s %-12s", json_string_value(json_object_get(server, "server")),
                json_string_value(json_object_get(server, "name")),
                json_string_value(json_object_get(server, "state")));
        if (json_is_integer(serial))
            fprintf(out, " serial %lld, %lld behind;", json_integer_value(serial),
                    json_integer_value(json_object_get(server, "behind")));
        fprintf(out, " %.1f ms; transfer %s\n", json_number_value(json_object_get(server, "rtt_ms")),
                json_is_true(refused)    ? "refused"
                : json_is_false(refused) ? "allowed"
                                         : "unknown");
    }
}

static const struct dp_probe_option options[] = {
    {"--server", DP_OPT_TEXT, "ADDRESS[:PORT]", NULL, 0, 0, NULL, true,
     "a name server to compare beside those of the NS records"},
    {"--named-conf", DP_OPT_TEXT, "FILE", NULL, 0, 0, NULL, false,
     "BIND's configuration on this host: all primary and secondary zones in it, or the one named"},
};

const struct dp_probe_kind dp_probe_zone = {
    .name = "zone",
    .about = "Do all name servers of a zone have the same serial, do they serve it, and do they hand it out.",
    .target_text = "[ZONE]",
    .target = DP_TARGET_OPTIONAL,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 15000,
    .examples = "  droppoint probe zone --local example.net\n"
                "  droppoint probe zone --local --server 192.0.2.53 --server 198.51.100.53 example.net\n"
                "  droppoint probe zone --local --named-conf /etc/bind/named.conf\n",
    .start = zone_start,
    .expire = zone_expire,
    .stop = zone_stop,
    .print = zone_print,
};
