#include "agent/policy/policy.h"

#include <fnmatch.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"

#define SECONDS_MAX (24 * 3600)
#define PROBES_A_MINUTE 6000
#define PROBES_AT_ONCE 1000
#define PROBES_MAX 1000000
#define PROBE_SECONDS_MAX 3600
#define SNAPLEN_MIN 64
#define SNAPLEN_MAX 262144

/* 0 means that the key is absent. */
enum file_payload { FILE_UNSET, FILE_NEVER, FILE_HEADERS, FILE_FULL };

/* As the file has it. */
struct policy_file {
    char **interfaces;
    unsigned interfaces_count;
    char *filter;
    enum file_payload payload;
    char *max_duration_seconds;
    char *max_snaplen;
    enum dp_config_boolean ring;
    enum dp_config_boolean smtp_reply_text;
    char **probes, **probe_targets, **probe_files;
    unsigned probes_count, probe_targets_count, probe_files_count;
    char *max_probes_per_minute, *max_probes_at_once, *max_probe_seconds;
};

struct dp_policy {
    struct policy_file *file; /* NULL: nothing set */
    enum dp_policy_payload payload;
    uint64_t max_seconds, max_snaplen;
    bool ring, smtp_reply_text;
    struct dp_probe_rules probes;
};

static const cyaml_strval_t payloads[] = {
    {"never", FILE_NEVER}, {"headers", FILE_HEADERS}, {"full", FILE_FULL}};

static const cyaml_schema_value_t pattern = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 63)};
static const cyaml_schema_value_t place = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 1023)};

#define OPTIONAL_TEXT (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
#define OPTIONAL_WORD (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT)
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_SEQUENCE("interfaces", OPTIONAL_TEXT, struct policy_file, interfaces, &pattern, 1, 256),
    CYAML_FIELD_STRING_PTR("filter", OPTIONAL_TEXT, struct policy_file, filter, 0, DP_POLICY_FILTER_MAX),
    CYAML_FIELD_ENUM("payload", OPTIONAL_WORD, struct policy_file, payload, payloads, 3),
    CYAML_FIELD_STRING_PTR("max_duration_seconds", OPTIONAL_TEXT, struct policy_file, max_duration_seconds, 1,
                           20),
    CYAML_FIELD_STRING_PTR("max_snaplen", OPTIONAL_TEXT, struct policy_file, max_snaplen, 1, 20),
    CYAML_FIELD_ENUM("ring", OPTIONAL_WORD, struct policy_file, ring, dp_config_booleans, DP_CONFIG_BOOLEANS),
    CYAML_FIELD_ENUM("smtp_reply_text", OPTIONAL_WORD, struct policy_file, smtp_reply_text,
                     dp_config_booleans, DP_CONFIG_BOOLEANS),
    CYAML_FIELD_SEQUENCE("probes", OPTIONAL_TEXT, struct policy_file, probes, &pattern, 1, 64),
    CYAML_FIELD_SEQUENCE("probe_targets", OPTIONAL_TEXT, struct policy_file, probe_targets, &place, 1, 4096),
    CYAML_FIELD_SEQUENCE("probe_files", OPTIONAL_TEXT, struct policy_file, probe_files, &place, 1, 256),
    CYAML_FIELD_STRING_PTR("max_probes_per_minute", OPTIONAL_TEXT, struct policy_file, max_probes_per_minute,
                           1, 20),
    CYAML_FIELD_STRING_PTR("max_probes_at_once", OPTIONAL_TEXT, struct policy_file, max_probes_at_once, 1,
                           20),
    CYAML_FIELD_STRING_PTR("max_probe_seconds", OPTIONAL_TEXT, struct policy_file, max_probe_seconds, 1, 20),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct policy_file, fields)};

/* BPF has no quotes and no comments: a parenthesis is always one. `tcp) or (udp` would end ours early. */
static bool parentheses_closed(const char *filter)
{
    int depth = 0;
    for (; *filter && depth >= 0; filter++)
        depth += *filter == '(' ? 1 : *filter == ')' ? -1 : 0;
    return depth == 0;
}

static bool blank(const char *filter)
{
    return filter[strspn(filter, " \t\r\n")] == '\0';
}

/* The policy's filter would otherwise first fail in the middle of an incident. */
static int check_filter(const char *path, const char *filter, struct dp_diag *diag)
{
    struct bpf_program program;
    pcap_t *dead = pcap_open_dead(DLT_EN10MB, SNAPLEN_MAX);
    if (!dead)
        return DP_ERR_NOMEM;
    int code = DP_OK;
    if (pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN) != 0)
        code =
            dp_fail(diag, DP_ERR_USAGE, "%s: key \"filter\": does not compile: %s.", path, pcap_geterr(dead));
    else
        pcap_freecode(&program);
    pcap_close(dead);
    if (code == DP_OK && !parentheses_closed(filter))
        code = dp_fail(diag, DP_ERR_USAGE, "%s: key \"filter\": parentheses do not match.", path);
    return code;
}

static int apply_probes(const char *path, struct dp_policy *policy, struct dp_diag *diag)
{
    const struct policy_file *file = policy->file;
    struct dp_probe_rules *rules = &policy->probes;
    rules->kinds = file->probes;
    rules->kind_count = file->probes_count;
    rules->targets = file->probe_targets;
    rules->target_count = file->probe_targets_count;
    rules->files = file->probe_files;
    rules->file_count = file->probe_files_count;
    int code = dp_config_number(path, "max_probes_per_minute", file->max_probes_per_minute, 0, PROBES_MAX,
                                &rules->per_minute, diag);
    if (code == DP_OK)
        code = dp_config_number(path, "max_probes_at_once", file->max_probes_at_once, 0, PROBES_MAX,
                                &rules->at_once, diag);
    if (code == DP_OK)
        code = dp_config_number(path, "max_probe_seconds", file->max_probe_seconds, 1, PROBE_SECONDS_MAX,
                                &rules->max_seconds, diag);
    return code == DP_OK ? dp_probe_rules_valid(rules, path, diag) : code;
}

