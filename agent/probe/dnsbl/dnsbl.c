/* `dnsbl`: is an address or a domain on a block list; lists that do not work are told from lists that know
 * nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/dnsbl/lists.h"
#include "agent/probe/kinds.h"
#include "agent/probe/net/dns_query.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/target.h"

#define SUBJECTS_MAX 2
#define CHECKS_MAX (SUBJECTS_MAX * 64)
#define QUERY_MS 5000

struct dnsbl_probe;

enum { ASK_LISTED_POINT, ASK_CLEAN_POINT, ASK_SUBJECT, ASK_REASON, ASKS };

struct check;
struct ask {
    struct check *check;
    struct dp_dns_query *query;
    bool done, answered, found;
};

/* One subject on one list. */
struct check {
    struct dnsbl_probe *owner;
    const char *zone;
    const struct dnsbl_list *list; /* NULL: one that only the user knows */
    size_t subject;
    struct ask asks[ASKS];
    json_t *codes; /* [{code, meaning}] */
    bool listed, error;
    char reason[512], trouble[160];
};

struct subject {
    unsigned kind;
    char text[DP_DNS_NAME];
};

struct dnsbl_probe {
    struct dp_probe *probe;
    struct subject subjects[SUBJECTS_MAX];
    size_t subject_count;
    char server[DP_ADDRESS_TEXT];
    struct check checks[CHECKS_MAX];
    size_t check_count, open;
    bool concluded;
};

static bool usable(const struct check *check)
{
    return check->asks[ASK_LISTED_POINT].answered && check->asks[ASK_LISTED_POINT].found &&
           check->asks[ASK_CLEAN_POINT].answered && !check->asks[ASK_CLEAN_POINT].found;
}

static const char *trouble(struct check *check)
{
    if (check->trouble[0])
        return check->trouble;
    if (!check->asks[ASK_LISTED_POINT].answered || !check->asks[ASK_CLEAN_POINT].answered)
        return "the list does not answer";
    if (!check->asks[ASK_LISTED_POINT].found)
        return "its test point is not listed: the list is empty, gone, or does not answer this resolver";
    if (check->asks[ASK_CLEAN_POINT].found)
        return "it lists everything: the list is gone";
    if (!check->asks[ASK_SUBJECT].answered)
        return "no answer for this one";
    return "";
}

/* The three states that matter to a check. */
static enum dnsbl_answer judge(const struct check *check)
{
    if (!usable(check) || !check->asks[ASK_SUBJECT].answered || (check->error && !check->listed))
        return DNSBL_ERROR;
    return check->listed ? DNSBL_LISTED : DNSBL_CLEAN;
}

static json_t *check_json(struct check *check)
{
    enum dnsbl_answer answer = judge(check);
    json_t *json = json_pack("{s:s, s:s, s:b, s:O}", "list", check->zone, "subject",
                             check->owner->subjects[check->subject].text, "usable", usable(check), "codes",
                             check->codes);
    if (!json)
        return NULL;
    (void)json_object_set_new(json, "listed",
                              answer == DNSBL_ERROR ? json_null() : json_boolean(answer == DNSBL_LISTED));
    (void)json_object_set_new(json, "state",
                              json_string(answer == DNSBL_LISTED  ? "listed"
                                          : answer == DNSBL_CLEAN ? "clean"
                                                                  : "unknown"));
    (void)json_object_set_new(
        json, "reason", check->reason[0] ? dp_peer_text(check->reason, strlen(check->reason)) : json_null());
    if (answer == DNSBL_ERROR)
        (void)json_object_set_new(json, "trouble", json_string(trouble(check)));
    return json;
}

