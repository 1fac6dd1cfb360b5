/* What runs over the connections: scripts of messages, SMTP's time-out, datagrams. */
#include <stdlib.h>

#include "tests/bench/campaign_sim/sim.h"

static const char *const TIMED_OUT = "421 4.4.2 mx.example.net Error: timeout exceeded\r\n";

/* Content is kept with the leg to the client, counted in the application's bytes. */
static void add_text(struct sim *s, uint32_t flow, int side, const char *text)
{
    struct flow_sim *f = &s->flows[flow];
    uint64_t start = s->flows[leg_of(s, flow, side)].out[side].plain + 1;
    if (!text || f->text_count[side] == MAX_TEXTS)
        return;
    f->texts[side][f->text_count[side]].start = start;
    f->texts[side][f->text_count[side]++].text = text;
}

static void write_message(struct sim *s, uint32_t flow, const struct message *m)
{
    struct flow_sim *f = &s->flows[flow];
    uint32_t leg = leg_of(s, flow, m->side);
    add_text(s, flow, m->side, m->text);
    f->current_end = s->flows[leg].out[m->side].plain + m->bytes;
    stream_write(s, leg, m->side, m->bytes);
}

static void close_where_due(struct sim *s, uint32_t flow)
{
    for (int side = 0; side < 2; side++) {
        uint32_t leg = leg_of(s, flow, side);
        if (stream_ended(s, leg, side))
            tcp_close(s, leg, side);
    }
}

void app_progress(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    f->idle_at = s->now + f->idle_limit_ns;
    close_where_due(s, flow);
    if (f->waits || f->current > f->messages)
        return;
    if (f->current_end) { /* one is under way */
        const struct message *m = &f->script[f->current];
        int reader = 1 - m->side;
        if (stream_received(s, leg_of(s, flow, reader), reader) < f->current_end)
            return;
        f->current++;
        f->current_end = 0;
    }
    if (f->current == f->messages) {
        f->current++;
        tcp_close(s, leg_of(s, flow, f->closer), f->closer);
        return;
    }
    f->waits = true;
    sim_schedule(s, s->now + f->script[f->current].think_ns, EVENT_APP, flow << 3, 0, NULL);
}

static void time_out(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    uint32_t leg = leg_of(s, flow, 1);
    const struct end *server = &s->flows[leg].end[1];
    if (server->state != END_OPEN || server->fin)
        return;
    if (s->now < f->idle_at) {
        sim_schedule(s, f->idle_at, EVENT_APP, flow << 3 | 1, 0, NULL);
        return;
    }
    uint32_t len = 0;
    while (TIMED_OUT[len])
        len++;
    add_text(s, flow, 1, TIMED_OUT);
    s->timed_out++;
    f->current = f->messages + 1;
    stream_write(s, leg, 1, len);
    tcp_close(s, leg, 1);
}

/* 0: the next message is due; 1: look whether the server waited too long; 2: open; 3: stop reading; 4: read
 * again. */
static void act(struct sim *s, uint32_t flow, uint32_t what)
{
    struct flow_sim *f = &s->flows[flow];
    switch (what) {
    case 0:
        f->waits = false;
        if (f->current < f->messages)
            write_message(s, flow, &f->script[f->current]);
        break;
    case 1:
        time_out(s, flow);
        break;
    case 2:
        tcp_connect(s, flow, 0);
        if (f->idle_limit_ns) {
            f->idle_at = s->now + f->idle_limit_ns;
            sim_schedule(s, f->idle_at, EVENT_APP, flow << 3 | 1, 0, NULL);
        }
        break;
    default:
        s->flows[leg_of(s, flow, f->stall_side)].end[f->stall_side].not_reading = true;
        s->stalls++;
        break;
    }
}

void app_event(struct sim *s, uint32_t flow_and_what)
{
    act(s, flow_and_what >> 3, flow_and_what & 7);
}

static void send_datagram(struct sim *s, uint32_t flow, int side, uint32_t len)
{
    struct flow_sim *f = &s->flows[flow];
    struct packet *p = packet_new(s);
    p->flow = flow;
    p->half = (uint8_t)side;
    p->dir = (side == 0) == f->client_far ? TO_NEAR : TO_FAR;
    p->seq = f->datagram_bytes;
    p->len = len;
    p->gso = len;
    f->datagram_bytes += len + 64;
    p->ip_id = s->c.ip_id_mode == 1 ? 0
               : s->c.ip_id_mode    ? (uint16_t)rng_next(&s->rng_tcp)
                                    : f->ip_id[side]++;
    path_send(s, p);
}

void app_datagram(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    if (f->datagrams == 0)
        return;
    f->datagrams--;
    send_datagram(s, flow, 0, (uint32_t)rng_between(&s->rng_tcp, 20, 1200));
    sim_schedule(s, s->now + (int64_t)((double)f->datagram_gap_ns * rng_log(&s->rng_tcp, 0.3, 3)),
                 EVENT_DATAGRAM, flow, 0, NULL);
}

void app_datagram_arrived(struct sim *s, const struct packet *p)
{
    if (p->half == 0 && s->flows[p->flow].answered)
        send_datagram(s, p->flow, 1, (uint32_t)rng_between(&s->rng_tcp, 40, 1200));
}
