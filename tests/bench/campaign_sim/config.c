/* Draws the plain kinds of a case from its seed; each group of dimensions from numbers of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/campaign_sim/config.h"
#include "tests/bench/campaign_sim/random.h"

enum { PLAIN_FLOWS = 200 };

static void draw_path(struct config *c, struct rng *r)
{
    static const uint8_t counts[20] = {1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6};
    c->points = counts[rng_below(r, 20)];
    for (uint32_t i = 0; i <= c->points; i++) {
        struct stretch_config *s = &c->stretch[i];
        bool outer = i == 0 || i == c->points;
        s->host = rng_chance(r, 0.5) && (outer || i == 1 || !c->stretch[i - 1].host || rng_chance(r, 0.1));
        s->delay_ns = (int64_t)(s->host ? rng_log(r, 3e3, outer ? 20e3 : 200e3)
                                        : rng_log(r, 20e3, rng_chance(r, 0.15) ? 150e6 : 20e6));
        s->jitter_ns = rng_chance(r, 0.5) ? (int64_t)(rng_unit(r) * 0.3 * (double)s->delay_ns) : 0;
        s->rate = s->host ? 5e9 : rng_log(r, 1.25e7, 1.25e9);
        s->hops = (uint8_t)(s->host ? (!outer && rng_chance(r, 0.7)) : rng_below(r, 3));
    }
    if (rng_chance(r, 0.4)) {
        uint32_t i = (uint32_t)rng_below(r, c->points + 1);
        c->stretch[i].rate = rng_log(r, 3e5, 1.2e7);
    }
    uint32_t host = c->stretch[0].host ? 0 : 1, interface = 0;
    for (uint32_t i = 0; i < c->points; i++) {
        if (i && !c->stretch[i].host) {
            host++;
            interface = 0;
        }
        snprintf(c->point[i].name, sizeof c->point[i].name, "h%u/eth%u", host % 100, interface++ % 100);
    }
}

static void draw_offload(struct config *c, struct rng *r)
{
    bool any = rng_chance(r, 0.7);
    c->end_offload[0] = any && rng_chance(r, 0.6);
    c->end_offload[1] = any && rng_chance(r, 0.6);
    for (uint32_t i = 0; i < c->points; i++)
        for (int d = 0; d < 2; d++) {
            bool merges = rng_chance(r, 0.45);
            c->point[i].merges[d] = any && merges;
            c->point[i].merge_bytes = (uint32_t)rng_log(r, 3000, 64000);
            c->point[i].merge_hold_ns = rng_between(r, 10 * US, 100 * US);
        }
}

static void draw_clocks(struct config *c, struct rng *r)
{
    double spread[] = {0, 5e6, 3e9, 3600e9};
    double most = spread[rng_below(r, 4)];
    bool skewed = rng_chance(r, 0.5);
    for (uint32_t i = 0; i < c->points; i++) {
        struct point_config *p = &c->point[i];
        p->offset_ns = (int64_t)((rng_unit(r) * 2 - 1) * most);
        p->skew = skewed ? (rng_unit(r) * 2 - 1) * 100e-6 : 0;
        p->granularity_ns = rng_chance(r, 0.6) ? 1000 : 1;
        if (i && c->stretch[i].host) { /* one host has one clock */
            p->offset_ns = c->point[i - 1].offset_ns;
            p->skew = c->point[i - 1].skew;
        }
    }
}

static void draw_capture(struct config *c, struct rng *r)
{
    bool missing = rng_chance(r, 0.35), told = rng_chance(r, 0.6), late = rng_chance(r, 0.4),
         early = rng_chance(r, 0.25);
    double span = (double)c->duration_ns;
    double common = rng_unit(r) * 0.4;
    c->tail_ns = rng_chance(r, 0.5) ? 10 * SECOND : 0;
    bool together = rng_chance(r, 0.6);
    for (uint32_t i = 0; i < c->points; i++) {
        struct point_config *p = &c->point[i];
        p->miss_rate = rng_log(r, 0.0005, 0.03);
        p->miss_bursts = rng_chance(r, 0.5);
        enum miss_mode mode = (enum miss_mode)(1 + rng_below(r, 3));
        p->miss = missing && rng_chance(r, 0.4) ? mode : MISS_NONE;
        p->window_told = told;
        double from = together ? common + rng_unit(r) * 0.01 : rng_unit(r) * 0.4;
        double to = rng_chance(r, 0.5) ? 1 : 0.6 + 0.4 * rng_unit(r);
        p->from_ns = late ? (int64_t)(from * span) : 0;
        p->to_ns = early ? (int64_t)(to * span) : c->duration_ns + c->tail_ns;
    }
    uint32_t around = (uint32_t)rng_below(r, c->points);
    int direction = (int)rng_below(r, 2);
    bool inner = around > 0 && around + 1 < c->points;
    if (rng_chance(r, 0.1) && inner)
        c->point[around].bypassed[direction] = true;
}

