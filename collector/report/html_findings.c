/* The verdict and the findings behind it. */
#include <inttypes.h>
#include <string.h>

#include "collector/report/html_internal.h"

#define FLOWS_SHOWN 5

static const char *tone_of(const char *code)
{
    if (strcmp(code, "clean") == 0)
        return "good";
    return strcmp(code, "inconclusive") == 0 ? "doubt" : "bad";
}

/* "pattern size, over 1,400 bytes" */
static void pattern(const struct html *page, const json_t *finding)
{
    if (!doc_has(finding, "pattern"))
        return;
    html_print(page, ", pattern ");
    html_text(page, doc_text(finding, "pattern"));
    if (doc_has(finding, "size_over")) {
        html_print(page, " over ");
        html_count(page, doc_number(finding, "size_over"));
        html_print(page, " bytes");
    }
}

static void place(const struct html *page, const json_t *finding)
{
    html_place(page, finding);
    html_print(page, ", ");
    html_text(page, doc_text(finding, "direction"));
    pattern(page, finding);
}

/* "2023-11-14T22:13:20.123456789Z" -> "2023-11-14 22:13:20.123 UTC" */
static void moment(const struct html *page, const char *text)
{
    if (strlen(text) < 20 || text[10] != 'T') {
        html_text(page, text);
        return;
    }
    html_print(page, "<time datetime=\"");
    html_text(page, text);
    html_print(page, "\">");
    html_part(page, text, 10, SIZE_MAX);
    html_print(page, " ");
    html_part(page, text + 11, text[19] == '.' ? strnlen(text + 11, 12) : 8, SIZE_MAX);
    html_print(page, " UTC</time>");
}

