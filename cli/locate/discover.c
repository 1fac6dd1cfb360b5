#include "cli/locate/discover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cli/locate/run.h"
#include "collector/locate/order.h"
#include "collector/locate/report.h"

#define PACKETS_MOST 65536 /* of a pair: more tell nothing new */

/* One packet that both points of a pair saw. */
struct crossing {
    uint32_t flow; /* serial */
    uint8_t half;  /* 0: from the client */
    struct order_sighting seen[2];
};

/* An end of flows, on one side of the path or the other. */
struct host {
    struct dp_addr addr;
    struct host *up;         /* of the same set; NULL: its root */
    bool across;             /* from `up` */
    uint64_t client, server; /* of a root: packets of flows that say on which side it is a client */
    UT_hash_handle hh;
};

struct pair_run {
    const uint32_t *vantages; /* the pair's, by the command line */
    struct crossing *crossings;
    size_t count;
    struct host *hosts;
};

static int note_crossing(void *context, const struct dp_transmission *t)
{
    struct pair_run *run = context;
    const struct dp_sighting *seen[2] = {NULL, NULL};
    for (size_t i = 0; i < t->seen_count; i++)
        if (t->seen[i].vantage < 2)
            seen[t->seen[i].vantage] = &t->seen[i];
    if (!seen[0] || !seen[1] || t->duplicate || run->count == PACKETS_MOST)
        return DP_OK;
    struct crossing *c = &run->crossings[run->count++];
    *c = (struct crossing){.flow = t->flow, .half = t->half};
    for (int i = 0; i < 2; i++)
        c->seen[i] = (struct order_sighting){run->vantages[i], seen[i]->ts_ns, seen[i]->ttl};
    return DP_OK;
}

/* ---- which end of a flow is the path's near one ---- */

static struct host *host_of(struct pair_run *run, const struct dp_addr *addr)
{
    struct dp_addr key;
    memset(&key, 0, sizeof key); /* its bytes are the key, those between the fields too */
    key.family = addr->family;
    memcpy(key.bytes, addr->bytes, sizeof key.bytes);
    struct host *host = NULL;
    HASH_FIND(hh, run->hosts, &key, sizeof key, host);
    if (host)
        return host;
    host = calloc(1, sizeof *host);
    if (!host)
        return NULL;
    host->addr = key;
    HASH_ADD(hh, run->hosts, addr, sizeof key, host);
    return host;
}

static struct host *root_of(struct host *host, bool *ret_across)
{
    *ret_across = false;
    for (; host->up; host = host->up)
        *ret_across ^= host->across;
    return host;
}

/* The ends of a flow lie on either side of the path. */
static int part(struct pair_run *run, const struct dp_endpoints *ends)
{
    struct host *client = host_of(run, &ends->client), *server = host_of(run, &ends->server);
    if (!client || !server)
        return DP_ERR_NOMEM;
    bool client_across, server_across;
    struct host *a = root_of(client, &client_across), *b = root_of(server, &server_across);
    if (a != b) {
        b->up = a;
        b->across = client_across == server_across;
    }
    return DP_OK;
}

/* Whether the client's end is the one that lies across from its set's root. */
static struct host *set_of(struct pair_run *run, const struct dp_endpoints *ends, bool *ret_across)
{
    return root_of(host_of(run, &ends->client), ret_across);
}

/* Clients are where most packets say that they are: connections that run the other way are turned round. */
static int order_by(struct pair_run *run, const struct dp_report *report, struct order *order)
{
    size_t serials = 0;
    int code = DP_OK;
    for (size_t i = 0; i < report->flow_count && code == DP_OK; i++) {
        code = part(run, &report->flows[i].endpoints);
        if (report->flows[i].serial >= serials)
            serials = (size_t)report->flows[i].serial + 1;
    }
    const struct dp_flow_report **by_serial = code ? NULL : calloc(serials + 1, sizeof(void *));
    if (!by_serial)
        return code ? code : DP_ERR_NOMEM;
    for (size_t i = 0; i < report->flow_count; i++)
        by_serial[report->flows[i].serial] = &report->flows[i];
    for (int round = 0; round < 2 && code == DP_OK; round++)
        for (size_t i = 0; i < run->count && code == DP_OK; i++) {
            const struct crossing *c = &run->crossings[i];
            if (c->flow >= serials || !by_serial[c->flow])
                continue;
            bool across;
            struct host *set = set_of(run, &by_serial[c->flow]->endpoints, &across);
            if (round == 0)
                *(across ? &set->server : &set->client) += 1;
            else
                code = order_packet(order, c->half ^ (across != (set->server > set->client)), c->seen, 2);
        }
    free(by_serial);
    return code;
}

