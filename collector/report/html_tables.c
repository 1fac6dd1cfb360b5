/* The tables: segments, vantage points, flows. */
#include <inttypes.h>
#include <string.h>

#include "collector/report/html_internal.h"

#define FLOWS_WITHOUT_SCRIPT 100

static void begin_table(const struct html *page, const char *id, const char *heading, const char *caption)
{
    html_print(page,
               "<section id=\"%s\">\n<h2>%s</h2>\n<div class=\"scroll\" tabindex=\"0\">\n<table>\n"
               "<caption class=\"unseen\">%s</caption>\n",
               id, heading, caption);
}

static void columns(const struct html *page, const char *const names[], size_t count)
{
    html_print(page, "<thead><tr>");
    for (size_t i = 0; i < count; i++)
        html_print(page, "<th scope=\"col\"%s>%s</th>", names[i][0] == '#' ? " class=\"n\"" : "",
                   names[i] + (names[i][0] == '#'));
    html_print(page, "</tr></thead>\n<tbody>\n");
}

static void end_table(const struct html *page)
{
    html_print(page, "</tbody></table></div>\n</section>\n");
}

static void number_cell(const struct html *page, long long number, const char *class_if_any)
{
    html_print(page, number > 0 && *class_if_any ? "<td class=\"n %s\">" : "<td class=\"n\">", class_if_any);
    html_count(page, number);
    html_print(page, "</td>");
}

static void delay_cell(const struct html *page, const json_t *delay, const char *name)
{
    html_print(page, "<td class=\"n\">");
    if (json_is_object(delay))
        html_duration(page, doc_number(delay, name));
    else
        html_print(page, "\xe2\x80\x93");
    html_print(page, "</td>");
}

static void side_row(const struct html *page, const json_t *segment, const char *direction, bool first)
{
    const json_t *side = json_object_get(segment, direction);
    const json_t *finding = doc_finding_in(page->document, segment, direction);
    long long packets = doc_number(side, "packets"), lost = doc_number(side, "lost_packets");
    html_print(page, "<tr class=\"%s%s\">", first ? "first" : "second", lost > 0 || finding ? " losing" : "");
    if (first) {
        html_print(page, "<th scope=\"rowgroup\" rowspan=\"2\"><bdi>");
        html_text(page, doc_text(segment, "from"));
        html_print(page, "</bdi> \xe2\x86\x92 <bdi>");
        html_text(page, doc_text(segment, "to"));
        html_print(page, "</bdi> <span class=\"kind\">%s</span></th>",
                   strcmp(doc_text(segment, "kind"), "host") == 0 ? "inside the host" : "link");
    }
    html_print(page, "<td>%s</td>", direction);
    number_cell(page, packets, "");
    number_cell(page, lost, "bad");
    html_print(page, "<td class=\"n%s\">", lost > 0 ? " bad" : "");
    html_percent(page, packets > 0 ? (double)lost / (double)packets : 0);
    html_print(page, "</td>");
    number_cell(page, doc_number(side, "lost_bytes"), "bad");
    number_cell(page, doc_number(side, "bytes"), "");
    number_cell(page, doc_number(side, "unknown_packets"), "doubt");
    number_cell(page, doc_number(side, "duplicated_packets"), "");
    number_cell(page, doc_number(side, "reordered_packets"), "");
    delay_cell(page, json_object_get(side, "delay_ns"), "p50");
    delay_cell(page, json_object_get(side, "delay_ns"), "p99");
    html_print(page, "</tr>\n");
}

void html_segments(const struct html *page)
{
    static const char *const names[] = {"Segment",     "Direction",   "#Packets",       "#Lost",
                                        "#Share",      "#Lost bytes", "#Payload bytes", "#Unknown",
                                        "#Duplicated", "#Reordered",  "#Delay p50",     "#Delay p99"};
    const json_t *segments = json_object_get(page->document, "segments"), *segment;
    if (json_array_size(segments) == 0)
        return;
    begin_table(page, "segments", "Segments",
                "What entered each segment in each direction, and what became of it");
    columns(page, names, sizeof names / sizeof names[0]);
    size_t i;
    json_array_foreach(segments, i, segment)
    {
        side_row(page, segment, "forward", true);
        side_row(page, segment, "reverse", false);
    }
    end_table(page);
}

