/* Hosts on the way that rewrite what passes them, and how the vantage points see a flow because of them. */
#include "tests/bench/campaign_sim/sim.h"

enum { NET_CLIENT_AS = 16, NET_SERVER_AS = 32, OTHER_PORT = 10000 };

bool syn_proxy_at(const struct sim *s, const struct flow_sim *f, uint32_t stretch)
{
    return s->c.syn_proxy.on && !f->udp && s->c.syn_proxy.stretch == stretch && f->low < stretch &&
           stretch <= f->high;
}

/* All that rewrite, in the order of the path; the one host of a plain case among them. */
static uint32_t collect(const struct sim *s, const struct flow_sim *f, struct rewriter ret[MAX_POINTS])
{
    uint32_t n = 0;
    if (s->c.nat && f->low < s->c.nat_stretch && s->c.nat_stretch <= f->high)
        ret[n++] = (struct rewriter){.stretch = s->c.nat_stretch,
                                     .what = s->c.nat == 1 ? REWRITE_CLIENT | REWRITE_CLIENT_PORT
                                                           : REWRITE_SERVER | REWRITE_SERVER_PORT};
    for (uint32_t i = 0; i < s->c.rewriters && n < MAX_POINTS; i++)
        if (f->low < s->c.rewriter[i].stretch && s->c.rewriter[i].stretch <= f->high)
            ret[n++] = s->c.rewriter[i];
    return n;
}

static uint32_t constant(const struct sim *s, uint32_t flow, uint32_t stretch, uint32_t purpose)
{
    return (uint32_t)mix(mix(s->c.seed * 7919 + flow) + stretch * 64 + purpose);
}

/* Behind one host more, seen from the end that the numbers and addresses belong to. */
static void pass_host(const struct sim *s, uint32_t flow, int side, const struct rewriter *r, struct view *v)
{
    const struct flow_sim *f = &s->flows[flow];
    uint32_t what = r->what;
    bool here = what & (side ? REWRITE_SERVER : REWRITE_CLIENT);
    uint8_t host = side == 0 ? 5 : f->server_addr;
    if (here) {
        uint8_t net = (uint8_t)((side ? NET_SERVER_AS : NET_CLIENT_AS) + r->stretch);
        v->end[side].net = net;
        v->end[side].host = (uint8_t)(side == 0 && f->client_far ? host + 100 : host);
    }
    if (side == 0 && (what & REWRITE_CLIENT_PORT))
        v->end[0].port = (uint16_t)(1024 + (flow + 97 * r->stretch) * 53 % 60000);
    if (side == 1 && (what & REWRITE_SERVER_PORT))
        v->end[1].port = f->server_port;
    if (what & (side ? REWRITE_SEQ_SERVER : REWRITE_SEQ_CLIENT))
        v->seq[side] += constant(s, flow, r->stretch, (uint32_t)side);
    if (what & REWRITE_TIMESTAMPS)
        v->ts[side] += constant(s, flow, r->stretch, 2 + (uint32_t)side);
    if (what & REWRITE_MSS_DOWN)
        v->mss[side] = v->mss[side] < r->mss ? v->mss[side] : r->mss;
    if (what & REWRITE_MSS_UP)
        v->mss[side] = 8960;
    if (what & REWRITE_NO_TIMESTAMPS)
        v->timestamps[side] = false;
    if (what & REWRITE_NO_SACK)
        v->sack[side] = false;
}

static void pass_syn_proxy(const struct sim *s, uint32_t flow, int side, struct view *v)
{
    if (side == 0) {
        v->timestamps[0] = v->timestamps[0] && s->c.syn_proxy.timestamps;
        return;
    }
    v->seq[1] += constant(s, flow, s->c.syn_proxy.stretch, 4);
    if (s->flows[flow].timestamps)
        v->ts[1] += constant(s, flow, s->c.syn_proxy.stretch, 5);
    v->mss[1] = s->c.syn_proxy.mss;
    v->wscale[1] = s->c.syn_proxy.wscale;
}

