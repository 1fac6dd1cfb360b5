/* Whether a flow that is rewritten on the way can be recognised behind the host that does so. */
#include <stdlib.h>

#include "tests/bench/campaign_sim/sim.h"

enum { ENOUGH_BYTES = 16, MOST_OPTIONS = 20 };

/* What one vantage point recorded of one flow. */
struct trace {
    bool any, syn[2], data[2];  /* data: of which a part was captured */
    uint64_t first[2], last[2]; /* positions of payload */
};

struct pairing {
    uint32_t points;
    struct trace traces[]; /* by flow and point */
};

/* Whether the snap length left the options of a SYN, or the first bytes of payload. */
bool point_shows_options(const struct sim *s, uint32_t point)
{
    return captured_behind_tcp(&s->c, point, MOST_OPTIONS) == MOST_OPTIONS;
}

bool point_shows_payload(const struct sim *s, uint32_t point)
{
    return captured_behind_tcp(&s->c, point, MOST_OPTIONS + ENOUGH_BYTES) == MOST_OPTIONS + ENOUGH_BYTES;
}

static void add(struct trace *t, const struct record *r, bool payload)
{
    t->any = true;
    t->syn[r->half] = t->syn[r->half] || (r->flags & DP_TCP_SYN);
    if (r->len < ENOUGH_BYTES || !payload)
        return;
    if (!t->data[r->half] || r->seq < t->first[r->half])
        t->first[r->half] = r->seq;
    if (!t->data[r->half] || r->seq + r->len > t->last[r->half])
        t->last[r->half] = r->seq + r->len;
    t->data[r->half] = true;
}

struct pairing *pairing_new(const struct sim *s)
{
    uint32_t points = s->c.points;
    struct pairing *p = calloc(1, sizeof *p + (size_t)s->flow_count * points * sizeof(struct trace));
    if (!p)
        return NULL;
    p->points = points;
    for (uint32_t i = 0; i < points; i++) {
        bool payload = point_shows_payload(s, i);
        for (size_t k = 0; k < s->point[i].count; k++)
            add(&p->traces[s->point[i].records[k].flow * points + i], &s->point[i].records[k], payload);
    }
    return p;
}

static bool same_end(struct endpoint a, struct endpoint b)
{
    return a.net == b.net && a.host == b.host && a.port == b.port;
}

/* An expert has: the same addresses and ports; else the same initial sequence number, or time stamps in the
 * SYN; else the same payload. Of a flow that was never seen on one side there is nothing to recognise. */
bool pairing_possible(const struct pairing *p, const struct sim *s, uint32_t flow, uint32_t stretch)
{
    const struct flow_sim *f = &s->flows[flow];
    if (stretch <= f->low || stretch > f->high)
        return true;
    const struct trace *a = &p->traces[flow * p->points + stretch - 1], *b = a + 1;
    const struct view *x = &f->view[stretch - 1], *y = &f->view[stretch];
    if (!a->any || !b->any || (same_end(x->end[0], y->end[0]) && same_end(x->end[1], y->end[1])))
        return true;
    bool options = point_shows_options(s, stretch - 1) && point_shows_options(s, stretch);
    for (int half = 0; half < 2; half++) {
        bool numbers = x->seq[half] == y->seq[half];
        bool stamps = f->timestamps && options && x->ts[half] == y->ts[half];
        if (a->syn[half] && b->syn[half] && (numbers || stamps))
            return true;
        if (a->data[half] && b->data[half] && a->first[half] < b->last[half] &&
            b->first[half] < a->last[half])
            return true;
    }
    return false;
}
