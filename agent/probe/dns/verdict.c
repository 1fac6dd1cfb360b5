#include "agent/probe/dns/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const role_names[] = {"system", "named", "authoritative"};
static const char *const state_names[] = {"answers", "nodata",   "nxdomain", "lame",
                                          "refused", "servfail", "timeout"};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Data of the answers, sorted; where there is an alias it alone counts, as what lies behind it is another
 * zone's matter. */
static void take_records(struct dns_cell *cell, const struct dp_dns_message *message, uint16_t type)
{
    const char *data[DP_DNS_RECORDS_MAX];
    size_t count = 0, length = 1;
    bool alias = false;
    for (size_t i = 0; i < message->count; i++)
        alias = alias ||
                (message->records[i].section == DP_DNS_ANSWER && message->records[i].type == DP_DNS_CNAME);
    cell->answers = json_array();
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        if (record->section != DP_DNS_ANSWER || (record->type != type && record->type != DP_DNS_CNAME))
            continue;
        char text[16];
        (void)json_array_append_new(cell->answers,
                                    json_pack("{s:s, s:s, s:I}", "type", dp_dns_type_name(record->type, text),
                                              "data", record->data, "ttl", (json_int_t)record->ttl));
        cell->ttl =
            !json_array_size(cell->answers) || record->ttl < cell->ttl || json_array_size(cell->answers) == 1
                ? record->ttl
                : cell->ttl;
        if (alias && type != DP_DNS_CNAME && record->type != DP_DNS_CNAME)
            continue;
        data[count++] = record->data;
        length += strlen(record->data) + 1;
    }
    qsort(data, count, sizeof data[0], by_text);
    cell->canonical = malloc(length);
    if (!cell->canonical)
        return;
    cell->canonical[0] = '\0';
    for (size_t i = 0, used = 0; i < count; i++)
        used += (size_t)snprintf(cell->canonical + used, length - used, "%s%s", i ? "\n" : "", data[i]);
}

void dns_cell_take(struct dns_cell *cell, const struct dp_dns_answer *answer, uint16_t type,
                   bool authoritative)
{
    cell->done = true;
    cell->rtt_ms = answer->rtt_ms;
    cell->tcp = answer->tcp;
    if (answer->code) {
        cell->state = answer->code == DP_ERR_FORMAT ? DNS_SERVFAIL : DNS_TIMEOUT;
        cell->error = answer->code == DP_ERR_FORMAT    ? "what it sends is no DNS message"
                      : answer->code == DP_ERR_TIMEOUT ? "no answer"
                                                       : "nobody listens there, or it is unreachable";
        return;
    }
    const struct dp_dns_message *message = &answer->message;
    cell->rcode = message->rcode;
    cell->aa = message->aa;
    take_records(cell, message, type);
    if (message->rcode == DP_DNS_REFUSED)
        cell->state = DNS_REFUSED;
    else if (message->rcode != DP_DNS_NOERROR && message->rcode != DP_DNS_NXDOMAIN)
        cell->state = DNS_SERVFAIL;
    else if (authoritative && !message->aa)
        cell->state = DNS_LAME;
    else if (message->rcode == DP_DNS_NXDOMAIN)
        cell->state = DNS_NXDOMAIN;
    else
        cell->state = json_array_size(cell->answers) ? DNS_ANSWERS : DNS_NODATA;
}

void dns_cell_expire(struct dns_cell *cell)
{
    if (cell->done)
        return;
    cell->done = true;
    cell->state = DNS_TIMEOUT;
    cell->error = "no answer";
}

void dns_cell_free(struct dns_cell *cell)
{
    free(cell->canonical);
    json_decref(cell->answers);
    *cell = (struct dns_cell){.done = false};
}

/* Whether two servers say the same. NODATA and NXDOMAIN below a domain come to the same for whoever asks. */
static bool same(const struct dns_cell *a, const struct dns_cell *b)
{
    if (a->state != b->state)
        return false;
    return a->state != DNS_ANSWERS ||
           (a->canonical && b->canonical && strcmp(a->canonical, b->canonical) == 0);
}

static json_t *view_answers(const struct dns_cell *cell)
{
    json_t *list = json_array();
    size_t i;
    json_t *answer;
    json_array_foreach(cell->answers, i, answer)(void)
        json_array_append(list, json_object_get(answer, "data"));
    if (cell->state != DNS_ANSWERS)
        (void)json_array_append_new(list, json_string(state_names[cell->state]));
    return list;
}

