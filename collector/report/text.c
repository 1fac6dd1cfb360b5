/* The report for a person who is called at night: the verdict and what to do come first, then the numbers
 * behind it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/report/clean.h"
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

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static double real_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static bool has(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value);
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

static const json_t *verdict_finding(const struct page *page)
{
    const json_t *finding = json_object_get(json_object_get(page->document, "verdict"), "finding");
    if (!json_is_integer(finding) || json_integer_value(finding) < 0)
        return NULL;
    return json_array_get(json_object_get(page->document, "findings"), (size_t)json_integer_value(finding));
}

static const char *verdict_word(const char *code)
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

static void place(const struct page *page, const json_t *finding)
{
    const char *from = text_of(finding, "from");
    const char *to = text_of(finding, "to");
    bool before = strcmp(from, "before") == 0;
    bool beyond = strcmp(to, "beyond") == 0;
    if (before)
        (void)fprintf(page->to, "before %s", to);
    else if (beyond)
        (void)fprintf(page->to, "beyond %s", from);
    else
        (void)fprintf(page->to, "between %s and %s", from, to);
    (void)fprintf(page->to, ", %s", text_of(finding, "direction"));
}

static void pattern(const struct page *page, const json_t *finding)
{
    if (!has(finding, "pattern"))
        return;
    (void)fprintf(page->to, ", pattern %s", text_of(finding, "pattern"));
    if (has(finding, "size_over"))
        (void)fprintf(page->to, " over %" JSON_INTEGER_FORMAT " bytes", number_of(finding, "size_over"));
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
    if (has(capture, "path"))
        (void)fprintf(page->to, " of path %s", text_of(capture, "path"));
    if (has(capture, "started_at"))
        (void)fprintf(page->to, ", started %s", text_of(capture, "started_at"));
    (void)fputs("\n\n", page->to);
}

static void print_verdict(const struct page *page)
{
    const json_t *verdict = json_object_get(page->document, "verdict");
    const char *code = text_of(verdict, "code");
    const json_t *finding = verdict_finding(page);
    tone(page, verdict_tone(code));
    (void)fprintf(page->to, "%s", verdict_word(code));
    if (finding) {
        (void)fputc(' ', page->to);
        place(page, finding);
        pattern(page, finding);
    }
    tone(page, TONE_PLAIN);
    (void)fputs("\n\n", page->to);
    paragraph(page, 2, "", text_of(verdict, "summary"));
    const char *next =
        has(verdict, "next_step") ? text_of(verdict, "next_step") : text_of(finding, "next_step");
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
        const char *name = text_of(vantage, "name");
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

/* The first finding that lies in this segment and direction, for the mark at the row's end. */
static const json_t *finding_in(const struct page *page, const json_t *segment, const char *direction)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(json_object_get(page->document, "findings"), i, finding)
    {
        if (strcmp(text_of(finding, "from"), text_of(segment, "from")) == 0 &&
            strcmp(text_of(finding, "to"), text_of(segment, "to")) == 0 &&
            strcmp(text_of(finding, "direction"), direction) == 0)
            return finding;
    }
    return NULL;
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
    json_int_t packets = number_of(side, "packets");
    json_int_t lost_packets = number_of(side, "lost_packets");
    if (json_is_object(delay)) {
        (void)dp_figure_duration(number_of(delay, "p50"), p50);
        (void)dp_figure_duration(number_of(delay, "p99"), p99);
    }
    (void)fprintf(page->to, "%-8s%11s", direction, dp_figure_count(packets, entered));
    const json_t *finding = finding_in(page, segment, direction);
    if (lost_packets > 0 || finding)
        tone(page, TONE_BAD);
    (void)fprintf(page->to, "%10s%9s", dp_figure_count(lost_packets, lost),
                  dp_figure_percent(packets > 0 ? (double)lost_packets / (double)packets : 0, part));
    if (lost_packets > 0 || finding)
        tone(page, TONE_PLAIN);
    (void)fprintf(page->to, "%9s%11s%11s", dp_figure_count(number_of(side, "unknown_packets"), unknown), p50,
                  p99);
    if (finding) {
        tone(page, TONE_BAD);
        (void)fprintf(page->to, "  <- %s", text_of(finding, "code"));
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
        if (strcmp(text_of(finding, end), name) != 0)
            continue;
        tone(page, TONE_BAD);
        (void)fprintf(page->to, "   :  %s: %s, %s\n", name, text_of(finding, "code"),
                      text_of(finding, "direction"));
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
        (void)fputs(text_of(vantage, "name"), page->to);
        tone(page, TONE_PLAIN);
        (void)fputc('\n', page->to);
        const json_t *segment = json_array_get(segments, i);
        if (!segment)
            continue;
        (void)fprintf(page->to, "   | %-5s", text_of(segment, "kind"));
        print_side(page, segment, "forward");
        (void)fprintf(page->to, "   | %-5s", "");
        print_side(page, segment, "reverse");
    }
    print_outer(page, "to", "beyond");
}

