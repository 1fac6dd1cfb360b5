/* The sending half of a TCP end: congestion control, loss recovery with SACK or NewReno, retransmission
 * time-outs with back-off, tail loss probes, zero window probes (RFC 5681, 6298, 6582, 6675, 8985 in their
 * main lines). */
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

enum { MOST_TIMEOUTS = 9, SUPER_PACKET = 62000 };

static struct end *end_of(struct sim *s, uint32_t flow, int side)
{
    return &s->flows[flow].end[side];
}

uint64_t tcp_window(const struct end *e)
{
    return e->unread < e->window_most ? e->window_most - e->unread : 0;
}

/* What every packet of this end carries. */
void tcp_fill(struct sim *s, uint32_t flow, int side, struct packet *p)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    p->flow = flow;
    p->half = (uint8_t)side;
    p->dir = (side == 0) == f->client_far ? TO_NEAR : TO_FAR;
    p->gso = f->mss;
    p->ack = e->expected;
    p->tos = f->tos;
    p->window = (uint32_t)tcp_window(e) & ~127u;
    e->advertised = p->window;
    if (p->window == 0 && f->zero_ns == 0 && e->not_reading)
        f->zero_ns = s->now;
    p->tsval = f->ts_base[side] + (uint32_t)(s->now / MS);
    p->tsecr = e->ts_recent;
    if (e->state != END_LISTEN && !(p->flags & DP_TCP_SYN && side == 0))
        p->flags |= DP_TCP_ACK;
    if (s->c.ip_id_mode == 0)
        p->ip_id = f->ip_id[side];
    else if (s->c.ip_id_mode == 2)
        p->ip_id = (uint16_t)rng_next(&s->rng_tcp);
    uint32_t pieces = p->len > f->mss ? (p->len + f->mss - 1) / f->mss : 1;
    f->ip_id[side] = (uint16_t)(f->ip_id[side] + pieces);
    e->unacked = 0;
    e->ack_at = 0;
}

static void add_sack(const struct end *e, struct packet *p)
{
    if (e->dsack[1]) {
        p->sack[0][0] = e->dsack[0];
        p->sack[0][1] = e->dsack[1];
        p->sack_count = 1;
    }
    for (size_t i = 0; i < e->held_count && p->sack_count < 3; i++) {
        const uint64_t *range = e->held[(e->newest_held + i) % e->held_count];
        p->sack[p->sack_count][0] = range[0];
        p->sack[p->sack_count++][1] = range[1];
    }
}

void tcp_send_control(struct sim *s, uint32_t flow, int side, uint16_t flags, uint64_t seq)
{
    struct end *e = end_of(s, flow, side);
    struct packet *p = packet_new(s);
    p->flags = flags;
    p->seq = seq;
    if (s->flows[flow].sack && flags == DP_TCP_ACK)
        add_sack(e, p);
    tcp_fill(s, flow, side, p);
    e->dsack[0] = e->dsack[1] = 0;
    path_send(s, p);
}

void tcp_arm(struct sim *s, uint32_t flow, int side)
{
    struct end *e = end_of(s, flow, side);
    if (e->count == 0) {
        e->rto_at = 0;
        return;
    }
    int64_t rto = e->rto_ns << (e->back_off < 8 ? e->back_off : 8);
    e->rto_at = s->now + (rto > 120 * SECOND ? 120 * SECOND : rto);
    if (!e->rto_queued) {
        e->rto_queued = true;
        sim_schedule(s, e->rto_at, EVENT_RTO, flow, (uint32_t)side, NULL);
    }
}

static void set_probe(struct sim *s, uint32_t flow, int side, int64_t in_ns)
{
    struct end *e = end_of(s, flow, side);
    e->probe_at = s->now + in_ns;
    if (!e->probe_queued) {
        e->probe_queued = true;
        sim_schedule(s, e->probe_at, EVENT_PROBE, flow, (uint32_t)side, NULL);
    }
}

/* A tail loss probe; a lone packet's acknowledgement may be delayed (RFC 8985). */
void tcp_arm_probe(struct sim *s, uint32_t flow, int side)
{
    const struct end *e = end_of(s, flow, side);
    if (s->c.tlp && e->count && e->srtt_ns && e->back_off == 0 && !e->recovering)
        set_probe(s, flow, side, 2 * e->srtt_ns + (e->count == 1 ? 200 * MS : 2 * MS));
}

