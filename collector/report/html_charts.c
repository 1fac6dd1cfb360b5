/* Loss and delay over time, for each segment and direction: small charts that share one axis of time. */
#include <inttypes.h>

#include "collector/report/html_internal.h"

enum { WIDTH = 320, HEIGHT = 96, TOP = 16, BOTTOM = 80, LOSS_TOP = 52, TRAFFIC_BOTTOM = 46 };

static double x_of(const struct dp_report *r, size_t point)
{
    return (double)WIDTH * (double)point / (double)r->series_count;
}

/* Height of a value on a scale that reaches from `least` at the bottom to `most` at the top. */
struct scale {
    double least, most, bottom, top;
};

static double y_of(const struct scale *scale, double value)
{
    double part = scale->most > scale->least ? (value - scale->least) / (scale->most - scale->least) : 0;
    return scale->bottom - part * (scale->bottom - scale->top);
}

/* Milliseconds or seconds that so many stretches last. */
static void lasting(const struct html *page, size_t points)
{
    double ms = (double)points * (double)page->report->series_width_ns / 1e6;
    if (ms < 1000)
        html_print(page, "%.0f\xc2\xa0ms", ms);
    else
        html_print(page, "%.4g\xc2\xa0s", ms / 1000);
}

static void begin_chart(const struct html *page)
{
    html_print(page,
               "<svg class=\"chart\" viewBox=\"0 0 %d %d\" aria-hidden=\"true\">\n"
               "<path class=\"axis\" d=\"M0 %d.5H%d\"/>\n"
               "<text class=\"tick\" x=\"0\" y=\"%d\">",
               WIDTH, HEIGHT, BOTTOM, WIDTH, HEIGHT - 4);
    lasting(page, 0);
    html_print(page, "</text><text class=\"tick\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH, HEIGHT - 4);
    lasting(page, page->report->series_count);
    html_print(page, "</text>\n");
}

/* ---- packets and loss ---- */

static void draw_entered(const struct html *page, const struct dp_segment_side *side,
                         const struct scale *scale)
{
    const struct dp_report *r = page->report;
    html_print(page, "<path class=\"entered\" d=\"M0 %.0f", scale->bottom);
    for (size_t i = 0; i < r->series_count; i++) {
        if (i == 0 || side->series[i].entered != side->series[i - 1].entered)
            html_print(page, "V%.1f", y_of(scale, (double)side->series[i].entered));
        if (i + 1 == r->series_count || side->series[i].entered != side->series[i + 1].entered)
            html_print(page, "H%.1f", x_of(r, i + 1));
    }
    html_print(page, "V%.0fz\"/>\n", scale->bottom);
}

/* On a scale of their own: a loss of one in ten thousand must be seen, too. */
static void draw_lost(const struct html *page, const struct dp_segment_side *side, const struct scale *scale)
{
    const struct dp_report *r = page->report;
    for (size_t i = 0; i < r->series_count; i++) {
        const struct dp_series_point *p = &side->series[i];
        if (p->lost == 0)
            continue;
        double top = y_of(scale, (double)p->lost), width = (double)WIDTH / (double)r->series_count;
        html_print(page, "<rect class=\"lost\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
                   x_of(r, i), top, width < 2 ? 2 : width, scale->bottom - top);
        lasting(page, i);
        html_print(page, ": %" PRIu64 " of %" PRIu64 " lost</title></rect>\n", p->lost, p->entered);
    }
}

static void most_in(const struct html *page, double y, uint64_t most, const char *what)
{
    html_print(page, "<text class=\"tick\" x=\"0\" y=\"%.0f\">up to ", y);
    html_count(page, (long long)most);
    html_print(page, "%s in ", what);
    lasting(page, 1);
    html_print(page, "</text>\n");
}

static void loss_chart(const struct html *page, const struct dp_segment_side *side, const char *direction)
{
    uint64_t entered = 1, lost = 0;
    for (size_t i = 0; i < page->report->series_count; i++) {
        entered = side->series[i].entered > entered ? side->series[i].entered : entered;
        lost = side->series[i].lost > lost ? side->series[i].lost : lost;
    }
    html_print(page, "<figure><figcaption>%s: packets", direction);
    if (lost > 0) {
        html_print(page, ", <span class=\"bad\">");
        html_count(page, (long long)side->lost_packets);
        html_print(page, " lost</span>");
    }
    html_print(page, "</figcaption>\n");
    begin_chart(page);
    most_in(page, TOP - 6, entered, "");
    draw_entered(page, side, &(struct scale){0, (double)entered, lost ? TRAFFIC_BOTTOM : BOTTOM, TOP});
    if (lost > 0) {
        draw_lost(page, side, &(struct scale){0, (double)lost, BOTTOM, LOSS_TOP + 8});
        most_in(page, LOSS_TOP + 5, lost, " lost");
    }
    html_print(page, "</svg></figure>\n");
}

/* ---- delay ---- */

/* Where the stretches whose delay is known go on to. */
static size_t run_end(const struct dp_report *r, const struct dp_segment_side *side, size_t from)
{
    while (from < r->series_count && side->series[from].has_delay)
        from++;
    return from;
}

static void draw_run(const struct html *page, const struct dp_segment_side *side, size_t from, size_t to,
                     const struct scale *scale)
{
    const struct dp_report *r = page->report;
    html_print(page, "<path class=\"band\" d=\"M%.1f %.1f", x_of(r, from),
               y_of(scale, (double)side->series[from].delay_max));
    for (size_t i = from; i < to; i++)
        html_print(page, "V%.1fH%.1f", y_of(scale, (double)side->series[i].delay_max), x_of(r, i + 1));
    for (size_t i = to; i-- > from;)
        html_print(page, "V%.1fH%.1f", y_of(scale, (double)side->series[i].delay_min), x_of(r, i));
    html_print(page, "z\"/>\n<path class=\"median\" d=\"M%.1f %.1f", x_of(r, from),
               y_of(scale, (double)side->series[from].delay_p50));
    for (size_t i = from; i < to; i++)
        html_print(page, "V%.1fH%.1f", y_of(scale, (double)side->series[i].delay_p50), x_of(r, i + 1));
    html_print(page, "\"/>\n");
}

static void delay_chart(const struct html *page, const struct dp_segment_side *side, const char *direction)
{
    const struct dp_report *r = page->report;
    struct scale scale = {.bottom = BOTTOM, .top = TOP};
    for (size_t i = 0; i < r->series_count; i++) {
        const struct dp_series_point *p = &side->series[i];
        if (!p->has_delay)
            continue;
        scale.least = (double)p->delay_min < scale.least ? (double)p->delay_min : scale.least;
        scale.most = (double)p->delay_max > scale.most ? (double)p->delay_max : scale.most;
    }
    html_print(page, "<figure><figcaption>%s: delay%s</figcaption>\n", direction,
               side->delay.known ? ", median and range" : " not known");
    begin_chart(page);
    if (side->delay.known) {
        html_print(page, "<text class=\"tick\" x=\"0\" y=\"10\">up to ");
        html_duration(page, (long long)scale.most);
        html_print(page, "</text>\n");
    }
    for (size_t i = 0; i < r->series_count;) {
        size_t end = run_end(r, side, i);
        if (end > i)
            draw_run(page, side, i, end, &scale);
        i = end + 1;
    }
    html_print(page, "</svg></figure>\n");
}

/* ---- the section ---- */

static void segment_charts(const struct html *page, const struct dp_segment_report *segment)
{
    static const char *const directions[] = {"Forward", "Reverse"};
    html_print(page, "<h3><bdi>");
    html_vantage(page, segment->from);
    html_print(page, "</bdi> \xe2\x86\x92 <bdi>");
    html_vantage(page, segment->to);
    html_print(page, "</bdi></h3>\n<div class=\"charts\">\n");
    for (int d = 0; d < 2; d++) {
        const struct dp_segment_side *side = &segment->side[d];
        if (!side->series) {
            html_print(page,
                       "<figure class=\"empty\"><figcaption>%s: no packet entered</figcaption></figure>\n",
                       directions[d]);
            continue;
        }
        loss_chart(page, side, directions[d]);
        delay_chart(page, side, directions[d]);
    }
    html_print(page, "</div>\n");
}

void html_course(const struct html *page)
{
    const struct dp_report *r = page->report;
    if (!r || r->series_count == 0)
        return;
    html_print(
        page,
        "<section id=\"course\">\n<h2>Loss and delay over time</h2>\n"
        "<p class=\"hint\">Grey: packets that entered. Red: those of them that were lost. All charts share "
        "one axis of time, in steps of ");
    lasting(page, 1);
    html_print(page, "; 0 is %s the first packet of the first vantage point.</p>\n",
               r->series_from_ns == r->reference_ns ? "" : "near");
    for (size_t i = 0; i < r->segment_count; i++)
        segment_charts(page, &r->segments[i]);
    html_print(page, "</section>\n");
}
