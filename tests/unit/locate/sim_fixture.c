#include "tests/unit/locate/sim_fixture.h"

int sim_setup(void **state)
{
    static struct sim sim;
    sim_begin(&sim, 3);
    *state = &sim;
    return 0;
}

int sim_teardown(void **state)
{
    sim_end(*state);
    return 0;
}

uint32_t sim_session(struct sim *sim, int64_t *ret_t)
{
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, 100 * SIM_MS);
    t = sim_transfer(sim, flow, 0, t, 20, 2 * SIM_MS);
    *ret_t = sim_transfer(sim, flow, 1, t, 20, 2 * SIM_MS) + 2 * SIM_MS;
    return flow;
}

void sim_session_end(struct sim *sim, uint32_t flow, int64_t t)
{
    t = sim_transfer(sim, flow, 0, t + 50 * SIM_MS, 20, 2 * SIM_MS);
    t = sim_transfer(sim, flow, 1, t, 20, 2 * SIM_MS);
    (void)sim_close(sim, flow, t);
}

void sim_long_run(struct sim *sim, int64_t second, int64_t third, struct sim_feed feed)
{
    sim->at[1].offset_ns = second;
    sim->at[2].offset_ns = third;
    uint32_t flow[4];
    int64_t t[4];
    for (int f = 0; f < 4; f++) {
        flow[f] = sim_tcp(sim);
        t[f] = sim_connect(sim, flow[f], 100 * SIM_MS + f * SIM_MS);
    }
    for (int i = 0; i < 60000; i++) {
        int f = i % 4;
        struct sim_packet p = {.half = i / 4 % 3 == 0, .t = t[f], .len = SIM_MSS};
        p.seq = sim->flows[flow[f]].next[p.half];
        if (i % 1499 == 77) {
            p.lost_in = SIM_IN(i / 1499 % 2);
            sim_send(sim, flow[f], p);
            p.lost_in = 0;
            p.t += 200 * SIM_MS;
        }
        t[f] = sim_exchange(sim, flow[f], p);
    }
    struct dp_report *r = sim_run(sim, feed);
    sim_assert_losses(sim, r);
    for (size_t v = 0; v < 3; v++)
        assert_int_equal(r->vantages[v].missed, 0);
    assert_int_equal(r->vantages[0].matched, r->vantages[0].packets - sim->lost[0][DP_FORWARD].lost_packets);
    dp_report_free(r);
}