/* Caches keep an old SOA for its time on purpose: only the zone's own servers are compared by it. */
static bool counts(const struct dns_server *server, const struct dns_question *question,
                   const struct dns_cell *cell)
{
    return cell->state < DNS_LAME && !(question->type == DP_DNS_SOA && server->role != DNS_AUTHORITATIVE);
}

/* The different views of one question; NULL where all that answer agree. */
static json_t *views_of(const struct dns_server *servers, size_t server_count,
                        const struct dns_question *question, const struct dns_cell *cells, size_t stride)
{
    const struct dns_cell *seen[64];
    json_t *views = json_array();
    size_t count = 0;
    for (size_t s = 0; s < server_count; s++) {
        const struct dns_cell *cell = &cells[s * stride];
        if (!counts(&servers[s], question, cell))
            continue;
        size_t v = 0;
        while (v < count && !same(seen[v], cell))
            v++;
        if (v == count) {
            if (count == 64)
                continue;
            seen[count++] = cell;
            (void)json_array_append_new(views,
                                        json_pack("{s:[], s:o}", "servers", "answers", view_answers(cell)));
        }
        (void)json_array_append_new(json_object_get(json_array_get(views, v), "servers"),
                                    json_string(servers[s].address));
    }
    if (count > 1)
        return views;
    json_decref(views);
    return NULL;
}

static const char *next_step(enum dns_state state)
{
    switch (state) {
    case DNS_TIMEOUT:
        return "A name server does not answer: is it up, and do UDP and TCP port 53 pass? 'droppoint probe "
               "ping' and 'probe tcp' "
               "with port 53 tell; then ask whoever runs it.";
    case DNS_SERVFAIL:
        return "The server fails: its log tells why (zone not loaded, DNSSEC that does not validate, "
               "upstream that does not "
               "answer). Ask whoever runs it.";
    case DNS_REFUSED:
        return "The server refuses to answer this host: its access list, or it does not serve the zone any "
               "more; ask whoever "
               "runs it, or correct the NS records.";
    case DNS_LAME:
        return "A name server of the delegation does not serve the zone: load it there, or take it out of "
               "the NS records at the "
               "parent and in the zone.";
    case DNS_NXDOMAIN:
        return "The name does not exist: check its spelling, and whether the domain is registered and "
               "delegated.";
    case DNS_NODATA:
        return "The name exists but has no such records: add them where they are needed.";
    case DNS_ANSWERS:
        break;
    }
    return "";
}

/* The worst trouble with a server. */
static const struct dns_cell *worst_trouble(const struct dns_server *servers, size_t server_count,
                                            size_t question_count, const struct dns_cell *cells,
                                            const struct dns_server **ret_server, size_t *ret_question)
{
    const struct dns_cell *worst = NULL;
    for (size_t s = 0; s < server_count; s++)
        for (size_t q = 0; q < question_count; q++) {
            const struct dns_cell *cell = &cells[s * question_count + q];
            if (cell->state >= DNS_LAME && (!worst || cell->state > worst->state)) {
                worst = cell;
                *ret_server = &servers[s];
                *ret_question = q;
            }
        }
    return worst;
}

static size_t count_state(size_t server_count, const struct dns_question *questions, size_t question_count,
                          const struct dns_cell *cells, enum dns_state state, size_t *ret_all)
{
    size_t count = 0;
    *ret_all = 0;
    for (size_t s = 0; s < server_count; s++)
        for (size_t q = 0; q < question_count; q++)
            if (questions[q].of_domain) {
                ++*ret_all;
                count += cells[s * question_count + q].state == state;
            }
    return count;
}