static void conclude(struct dnsbl_probe *bl)
{
    if (bl->concluded)
        return;
    bl->concluded = true;
    json_t *lists = json_array();
    size_t listed = 0, unknown = 0;
    const struct check *first = NULL;
    for (size_t i = 0; i < bl->check_count; i++) {
        enum dnsbl_answer answer = judge(&bl->checks[i]);
        first = answer == DNSBL_LISTED && !first ? &bl->checks[i] : first;
        listed += answer == DNSBL_LISTED;
        unknown += answer == DNSBL_ERROR;
        (void)json_array_append_new(lists, check_json(&bl->checks[i]));
    }
    json_t *data = dp_probe_data(bl->probe);
    (void)json_object_set_new(data, "lists", lists);
    size_t all = bl->check_count;
    char rest[100] = "";
    if (unknown)
        (void)snprintf(rest, sizeof rest, "; %zu could not be asked", unknown);
    if (listed) {
        const char *meaning = json_string_value(json_object_get(json_array_get(first->codes, 0), "meaning"));
        dp_probe_finish(bl->probe, "listed",
                        "Find out why (the list's own page, its reason), stop the cause first, then ask to "
                        "be delisted there; "
                        "until then send from another address.",
                        "%s is listed on %zu of %zu lists: %s (%s)%s%s", bl->subjects[first->subject].text,
                        listed, all, first->zone, meaning ? meaning : "listed", listed > 1 ? " and more" : "",
                        rest);
    } else if (unknown == all) {
        dp_probe_finish(
            bl->probe, "unknown",
            "No list could be asked: many do not answer public resolvers; name a resolver of your own with "
            "--server, or one that may ask them.",
            "%s: none of %zu lists gives an answer that can be trusted: %s", bl->subjects[0].text, all,
            all ? trouble(&bl->checks[0]) : "there is no list for it");
    } else {
        if (unknown)
            dp_probe_warn(bl->probe);
        dp_probe_finish(bl->probe, "clean",
                        unknown ? "The lists that could not be asked are marked; a resolver of your own "
                                  "(--server) may be let "
                                  "in where a public one is not."
                                : "",
                        "%s is on none of the %zu lists that answer%s", bl->subjects[0].text, all - unknown,
                        rest);
    }
}

static void one_less(struct dnsbl_probe *bl)
{
    if (--bl->open == 0)
        conclude(bl);
}

static void on_answer(void *context, const struct dp_dns_answer *answer);

static void start_ask(struct check *check, int which)
{
    struct dnsbl_probe *bl = check->owner;
    const struct subject *subject = &bl->subjects[check->subject];
    char name[DP_DNS_NAME];
    const char *what = which == ASK_LISTED_POINT || which == ASK_CLEAN_POINT
                           ? dnsbl_test_point(check->list, subject->kind, which == ASK_LISTED_POINT)
                           : subject->text;
    struct ask *ask = &check->asks[which];
    ask->check = check;
    struct dp_dns_question question = {bl->server[0] ? bl->server : NULL, name,
                                       which == ASK_REASON ? DP_DNS_TXT : DP_DNS_A, true, QUERY_MS};
    if (!dnsbl_name(subject->kind, what, check->zone, name))
        (void)snprintf(check->trouble, sizeof check->trouble, "the name to ask for is too long");
    else if (dp_dns_query_start(dp_probe_loop(bl->probe), &question, on_answer, ask, &ask->query, NULL) == 0)
        bl->open++;
}

static void take_codes(struct check *check, const struct dp_dns_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        char meaning[200];
        if (record->section != DP_DNS_ANSWER || record->type != DP_DNS_A)
            continue;
        enum dnsbl_answer answer = dnsbl_judge(check->list, record->data, meaning, sizeof meaning);
        check->listed = check->listed || answer == DNSBL_LISTED;
        if (answer == DNSBL_ERROR) {
            check->error = true;
            (void)snprintf(check->trouble, sizeof check->trouble, "%.150s", meaning);
        }
        (void)json_array_append_new(check->codes,
                                    json_pack("{s:s, s:s, s:b}", "code", record->data, "meaning", meaning,
                                              "listing", answer == DNSBL_LISTED));
    }
}

