/* Draws what goes beyond the plain kinds of a case: hosts that rewrite, proxies. Each from numbers of its
 * own, so that a case without them is the plain one. */
#include "tests/bench/campaign_sim/config.h"
#include "tests/bench/campaign_sim/random.h"

const char *const dimension_names[DIMENSIONS] = {
    "plain",       "nat", "nat row", "sequence", "fields", "timestamps", "syn proxy",  "proxy", "header",
    "transparent", "tls", "tunnel",  "snap",     "midway", "twice",      "clock step", "many",  "few losses"};
const char *const rewrite_names[REWRITE_KINDS] = {
    "client", "client-port", "server",    "server-port",   "seq-client", "seq-server", "mss-down", "mss-up",
    "ttl",    "ip-id-zero",  "ip-id-new", "no-timestamps", "timestamps", "no-sack",    "dscp",     "ecn"};

bool stretch_between(const struct config *c, uint32_t stretch)
{
    return stretch > 0 && stretch < c->points;
}

static uint32_t draw_what(struct rng *r)
{
    static const struct {
        uint32_t what;
        double chance;
    } kinds[] = {
        {REWRITE_CLIENT | REWRITE_CLIENT_PORT, 0.25},
        {REWRITE_CLIENT, 0.12},
        {REWRITE_SERVER, 0.15},
        {REWRITE_SERVER | REWRITE_SERVER_PORT, 0.1},
        {REWRITE_SEQ_CLIENT, 0.1},
        {REWRITE_SEQ_SERVER, 0.1},
        {REWRITE_SEQ_CLIENT | REWRITE_SEQ_SERVER, 0.05},
        {REWRITE_MSS_DOWN, 0.2},
        {REWRITE_MSS_UP, 0.02},
        {REWRITE_TTL, 0.1},
        {REWRITE_IP_ID_ZERO, 0.1},
        {REWRITE_IP_ID, 0.08},
        {REWRITE_NO_TIMESTAMPS, 0.06},
        {REWRITE_TIMESTAMPS, 0.1},
        {REWRITE_NO_SACK, 0.03},
        {REWRITE_DSCP, 0.15},
        {REWRITE_ECN, 0.08},
    };
    uint32_t what = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (rng_chance(r, kinds[i].chance))
            what |= kinds[i].what;
    return what ? what : REWRITE_CLIENT | REWRITE_CLIENT_PORT;
}

static void draw_rewriters(struct config *c, struct rng *r)
{
    bool any = rng_chance(r, 0.28), many = rng_chance(r, 0.4);
    uint32_t inner = c->points - 1, most = many ? inner : 1, count = 0;
    if (!any || inner == 0)
        return;
    c->nat = 0;
    for (uint32_t left = inner, stretch = 1; stretch <= inner; stretch++, left--) {
        bool here = rng_below(r, left) < most - count;
        uint32_t what = draw_what(r);
        static const uint8_t ttls[] = {60, 64, 128, 255};
        struct rewriter x = {.stretch = stretch,
                             .what = what,
                             .mss = (uint16_t)rng_between(r, 900, 1400),
                             .ttl = ttls[rng_below(r, 4)],
                             .dscp = (uint8_t)rng_below(r, 64)};
        if (here && count < most) {
            c->rewriter[c->rewriters++] = x;
            count++;
        }
    }
}

static void take_place(struct config *c, uint32_t stretch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->rewriters; i++)
        if (c->rewriter[i].stretch != stretch)
            c->rewriter[kept++] = c->rewriter[i];
    c->rewriters = kept;
    if (c->nat_stretch == stretch)
        c->nat = 0;
    for (uint32_t i = stretch - 1; i <= stretch; i++) /* it is no way around a proxy */
        c->point[i].bypassed[0] = c->point[i].bypassed[1] = false;
}

void draw_syn_proxy(struct config *c, uint32_t stretch)
{
    struct rng r = rng_of(c->seed, 61);
    take_place(c, stretch);
    c->syn_proxy = (struct syn_proxy_config){.on = true,
                                             .timestamps = rng_chance(&r, 0.6),
                                             .stretch = stretch,
                                             .mss = (uint16_t)rng_between(&r, 1200, 1460),
                                             .wscale = (uint8_t)rng_between(&r, 5, 10)};
    if (rng_chance(&r, 0.75)) /* as the servers behind it have: then no window field need be rewritten */
        c->syn_proxy.wscale = WINDOW_SCALE;
}