void html_vantages(const struct html *page)
{
    static const char *const names[] = {"Vantage point",  "#Packets",      "#Matched",    "#Missed",
                                        "#Capture drops", "#Clock offset", "#Clock skew", "#Clock error"};
    begin_table(page, "vantages", "Vantage points",
                "What each vantage point captured, and how its clock is off");
    columns(page, names, sizeof names / sizeof names[0]);
    size_t i;
    const json_t *vantage;
    json_array_foreach(json_object_get(page->document, "vantages"), i, vantage)
    {
        html_print(page, "<tr><th scope=\"row\"><bdi>");
        html_text(page, doc_text(vantage, "name"));
        html_print(page, "</bdi></th>");
        number_cell(page, doc_number(vantage, "packets"), "");
        number_cell(page, doc_number(vantage, "matched"), "");
        number_cell(page, doc_number(vantage, "missed"), "doubt");
        if (doc_has(vantage, "capture_dropped"))
            number_cell(page, doc_number(vantage, "capture_dropped"), "doubt");
        else
            html_print(page, "<td class=\"n\">not known</td>");
        html_print(page, "<td class=\"n\">");
        html_duration(page, doc_number(vantage, "clock_offset_ns"));
        html_print(page, "</td><td class=\"n\">%.3g\xc2\xa0ppm</td><td class=\"n\">",
                   doc_real(vantage, "clock_skew_ppm"));
        if (doc_has(vantage, "clock_error_ns")) {
            html_print(page, "\xc2\xb1\xc2\xa0");
            html_duration(page, doc_number(vantage, "clock_error_ns"));
        } else {
            html_print(page, "not known");
        }
        html_print(page, "</td></tr>\n");
    }
    end_table(page);
}

/* ---- flows ---- */

static void flow_row(const struct html *page, const json_t *flow)
{
    html_print(page, "<tr><td class=\"n\">%" JSON_INTEGER_FORMAT "</td><td>", doc_number(flow, "id"));
    html_text(page, doc_text(flow, "app"));
    html_print(page, "</td><td class=\"mono\">");
    html_text(page, doc_text(flow, "client"));
    html_print(page, "</td><td class=\"mono\">");
    html_text(page, doc_text(flow, "server"));
    html_print(page, "</td>");
    number_cell(page, doc_number(flow, "lost_packets"), "bad");
    number_cell(page, doc_number(flow, "lost_bytes"), "bad");
    html_print(page, "<td>");
    const char *where;
    const json_t *seen;
    json_object_foreach((json_t *)json_object_get(flow, "seen_as"), where, seen)
    {
        html_print(page, "<div>at <bdi>");
        html_text(page, where);
        html_print(page, "</bdi>: <span class=\"mono\">");
        html_text(page, doc_text(seen, "client"));
        html_print(page, " \xe2\x86\x92 ");
        html_text(page, doc_text(seen, "server"));
        html_print(page, "</span></div>");
    }
    html_print(page, "</td></tr>\n");
}

/* Plain rows first, which the script replaces by a table that can be searched. */
void html_flows(const struct html *page)
{
    static const char *const names[] = {"#Flow", "Application", "Client", "Server",
                                        "#Lost", "#Lost bytes", "Seen as"};
    const json_t *flows = json_object_get(page->document, "flows"), *flow;
    size_t count = json_array_size(flows), i;
    if (count == 0)
        return;
    html_print(
        page,
        "<section id=\"flows\">\n<h2>Flows</h2>\n"
        "<p class=\"scripted search\"><label>Search <input type=\"search\" id=\"flow-search\" "
        "placeholder=\"address, port, application\" autocomplete=\"off\" spellcheck=\"false\"></label> "
        "<label><input type=\"checkbox\" id=\"flow-lossy\"> only flows with loss</label> "
        "<output id=\"flow-count\"></output></p>\n"
        "<div class=\"scroll\" tabindex=\"0\">\n<table>\n<caption class=\"unseen\">The flows</caption>\n");
    columns(page, names, sizeof names / sizeof names[0]);
    json_array_foreach(flows, i, flow)
    {
        if (i < FLOWS_WITHOUT_SCRIPT)
            flow_row(page, flow);
    }
    html_print(page, "</tbody></table></div>\n");
    if (count > FLOWS_WITHOUT_SCRIPT)
        html_print(page,
                   "<noscript><p>These are the first %d of %zu flows; a browser that runs scripts shows all."
                   "</p></noscript>\n",
                   FLOWS_WITHOUT_SCRIPT, count);
    html_print(
        page, "<p class=\"scripted\"><button type=\"button\" id=\"flow-more\" hidden>Show more</button></p>\n"
              "</section>\n");
}
