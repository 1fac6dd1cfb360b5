/* Makes the flows of a case and what they say. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

static void say(struct flow_sim *f, int side, uint32_t bytes, int64_t think, const char *text)
{
    if (f->messages == MAX_MESSAGES)
        return;
    f->script[f->messages++] =
        (struct message){(uint8_t)side, text ? (uint32_t)strlen(text) : bytes, think, text};
}

static void smtp(struct flow_sim *f, struct rng *r, uint64_t bytes)
{
    int64_t think = rng_between(r, 100 * US, 30 * MS);
    say(f, 1, 0, think, "220 mx.example.net ESMTP\r\n");
    say(f, 0, 0, think, "EHLO mx1.example.com\r\n");
    say(f, 1, 0, think, "250-mx.example.net\r\n250-PIPELINING\r\n250 SIZE 52428800\r\n");
    say(f, 0, 0, think, "MAIL FROM:<sender@example.com>\r\n");
    say(f, 1, 0, think, "250 2.1.0 Ok\r\n");
    say(f, 0, 0, think, "RCPT TO:<rcpt@example.net>\r\n");
    say(f, 1, 0, think, "250 2.1.5 Ok\r\n");
    say(f, 0, 0, think, "DATA\r\n");
    say(f, 1, 0, think, "354 End data with <CR><LF>.<CR><LF>\r\n");
    say(f, 0, (uint32_t)bytes, think, NULL);
    say(f, 0, 0, 0, "\r\n.\r\n");
    say(f, 1, 0, think * 3, "250 2.0.0 Ok: queued as 4F1A2\r\n");
    say(f, 0, 0, think, "QUIT\r\n");
    say(f, 1, 0, think, "221 2.0.0 Bye\r\n");
    f->closer = 1;
}

void app_script(struct sim *s, uint32_t flow, struct rng *r, uint64_t bytes, bool is_smtp, bool reverse)
{
    struct flow_sim *f = &s->flows[flow];
    f->closer = (uint8_t)rng_below(r, 2);
    if (is_smtp) {
        smtp(f, r, bytes);
        return;
    }
    int side = reverse ? 1 : 0;
    uint64_t kind = rng_below(r, 4);
    if (kind < 2) { /* bulk */
        if (reverse)
            say(f, 0, (uint32_t)rng_between(r, 60, 900), MS, NULL);
        say(f, side, (uint32_t)bytes, MS, NULL);
    } else if (kind == 2) { /* requests and responses */
        int n = (int)rng_between(r, 2, 25);
        for (int i = 0; i < n; i++) {
            int64_t think = (int64_t)(rng_log(r, 0.1, 300) * (double)MS);
            say(f, 0, (uint32_t)rng_between(r, 30, 1500), think, NULL);
            say(f, 1, (uint32_t)(1 + (double)bytes / n * rng_log(r, 0.1, 2)), think / 4, NULL);
        }
    } else { /* a little now and then */
        int n = (int)rng_between(r, 5, 50);
        for (int i = 0; i < n; i++)
            say(f, side, (uint32_t)(1 + bytes / (uint64_t)n), rng_between(r, MS, 400 * MS), NULL);
    }
}

static void tcp_ends(struct sim *s, struct flow_sim *f, struct rng *r)
{
    for (int side = 0; side < 2; side++) {
        struct end *e = &f->end[side];
        bool far = (side == 0) == f->client_far;
        *e = (struct end){.state = side ? END_LISTEN : END_CLOSED,
                          .written = 1,
                          .ssthresh = 1e9,
                          .rto_ns = SECOND,
                          .window_most = (uint64_t)rng_log(r, 64000, 1500000),
                          .peer_window = 64000};
        f->offload[side] = s->c.end_offload[far ? 1 : 0];
        f->isn[side] = (uint32_t)rng_next(r);
        f->ip_id[side] = (uint16_t)rng_next(r);
        f->ts_base[side] = (uint32_t)rng_next(r);
    }
}

static void udp_flow(struct sim *s, struct flow_sim *f, struct rng *r)
{
    f->udp = true;
    f->server_port = rng_chance(r, 0.5) ? 53 : 4500;
    f->answered = rng_chance(r, 0.7);
    f->datagrams = (uint32_t)rng_between(r, 5, 300);
    f->datagram_gap_ns = (int64_t)(rng_log(r, 0.5, 100) * (double)MS);
    f->datagram_bytes = rng_next(r) >> 8;
    (void)s;
}