static void draw_traffic(struct config *c, struct rng *r)
{
    double size = rng_unit(r);
    c->flows = (uint32_t)(size < 0.4    ? rng_between(r, 1, 3)
                          : size < 0.85 ? rng_between(r, 4, 30)
                                        : rng_between(r, 31, PLAIN_FLOWS));
    c->bytes = (uint64_t)rng_log(r, 3e4, 5e6);
    c->duration_ns = (int64_t)(rng_log(r, 3, 30) * 1e9);
    c->start_span = 0.6;
    c->udp_share = rng_chance(r, 0.7) ? 0 : rng_chance(r, 0.1) ? 1 : rng_unit(r) * 0.5;
    for (uint32_t i = 0; i <= c->points && c->udp_share > 0;
         i++) /* datagrams do not slow down by themselves */
        c->stretch[i].rate = fmax(c->stretch[i].rate, 2e7);
    c->smtp_share = rng_chance(r, 0.5) ? 0 : rng_chance(r, 0.4) ? 1 : 0.3;
    c->reverse_share = (double)rng_below(r, 3) / 2;
    c->far_client_share = rng_chance(r, 0.45) ? 0 : rng_chance(r, 0.65) ? 1 : rng_unit(r);
    if (c->points == 1)
        c->far_client_share = 0; /* one point cannot tell its sides apart: the client is near */
    c->ipv6 = rng_chance(r, 0.2);
    c->ip_id_mode = rng_chance(r, 0.6) ? 0 : 1 + (int)rng_below(r, 2);
    c->timestamps = rng_chance(r, 0.75);
    c->sack = rng_chance(r, 0.8);
    c->dsack = c->sack && rng_chance(r, 0.8);
    c->rack = c->sack && rng_chance(r, 0.8);
    c->tlp = c->sack && rng_chance(r, 0.6);
}

static void draw_noise(struct config *c, struct rng *r)
{
    double duplicates = rng_log(r, 0.0005, 0.02), reorders = rng_log(r, 0.0005, 0.02);
    c->duplicate_rate = rng_chance(r, 0.12) ? duplicates : 0;
    c->reorder_rate = rng_chance(r, 0.15) ? reorders : 0;
    c->noise_stretch = (uint32_t)rng_below(r, c->points + 1);
    c->nat_stretch = (uint32_t)rng_below(r, c->points + 1);
    bool inside = c->nat_stretch > 0 && c->nat_stretch < c->points && c->stretch[c->nat_stretch].host;
    int nat = 1 + (int)rng_below(r, 2);
    c->nat = rng_chance(r, 0.35) && inside ? nat : 0;
    for (uint32_t i = 0; i < c->points && c->nat; i++)
        c->point[i].from_ns = 0; /* pairing needs the handshakes */
    c->feed = (int)rng_below(r, 3);
    c->settle = rng_chance(r, 0.3);
    c->advance = rng_chance(r, 0.5);
}

static bool goes_around(const struct config *c, uint32_t stretch, int dir)
{
    return (stretch > 0 && c->point[stretch - 1].bypassed[dir]) ||
           (stretch < c->points && c->point[stretch].bypassed[dir]);
}

