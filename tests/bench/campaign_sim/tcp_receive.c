/* The receiving half of a TCP end: what arrives, what is acknowledged and when; and what acknowledgements
 * mean to the sender. */
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

static struct sent *sent_at(struct end *e, size_t i)
{
    return &e->sent[e->first + i];
}

static void measure(struct end *e, int64_t rtt)
{
    if (e->srtt_ns == 0) {
        e->srtt_ns = rtt;
        e->rttvar_ns = rtt / 2;
    } else {
        int64_t error = rtt > e->srtt_ns ? rtt - e->srtt_ns : e->srtt_ns - rtt;
        e->rttvar_ns += (error - e->rttvar_ns) / 4;
        e->srtt_ns += (rtt - e->srtt_ns) / 8;
    }
    int64_t spread = 4 * e->rttvar_ns > 200 * MS ? 4 * e->rttvar_ns : 200 * MS;
    e->rto_ns = e->srtt_ns + spread;
}

/* Takes what is acknowledged off the list; the bytes that are newly acknowledged. */
static uint64_t take_acknowledged(struct sim *s, struct end *e, uint64_t ack)
{
    uint64_t before = e->una;
    e->una = ack;
    while (e->count) {
        struct sent *x = sent_at(e, 0);
        if (x->seq + x->len > ack) {
            if (x->seq < ack) {
                x->len -= (uint32_t)(ack - x->seq);
                x->seq = ack;
            }
            break;
        }
        if (!x->again)
            measure(e, s->now - x->t_ns);
        if (x->t_ns > e->delivered_sent_ns)
            e->delivered_sent_ns = x->t_ns;
        e->first++;
        e->count--;
    }
    if (e->count == 0)
        e->first = 0;
    return ack - before;
}

/* Marks what SACK blocks cover, then what is lost by them. */
static bool take_sacks(struct sim *s, struct end *e, const struct packet *p, uint32_t mss)
{
    uint64_t highest = 0;
    bool found = false;
    for (size_t i = 0; i < e->count; i++) {
        struct sent *x = sent_at(e, i);
        for (uint8_t k = 0; k < p->sack_count && !x->sacked; k++)
            if (p->sack[k][0] <= x->seq && x->seq + x->len <= p->sack[k][1]) {
                x->sacked = true;
                x->lost = false;
                if (x->t_ns > e->delivered_sent_ns)
                    e->delivered_sent_ns = x->t_ns;
            }
        if (x->sacked)
            highest = x->seq + x->len;
    }
    for (size_t i = 0; i < e->count; i++) {
        struct sent *x = sent_at(e, i);
        if (x->sacked || x->lost)
            continue;
        bool first_time = !x->again && x->seq + x->len + 3ULL * mss <= highest;
        bool late = s->c.rack && e->delivered_sent_ns > x->t_ns &&
                    s->now - x->t_ns > e->srtt_ns + e->srtt_ns / 4 + MS && x->seq < highest;
        if (first_time || late) {
            x->lost = true;
            found = true;
        }
    }
    return found;
}

static void enter_recovery(struct end *e, uint32_t mss)
{
    if (e->recovering)
        return;
    e->recovering = true;
    e->recover = e->next;
    e->ssthresh = e->cwnd / 2 > 2.0 * mss ? e->cwnd / 2 : 2.0 * mss;
    e->cwnd = e->ssthresh;
}

static void duplicate_ack(struct end *e, uint32_t mss, bool sack)
{
    e->duplicate_acks++;
    if (sack)
        return;
    if (e->recovering) {
        e->cwnd += mss;
    } else if (e->duplicate_acks == 3 && e->una > e->recover) {
        enter_recovery(e, mss);
        sent_at(e, 0)->lost = true;
        e->cwnd += 3.0 * mss;
    }
}

static void open_congestion_window(struct end *e, uint64_t newly, uint32_t mss)
{
    if (e->cwnd < e->ssthresh)
        e->cwnd += (double)(newly < 2ULL * mss ? newly : 2ULL * mss);
    else
        e->cwnd += (double)mss * (double)mss / e->cwnd;
    if (e->cwnd > 4e6)
        e->cwnd = 4e6;
}

void tcp_acknowledged(struct sim *s, uint32_t flow, int side, const struct packet *p)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    bool window_same = p->window == e->peer_window;
    if (p->ack < e->una || p->ack > e->next)
        return;
    e->peer_window = p->window;
    if (p->ack > e->una) {
        bool partial = e->recovering && p->ack < e->recover;
        uint64_t newly = take_acknowledged(s, e, p->ack);
        e->duplicate_acks = 0;
        e->back_off = 0;
        if (e->recovering && !partial) {
            e->recovering = false;
            e->cwnd = e->ssthresh;
        } else if (partial && !f->sack && e->count) {
            sent_at(e, 0)->lost = true;
            e->cwnd = e->cwnd > (double)newly + f->mss ? e->cwnd - (double)newly + f->mss : f->mss;
        } else if (!e->recovering) {
            open_congestion_window(e, newly, f->mss);
        }
        tcp_arm(s, flow, side);
        tcp_arm_probe(s, flow, side);
        if (e->count == 0)
            e->probe_at = 0;
    } else if (p->len == 0 && e->count && window_same && !(p->flags & (DP_TCP_FIN | DP_TCP_SYN))) {
        duplicate_ack(e, f->mss, f->sack);
    }
    if (f->sack && e->count && take_sacks(s, e, p, f->mss))
        enter_recovery(e, f->mss);
    tcp_output(s, flow, side);
}

/* ---- what arrives ---- */

