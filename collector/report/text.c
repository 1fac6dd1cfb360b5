/* The report for a person who is called at night: the verdict and what to do come first, then the numbers
 * behind it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/report/clean.h"
#include "collector/report/document.h"
#include "collector/report/figures.h"
#include "collector/report/report_out.h"

#define WIDTH 110
#define NAME_MAX_WIDTH 22

struct page {
    FILE *to;
    bool colour;
    const json_t *document;
};

enum tone { TONE_PLAIN, TONE_BOLD, TONE_BAD, TONE_GOOD, TONE_DOUBT };

static void tone(const struct page *page, enum tone which)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[1;31m", "\033[1;32m", "\033[1;33m"};
    if (page->colour)
        (void)fputs(codes[which], page->to);
}

/* Columns that a UTF-8 text takes, counting one for each character. */
static int columns(const char *text, size_t len)
{
    int count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Prints a text as a paragraph: words only break at spaces. */
static void paragraph(const struct page *page, int indent, const char *lead, const char *text)
{
    int column = indent + columns(lead, strlen(lead));
    int hang = column;
    (void)fprintf(page->to, "%*s%s", indent, "", lead);
    bool first = true;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (len > 0) {
            int width = columns(text, len);
            if (!first && column + 1 + width > WIDTH) {
                (void)fprintf(page->to, "\n%*s", hang, "");
                column = hang;
                first = true;
            }
            if (!first)
                (void)fputc(' ', page->to);
            (void)fwrite(text, 1, len, page->to);
            column += width + (first ? 0 : 1);
            first = false;
        }
        text += len;
        if (*text)
            text++;
    }
    (void)fputc('\n', page->to);
}

static void heading(const struct page *page, const char *text)
{
    (void)fputc('\n', page->to);
    tone(page, TONE_BOLD);
    (void)fputs(text, page->to);
    tone(page, TONE_PLAIN);
    (void)fputc('\n', page->to);
}

static enum tone verdict_tone(const char *code)
{
    if (strcmp(code, "clean") == 0)
        return TONE_GOOD;
    return strcmp(code, "inconclusive") == 0 ? TONE_DOUBT : TONE_BAD;
}

static void place(const struct page *page, const json_t *finding)
{
    const char *from = doc_text(finding, "from");
    const char *to = doc_text(finding, "to");
    bool before = strcmp(from, "before") == 0;
    bool beyond = strcmp(to, "beyond") == 0;
    if (before)
        (void)fprintf(page->to, "before %s", to);
    else if (beyond)
        (void)fprintf(page->to, "beyond %s", from);
    else
        (void)fprintf(page->to, "between %s and %s", from, to);
    (void)fprintf(page->to, ", %s", doc_text(finding, "direction"));
}

static void pattern(const struct page *page, const json_t *finding)
{
    if (!doc_has(finding, "pattern"))
        return;
    (void)fprintf(page->to, ", pattern %s", doc_text(finding, "pattern"));
    if (doc_has(finding, "size_over"))
        (void)fprintf(page->to, " over %" JSON_INTEGER_FORMAT " bytes", doc_number(finding, "size_over"));
}

static void print_capture(const struct page *page)
{
    const json_t *capture = json_object_get(page->document, "capture");
    if (!json_is_object(capture))
        return;
    const json_t *id = json_object_get(capture, "id");
    (void)fputs("Capture", page->to);
    if (json_is_integer(id))
        (void)fprintf(page->to, " %" JSON_INTEGER_FORMAT, json_integer_value(id));
    else if (json_is_string(id))
        (void)fprintf(page->to, " %s", json_string_value(id));
    if (doc_has(capture, "path"))
        (void)fprintf(page->to, " of path %s", doc_text(capture, "path"));
    if (doc_has(capture, "started_at"))
        (void)fprintf(page->to, ", started %s", doc_text(capture, "started_at"));
    (void)fputs("\n\n", page->to);
}

