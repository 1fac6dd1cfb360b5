/* The path: stretches with delay, rate and queue; super-packets are cut on links and gathered behind them. */
#include "tests/bench/campaign_sim/sim.h"

static uint32_t options_len(const struct sim *s, const struct packet *p)
{
    const struct flow_sim *f = &s->flows[p->flow];
    bool timestamps = p->flags & DP_TCP_SYN && p->half == 0 ? s->c.timestamps : f->timestamps;
    if (p->flags & DP_TCP_SYN) {
        bool sack = p->half == 0 ? s->c.sack : f->sack;
        return 8u + (sack || timestamps ? 4u : 0) + (timestamps ? 8u : 0);
    }
    return (timestamps ? 12u : 0) + (p->sack_count ? 4 + 8u * p->sack_count : 0);
}

uint32_t packet_ip_len(const struct sim *s, const struct packet *p)
{
    uint32_t ip = s->c.ipv6 ? 40 : 20;
    return ip + p->len + (s->flows[p->flow].udp ? 8 : 20 + options_len(s, p));
}

static uint32_t point_behind(const struct packet *p, uint32_t stretch)
{
    return p->dir == TO_FAR ? stretch : stretch - 1;
}

static bool ends_behind(const struct sim *s, const struct packet *p, uint32_t stretch)
{
    return stretch == last_stretch(&s->flows[p->flow], p->dir);
}

static void arrive_at(struct sim *s, struct packet *p, uint32_t stretch, int64_t t)
{
    p->place = (uint8_t)stretch;
    sim_schedule(s, t, EVENT_ARRIVE, 0, 0, p);
}

static void duplicate(struct sim *s, struct packet *p, uint32_t stretch, int64_t t)
{
    struct packet *copy = packet_new(s);
    *copy = *p;
    copy->next_free = NULL;
    p->immune = copy->immune = true;
    arrive_at(s, copy, stretch, t + rng_between(&s->rng_path, 2 * US, 120 * US));
}

/* A short queue before a slow link has a fast way back: what is queued there without bound would be late for
 * seconds. */
static double rate_of(const struct sim *s, uint32_t stretch, int dir)
{
    double rate = s->c.stretch[stretch].rate;
    bool back = s->c.fault == FAULT_QUEUE && s->c.fault_stretch == stretch && s->c.fault_dir != dir;
    return back && rate < 2e7 ? 2e7 : rate;
}

/* Through the stretch's queue and over it. */
void path_continue(struct sim *s, struct packet *p, uint32_t stretch, int64_t delay)
{
    const struct stretch_config *c = &s->c.stretch[stretch];
    struct lane_sim *lane = &s->lane[stretch][p->dir];
    double bytes = packet_ip_len(s, p), rate = rate_of(s, stretch, p->dir);
    int64_t start = lane->busy_until > s->now ? lane->busy_until : s->now;
    double backlog = (double)(start - s->now) * rate / 1e9;
    if (s->c.fault == FAULT_QUEUE && s->c.fault_stretch == stretch && s->c.fault_dir == p->dir &&
        !p->immune && backlog + bytes > s->c.fault_bucket) {
        truth_lost(s, p, stretch, start + c->delay_ns);
        packet_free(s, p);
        return;
    }
    s->crossed[stretch][p->dir]++;
    lane->busy_until = start + (int64_t)(bytes * 1e9 / rate) + 1;
    int64_t t = lane->busy_until + c->delay_ns + delay;
    if (c->jitter_ns)
        t += (int64_t)rng_below(&s->rng_path, (uint64_t)c->jitter_ns);
    if (t <= lane->last_arrival)
        t = lane->last_arrival + 1;
    if (stretch == s->c.noise_stretch && rng_chance(&s->rng_path, s->c.reorder_rate)) {
        t += rng_between(&s->rng_path, 100 * US, 8 * MS);
    } else {
        lane->last_arrival = t;
    }
    if (stretch == s->c.noise_stretch && !p->immune && rng_chance(&s->rng_path, s->c.duplicate_rate))
        duplicate(s, p, stretch, t);
    arrive_at(s, p, stretch, t);
}

static void enter_one(struct sim *s, struct packet *p, uint32_t stretch)
{
    fault_inject(s, p, stretch);
    if (fault_drops(s, p, stretch)) {
        truth_lost(s, p, stretch, s->now + s->c.stretch[stretch].delay_ns);
        packet_free(s, p);
        return;
    }
    path_continue(s, p, stretch, 0);
}

