/* What the picture of the path shows, gathered from the document; html_path.c draws it. */
#ifndef DROPPOINT_COLLECTOR_REPORT_HTML_PICTURE_H
#define DROPPOINT_COLLECTOR_REPORT_HTML_PICTURE_H

#include "collector/report/html_internal.h"

/* One direction of a segment, or of the world before or beyond the path. */
struct lane {
    bool measured; /* a segment's: packets and the like are known */
    long long packets, lost, unknown;
    const json_t *finding; /* the worst that lies here; NULL: none */
    size_t finding_number; /* from 1 */
};

/* A vantage point. */
struct port {
    const char *name;
    const char *interface; /* "" where the name has none */
    size_t host_len;       /* of the name: its host */
    size_t box;            /* index of the host's box */
    long long missed, dropped;
};

/* A host: neighbouring vantage points of the same one. */
struct box {
    size_t first, last; /* ports */
};

struct picture {
    size_t port_count, box_count;
    struct port *ports;
    struct box *boxes;
    struct lane (*lanes)[2]; /* [k]: between port k - 1 and port k; [0] before, [port_count] beyond; forward,
                                reverse */
};

/* DP_ERR_NOMEM. */
int picture_gather(const json_t *document, struct picture *ret_picture) DP_MUST_CHECK;
void picture_free(struct picture *picture);

#endif
