/* `dns`: do all name servers that matter say the same about a name, and is what they say fit for mail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/dns/discover.h"
#include "agent/probe/dns/follow.h"
#include "agent/probe/dns/verdict.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/dns_query.h"

#define QUESTIONS_MAX 8
#define QUERY_MS 5000

struct dns_probe;

struct dns_ask {
    struct dns_probe *owner;
    struct dp_dns_query *query;
    size_t server, question;
};

struct dns_probe {
    struct dp_probe *probe;
    char name[DP_DNS_NAME];
    bool for_mail; /* no --type */
    struct dns_discovery *discovery;
    struct dns_server servers[DNS_SERVERS_MAX];
    size_t server_count;
    char zone[DP_DNS_NAME];
    struct dns_question questions[QUESTIONS_MAX];
    size_t question_count;
    struct dns_cell *cells;
    struct dns_ask *asks;
    size_t ask_count, open;
    struct dns_follow *follow;
    json_t *problems;
    bool concluded;
};

static void conclude(struct dns_probe *dns)
{
    if (dns->concluded)
        return;
    dns->concluded = true;
    json_t *data = dp_probe_data(dns->probe), *servers = json_array();
    size_t cells = dns->server_count * dns->question_count;
    for (size_t i = 0; i < cells; i++)
        dns_cell_expire(&dns->cells[i]);
    for (size_t s = 0; s < dns->server_count; s++)
        (void)json_array_append_new(servers,
                                    dns_server_json(&dns->servers[s], dns->questions, dns->question_count,
                                                    &dns->cells[s * dns->question_count]));
    struct dns_verdict verdict = dns_judge(dns->name, dns->servers, dns->server_count, dns->questions,
                                           dns->question_count, dns->cells);
    (void)json_object_set_new(data, "zone", dns->zone[0] ? json_string(dns->zone) : json_null());
    (void)json_object_set_new(data, "servers", servers);
    (void)json_object_set_new(data, "differences", verdict.differences);
    (void)json_object_set_new(data, "servers_left_out",
                              json_integer((json_int_t)dns_discovery_left_out(dns->discovery)));
    (void)json_object_set(data, "problems", dns->problems);
    const json_t *problem = json_array_get(dns->problems, 0);
    if (problem)
        dp_probe_warn(dns->probe);
    size_t more = json_array_size(dns->problems);
    dp_probe_finish(dns->probe, verdict.class,
                    verdict.next_step[0] || !more ? verdict.next_step
                                                  : "See the list of problems: each has its own sentence.",
                    "%s%s%s%s", verdict.summary, problem ? "; but: " : "",
                    problem ? json_string_value(json_object_get(problem, "text")) : "",
                    more > 1 ? " And more." : "");
}

static void on_followed(void *context)
{
    conclude(context);
}

/* The MX of the first server that has an answer; the domain itself where there is none. */
static size_t collect_mx(const struct dns_probe *dns, struct dns_follow_mx *mx, size_t max)
{
    size_t count = 0;
    for (size_t s = 0; s < dns->server_count && !count; s++)
        for (size_t q = 0; q < dns->question_count; q++) {
            const struct dns_cell *cell = &dns->cells[s * dns->question_count + q];
            if (dns->questions[q].type != DP_DNS_MX || cell->state != DNS_ANSWERS)
                continue;
            size_t i;
            json_t *answer;
            json_array_foreach(cell->answers, i, answer)
            {
                unsigned preference = 0;
                char host[DP_DNS_NAME] = "";
                if (count == max || sscanf(json_string_value(json_object_get(answer, "data")), "%u %255s",
                                           &preference, host) != 2)
                    continue;
                mx[count].preference = (uint16_t)preference;
                (void)snprintf(mx[count++].host, DP_DNS_NAME, "%s", strcmp(host, ".") == 0 ? "" : host);
            }
        }
    if (!count && max) {
        mx[count] = (struct dns_follow_mx){.preference = 0};
        (void)snprintf(mx[count++].host, DP_DNS_NAME, "%s", dns->name);
    }
    return count;
}

