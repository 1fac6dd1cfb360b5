#include "agent/probe/firewall/rules.h"

#include <cap-ng.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fw_rules {
    struct nft_ctx *context;
    char table[48];
    json_t *tables; /* that are known: [{family, name}] */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

const char *fw_rules_own_table(const struct fw_rules *rules)
{
    return rules->table;
}

/* Before everything else in both ways that a packet can come: -500 is before connection tracking and raw
 * tables. */
static int mark(struct fw_rules *rules, const union dp_address *target, struct dp_diag *diag)
{
    char text[DP_ADDRESS_TEXT], command[1200];
    bool v4 = target->any.sa_family == AF_INET;
    (void)dp_address_text(target, text);
    text[strcspn(text, "%")] = '\0';
    const char *family = v4 ? "ip" : "ip6";
    unsigned port = dp_address_port(target);
    (void)snprintf(
        command, sizeof command,
        "table inet %s { flags owner;\n"
        "chain in { type filter hook prerouting priority -500;\n"
        "%s daddr %s tcp dport %u meta nftrace set 1; %s saddr %s tcp sport %u meta nftrace set 1; };\n"
        "chain out { type filter hook output priority -500;\n"
        "%s daddr %s tcp dport %u meta nftrace set 1; }; }\n",
        rules->table, family, text, port, family, text, port, family, text, port);
    if (nft_run_cmd_from_buffer(rules->context, command) == 0)
        return 0;
    const char *error = nft_ctx_get_error_buffer(rules->context);
    char line[200] = "";
    if (error)
        (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(error, "\n"), error);
    return dp_fail(diag, DP_ERR_UNSUPPORTED, "the packet filter does not trace: %s", line);
}

static json_t *run_json(struct fw_rules *rules, const char *command)
{
    if (nft_run_cmd_from_buffer(rules->context, command) != 0)
        return NULL;
    return json_loads(nft_ctx_get_output_buffer(rules->context), 0, NULL);
}

int fw_rules_open(const union dp_address *target, struct fw_rules **ret_rules, struct dp_diag *diag)
{
    // libnftables would complain on standard error by itself
    if (capng_get_caps_process() != 0 || !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
        return dp_fail(diag, DP_ERR_DENIED,
                       "this user may not look at the packet filter: run as root, or with CAP_NET_ADMIN");
    struct fw_rules *rules = calloc(1, sizeof *rules);
    if (!rules)
        return DP_ERR_NOMEM;
    (void)snprintf(rules->table, sizeof rules->table, "droppoint_%d", (int)getpid());
    rules->context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!rules->context) {
        free(rules);
        return DP_ERR_NOMEM;
    }
    (void)nft_ctx_buffer_output(rules->context);
    (void)nft_ctx_buffer_error(rules->context);
    nft_ctx_output_set_flags(rules->context, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
    rules->tables = json_array();
    json_t *before = rules->tables ? run_json(rules, "list ruleset") : NULL, *item;
    size_t i;
    json_array_foreach(json_object_get(before, "nftables"), i, item)
    {
        const json_t *table = json_object_get(item, "table");
        if (table)
            (void)fw_rules_know(rules, text_of(table, "family"), text_of(table, "name"));
    }
    json_decref(before);
    int rc = rules->tables ? mark(rules, target, diag) : DP_ERR_NOMEM;
    if (rc) {
        fw_rules_close(rules);
        return rc;
    }
    *ret_rules = rules;
    return 0;
}

bool fw_rules_know(struct fw_rules *rules, const char *family, const char *table)
{
    size_t i;
    json_t *known;
    json_array_foreach(rules->tables, i, known)
    {
        if (strcmp(text_of(known, "family"), family) == 0 && strcmp(text_of(known, "name"), table) == 0)
            return false;
    }
    return json_array_append_new(rules->tables, json_pack("{s:s, s:s}", "family", family, "name", table)) ==
           0;
}

json_t *fw_rules_list(struct fw_rules *rules)
{
    json_t *all = json_array(), *table, *item;
    size_t i, k;
    json_array_foreach(rules->tables, i, table)
    {
        char command[300];
        const char *name =
            text_of(table, "name"); // names of the kernel's, which allows what the language does not
        if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./\\") !=
            strlen(name))
            continue;
        (void)snprintf(command, sizeof command, "list table %.20s %.200s", text_of(table, "family"),
                       text_of(table, "name"));
        json_t *listed = run_json(rules, command);
        json_array_foreach(json_object_get(listed, "nftables"), k, item)(void) json_array_append(all, item);
        json_decref(listed);
    }
    return json_pack("{s:o}", "nftables", all);
}

