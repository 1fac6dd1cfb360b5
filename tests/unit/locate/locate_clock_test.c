/* Clocks that disagree: estimated from the traffic itself, within the bound that is reported. */
#include "tests/unit/locate/sim_fixture.h"

#include <math.h>
#include <stdlib.h>

static void set_clocks(struct sim *sim, const int64_t offset[3], const double skew[3])
{
    for (size_t v = 0; v < 3; v++) {
        sim->at[v].offset_ns = offset[v];
        sim->at[v].skew_ppm = skew ? skew[v] : 0;
    }
}

/* Mail both ways for so long; one packet in a hundred is held up, one is lost now and then. */
static void traffic(struct sim *sim, int64_t duration)
{
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, 100 * SIM_MS);
    for (int i = 0; t < duration; i++) {
        struct sim_packet p = {.half = i % 3 == 0, .t = t, .len = SIM_MSS};
        p.seq = sim->flows[flow].next[p.half];
        if (i % 100 == 50) {
            p.late_in = SIM_IN(i / 100 % 2);
            p.late_ns = 3 * SIM_MS;
        } else if (i % 150 == 77) {
            p.lost_in = SIM_IN(i / 150 % 2);
            sim_send(sim, flow, p);
            p.lost_in = 0;
            p.t += 200 * SIM_MS;
        }
        t = sim_exchange(sim, flow, p) + 5 * SIM_MS;
    }
    (void)sim_close(sim, flow, t);
}

/* On a path of 400 us there and back the traffic of 30 s allows no better. */
#define SKEW_BOUND_PPM 5

/* What is to be subtracted at the reference's first packet: the clocks' difference then. */
static double true_offset(const struct sim *sim, uint32_t v)
{
    double first = 100e6;
    return (double)(sim->at[v].offset_ns - sim->at[0].offset_ns) +
           first * (sim->at[v].skew_ppm - sim->at[0].skew_ppm) / 1e6;
}

static void assert_clocks(const struct sim *sim, const struct dp_report *r)
{
    assert_int_equal(r->vantages[0].clock_offset_ns, 0);
    for (uint32_t v = 1; v < 3; v++) {
        double off = fabs((double)r->vantages[v].clock_offset_ns - true_offset(sim, v));
        double skew = r->vantages[v].clock_skew_ppm - (sim->at[v].skew_ppm - sim->at[0].skew_ppm);
        int64_t bound = r->vantages[v].clock_error_ns;
        if (bound < 0 || off > (double)bound || bound > 2 * SIM_MS || fabs(skew) > SKEW_BOUND_PPM)
            print_error("vantage %u: offset is off by %.0f ns, bound %lld ns; skew is off by %.2f ppm\n", v,
                        off, (long long)bound, skew);
        assert_true(bound >= 0 && bound <= 2 * SIM_MS);
        assert_true(off <= (double)bound);
        assert_true(fabs(skew) <= SKEW_BOUND_PPM);
    }
}

static void run_clocks(struct sim *sim, int64_t duration)
{
    traffic(sim, duration);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_clocks(sim, r);
    for (size_t i = 0; i < 2; i++)
        for (int d = 0; d < 2; d++)
            assert_true(llabs(r->segments[i].side[d].delay.p50 - 200 * SIM_US) < 150 * SIM_US);
    dp_report_free(r);
}

static void test_clocks_that_agree(void **state)
{
    run_clocks(*state, 5 * SIM_S);
}

static void test_clocks_off_by_seconds(void **state)
{
    set_clocks(*state, (int64_t[]){0, 3 * SIM_S, -5 * SIM_S}, NULL);
    run_clocks(*state, 5 * SIM_S);
}

static void test_clocks_off_by_an_hour(void **state)
{
    set_clocks(*state, (int64_t[]){0, 3600 * SIM_S, -3600 * SIM_S}, NULL);
    run_clocks(*state, 5 * SIM_S);
}

static void test_the_reference_is_what_is_off(void **state)
{
    set_clocks(*state, (int64_t[]){7 * SIM_S, 0, 123456789}, NULL);
    run_clocks(*state, 5 * SIM_S);
}

