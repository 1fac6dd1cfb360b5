#include "agent/probe/dns/follow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/dns/spf.h"
#include "agent/probe/net/dns_query.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/target.h"

#define HOSTS_MAX 20
#define ADDRESSES_MAX 64
#define EVALUATIONS 3 /* at worst, and for this host's IPv4 and IPv6 address */
#define QUERY_MS 4000

struct host {
    struct dns_follow *owner;
    struct dns_follow_mx mx;
    struct dp_dns_query *queries[3]; /* A, AAAA, TLSA */
    char alias[DP_DNS_NAME];         /* it is a CNAME for that */
    size_t addresses;
    bool asked_address, timed_out;
    json_t *tlsa;
};

struct address {
    struct dns_follow *owner;
    struct host *host;
    char text[DP_ADDRESS_TEXT];
    char ptr[DP_DNS_NAME]; /* "" : none */
    bool forward_confirmed, asked;
    struct dp_dns_query *query;
};

struct evaluation {
    struct dns_follow *owner;
    struct dp_spf *spf;
    char address[DP_ADDRESS_TEXT]; /* "" : the count at worst */
    struct dp_dns_query *query;
};

struct dns_follow {
    struct dp_probe *probe;
    dns_follow_done *done;
    void *context;
    char domain[DP_DNS_NAME], asker[DP_ADDRESS_TEXT];
    json_t *data, *problems;
    struct host hosts[HOSTS_MAX];
    size_t host_count;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
    struct evaluation evaluations[EVALUATIONS];
    size_t evaluation_count;
    struct dp_dns_query *texts[3]; /* DMARC, MTA-STS, TLS-RPT */
    size_t open;
    struct dp_timer *timer;
    bool written;
};

void dns_problem(json_t *problems, const char *word, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)json_array_append_new(
        problems, json_pack("{s:s, s:o}", "word", word, "text", dp_peer_text(text, strlen(text))));
}

static void one_less(struct dns_follow *f)
{
    if (--f->open == 0)
        dp_timer_start(f->timer, 0, 0);
}

static void ask(struct dns_follow *f, const char *name, uint16_t type, dp_dns_done *done, void *context,
                struct dp_dns_query **ret_query)
{
    struct dp_dns_question question = {f->asker[0] ? f->asker : NULL, name, type, true, QUERY_MS};
    if (dp_dns_query_start(dp_probe_loop(f->probe), &question, done, context, ret_query, NULL) == 0)
        f->open++;
}

/* --- addresses and their names --- */

static void on_forward(void *context, const struct dp_dns_answer *answer)
{
    struct address *address = context;
    union dp_address wanted, got;
    for (size_t i = 0; !answer->code && i < answer->message.count; i++) {
        const struct dp_dns_record *record = &answer->message.records[i];
        if (record->section == DP_DNS_ANSWER && (record->type == DP_DNS_A || record->type == DP_DNS_AAAA) &&
            dp_address_parse(address->text, 0, &wanted) == 0 &&
            dp_address_parse(record->data, 0, &got) == 0 && dp_address_same(&wanted, &got))
            address->forward_confirmed = true;
    }
    one_less(address->owner);
}

static void on_ptr(void *context, const struct dp_dns_answer *answer)
{
    struct address *address = context;
    struct dns_follow *f = address->owner;
    for (size_t i = 0; !answer->code && i < answer->message.count && !address->ptr[0]; i++)
        if (answer->message.records[i].section == DP_DNS_ANSWER &&
            answer->message.records[i].type == DP_DNS_PTR)
            (void)snprintf(address->ptr, sizeof address->ptr, "%s", answer->message.records[i].target);
    dp_dns_query_drop(address->query);
    address->query = NULL;
    if (address->ptr[0])
        ask(f, address->ptr, strchr(address->text, ':') ? DP_DNS_AAAA : DP_DNS_A, on_forward, address,
            &address->query);
    one_less(f);
}

