/* The path as a picture: hosts as boxes, vantage points on them, a lane for each direction between. Drawn
 * twice: from left to right where the screen is wide and the path short, from top to bottom elsewhere. */
#include <string.h>

#include "collector/report/html_internal.h"
#include "collector/report/html_picture.h"

#define WIDE_MOST_PORTS 7

/* How a lane stands. */
static const char *lane_class(const struct lane *lane)
{
    if (lane->finding)
        return strcmp(doc_text(lane->finding, "code"), "loss") == 0 ? "lane bad" : "lane fault";
    return lane->lost > 0 ? "lane bad" : "lane";
}

static bool lane_broken(const struct lane *lane)
{
    return lane->finding || lane->lost > 0;
}

/* "600 packets, 5 unknown" */
static void lane_traffic(const struct html *page, const struct lane *lane)
{
    if (!lane->measured)
        return;
    html_count(page, lane->packets);
    html_print(page, "%s", html_plural(lane->packets, " packet", " packets"));
    if (lane->unknown > 0) {
        html_print(page, ", ");
        html_count(page, lane->unknown);
        html_print(page, " unknown");
    }
}

/* "38 lost (42.2 %)", "reset", "none lost"; nothing outside of the path where nothing is found. */
static void lane_fate(const struct html *page, const struct lane *lane)
{
    const char *code = lane->finding ? doc_text(lane->finding, "code") : "loss";
    if (strcmp(code, "loss") != 0) {
        html_text(page, code);
        html_print(page, " (finding %zu)", lane->finding_number);
    }
    if (lane->lost > 0) {
        html_print(page, "%s\xe2\x9c\x95 ", strcmp(code, "loss") != 0 ? ", " : "");
        html_count(page, lane->lost);
        html_print(page, " lost");
        if (lane->measured && lane->packets > 0) {
            html_print(page, " (");
            html_percent(page, (double)lane->lost / (double)lane->packets);
            html_print(page, ")");
        }
    } else if (lane->finding && strcmp(code, "loss") == 0) {
        html_print(page, "\xe2\x9c\x95 lost here or farther on");
    } else if (lane->measured && !lane->finding) {
        html_print(page, "none lost");
    }
}

/* The line of text with what became of the packets. */
static void fate_text(const struct html *page, const struct lane *lane, const char *place)
{
    html_print(page, "<text class=\"%s\" %s>", lane_broken(lane) ? "fate bad" : "fate", place);
    lane_fate(page, lane);
    html_print(page, "</text>\n");
}

static void cross(const struct html *page, int x, int y)
{
    html_print(page, "<path class=\"cross\" d=\"M%d %dl14 14m0 -14l-14 14\"/>\n", x - 7, y - 7);
}

/* ---- from left to right ---- */

enum { WIDE_END = 150, WIDE_PITCH = 178, WIDE_FORWARD = 104, WIDE_REVERSE = 136, WIDE_HEIGHT = 232 };

static int wide_x(size_t port)
{
    return WIDE_END + (int)port * WIDE_PITCH;
}

static void wide_box(const struct html *page, const struct picture *picture, const struct box *box)
{
    int left = wide_x(box->first), right = wide_x(box->last);
    if (box->first == box->last) { /* one port: the box lies on the side that no neighbour is at */
        bool first = box->first == 0, last = box->last + 1 == picture->port_count;
        left -= first ? 96 : last ? 0 : 40;
        right += last && !first ? 96 : first ? 0 : 40;
    }
    const struct port *port = &picture->ports[box->first];
    html_print(page, "<g><title>");
    html_part(page, port->name, port->host_len, SIZE_MAX);
    html_print(page,
               "</title><rect class=\"box\" x=\"%d\" y=\"30\" width=\"%d\" height=\"156\" rx=\"8\"/>\n"
               "<text class=\"host\" x=\"%d\" y=\"49\" text-anchor=\"middle\">",
               left, right - left, (left + right) / 2);
    html_part(page, port->name, port->host_len, (size_t)(right - left) / 9);
    html_print(page, "</text></g>\n");
}

