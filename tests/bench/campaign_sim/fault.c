/* What goes wrong on the path. */
#include "tests/bench/campaign_sim/sim.h"

const char *const fault_names[FAULT_KINDS] = {"none",    "random",  "size",  "all",   "handshake", "flows",
                                              "burst",   "policer", "queue", "reset", "refused",   "stall",
                                              "swallow", "freeze",  "crash", "dead"};

void fault_begin(struct sim *s)
{
    struct rng *r = &s->rng_fault;
    const struct config *c = &s->c;
    s->tokens = c->fault_bucket;
    for (uint32_t i = 0; i < c->burst_count; i++) {
        int64_t t = rng_between(r, c->duration_ns / 20, c->duration_ns * 3 / 4);
        s->bursts[s->burst_count++] =
            (struct burst){t, t + (int64_t)((double)c->burst_ns * rng_log(r, 0.5, 2))};
    }
    s->reset_ns = c->fault_from_ns;
}

static bool police(struct sim *s, uint32_t bytes)
{
    const struct config *c = &s->c;
    s->tokens += (double)(s->now - s->tokens_at) / 1e9 * c->fault_rate;
    s->tokens_at = s->now;
    if (s->tokens > c->fault_bucket)
        s->tokens = c->fault_bucket;
    if (s->tokens < bytes)
        return true;
    s->tokens -= bytes;
    return false;
}

static bool hit(struct sim *s, const struct packet *p)
{
    const struct config *c = &s->c;
    struct flow_sim *f = &s->flows[p->flow];
    switch (c->fault) {
    case FAULT_RANDOM:
        return s->now >= c->fault_from_ns && rng_chance(&s->rng_fault, c->fault_rate);
    case FAULT_SIZE:
        return s->now >= c->fault_from_ns && packet_ip_len(s, p) > c->fault_size;
    case FAULT_ALL:
        return s->now >= c->fault_from_ns;
    case FAULT_HANDSHAKE:
        return (p->flags & DP_TCP_SYN) && s->now >= c->fault_from_ns;
    case FAULT_FLOWS:
        return f->faulty && f->passed_fault++ >= p->flow * 31 % 97 + 3;
    case FAULT_BURST:
        for (uint32_t i = 0; i < s->burst_count; i++)
            if (s->now >= s->bursts[i].from_ns && s->now < s->bursts[i].to_ns)
                return true;
        return false;
    case FAULT_POLICER:
        return police(s, packet_ip_len(s, p));
    case FAULT_DEAD:
        return s->proxy_state == PROXY_DEAD;
    default:
        return false;
    }
}

bool fault_drops(struct sim *s, const struct packet *p, uint32_t stretch)
{
    const struct config *c = &s->c;
    if (c->fault == FAULT_NONE || stretch != c->fault_stretch ||
        (p->dir != c->fault_dir && c->fault != FAULT_DEAD) || p->immune)
        return false;
    struct place_truth *t = &s->truth[stretch][p->dir];
    uint32_t len = packet_ip_len(s, p);
    if (hit(s, p)) {
        if (t->smallest_lost == 0 || len < t->smallest_lost)
            t->smallest_lost = len;
        t->passed_during += t->passed_after;
        t->passed_after = 0;
        return true;
    }
    t->passed++;
    if (t->lost)
        t->passed_after++;
    if (len > t->largest_passed)
        t->largest_passed = len;
    return false;
}

static void reset_towards(struct sim *s, const struct packet *p, uint32_t stretch, uint8_t half)
{
    const struct flow_sim *f = &s->flows[p->flow];
    struct packet *rst = packet_new(s);
    rst->flow = p->flow;
    rst->half = half;
    rst->dir = half == p->half ? p->dir : (uint8_t)(1 - p->dir);
    rst->flags = DP_TCP_RST | DP_TCP_ACK;
    rst->seq = half == p->half ? p->seq : p->ack;
    rst->ack = half == p->half ? p->ack : p->seq;
    rst->gso = f->mss;
    rst->tsval = half == p->half ? p->tsval : p->tsecr;
    rst->tsecr = half == p->half ? p->tsecr : p->tsval;
    rst->immune = true;
    s->resets_injected++;
    s->reset_done_ns = s->now;
    path_continue(s, rst, stretch, 0);
}

/* A middlebox ends a connection that passes it. */
void fault_inject(struct sim *s, const struct packet *p, uint32_t stretch)
{
    const struct config *c = &s->c;
    struct flow_sim *f = &s->flows[p->flow];
    if (c->fault != FAULT_RESET || stretch != c->fault_stretch || f->udp || f->dead_from_ns < 0 ||
        s->now < s->reset_ns || p->dir != c->fault_dir || (p->flags & (DP_TCP_RST | DP_TCP_SYN)) ||
        !f->established || !(f->faulty || s->resets_injected == 0))
        return;
    f->dead_from_ns = -1;
    if (c->reset_both)
        reset_towards(s, p, stretch, (uint8_t)(1 - p->half));
    reset_towards(s, p, stretch, p->half);
}
