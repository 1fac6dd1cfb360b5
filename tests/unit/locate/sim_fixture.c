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