static void print_verdict(const struct page *page)
{
    const json_t *verdict = json_object_get(page->document, "verdict");
    const char *code = doc_text(verdict, "code");
    const json_t *finding = doc_verdict_finding(page->document);
    tone(page, verdict_tone(code));
    (void)fprintf(page->to, "%s", doc_headline(code));
    if (finding) {
        (void)fputc(' ', page->to);
        place(page, finding);
        pattern(page, finding);
    }
    tone(page, TONE_PLAIN);
    (void)fputs("\n\n", page->to);
    paragraph(page, 2, "", doc_text(verdict, "summary"));
    const char *next = doc_next_step(page->document);
    if (*next) {
        (void)fputc('\n', page->to);
        paragraph(page, 2, "Next: ", next);
    }
}

/* Width of the widest vantage point's name, within reason. */
static int name_width(const struct page *page)
{
    int width = 8;
    size_t i;
    const json_t *vantage;
    json_array_foreach(json_object_get(page->document, "vantages"), i, vantage)
    {
        const char *name = doc_text(vantage, "name");
        int own = columns(name, strlen(name));
        width = own > width ? own : width;
    }
    return width > NAME_MAX_WIDTH ? NAME_MAX_WIDTH : width;
}

static void padded(const struct page *page, const char *text, int width)
{
    int own = columns(text, strlen(text));
    (void)fprintf(page->to, "%s%*s", text, own < width ? width - own : 0, "");
}

static void print_side(const struct page *page, const json_t *segment, const char *direction)
{
    const json_t *side = json_object_get(segment, direction);
    const json_t *delay = json_object_get(side, "delay_ns");
    char entered[DP_FIGURE_TEXT];
    char lost[DP_FIGURE_TEXT];
    char part[DP_FIGURE_TEXT];
    char unknown[DP_FIGURE_TEXT];
    char p50[DP_FIGURE_TEXT] = "-";
    char p99[DP_FIGURE_TEXT] = "-";
    json_int_t packets = doc_number(side, "packets");
    json_int_t lost_packets = doc_number(side, "lost_packets");
    if (json_is_object(delay)) {
        (void)dp_figure_duration(doc_number(delay, "p50"), p50);
        (void)dp_figure_duration(doc_number(delay, "p99"), p99);
    }
    (void)fprintf(page->to, "%-8s%11s", direction, dp_figure_count(packets, entered));
    const json_t *finding = doc_finding_in(page->document, segment, direction);
    if (lost_packets > 0 || finding)
        tone(page, TONE_BAD);
    (void)fprintf(page->to, "%10s%9s", dp_figure_count(lost_packets, lost),
                  dp_figure_percent(packets > 0 ? (double)lost_packets / (double)packets : 0, part));
    if (lost_packets > 0 || finding)
        tone(page, TONE_PLAIN);
    (void)fprintf(page->to, "%9s%11s%11s", dp_figure_count(doc_number(side, "unknown_packets"), unknown), p50,
                  p99);
    if (finding) {
        tone(page, TONE_BAD);
        (void)fprintf(page->to, "  <- %s", doc_text(finding, "code"));
        tone(page, TONE_PLAIN);
    }
    (void)fputc('\n', page->to);
}

static void print_outer(const struct page *page, const char *end, const char *name)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(json_object_get(page->document, "findings"), i, finding)
    {
        if (strcmp(doc_text(finding, end), name) != 0)
            continue;
        tone(page, TONE_BAD);
        (void)fprintf(page->to, "   :  %s: %s, %s\n", name, doc_text(finding, "code"),
                      doc_text(finding, "direction"));
        tone(page, TONE_PLAIN);
    }
}

