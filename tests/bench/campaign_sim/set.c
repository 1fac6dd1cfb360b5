/* Changes a case by hand, to reduce it. */
#include <string.h>

#include "tests/bench/campaign_sim/config.h"

/* For all vantage points at once. */
static bool set_all_points(struct config *c, const char *what, double v)
{
    static const char *const keys[] = {"clock", "miss", "offload", "bypass", "window",
                                       "told",  "snap", "twice",   "step"};
    size_t k = 0;
    while (k < sizeof keys / sizeof keys[0] && strcmp(keys[k], what) != 0)
        k++;
    for (uint32_t i = 0; i < c->points; i++) {
        struct point_config *p = &c->point[i];
        switch (k) {
        case 0:
            p->offset_ns = 0;
            p->skew = 0;
            break;
        case 1:
            p->miss = MISS_NONE;
            break;
        case 2:
            p->merges[0] = p->merges[1] = false;
            c->end_offload[0] = c->end_offload[1] = c->proxy.offload = false;
            break;
        case 3:
            p->bypassed[0] = p->bypassed[1] = false;
            break;
        case 4:
            p->from_ns = 0;
            p->to_ns = c->duration_ns + c->tail_ns;
            break;
        case 5:
            p->window_told = v > 0;
            break;
        case 6:
            p->snap = (uint32_t)v;
            break;
        case 7:
            p->twice = v > 0;
            break;
        case 8:
            p->step_ns = 0;
            break;
        default:
            return false;
        }
    }
    return true;
}

enum kind { NUMBER, YES, SMALL, WORD, REAL, BYTES };

static const struct setting {
    const char *key;
    size_t offset;
    enum kind kind;
} settings[] = {
    {"bytes", offsetof(struct config, bytes), BYTES},
    {"stretch", offsetof(struct config, fault_stretch), WORD},
    {"dir", offsetof(struct config, fault_dir), NUMBER},
    {"rate", offsetof(struct config, fault_rate), REAL},
    {"size", offsetof(struct config, fault_size), WORD},
    {"duplicate", offsetof(struct config, duplicate_rate), REAL},
    {"reorder", offsetof(struct config, reorder_rate), REAL},
    {"nat", offsetof(struct config, nat), NUMBER},
    {"udp", offsetof(struct config, udp_share), REAL},
    {"smtp", offsetof(struct config, smtp_share), REAL},
    {"settle", offsetof(struct config, settle), YES},
    {"advance", offsetof(struct config, advance), YES},
    {"tlp", offsetof(struct config, tlp), YES},
    {"syn_proxy", offsetof(struct config, syn_proxy.on), YES},
    {"syn_proxy_timestamps", offsetof(struct config, syn_proxy.timestamps), YES},
    {"syn_proxy_scale", offsetof(struct config, syn_proxy.wscale), SMALL},
    {"proxy", offsetof(struct config, proxy.on), YES},
    {"proxy_share", offsetof(struct config, proxy.share), REAL},
    {"tunnel_first", offsetof(struct config, tunnel[0].first), WORD},
    {"tunnel_last", offsetof(struct config, tunnel[0].last), WORD},
    {"tls", offsetof(struct config, proxy.tls), NUMBER},
    {"header", offsetof(struct config, proxy.header), NUMBER},
    {"transparent", offsetof(struct config, proxy.transparent), YES},
    {"late", offsetof(struct config, proxy.late_connect), YES},
    {"swallows_all", offsetof(struct config, proxy.swallows_all), YES},
};

static void apply(struct config *c, const struct setting *x, double v)
{
    void *at = (char *)c + x->offset;
    if (x->kind == NUMBER)
        *(int *)at = (int)v;
    else if (x->kind == YES)
        *(bool *)at = v > 0;
    else if (x->kind == SMALL)
        *(uint8_t *)at = (uint8_t)v;
    else if (x->kind == WORD)
        *(uint32_t *)at = (uint32_t)v;
    else if (x->kind == REAL)
        *(double *)at = v;
    else
        *(uint64_t *)at = (uint64_t)v;
}

static uint32_t inner_stretch(const struct config *c, double v)
{
    return stretch_between(c, (uint32_t)v) ? (uint32_t)v : 1;
}

static void unset_midway(struct config *c)
{
    c->midway = false;
    c->start_span = 0.6;
    for (uint32_t i = 0; i < c->points; i++)
        c->point[i].from_ns = 0;
}

/* What needs more than to be set. */
static bool set_other(struct config *c, const char *key, double v)
{
    if (strcmp(key, "flows") == 0)
        c->flows = v < 1 ? 1 : v > MAX_FLOWS ? MAX_FLOWS : (uint32_t)v;
    else if (strcmp(key, "fault") == 0)
        c->fault = v < FAULT_KINDS && v >= 0 ? (enum fault_kind)v : FAULT_NONE;
    else if (strcmp(key, "feed") == 0)
        c->feed = (int)v % 3;
    else if (strcmp(key, "rewriters") == 0)
        c->rewriters = v < c->rewriters ? (uint32_t)v : c->rewriters;
    else if (strcmp(key, "rewrite") == 0) /* what all of them do */
        for (uint32_t i = 0; i < c->rewriters; i++)
            c->rewriter[i].what = (uint32_t)v;
    else if (strcmp(key, "add_rewriter") == 0 && c->rewriters < MAX_POINTS && c->points > 1)
        c->rewriter[c->rewriters++] =
            (struct rewriter){.stretch = inner_stretch(c, v), .mss = 1200, .ttl = 200, .dscp = 8};
    else if (strcmp(key, "tunnels") == 0)
        c->tunnels = v < c->tunnels ? (uint32_t)v : c->tunnels;
    else if (strcmp(key, "add_tunnel") == 0 && c->tunnels < MAX_TUNNELS && v >= 0 && v < TUNNEL_KINDS)
        draw_tunnel(c, (enum tunnel_kind)v, 0, c->points - 1);
    else if (strcmp(key, "midway") == 0)
        unset_midway(c);
    else if (strcmp(key, "add_proxy") == 0 && c->points > 1)
        draw_proxy(c, inner_stretch(c, v));
    else if (strcmp(key, "add_syn_proxy") == 0 && c->points > 1)
        draw_syn_proxy(c, inner_stretch(c, v));
    else
        return set_all_points(c, key, v);
    return true;
}

static bool set(struct config *c, const char *key, double v)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (strcmp(settings[i].key, key) == 0) {
            apply(c, &settings[i], v);
            return true;
        }
    return set_other(c, key, v);
}

bool config_override(struct config *c, const char *text)
{
    while (*text) {
        char key[24];
        int used = 0;
        double v;
        if (sscanf(text, "%23[a-z_]=%lf%n", key, &v, &used) != 2 || !set(c, key, v))
            return false;
        text += used;
        text += *text == ',';
    }
    return true;
}