static void all_answered(struct dns_probe *dns)
{
    struct dns_follow_mx mx[20];
    if (!dns->for_mail) {
        conclude(dns);
        return;
    }
    size_t count = collect_mx(dns, mx, 20);
    if (dns_follow_start(dns->probe, dns->name, dns_discovery_asker(dns->discovery), mx, count,
                         dp_probe_data(dns->probe), dns->problems, on_followed, dns, &dns->follow))
        dp_probe_fail(dns->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
}

static void on_answer(void *context, const struct dp_dns_answer *answer)
{
    struct dns_ask *ask = context;
    struct dns_probe *dns = ask->owner;
    const struct dns_question *question = &dns->questions[ask->question];
    dns_cell_take(&dns->cells[ask->server * dns->question_count + ask->question], answer, question->type,
                  dns->servers[ask->server].role == DNS_AUTHORITATIVE);
    if (--dns->open == 0)
        all_answered(dns);
}

static void on_discovered(void *context, const char *zone, const struct dns_server *servers, size_t count)
{
    struct dns_probe *dns = context;
    (void)snprintf(dns->zone, sizeof dns->zone, "%s", zone);
    memcpy(dns->servers, servers, count * sizeof *servers);
    dns->server_count = count;
    if (!count) {
        dp_probe_fail(dns->probe, DP_ERR_UNAVAILABLE,
                      "no name server is known: /etc/resolv.conf names none, and there is no --server");
        return;
    }
    dns->cells = calloc(count * dns->question_count, sizeof *dns->cells);
    dns->asks = calloc(count * dns->question_count, sizeof *dns->asks);
    if (!dns->cells || !dns->asks) {
        dp_probe_fail(dns->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    dp_probe_progress(dns->probe, "asking %zu name servers about %s", count, dns->name);
    uint64_t left = dp_probe_left_ms(dns->probe) * 2 / 3;
    for (size_t s = 0; s < count; s++)
        for (size_t q = 0; q < dns->question_count; q++) {
            struct dns_ask *ask = &dns->asks[dns->ask_count++];
            struct dp_dns_question question = {
                dns->servers[s].address, dns->questions[q].name, dns->questions[q].type,
                dns->servers[s].role != DNS_AUTHORITATIVE, left < QUERY_MS ? left + 1 : QUERY_MS};
            *ask = (struct dns_ask){.owner = dns, .server = s, .question = q};
            struct dp_diag diag = {""};
            int rc =
                dp_dns_query_start(dp_probe_loop(dns->probe), &question, on_answer, ask, &ask->query, &diag);
            if (rc) {
                dp_probe_fail(dns->probe, rc, "%s", dp_reason(&diag, rc));
                return;
            }
            dns->open++;
        }
}

static void add_question(struct dns_probe *dns, const char *prefix, uint16_t type)
{
    struct dns_question *question = &dns->questions[dns->question_count];
    int length = snprintf(question->name, sizeof question->name, "%s%s", prefix, dns->name);
    if (length < 0 || (size_t)length >= sizeof question->name)
        return;
    question->type = type;
    question->of_domain = !prefix[0];
    dns->question_count++;
}

static int read_request(struct dns_probe *dns, struct dp_diag *diag)
{
    static const uint16_t for_mail[] = {DP_DNS_MX, DP_DNS_A, DP_DNS_AAAA, DP_DNS_TXT, DP_DNS_NS, DP_DNS_SOA};
    const struct dp_request *request = dp_probe_request(dns->probe);
    const char *target = dp_request_target(request), *type = dp_request_text(request, "--type");
    size_t length = strlen(target);
    if (length && target[length - 1] == '.')
        length--;
    if (!length || length > 253 || strpbrk(target, " /:[]"))
        return dp_fail(diag, DP_ERR_USAGE, "target '%.100s' is no domain name", target);
    (void)snprintf(dns->name, sizeof dns->name, "%.*s", (int)length, target);
    for (char *c = dns->name; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    if (type) {
        uint16_t number = dp_dns_type_number(type);
        if (!number)
            return dp_fail(diag, DP_ERR_USAGE,
                           "--type '%.40s': a type such as A, AAAA, MX, NS, SOA, TXT, PTR, CNAME, SRV, "
                           "TLSA, CAA, DS or TYPE65",
                           type);
        add_question(dns, "", number);
        return 0;
    }
    dns->for_mail = true;
    for (size_t i = 0; i < sizeof for_mail / sizeof for_mail[0]; i++)
        add_question(dns, "", for_mail[i]);
    add_question(dns, "_dmarc.", DP_DNS_TXT);
    return 0;
}

static void dns_stop(void *state)
{
    struct dns_probe *dns = state;
    for (size_t i = 0; i < dns->ask_count; i++)
        dp_dns_query_drop(dns->asks[i].query);
    for (size_t i = 0; dns->cells && i < dns->server_count * dns->question_count; i++)
        dns_cell_free(&dns->cells[i]);
    dns_follow_free(dns->follow);
    dns_discovery_free(dns->discovery);
    json_decref(dns->problems);
    free(dns->asks);
    free(dns->cells);
    free(dns);
}

static int dns_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    struct dns_probe *dns = calloc(1, sizeof *dns);
    if (!dns)
        return DP_ERR_NOMEM;
    dns->probe = probe;
    dns->problems = json_array();
    int rc = dns->problems ? read_request(dns, diag) : DP_ERR_NOMEM;
    if (!rc)
        rc = dns_discovery_start(probe, dns->name, on_discovered, dns, &dns->discovery, diag);
    if (rc) {
        dns_stop(dns);
        return rc;
    }
    *ret_state = dns;
    return 0;
}

static void dns_expire(void *state)
{
    struct dns_probe *dns = state;
    if (!dns->cells) {
        dns_discovery_expire(dns->discovery); // begins with the servers that are known ...
        if (dns->cells)
            conclude(dns); // ... which then had no time to answer
        return;
    }
    if (dns->follow)
        dns_follow_expire(dns->follow);
    conclude(dns);
}

static void dns_print(const json_t *data, FILE *out)
{
    size_t i, k;
    json_t *server, *question, *difference, *view;
    json_array_foreach(json_object_get(data, "servers"), i, server)
    {
        const char *name = json_string_value(json_object_get(server, "name"));
        fprintf(out, "%-13s %-30s %s\n", json_string_value(json_object_get(server, "role")),
                json_string_value(json_object_get(server, "server")), name ? name : "");
        json_array_foreach(json_object_get(server, "questions"), k, question)
        {
            const json_t *answers = json_object_get(question, "answers");
            fprintf(out, "  %-5s %-9s %7.1f ms", json_string_value(json_object_get(question, "type")),
                    json_string_value(json_object_get(question, "state")),
                    json_number_value(json_object_get(question, "rtt_ms")));
            for (size_t a = 0; a < json_array_size(answers) && a < 4; a++)
                fprintf(out, "%s %.80s", a ? "," : " ",
                        json_string_value(json_object_get(json_array_get(answers, a), "data")));
            fputs("\n", out);
        }
    }
    json_array_foreach(json_object_get(data, "differences"), i, difference)
    {
        fprintf(out, "Differs: %s %s\n", json_string_value(json_object_get(difference, "name")),
                json_string_value(json_object_get(difference, "type")));
        json_array_foreach(json_object_get(difference, "views"), k, view)
        {
            char *servers = json_dumps(json_object_get(view, "servers"), JSON_COMPACT);
            char *answers = json_dumps(json_object_get(view, "answers"), JSON_COMPACT);
            fprintf(out, "  %s say %s\n", servers ? servers : "", answers ? answers : "");
            free(servers);
            free(answers);
        }
    }
    json_array_foreach(json_object_get(data, "problems"), i, difference)
        fprintf(out, "Problem: %s\n", json_string_value(json_object_get(difference, "text")));
}

static const struct dp_probe_option options[] = {
    {"--type", DP_OPT_TEXT, "TYPE", NULL, 0, 0, NULL, false,
     "ask for this type only (default: all that mail needs)"},
    {"--server", DP_OPT_TEXT, "ADDRESS[:PORT]", NULL, 0, 0, NULL, true,
     "a resolver to ask beside the system's and the authoritative servers"},
};

const struct dp_probe_kind dp_probe_dns = {
    .name = "dns",
    .about = "Do the system's resolver, named resolvers and all authoritative servers say the same, and is "
             "it fit for mail.",
    .target_text = "NAME",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 20000,
    .examples = "  droppoint probe dns --local example.net\n"
                "  droppoint probe dns --local --type MX --server 192.0.2.53 --server '[2001:db8::53]:53' "
                "example.net\n"
                "  droppoint probe dns --from all example.net\n",
    .start = dns_start,
    .expire = dns_expire,
    .stop = dns_stop,
    .print = dns_print,
};