static void on_host_address(void *context, const struct dp_dns_answer *answer)
{
    struct host *host = context;
    struct dns_follow *f = host->owner;
    host->timed_out = host->timed_out || answer->code;
    for (size_t i = 0; !answer->code && i < answer->message.count; i++) {
        const struct dp_dns_record *record = &answer->message.records[i];
        char name[DP_DNS_NAME];
        if (record->section != DP_DNS_ANSWER)
            continue;
        if (record->type == DP_DNS_CNAME && strcasecmp(record->name, host->mx.host) == 0)
            (void)snprintf(host->alias, sizeof host->alias, "%s", record->target);
        if ((record->type != DP_DNS_A && record->type != DP_DNS_AAAA) || f->address_count == ADDRESSES_MAX)
            continue;
        struct address *address = &f->addresses[f->address_count++];
        *address = (struct address){.owner = f, .host = host};
        (void)snprintf(address->text, sizeof address->text, "%s", record->data);
        host->addresses++;
        if (dp_dns_reverse_name(address->text, name))
            ask(f, name, DP_DNS_PTR, on_ptr, address, &address->query);
    }
    one_less(f);
}

static void on_tlsa(void *context, const struct dp_dns_answer *answer)
{
    struct host *host = context;
    host->tlsa = json_array();
    for (size_t i = 0; !answer->code && i < answer->message.count; i++)
        if (answer->message.records[i].section == DP_DNS_ANSWER &&
            answer->message.records[i].type == DP_DNS_TLSA)
            (void)json_array_append_new(host->tlsa, json_string(answer->message.records[i].data));
    one_less(host->owner);
}

static void add_hosts(struct dns_follow *f, const struct dns_follow_mx *mx, size_t count)
{
    for (size_t i = 0; i < count && f->host_count < HOSTS_MAX; i++) {
        struct host *host = &f->hosts[f->host_count++];
        char name[DP_DNS_NAME + 16];
        *host = (struct host){.owner = f, .mx = mx[i]};
        if (!host->mx.host[0])
            continue;
        ask(f, host->mx.host, DP_DNS_A, on_host_address, host, &host->queries[0]);
        ask(f, host->mx.host, DP_DNS_AAAA, on_host_address, host, &host->queries[1]);
        (void)snprintf(name, sizeof name, "_25._tcp.%s", host->mx.host);
        if (strlen(name) < DP_DNS_NAME)
            ask(f, name, DP_DNS_TLSA, on_tlsa, host, &host->queries[2]);
    }
}

/* --- policies in TXT --- */

static void take_text(struct dns_follow *f, const struct dp_dns_answer *answer, const char *key,
                      const char *version, const char *word, const char *what)
{
    const char *found = NULL;
    size_t count = 0;
    for (size_t i = 0; !answer->code && i < answer->message.count; i++) {
        const struct dp_dns_record *record = &answer->message.records[i];
        if (record->section == DP_DNS_ANSWER && record->type == DP_DNS_TXT &&
            strncasecmp(record->data, version, strlen(version)) == 0) {
            found = record->data;
            count++;
        }
    }
    if (count > 1)
        dns_problem(f->problems, word, "There are %zu %s records; receivers then ignore them all.", count,
                    what);
    (void)json_object_set_new(f->data, key, found ? json_pack("{s:s}", "record", found) : json_null());
    one_less(f);
}

static void on_dmarc(void *context, const struct dp_dns_answer *answer)
{
    take_text(context, answer, "dmarc", "v=DMARC1", "dmarc-several", "DMARC");
}

static void on_mta_sts(void *context, const struct dp_dns_answer *answer)
{
    take_text(context, answer, "mta_sts", "v=STSv1", "mta-sts-several", "MTA-STS");
}

static void on_tls_rpt(void *context, const struct dp_dns_answer *answer)
{
    take_text(context, answer, "tls_rpt", "v=TLSRPTv1", "tls-rpt-several", "TLS-RPT");
}

