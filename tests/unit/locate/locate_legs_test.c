/* Hosts that end connections: each leg has packets of its own, payload is handed over from one to the next.
 */
#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "tests/unit/locate/sim_fixture.h"

/* A proxy between the points 1 and 2: a client's connection on the near side, its own on the far side. */
struct proxied {
    uint32_t near, far;
    int64_t t;
};

static struct proxied connect_through(struct sim *sim, uint32_t content)
{
    struct proxied p = {
        .near = sim_flow(sim, (struct sim_flow){.far_end = SIM_AT(1), .content = content}),
        .far = sim_flow(sim, (struct sim_flow){.near_end = SIM_AT(2), .content = content, .client_host = 9})};
    p.t = sim_connect(sim, p.near, SIM_MS);
    p.t = sim_connect(sim, p.far, p.t);
    return p;
}

/* Bytes of one half: over the first leg, and some time later over the second, in other packets. */
static void relay(struct sim *sim, struct proxied *p, int half, uint32_t len)
{
    uint32_t first = half == 0 ? p->near : p->far, second = half == 0 ? p->far : p->near;
    for (uint32_t sent = 0; sent < len; sent += SIM_MSS)
        p->t = sim_exchange(
            sim, first,
            (struct sim_packet){.half = half, .t = p->t, .len = len - sent < SIM_MSS ? len - sent : SIM_MSS});
    for (uint32_t sent = 0; sent < len; sent += 1000)
        p->t = sim_exchange(
            sim, second,
            (struct sim_packet){.half = half, .t = p->t, .len = len - sent < 1000 ? len - sent : 1000});
}

static void join(struct dp_locate *l)
{
    struct flow *near = l->flows[0], *far = l->flows[1];
    int64_t by[2];
    for (int half = 0; half < 2; half++)
        by[half] = (int64_t)(near->half[half].first_position - far->half[half].first_position);
    assert_int_equal(flow_join(l, near, far, by, false, 1), DP_OK);
    near->handovers = calloc(1, sizeof *near->handovers);
    assert_non_null(near->handovers);
    for (int half = 0; half < 2; half++) {
        near->handovers[0].carries[half] = true;
        near->handovers[0].from[half] = near->half[half].first_position + 1;
    }
    near->oriented = true;
}

static const struct sim_feed joined = {.before_finish = join};

static void four_points(struct sim *sim)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0"};
    sim_end(sim);
    sim_begin(sim, 4);
    for (size_t v = 0; v < 4; v++)
        sim->names[v] = names[v];
}

static void test_nothing_lost(void **state)
{
    struct sim *sim = *state;
    four_points(sim);
    struct proxied p = connect_through(sim, 77);
    relay(sim, &p, 1, 60);
    for (int i = 0; i < 20; i++) {
        relay(sim, &p, 0, 5000);
        relay(sim, &p, 1, 300);
    }
    p.t = sim_close(sim, p.near, p.t);
    (void)sim_close(sim, p.far, p.t);
    struct dp_report *r = sim_run(sim, joined);
    sim_assert_losses(sim, r);
    assert_int_equal(r->verdict, DP_CODE_CLEAN);
    /* What the proxy took over: each byte once, in the packets in which it came. */
    assert_int_equal(r->segments[1].side[DP_FORWARD].bytes, 100000);
    assert_int_equal(r->segments[1].side[DP_FORWARD].packets, 80);
    assert_int_equal(r->segments[1].side[DP_REVERSE].bytes, 60 + 20 * 300);
    dp_report_free(r);
}

static void test_swallowed_by_the_proxy(void **state)
{
    struct sim *sim = *state;
    four_points(sim);
    struct proxied p = connect_through(sim, 77);
    relay(sim, &p, 1, 60);
    for (int i = 0; i < 5; i++)
        relay(sim, &p, 0, 5000);
    for (int i = 0; i < 3; i++) /* taken over, acknowledged, never sent on */
        p.t = sim_exchange(sim, p.near, (struct sim_packet){.t = p.t, .len = 700});
    sim->lost[1][DP_FORWARD] = (struct sim_truth){3, 2100};
    p.t = sim_exchange(sim, p.far, (struct sim_packet){.half = 1, .t = p.t + 30 * SIM_S, .len = 40});
    p.t = sim_exchange(sim, p.near, (struct sim_packet){.half = 1, .t = p.t, .len = 40});
    p.t = sim_close(sim, p.near, p.t);
    (void)sim_close(sim, p.far, p.t);
    struct dp_report *r = sim_run(sim, joined);
    sim_assert_losses(sim, r);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_lost_behind_the_proxy(void **state)
{
    struct sim *sim = *state;
    four_points(sim);
    struct proxied p = connect_through(sim, 77);
    relay(sim, &p, 1, 60);
    relay(sim, &p, 0, 5000);
    uint32_t at = sim->flows[p.far].next[0];
    p.t = sim_exchange(sim, p.near, (struct sim_packet){.t = p.t, .len = 900});
    sim_send(sim, p.far, (struct sim_packet){.t = p.t, .len = 900, .lost_in = SIM_IN(2)});
    p.t = sim_exchange(sim, p.far, (struct sim_packet){.t = p.t + 200 * SIM_MS, .seq = at, .len = 900});
    relay(sim, &p, 0, 5000);
    relay(sim, &p, 1, 500);
    struct dp_report *r = sim_run(sim, joined);
    sim_assert_losses(sim, r);
    sim_assert_loss_at(sim, r, 2, DP_FORWARD);
    dp_report_free(r);
}

static void test_lost_before_the_proxy(void **state)
{
    struct sim *sim = *state;
    four_points(sim);
    struct proxied p = connect_through(sim, 77);
    relay(sim, &p, 1, 60);
    relay(sim, &p, 0, 5000);
    uint32_t at = sim->flows[p.near].next[0];
    sim_send(sim, p.near, (struct sim_packet){.t = p.t, .len = 900, .lost_in = SIM_IN(0)});
    p.t = sim_exchange(sim, p.near, (struct sim_packet){.t = p.t + 200 * SIM_MS, .seq = at, .len = 900});
    p.t = sim_exchange(sim, p.far, (struct sim_packet){.t = p.t, .len = 900});
    relay(sim, &p, 0, 5000);
    relay(sim, &p, 1, 500);
    struct dp_report *r = sim_run(sim, joined);
    sim_assert_losses(sim, r);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    dp_report_free(r);
}

/* Two connections that nothing ties together: what happens between them cannot be told. */
static void test_strangers_are_no_clean_path(void **state)
{
    struct sim *sim = *state;
    four_points(sim);
    int64_t t = SIM_MS;
    uint32_t near = sim_flow(sim, (struct sim_flow){.far_end = SIM_AT(1)});
    uint32_t far =
        sim_flow(sim, (struct sim_flow){.near_end = SIM_AT(2), .client_host = 9, .server_host = 7});
    t = sim_connect(sim, near, t);
    (void)sim_transfer(sim, near, 0, t, 20, 10 * SIM_MS);
    t = sim_connect(sim, far, 3 * SIM_S);
    (void)sim_transfer(sim, far, 1, t, 20, 10 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->verdict, DP_CODE_INCONCLUSIVE);
    assert_non_null(strstr(r->verdict_summary, "lb1/eth1"));
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_nothing_lost),
        SIM_TEST(test_swallowed_by_the_proxy),
        SIM_TEST(test_lost_behind_the_proxy),
        SIM_TEST(test_lost_before_the_proxy),
        SIM_TEST(test_strangers_are_no_clean_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
