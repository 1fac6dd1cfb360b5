/* Which packets belong together: directions, rewritten addresses, ports used again, many flows. */
#include "tests/unit/locate/sim_fixture.h"

/* A session of a flow with one packet lost in segment 1 on its way from the client. */
static void lossy_session(struct sim *sim, uint32_t flow, int64_t t)
{
    t = sim_connect(sim, flow, t);
    t = sim_transfer(sim, flow, 0, t, 10, 2 * SIM_MS);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1000});
    t = sim_transfer(sim, flow, 1, t, 10, 2 * SIM_MS);
    (void)sim_close(sim, flow, t);
}

static void test_connection_from_the_far_end(void **state)
{
    struct sim *sim = *state;
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_far = true}), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_REVERSE);
    assert_int_equal(r->flows[0].endpoints.server_port, 25);
    dp_report_free(r);
}

static void test_connection_from_the_far_end_over_bridges(void **state)
{
    struct sim *sim = *state;
    sim->bridged = true;
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_far = true}), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_REVERSE);
    dp_report_free(r);
}

static void test_bridges_and_clocks_that_disagree(void **state)
{
    struct sim *sim = *state;
    sim->bridged = true;
    sim->at[1].offset_ns = -3 * SIM_S;
    sim->at[2].offset_ns = 2 * SIM_S;
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_far = true}), SIM_MS);
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_host = 3, .server_host = 4}), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(sim->lost[1][DP_REVERSE].lost_packets, 1);
    assert_int_equal(sim->lost[1][DP_FORWARD].lost_packets, 1);
    dp_report_free(r);
}

/* Without its beginning the service's port tells who the server is. */
static void test_session_seen_from_its_middle(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_flow(sim, (struct sim_flow){.client_far = true});
    int64_t t = sim_transfer(sim, flow, 1, SIM_MS, 30, 2 * SIM_MS);
    uint32_t at = sim->flows[flow].next[1];
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 700, .lost_in = SIM_IN(0)});
    t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t + 200 * SIM_MS, .seq = at, .len = 700});
    (void)sim_transfer(sim, flow, 1, t, 30, 2 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->flows[0].endpoints.server_port, 25);
    dp_report_free(r);
}

static void assert_seen_as(const struct dp_report *r, uint32_t vantage, uint8_t client_net,
                           uint8_t server_host)
{
    const struct dp_flow_report *f = &r->flows[0];
    assert_int_equal(r->flow_count, 1);
    for (size_t i = 0; i < f->seen_as_count; i++) {
        const struct dp_endpoints *e = &f->seen_as[i].endpoints;
        if (f->seen_as[i].vantage != vantage)
            continue;
        assert_int_equal(e->client.bytes[0], client_net);
        assert_int_equal(e->server.bytes[3], server_host);
        assert_int_equal(e->server_port, 25);
        return;
    }
    fail_msg("not seen as another at %u", vantage);
}

static void test_source_nat_is_one_flow(void **state)
{
    struct sim *sim = *state;
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.nat_from = SIM_AT(1)}), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flows[0].seen_as_count, 2);
    assert_seen_as(r, 1, 203, 9);
    assert_seen_as(r, 2, 203, 9);
    assert_int_equal(r->flows[0].endpoints.client.bytes[0], 192);
    dp_report_free(r);
}

static void test_destination_nat_is_one_flow(void **state)
{
    struct sim *sim = *state;
    lossy_session(sim, sim_flow(sim, (struct sim_flow){.dnat_from = SIM_AT(2)}), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flows[0].seen_as_count, 1);
    assert_seen_as(r, 2, 192, 109);
    dp_report_free(r);
}

static void test_both_rewritten_from_the_far_end(void **state)
{
    struct sim *sim = *state;
    lossy_session(
        sim,
        sim_flow(sim, (struct sim_flow){.client_far = true, .nat_from = SIM_AT(1), .dnat_from = SIM_AT(2)}),
        SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_REVERSE);
    assert_int_equal(r->flow_count, 1);
    dp_report_free(r);
}

static void test_ports_used_again_are_two_flows(void **state)
{
    struct sim *sim = *state;
    for (int i = 0; i < 3; i++)
        lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_port = 45000}), SIM_MS + i * 2 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 3);
    assert_int_equal(r->findings[0].flow_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(r->flows[i].lost_packets, 1);
    dp_report_free(r);
}

static void test_ports_used_again_fed_by_time(void **state)
{
    struct sim *sim = *state;
    for (int i = 0; i < 3; i++)
        lossy_session(sim, sim_flow(sim, (struct sim_flow){.client_port = 45000}), SIM_MS + i * 2 * SIM_S);
    struct dp_report *r = sim_run(sim, (struct sim_feed){.batch = 7, .by_time = true});
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 3);
    dp_report_free(r);
}

static void test_ten_thousand_flows(void **state)
{
    struct sim *sim = *state;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t flow = sim_flow(sim, (struct sim_flow){.client_host = (uint8_t)(1 + i / 20000)});
        int64_t t = sim_connect(sim, flow, i * 300 * SIM_US);
        if (i % 1000 == 500) {
            sim_send(sim, flow, (struct sim_packet){.t = t, .seq = 1, .len = 800, .lost_in = SIM_IN(0)});
            t += 200 * SIM_MS;
        }
        t = sim_exchange(sim, flow, (struct sim_packet){.t = t, .seq = 1, .len = 800});
        t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 200});
        (void)sim_close(sim, flow, t);
    }
    struct dp_report *r = sim_run(sim, (struct sim_feed){.batch = 1000, .by_time = true});
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->flow_count, 10000);
    assert_int_equal(r->findings[0].flow_count, 10);
    dp_report_free(r);
}

/* Datagrams one way only: the TTL tells which, whatever their content is. */
static void test_datagrams_from_the_far_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim sim;
        sim_begin(&sim, 3);
        sim.random ^= seed * 0x9e3779b97f4a7c15ULL;
        uint32_t flow =
            sim_flow(&sim, (struct sim_flow){.proto = 17, .server_port = 514, .client_far = true});
        for (uint32_t i = 0; i < 300; i++)
            sim_send(&sim, flow, (struct sim_packet){.t = i * 20 * SIM_MS, .seq = 1 + i * 64, .len = 64});
        struct dp_report *r = sim_run(&sim, SIM_FILES);
        assert_int_equal(r->segments[0].side[DP_REVERSE].packets, 300);
        assert_int_equal(r->segments[0].side[DP_FORWARD].packets, 0);
        dp_report_free(r);
        sim_end(&sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_datagrams_from_the_far_end),
        SIM_TEST(test_connection_from_the_far_end),
        SIM_TEST(test_connection_from_the_far_end_over_bridges),
        SIM_TEST(test_bridges_and_clocks_that_disagree),
        SIM_TEST(test_session_seen_from_its_middle),
        SIM_TEST(test_source_nat_is_one_flow),
        SIM_TEST(test_destination_nat_is_one_flow),
        SIM_TEST(test_both_rewritten_from_the_far_end),
        SIM_TEST(test_ports_used_again_are_two_flows),
        SIM_TEST(test_ports_used_again_fed_by_time),
        SIM_TEST(test_ten_thousand_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