static void wide_lane(const struct html *page, const struct lane *lane, int from, int to, int direction,
                      bool outside)
{
    int y = direction ? WIDE_REVERSE : WIDE_FORWARD;
    int start = direction ? to : from, end = direction ? from : to, step = direction ? -1 : 1;
    int tip = end - step * 8, middle = start + (end - start) * 6 / 10;
    html_print(page, "<g class=\"%s%s\">\n", lane_class(lane), outside ? " outside" : "");
    if (lane_broken(lane)) {
        html_print(page,
                   "<path class=\"line\" d=\"M%d %dH%d\"/><path class=\"line after\" d=\"M%d %dH%d\"/>\n",
                   start + step * 7, y, middle, middle, y, tip);
        cross(page, middle, y);
    } else {
        html_print(page, "<path class=\"line\" d=\"M%d %dH%d\"/>\n", start + step * 7, y, tip);
    }
    html_print(page, "<path class=\"head\" d=\"M%d %dl%d -5v10z\"/>\n", tip + step * 2, y, -step * 9);
    char place[80];
    int x = (from + to) / 2;
    (void)snprintf(place, sizeof place, "x=\"%d\" y=\"%d\" text-anchor=\"middle\"", x,
                   direction ? y + 20 : y - 12);
    fate_text(page, lane, place);
    html_print(page, "<text class=\"traffic\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">", x,
               direction ? y + 35 : y - 27);
    lane_traffic(page, lane);
    html_print(page, "</text></g>\n");
}

static void wide_port(const struct html *page, const struct port *port, int x)
{
    html_print(page, "<g><title>");
    html_text(page, port->name);
    html_print(page,
               "</title><rect class=\"port\" x=\"%d\" y=\"92\" width=\"12\" height=\"56\" rx=\"4\"/>\n"
               "<text class=\"name\" x=\"%d\" y=\"204\" text-anchor=\"middle\">",
               x - 6, x);
    html_cut(page, port->interface, 20);
    html_print(page, "</text>");
    if (port->missed > 0 || port->dropped > 0) {
        html_print(page, "<text class=\"note\" x=\"%d\" y=\"220\" text-anchor=\"middle\">", x);
        html_count(page, port->missed > 0 ? port->missed : port->dropped);
        html_print(page, "%s</text>", port->missed > 0 ? " missed" : " capture drops");
    }
    html_print(page, "</g>\n");
}

static void draw_wide(const struct html *page, const struct picture *picture)
{
    size_t n = picture->port_count;
    int width = wide_x(n - 1) + WIDE_END;
    html_print(page,
               "<svg class=\"picture wide\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
               "aria-labelledby=\"picture-text\">\n",
               width, WIDE_HEIGHT, width);
    for (size_t i = 0; i < picture->box_count; i++)
        wide_box(page, picture, &picture->boxes[i]);
    html_print(page,
               "<text class=\"end\" x=\"6\" y=\"20\">before</text>"
               "<text class=\"end\" x=\"%d\" y=\"20\" text-anchor=\"end\">beyond</text>\n",
               width - 6);
    for (size_t k = 0; k <= n; k++)
        for (int d = 0; d < 2; d++)
            wide_lane(page, &picture->lanes[k][d], k == 0 ? 4 : wide_x(k - 1), k == n ? width - 4 : wide_x(k),
                      d, k == 0 || k == n);
    for (size_t i = 0; i < n; i++)
        wide_port(page, &picture->ports[i], wide_x(i));
    html_print(page, "</svg>\n");
}

/* ---- from top to bottom ---- */

enum {
    TALL_END = 84,
    TALL_PITCH = 118,
    TALL_FORWARD = 44,
    TALL_REVERSE = 74,
    TALL_WIDTH = 360,
    TALL_TEXT = 104
};

static int tall_y(size_t port)
{
    return TALL_END + (int)port * TALL_PITCH;
}

static void tall_box(const struct html *page, const struct picture *picture, const struct box *box)
{
    int top = tall_y(box->first) - 22, bottom = tall_y(box->last) + 22;
    const struct port *port = &picture->ports[box->first];
    html_print(page,
               "<rect class=\"box\" x=\"10\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n"
               "<text class=\"host\" x=\"%d\" y=\"%d\" text-anchor=\"end\">",
               top, TALL_WIDTH - 20, bottom - top, TALL_WIDTH - 22, tall_y(box->first) + 5);
    html_part(page, port->name, port->host_len, 18);
    html_print(page, "</text>\n");
}