static struct sent *sent_at(struct end *e, size_t i)
{
    return &e->sent[e->first + i];
}

static struct sent *sent_add(struct sim *s, struct end *e)
{
    if (e->first > 256 && e->first > e->count) {
        memmove(e->sent, e->sent + e->first, e->count * sizeof *e->sent);
        e->first = 0;
    }
    struct sent *items = grow(s, e->sent, &e->room, e->first + e->count + 1, sizeof *items);
    if (!items)
        return NULL;
    e->sent = items;
    return &items[e->first + e->count++];
}

static double in_flight(const struct end *e)
{
    double sum = 0;
    for (size_t i = 0; i < e->count; i++) {
        const struct sent *x = &e->sent[e->first + i];
        if (!x->sacked && !x->lost)
            sum += x->len;
    }
    return sum;
}

/* Sends stream positions [seq, seq + len): a SYN or FIN alone, or payload. */
static void transmit(struct sim *s, uint32_t flow, int side, uint64_t seq, uint32_t len)
{
    struct end *e = end_of(s, flow, side);
    struct packet *p = packet_new(s);
    p->seq = seq;
    if (seq == 0)
        p->flags = DP_TCP_SYN;
    else if (e->fin && seq == e->fin)
        p->flags = DP_TCP_FIN;
    else
        p->len = len;
    if (p->len && seq + len == e->written)
        p->flags |= DP_TCP_PSH;
    tcp_fill(s, flow, side, p);
    path_send(s, p);
}

/* Sends again what is marked lost; true where something was. Neighbours go as one super-packet at times. */
static bool send_lost(struct sim *s, uint32_t flow, int side)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    for (size_t i = 0; i < e->count; i++) {
        struct sent *x = sent_at(e, i);
        if (!x->lost || x->sacked)
            continue;
        uint64_t seq = x->seq;
        uint32_t len = 0;
        uint32_t most = f->offload[side] && e->cwnd > 4.0 * f->mss ? 3 * f->mss : f->mss;
        do {
            len += x->len;
            x->lost = false;
            x->again = true;
            x->t_ns = s->now;
            x = ++i < e->count ? sent_at(e, i) : NULL;
        } while (x && x->lost && !x->sacked && len + x->len <= most && seq != 0 && x->seq != e->fin);
        transmit(s, flow, side, seq, len);
        if (e->rto_at == 0)
            tcp_arm(s, flow, side);
        return true;
    }
    return false;
}

static bool send_new(struct sim *s, uint32_t flow, int side, double room)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    if (e->fin && e->next == e->fin) {
        struct sent *x = sent_add(s, e);
        if (!x)
            return false;
        *x = (struct sent){.seq = e->next, .len = 1, .t_ns = s->now};
        e->next++;
        transmit(s, flow, side, x->seq, 1);
        return true;
    }
    uint64_t limit = e->una + e->peer_window < e->written ? e->una + e->peer_window : e->written;
    if (limit <= e->next)
        return false;
    uint64_t len = limit - e->next, most = f->offload[side] ? SUPER_PACKET / f->mss * f->mss : f->mss;
    if (len > most)
        len = most;
    if ((double)len > room)
        len = (uint64_t)(room < 0 ? 0 : room) / f->mss * f->mss;
    if (len < f->mss && e->next + len != e->written)
        return false; /* wait for more window rather than send a sliver */
    if (len == 0)
        return false;
    uint64_t seq = e->next;
    for (uint64_t done = 0; done < len; done += f->mss) {
        struct sent *x = sent_add(s, e);
        if (!x)
            return false;
        uint32_t part = (uint32_t)(len - done < f->mss ? len - done : f->mss);
        *x = (struct sent){.seq = seq + done, .len = part, .t_ns = s->now};
    }
    e->next += len;
    transmit(s, flow, side, seq, (uint32_t)len);
    return true;
}