static void ask_texts(struct dns_follow *f)
{
    static const struct {
        const char *prefix;
        dp_dns_done *done;
    } texts[3] = {{"_dmarc", on_dmarc}, {"_mta-sts", on_mta_sts}, {"_smtp._tls", on_tls_rpt}};
    for (size_t i = 0; i < 3; i++) {
        char name[DP_DNS_NAME + 16];
        (void)snprintf(name, sizeof name, "%s.%s", texts[i].prefix, f->domain);
        if (strlen(name) < DP_DNS_NAME)
            ask(f, name, DP_DNS_TXT, texts[i].done, f, &f->texts[i]);
    }
}

/* --- SPF --- */

static void ask_spf(struct evaluation *e);

static void on_spf(void *context, const struct dp_dns_answer *answer)
{
    struct evaluation *e = context;
    bool answered = answer->code == 0 &&
                    (answer->message.rcode == DP_DNS_NOERROR || answer->message.rcode == DP_DNS_NXDOMAIN);
    dp_spf_answer(e->spf, answered, &answer->message);
    dp_dns_query_drop(e->query);
    e->query = NULL;
    ask_spf(e);
    one_less(e->owner);
}

static void ask_spf(struct evaluation *e)
{
    const char *name;
    uint16_t type;
    if (dp_spf_wants(e->spf, &name, &type))
        ask(e->owner, name, type, on_spf, e, &e->query);
}

static void add_evaluation(struct dns_follow *f, const char *address)
{
    struct evaluation *e = &f->evaluations[f->evaluation_count];
    *e = (struct evaluation){.owner = f};
    (void)snprintf(e->address, sizeof e->address, "%s", address);
    if (dp_spf_new(f->domain, address[0] ? address : NULL, &e->spf))
        return;
    f->evaluation_count++;
    ask_spf(e);
}

/* --- what it came to --- */

static void write_addresses(struct dns_follow *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->address_count; i++) {
        const struct address *a = &f->addresses[i];
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:b}", "address", a->text, "host",
                                                    a->host->mx.host, "ptr",
                                                    a->ptr[0] ? json_string(a->ptr) : json_null(),
                                                    "forward_confirmed", a->forward_confirmed));
        if (!a->ptr[0])
            dns_problem(f->problems, "ptr-missing",
                        "%s (%s) has no PTR; many servers turn such a sender away.", a->text,
                        a->host->mx.host);
        else if (!a->forward_confirmed)
            dns_problem(f->problems, "ptr-unconfirmed",
                        "%s (%s) has the PTR %s, which does not lead back to it.", a->text, a->host->mx.host,
                        a->ptr);
    }
    (void)json_object_set_new(f->data, "addresses", list);
}

static void write_mx(struct dns_follow *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->host_count; i++) {
        struct host *h = &f->hosts[i];
        json_t *addresses = json_array();
        for (size_t k = 0; k < f->address_count; k++)
            if (f->addresses[k].host == h)
                (void)json_array_append(addresses, json_array_get(json_object_get(f->data, "addresses"), k));
        (void)json_array_append_new(
            list, json_pack("{s:s, s:i, s:o, s:o, s:o}", "host", h->mx.host, "preference", h->mx.preference,
                            "cname", h->alias[0] ? json_string(h->alias) : json_null(), "addresses",
                            addresses, "tlsa", h->tlsa ? json_incref(h->tlsa) : json_array()));
        if (h->alias[0] && strcasecmp(h->mx.host, f->domain) != 0)
            dns_problem(f->problems, "mx-cname",
                        "The MX %s is a CNAME for %s, which RFC 2181 forbids; some servers do not "
                        "deliver there.",
                        h->mx.host, h->alias);
        if (!h->mx.host[0])
            dns_problem(f->problems, "null-mx", "%s has a null MX: it takes no mail (RFC 7505).", f->domain);
        else if (!h->addresses && !h->timed_out && strcasecmp(h->mx.host, f->domain) != 0)
            dns_problem(f->problems, "mx-no-address", "The MX %s has no address.", h->mx.host);
    }
    (void)json_object_set_new(f->data, "mx", list);
}