static void tall_lane(const struct html *page, const struct lane *lane, int from, int to, int direction,
                      bool outside)
{
    int x = direction ? TALL_REVERSE : TALL_FORWARD;
    int start = direction ? to : from, end = direction ? from : to, step = direction ? -1 : 1;
    int tip = end - step * 8, middle = start + (end - start) * 6 / 10;
    html_print(page, "<g class=\"%s%s\">\n", lane_class(lane), outside ? " outside" : "");
    if (lane_broken(lane)) {
        html_print(page,
                   "<path class=\"line\" d=\"M%d %dV%d\"/><path class=\"line after\" d=\"M%d %dV%d\"/>\n", x,
                   start + step * 7, middle, x, middle, tip);
        cross(page, x, middle);
    } else {
        html_print(page, "<path class=\"line\" d=\"M%d %dV%d\"/>\n", x, start + step * 7, tip);
    }
    html_print(page, "<path class=\"head\" d=\"M%d %dl-5 %dh10z\"/>\n", x, tip + step * 2, -step * 9);
    if (lane->measured || lane->finding) {
        int y = outside ? (from + to) / 2 + (direction ? 12 : -4) : (from + to) / 2 + (direction ? 14 : -18);
        html_print(page, "<text class=\"traffic\" x=\"%d\" y=\"%d\">%s ", TALL_TEXT, y,
                   direction ? "\xe2\x86\x91" : "\xe2\x86\x93");
        lane_traffic(page, lane);
        html_print(page, "</text>\n");
        char place[80];
        (void)snprintf(place, sizeof place, "x=\"%d\" y=\"%d\"", TALL_TEXT + 14, outside ? y : y + 15);
        fate_text(page, lane, place);
    }
    html_print(page, "</g>\n");
}

static void tall_port(const struct html *page, const struct port *port, int y)
{
    html_print(page, "<g><title>");
    html_text(page, port->name);
    html_print(page,
               "</title><rect class=\"port\" x=\"31\" y=\"%d\" width=\"56\" height=\"12\" rx=\"4\"/>\n"
               "<text class=\"name\" x=\"%d\" y=\"%d\">",
               y - 6, TALL_TEXT, y + 5);
    html_cut(page, port->interface, 14);
    if (port->missed > 0) {
        html_print(page, "<tspan class=\"note\" dx=\"8\">");
        html_count(page, port->missed);
        html_print(page, " missed</tspan>");
    }
    html_print(page, "</text></g>\n");
}

static void draw_tall(const struct html *page, const struct picture *picture)
{
    size_t n = picture->port_count;
    int height = tall_y(n - 1) + TALL_END;
    html_print(page,
               "<svg class=\"picture tall%s\" viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-labelledby=\"picture-text\">\n",
               n > WIDE_MOST_PORTS ? " only" : "", TALL_WIDTH, height);
    for (size_t i = 0; i < picture->box_count; i++)
        tall_box(page, picture, &picture->boxes[i]);
    html_print(page,
               "<text class=\"end\" x=\"%d\" y=\"16\" text-anchor=\"end\">before</text>"
               "<text class=\"end\" x=\"%d\" y=\"%d\" text-anchor=\"end\">beyond</text>\n",
               TALL_WIDTH - 10, TALL_WIDTH - 10, height - 8);
    for (size_t k = 0; k <= n; k++)
        for (int d = 0; d < 2; d++)
            tall_lane(page, &picture->lanes[k][d], k == 0 ? 4 : tall_y(k - 1),
                      k == n ? height - 4 : tall_y(k), d, k == 0 || k == n);
    for (size_t i = 0; i < n; i++)
        tall_port(page, &picture->ports[i], tall_y(i));
    html_print(page, "</svg>\n");
}

/* ---- the section ---- */

/* The same in words, for those who do not see it. */
static void describe(const struct html *page, const struct picture *picture)
{
    html_print(page, "<p id=\"picture-text\" class=\"unseen\">The path, near end first: ");
    for (size_t i = 0; i < picture->port_count; i++) {
        html_print(page, "%s", i ? ", " : "");
        html_text(page, picture->ports[i].name);
    }
    html_print(page, ".");
    size_t i;
    const json_t *finding;
    json_array_foreach(json_object_get(page->document, "findings"), i, finding)
    {
        html_print(page, " Finding %zu: ", i + 1);
        html_text(page, doc_text(finding, "code"));
        html_print(page, " ");
        html_place(page, finding);
        html_print(page, ", ");
        html_text(page, doc_text(finding, "direction"));
        html_print(page, ".");
    }
    html_print(page, "</p>\n");
}

int html_path(const struct html *page)
{
    struct picture picture;
    int code = picture_gather(page->document, &picture);
    if (code)
        return code;
    html_print(page, "<section id=\"path\">\n<h2>Path</h2>\n");
    describe(page, &picture);
    if (picture.port_count > 0) {
        html_print(page, "<div class=\"scroll\" tabindex=\"0\">\n");
        if (picture.port_count <= WIDE_MOST_PORTS)
            draw_wide(page, &picture);
        draw_tall(page, &picture);
        html_print(page, "</div>\n");
    }
    html_print(page,
               "<p class=\"hint\">A box is a host, a bar a vantage point. Forward traffic runs %s</p>\n",
               "from the first vantage point to the last, reverse the other way.");
    html_print(page, "</section>\n");
    picture_free(&picture);
    return DP_OK;
}
