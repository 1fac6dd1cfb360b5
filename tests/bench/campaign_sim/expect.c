/* What should be found, and whether that is decidable. docs/campaign.md says by which rules. */
#include "tests/bench/campaign_sim/campaign.h"

static bool outer(const struct sim *s, uint32_t stretch)
{
    return stretch == 0 || stretch == s->c.points;
}

static bool captures_at(const struct sim *s, uint32_t point, int64_t t)
{
    const struct point_config *c = &s->c.point[point];
    const struct point_sim *p = &s->point[point];
    return p->count && p->records[0].t_ns < t && p->records[p->count - 1].t_ns > t && c->miss == MISS_NONE;
}

bool misses_nothing(const struct sim *s)
{
    for (uint32_t i = 0; i < s->c.points; i++)
        if (s->c.point[i].miss != MISS_NONE)
            return false;
    return true;
}

static void loss_truth(const struct sim *s, struct expected *t)
{
    const struct place_truth *p = &s->truth[t->stretch][t->dir];
    t->code = DP_CODE_LOSS;
    t->any = p->lost > 0;
    if (outer(s, t->stretch)) {
        t->decidable = p->evident >= 5;
        t->either_way = true;
        return;
    }
    if (s->c.proxy.on && t->stretch == s->c.proxy.stretch && p->evident >= 5) {
        t->decidable = t->either_way = true;
        return;
    }
    uint64_t noise = 0;
    for (uint32_t i = 0; i <= s->c.points; i++)
        for (int d = 0; d < 2; d++)
            if (i != t->stretch || d != t->dir)
                noise += s->truth[i][d].packets.most - s->truth[i][d].in_proxy;
    uint32_t down = t->dir == TO_FAR ? t->stretch : t->stretch - 1;
    uint64_t crossed = s->crossed[t->stretch][0] + s->crossed[t->stretch][1];
    t->decidable =
        p->packets.least >= 3 && p->packets.least > 2 * noise && s->point[down].count >= 5 && crossed >= 10;
}

/* Where a proxy takes bytes over and does not send them on: by what went in and what never came out. */
static void proxy_truth(const struct sim *s, struct expected *t)
{
    const struct place_truth *both = s->truth[t->stretch];
    if (both[1 - t->dir].packets.least > both[t->dir].packets.least)
        t->dir = 1 - t->dir;
    const struct place_truth *p = &both[t->dir];
    t->code = DP_CODE_LOSS;
    t->any = both[0].lost + both[1].lost > 0;
    t->either_way = both[1 - t->dir].lost > 0;
    if (s->c.fault == FAULT_FREEZE)
        t->also = DP_CODE_STALL;
    uint64_t noise = 0;
    for (uint32_t i = 0; i <= s->c.points; i++)
        for (int d = 0; d < 2 && i != t->stretch; d++)
            noise += s->truth[i][d].packets.most - s->truth[i][d].in_proxy;
    uint64_t crossed = s->crossed[t->stretch][0] + s->crossed[t->stretch][1];
    uint32_t down = t->dir == TO_FAR ? t->stretch : t->stretch - 1;
    bool compares =
        s->c.proxy.tls == 0 && point_shows_payload(s, t->stretch - 1) && point_shows_payload(s, t->stretch);
    t->decidable = p->packets.least >= 3 && p->packets.least > 2 * noise && s->point[down].count >= 5 &&
                   crossed >= 10 && (compares || p->bytes.least >= 20000);
}

/* A SYN that two neighbours recorded, and that a host between them took options from. */
static void rewrite_truth(const struct sim *s, struct expected *t)
{
    t->code = DP_CODE_REWRITE;
    for (uint32_t i = 1; i < s->c.points; i++) {
        if (!(s->options_removed >> i & 1))
            continue;
        bool seen[2] = {false, false};
        for (uint32_t k = 0; k < 2; k++)
            for (size_t n = 0; n < s->point[i - 1 + k].count; n++)
                seen[k] = seen[k] || (s->point[i - 1 + k].records[n].flags == DP_TCP_SYN &&
                                      point_shows_options(s, i - 1 + k));
        t->stretch = i;
        t->any = t->either_way = true;
        t->others |= (uint8_t)(1u << i);
        t->decidable = t->decidable || (seen[0] && seen[1]);
    }
}

static void end_truth(const struct sim *s, struct expected *t, enum fault_kind kind)
{
    for (uint32_t i = 0; i < s->flow_count; i++) {
        const struct flow_sim *f = &s->flows[i];
        if (f->back && !s->flows[f->other].proxied.connecting)
            continue;
        bool at_server = kind == FAULT_REFUSED || f->stall_side == 1;
        if (kind == FAULT_REFUSED ? !f->refused || f->udp
                                  : f->zero_ns == 0 || s->end_ns - f->zero_ns < 3 * SECOND)
            continue;
        bool far = f->client_far != at_server;
        uint32_t point = far ? s->c.points - 1 : 0;
        t->any = true;
        t->stretch = far ? s->c.points : 0;
        t->others |= (uint8_t)(1u << t->stretch);
        int answer = far ? TO_NEAR : TO_FAR;
        t->dir = kind == FAULT_REFUSED ? answer : 1 - answer;
        int64_t when = kind == FAULT_REFUSED ? f->start_ns : f->zero_ns;
        int64_t until = kind == FAULT_REFUSED ? when + SECOND : when + 3 * SECOND;
        bool seen = misses_nothing(s) && when > s->c.point[point].from_ns && until < s->c.point[point].to_ns;
        t->decidable = t->decidable || seen;
    }
}

struct expected expect(const struct sim *s)
{
    struct expected t = {.stretch = s->c.fault_stretch, .dir = s->c.fault_dir};
    switch (s->c.fault) {
    case FAULT_NONE:
        break;
    case FAULT_RESET:
        t.code = DP_CODE_RESET;
        t.any = s->resets_injected > 0;
        t.either_way = s->c.reset_both;
        t.decidable = t.any;
        for (uint32_t i = 0; i < s->c.points; i++)
            t.decidable = t.decidable && captures_at(s, i, s->reset_done_ns);
        break;
    case FAULT_REFUSED:
    case FAULT_STALL:
        t.code = s->c.fault == FAULT_STALL ? DP_CODE_STALL : DP_CODE_REFUSED;
        end_truth(s, &t, s->c.fault);
        break;
    case FAULT_CRASH:
        t.code = DP_CODE_RESET;
        t.also = DP_CODE_REFUSED;
        t.any = s->resets_injected > 0;
        t.either_way = true;
        t.decidable = t.any && captures_at(s, t.stretch - 1, s->reset_done_ns) &&
                      captures_at(s, t.stretch, s->reset_done_ns);
        break;
    case FAULT_SWALLOW:
    case FAULT_FREEZE:
    case FAULT_DEAD:
        proxy_truth(s, &t);
        break;
    default:
        loss_truth(s, &t);
        break;
    }
    if (!t.any && s->loss_count == 0 && s->c.fault == FAULT_NONE)
        rewrite_truth(s, &t);
    return t;
}