static void write_spf(struct dns_follow *f)
{
    json_t *results = json_array(), *spf = NULL;
    for (size_t i = 0; i < f->evaluation_count; i++) {
        const struct evaluation *e = &f->evaluations[i];
        const char *name;
        uint16_t type;
        bool unfinished = dp_spf_wants(e->spf, &name, &type);
        enum dp_spf_result result = unfinished ? DP_SPF_TEMPERROR : dp_spf_outcome(e->spf);
        if (e->address[0]) {
            (void)json_array_append_new(results,
                                        json_pack("{s:s, s:s, s:s}", "address", e->address, "result",
                                                  dp_spf_result_name(result), "why", dp_spf_why(e->spf)));
            continue;
        }
        const char *record = dp_spf_record(e->spf);
        bool error = result == DP_SPF_PERMERROR || result == DP_SPF_TEMPERROR;
        spf = json_pack("{s:o, s:i, s:i, s:s, s:s}", "record", record[0] ? json_string(record) : json_null(),
                        "lookups", dp_spf_lookups(e->spf), "voids", dp_spf_voids(e->spf), "result",
                        error       ? dp_spf_result_name(result)
                        : record[0] ? "valid"
                                    : "none",
                        "why", error ? dp_spf_why(e->spf) : "");
        if (result == DP_SPF_PERMERROR)
            dns_problem(f->problems, "spf-permerror", "The SPF record of %s is in error: %s.", f->domain,
                        dp_spf_why(e->spf));
        else if (result == DP_SPF_TEMPERROR)
            dns_problem(f->problems, "spf-temperror", "The SPF record of %s could not be followed: %s.",
                        f->domain, dp_spf_why(e->spf));
    }
    if (spf) {
        (void)json_object_set_new(spf, "evaluations", results);
        (void)json_object_set_new(f->data, "spf", spf);
    } else {
        json_decref(results);
    }
}

static void write_all(struct dns_follow *f)
{
    if (f->written)
        return;
    f->written = true;
    write_addresses(f);
    write_mx(f);
    write_spf(f);
}

static void on_all(void *context)
{
    struct dns_follow *f = context;
    write_all(f);
    f->done(f->context);
}

int dns_follow_start(struct dp_probe *probe, const char *domain, const char *asker,
                     const struct dns_follow_mx *mx, size_t mx_count, json_t *data, json_t *problems,
                     dns_follow_done *done, void *context, struct dns_follow **ret_follow)
{
    struct dns_follow *f = calloc(1, sizeof *f);
    char own[DP_ADDRESS_TEXT];
    if (!f)
        return DP_ERR_NOMEM;
    *f = (struct dns_follow){
        .probe = probe, .done = done, .context = context, .data = data, .problems = problems, .open = 1};
    (void)snprintf(f->domain, sizeof f->domain, "%s", domain);
    (void)snprintf(f->asker, sizeof f->asker, "%s", asker ? asker : "");
    if (dp_timer_new(dp_probe_loop(probe), on_all, f, &f->timer)) {
        free(f);
        return DP_ERR_NOMEM;
    }
    add_hosts(f, mx, mx_count);
    ask_texts(f);
    add_evaluation(f, "");
    if (dp_outgoing_address(dp_probe_request(probe), AF_INET, own))
        add_evaluation(f, own);
    if (dp_outgoing_address(dp_probe_request(probe), AF_INET6, own))
        add_evaluation(f, own);
    one_less(f); // the one that kept it open until here
    *ret_follow = f;
    return 0;
}

void dns_follow_expire(struct dns_follow *f)
{
    dp_timer_stop(f->timer);
    write_all(f);
}

void dns_follow_free(struct dns_follow *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->host_count; i++) {
        for (size_t k = 0; k < 3; k++)
            dp_dns_query_drop(f->hosts[i].queries[k]);
        json_decref(f->hosts[i].tlsa);
    }
    for (size_t i = 0; i < f->address_count; i++)
        dp_dns_query_drop(f->addresses[i].query);
    for (size_t i = 0; i < f->evaluation_count; i++) {
        dp_dns_query_drop(f->evaluations[i].query);
        dp_spf_free(f->evaluations[i].spf);
    }
    for (size_t i = 0; i < 3; i++)
        dp_dns_query_drop(f->texts[i]);
    dp_timer_drop(f->timer);
    free(f);
}
