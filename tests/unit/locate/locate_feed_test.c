/* However the records come in, the report is the same; and nothing is lost to settling in the middle. */
#include "tests/unit/locate/sim_fixture.h"

/* Some of everything: losses each way, copies, offloads, missed and duplicated packets, a refusal, UDP. */
static void mixture(struct sim *sim)
{
    sim->at[0].cut = 0;
    sim->at[1].cut = SIM_MSS;
    int64_t t = 0;
    for (int session = 0; session < 6; session++) {
        uint32_t flow = sim_session(sim, &t);
        t = 600 * SIM_MS + session * 37 * SIM_MS;
        for (int i = 0; i < 60; i++) {
            struct sim_packet p = {.half = i % 2, .t = t, .len = i % 5 == 0 ? 6 * SIM_MSS : 900};
            p.seq = sim->flows[flow].next[p.half];
            if (sim_random(sim, 8) == 0) {
                p.lost_in = SIM_IN((int)sim_random(sim, 2));
                sim_send(sim, flow, p);
                p.lost_in = 0;
                p.t += 200 * SIM_MS;
            }
            p.missed = sim_random(sim, 20) == 0 ? 2 : 0;
            p.twice_at = i % 16 == 3 ? SIM_AT(1) : 0;
            t = sim_exchange(sim, flow, p) + (int64_t)sim_random(sim, 3000) * SIM_US;
        }
        sim_session_end(sim, flow, t);
    }
    uint32_t refused = sim_tcp(sim);
    sim_send(sim, refused, (struct sim_packet){.t = SIM_S, .flags = DP_TCP_SYN});
    sim_send(sim, refused,
             (struct sim_packet){.half = 1, .t = SIM_S + SIM_MS, .flags = DP_TCP_RST | DP_TCP_ACK});
    uint32_t udp = sim_flow(sim, (struct sim_flow){.proto = 17, .server_port = 53});
    for (uint32_t i = 0; i < 30; i++)
        sim_send(sim, udp,
                 (struct sim_packet){.t = 500 * SIM_MS + i * 50 * SIM_MS,
                                     .seq = 1 + i * 64,
                                     .len = 50,
                                     .lost_in = i % 9 == 4 ? SIM_IN(1) : 0});
}

/* Clocks that were fitted when less was known move the times a little; nothing else. */
static void forget_clocks(struct dp_report *r)
{
    for (size_t v = 0; v < r->vantage_count; v++)
        r->vantages[v].clock_error_ns = r->vantages[v].clock_offset_ns = 0;
}

static void compare(struct sim *sim, struct sim_feed feed)
{
    struct dp_report *whole = sim_run(sim, SIM_FILES), *other = sim_run(sim, feed);
    sim_assert_losses(sim, whole);
    if (feed.settle) {
        forget_clocks(whole);
        forget_clocks(other);
    }
    sim_assert_same(whole, other);
    dp_report_free(whole);
    dp_report_free(other);
}

static void test_batches_of_one(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 1, .by_time = true});
}

static void test_batches_of_seven(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 7, .by_time = true});
}

static void test_batches_of_4096(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 4096, .by_time = true});
}

static void test_one_point_after_the_other(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 7});
}

static void test_settled_in_between(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 7, .by_time = true, .settle = true});
}

static void test_settled_and_advanced(void **state)
{
    mixture(*state);
    compare(*state, (struct sim_feed){.batch = 3, .by_time = true, .settle = true, .advance = true});
}

static void test_with_clocks_that_disagree(void **state)
{
    struct sim *sim = *state;
    sim->at[1].offset_ns = 4 * SIM_S;
    sim->at[2].offset_ns = -3 * SIM_S;
    mixture(sim);
    compare(sim, (struct sim_feed){.batch = 7, .by_time = true});
}

/* More packets than the engine holds at once: it settles in the middle of everything. */
static void test_long_run_by_time(void **state)
{
    sim_long_run(*state, 0, 0, (struct sim_feed){.batch = 100, .by_time = true});
}

static void test_long_run_with_clocks_off_by_seconds(void **state)
{
    sim_long_run(*state, 5 * SIM_S, -4 * SIM_S, (struct sim_feed){.batch = 100, .by_time = true});
}

static void test_long_run_with_clocks_off_by_more_than_it_lasts(void **state)
{
    sim_long_run(*state, 3600 * SIM_S, -3600 * SIM_S, (struct sim_feed){.batch = 1000, .by_time = true});
}

static void test_long_run_settled_often(void **state)
{
    sim_long_run(*state, 5 * SIM_S, -4 * SIM_S,
                 (struct sim_feed){.batch = 300, .by_time = true, .settle = true, .advance = true});
}

static void test_long_run_as_files(void **state)
{
    sim_long_run(*state, -2 * SIM_S, 2 * SIM_S, SIM_FILES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_batches_of_one),
        SIM_TEST(test_batches_of_seven),
        SIM_TEST(test_batches_of_4096),
        SIM_TEST(test_one_point_after_the_other),
        SIM_TEST(test_settled_in_between),
        SIM_TEST(test_settled_and_advanced),
        SIM_TEST(test_with_clocks_that_disagree),
        SIM_TEST(test_long_run_by_time),
        SIM_TEST(test_long_run_with_clocks_off_by_seconds),
        SIM_TEST(test_long_run_with_clocks_off_by_more_than_it_lasts),
        SIM_TEST(test_long_run_settled_often),
        SIM_TEST(test_long_run_as_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