static int look_at_pair(const struct dp_locate_args *args, const uint32_t *vantages, struct order *order,
                        struct dp_diag *diag)
{
    struct dp_locate_args pair = {.filter = args->filter, .count = 2};
    struct pair_run run = {.vantages = vantages, .crossings = calloc(PACKETS_MOST, sizeof *run.crossings)};
    struct dp_report *report = NULL;
    for (int i = 0; i < 2; i++) {
        pair.names[i] = args->names[vantages[i]];
        pair.paths[i] = args->paths[vantages[i]];
        pair.known[i] = args->known[vantages[i]];
    }
    int code = run.crossings ? dp_locate_watch(&pair, note_crossing, &run, &report, diag) : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = order_by(&run, report, order);
    struct host *host, *next;
    HASH_ITER(hh, run.hosts, host, next)
    {
        HASH_DEL(run.hosts, host);
        free(host);
    }
    dp_report_free(report);
    free(run.crossings);
    return code;
}

/* ---- what is told of it ---- */

static const char *join(enum order_reason reason)
{
    return reason == ORDER_CONFLICT || reason == ORDER_UNKNOWN ? "and" : "comes before";
}

static const char *because(enum order_reason reason)
{
    switch (reason) {
    case ORDER_TTL:
        return "the TTL goes down between them";
    case ORDER_DELAY:
        return "packets of both directions take time between them";
    case ORDER_BETWEEN:
        return "points between them say so";
    case ORDER_CONFLICT:
        return "packets speak for both orders, so they stay as given";
    default:
        return "nothing tells which comes first, so they stay as given";
    }
}

static json_t *document(const struct dp_locate_args *args, const struct order_result *result)
{
    json_t *points = json_array(), *reasons = json_array();
    for (size_t i = 0; i < args->count; i++) {
        json_array_append_new(points, json_string(args->names[i]));
        if (i + 1 == args->count)
            break;
        char text[1024];
        (void)snprintf(text, sizeof text, "%s %s %s: %s", args->names[i], join(result->reason[i]),
                       args->names[i + 1], because(result->reason[i]));
        json_array_append_new(reasons, json_string(text));
    }
    return json_pack("{s:b, s:b, s:o, s:o}", "discovered", 1, "certain", result->certain, "points", points,
                     "reasons", reasons);
}

static void put_in_order(struct dp_locate_args *args, const struct order_result *result)
{
    struct dp_locate_args given = *args;
    for (size_t i = 0; i < args->count; i++) {
        args->names[i] = given.names[result->at[i]];
        args->paths[i] = given.paths[result->at[i]];
        args->known[i] = given.known[result->at[i]];
    }
}

int dp_locate_discover(struct dp_locate_args *args, json_t **ret_order, struct dp_diag *diag)
{
    struct order *order = NULL;
    int code = order_new(args->count, &order);
    for (uint32_t a = 0; a < args->count && code == DP_OK; a++)
        for (uint32_t b = a + 1; b < args->count && code == DP_OK; b++)
            code = look_at_pair(args, (const uint32_t[]){a, b}, order, diag);
    if (code == DP_OK) {
        struct order_result result;
        order_find(order, &result);
        put_in_order(args, &result);
        *ret_order = document(args, &result);
        code = *ret_order ? DP_OK : DP_ERR_NOMEM;
    }
    order_free(order);
    return code;
}

int dp_locate_order_text(const json_t *order, char **ret_text)
{
    char *text = NULL;
    size_t size = 0, i;
    const json_t *item;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return DP_ERR_NOMEM;
    (void)fputs("The path, as the captures show it:\n  ", out);
    json_array_foreach(json_object_get(order, "points"), i, item)(void)
        fprintf(out, "%s%s", i ? " -> " : "", json_string_value(item));
    (void)fputs("\n", out);
    json_array_foreach(json_object_get(order, "reasons"), i, item)(void)
        fprintf(out, "  %s.\n", json_string_value(item));
    if (!json_is_true(json_object_get(order, "certain")))
        (void)fputs("Not all of it is sure: give the points in the path's order, without --discover-order.\n",
                    out);
    (void)fputs("\n", out);
    if (fclose(out) != 0) {
        free(text);
        return DP_ERR_NOMEM;
    }
    *ret_text = text;
    return DP_OK;
}