void tcp_output(struct sim *s, uint32_t flow, int side)
{
    struct end *e = end_of(s, flow, side);
    if (e->state != END_OPEN)
        return;
    bool idle = e->count == 0, any = false;
    for (;;) {
        double room = e->cwnd - in_flight(e);
        if (room < s->flows[flow].mss && room < e->cwnd)
            break;
        if (!send_lost(s, flow, side) && !send_new(s, flow, side, room))
            break;
        any = true;
    }
    if (any && (idle || e->rto_at == 0))
        tcp_arm(s, flow, side);
    if (any)
        tcp_arm_probe(s, flow, side);
    if (e->count == 0 && e->peer_window == 0 && e->written > e->next)
        set_probe(s, flow, side, e->rto_ns << (e->back_off < 6 ? e->back_off : 6));
}

void tcp_connect(struct sim *s, uint32_t flow, int side)
{
    struct end *e = end_of(s, flow, side);
    e->state = END_OPENING;
    struct sent *x = sent_add(s, e);
    if (!x)
        return;
    *x = (struct sent){.seq = 0, .len = 1, .t_ns = s->now};
    e->next = 1;
    transmit(s, flow, side, 0, 1);
    tcp_arm(s, flow, side);
}

void tcp_write(struct sim *s, uint32_t flow, int side, uint32_t bytes)
{
    struct end *e = end_of(s, flow, side);
    if (e->fin)
        return;
    e->written += bytes;
    tcp_output(s, flow, side);
}

void tcp_close(struct sim *s, uint32_t flow, int side)
{
    struct end *e = end_of(s, flow, side);
    if (e->fin || e->state != END_OPEN)
        return;
    e->fin = e->written;
    tcp_output(s, flow, side);
}

void tcp_abort(struct sim *s, uint32_t flow, int side, bool tells)
{
    struct end *e = end_of(s, flow, side);
    if (tells && e->state == END_OPEN)
        tcp_send_control(s, flow, side, DP_TCP_RST, e->next);
    e->state = END_DEAD;
    e->rto_at = e->ack_at = e->probe_at = 0;
}

static void collapse(struct end *e, uint32_t mss, double inflight)
{
    e->ssthresh = inflight / 2 > 2.0 * mss ? inflight / 2 : 2.0 * mss;
    e->cwnd = mss;
    e->recovering = false;
    e->recover = e->next;
    e->duplicate_acks = 0;
    for (size_t i = 0; i < e->count; i++) {
        struct sent *x = sent_at(e, i);
        x->lost = !x->sacked;
    }
}

void tcp_timeout(struct sim *s, uint32_t flow, int side)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    e->rto_queued = false;
    if (e->rto_at == 0 || e->state == END_DEAD || e->state == END_CLOSED)
        return;
    if (s->now < e->rto_at) {
        e->rto_queued = true;
        sim_schedule(s, e->rto_at, EVENT_RTO, flow, (uint32_t)side, NULL);
        return;
    }
    if (++e->back_off > MOST_TIMEOUTS) {
        e->state = END_DEAD;
        stream_died(s, flow, side);
        return;
    }
    if (e->una == 0) { /* SYN or SYN/ACK again */
        sent_at(e, 0)->again = true;
        transmit(s, flow, side, 0, 1);
    } else {
        collapse(e, f->mss, in_flight(e));
        tcp_output(s, flow, side);
    }
    tcp_arm(s, flow, side);
}

/* A tail loss probe, or one into a closed window. */
void tcp_probe(struct sim *s, uint32_t flow, int side)
{
    struct end *e = end_of(s, flow, side);
    e->probe_queued = false;
    if (e->probe_at == 0 || e->state != END_OPEN)
        return;
    if (s->now < e->probe_at) {
        e->probe_queued = true;
        sim_schedule(s, e->probe_at, EVENT_PROBE, flow, (uint32_t)side, NULL);
        return;
    }
    e->probe_at = 0;
    if (e->count == 0 && e->peer_window == 0 && e->written > e->next) {
        e->back_off++;
        tcp_send_control(s, flow, side, DP_TCP_ACK, e->una - 1);
        set_probe(s, flow, side, e->rto_ns << (e->back_off < 6 ? e->back_off : 6));
    } else if (e->count && s->c.tlp && !e->recovering && e->back_off == 0) {
        struct sent *x = sent_at(e, e->count - 1);
        if (x->sacked || x->again)
            return;
        x->again = true;
        x->t_ns = s->now;
        transmit(s, flow, side, x->seq, x->len);
        tcp_arm(s, flow, side);
    }
}
