#include "cli/remote/lists.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote/text.h"
#include "common/err/err.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A document with one list in it; takes over the list. */
static json_t *document_of(const char *schema, const char *name, json_t *list)
{
    return json_pack("{s:s, s:o}", "schema", schema, name, list);
}

static json_t *strings(char **texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        if (json_array_append_new(array, json_string(texts[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *time_or_null(int64_t ns)
{
    char text[DP_TIME_TEXT];
    return ns ? json_string(dp_time_utc(ns, text, sizeof text)) : json_null();
}

/* Empty texts become null: "nobody knows it" is not a name. */
static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

/* The collector listens on IPv6 sockets, where IPv4 peers look so (RFC 4291, 2.5.5.2). */
static const char *plain_address(const char *address)
{
    return strncmp(address, "::ffff:", 7) == 0 && strchr(address + 7, '.') ? address + 7 : address;
}

static json_t *agent_object(const Droppoint__AgentEntry *agent)
{
    bool measured = agent->clock_error_ns >= 0;
    return json_pack(
        "{s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "name", text_or_null(agent->name),
        "fingerprint", agent->fingerprint, "state", agent->state, "connected", agent->connected, "address",
        text_or_null(plain_address(agent->address)), "last_seen", time_or_null(agent->last_seen_ns),
        "clock_offset_ns", measured ? json_integer(agent->clock_offset_ns) : json_null(), "clock_error_ns",
        measured ? json_integer(agent->clock_error_ns) : json_null(), "interfaces",
        strings(agent->interfaces, agent->n_interfaces), "software", text_or_null(agent->software));
}

json_t *dp_agents_document(const Droppoint__AgentList *list)
{
    json_t *agents = json_array();
    for (size_t i = 0; agents && i < list->n_agents; i++)
        if (json_array_append_new(agents, agent_object(list->agents[i]))) {
            json_decref(agents);
            return NULL;
        }
    return document_of("droppoint.agents.v1", "agents", agents);
}

json_t *dp_paths_document(const Droppoint__PathList *list)
{
    json_t *paths = json_array();
    for (size_t i = 0; paths && i < list->n_paths; i++) {
        const Droppoint__PathEntry *path = list->paths[i];
        json_t *object = json_pack("{s:s, s:o}", "name", path->name, "vantages",
                                   strings(path->vantages, path->n_vantages));
        if (json_array_append_new(paths, object)) {
            json_decref(paths);
            return NULL;
        }
    }
    return document_of("droppoint.paths.v1", "paths", paths);
}

json_t *dp_captures_document(const Droppoint__CaptureList *list)
{
    json_t *captures = json_array();
    for (size_t i = 0; captures && i < list->n_captures; i++) {
        const Droppoint__CaptureEntry *capture = list->captures[i];
        json_t *object =
            json_pack("{s:s, s:s, s:o, s:I, s:s, s:o, s:o}", "id", capture->capture_id, "path", capture->path,
                      "started_at", time_or_null(capture->started_ns), "duration_ms",
                      (json_int_t)capture->duration_ms, "state", capture->state, "verdict",
                      text_or_null(capture->verdict), "summary", text_or_null(capture->summary));
        if (json_array_append_new(captures, object)) {
            json_decref(captures);
            return NULL;
        }
    }
    return document_of("droppoint.captures.v1", "captures", captures);
}

/* Adds a row; the first failure counts. */
static int add_row(struct dp_table *table, const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = dp_table_add(table, cells[i]);
        if (rc)
            return rc;
    }
    return 0;
}

/* "eth0, eth1, lo"; *ret_text is malloc'd. */
static int joined(char **texts, size_t count, const char *between, char **ret_text)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(texts[i]) + strlen(between);
    char *text = malloc(size), *end = text;
    if (!text)
        return DP_ERR_NOMEM;
    *end = '\0';
    for (size_t i = 0; i < count; i++)
        end = stpcpy(stpcpy(end, i ? between : ""), texts[i]);
    *ret_text = text;
    return 0;
}

static int add_agent(struct dp_table *table, const Droppoint__AgentEntry *agent)
{
    char seen[DP_TIME_TEXT], offset[64], *interfaces = NULL;
    int rc = joined(agent->interfaces, agent->n_interfaces, " ", &interfaces);
    if (rc)
        return rc;
    const char *cells[] = {
        agent->name,
        agent->state,
        agent->connected ? "connected" : "away",
        dp_offset_text(agent->clock_offset_ns, agent->clock_error_ns, offset, sizeof offset),
        dp_time_text(agent->last_seen_ns, seen, sizeof seen),
        plain_address(agent->address),
        agent->fingerprint,
        interfaces};
    rc = add_row(table, cells, COUNT(cells));
    free(interfaces);
    return rc;
}

int dp_agents_print(const Droppoint__AgentList *list, FILE *out)
{
    static const char *const heads[] = {"AGENT",     "STATE",   "SESSION",     "CLOCK",
                                        "LAST SEEN", "ADDRESS", "FINGERPRINT", "INTERFACES"};
    if (!list->n_agents) {
        fprintf(
            out,
            "The collector knows no agent yet. Start droppoint-agent on a host with this collector's address "
            "and public key in its configuration; it appears here and waits for approval.\n");
        return 0;
    }
    struct dp_table *table = NULL;
    const Droppoint__AgentEntry *pending = NULL;
    int rc = dp_table_new(heads, COUNT(heads), &table);
    for (size_t i = 0; !rc && i < list->n_agents; i++) {
        rc = add_agent(table, list->agents[i]);
        if (!pending && !strcmp(list->agents[i]->state, "pending"))
            pending = list->agents[i];
    }
    if (!rc)
        dp_table_print(table, out);
    if (!rc && pending) {
        char fingerprint[16];
        (void)snprintf(fingerprint, sizeof fingerprint, "%.14s", pending->fingerprint);
        fprintf(out,
                "\nPending agents wait for you. Compare the fingerprint with the one in the agent's own log, "
                "then:\n"
                "  droppoint agent approve %s        (--name NAME: under another name than its own)\n",
                dp_printable(fingerprint));
    }
    dp_table_free(table);
    return rc;
}

int dp_paths_print(const Droppoint__PathList *list, FILE *out)
{
    static const char *const heads[] = {"PATH", "VANTAGE POINTS, NEAR END FIRST"};
    if (!list->n_paths) {
        fprintf(out,
                "There is no path yet. Name the vantage points that the traffic crosses, near end first:\n"
                "  droppoint path set mail-out mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth1\n");
        return 0;
    }
    struct dp_table *table = NULL;
    int rc = dp_table_new(heads, COUNT(heads), &table);
    for (size_t i = 0; !rc && i < list->n_paths; i++) {
        char *vantages = NULL;
        rc = joined(list->paths[i]->vantages, list->paths[i]->n_vantages, " -> ", &vantages);
        const char *cells[] = {list->paths[i]->name, vantages};
        if (!rc)
            rc = add_row(table, cells, COUNT(cells));
        free(vantages);
    }
    if (!rc)
        dp_table_print(table, out);
    dp_table_free(table);
    return rc;
}

int dp_captures_print(const Droppoint__CaptureList *list, FILE *out)
{
    static const char *const heads[] = {"CAPTURE", "STARTED", "PATH",   "STATE",
                                        "LENGTH",  "VERDICT", "SUMMARY"};
    if (!list->n_captures) {
        fprintf(out, "There is no capture yet. Make one:\n  droppoint capture run --path PATH\n");
        return 0;
    }
    struct dp_table *table = NULL;
    int rc = dp_table_new(heads, COUNT(heads), &table);
    for (size_t i = 0; !rc && i < list->n_captures; i++) {
        const Droppoint__CaptureEntry *capture = list->captures[i];
        char started[DP_TIME_TEXT], length[32];
        const char *cells[] = {capture->capture_id,
                               dp_time_text(capture->started_ns, started, sizeof started),
                               capture->path,
                               capture->state,
                               dp_duration_text(capture->duration_ms, length, sizeof length),
                               capture->verdict,
                               capture->summary};
        rc = add_row(table, cells, COUNT(cells));
    }
    if (!rc)
        dp_table_print(table, out);
    dp_table_free(table);
    return rc;
}