static void test_skew_over_thirty_seconds(void **state)
{
    set_clocks(*state, (int64_t[]){0, 0, 0}, (double[]){0, 100, -60});
    run_clocks(*state, 30 * SIM_S);
}

static void test_offset_and_skew_together(void **state)
{
    set_clocks(*state, (int64_t[]){SIM_S, -2 * SIM_S, 90 * SIM_S}, (double[]){20, 120, -80});
    run_clocks(*state, 30 * SIM_S);
}

/* The path is slower in one direction than in the other: the error's bound holds all the same. */
static void test_bound_holds_on_an_uneven_path(void **state)
{
    struct sim *sim = *state;
    set_clocks(sim, (int64_t[]){0, SIM_S, 2 * SIM_S}, NULL);
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, 100 * SIM_MS);
    for (int i = 0; i < 300; i++)
        t = sim_exchange(
                sim, flow,
                (struct sim_packet){.t = t, .len = SIM_MSS, .late_in = SIM_IN(0), .late_ns = 700 * SIM_US}) +
            SIM_MS;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_clocks(sim, r);
    dp_report_free(r);
}

static void test_no_correction_takes_the_stamps_as_they_are(void **state)
{
    struct sim *sim = *state;
    sim->no_clock_correction = true;
    set_clocks(sim, (int64_t[]){0, 50 * SIM_US, -50 * SIM_US}, NULL);
    traffic(sim, 3 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    for (size_t v = 0; v < 3; v++) {
        assert_int_equal(r->vantages[v].clock_offset_ns, 0);
        assert_true(r->vantages[v].clock_skew_ppm == 0);
    }
    assert_int_equal(r->segments[0].side[DP_FORWARD].delay.min, 250 * SIM_US);
    dp_report_free(r);
}

/* ---- a clock that is set while the captures run ---- */

static void set_at(struct sim *sim, uint32_t v, int64_t at, int64_t by)
{
    size_t i = 0;
    while (sim->at[v].set[i].by)
        i++;
    sim->at[v].set[i].at = at;
    sim->at[v].set[i].by = by;
}

static const struct sim_feed feeds[] = {
    {0}, {.batch = 64, .by_time = true}, {.batch = 500, .by_time = true, .settle = true, .advance = true}};

/* Nothing is taken for lost or kept from being found; the clocks are right where the capture begins, and
 * delays all along. */
static void run_set(struct sim *sim, int64_t duration)
{
    traffic(sim, duration);
    for (size_t i = 0; i < sizeof feeds / sizeof feeds[0]; i++) {
        struct dp_report *r = sim_run(sim, feeds[i]);
        sim_assert_losses(sim, r);
        for (uint32_t v = 1; v < 3; v++)
            assert_true(fabs((double)r->vantages[v].clock_offset_ns - true_offset(sim, v)) < 500e3);
        for (size_t s = 0; s < 2; s++)
            for (int d = 0; d < 2; d++) {
                assert_true(llabs(r->segments[s].side[d].delay.p50 - 200 * SIM_US) < 200 * SIM_US);
                assert_true(r->segments[s].side[d].delay.max < 4 * SIM_MS);
                assert_true(r->segments[s].side[d].delay.min > -SIM_MS);
            }
        dp_report_free(r);
    }
}

static void test_clock_set_ahead(void **state)
{
    set_at(*state, 1, 4 * SIM_S, 60 * SIM_S);
    run_set(*state, 8 * SIM_S);
}

static void test_clock_set_back(void **state)
{
    set_at(*state, 1, 4 * SIM_S, -60 * SIM_S);
    run_set(*state, 8 * SIM_S);
}

static void test_reference_set_ahead(void **state)
{
    set_at(*state, 0, 4 * SIM_S, 60 * SIM_S);
    run_set(*state, 8 * SIM_S);
}

static void test_reference_set_back(void **state)
{
    set_at(*state, 0, 4 * SIM_S, -60 * SIM_S);
    run_set(*state, 8 * SIM_S);
}

static void test_clock_set_by_milliseconds(void **state)
{
    set_at(*state, 1, 3 * SIM_S, 5 * SIM_MS);
    run_set(*state, 8 * SIM_S);
}

static void test_clock_set_back_by_milliseconds(void **state)
{
    set_at(*state, 2, 3 * SIM_S, -8 * SIM_MS);
    run_set(*state, 8 * SIM_S);
}

static void test_clock_set_back_by_half_a_second(void **state)
{
    set_at(*state, 1, 3 * SIM_S, -500 * SIM_MS);
    run_set(*state, 8 * SIM_S);
}

static void test_clocks_set_several_times_with_offset_and_skew(void **state)
{
    struct sim *sim = *state;
    set_clocks(sim, (int64_t[]){0, 3 * SIM_S, -5 * SIM_S}, (double[]){0, 100, -60});
    set_at(sim, 1, 3 * SIM_S, 2 * SIM_S);
    set_at(sim, 1, 9 * SIM_S, -120 * SIM_S);
    set_at(sim, 2, 6 * SIM_S, -700 * SIM_MS);
    set_at(sim, 0, 12 * SIM_S, 30 * SIM_S);
    run_set(sim, 16 * SIM_S);
}

/* The report says when the clock was set, and what corrects its stamps from there on. */
static void test_report_tells_when_the_clock_was_set(void **state)
{
    const int64_t pause = 250 * SIM_MS; /* between packets at most */
    struct sim *sim = *state;
    set_at(sim, 1, 4 * SIM_S, -60 * SIM_S);
    set_at(sim, 1, 6 * SIM_S, 7 * SIM_S);
    traffic(sim, 8 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->vantages[0].clock_set_count, 0);
    const struct dp_vantage_report *v = &r->vantages[1];
    assert_int_equal(v->clock_set_count, 2);
    assert_true(llabs(v->clock_sets[0].at_ns - (SIM_EPOCH - 56 * SIM_S)) < pause);
    assert_true(llabs(v->clock_sets[0].back_ns - 60 * SIM_S) < pause);
    assert_true(llabs(v->clock_sets[0].offset_ns + 60 * SIM_S) < SIM_MS);
    assert_int_equal(v->clock_sets[1].back_ns, 0);
    assert_true(v->clock_sets[1].at_ns > SIM_EPOCH - 54 * SIM_S - pause);
    assert_true(v->clock_sets[1].at_ns < SIM_EPOCH - 47 * SIM_S + pause);
    assert_true(llabs(v->clock_sets[1].offset_ns + 53 * SIM_S) < SIM_MS);
    dp_report_free(r);
}

/* Files of several processors stand out of order: no clock was set. */
static void test_packets_out_of_order_are_no_clock_that_is_set(void **state)
{
    struct sim *sim = *state;
    traffic(sim, 4 * SIM_S);
    for (size_t i = 20; i + 20 < sim->at[1].count; i += 37) { /* written 10 records late */
        struct sim_record *r = &sim->at[1].records[i];
        r->t += 200 * SIM_MS;
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->vantages[1].clock_set_count, 0);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_clocks_that_agree),
        SIM_TEST(test_clocks_off_by_seconds),
        SIM_TEST(test_clocks_off_by_an_hour),
        SIM_TEST(test_the_reference_is_what_is_off),
        SIM_TEST(test_skew_over_thirty_seconds),
        SIM_TEST(test_offset_and_skew_together),
        SIM_TEST(test_bound_holds_on_an_uneven_path),
        SIM_TEST(test_no_correction_takes_the_stamps_as_they_are),
        SIM_TEST(test_clock_set_ahead),
        SIM_TEST(test_report_tells_when_the_clock_was_set),
        SIM_TEST(test_packets_out_of_order_are_no_clock_that_is_set),
        SIM_TEST(test_clock_set_back),
        SIM_TEST(test_reference_set_ahead),
        SIM_TEST(test_reference_set_back),
        SIM_TEST(test_clock_set_by_milliseconds),
        SIM_TEST(test_clock_set_back_by_milliseconds),
        SIM_TEST(test_clock_set_back_by_half_a_second),
        SIM_TEST(test_clocks_set_several_times_with_offset_and_skew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