static void on_answer(void *context, const struct dp_dns_answer *answer)
{
    struct ask *ask = context;
    struct check *check = ask->check;
    const struct dp_dns_message *message = &answer->message;
    ask->done = true;
    ask->answered =
        answer->code == 0 && (message->rcode == DP_DNS_NOERROR || message->rcode == DP_DNS_NXDOMAIN);
    if (answer->code == 0 && message->rcode == DP_DNS_REFUSED && !check->trouble[0])
        (void)snprintf(check->trouble, sizeof check->trouble, "the name server refuses to answer");
    for (size_t i = 0; ask->answered && i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        char meaning[200];
        if (record->section != DP_DNS_ANSWER)
            continue;
        if (ask == &check->asks[ASK_REASON] && record->type == DP_DNS_TXT)
            (void)snprintf(check->reason, sizeof check->reason, "%.500s", record->data);
        else if (record->type == DP_DNS_A) // an error code is no listing of a test point either
            ask->found = ask->found ||
                         dnsbl_judge(check->list, record->data, meaning, sizeof meaning) == DNSBL_LISTED ||
                         ask == &check->asks[ASK_CLEAN_POINT];
    }
    if (ask == &check->asks[ASK_SUBJECT] && ask->answered) {
        take_codes(check, message);
        if (check->listed)
            start_ask(check, ASK_REASON);
    }
    one_less(check->owner);
}

static void add_check(struct dnsbl_probe *bl, const char *zone, const struct dnsbl_list *list, size_t subject)
{
    if (bl->check_count == CHECKS_MAX || (list && !(list->subjects & bl->subjects[subject].kind)))
        return;
    struct check *check = &bl->checks[bl->check_count++];
    *check =
        (struct check){.owner = bl, .zone = zone, .list = list, .subject = subject, .codes = json_array()};
    for (int which = ASK_LISTED_POINT; which <= ASK_SUBJECT; which++)
        start_ask(check, which);
}

static int add_subject(struct dnsbl_probe *bl, const char *text, struct dp_diag *diag)
{
    union dp_address address;
    struct subject *subject = &bl->subjects[bl->subject_count];
    size_t length = strlen(text);
    if (dp_address_parse(text, 0, &address) == 0) {
        subject->kind = address.any.sa_family == AF_INET ? DNSBL_IP4 : DNSBL_IP6;
    } else if (!strchr(text, '.') || strpbrk(text, " /:[]@") || length > 200) {
        return dp_fail(diag, DP_ERR_USAGE, "target '%.100s' is neither an address nor a domain", text);
    } else {
        subject->kind = DNSBL_DOMAIN;
        length -= text[length - 1] == '.';
    }
    (void)snprintf(subject->text, sizeof subject->text, "%.*s", (int)length, text);
    bl->subject_count++;
    return 0;
}

/* This host's own addresses, where there is no target. */
static int add_own_addresses(struct dnsbl_probe *bl, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(bl->probe);
    char text[DP_ADDRESS_TEXT], hidden[DP_ADDRESS_TEXT] = "";
    static const int families[] = {AF_INET, AF_INET6};
    int wanted = dp_request_family(request);
    for (size_t i = 0; i < 2; i++) {
        union dp_address address;
        if ((wanted != AF_UNSPEC && wanted != families[i]) ||
            !dp_outgoing_address(request, families[i], text) || dp_address_parse(text, 0, &address))
            continue;
        // the shipped lists know nothing of private addresses; one that the user names may be of his own net
        if (dp_address_is_private(&address) && !dp_request_given(request, "--list")) {
            (void)snprintf(hidden, sizeof hidden, "%s", text);
            continue;
        }
        int rc = add_subject(bl, text, diag);
        if (rc)
            return rc;
    }
    if (bl->subject_count)
        return 0;
    return dp_fail(diag, DP_ERR_USAGE,
                   "this host's own address %s%sis known to nobody outside: name the address that the world "
                   "sees as target",
                   hidden, hidden[0] ? " " : "");
}

