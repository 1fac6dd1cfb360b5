/* What is around a packet where a tunnel, a provider's network or a VLAN carries it. */
#include "tests/bench/campaign_sim/sim.h"

const char *const tunnel_names[TUNNEL_KINDS] = {"vlan",  "qinq", "mpls", "pppoe",
                                                "vxlan", "gre",  "ipip", "geneve"};

enum { MAC_BYTES = 12, ETHERNET = 14, NET_TUNNEL = 250 };

/* The headers around, outermost first, as one point sees them. */
struct layers {
    const struct tunnel *at[MAX_TUNNELS];
    uint32_t count;
};

static struct layers layers_at(const struct config *c, uint32_t point)
{
    struct layers l = {.count = 0};
    for (uint32_t i = 0; i < c->tunnels; i++)
        if (c->tunnel[i].first <= point && point <= c->tunnel[i].last)
            l.at[l.count++] = &c->tunnel[i];
    return l;
}

static bool has_ip(enum tunnel_kind kind)
{
    return kind >= TUNNEL_VXLAN;
}

/* Whether what follows the layer `i` is an Ethernet frame. MPLS and GRE carry both: what is inside decides.
 */
static bool carries_ethernet(const struct layers *l, uint32_t i)
{
    enum tunnel_kind kind = l->at[i]->kind;
    bool inner = i + 1 < l->count && !has_ip(l->at[i + 1]->kind);
    return kind == TUNNEL_VXLAN || kind == TUNNEL_GENEVE ||
           ((kind == TUNNEL_MPLS || kind == TUNNEL_GRE) && inner);
}

/* Bytes of one layer with the Ethernet header that it carries. */
static uint32_t layer_len(const struct layers *l, uint32_t i)
{
    const struct tunnel *t = l->at[i];
    uint32_t ip = t->ipv6 ? 40 : 20, inner = carries_ethernet(l, i) ? ETHERNET : 0;
    switch (t->kind) {
    case TUNNEL_VLAN:
        return 4;
    case TUNNEL_QINQ:
        return 8;
    case TUNNEL_MPLS:
        return 4u * (t->variant + 1u) + inner;
    case TUNNEL_PPPOE:
        return 8;
    case TUNNEL_VXLAN:
        return ip + 16 + inner;
    case TUNNEL_GRE:
        return ip + 4 + (t->variant & 1 ? 4u : 0) + (t->variant & 2 ? 4u : 0) + inner;
    case TUNNEL_GENEVE:
        return ip + 16 + (t->variant & 1 ? 8u : 0) + inner;
    default:
        return ip;
    }
}

uint32_t tunnel_overhead(const struct config *c, uint32_t point)
{
    struct layers l = layers_at(c, point);
    uint32_t sum = ETHERNET;
    for (uint32_t i = 0; i < l.count; i++)
        sum += layer_len(&l, i);
    return sum;
}

uint32_t captured_behind_tcp(const struct config *c, uint32_t point, uint32_t len)
{
    uint32_t head = tunnel_overhead(c, point) + (c->ipv6 ? 40 : 20) + 20, snap = c->point[point].snap;
    if (snap == 0 || snap >= head + len)
        return len;
    return snap > head ? snap - head : 0;
}

bool stretch_hides_ttl(const struct config *c, uint32_t stretch)
{
    for (uint32_t i = 0; i < c->tunnels; i++)
        if (c->tunnel[i].kind >= TUNNEL_MPLS && c->tunnel[i].first < stretch && stretch <= c->tunnel[i].last)
            return true;
    return false;
}

struct putting {
    const struct sim *s;
    const struct packet *p;
    struct layers l;
    uint32_t point, left; /* bytes behind what was put, of the innermost packet too */
    uint8_t *at;
};

static void put(struct putting *x, uint64_t value, int bytes)
{
    x->at = frame_put(x->at, value, bytes);
    x->left -= (uint32_t)bytes;
}

/* Of the next IP header behind layer `i`, that of the packet itself in the end. */
static bool next_is_ipv6(const struct putting *x, uint32_t i)
{
    return i + 1 < x->l.count ? x->l.at[i + 1]->ipv6 : x->s->c.ipv6;
}

/* What follows layer `i`, as an EtherType; -1 is the frame itself. */
static uint32_t next_type(const struct putting *x, int i)
{
    if ((uint32_t)(i + 1) < x->l.count)
        switch (x->l.at[i + 1]->kind) {
        case TUNNEL_VLAN:
            return 0x8100;
        case TUNNEL_QINQ:
            return 0x88a8;
        case TUNNEL_MPLS:
            return 0x8847;
        case TUNNEL_PPPOE:
            return 0x8864;
        default:
            break;
        }
    return next_is_ipv6(x, (uint32_t)i) ? 0x86dd : 0x0800;
}

/* A number that belongs to this tunnel and, where `of_flow`, to this flow. */
static uint32_t number(const struct putting *x, uint32_t i, bool of_flow, uint32_t below)
{
    uint64_t which = (uint64_t)(x->l.at[i] - x->s->c.tunnel) + 1;
    return (uint32_t)(mix(x->s->c.seed * 31 + which * 7 + (of_flow ? x->p->flow * 1009u : 0)) % below);
}