static void print_path(const struct page *page)
{
    const json_t *vantages = json_object_get(page->document, "vantages");
    const json_t *segments = json_object_get(page->document, "segments");
    heading(page, "Path");
    (void)fprintf(page->to, "%-10s%-8s%11s%10s%9s%9s%11s%11s\n", "", "", "entered", "lost", "share",
                  "unknown", "delay p50", "p99");
    print_outer(page, "from", "before");
    size_t i;
    const json_t *vantage;
    json_array_foreach(vantages, i, vantage)
    {
        (void)fputs("  ", page->to);
        tone(page, TONE_BOLD);
        (void)fputs(doc_text(vantage, "name"), page->to);
        tone(page, TONE_PLAIN);
        (void)fputc('\n', page->to);
        const json_t *segment = json_array_get(segments, i);
        if (!segment)
            continue;
        (void)fprintf(page->to, "   | %-5s", doc_text(segment, "kind"));
        print_side(page, segment, "forward");
        (void)fprintf(page->to, "   | %-5s", "");
        print_side(page, segment, "reverse");
    }
    print_outer(page, "to", "beyond");
}

static void print_flow(const struct page *page, const json_t *flow)
{
    (void)fprintf(page->to, "     flow %" JSON_INTEGER_FORMAT "  %-5s %s -> %s\n", doc_number(flow, "id"),
                  doc_text(flow, "app"), doc_text(flow, "client"), doc_text(flow, "server"));
    const char *where;
    json_t *seen;
    json_object_foreach(json_object_get(flow, "seen_as"), where, seen)
    {
        (void)fprintf(page->to, "            seen at %s as %s -> %s\n", where, doc_text(seen, "client"),
                      doc_text(seen, "server"));
    }
}

#define FLOWS_SHOWN 5

/* The flows of a finding that lost most. */
static void print_flows(const struct page *page, const json_t *ids)
{
    const json_t *top[FLOWS_SHOWN];
    size_t count = doc_worst_flows(page->document, ids, top, FLOWS_SHOWN);
    for (size_t i = 0; i < count; i++)
        print_flow(page, top[i]);
    if (json_array_size(ids) > count)
        (void)fprintf(page->to, "     and %zu flows more\n", json_array_size(ids) - count);
}

static void print_finding(const struct page *page, size_t number, const json_t *finding)
{
    char packets[DP_FIGURE_TEXT];
    char bytes[DP_FIGURE_TEXT];
    char share[DP_FIGURE_TEXT];
    (void)fprintf(page->to, "  %zu. ", number + 1);
    tone(page, TONE_BOLD);
    (void)fprintf(page->to, "%s ", doc_text(finding, "code"));
    place(page, finding);
    pattern(page, finding);
    tone(page, TONE_PLAIN);
    (void)fputs("\n     ", page->to);
    if (doc_number(finding, "lost_packets") > 0)
        (void)fprintf(page->to, "%s packet%s (%s payload bytes) lost, %s of what entered; ",
                      dp_figure_count(doc_number(finding, "lost_packets"), packets),
                      doc_number(finding, "lost_packets") == 1 ? "" : "s",
                      dp_figure_count(doc_number(finding, "lost_bytes"), bytes),
                      dp_figure_percent(doc_real(finding, "share"), share));
    (void)fprintf(page->to, "confidence %.3g\n", doc_real(finding, "confidence"));
    if (doc_has(finding, "first_at"))
        (void)fprintf(page->to, "     from %s to %s\n", doc_text(finding, "first_at"),
                      doc_text(finding, "last_at"));
    const json_t *reply = json_object_get(finding, "smtp_reply");
    if (json_is_object(reply)) {
        char lead[64];
        (void)snprintf(lead, sizeof lead, "server replied: %" JSON_INTEGER_FORMAT " ",
                       doc_number(reply, "code"));
        paragraph(page, 5, lead, doc_text(reply, "text"));
    }
    print_flows(page, json_object_get(finding, "flows"));
    /* The verdict has said it already where it speaks of this finding. */
    if (finding == doc_verdict_finding(page->document))
        return;
    paragraph(page, 5, "", doc_text(finding, "summary"));
    if (doc_has(finding, "next_step"))
        paragraph(page, 5, "Next: ", doc_text(finding, "next_step"));
}

