/* A SYN proxy: answers the client's SYN with a number of its own and a closed window, opens to the server
 * when the client has shown that it is there, and lets everything pass from then on. */
#include "tests/bench/campaign_sim/sim.h"

enum { MOST_TRIES = 5 };

static struct packet *new_packet(struct sim *s, uint32_t flow, uint8_t half, uint16_t flags)
{
    const struct flow_sim *f = &s->flows[flow];
    struct packet *p = packet_new(s);
    p->flow = flow;
    p->half = half;
    p->dir = (half == 0) == f->client_far ? TO_NEAR : TO_FAR;
    p->flags = flags;
    p->gso = f->mss;
    p->leaves_proxy = true;
    return p;
}

static void send(struct sim *s, struct packet *p)
{
    s->packets_sent++;
    path_continue(s, p, s->c.syn_proxy.stretch, 0);
}

static void answer(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    struct packet *p = new_packet(s, flow, 1, DP_TCP_SYN | DP_TCP_ACK);
    p->ack = 1;
    p->tsval = f->ts_base[1] + (uint32_t)(s->now / MS);
    p->tsecr = f->syn_seen.tsval;
    send(s, p);
}

static void open_to_server(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    struct packet *p = new_packet(s, flow, 0, DP_TCP_SYN);
    p->tsval = f->syn_seen.tsval;
    p->window = f->syn_seen.window;
    send(s, p);
}

/* To the server, and to the client that its window is open now. */
static void let_through(struct sim *s, uint32_t flow, const struct packet *seen, bool first)
{
    struct flow_sim *f = &s->flows[flow];
    struct packet *p = new_packet(s, flow, 0, DP_TCP_ACK);
    p->seq = p->ack = 1;
    p->tsval = f->syn_seen.tsval + 1;
    p->tsecr = seen->tsval;
    p->window = f->syn_seen.window;
    send(s, p);
    if (!first)
        return;
    p = new_packet(s, flow, 1, DP_TCP_ACK);
    p->seq = p->ack = 1;
    p->tsval = seen->tsval;
    p->tsecr = f->syn_seen.tsval;
    p->window = seen->window;
    send(s, p);
}

static void arm(struct sim *s, uint32_t flow)
{
    struct flow_sim *f = &s->flows[flow];
    f->syn_tries++;
    sim_schedule(s, s->now + (SECOND << (f->syn_tries - 1)), EVENT_SYN_PROXY, flow, f->syn_stage, NULL);
}

static void enter_stage(struct sim *s, uint32_t flow, enum syn_stage stage)
{
    struct flow_sim *f = &s->flows[flow];
    f->syn_stage = stage;
    f->syn_tries = 0;
    if (stage != SYN_THROUGH)
        arm(s, flow);
}

static bool from_client(struct sim *s, const struct packet *p)
{
    struct flow_sim *f = &s->flows[p->flow];
    if (p->flags & DP_TCP_SYN) {
        if (f->syn_stage == SYN_IDLE || f->syn_stage == SYN_ANSWERED) {
            f->syn_seen = *p;
            answer(s, p->flow);
            if (f->syn_stage == SYN_IDLE)
                enter_stage(s, p->flow, SYN_ANSWERED);
        }
        return true;
    }
    if (f->syn_stage == SYN_ANSWERED && (p->flags & DP_TCP_ACK) && !(p->flags & DP_TCP_RST)) {
        enter_stage(s, p->flow, SYN_OPENING);
        open_to_server(s, p->flow);
    }
    return f->syn_stage != SYN_THROUGH;
}

bool syn_proxy_takes(struct sim *s, const struct packet *p)
{
    struct flow_sim *f = &s->flows[p->flow];
    if (p->half == 0)
        return from_client(s, p);
    if (p->flags & DP_TCP_RST) {
        f->syn_stage = SYN_THROUGH; /* a refusal goes back to the client */
        return false;
    }
    if (!(p->flags & DP_TCP_SYN))
        return f->syn_stage != SYN_THROUGH;
    if (f->syn_stage == SYN_OPENING || f->syn_stage == SYN_THROUGH)
        let_through(s, p->flow, p, f->syn_stage == SYN_OPENING);
    if (f->syn_stage == SYN_OPENING)
        enter_stage(s, p->flow, SYN_THROUGH);
    return true;
}

/* Nothing was heard for a while. */
void syn_proxy_event(struct sim *s, uint32_t flow, uint32_t stage)
{
    struct flow_sim *f = &s->flows[flow];
    if (f->syn_stage != stage)
        return;
    if (f->syn_tries > MOST_TRIES) {
        f->syn_stage = SYN_GIVEN_UP;
        return;
    }
    if (f->syn_stage == SYN_ANSWERED)
        answer(s, flow);
    else
        open_to_server(s, flow);
    arm(s, flow);
}