/* What the fault needs of the rest of the case. */
static void fit_fault(struct config *c, struct rng *r)
{
    struct stretch_config *s = &c->stretch[c->fault_stretch];
    double rate = rng_log(r, 5e4, 3e6);
    if (goes_around(c, c->fault_stretch, c->fault_dir))
        for (uint32_t i = 0; i < c->points; i++)
            c->point[i].bypassed[0] = c->point[i].bypassed[1] = false;
    double bucket = rng_log(r, 8e3, 1e5);
    c->fault_bucket = s->host ? bucket + 80e3 : bucket + 3e3;
    double random = rng_log(r, 0.0005, 0.1);
    c->fault_rate = c->fault == FAULT_RANDOM ? random : rate;
    if (c->fault == FAULT_QUEUE)
        s->rate = rate;
    if (c->fault == FAULT_FLOWS && c->flows < 4)
        c->flows += 4;
}

static void draw_fault(struct config *c, struct rng *r)
{
    enum fault_kind kind = (enum fault_kind)(1 + rng_below(r, FAULT_STALL));
    c->fault = rng_chance(r, 0.3) ? FAULT_NONE : kind;
    c->fault_stretch = (uint32_t)rng_below(r, c->points + 1);
    uint32_t inner = c->points > 1 ? 1 + (uint32_t)rng_below(r, c->points - 1) : 0;
    if (rng_chance(r, 0.5) && c->points > 1)
        c->fault_stretch = inner;
    c->fault_dir = (int)rng_below(r, 2);
    c->fault_size = (uint32_t)rng_between(r, 576, 1270);
    double moment = rng_unit(r);
    bool always = rng_chance(r, 0.6);
    c->fault_flows = (uint32_t)rng_between(r, 2, 4);
    c->burst_count = (uint32_t)rng_between(r, 1, 8);
    c->burst_ns = (int64_t)(rng_log(r, 20, 800) * (double)MS);
    c->reset_both = rng_chance(r, 0.5);
    if (c->fault == FAULT_RESET) {
        if (c->points < 2)
            c->fault = FAULT_NONE;
        c->fault_stretch = inner;
    }
    if (c->fault == FAULT_ALL || c->fault == FAULT_RESET || !always)
        c->fault_from_ns = (int64_t)((0.05 + 0.6 * moment) * (double)c->duration_ns);
    fit_fault(c, r);
}

void config_draw(struct config *c, uint64_t seed, bool plain)
{
    *c = (struct config){.seed = seed};
    static void (*const draws[])(struct config *, struct rng *) = {
        draw_path, draw_offload, draw_traffic, draw_clocks, draw_capture, draw_noise, draw_fault};
    for (size_t i = 0; i < sizeof draws / sizeof draws[0]; i++) {
        struct rng r = rng_of(seed, i + 1);
        draws[i](c, &r);
    }
    if (plain)
        return;
    draw_dimensions(c);
    draw_captures(c);
}

/* More of everything that makes faults bite: more traffic, policers and queues slower than it. */
void config_make_heavy(struct config *c)
{
    struct rng r = rng_of(c->seed, 50);
    c->bytes = c->bytes * 6 + 200000;
    double offered = (double)c->bytes / ((double)c->duration_ns / 1e9);
    double rate = fmax(offered * rng_log(&r, 0.1, 1.2), 2e4);
    if (c->fault == FAULT_POLICER || c->fault == FAULT_QUEUE)
        c->fault_rate = rate;
    if (c->fault == FAULT_QUEUE)
        c->stretch[c->fault_stretch].rate = rate;
    if (c->fault == FAULT_RANDOM)
        c->fault_rate = fmax(c->fault_rate, 0.003);
}

static void print_hosts(FILE *out, const struct config *c)
{
    for (uint32_t i = 0; i < c->rewriters; i++) {
        const struct rewriter *r = &c->rewriter[i];
        fprintf(out, "  rewriter in stretch %u:", r->stretch);
        for (int k = 0; k < REWRITE_KINDS; k++)
            if (r->what >> k & 1)
                fprintf(out, " %s", rewrite_names[k]);
        fprintf(out, "; mss %u ttl %u dscp %u\n", r->mss, r->ttl, r->dscp);
    }
    if (c->syn_proxy.on)
        fprintf(out, "  SYN proxy in stretch %u: mss %u wscale %u%s\n", c->syn_proxy.stretch,
                c->syn_proxy.mss, c->syn_proxy.wscale, c->syn_proxy.timestamps ? " timestamps" : "");
    const struct proxy_config *p = &c->proxy;
    if (p->on)
        fprintf(out, "  proxy in stretch %u: tls %d header %d buffer %u delay %.0f us share %.2f%s%s%s%s%s\n",
                p->stretch, p->tls, p->header, p->buffer, (double)p->delay_ns / 1e3, p->share,
                p->transparent ? " transparent" : "", p->late_connect ? " late" : "",
                p->ends_by_fin ? " ends by FIN" : "", p->offload ? " offload" : "",
                p->swallows_all ? " swallows all" : "");
}