void draw_proxy(struct config *c, uint32_t stretch)
{
    struct rng r = rng_of(c->seed, 62);
    take_place(c, stretch);
    c->syn_proxy.on = c->syn_proxy.on && c->syn_proxy.stretch != stretch;
    struct proxy_config *p = &c->proxy;
    *p = (struct proxy_config){.on = true, .stretch = stretch, .share = 1};
    int tls = 1 + (int)rng_below(&r, 2), header = 1 + (int)rng_below(&r, 2);
    p->tls = rng_chance(&r, 0.2) ? tls : 0;
    p->header = rng_chance(&r, 0.35) ? header : 0;
    p->transparent = rng_chance(&r, 0.15);
    p->late_connect = rng_chance(&r, 0.2);
    p->ends_by_fin = rng_chance(&r, 0.4);
    p->offload = rng_chance(&r, 0.5);
    double share = rng_unit(&r);
    p->share = rng_chance(&r, 0.25) ? share : 1;
    p->buffer = (uint32_t)rng_log(&r, 20e3, 400e3);
    p->delay_ns = (int64_t)rng_log(&r, 5e3, 2e6);
    p->swallows_all = rng_chance(&r, 0.3);
    bool inside = rng_chance(&r, 0.35);
    enum fault_kind fault = (enum fault_kind)rng_between(&r, FAULT_SWALLOW, FAULT_DEAD);
    if (!inside || c->fault == FAULT_NONE)
        return;
    c->fault = fault;
    c->fault_stretch = stretch;
    c->fault_from_ns = (int64_t)((0.05 + 0.6 * rng_unit(&r)) * (double)c->duration_ns);
    if (fault != FAULT_SWALLOW)
        p->share = 1;
}

void draw_dimensions(struct config *c)
{
    struct rng r = rng_of(c->seed, 60);
    draw_rewriters(c, &r);
    bool syn_proxy = rng_chance(&r, 0.05), proxy = rng_chance(&r, 0.15);
    uint32_t first = 1 + (uint32_t)rng_below(&r, c->points - 1),
             second = 1 + (uint32_t)rng_below(&r, c->points - 1);
    if (c->points < 2)
        return;
    if (syn_proxy)
        draw_syn_proxy(c, first);
    if (proxy)
        draw_proxy(c, second);
}

static void look_at_captures(const struct config *c, bool is[DIMENSIONS])
{
    for (uint32_t i = 0; i < c->points; i++) {
        is[DIMENSION_SNAP] = is[DIMENSION_SNAP] || c->point[i].snap;
        is[DIMENSION_TWICE] = is[DIMENSION_TWICE] || c->point[i].twice;
        is[DIMENSION_STEP] = is[DIMENSION_STEP] || c->point[i].step_ns;
    }
    is[DIMENSION_TUNNEL] = c->tunnels > 0;
    is[DIMENSION_MIDWAY] = c->midway;
    is[DIMENSION_MANY] = c->many;
    is[DIMENSION_THIN] = c->thin;
}

uint32_t config_dimensions(const struct config *c)
{
    uint32_t bits = 0, addresses = 0, what = 0;
    for (uint32_t i = 0; i < c->rewriters; i++) {
        what |= c->rewriter[i].what;
        addresses += (c->rewriter[i].what & (REWRITE_CLIENT | REWRITE_SERVER)) != 0;
    }
    addresses += c->nat != 0;
    bool is[DIMENSIONS] = {
        [DIMENSION_NAT] = addresses > 0,
        [DIMENSION_NAT_ROW] = addresses > 1,
        [DIMENSION_SEQUENCE] = what & (REWRITE_SEQ_CLIENT | REWRITE_SEQ_SERVER),
        [DIMENSION_FIELDS] = what & (REWRITE_MSS_DOWN | REWRITE_MSS_UP | REWRITE_TTL | REWRITE_IP_ID_ZERO |
                                     REWRITE_IP_ID | REWRITE_DSCP | REWRITE_ECN | REWRITE_NO_SACK),
        [DIMENSION_TIMESTAMPS] = what & (REWRITE_NO_TIMESTAMPS | REWRITE_TIMESTAMPS),
        [DIMENSION_SYN_PROXY] = c->syn_proxy.on,
        [DIMENSION_PROXY] = c->proxy.on && c->proxy.tls == 0,
        [DIMENSION_PROXY_HEADER] = c->proxy.on && c->proxy.header && c->proxy.tls == 0,
        [DIMENSION_TRANSPARENT] = c->proxy.on && c->proxy.transparent,
        [DIMENSION_TLS] = c->proxy.on && c->proxy.tls,
    };
    look_at_captures(c, is);
    for (int i = 0; i < DIMENSIONS; i++)
        bits |= is[i] ? 1u << i : 0;
    return bits ? bits : 1u << DIMENSION_PLAIN;
}