static void print_findings(const struct page *page)
{
    const json_t *findings = json_object_get(page->document, "findings");
    if (json_array_size(findings) == 0)
        return;
    heading(page, "Findings");
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        print_finding(page, i, finding);
    }
}

static void print_vantage(const struct page *page, const json_t *vantage, int width)
{
    char packets[DP_FIGURE_TEXT];
    char matched[DP_FIGURE_TEXT];
    char missed[DP_FIGURE_TEXT];
    char dropped[DP_FIGURE_TEXT] = "not known";
    char offset[DP_FIGURE_TEXT];
    char error[DP_FIGURE_TEXT] = "not known";
    if (doc_has(vantage, "capture_dropped"))
        (void)dp_figure_count(doc_number(vantage, "capture_dropped"), dropped);
    if (doc_has(vantage, "clock_error_ns"))
        (void)dp_figure_duration(doc_number(vantage, "clock_error_ns"), error);
    (void)fputs("  ", page->to);
    padded(page, doc_text(vantage, "name"), width);
    (void)fprintf(page->to, "%12s%12s%10s%15s%14s%12s%9.3g ppm\n",
                  dp_figure_count(doc_number(vantage, "packets"), packets),
                  dp_figure_count(doc_number(vantage, "matched"), matched),
                  dp_figure_count(doc_number(vantage, "missed"), missed), dropped,
                  dp_figure_duration(doc_number(vantage, "clock_offset_ns"), offset), error,
                  doc_real(vantage, "clock_skew_ppm"));
}

/* A person wonders at stamps that leap: say when and by how much the clock was set. */
static void print_clock_steps(const struct page *page, const json_t *vantage)
{
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(vantage, "clock_steps"), i, step)
    {
        char by[DP_FIGURE_TEXT], line[256];
        (void)snprintf(line, sizeof line, "The clock of %s was set by %s at %s (by itself).",
                       doc_text(vantage, "name"), dp_figure_duration(doc_number(step, "step_ns"), by),
                       doc_text(step, "at"));
        paragraph(page, 2, "", line);
    }
}

static void print_vantages(const struct page *page)
{
    int width = name_width(page);
    heading(page, "Vantage points");
    (void)fprintf(page->to, "  %-*s%12s%12s%10s%15s%14s%12s%13s\n", width, "", "packets", "matched", "missed",
                  "capture drops", "clock offset", "+-", "skew");
    size_t i;
    const json_t *vantage;
    json_array_foreach(json_object_get(page->document, "vantages"), i, vantage)
    {
        print_vantage(page, vantage, width);
    }
    json_array_foreach(json_object_get(page->document, "vantages"), i, vantage)
    {
        print_clock_steps(page, vantage);
    }
}

static int write_page(const json_t *document, bool colour, char **ret_text)
{
    char *text = NULL;
    size_t size = 0;
    struct page page = {.to = open_memstream(&text, &size), .colour = colour, .document = document};
    if (!page.to)
        return DP_ERR_NOMEM;
    print_capture(&page);
    print_verdict(&page);
    print_path(&page);
    print_findings(&page);
    print_vantages(&page);
    bool failed = ferror(page.to) != 0;
    if (fclose(page.to) != 0 || failed) {
        free(text);
        return DP_ERR_NOMEM;
    }
    *ret_text = text;
    return DP_OK;
}

int dp_report_text(const json_t *document, bool colour, char **ret_text)
{
    if (!doc_valid(document))
        return DP_ERR_FORMAT;
    json_t *clean = json_deep_copy(document);
    int code = clean && dp_report_clean(clean) ? write_page(clean, colour, ret_text) : DP_ERR_NOMEM;
    json_decref(clean);
    return code;
}
