/* A proxy that ends the client's connection, opens one of its own to the server, and carries bytes between
 * them. */
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

enum { CHUNK = 16384, NET_PROXY = 64, NET_BACKEND = 65 };
enum { PROXY_MOVE = 0, PROXY_CONNECT_TIMEOUT = 2, PROXY_FAULT = 3 }; /* what an event is; 0 and 1 by half */

bool proxy_end(const struct flow_sim *f, int side)
{
    return f->other != NO_FLOW && side == (f->back ? 0 : 1);
}

/* ---- the two legs ---- */

static uint32_t text_header(const struct sim *s, const struct flow_sim *front, uint8_t *at)
{
    char text[2][48];
    for (int side = 0; side < 2; side++) {
        struct endpoint e = side ? front->at_server : front->at_client;
        uint8_t a[16];
        frame_address(a, e, s->c.ipv6);
        if (s->c.ipv6)
            snprintf(text[side], sizeof text[side], "2001:db8:0:%x::%x", a[7], a[15]);
        else
            snprintf(text[side], sizeof text[side], "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    }
    return (uint32_t)snprintf((char *)at, HEADER_ROOM, "PROXY TCP%d %s %s %u %u\r\n", s->c.ipv6 ? 6 : 4,
                              text[0], text[1], front->at_client.port, front->at_server.port);
}

static uint32_t binary_header(const struct sim *s, const struct flow_sim *front, uint8_t *at)
{
    static const uint8_t begin[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a,
                                    0x51, 0x55, 0x49, 0x54, 0x0a, 0x21};
    uint8_t size = s->c.ipv6 ? 16 : 4;
    uint16_t ports[2] = {front->at_client.port, front->at_server.port};
    memcpy(at, begin, sizeof begin);
    at[13] = s->c.ipv6 ? 0x21 : 0x11;
    at[14] = 0;
    at[15] = (uint8_t)(2 * size + 4);
    frame_address(at + 16, front->at_client, s->c.ipv6);
    frame_address(at + 16 + size, front->at_server, s->c.ipv6);
    for (int i = 0; i < 2; i++) {
        at[16 + 2 * size + 2 * i] = (uint8_t)(ports[i] >> 8);
        at[17 + 2 * size + 2 * i] = (uint8_t)ports[i];
    }
    return 20u + 2u * size;
}

static void set_places(const struct sim *s, struct flow_sim *f, bool near)
{
    f->low = (uint8_t)(near ? 0 : s->c.proxy.stretch);
    f->high = (uint8_t)(near ? s->c.proxy.stretch - 1 : s->c.points - 1);
}

/* An end in the proxy's host, from numbers of its own. */
static void draw_end(const struct sim *s, struct flow_sim *f, int side, struct rng *r)
{
    f->isn[side] = (uint32_t)rng_next(r);
    f->ip_id[side] = (uint16_t)rng_next(r);
    f->ts_base[side] = (uint32_t)rng_next(r);
    f->offload[side] = s->c.proxy.offload;
    f->end[side].window_most = (uint64_t)rng_log(r, 64000, 400000);
}

uint32_t proxy_carry(struct sim *s, uint32_t flow)
{
    const struct proxy_config *c = &s->c.proxy;
    struct flow_sim *a = &s->flows[flow], *b = &s->flows[s->flow_count];
    struct rng r = rng_of(s->c.seed, 9000 + flow);
    *b = *a;
    b->back = true;
    b->other = flow;
    a->other = s->flow_count;
    set_places(s, a, !a->client_far);
    set_places(s, b, a->client_far);
    draw_end(s, a, 1, &r);
    draw_end(s, b, 0, &r);
    a->tls = c->tls > 0;
    b->tls = c->tls > 1;
    if (!c->transparent) {
        uint8_t far = a->client_far ? 100 : 0;
        b->at_client = (struct endpoint){NET_PROXY, (uint8_t)(1 + far), (uint16_t)(40000 + flow % 20000)};
        b->at_server = (struct endpoint){NET_BACKEND, (uint8_t)(far + 1 + rng_below(&r, 4)),
                                         (uint16_t)(a->server_port + (rng_chance(&r, 0.5) ? 8000 : 0))};
    }
    if (c->header == 1)
        b->header_len = text_header(s, a, b->header);
    else if (c->header == 2)
        b->header_len = binary_header(s, a, b->header);
    a->refused = false;
    b->messages = b->text_count[0] = b->text_count[1] = 0;
    return s->flow_count++;
}

/* ---- what the process does ---- */

/* By half: where bytes come from, and where they go. */
static void ends_of(const struct sim *s, uint32_t front, int half, uint32_t *ret_from, uint32_t *ret_to)
{
    uint32_t back = s->flows[front].other;
    *ret_from = half == 0 ? front : back;
    *ret_to = half == 0 ? back : front;
}

static bool swallows(const struct sim *s, uint32_t front, int half)
{
    const struct flow_sim *f = &s->flows[front];
    int dir = (half == 0) == f->client_far ? TO_NEAR : TO_FAR;
    return s->c.fault == FAULT_SWALLOW && dir == s->c.fault_dir && s->now >= s->c.fault_from_ns &&
           (s->c.proxy.swallows_all || f->faulty);
}

static void open_window(struct sim *s, uint32_t flow, int side)
{
    struct flow_sim *f = &s->flows[flow];
    struct end *e = &f->end[side];
    if (e->state == END_OPEN && e->advertised < 2 * f->mss && tcp_window(e) >= 2 * f->mss)
        tcp_send_control(s, flow, side, DP_TCP_ACK, e->next);
}

/* Reads one chunk and writes it. */
static void move(struct sim *s, uint32_t front, int half)
{
    uint32_t from, to;
    int in = 1 - half, out = half; /* the proxy's ends */
    ends_of(s, front, half, &from, &to);
    struct proxied *p = &s->flows[front].proxied;
    struct end *reads = &s->flows[from].end[in], *writes = &s->flows[to].end[out];
    uint64_t available = stream_received(s, from, in) - p->forwarded[half];
    uint64_t waits = writes->written - (writes->una ? writes->una : 1);
    uint64_t room = waits < s->c.proxy.buffer ? s->c.proxy.buffer - waits : 0;
    bool swallowed = swallows(s, front, half) || p->swallowed[half];
    uint64_t n = available < CHUNK ? available : CHUNK;
    if (swallowed)
        p->swallowed[half] += n;
    else
        n = n < room ? n : room;
    if (writes->state == END_DEAD || writes->fin)
        n = 0;
    p->forwarded[half] += n;
    reads->unread = available - n;
    if (n && !swallowed)
        stream_write(s, to, out, (uint32_t)n);
    if (n)
        open_window(s, from, in);
    if (reads->unread == 0 && !swallowed && stream_ended(s, from, in))
        tcp_close(s, to, out);
    if (n && reads->unread)
        proxy_progress(s, front);
}

static void connect_to_server(struct sim *s, uint32_t front)
{
    struct flow_sim *a = &s->flows[front], *b = &s->flows[a->other];
    if (a->proxied.connecting || a->end[1].state != END_OPEN ||
        (s->c.proxy.late_connect && stream_received(s, front, 1) == 0 && a->script[0].side == 0))
        return;
    a->proxied.connecting = true;
    b->start_ns = s->now;
    if (b->header_len)
        tcp_write(s, a->other, 0, b->header_len);
    tcp_connect(s, a->other, 0);
    sim_schedule(s, s->now + 10 * SECOND, EVENT_PROXY, front, PROXY_CONNECT_TIMEOUT, NULL);
}

/* Something arrived at one of the proxy's ends: its kernel has it; the process takes note soon. */
void proxy_progress(struct sim *s, uint32_t flow)
{
    uint32_t front = front_of(s, flow);
    struct proxied *p = &s->flows[front].proxied;
    for (int half = 0; half < 2; half++) {
        uint32_t from, to;
        ends_of(s, front, half, &from, &to);
        struct end *reads = &s->flows[from].end[1 - half];
        reads->unread = stream_received(s, from, 1 - half) - p->forwarded[half];
        bool ended = stream_ended(s, from, 1 - half) && !s->flows[to].end[half].fin;
        bool waits = reads->unread || ended || (half == 0 && !p->connecting);
        if (!waits || p->queued[half] || s->proxy_state != PROXY_RUNS)
            continue;
        p->queued[half] = true;
        sim_schedule(s, s->now + s->c.proxy.delay_ns, EVENT_PROXY, front, PROXY_MOVE + (uint32_t)half, NULL);
    }
}

static void give_up(struct sim *s, uint32_t flow, int side)
{
    struct end *e = &s->flows[flow].end[side];
    if (e->fin && e->una > e->fin && stream_ended(s, flow, side))
        return; /* it is over */
    if (s->c.proxy.ends_by_fin && e->state == END_OPEN) {
        tcp_close(s, flow, side);
        return;
    }
    s->proxy_resets += e->state == END_OPEN;
    tcp_abort(s, flow, side, true);
}

/* The proxy's end of this leg was reset, or gave up: so ends the other leg. */
void proxy_died(struct sim *s, uint32_t flow)
{
    const struct flow_sim *f = &s->flows[flow];
    struct proxied *p = &s->flows[front_of(s, flow)].proxied;
    if (p->aborted || s->proxy_state != PROXY_RUNS)
        return;
    p->aborted = true;
    give_up(s, f->other, f->back ? 1 : 0);
}

/* ---- faults inside it ---- */

void proxy_begin(struct sim *s)
{
    if (s->c.proxy.on && fault_of_proxy(s->c.fault) && s->c.fault != FAULT_SWALLOW)
        sim_schedule(s, s->c.fault_from_ns, EVENT_PROXY, 0, PROXY_FAULT, NULL);
}

static void stop(struct sim *s)
{
    s->proxy_state = s->c.fault == FAULT_FREEZE  ? PROXY_FROZEN
                     : s->c.fault == FAULT_CRASH ? PROXY_CRASHED
                                                 : PROXY_DEAD;
    for (uint32_t i = 0; i < s->flow_count && s->proxy_state != PROXY_FROZEN; i++)
        for (int side = 0; side < 2; side++) {
            if (!proxy_end(&s->flows[i], side))
                continue;
            const struct end *e = &s->flows[i].end[side];
            bool over = e->fin && e->una > e->fin && e->peer_fin; /* no process holds it any more */
            bool open = e->state == END_OPEN && !over && s->proxy_state == PROXY_CRASHED;
            tcp_abort(s, i, side, open);
            s->resets_injected += open;
            s->reset_done_ns = s->now;
        }
}

void proxy_event(struct sim *s, uint32_t flow, uint32_t what)
{
    if (what == PROXY_FAULT) {
        stop(s);
        return;
    }
    struct flow_sim *f = &s->flows[flow];
    if (what <= 1)
        f->proxied.queued[what] = false;
    if (s->proxy_state != PROXY_RUNS || f->proxied.aborted)
        return;
    if (what == PROXY_CONNECT_TIMEOUT) {
        if (s->flows[f->other].end[0].state != END_OPENING)
            return;
        tcp_abort(s, f->other, 0, false);
        f->proxied.aborted = true;
        give_up(s, flow, 1);
        return;
    }
    connect_to_server(s, flow);
    move(s, flow, (int)what);
}

/* ---- what it took over and never sent on ---- */

/* Positions on the leg where the bytes came in. */
struct held {
    uint64_t from; /* never seen behind the proxy from here on */
    uint64_t sure; /* never left the process from here on */
    uint64_t to;   /* taken over until here */
    bool lost, certain;
};

static struct held held_back(const struct sim *s, uint32_t front, int half)
{
    const struct proxied *p = &s->flows[front].proxied;
    uint32_t from, to;
    ends_of(s, front, half, &from, &to);
    uint64_t forwarded = p->forwarded[half] - p->swallowed[half];
    uint64_t sent = stream_sent(s, to, half);
    bool stopped = s->proxy_state != PROXY_RUNS || p->swallowed[half] || p->aborted;
    struct held h = {.lost = stopped, .certain = stopped && !p->aborted && s->proxy_state != PROXY_CRASHED};
    h.from = stream_position(s, from, half, sent < forwarded ? sent : forwarded);
    h.sure = stream_position(s, from, half, forwarded);
    h.to = stream_position(s, from, half, stream_received(s, from, 1 - half));
    if (s->proxy_state == PROXY_DEAD) {
        h.sure = h.from;
        h.to = UINT64_MAX; /* whatever comes is lost */
    }
    return h;
}

/* The part of [seq, seq + len) that lies in [*covered, to); covers it. */
static uint64_t take_part(const struct record *r, uint64_t to, uint64_t *covered)
{
    uint64_t end = r->seq + r->len < to ? r->seq + r->len : to;
    uint64_t start = r->seq > *covered ? r->seq : *covered;
    if (end <= start)
        return 0;
    *covered = end;
    return end - start;
}

/* Each of the bytes counts once: a copy of what the proxy has already is no loss. */
static void count_held(struct sim *s, uint32_t front, int half)
{
    uint32_t from, to;
    ends_of(s, front, half, &from, &to);
    const struct flow_sim *f = &s->flows[from];
    struct held h = held_back(s, front, half);
    int dir = (half == 0) == f->client_far ? TO_NEAR : TO_FAR;
    uint32_t up = dir == TO_FAR ? f->high : f->low, down = dir == TO_FAR ? up + 1 : up - 1;
    struct place_truth *t = &s->truth[s->c.proxy.stretch][dir];
    uint64_t possible = h.from, sure = h.sure;
    for (size_t i = 0; i < s->point[up].count && h.to > h.from; i++) {
        const struct record *r = &s->point[up].records[i];
        if (r->flow != from || r->half != half || r->len == 0 || r->seq + r->len <= h.from || r->seq >= h.to)
            continue;
        bool fresh = take_part(r, h.to, &possible) > 0;
        uint64_t bytes = take_part(r, h.to, &sure);
        bool certain = bytes && h.certain && truth_known_to_capture(s, down, r->t_ns) &&
                       truth_known_to_capture(s, down, r->t_ns + 3 * SECOND);
        t->lost += h.lost && fresh;
        t->in_proxy += !h.lost;
        t->packets.most++;
        t->bytes.most += r->len;
        t->packets.least += certain;
        t->bytes.least += certain ? bytes : 0;
    }
}

void proxy_settle(struct sim *s)
{
    for (uint32_t i = 0; i < s->c.flows && s->c.proxy.on; i++)
        for (int half = 0; half < 2 && s->flows[i].other != NO_FLOW; half++)
            count_held(s, i, half);
}