static void print_captures(FILE *out, const struct config *c)
{
    for (uint32_t i = 0; i < c->tunnels; i++) {
        const struct tunnel *t = &c->tunnel[i];
        fprintf(out, "  tunnel at points %u to %u: %s%s variant %u\n", t->first, t->last,
                tunnel_names[t->kind], t->ipv6 ? " in IPv6" : "", t->variant);
    }
    for (uint32_t i = 0; i < c->points; i++) {
        const struct point_config *p = &c->point[i];
        if (p->snap)
            fprintf(out, "  point %u: snap %u\n", i, p->snap);
        if (p->twice)
            fprintf(out, "  point %u: sees all twice, after %.1f us\n", i, (double)p->twice_ns / 1e3);
        if (p->step_ns)
            fprintf(out, "  point %u: clock set by %+.6f s at %.3f s\n", i, (double)p->step_ns / 1e9,
                    (double)p->step_at_ns / 1e9);
    }
    if (c->midway || c->many || c->thin)
        fprintf(out, " %s%s%s\n", c->midway ? " midway" : "", c->many ? " many flows" : "",
                c->thin ? " few losses" : "");
}

void config_print(FILE *out, const struct config *c)
{
    fprintf(out,
            "seed %llu: %u flows, %.0f KB, %.1f s, udp %.2f smtp %.2f reverse %.2f far clients %.2f%s%s\n",
            (unsigned long long)c->seed, c->flows, (double)c->bytes / 1e3, (double)c->duration_ns / 1e9,
            c->udp_share, c->smtp_share, c->reverse_share, c->far_client_share, c->ipv6 ? " ipv6" : "",
            c->nat ? " nat" : "");
    fprintf(out, "  tcp:%s%s%s%s%s ip_id %d; duplicates %.4f reorder %.4f in %u; nat %d in %u; feed %d%s%s\n",
            c->timestamps ? " timestamps" : "", c->sack ? " sack" : "", c->dsack ? " dsack" : "",
            c->rack ? " rack" : "", c->tlp ? " tlp" : "", c->ip_id_mode, c->duplicate_rate, c->reorder_rate,
            c->noise_stretch, c->nat, c->nat_stretch, c->feed, c->settle ? " settle" : "",
            c->advance ? " advance" : "");
    for (uint32_t i = 0; i <= c->points; i++) {
        const struct stretch_config *s = &c->stretch[i];
        fprintf(out, "  stretch %u: %s delay %.3f ms, %.1f MB/s, hops %u\n", i, s->host ? "host" : "link",
                (double)s->delay_ns / 1e6, s->rate / 1e6, s->hops);
        if (i == c->points)
            break;
        const struct point_config *p = &c->point[i];
        fprintf(out,
                "  point %u %s: clock %+.6f s %+.1f ppm gran %lld; merges %d%d; miss %d rate %.4f%s; "
                "%.2f..%.2f s%s%s\n",
                i, p->name, (double)p->offset_ns / 1e9, p->skew * 1e6, (long long)p->granularity_ns,
                p->merges[0], p->merges[1], p->miss, p->miss_rate, p->miss_bursts ? " bursts" : "",
                (double)p->from_ns / 1e9, (double)p->to_ns / 1e9, p->window_told ? " told" : "",
                p->bypassed[0]   ? " bypassed forward"
                : p->bypassed[1] ? " bypassed reverse"
                                 : "");
    }
    print_hosts(out, c);
    print_captures(out, c);
    fprintf(out,
            "  fault %s in stretch %u %s: rate %g size %u from %.2f s, 1/%u flows, bucket %.0f, %u bursts of "
            "%.0f ms\n",
            fault_names[c->fault], c->fault_stretch, c->fault_dir ? "reverse" : "forward", c->fault_rate,
            c->fault_size, (double)c->fault_from_ns / 1e9, c->fault_flows, c->fault_bucket, c->burst_count,
            (double)c->burst_ns / 1e6);
}