/* Flows are numbered from 1 in their order: look there before looking everywhere. */
static const json_t *find_flow(const struct page *page, json_int_t id)
{
    const json_t *flows = json_object_get(page->document, "flows");
    const json_t *flow = id > 0 ? json_array_get(flows, (size_t)id - 1) : NULL;
    if (flow && number_of(flow, "id") == id)
        return flow;
    size_t i;
    json_array_foreach(flows, i, flow)
    {
        if (number_of(flow, "id") == id)
            return flow;
    }
    return NULL;
}

static void print_flow(const struct page *page, const json_t *flow)
{
    (void)fprintf(page->to, "     flow %" JSON_INTEGER_FORMAT "  %-5s %s -> %s\n", number_of(flow, "id"),
                  text_of(flow, "app"), text_of(flow, "client"), text_of(flow, "server"));
    const char *where;
    json_t *seen;
    json_object_foreach(json_object_get(flow, "seen_as"), where, seen)
    {
        (void)fprintf(page->to, "            seen at %s as %s -> %s\n", where, text_of(seen, "client"),
                      text_of(seen, "server"));
    }
}

#define FLOWS_SHOWN 5

static bool lost_more(const json_t *a, const json_t *b)
{
    if (number_of(a, "lost_bytes") != number_of(b, "lost_bytes"))
        return number_of(a, "lost_bytes") > number_of(b, "lost_bytes");
    return number_of(a, "lost_packets") > number_of(b, "lost_packets");
}

/* The flows of a finding that lost most. */
static void print_flows(const struct page *page, const json_t *ids)
{
    const json_t *top[FLOWS_SHOWN + 1];
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *flow = find_flow(page, json_integer_value(json_array_get(ids, i)));
        if (!flow)
            continue;
        size_t at = count;
        for (; at > 0 && lost_more(flow, top[at - 1]); at--)
            top[at] = top[at - 1];
        top[at] = flow;
        count += count < FLOWS_SHOWN;
    }
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
    (void)fprintf(page->to, "%s ", text_of(finding, "code"));
    place(page, finding);
    pattern(page, finding);
    tone(page, TONE_PLAIN);
    (void)fputs("\n     ", page->to);
    if (number_of(finding, "lost_packets") > 0)
        (void)fprintf(page->to, "%s packet%s (%s payload bytes) lost, %s of what entered; ",
                      dp_figure_count(number_of(finding, "lost_packets"), packets),
                      number_of(finding, "lost_packets") == 1 ? "" : "s",
                      dp_figure_count(number_of(finding, "lost_bytes"), bytes),
                      dp_figure_percent(real_of(finding, "share"), share));
    (void)fprintf(page->to, "confidence %.3g\n", real_of(finding, "confidence"));
    if (has(finding, "first_at"))
        (void)fprintf(page->to, "     from %s to %s\n", text_of(finding, "first_at"),
                      text_of(finding, "last_at"));
    const json_t *reply = json_object_get(finding, "smtp_reply");
    if (json_is_object(reply)) {
        char lead[64];
        (void)snprintf(lead, sizeof lead, "server replied: %" JSON_INTEGER_FORMAT " ",
                       number_of(reply, "code"));
        paragraph(page, 5, lead, text_of(reply, "text"));
    }
    print_flows(page, json_object_get(finding, "flows"));
    /* The verdict has said it already where it speaks of this finding. */
    if (finding == verdict_finding(page))
        return;
    paragraph(page, 5, "", text_of(finding, "summary"));
    if (has(finding, "next_step"))
        paragraph(page, 5, "Next: ", text_of(finding, "next_step"));
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
    if (has(vantage, "capture_dropped"))
        (void)dp_figure_count(number_of(vantage, "capture_dropped"), dropped);
    if (has(vantage, "clock_error_ns"))
        (void)dp_figure_duration(number_of(vantage, "clock_error_ns"), error);
    (void)fputs("  ", page->to);
    padded(page, text_of(vantage, "name"), width);
    (void)fprintf(page->to, "%12s%12s%10s%15s%14s%12s%9.3g ppm\n",
                  dp_figure_count(number_of(vantage, "packets"), packets),
                  dp_figure_count(number_of(vantage, "matched"), matched),
                  dp_figure_count(number_of(vantage, "missed"), missed), dropped,
                  dp_figure_duration(number_of(vantage, "clock_offset_ns"), offset), error,
                  real_of(vantage, "clock_skew_ppm"));
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
                       text_of(vantage, "name"), dp_figure_duration(number_of(step, "step_ns"), by),
                       text_of(step, "at"));
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

static bool is_document(const json_t *document)
{
    const char *schema = json_string_value(json_object_get(document, "schema"));
    return schema && strcmp(schema, "droppoint.locate.v1") == 0 &&
           json_is_array(json_object_get(document, "vantages")) &&
           json_is_array(json_object_get(document, "segments")) &&
           json_is_array(json_object_get(document, "findings")) &&
           json_is_string(json_object_get(json_object_get(document, "verdict"), "code"));
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
    if (!is_document(document))
        return DP_ERR_FORMAT;
    json_t *clean = json_deep_copy(document);
    int code = clean && dp_report_clean(clean) ? write_page(clean, colour, ret_text) : DP_ERR_NOMEM;
    json_decref(clean);
    return code;
}
