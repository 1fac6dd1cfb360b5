/* The report as the document "droppoint.locate.v1". */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/report/report_out.h"

/* Text from outside (names, server replies) may be no UTF-8, which JSON must be: then every byte beyond ASCII
 * becomes '?'. */
static json_t *text_value(const char *text)
{
    if (!text)
        return json_null();
    json_t *value = json_string(text);
    if (value)
        return value;
    char *copy = strdup(text);
    if (!copy)
        return NULL;
    for (char *at = copy; *at; at++) {
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    }
    value = json_string(copy);
    free(copy);
    return value;
}

static json_t *count_value(uint64_t count)
{
    return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

/* Six significant digits: more would be noise. */
static json_t *real_value(double number)
{
    if (!isfinite(number))
        number = 0;
    char text[32];
    (void)snprintf(text, sizeof text, "%.6g", number);
    return json_real(strtod(text, NULL));
}

/* RFC 3339 with nanoseconds, UTC. */
static json_t *time_value(int64_t ns)
{
    int64_t second = ns / 1000000000;
    int64_t part = ns % 1000000000;
    if (part < 0) {
        part += 1000000000;
        second--;
    }
    time_t when = (time_t)second;
    struct tm tm;
    char day[40];
    if (!gmtime_r(&when, &tm) || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return json_null();
    char text[64];
    (void)snprintf(text, sizeof text, "%s.%09" PRId64 "Z", day, part);
    return json_string(text);
}

/* Sets a member and takes the value over. A NULL object or value (out of memory) makes *ok false. */
static void set(json_t *object, const char *name, json_t *value, bool *ok)
{
    if (json_object_set_new(object, name, value) != 0)
        *ok = false;
}

static void append(json_t *array, json_t *value, bool *ok)
{
    if (json_array_append_new(array, value) != 0)
        *ok = false;
}

/* When the clock was set while it captured, by how much, and the offset from there on. */
static json_t *clock_steps_value(const struct dp_vantage_report *vantage, bool *ok)
{
    json_t *array = json_array();
    int64_t before = vantage->clock_offset_ns;
    for (size_t i = 0; i < vantage->clock_set_count; i++) {
        const struct dp_clock_set *step = &vantage->clock_sets[i];
        json_t *object = json_object();
        set(object, "at", time_value(step->at_ns), ok);
        set(object, "step_ns", json_integer(step->offset_ns - before), ok);
        set(object, "clock_offset_ns", json_integer(step->offset_ns), ok);
        append(array, object, ok);
        before = step->offset_ns;
    }
    return array;
}

static json_t *vantage_value(const struct dp_vantage_report *vantage, bool *ok)
{
    json_t *object = json_object();
    set(object, "name", text_value(vantage->name), ok);
    set(object, "packets", count_value(vantage->packets), ok);
    set(object, "matched", count_value(vantage->matched), ok);
    set(object, "missed", count_value(vantage->missed), ok);
    set(object, "capture_dropped",
        vantage->has_capture_dropped ? count_value(vantage->capture_dropped) : json_null(), ok);
    set(object, "clock_offset_ns", json_integer(vantage->clock_offset_ns), ok);
    set(object, "clock_skew_ppm", real_value(vantage->clock_skew_ppm), ok);
    set(object, "clock_error_ns",
        vantage->clock_error_ns < 0 ? json_null() : json_integer(vantage->clock_error_ns), ok);
    if (vantage->clock_set_count)
        set(object, "clock_steps", clock_steps_value(vantage, ok), ok);
    return object;
}

static json_t *delay_value(const struct dp_delay_report *delay, bool *ok)
{
    if (!delay->known)
        return json_null();
    json_t *object = json_object();
    set(object, "min", json_integer(delay->min), ok);
    set(object, "p50", json_integer(delay->p50), ok);
    set(object, "p99", json_integer(delay->p99), ok);
    set(object, "max", json_integer(delay->max), ok);
    return object;
}

static json_t *side_value(const struct dp_segment_side *side, bool *ok)
{
    json_t *object = json_object();
    set(object, "packets", count_value(side->packets), ok);
    set(object, "bytes", count_value(side->bytes), ok);
    set(object, "lost_packets", count_value(side->lost_packets), ok);
    set(object, "lost_bytes", count_value(side->lost_bytes), ok);
    set(object, "unknown_packets", count_value(side->unknown_packets), ok);
    set(object, "duplicated_packets", count_value(side->duplicated_packets), ok);
    set(object, "reordered_packets", count_value(side->reordered_packets), ok);
    set(object, "delay_ns", delay_value(&side->delay, ok), ok);
    return object;
}

/* A vantage point's name, or "before" or "beyond". */
static json_t *point_value(const struct dp_report *report, int point)
{
    if (point == DP_POINT_BEFORE)
        return json_string("before");
    if (point < 0 || (size_t)point >= report->vantage_count)
        return json_string("beyond");
    return text_value(report->vantages[point].name);
}

static json_t *segment_value(const struct dp_report *report, const struct dp_segment_report *segment,
                             bool *ok)
{
    json_t *object = json_object();
    set(object, "from", point_value(report, (int)segment->from), ok);
    set(object, "to", point_value(report, (int)segment->to), ok);
    set(object, "kind", json_string(segment->host ? "host" : "link"), ok);
    set(object, "forward", side_value(&segment->side[DP_FORWARD], ok), ok);
    set(object, "reverse", side_value(&segment->side[DP_REVERSE], ok), ok);
    return object;
}

static void set_endpoints(json_t *object, const struct dp_endpoints *endpoints, bool *ok)
{
    char text[DP_ENDPOINT_TEXT];
    set(object, "client",
        json_string(dp_endpoint_text(&endpoints->client, endpoints->client_port, text, sizeof text)), ok);
    set(object, "server",
        json_string(dp_endpoint_text(&endpoints->server, endpoints->server_port, text, sizeof text)), ok);
}

/* Named by vantage point. Two of the same name cannot be: the command refuses them. */
static json_t *seen_as_value(const struct dp_report *report, const struct dp_flow_report *flow, bool *ok)
{
    json_t *object = json_object();
    for (size_t i = 0; i < flow->seen_as_count; i++) {
        if (flow->seen_as[i].vantage >= report->vantage_count)
            continue;
        json_t *name = text_value(report->vantages[flow->seen_as[i].vantage].name);
        json_t *endpoints = json_object();
        set_endpoints(endpoints, &flow->seen_as[i].endpoints, ok);
        if (name)
            set(object, json_string_value(name), endpoints, ok);
        else
            *ok = false;
        json_decref(name);
    }
    return object;
}

static json_t *flow_value(const struct dp_report *report, const struct dp_flow_report *flow, bool *ok)
{
    json_t *object = json_object();
    set(object, "id", json_integer(flow->id), ok);
    set_endpoints(object, &flow->endpoints, ok);
    set(object, "app", text_value(flow->app), ok);
    set(object, "lost_packets", count_value(flow->lost_packets), ok);
    set(object, "lost_bytes", count_value(flow->lost_bytes), ok);
    set(object, "seen_as", seen_as_value(report, flow, ok), ok);
    return object;
}

static void set_pattern(json_t *object, const struct dp_finding *finding, bool *ok)
{
    const char *pattern = finding->code == DP_CODE_LOSS ? dp_pattern_name(finding->pattern) : NULL;
    set(object, "pattern", pattern ? json_string(pattern) : json_null(), ok);
    if (pattern && finding->pattern == DP_PATTERN_SIZE)
        set(object, "size_over", json_integer(finding->size_over), ok);
}

static void set_reply(json_t *object, const struct dp_finding *finding, bool *ok)
{
    if (finding->smtp_code == 0)
        return;
    json_t *reply = json_object();
    set(reply, "code", json_integer(finding->smtp_code), ok);
    set(reply, "text", text_value(finding->smtp_reply ? finding->smtp_reply : ""), ok);
    set(object, "smtp_reply", reply, ok);
}

static json_t *finding_value(const struct dp_report *report, const struct dp_finding *finding, bool *ok)
{
    json_t *object = json_object();
    set(object, "code", json_string(dp_code_name(finding->code)), ok);
    set(object, "from", point_value(report, finding->from), ok);
    set(object, "to", point_value(report, finding->to), ok);
    set(object, "direction", json_string(dp_direction_name(finding->direction)), ok);
    set_pattern(object, finding, ok);
    set(object, "lost_packets", count_value(finding->lost_packets), ok);
    set(object, "lost_bytes", count_value(finding->lost_bytes), ok);
    set(object, "share", real_value(finding->share), ok);
    set(object, "confidence", real_value(finding->confidence), ok);
    json_t *flows = json_array();
    for (size_t i = 0; i < finding->flow_count; i++)
        append(flows, json_integer(finding->flows[i]), ok);
    set(object, "flows", flows, ok);
    set_reply(object, finding, ok);
    if (finding->first_ns != 0 || finding->last_ns != 0) {
        set(object, "first_at", time_value(finding->first_ns), ok);
        set(object, "last_at", time_value(finding->last_ns), ok);
    }
    set(object, "summary", text_value(finding->summary), ok);
    set(object, "next_step", text_value(finding->next_step), ok);
    return object;
}

static json_t *verdict_value(const struct dp_report *report, bool *ok)
{
    json_t *object = json_object();
    bool has_finding =
        report->verdict_finding >= 0 && (size_t)report->verdict_finding < report->finding_count;
    set(object, "code", json_string(dp_code_name(report->verdict)), ok);
    set(object, "finding", has_finding ? json_integer(report->verdict_finding) : json_null(), ok);
    set(object, "summary", text_value(report->verdict_summary), ok);
    if (report->verdict_next_step)
        set(object, "next_step", text_value(report->verdict_next_step), ok);
    return object;
}

int dp_report_json(const struct dp_report *report, json_t **ret_document)
{
    bool ok = true;
    json_t *document = json_object();
    set(document, "schema", json_string("droppoint.locate.v1"), &ok);
    json_t *list = json_array();
    for (size_t i = 0; i < report->vantage_count; i++)
        append(list, vantage_value(&report->vantages[i], &ok), &ok);
    set(document, "vantages", list, &ok);
    list = json_array();
    for (size_t i = 0; i < report->segment_count; i++)
        append(list, segment_value(report, &report->segments[i], &ok), &ok);
    set(document, "segments", list, &ok);
    list = json_array();
    for (size_t i = 0; i < report->flow_count; i++)
        append(list, flow_value(report, &report->flows[i], &ok), &ok);
    set(document, "flows", list, &ok);
    list = json_array();
    for (size_t i = 0; i < report->finding_count; i++)
        append(list, finding_value(report, &report->findings[i], &ok), &ok);
    set(document, "findings", list, &ok);
    set(document, "verdict", verdict_value(report, &ok), &ok);
    if (!ok) {
        json_decref(document);
        return DP_ERR_NOMEM;
    }
    *ret_document = document;
    return DP_OK;
}

int dp_report_document_exit_code(const json_t *document)
{
    const char *code = json_string_value(json_object_get(json_object_get(document, "verdict"), "code"));
    if (!code)
        return DP_ERR_FORMAT;
    if (strcmp(code, "clean") == 0)
        return 0;
    return strcmp(code, "inconclusive") == 0 ? 3 : 1;
}
