#include "collector/report/html_picture.h"

#include <stdlib.h>
#include <string.h>

static void gather_port(const json_t *vantage, struct port *port)
{
    *port = (struct port){.name = doc_text(vantage, "name"),
                          .missed = doc_number(vantage, "missed"),
                          .dropped = doc_number(vantage, "capture_dropped")};
    port->host_len = strcspn(port->name, "/");
    port->interface = port->name[port->host_len] == '/' ? port->name + port->host_len + 1 : "";
}

static bool same_host(const struct port *a, const struct port *b)
{
    return a->host_len == b->host_len && memcmp(a->name, b->name, a->host_len) == 0;
}

static void gather_boxes(struct picture *picture)
{
    for (size_t i = 0; i < picture->port_count; i++) {
        if (i == 0 || !same_host(&picture->ports[i], &picture->ports[i - 1]))
            picture->boxes[picture->box_count++].first = i;
        picture->ports[i].box = picture->box_count - 1;
        picture->boxes[picture->box_count - 1].last = i;
    }
}

static void gather_segment(const json_t *segment, struct lane lanes[2])
{
    static const char *const directions[] = {"forward", "reverse"};
    for (int d = 0; d < 2; d++) {
        const json_t *side = json_object_get(segment, directions[d]);
        lanes[d].measured = true;
        lanes[d].packets = doc_number(side, "packets");
        lanes[d].lost = doc_number(side, "lost_packets");
        lanes[d].unknown = doc_number(side, "unknown_packets");
    }
}

/* Number of the port of this name; `otherwise` where there is none. */
static size_t port_named(const struct picture *picture, const char *name, size_t otherwise)
{
    for (size_t i = 0; i < picture->port_count; i++)
        if (strcmp(picture->ports[i].name, name) == 0)
            return i;
    return otherwise;
}

/* Findings come worst first: the first one in a lane stays. One may lie somewhere in several segments. */
static void gather_finding(struct picture *picture, const json_t *finding, size_t number)
{
    const char *from = doc_text(finding, "from"), *to = doc_text(finding, "to");
    size_t first = strcmp(from, "before") == 0 ? 0 : port_named(picture, from, picture->port_count) + 1;
    size_t last = strcmp(to, "beyond") == 0 ? picture->port_count : port_named(picture, to, 0);
    int direction = strcmp(doc_text(finding, "direction"), "reverse") == 0;
    for (size_t k = first; k <= last && k <= picture->port_count; k++) {
        struct lane *lane = &picture->lanes[k][direction];
        if (lane->finding)
            continue;
        lane->finding = finding;
        lane->finding_number = number;
        if (!lane->measured)
            lane->lost = doc_number(finding, "lost_packets");
    }
}

int picture_gather(const json_t *document, struct picture *ret_picture)
{
    const json_t *vantages = json_object_get(document, "vantages"), *value;
    size_t i, count = json_array_size(vantages);
    struct picture picture = {.port_count = count,
                              .ports = calloc(count + 1, sizeof *picture.ports),
                              .boxes = calloc(count + 1, sizeof *picture.boxes),
                              .lanes = calloc(count + 1, sizeof *picture.lanes)};
    if (!picture.ports || !picture.boxes || !picture.lanes) {
        picture_free(&picture);
        return DP_ERR_NOMEM;
    }
    json_array_foreach(vantages, i, value)
    {
        gather_port(value, &picture.ports[i]);
    }
    gather_boxes(&picture);
    json_array_foreach(json_object_get(document, "segments"), i, value)
    {
        if (i + 1 < count)
            gather_segment(value, picture.lanes[i + 1]);
    }
    json_array_foreach(json_object_get(document, "findings"), i, value)
    {
        gather_finding(&picture, value, i + 1);
    }
    *ret_picture = picture;
    return DP_OK;
}

void picture_free(struct picture *picture)
{
    free(picture->ports);
    free(picture->boxes);
    free(picture->lanes);
    *picture = (struct picture){0};
}
