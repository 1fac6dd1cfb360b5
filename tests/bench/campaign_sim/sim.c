/* Runs one case. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

static void dispatch(struct sim *s, const struct event *e)
{
    switch (e->kind) {
    case EVENT_ARRIVE:
        path_arrive(s, e->packet);
        break;
    case EVENT_MERGED:
        path_merged(s, e->a, e->b);
        break;
    case EVENT_RTO:
        tcp_timeout(s, e->a, (int)e->b);
        break;
    case EVENT_ACK:
        tcp_ack_due(s, e->a, (int)e->b);
        break;
    case EVENT_PROBE:
        tcp_probe(s, e->a, (int)e->b);
        break;
    case EVENT_APP:
        app_event(s, e->a);
        break;
    case EVENT_PROXY:
        proxy_event(s, e->a, e->b);
        break;
    case EVENT_TWICE:
        point_record_again(s, e->a, e->packet);
        break;
    case EVENT_SYN_PROXY:
        syn_proxy_event(s, e->a, e->b);
        break;
    default:
        app_datagram(s, e->a);
        break;
    }
}

/* A proxy makes a second one of each. */
static uint32_t flow_room(const struct config *c)
{
    return c->flows * (c->proxy.on ? 2 : 1);
}

bool sim_run(struct sim *s, const struct config *c, const char *pcap_folder)
{
    *s = (struct sim){.c = *c, .end_ns = c->duration_ns + c->tail_ns};
    s->rng_path = rng_of(c->seed, 101);
    s->rng_fault = rng_of(c->seed, 102);
    s->rng_tcp = rng_of(c->seed, 103);
    s->flows = calloc(flow_room(c), sizeof *s->flows);
    if (!s->flows || !record_begin(s, pcap_folder))
        return false;
    fault_begin(s);
    app_create(s);
    struct event e;
    while (!s->failed && sim_take(s, &e) && e.t_ns < s->end_ns) {
        s->now = e.t_ns;
        dispatch(s, &e);
    }
    bool ok = record_finish(s);
    truth_settle(s);
    return ok && !s->failed;
}

void sim_free(struct sim *s)
{
    for (size_t i = 0; i < s->block_count; i++)
        free(s->blocks[i]);
    free(s->blocks);
    for (uint32_t i = 0; i < s->flow_count; i++)
        for (int side = 0; side < 2; side++) {
            free(s->flows[i].end[side].sent);
            free(s->flows[i].out[side].records);
        }
    free(s->flows);
    for (uint32_t i = 0; i < s->c.points; i++) {
        free(s->point[i].records);
        free(s->point[i].held);
        dp_digester_free(s->point[i].digester);
        dp_batch_free(&s->point[i].batch);
        free(s->point[i].notes.at);
        free(s->point[i].gaps.at);
    }
    free(s->events);
    free(s->losses);
    *s = (struct sim){0};
}