/* As the vantage points see it, on both legs where a proxy carries it. */
static void place(struct sim *s, uint32_t i)
{
    struct flow_sim *f = &s->flows[i];
    struct rng r = rng_of(s->c.seed, 5000 + i);
    f->other = NO_FLOW;
    f->high = (uint8_t)(s->c.points - 1);
    f->tos = (uint8_t)(rng_chance(&r, 0.3) ? 2 : 0);
    f->at_client = (struct endpoint){0, f->client_addr, f->client_port};
    f->at_server = (struct endpoint){1, f->server_addr, f->server_port};
    uint32_t legs[2] = {i, i};
    bool carried = rng_chance(&r, s->c.proxy.share) && s->c.proxy.on && !f->udp;
    if (carried)
        legs[1] = proxy_carry(s, i);
    for (int k = 0; k < (carried ? 2 : 1); k++) {
        struct flow_sim *leg = &s->flows[legs[k]];
        rewrite_flow(s, legs[k]);
        leg->end[0].cwnd = leg->end[1].cwnd = 10.0 * leg->mss;
    }
}

static void one_flow(struct sim *s, uint32_t i, struct rng *r)
{
    const struct config *c = &s->c;
    struct flow_sim *f = &s->flows[i];
    static const uint16_t ports[] = {443, 80, 5432, 8080};
    f->client_far = rng_chance(r, c->far_client_share);
    f->client_port = (uint16_t)(30000 + i);
    /* An address lies at one end of the path only. */
    f->client_addr = (uint8_t)(1 + rng_below(r, 20) + (f->client_far ? 100 : 0));
    f->server_addr = (uint8_t)(1 + rng_below(r, 8) + (f->client_far ? 100 : 0));
    f->mss = (rng_chance(r, 0.8) ? 1500 : (uint32_t)rng_between(r, 1280, 1480)) - (c->ipv6 ? 60u : 40u);
    f->start_ns = (int64_t)(rng_unit(r) * c->start_span * (double)c->duration_ns);
    if (i == 0)
        f->start_ns = 10 * MS;
    bool is_smtp = rng_chance(r, c->smtp_share), reverse = rng_chance(r, c->reverse_share);
    f->server_port = is_smtp ? 25 : ports[rng_below(r, 4)];
    if (rng_chance(r, c->udp_share)) {
        udp_flow(s, f, r);
        sim_schedule(s, f->start_ns, EVENT_DATAGRAM, i, 0, NULL);
        return;
    }
    tcp_ends(s, f, r);
    double bytes = (double)c->bytes / c->flows * rng_log(r, 0.1, 3);
    app_script(s, i, r, (uint64_t)bytes + 200, is_smtp, reverse);
    if (is_smtp && rng_chance(r, 0.5))
        f->idle_limit_ns = rng_between(r, 5 * SECOND, 15 * SECOND);
    f->faulty = rng_below(r, c->fault_flows) == 0;
    if (c->fault == FAULT_REFUSED)
        f->refused = f->faulty || i == 0;
    if (c->fault == FAULT_STALL && (f->faulty || i == 0)) {
        const struct message *m = &f->script[0];
        for (uint32_t k = 0; k < f->messages; k++)
            m = f->script[k].bytes > m->bytes ? &f->script[k] : m;
        f->stall_side = 1 - m->side;
        f->stalls = m->bytes > 20000;
        if (f->stalls)
            f->end[f->stall_side].window_most = m->bytes / 3;
        sim_schedule(s, f->start_ns, EVENT_APP, i << 3 | 3, 0, NULL);
    }
    sim_schedule(s, f->start_ns, EVENT_APP, i << 3 | 2, 0, NULL);
}

void app_create(struct sim *s)
{
    s->flow_count = s->c.flows;
    for (uint32_t i = 0; i < s->c.flows && s->flows; i++) {
        struct rng r = rng_of(s->c.seed, 1000 + i);
        one_flow(s, i, &r);
        place(s, i);
    }
    proxy_begin(s);
}