static void hold(struct end *e, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < e->held_count; i++) {
        uint64_t *h = e->held[i];
        if (end < h[0] || start > h[1])
            continue;
        start = start < h[0] ? start : h[0];
        end = end > h[1] ? end : h[1];
        memmove(h, h + 2, (e->held_count - i - 1) * sizeof e->held[0]);
        e->held_count--;
        i = (size_t)-1;
    }
    if (e->held_count == OUT_OF_ORDER)
        return; /* forgotten: it will come again */
    e->held[e->held_count][0] = start;
    e->held[e->held_count][1] = end;
    e->newest_held = e->held_count++;
}

static void take_held(struct end *e)
{
    for (size_t i = 0; i < e->held_count; i++) {
        if (e->held[i][0] > e->expected)
            continue;
        if (e->held[i][1] > e->expected)
            e->expected = e->held[i][1];
        memmove(e->held[i], e->held[i + 1], (e->held_count - i - 1) * sizeof e->held[0]);
        e->held_count--;
        i = (size_t)-1;
    }
    e->newest_held = e->held_count ? e->held_count - 1 : 0;
}

static void acknowledge_now(struct sim *s, uint32_t flow, int side)
{
    struct end *e = &s->flows[flow].end[side];
    e->turns++;
    tcp_send_control(s, flow, side, DP_TCP_ACK, e->next);
}

void tcp_ack_due(struct sim *s, uint32_t flow, int side)
{
    struct end *e = &s->flows[flow].end[side];
    e->ack_queued = false;
    if (e->ack_at == 0 || e->state != END_OPEN)
        return;
    if (s->now < e->ack_at) {
        e->ack_queued = true;
        sim_schedule(s, e->ack_at, EVENT_ACK, flow, (uint32_t)side, NULL);
        return;
    }
    acknowledge_now(s, flow, side);
}

static void take_data(struct sim *s, uint32_t flow, int side, const struct packet *p)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    uint64_t start = p->seq, end = p->seq + p->len + ((p->flags & DP_TCP_FIN) ? 1 : 0);
    bool now = e->held_count > 0 || e->turns < 6 || (p->flags & DP_TCP_FIN);
    uint64_t before = e->expected;
    if (end <= e->expected) {
        if (s->c.dsack && f->sack) {
            e->dsack[0] = start;
            e->dsack[1] = end;
        }
        now = true;
    } else if (start <= e->expected) {
        e->expected = end;
        take_held(e);
        e->ts_recent = p->tsval;
    } else {
        hold(e, start, end);
        now = true;
    }
    if (p->flags & DP_TCP_FIN)
        e->peer_fin = true; /* counts once everything before has come too */
    if (e->not_reading)
        e->unread += e->expected - before;
    e->unacked += p->len > f->mss ? 2 : 1;
    uint32_t sent_before = e->unacked;
    if (e->expected > before)
        stream_progress(s, flow, side);
    if (e->unacked < sent_before)
        return; /* the application's answer carried the acknowledgement */
    if (now || e->unacked >= 2) {
        acknowledge_now(s, flow, side);
    } else if (e->ack_at == 0) {
        e->ack_at = s->now + 40 * MS;
        if (!e->ack_queued) {
            e->ack_queued = true;
            sim_schedule(s, e->ack_at, EVENT_ACK, flow, (uint32_t)side, NULL);
        }
    }
}

static void take_syn(struct sim *s, uint32_t flow, int side, const struct packet *p)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    if (side == 1) {
        e->expected = 1;
        e->ts_recent = p->tsval;
        if (f->refused) {
            s->refusals++;
            tcp_send_control(s, flow, side, DP_TCP_RST | DP_TCP_ACK, 0);
        } else if (e->state == END_LISTEN) {
            e->peer_window = p->window;
            tcp_connect(s, flow, 1);
        } else if (e->una == 0) {
            tcp_send_control(s, flow, side, DP_TCP_SYN, 0);
        } else {
            acknowledge_now(s, flow, side);
        }
        return;
    }
    if (e->state == END_OPENING && p->ack == 1) {
        e->expected = 1;
        e->ts_recent = p->tsval;
        e->state = END_OPEN;
        f->established = true;
        e->rto_ns = SECOND;
        tcp_acknowledged(s, flow, side, p);
    }
    acknowledge_now(s, flow, side);
    stream_progress(s, flow, side);
}

void tcp_receive(struct sim *s, uint32_t flow, int side, const struct packet *p)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    if (s->proxy_state == PROXY_DEAD && proxy_end(f, side))
        return;
    if (p->flags & DP_TCP_RST) {
        tcp_abort(s, flow, side, false);
        stream_died(s, flow, side);
        return;
    }
    if (e->state == END_DEAD || e->state == END_CLOSED) {
        if (p->flags & DP_TCP_SYN)
            e->expected = 1;
        s->proxy_resets += proxy_end(f, side);
        tcp_send_control(s, flow, side, DP_TCP_RST, p->ack);
        return;
    }
    if (p->flags & DP_TCP_SYN) {
        take_syn(s, flow, side, p);
        return;
    }
    if (e->state == END_OPENING && side == 1 && p->ack >= 1) {
        e->state = END_OPEN;
        f->established = true;
    }
    if (e->state != END_OPEN)
        return;
    tcp_acknowledged(s, flow, side, p);
    if (p->len || (p->flags & DP_TCP_FIN))
        take_data(s, flow, side, p);
    else if (p->seq + 1 == e->expected || p->seq < e->expected)
        acknowledge_now(s, flow, side); /* a probe */
    else
        stream_progress(s, flow, side);
    if (proxy_end(f, side))
        proxy_progress(s, flow); /* what is acknowledged makes room */
}
