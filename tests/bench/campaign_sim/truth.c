/* What really happened, and what of it the contract makes certain. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

void truth_lost(struct sim *s, const struct packet *p, uint32_t stretch, int64_t expected_ns)
{
    struct loss *items = grow(s, s->losses, &s->loss_room, s->loss_count + 1, sizeof *items);
    if (!items)
        return;
    s->losses = items;
    items[s->loss_count++] = (struct loss){s->now,           expected_ns,         p->seq,    p->flow, p->len,
                                           p->last_record,   packet_ip_len(s, p), p->flags,  p->half, p->dir,
                                           (uint8_t)stretch, p->last_point,       p->missed, false};
    const struct flow_sim *f = &s->flows[p->flow];
    items[s->loss_count - 1].unsure =
        p->len == 0 && f->syn_stage != SYN_THROUGH && syn_proxy_at(s, f, stretch);
    s->truth[stretch][p->dir].lost++;
}

static uint32_t stretch_behind(uint32_t point, int dir)
{
    return dir == TO_FAR ? point + 1 : point;
}

/* A packet that was not recorded behind some point although it passed: it may look lost there. */
static void may_look_lost(struct sim *s, uint8_t last_point, int dir, uint32_t len, bool provable)
{
    if (last_point == NO_POINT)
        return;
    struct place_truth *t = &s->truth[stretch_behind(last_point, dir)][dir];
    t->packets.most++;
    t->bytes.most += len;
    if (!provable)
        t->unprovable++;
}

void truth_delivered(struct sim *s, const struct packet *p)
{
    bool carries = !s->flows[p->flow].udp && (p->len || (p->flags & (DP_TCP_SYN | DP_TCP_FIN)));
    if (p->missed)
        may_look_lost(s, p->last_point, p->dir, p->len, carries);
}

/* From when to when a capture is known to have run. */
static void known_window(const struct sim *s, uint32_t point, int64_t *ret_from, int64_t *ret_to)
{
    const struct point_config *c = &s->c.point[point];
    const struct point_sim *p = &s->point[point];
    if (c->window_told) {
        *ret_from = c->from_ns;
        *ret_to = c->to_ns;
    } else if (p->count) {
        *ret_from = p->records[0].t_ns;
        *ret_to = p->records[p->count - 1].t_ns;
    } else {
        *ret_from = *ret_to = 0;
    }
}

bool truth_known_to_capture(const struct sim *s, uint32_t point, int64_t t)
{
    int64_t from, to, margin = 5 * MS, step = 0;
    known_window(s, point, &from, &to);
    for (uint32_t i = 0; i < s->c.points; i++)
        step = llabs(s->c.point[i].step_ns) > step ? llabs(s->c.point[i].step_ns) : step;
    margin += step;
    return t >= from + margin && t < to - margin;
}

static void settle_inner(struct sim *s, const struct loss *x, const struct pairing *pairing,
                         uint8_t *const *counted)
{
    struct place_truth *t = &s->truth[x->stretch][x->dir];
    uint32_t up = x->dir == TO_FAR ? x->stretch - 1u : x->stretch;
    uint32_t down = x->dir == TO_FAR ? x->stretch : x->stretch - 1u;
    enum miss_mode miss = s->c.point[down].miss;
    bool seen = x->last_point == up;
    bool certain = seen && !x->unsure && pairing_possible(pairing, s, x->flow, x->stretch) &&
                   truth_known_to_capture(s, down, x->expected_ns) && miss != MISS_COUNTED &&
                   miss != MISS_GAPS;
    if (!seen) {
        may_look_lost(s, x->last_point, x->dir, x->len, true);
        t->packets.most++;
        t->bytes.most += x->len;
        return;
    }
    uint8_t *mark = &counted[up][x->record];
    uint32_t copies = s->c.point[up].twice ? 2 : 1;
    t->packets.most += *mark == 0 ? copies : 0;
    t->packets.least += certain && *mark < 2;
    *mark = certain ? 2 : *mark ? *mark : 1;
    t->bytes.most += (uint64_t)x->len * copies;
    t->bytes.least += certain ? x->len : 0;
}

static bool at_edge(const struct sim *s, const struct loss *x)
{
    const struct flow_sim *f = &s->flows[x->flow];
    return x->stretch == f->low || x->stretch == f->high + 1u;
}

/* Whether retransmissions past the last point of the connection, or holes at the first one, show the loss. */
static bool shows(const struct sim *s, const struct loss *x)
{
    const struct flow_sim *f = &s->flows[x->flow];
    bool outward = x->stretch == last_stretch(f, x->dir);
    uint32_t point = x->stretch == f->low ? f->low : f->high;
    const struct point_sim *p = &s->point[point];
    bool overtaken = outward;
    if (x->len == 0 && !(x->flags & DP_TCP_SYN))
        return false;
    if (outward && x->last_point != point)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        const struct record *r = &p->records[i];
        if (r->t_ns < x->t_ns || r->flow != x->flow || r->half != x->half || r->t_ns == x->t_ns)
            continue;
        if (r->again)
            continue;
        if (r->seq >= x->seq + x->len && r->len)
            overtaken = true;
        else if (r->seq < x->seq + x->len + 1 && r->seq + r->len >= x->seq + x->len &&
                 (r->len || x->len == 0))
            return overtaken;
    }
    return false;
}

void truth_settle(struct sim *s)
{
    uint8_t *counted[MAX_POINTS] = {0};
    struct pairing *pairing = pairing_new(s);
    s->failed = s->failed || !pairing;
    for (uint32_t i = 0; i < s->c.points; i++) {
        counted[i] = calloc(s->point[i].count + 1, 1);
        s->failed = s->failed || !counted[i];
    }
    uint32_t looked = 0;
    for (size_t i = 0; i < s->loss_count && !s->failed; i++) {
        const struct loss *x = &s->losses[i];
        struct place_truth *t = &s->truth[x->stretch][x->dir];
        t->data_lost += x->len > 0;
        if (at_edge(s, x)) {
            if (looked++ < 300)
                t->evident += shows(s, x);
            t->packets.most += stretch_between(&s->c, x->stretch);
            t->bytes.most += stretch_between(&s->c, x->stretch) ? x->len : 0;
        } else {
            settle_inner(s, x, pairing, counted);
        }
    }
    for (uint32_t i = 0; i < s->c.points; i++)
        free(counted[i]);
    free(pairing);
    proxy_settle(s);
}
