#include "tests/unit/locate/sim_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

enum kind { OPEN, ANSWER, BEGIN, NEXT, DATA, ACKNOWLEDGE };
enum { ATTEMPTS = 6, WINDOW = 40 };

struct event {
    int64_t t;
    uint64_t order;
    enum kind kind;
    uint32_t flow; /* of the load */
    uint32_t chunk, attempt;
};

struct chunk {
    uint32_t seq, len;
    bool arrived;
};

struct talk {
    uint32_t flow; /* of the simulation */
    struct chunk *chunks;
    uint32_t next, first_missing;
    bool open, over; /* over: it has given up */
};

struct machine {
    struct sim *sim;
    const struct sim_load *load;
    struct talk *talks;
    struct event *heap;
    size_t count, room;
    uint64_t order;
    int64_t last;
};

static bool earlier(const struct event *a, const struct event *b)
{
    return a->t != b->t ? a->t < b->t : a->order < b->order;
}

static void plan(struct machine *m, struct event e)
{
    if (m->count == m->room) {
        m->room = m->room * 2 + 256;
        m->heap = realloc(m->heap, m->room * sizeof *m->heap);
        assert_non_null(m->heap);
    }
    e.order = m->order++;
    size_t i = m->count++;
    for (; i > 0 && earlier(&e, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
}

static struct event take(struct machine *m)
{
    struct event top = m->heap[0], last = m->heap[--m->count];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < m->count; i = k) {
        if (k + 1 < m->count && earlier(&m->heap[k + 1], &m->heap[k]))
            k++;
        if (!earlier(&m->heap[k], &last))
            break;
        m->heap[i] = m->heap[k];
    }
    m->heap[i] = last;
    return top;
}

/* Sends; tells whether it arrives. */
static bool put(struct machine *m, const struct talk *talk, struct sim_packet p)
{
    bool forward = (p.half == 0) != m->sim->flows[talk->flow].client_far;
    struct sim_crossing crossing = {.t = p.t,
                                    .flow = talk->flow,
                                    .direction = forward ? DP_FORWARD : DP_REVERSE,
                                    .ip_len = (p.flags & DP_TCP_SYN) ? 60 : p.len + 52,
                                    .flags = p.flags ? p.flags : DP_TCP_ACK};
    bool lost = m->load->drop && m->load->drop(m->sim, m->load->context, &crossing);
    p.lost_in = lost ? SIM_IN(m->load->segment) : 0;
    sim_send(m->sim, talk->flow, p);
    if (p.t > m->last)
        m->last = p.t;
    return !lost;
}

static void handshake(struct machine *m, struct event e)
{
    struct talk *talk = &m->talks[e.flow];
    int64_t cross = sim_crossing_time(m->sim) + 50 * SIM_US;
    if (talk->open)
        return;
    if (e.kind == OPEN) {
        bool there = put(m, talk, (struct sim_packet){.t = e.t, .flags = DP_TCP_SYN});
        if (there)
            plan(m, (struct event){.t = e.t + cross, .kind = ANSWER, .flow = e.flow});
        if (e.attempt + 1 < ATTEMPTS)
            plan(m, (struct event){.t = e.t + (SIM_S << e.attempt),
                                   .kind = OPEN,
                                   .flow = e.flow,
                                   .attempt = e.attempt + 1});
    } else if (put(m, talk, (struct sim_packet){.half = 1, .t = e.t, .flags = DP_TCP_SYN | DP_TCP_ACK})) {
        plan(m, (struct event){.t = e.t + cross, .kind = BEGIN, .flow = e.flow});
    }
}

static void send_chunk(struct machine *m, struct event e)
{
    struct talk *talk = &m->talks[e.flow];
    struct chunk *chunk = &talk->chunks[e.chunk];
    if (e.attempt >= ATTEMPTS)
        talk->over = true;
    if (chunk->arrived || talk->over)
        return;
    if (put(m, talk, (struct sim_packet){.t = e.t, .seq = chunk->seq, .len = chunk->len})) {
        chunk->arrived = true;
        while (talk->first_missing < talk->next && talk->chunks[talk->first_missing].arrived)
            talk->first_missing++;
        plan(m, (struct event){.t = e.t + sim_crossing_time(m->sim) + 50 * SIM_US,
                               .kind = ACKNOWLEDGE,
                               .flow = e.flow,
                               .chunk = e.chunk});
        return;
    }
    plan(m, (struct event){.t = e.t + (200 * SIM_MS << e.attempt),
                           .kind = DATA,
                           .flow = e.flow,
                           .chunk = e.chunk,
                           .attempt = e.attempt + 1});
}

static void send_next(struct machine *m, struct event e)
{
    struct talk *talk = &m->talks[e.flow];
    uint32_t train = m->load->train ? m->load->train : 1;
    for (uint32_t i = 0; i < train && talk->next < m->load->packets; i++) {
        if (talk->next - talk->first_missing > WINDOW)
            break;
        struct chunk *chunk = &talk->chunks[talk->next];
        chunk->seq = m->sim->flows[talk->flow].next[0];
        chunk->len =
            sim_random(m->sim, 100) < m->load->small ? 20 + (uint32_t)sim_random(m->sim, 600) : SIM_MSS;
        m->sim->flows[talk->flow].next[0] += chunk->len;
        plan(m,
             (struct event){.t = e.t + i * 15 * SIM_US, .kind = DATA, .flow = e.flow, .chunk = talk->next++});
    }
    if (talk->next < m->load->packets && !talk->over)
        plan(m, (struct event){.t = e.t + m->load->apart / 2 +
                                    (int64_t)sim_random(m->sim, (uint64_t)m->load->apart),
                               .kind = NEXT,
                               .flow = e.flow});
}

static void acknowledge(struct machine *m, struct event e)
{
    struct talk *talk = &m->talks[e.flow];
    const struct chunk *chunk = &talk->chunks[e.chunk];
    struct sim_packet p = {.half = 1, .t = e.t};
    if (m->sim->flows[talk->flow].arrived[0] < chunk->seq) {
        p.sack_count = 1;
        p.sack[0][0] = chunk->seq;
        p.sack[0][1] = chunk->seq + chunk->len;
    }
    (void)put(m, talk, p);
}

static void handle(struct machine *m, struct event e)
{
    struct talk *talk = &m->talks[e.flow];
    if (m->load->until && e.t > m->load->until)
        return;
    switch (e.kind) {
    case OPEN:
    case ANSWER:
        handshake(m, e);
        break;
    case BEGIN:
        if (talk->open)
            break;
        talk->open = true;
        (void)put(m, talk, (struct sim_packet){.t = e.t});
        plan(m, (struct event){.t = e.t + 50 * SIM_US, .kind = NEXT, .flow = e.flow});
        break;
    case NEXT:
        send_next(m, e);
        break;
    case DATA:
        send_chunk(m, e);
        break;
    case ACKNOWLEDGE:
        acknowledge(m, e);
        break;
    }
}

void sim_load(struct sim *sim, const struct sim_load *load)
{
    struct machine m = {.sim = sim, .load = load};
    m.talks = calloc(load->flows, sizeof *m.talks);
    assert_non_null(m.talks);
    for (uint32_t i = 0; i < load->flows; i++) {
        m.talks[i].flow = sim_tcp(sim);
        m.talks[i].chunks = calloc(load->packets, sizeof *m.talks[i].chunks);
        assert_non_null(m.talks[i].chunks);
        int64_t begin = load->begin + (load->spread ? (int64_t)sim_random(sim, (uint64_t)load->spread) : 0);
        plan(&m, (struct event){.t = begin, .kind = OPEN, .flow = i});
    }
    while (m.count)
        handle(&m, take(&m));
    uint32_t trickle = sim_flow(
        sim,
        (struct sim_flow){.client_host = 200, .server_host = 201, .server_port = 514, .client_far = true});
    uint32_t at = 1;
    for (int64_t t = 0; t < m.last + SIM_S; t += 20 * SIM_MS, at += 64)
        sim_send(sim, trickle, (struct sim_packet){.t = t, .seq = at, .len = 64});
    for (uint32_t i = 0; i < load->flows; i++)
        free(m.talks[i].chunks);
    free(m.talks);
    free(m.heap);
}