void fw_rules_close(struct fw_rules *rules)
{
    char command[80];
    if (!rules)
        return;
    // the kernel takes it when the socket closes; this is for those before "flags owner"
    (void)snprintf(command, sizeof command, "delete table inet %s", rules->table);
    (void)nft_run_cmd_from_buffer(rules->context, command);
    nft_ctx_free(rules->context);
    json_decref(rules->tables);
    free(rules);
}

const json_t *fw_rule_find(const json_t *ruleset, const struct fw_event *event)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(ruleset, "nftables"), i, item)
    {
        const json_t *rule = json_object_get(item, "rule");
        if (rule && (uint64_t)json_integer_value(json_object_get(rule, "handle")) == event->handle &&
            strcmp(text_of(rule, "table"), event->table) == 0 &&
            strcmp(text_of(rule, "chain"), event->chain) == 0 &&
            strcmp(text_of(rule, "family"), fw_family_name(event->family)) == 0)
            return rule;
    }
    return NULL;
}

/* Whether one of the rule's expressions has that key, or is iptables' target of that name. */
static bool does(const json_t *rule, const char *key, const char *target)
{
    size_t i;
    json_t *expression;
    json_array_foreach(json_object_get(rule, "expr"), i, expression)
    {
        const json_t *foreign = json_object_get(expression, "xt");
        if (json_object_get(expression, key) || (foreign && strcmp(text_of(foreign, "name"), target) == 0))
            return true;
    }
    return false;
}

bool fw_rule_rejects(const json_t *rule)
{
    return does(rule, "reject", "REJECT");
}

bool fw_rule_redirects(const json_t *rule)
{
    return does(rule, "redirect", "REDIRECT") || does(rule, "tproxy", "TPROXY");
}

json_t *fw_rule_json(const struct fw_event *event, const json_t *rule)
{
    char *text = rule ? json_dumps(json_object_get(rule, "expr"), JSON_COMPACT) : NULL;
    const char *comment = text_of(rule, "comment");
    json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:b}", "family", fw_family_name(event->family),
                             "table", event->table, "chain", event->chain, "handle",
                             event->step == FW_POLICY ? json_null() : json_integer((json_int_t)event->handle),
                             "comment", comment[0] ? json_string(comment) : json_null(), "text",
                             text ? json_string(text) : json_null(), "policy", event->step == FW_POLICY);
    free(text);
    return json;
}

static const json_t *counter_of(const json_t *rule)
{
    size_t i;
    json_t *expression;
    json_array_foreach(json_object_get(rule, "expr"), i, expression)
    {
        const json_t *counter = json_object_get(expression, "counter");
        if (json_is_object(counter))
            return counter;
    }
    return NULL;
}

static bool same_rule(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "handle"), json_object_get(b, "handle")) &&
           strcmp(text_of(a, "table"), text_of(b, "table")) == 0 &&
           strcmp(text_of(a, "chain"), text_of(b, "chain")) == 0 &&
           strcmp(text_of(a, "family"), text_of(b, "family")) == 0;
}

json_t *fw_counters_grown(const json_t *before, const json_t *after)
{
    json_t *grown = json_array(), *item, *old;
    size_t i, k;
    json_array_foreach(json_object_get(after, "nftables"), i, item)
    {
        const json_t *rule = json_object_get(item, "rule"), *counter = rule ? counter_of(rule) : NULL,
                     *was = NULL;
        if (!counter)
            continue;
        json_array_foreach(json_object_get(before, "nftables"), k, old)
        {
            const json_t *candidate = json_object_get(old, "rule");
            if (candidate && same_rule(candidate, rule))
                was = counter_of(candidate);
        }
        json_int_t packets = json_integer_value(json_object_get(counter, "packets")) -
                             json_integer_value(json_object_get(was, "packets"));
        json_int_t bytes = json_integer_value(json_object_get(counter, "bytes")) -
                           json_integer_value(json_object_get(was, "bytes"));
        if (packets > 0)
            (void)json_array_append_new(
                grown, json_pack("{s:s, s:s, s:s, s:O, s:s, s:I, s:I}", "family", text_of(rule, "family"),
                                 "table", text_of(rule, "table"), "chain", text_of(rule, "chain"), "handle",
                                 json_object_get(rule, "handle"), "comment", text_of(rule, "comment"),
                                 "packets", packets, "bytes", bytes));
    }
    return grown;
}