struct dns_verdict dns_judge(const char *target, const struct dns_server *servers, size_t server_count,
                             const struct dns_question *questions, size_t question_count,
                             const struct dns_cell *cells)
{
    struct dns_verdict verdict = {.class = "consistent", .next_step = "", .differences = json_array()};
    char type[16];
    const struct dns_server *server = NULL;
    size_t question = 0, all = 0;
    for (size_t q = 0; q < question_count; q++) {
        json_t *views = views_of(servers, server_count, &questions[q], cells + q, question_count);
        if (views)
            (void)json_array_append_new(verdict.differences,
                                        json_pack("{s:s, s:s, s:o}", "name", questions[q].name, "type",
                                                  dp_dns_type_name(questions[q].type, type), "views", views));
    }
    const struct dns_cell *worst =
        worst_trouble(servers, server_count, question_count, cells, &server, &question);
    if (worst) {
        verdict.class = state_names[worst->state];
        verdict.next_step = next_step(worst->state);
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s: the %s server %.60s %.100s%sanswers %.100s %s with %s", target,
                       role_names[server->role], server->address, server->name, server->name[0] ? " " : "",
                       questions[question].name, dp_dns_type_name(questions[question].type, type),
                       worst->state == DNS_TIMEOUT    ? "nothing at all"
                       : worst->state == DNS_SERVFAIL ? "SERVFAIL or nonsense"
                       : worst->state == DNS_REFUSED  ? "REFUSED"
                                                      : "no authority for it (lame)");
    } else if (json_array_size(verdict.differences)) {
        const json_t *first = json_array_get(verdict.differences, 0);
        verdict.class = "inconsistent";
        verdict.next_step =
            "Compare the views: a secondary that did not get the last change ('droppoint probe zone'), a "
            "cache "
            "that will forget in its TTL, or inside and outside views on purpose (split DNS).";
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s: servers differ about %s %s (%zu views)%s", target,
                       json_string_value(json_object_get(first, "name")),
                       json_string_value(json_object_get(first, "type")),
                       json_array_size(json_object_get(first, "views")),
                       json_array_size(verdict.differences) > 1 ? ", and more" : "");
    } else if (count_state(server_count, questions, question_count, cells, DNS_NXDOMAIN, &all) == all &&
               all) {
        verdict.class = "nxdomain";
        verdict.next_step = next_step(DNS_NXDOMAIN);
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s does not exist, say all %zu servers asked", target, server_count);
    } else if (count_state(server_count, questions, question_count, cells, DNS_ANSWERS, &all) == 0 && all) {
        verdict.class = "nodata";
        verdict.next_step = next_step(DNS_NODATA);
        (void)snprintf(verdict.summary, sizeof verdict.summary,
                       "%s exists, but has no records of the types asked for", target);
    } else {
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s: all %zu servers asked say the same",
                       target, server_count);
    }
    return verdict;
}

static json_t *cell_json(const struct dns_cell *cell)
{
    char text[16];
    json_t *json = json_pack("{s:s, s:f, s:s}", "state", state_names[cell->state], "rtt_ms", cell->rtt_ms,
                             "transport", cell->tcp ? "tcp" : "udp");
    if (!json)
        return NULL;
    if (cell->error) {
        (void)json_object_set_new(json, "error", json_string(cell->error));
        (void)json_object_set_new(json, "rcode", json_null());
    } else {
        (void)json_object_set_new(json, "rcode", json_string(dp_dns_rcode_name(cell->rcode, text)));
        (void)json_object_set_new(json, "aa", json_boolean(cell->aa));
    }
    if (json_array_size(cell->answers))
        (void)json_object_set_new(json, "ttl", json_integer(cell->ttl));
    (void)json_object_set_new(json, "answers", cell->answers ? json_incref(cell->answers) : json_array());
    return json;
}

json_t *dns_server_json(const struct dns_server *server, const struct dns_question *questions,
                        size_t question_count, const struct dns_cell *row)
{
    char type[16];
    json_t *json = json_pack("{s:s, s:s}", "server", server->address, "role", role_names[server->role]);
    json_t *list = json_array();
    if (!json || !list) {
        json_decref(json);
        json_decref(list);
        return NULL;
    }
    if (server->name[0])
        (void)json_object_set_new(json, "name", json_string(server->name));
    for (size_t q = 0; q < question_count; q++) {
        json_t *entry = cell_json(&row[q]);
        if (!q)
            (void)json_object_update_missing(json, entry);
        (void)json_object_set_new(entry, "name", json_string(questions[q].name));
        (void)json_object_set_new(entry, "type", json_string(dp_dns_type_name(questions[q].type, type)));
        (void)json_array_append_new(list, entry);
    }
    (void)json_object_set_new(json, "questions", list);
    return json;
}