static void enter(struct sim *s, struct packet *p, uint32_t stretch)
{
    if (!stretch_hides_ttl(&s->c, stretch))
        p->ttl = (uint8_t)(p->ttl - s->c.stretch[stretch].hops);
    if (s->c.rewriters)
        rewrite_packet(s, p, stretch);
    if (s->c.stretch[stretch].host || s->flows[p->flow].udp || p->len <= p->gso) {
        enter_one(s, p, stretch);
        return;
    }
    uint32_t len = p->len, done = 0;
    for (uint16_t piece = 0; done < len; piece++) {
        struct packet *cut = packet_new(s);
        *cut = *p;
        cut->next_free = NULL;
        cut->seq = p->seq + done;
        cut->len = len - done < p->gso ? len - done : p->gso;
        if (s->c.ip_id_mode != 1)
            cut->ip_id = (uint16_t)(p->ip_id + piece);
        done += cut->len;
        if (done < len)
            cut->flags &= (uint16_t) ~(DP_TCP_PSH | DP_TCP_FIN);
        enter_one(s, cut, stretch);
    }
    packet_free(s, p);
}

void path_send(struct sim *s, struct packet *p)
{
    const struct flow_sim *f = &s->flows[p->flow];
    s->packets_sent++;
    enter(s, p, p->dir == TO_FAR ? f->low : f->high + 1u);
}

static void pass_point(struct sim *s, struct packet *p, uint32_t point)
{
    if (!s->c.point[point].bypassed[p->dir])
        point_record(s, point, p);
    enter(s, p, p->dir == TO_FAR ? point + 1 : point);
}

void path_merged(struct sim *s, uint32_t lane, uint32_t point)
{
    struct packet *p = s->point[point].held[lane];
    if (!p)
        return;
    s->point[point].held[lane] = NULL;
    pass_point(s, p, point);
}

static bool mergeable(const struct sim *s, const struct packet *p)
{
    return p->len && !s->flows[p->flow].udp && !p->immune &&
           !(p->flags & (DP_TCP_SYN | DP_TCP_FIN | DP_TCP_RST));
}

/* GRO: gathers packets that follow on each other. True where the packet was taken. */
static bool gather(struct sim *s, struct packet *p, uint32_t point)
{
    uint32_t lane = p->flow * 2 + p->half;
    struct packet **slot = &s->point[point].held[lane], *held = *slot;
    const struct point_config *c = &s->c.point[point];
    if (held && mergeable(s, p) && p->seq == held->seq + held->len && p->ack == held->ack &&
        p->tsval == held->tsval && p->window == held->window && held->len % held->gso == 0 &&
        held->len + p->len <= c->merge_bytes && p->len <= held->gso && p->ttl == held->ttl &&
        held->last_point == p->last_point && held->missed == p->missed) {
        held->len += p->len;
        held->flags |= p->flags;
        bool done = p->len < held->gso || (p->flags & DP_TCP_PSH);
        packet_free(s, p);
        if (done)
            path_merged(s, lane, point);
        return true;
    }
    if (held)
        path_merged(s, lane, point);
    if (!mergeable(s, p) || p->len < p->gso || (p->flags & DP_TCP_PSH) || p->sack_count)
        return false;
    *slot = p;
    sim_schedule(s, s->now + c->merge_hold_ns, EVENT_MERGED, lane, point, NULL);
    return true;
}

void path_arrive(struct sim *s, struct packet *p)
{
    uint32_t stretch = p->place;
    if (ends_behind(s, p, stretch)) {
        truth_delivered(s, p);
        if (s->flows[p->flow].udp)
            app_datagram_arrived(s, p);
        else
            tcp_receive(s, p->flow, 1 - p->half, p);
        packet_free(s, p);
        return;
    }
    if (!p->leaves_proxy && syn_proxy_at(s, &s->flows[p->flow], stretch) && syn_proxy_takes(s, p)) {
        truth_delivered(s, p);
        packet_free(s, p);
        return;
    }
    uint32_t point = point_behind(p, stretch);
    if (!s->c.stretch[stretch].host && s->c.point[point].merges[p->dir] && gather(s, p, point))
        return;
    pass_point(s, p, point);
}
