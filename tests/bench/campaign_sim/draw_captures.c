/* Draws what goes beyond the plain kinds in captures, in what is around packets, and in traffic. */
#include "tests/bench/campaign_sim/config.h"
#include "tests/bench/campaign_sim/random.h"

void draw_tunnel(struct config *c, enum tunnel_kind kind, uint32_t first, uint32_t last)
{
    struct rng r = rng_of(c->seed, 71 + c->tunnels);
    struct tunnel t = {.kind = kind, .first = first, .last = last};
    t.variant = (uint8_t)rng_below(&r, 4);
    t.ipv6 = rng_chance(&r, 0.25);
    if (t.kind < TUNNEL_VXLAN)
        t.ipv6 = c->ipv6; /* of what comes next where that is the packet itself */
    struct tunnel *outer = &c->tunnel[0];
    bool bare = c->tunnels && (outer->kind == TUNNEL_PPPOE || outer->kind == TUNNEL_IPIP);
    if (bare && kind < TUNNEL_VXLAN) { /* these carry no frames */
        if (kind == TUNNEL_PPPOE && outer->kind == TUNNEL_PPPOE)
            return;
        c->tunnel[1] = *outer;
        *outer = t;
    } else {
        c->tunnel[c->tunnels] = t;
    }
    c->tunnels++;
}

static void draw_tunnels(struct config *c, struct rng *r)
{
    bool any = rng_chance(r, 0.12), two = rng_chance(r, 0.25);
    for (int i = 0; i < (two ? 2 : 1); i++) {
        uint32_t a = (uint32_t)rng_below(r, c->points), b = (uint32_t)rng_below(r, c->points);
        enum tunnel_kind kind = (enum tunnel_kind)rng_below(r, TUNNEL_KINDS);
        if (any)
            draw_tunnel(c, kind, a < b ? a : b, a < b ? b : a);
    }
}

/* From just the TCP header on. */
static void draw_snaps(struct config *c, struct rng *r)
{
    static const uint32_t usual[] = {64, 68, 80, 96, 128, 160, 200};
    bool any = rng_chance(r, 0.1);
    for (uint32_t i = 0; i < c->points; i++) {
        uint32_t snap = usual[rng_below(r, 7)], least = tunnel_overhead(c, i) + (c->ipv6 ? 60 : 40);
        if (rng_chance(r, 0.6) && any)
            c->point[i].snap = snap < least ? least : snap;
    }
}

/* No capture has a handshake of any connection. */
static void draw_midway(struct config *c, struct rng *r)
{
    double from = 0.2 + 0.15 * rng_unit(r);
    if (!rng_chance(r, 0.06))
        return;
    c->midway = true;
    c->start_span = 0.15;
    c->bytes *= 2;
    for (uint32_t i = 0; i < c->points; i++)
        c->point[i].from_ns = (int64_t)((from + 0.01 * rng_unit(r)) * (double)c->duration_ns);
}

static void draw_twice(struct config *c, struct rng *r)
{
    bool any = rng_chance(r, 0.06);
    uint32_t one = (uint32_t)rng_below(r, c->points);
    for (uint32_t i = 0; i < c->points; i++) {
        c->point[i].twice = any && (i == one || rng_chance(r, 0.2));
        c->point[i].twice_ns = (int64_t)rng_log(r, 300, 20e3);
    }
}

static void draw_steps(struct config *c, struct rng *r)
{
    bool any = rng_chance(r, 0.06);
    uint32_t one = (uint32_t)rng_below(r, c->points);
    for (uint32_t i = 0; i < c->points; i++) {
        double size = rng_log(r, 0.5e6, 2e9), sign = rng_chance(r, 0.5) ? 1 : -1;
        c->point[i].step_at_ns = (int64_t)((0.1 + 0.7 * rng_unit(r)) * (double)c->duration_ns);
        if (any && (i == one || rng_chance(r, 0.1)))
            c->point[i].step_ns = (int64_t)(sign * size);
    }
}

static void draw_amounts(struct config *c, struct rng *r)
{
    bool many = rng_chance(r, 0.03), thin = rng_chance(r, 0.03);
    uint32_t flows = (uint32_t)rng_between(r, 250, MAX_FLOWS);
    uint64_t bytes = (uint64_t)rng_log(r, 300, 4000);
    double rate = rng_log(r, 0.0005, 0.003), losses = (double)rng_between(r, 4, 15);
    if (many) {
        c->many = true;
        c->flows = flows;
        c->bytes = flows * bytes;
    } else if (thin && c->fault != FAULT_NONE && !fault_of_proxy(c->fault)) {
        c->thin = true;
        c->fault = FAULT_RANDOM;
        c->fault_from_ns = 0;
        c->fault_rate = rate;
        c->udp_share = 0;
        c->bytes = (uint64_t)fmin(losses / rate * 1400, 15e6);
    }
}

void draw_captures(struct config *c)
{
    static void (*const draws[])(struct config *, struct rng *) = {draw_tunnels, draw_snaps, draw_midway,
                                                                   draw_twice,   draw_steps, draw_amounts};
    for (size_t i = 0; i < sizeof draws / sizeof draws[0]; i++) {
        struct rng r = rng_of(c->seed, 63 + i);
        draws[i](c, &r);
    }
}