static int apply_file(const char *path, struct dp_policy *policy, struct dp_diag *diag)
{
    static const enum dp_policy_payload meanings[] = {DP_PAYLOAD_HEADERS, DP_PAYLOAD_NEVER,
                                                      DP_PAYLOAD_HEADERS, DP_PAYLOAD_FULL};
    const struct policy_file *file = policy->file;
    policy->payload = meanings[file->payload];
    policy->ring = file->ring != DP_CONFIG_FALSE;
    policy->smtp_reply_text = file->smtp_reply_text != DP_CONFIG_FALSE;
    int code = dp_config_number(path, "max_duration_seconds", file->max_duration_seconds, 1, SECONDS_MAX,
                                &policy->max_seconds, diag);
    if (code == DP_OK)
        code = dp_config_number(path, "max_snaplen", file->max_snaplen, SNAPLEN_MIN, SNAPLEN_MAX,
                                &policy->max_snaplen, diag);
    if (code == DP_OK && file->filter && !blank(file->filter))
        code = check_filter(path, file->filter, diag);
    return code == DP_OK ? apply_probes(path, policy, diag) : code;
}

int dp_policy_load(const char *path, struct dp_policy **ret_policy, struct dp_diag *diag)
{
    struct dp_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return DP_ERR_NOMEM;
    *policy = (struct dp_policy){.payload = DP_PAYLOAD_HEADERS,
                                 .max_seconds = SECONDS_MAX,
                                 .max_snaplen = SNAPLEN_MAX,
                                 .ring = true,
                                 .smtp_reply_text = true,
                                 .probes = {.per_minute = PROBES_A_MINUTE,
                                            .at_once = PROBES_AT_ONCE,
                                            .max_seconds = PROBE_SECONDS_MAX}};
    void *file = NULL;
    int code = path ? dp_config_load(path, &schema, &file, diag) : DP_OK;
    policy->file = file;
    if (code == DP_OK && policy->file)
        code = apply_file(path, policy, diag);
    if (code != DP_OK) {
        dp_policy_free(policy);
        return code;
    }
    *ret_policy = policy;
    return DP_OK;
}

void dp_policy_free(struct dp_policy *policy)
{
    if (!policy)
        return;
    dp_config_free(&schema, policy->file);
    free(policy);
}

bool dp_policy_interface_allowed(const struct dp_policy *policy, const char *interface)
{
    /* libcyaml cannot tell an empty list from none: the schema refuses it. */
    if (!policy->file || !policy->file->interfaces)
        return true;
    for (unsigned i = 0; i < policy->file->interfaces_count; i++)
        if (fnmatch(policy->file->interfaces[i], interface, 0) == 0)
            return true;
    return false;
}

const char *dp_policy_filter(const struct dp_policy *policy)
{
    return policy->file && policy->file->filter ? policy->file->filter : "";
}

static int join_filters(const char *own, const char *requested, char **ret_filter)
{
    char *filter = NULL;
    int len;
    if (blank(own))
        len = asprintf(&filter, "%s", blank(requested) ? "" : requested);
    else if (blank(requested))
        len = asprintf(&filter, "%s", own);
    else
        len = asprintf(&filter, "(%s) and (%s)", own, requested);
    if (len < 0)
        return DP_ERR_NOMEM;
    *ret_filter = filter;
    return DP_OK;
}

int dp_policy_capture(const struct dp_policy *policy, const struct dp_policy_request *request,
                      struct dp_policy_grant *ret_grant, struct dp_diag *diag)
{
    if (!dp_policy_interface_allowed(policy, request->interface))
        return dp_fail(diag, DP_ERR_DENIED, "This agent's policy does not allow captures on interface %s.",
                       request->interface);
    if (request->duration_ms > policy->max_seconds * 1000)
        return dp_fail(diag, DP_ERR_DENIED, "This agent's policy allows captures of at most %llu seconds.",
                       (unsigned long long)policy->max_seconds);
    if (request->snaplen > policy->max_snaplen)
        return dp_fail(diag, DP_ERR_DENIED, "This agent's policy allows a snap length of at most %llu bytes.",
                       (unsigned long long)policy->max_snaplen);
    if (!parentheses_closed(request->filter))
        return dp_fail(diag, DP_ERR_FILTER, "The filter \"%.200s\" has parentheses that do not match.",
                       request->filter);
    int code = join_filters(dp_policy_filter(policy), request->filter, &ret_grant->filter);
    if (code == DP_OK)
        ret_grant->ring_bytes = policy->ring ? request->ring_bytes : 0;
    return code;
}

void dp_policy_grant_free(struct dp_policy_grant *grant)
{
    if (!grant)
        return;
    free(grant->filter);
    grant->filter = NULL;
}

enum dp_policy_payload dp_policy_payload(const struct dp_policy *policy)
{
    return policy->payload;
}

bool dp_policy_smtp_reply_text(const struct dp_policy *policy)
{
    return policy->smtp_reply_text;
}

int dp_policy_probe(const struct dp_policy *policy, const struct dp_probe_wish *wish, struct dp_diag *diag)
{
    return dp_probe_rules_check(&policy->probes, wish, diag);
}
