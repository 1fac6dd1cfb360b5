#include "collector/report/document.h"

#include <string.h>

bool doc_valid(const json_t *document)
{
    const char *schema = json_string_value(json_object_get(document, "schema"));
    return schema && strcmp(schema, "droppoint.locate.v1") == 0 &&
           json_is_array(json_object_get(document, "vantages")) &&
           json_is_array(json_object_get(document, "segments")) &&
           json_is_array(json_object_get(document, "findings")) &&
           json_is_string(json_object_get(json_object_get(document, "verdict"), "code"));
}

const char *doc_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

json_int_t doc_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

double doc_real(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

bool doc_has(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value);
}

const json_t *doc_verdict_finding(const json_t *document)
{
    const json_t *finding = json_object_get(json_object_get(document, "verdict"), "finding");
    if (!json_is_integer(finding) || json_integer_value(finding) < 0)
        return NULL;
    return json_array_get(json_object_get(document, "findings"), (size_t)json_integer_value(finding));
}

const char *doc_next_step(const json_t *document)
{
    const json_t *verdict = json_object_get(document, "verdict");
    return doc_has(verdict, "next_step") ? doc_text(verdict, "next_step")
                                         : doc_text(doc_verdict_finding(document), "next_step");
}

const json_t *doc_finding_in(const json_t *document, const json_t *segment, const char *direction)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(json_object_get(document, "findings"), i, finding)
    {
        if (strcmp(doc_text(finding, "from"), doc_text(segment, "from")) == 0 &&
            strcmp(doc_text(finding, "to"), doc_text(segment, "to")) == 0 &&
            strcmp(doc_text(finding, "direction"), direction) == 0)
            return finding;
    }
    return NULL;
}

/* Flows are numbered from 1 in their order: look there before looking everywhere. */
const json_t *doc_flow(const json_t *document, json_int_t id)
{
    const json_t *flows = json_object_get(document, "flows");
    const json_t *flow = id > 0 ? json_array_get(flows, (size_t)id - 1) : NULL;
    if (flow && doc_number(flow, "id") == id)
        return flow;
    size_t i;
    json_array_foreach(flows, i, flow)
    {
        if (doc_number(flow, "id") == id)
            return flow;
    }
    return NULL;
}

const char *doc_headline(const char *code)
{
    static const char *const words[][2] = {
        {"clean", "CLEAN: nothing lost, no fault found"},
        {"loss", "LOSS"},
        {"reset", "RESET: connections are cut from inside the path"},
        {"refused", "REFUSED: the far end answers, and says no"},
        {"stall", "STALL: an end has stopped reading or sending"},
        {"rejected", "REJECTED: the mail server says no"},
        {"rewrite", "REWRITE: a middlebox changes what passes"},
        {"inconclusive", "INCONCLUSIVE: these captures do not allow an answer"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(code, words[i][0]) == 0)
            return words[i][1];
    }
    return code;
}

static bool lost_more(const json_t *a, const json_t *b)
{
    if (doc_number(a, "lost_bytes") != doc_number(b, "lost_bytes"))
        return doc_number(a, "lost_bytes") > doc_number(b, "lost_bytes");
    return doc_number(a, "lost_packets") > doc_number(b, "lost_packets");
}

size_t doc_worst_flows(const json_t *document, const json_t *ids, const json_t **ret_flows, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *flow = doc_flow(document, json_integer_value(json_array_get(ids, i)));
        if (!flow)
            continue;
        size_t at = count;
        for (; at > 0 && lost_more(flow, ret_flows[at - 1]); at--)
            if (at < most)
                ret_flows[at] = ret_flows[at - 1];
        if (at < most)
            ret_flows[at] = flow;
        count += count < most;
    }
    return count;
}