static void dnsbl_stop(void *state)
{
    struct dnsbl_probe *bl = state;
    for (size_t i = 0; i < bl->check_count; i++) {
        for (int which = 0; which < ASKS; which++)
            dp_dns_query_drop(bl->checks[i].asks[which].query);
        json_decref(bl->checks[i].codes);
    }
    free(bl);
}

static int dnsbl_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    const char *server = dp_request_text(request, "--server");
    struct dnsbl_probe *bl = calloc(1, sizeof *bl);
    if (!bl)
        return DP_ERR_NOMEM;
    bl->probe = probe;
    int rc = dp_request_target(request)[0] ? add_subject(bl, dp_request_target(request), diag)
                                           : add_own_addresses(bl, diag);
    if (!rc && server)
        rc = dp_dns_server_parse(server, bl->server, diag);
    size_t own = dp_request_list_size(request, "--list");
    for (size_t i = 0; !rc && i < own; i++)
        if (strpbrk(dp_request_list(request, "--list", i), " /:[]@") ||
            strlen(dp_request_list(request, "--list", i)) > 150)
            rc = dp_fail(diag, DP_ERR_USAGE, "--list '%.100s' is no zone",
                         dp_request_list(request, "--list", i));
    if (rc) {
        dnsbl_stop(bl);
        return rc;
    }
    *ret_state = bl;
    bl->open = 1;
    for (size_t s = 0; s < bl->subject_count; s++) {
        for (size_t i = 0; i < own; i++) {
            const char *zone = dp_request_list(request, "--list", i);
            add_check(bl, zone, dnsbl_list_find(zone), s);
        }
        for (size_t i = 0; !own && i < dnsbl_list_count; i++)
            add_check(bl, dnsbl_lists[i].zone, &dnsbl_lists[i], s);
    }
    one_less(bl);
    return 0;
}

static void dnsbl_expire(void *state)
{
    conclude(state);
}

static void dnsbl_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *list;
    json_array_foreach(json_object_get(data, "lists"), i, list)
    {
        const char *reason = json_string_value(json_object_get(list, "reason"));
        const char *why = json_string_value(json_object_get(list, "trouble"));
        const char *meaning =
            json_string_value(json_object_get(json_array_get(json_object_get(list, "codes"), 0), "meaning"));
        fprintf(out, "%-28s %-24s %-8s %s%s%s\n", json_string_value(json_object_get(list, "list")),
                json_string_value(json_object_get(list, "subject")),
                json_string_value(json_object_get(list, "state")),
                why       ? why
                : meaning ? meaning
                          : "",
                reason ? "; " : "", reason ? reason : "");
    }
}

static const struct dp_probe_option options[] = {
    {"--list", DP_OPT_TEXT, "ZONE", NULL, 0, 0, NULL, true, "ask this list instead of the shipped ones"},
    {"--server", DP_OPT_TEXT, "ADDRESS[:PORT]", NULL, 0, 0, NULL, false,
     "the resolver to ask (default: the system's)"},
};

const struct dp_probe_kind dp_probe_dnsbl = {
    .name = "dnsbl",
    .about =
        "Is an address or domain on a block list; without a target: the addresses that this host sends from.",
    .target_text = "[ADDRESS|DOMAIN]",
    .target = DP_TARGET_OPTIONAL,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 15000,
    .examples =
        "  droppoint probe dnsbl --local\n"
        "  droppoint probe dnsbl --local 192.0.2.25\n"
        "  droppoint probe dnsbl --from all --list zen.spamhaus.org --server 192.0.2.53 example.net\n",
    .start = dnsbl_start,
    .expire = dnsbl_expire,
    .stop = dnsbl_stop,
    .print = dnsbl_print,
};