static void put_outer_ip(struct putting *x, uint32_t i, uint8_t proto)
{
    const struct tunnel *t = x->l.at[i];
    uint8_t near = (uint8_t)(1 + 2 * (t - x->s->c.tunnel)), far = (uint8_t)(near + 1);
    bool forward = x->p->dir == TO_FAR;
    uint32_t hops = 0;
    for (uint32_t k = t->first + 1; k <= t->last; k++)
        if (forward ? k <= x->point : k > x->point)
            hops += x->s->c.stretch[k].hops;
    struct ip_header h = {.ipv6 = t->ipv6,
                          .ttl = (uint8_t)(64 - hops),
                          .proto = proto,
                          .id = (uint16_t)(x->p->ip_id * 3 + 1),
                          .len = x->left <= 65535 ? x->left : 0,
                          .from = {NET_TUNNEL, forward ? near : far, 0},
                          .to = {NET_TUNNEL, forward ? far : near, 0}};
    x->at = frame_put_ip(x->at, &h);
    x->left -= t->ipv6 ? 40 : 20;
}

static void put_udp(struct putting *x, uint32_t i, uint32_t port)
{
    put_outer_ip(x, i, 17);
    uint32_t len = x->left <= 65535 ? x->left : 0;
    put(x, 49152 + number(x, i, true, 16384), 2);
    put(x, port, 2);
    put(x, len, 2);
    put(x, 0, 2);
}

static void put_inner_ethernet(struct putting *x, uint32_t i)
{
    if (!carries_ethernet(&x->l, i))
        return;
    put(x, 0x020000001000ULL + (x->p->dir ? 1 : 2), 6);
    put(x, 0x020000001000ULL + (x->p->dir ? 2 : 1), 6);
    put(x, next_type(x, (int)i), 2);
}

static void put_tag(struct putting *x, uint32_t i, uint32_t add, uint32_t next)
{
    put(x, 1 + (number(x, i, false, 3000) + x->point + add) % 4000, 2);
    put(x, next, 2);
}

static void put_mpls(struct putting *x, uint32_t i)
{
    for (uint32_t k = 0; k <= x->l.at[i]->variant; k++) {
        bool bottom = k == x->l.at[i]->variant;
        put(x, (16 + number(x, i, false, 100000) + k + x->point) << 12 | (bottom ? 0x100 : 0) | 60, 4);
    }
}

static void put_gre(struct putting *x, uint32_t i)
{
    uint8_t variant = x->l.at[i]->variant;
    put_outer_ip(x, i, 47);
    put(x, (variant & 1 ? 0x2000u : 0) | (variant & 2 ? 0x1000u : 0), 2);
    put(x, carries_ethernet(&x->l, i) ? 0x6558 : next_type(x, (int)i), 2);
    if (variant & 1)
        put(x, number(x, i, false, 1 << 20), 4);
    if (variant & 2)
        put(x, (uint32_t)(x->s->now / 1000), 4);
}

static void put_geneve(struct putting *x, uint32_t i)
{
    bool option = x->l.at[i]->variant & 1;
    put_udp(x, i, 6081);
    put(x, (option ? 0x0200u : 0), 2);
    put(x, 0x6558, 2);
    put(x, (uint64_t)number(x, i, false, 1 << 20) << 8, 4);
    if (option)
        put(x, 0x0102800100000007ULL, 8);
}

static void put_layer(struct putting *x, uint32_t i)
{
    switch (x->l.at[i]->kind) {
    case TUNNEL_VLAN:
        put_tag(x, i, 0, next_type(x, (int)i));
        break;
    case TUNNEL_QINQ:
        put_tag(x, i, 0, 0x8100);
        put_tag(x, i, 700, next_type(x, (int)i));
        break;
    case TUNNEL_MPLS:
        put_mpls(x, i);
        break;
    case TUNNEL_PPPOE:
        put(x, 0x1100, 2);
        put(x, 1 + number(x, i, false, 60000), 2);
        put(x, x->left - 2, 2);
        put(x, next_is_ipv6(x, i) ? 0x0057 : 0x0021, 2);
        break;
    case TUNNEL_VXLAN:
        put_udp(x, i, 4789);
        put(x, 0x08000000, 4);
        put(x, (uint64_t)number(x, i, false, 1 << 20) << 8, 4);
        break;
    case TUNNEL_GRE:
        put_gre(x, i);
        break;
    case TUNNEL_GENEVE:
        put_geneve(x, i);
        break;
    default:
        put_outer_ip(x, i, next_is_ipv6(x, i) ? 41 : 4);
        break;
    }
    put_inner_ethernet(x, i);
}

uint8_t *tunnel_put(const struct sim *s, uint32_t point, const struct packet *p, uint32_t len, uint8_t *at)
{
    struct putting x = {.s = s, .p = p, .l = layers_at(&s->c, point), .point = point, .at = at};
    x.left = tunnel_overhead(&s->c, point) - MAC_BYTES + len;
    put(&x, next_type(&x, -1), 2);
    for (uint32_t i = 0; i < x.l.count; i++)
        put_layer(&x, i);
    return x.at;
}