static void capture(const struct html *page)
{
    const json_t *capture_value = json_object_get(page->document, "capture");
    if (!json_is_object(capture_value))
        return;
    const json_t *id = json_object_get(capture_value, "id");
    html_print(page, "<p class=\"capture\">Capture ");
    if (json_is_integer(id))
        html_print(page, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    else
        html_text(page, doc_text(capture_value, "id"));
    if (doc_has(capture_value, "path")) {
        html_print(page, " of path <bdi>");
        html_text(page, doc_text(capture_value, "path"));
        html_print(page, "</bdi>");
    }
    if (doc_has(capture_value, "started_at")) {
        html_print(page, ", started ");
        moment(page, doc_text(capture_value, "started_at"));
    }
    html_print(page, "</p>\n");
}

void html_verdict(const struct html *page)
{
    const json_t *verdict = json_object_get(page->document, "verdict");
    const char *code = doc_text(verdict, "code");
    const json_t *finding = doc_verdict_finding(page->document);
    html_print(page, "<header class=\"verdict %s\">\n", tone_of(code));
    capture(page);
    html_print(page, "<h1>");
    html_text(page, doc_headline(code));
    if (finding) {
        html_print(page, " <span class=\"place\">");
        place(page, finding);
        html_print(page, "</span>");
    }
    html_print(page, "</h1>\n<p class=\"summary\">");
    html_prose(page, doc_text(verdict, "summary"));
    html_print(page, "</p>\n");
    const char *next = doc_next_step(page->document);
    if (*next) {
        html_print(page, "<p class=\"next\"><strong>Next step</strong> ");
        html_prose(page, next);
        html_print(page, "</p>\n");
    }
    html_print(page, "</header>\n");
}

/* ---- findings ---- */

static void fact(const struct html *page, const char *name)
{
    html_print(page, "<div><dt>%s</dt><dd>", name);
}

static void figures(const struct html *page, const json_t *finding)
{
    html_print(page, "<dl class=\"facts\">\n");
    if (doc_number(finding, "lost_packets") > 0) {
        fact(page, "Lost packets");
        html_count(page, doc_number(finding, "lost_packets"));
        html_print(page, "</dd></div>\n");
        fact(page, "Lost payload bytes");
        html_count(page, doc_number(finding, "lost_bytes"));
        html_print(page, "</dd></div>\n");
        fact(page, "Share of what entered");
        html_percent(page, doc_real(finding, "share"));
        html_print(page, "</dd></div>\n");
    }
    fact(page, "Confidence");
    html_print(page, "%.3g</dd></div>\n", doc_real(finding, "confidence"));
    if (doc_has(finding, "first_at")) {
        fact(page, "First");
        moment(page, doc_text(finding, "first_at"));
        html_print(page, "</dd></div>\n");
        fact(page, "Last");
        moment(page, doc_text(finding, "last_at"));
        html_print(page, "</dd></div>\n");
    }
    html_print(page, "</dl>\n");
}

static void reply(const struct html *page, const json_t *finding)
{
    const json_t *smtp = json_object_get(finding, "smtp_reply");
    if (!json_is_object(smtp))
        return;
    html_print(page, "<p class=\"reply\">Server replied <q>%" JSON_INTEGER_FORMAT " ",
               doc_number(smtp, "code"));
    html_text(page, doc_text(smtp, "text"));
    html_print(page, "</q></p>\n");
}

static void flow_line(const struct html *page, const json_t *flow)
{
    html_print(page, "<li>Flow %" JSON_INTEGER_FORMAT ", ", doc_number(flow, "id"));
    html_text(page, doc_text(flow, "app"));
    html_print(page, ": <span class=\"mono\">");
    html_text(page, doc_text(flow, "client"));
    html_print(page, " \xe2\x86\x92 ");
    html_text(page, doc_text(flow, "server"));
    html_print(page, "</span>");
    if (doc_number(flow, "lost_packets") > 0) {
        html_print(page, ", ");
        html_count(page, doc_number(flow, "lost_packets"));
        html_print(page, " lost");
    }
    html_print(page, "</li>\n");
}

static void flows(const struct html *page, const json_t *finding)
{
    const json_t *ids = json_object_get(finding, "flows"), *worst[FLOWS_SHOWN];
    size_t count = doc_worst_flows(page->document, ids, worst, FLOWS_SHOWN);
    if (count == 0)
        return;
    html_print(page, "<ul class=\"flows\">\n");
    for (size_t i = 0; i < count; i++)
        flow_line(page, worst[i]);
    if (json_array_size(ids) > count) {
        html_print(page, "<li>and ");
        html_count(page, (long long)(json_array_size(ids) - count));
        html_print(page, " more</li>\n");
    }
    html_print(page, "</ul>\n");
}

/* Whether the ladder shows any of the finding's flows. */
static bool in_ladder(const struct html *page, const json_t *finding)
{
    const json_t *ids = json_object_get(finding, "flows");
    for (size_t s = 0; page->ladder && s < page->ladder->scene_count; s++)
        for (size_t i = 0; i < json_array_size(ids); i++)
            if (json_integer_value(json_array_get(ids, i)) == (json_int_t)page->ladder->scenes[s].flow + 1)
                return true;
    return false;
}

static void one_finding(const struct html *page, size_t index, const json_t *finding)
{
    html_print(page, "<li id=\"finding-%zu\">\n<h3><span class=\"code\">", index + 1);
    html_text(page, doc_text(finding, "code"));
    html_print(page, "</span> ");
    place(page, finding);
    html_print(page, "</h3>\n");
    /* The verdict has said it already where it speaks of this finding. */
    bool said = finding == doc_verdict_finding(page->document);
    if (!said) {
        html_print(page, "<p>");
        html_prose(page, doc_text(finding, "summary"));
        html_print(page, "</p>\n");
    }
    reply(page, finding);
    figures(page, finding);
    flows(page, finding);
    if (!said && doc_has(finding, "next_step")) {
        html_print(page, "<p class=\"next\"><strong>Next step</strong> ");
        html_prose(page, doc_text(finding, "next_step"));
        html_print(page, "</p>\n");
    }
    if (in_ladder(page, finding))
        html_print(
            page,
            "<p class=\"scripted\"><button type=\"button\" data-finding=\"%zu\">Show its packets</button>"
            "</p>\n",
            index);
    html_print(page, "</li>\n");
}

void html_findings(const struct html *page)
{
    const json_t *findings = json_object_get(page->document, "findings"), *finding;
    if (json_array_size(findings) == 0)
        return;
    html_print(page, "<section id=\"findings\">\n<h2>Findings</h2>\n<ol class=\"findings\">\n");
    size_t i;
    json_array_foreach(findings, i, finding)
    {
        one_finding(page, i, finding);
    }
    html_print(page, "</ol>\n</section>\n");
}