/* From the end that `side` is, outwards. */
static void walk(struct sim *s, uint32_t flow, int side, const struct rewriter *all, uint32_t count,
                 const struct view *begin)
{
    struct flow_sim *f = &s->flows[flow];
    bool near = (side == 0) != f->client_far;
    struct view v = *begin;
    for (uint32_t k = 0; k <= (uint32_t)(f->high - f->low); k++) {
        uint32_t point = near ? f->low + k : f->high - k;
        uint32_t stretch = near ? point : point + 1; /* that was passed to get here */
        for (uint32_t i = 0; i < count && k; i++)
            if (all[i].stretch == stretch)
                pass_host(s, flow, side, &all[i], &v);
        if (k && syn_proxy_at(s, f, stretch))
            pass_syn_proxy(s, flow, side, &v);
        struct view *at = &f->view[point];
        at->end[side] = v.end[side];
        at->seq[side] = v.seq[side];
        at->ts[side] = v.ts[side];
        at->mss[side] = v.mss[side];
        at->wscale[side] = v.wscale[side];
        at->timestamps[side] = v.timestamps[side];
        at->sack[side] = v.sack[side];
    }
}

/* What both ends use, after all that the SYNs went through. */
static void negotiate(struct sim *s, struct flow_sim *f, const struct rewriter *all, uint32_t count)
{
    uint16_t most = (uint16_t)f->mss;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t what = all[i].what;
        if ((what & REWRITE_MSS_DOWN) && all[i].mss < most)
            most = all[i].mss;
        f->timestamps = f->timestamps && !(what & REWRITE_NO_TIMESTAMPS);
        f->sack = f->sack && !(what & REWRITE_NO_SACK);
        bool removed = (s->c.timestamps && (what & REWRITE_NO_TIMESTAMPS)) ||
                       (s->c.sack && (what & REWRITE_NO_SACK)) || (what & REWRITE_MSS_UP);
        if (removed && !f->udp)
            s->options_removed |= 1u << all[i].stretch;
    }
    if (syn_proxy_at(s, f, s->c.syn_proxy.stretch)) {
        bool other = (f->timestamps && !s->c.syn_proxy.timestamps) || s->c.syn_proxy.mss > most;
        s->options_answered |= other ? 1u << s->c.syn_proxy.stretch : 0;
        f->timestamps = f->timestamps && s->c.syn_proxy.timestamps;
        if (s->c.syn_proxy.mss < most)
            most = s->c.syn_proxy.mss;
    }
    f->mss = most - (f->timestamps ? 12u : 0);
}

/* The flow's own fields say how it is at its ends: mss as its SYN announces it. */
void rewrite_flow(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    struct rewriter all[MAX_POINTS];
    uint32_t count = collect(s, f, all);
    uint16_t port = f->server_port;
    for (uint32_t i = 0; i < count; i++)
        if (all[i].what & REWRITE_SERVER_PORT)
            port = (uint16_t)(f->server_port + OTHER_PORT);
    f->timestamps = s->c.timestamps;
    f->sack = s->c.sack;
    struct view v = {.end = {f->at_client, f->at_server},
                     .mss = {(uint16_t)f->mss, (uint16_t)f->mss},
                     .wscale = {WINDOW_SCALE, WINDOW_SCALE}};
    v.end[1].port = port;
    negotiate(s, f, all, count);
    /* The answer to a SYN has what that had. */
    v.timestamps[0] = s->c.timestamps;
    v.timestamps[1] = f->timestamps;
    v.sack[0] = s->c.sack;
    v.sack[1] = f->sack;
    walk(s, flow, 0, all, count, &v);
    walk(s, flow, 1, all, count, &v);
}

/* What changes in the packet itself on its way. */
void rewrite_packet(struct sim *s, struct packet *p, uint32_t stretch)
{
    const struct flow_sim *f = &s->flows[p->flow];
    for (uint32_t i = 0; i < s->c.rewriters; i++) {
        const struct rewriter *r = &s->c.rewriter[i];
        if (r->stretch != stretch || stretch <= f->low || stretch > f->high)
            continue;
        if (r->what & REWRITE_TTL)
            p->ttl = r->ttl;
        if (r->what & REWRITE_IP_ID_ZERO)
            p->ip_id = 0;
        if (r->what & REWRITE_IP_ID)
            p->ip_id = (uint16_t)rng_next(&s->rng_path);
        if (r->what & REWRITE_DSCP)
            p->tos = (uint8_t)((p->tos & 3) | r->dscp << 2);
        if (r->what & REWRITE_ECN)
            p->tos &= 0xfc;
    }
}
