/* Captures that do not see everything: what they missed is not lost, and what nobody can know is said so. */
#include "tests/unit/locate/sim_fixture.h"

static void assert_inconclusive(const struct dp_report *r)
{
    if (r->verdict != DP_CODE_INCONCLUSIVE)
        print_error("%s\n", r->verdict_summary);
    assert_int_equal(r->verdict, DP_CODE_INCONCLUSIVE);
    assert_int_equal(dp_report_exit_code(r), 3);
    assert_int_equal(r->finding_count, 0);
    assert_int_equal(r->verdict_finding, -1);
    assert_non_null(r->verdict_summary);
    assert_non_null(r->verdict_next_step);
}

static uint64_t unknown_of(const struct dp_report *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < r->segment_count; i++)
        sum += r->segments[i].side[0].unknown_packets + r->segments[i].side[1].unknown_packets;
    return sum;
}

/* A session in whose middle 10 data packets each way are not captured by the points in `missed`. */
static struct dp_report *run_missed(struct sim *sim, uint32_t missed)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 20; i++)
        t = sim_exchange(sim, flow,
                         (struct sim_packet){.half = i % 2, .t = t, .len = 1000, .missed = missed});
    sim_session_end(sim, flow, t);
    return sim_run(sim, SIM_FILES);
}

static void assert_missed(const struct sim *sim, const struct dp_report *r, uint64_t a, uint64_t b,
                          uint64_t c)
{
    sim_assert_losses(sim, r);
    assert_int_equal(r->vantages[0].missed, a);
    assert_int_equal(r->vantages[1].missed, b);
    assert_int_equal(r->vantages[2].missed, c);
    assert_int_equal(r->finding_count, 0);
}

static void test_seen_farther_along_was_missed(void **state)
{
    struct dp_report *r = run_missed(*state, 1u << 1);
    assert_missed(*state, r, 0, 20, 0);
    assert_int_equal(unknown_of(r), 0);
    assert_int_equal(r->verdict, DP_CODE_CLEAN);
    dp_report_free(r);
}

/* Forward nobody behind sees it, reverse nobody before: the receiver acknowledged it all the same. */
static void test_last_point_missed_what_was_acknowledged(void **state)
{
    struct dp_report *r = run_missed(*state, 1u << 2);
    assert_missed(*state, r, 0, 0, 20);
    assert_int_equal(unknown_of(r), 0);
    dp_report_free(r);
}

static void test_first_point_missed(void **state)
{
    struct dp_report *r = run_missed(*state, 1u << 0);
    assert_missed(*state, r, 20, 0, 0);
    dp_report_free(r);
}

static void test_two_points_missed_what_was_acknowledged(void **state)
{
    struct dp_report *r = run_missed(*state, 1u << 1 | 1u << 2);
    assert_missed(*state, r, 0, 20, 20);
    dp_report_free(r);
}

/* The capture misses every seventh packet, whatever it is, and one packet is really lost. */
static void test_real_loss_beside_a_capture_that_misses(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 100; i++) {
        uint32_t at = sim->flows[flow].next[0];
        if (i == 50) {
            sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
            t += 200 * SIM_MS;
        }
        t = sim_exchange(sim, flow,
                         (struct sim_packet){.t = t, .seq = at, .len = 1000, .missed = i % 7 == 3 ? 4 : 0});
    }
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->vantages[2].missed, 14);
    dp_report_free(r);
}

/* ---- the capture says that it dropped packets ---- */

static uint32_t lost_for_good(struct sim *sim, int64_t *ret_t)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int i = 0; i < 3; i++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + i * 250 * SIM_MS, .seq = at, .len = 1000, .lost_in = SIM_IN(1)});
    *ret_t = t;
    /* Its connection is over; the capture goes on with another. */
    int64_t later;
    uint32_t other = sim_session(sim, &later);
    sim_session_end(sim, other, t + 2 * SIM_S);
    return flow;
}

static void test_dropped_by_the_capture_is_unknown(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[2].has_dropped = true;
    sim->at[2].dropped = 5;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_inconclusive(r);
    assert_int_equal(r->segments[1].side[DP_FORWARD].unknown_packets, 3);
    assert_int_equal(r->segments[1].side[DP_FORWARD].lost_packets, 0);
    assert_true(r->vantages[2].has_capture_dropped);
    assert_int_equal(r->vantages[2].capture_dropped, 5);
    dp_report_free(r);
}

static void test_a_capture_that_dropped_nothing_proves(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[2].has_dropped = true;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->vantages[2].capture_dropped, 0);
    dp_report_free(r);
}

/* What a point that dropped packets lost upstream of the path's other segments is not its business. */
static void test_drops_elsewhere_change_nothing(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[0].has_dropped = true;
    sim->at[0].dropped = 5;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_gap_at_the_time_of_the_loss_is_unknown(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[2].gaps[0] = (struct dp_gap){t - SIM_MS, t + 600 * SIM_MS, 9};
    sim->at[2].gap_count = 1;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_inconclusive(r);
    assert_int_equal(r->segments[1].side[DP_FORWARD].unknown_packets, 3);
    assert_int_equal(r->vantages[2].capture_dropped, 9);
    dp_report_free(r);
}

static void test_gap_at_another_time_changes_nothing(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[2].gaps[0] = (struct dp_gap){t + SIM_S, t + SIM_S + 10 * SIM_MS, 9};
    sim->at[2].gap_count = 1;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_gap_at_one_of_the_losses(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    (void)lost_for_good(sim, &t);
    sim->at[2].gaps[0] = (struct dp_gap){t - SIM_MS, t + 10 * SIM_MS, 1};
    sim->at[2].gap_count = 1;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_LOSS);
    assert_int_equal(r->segments[1].side[DP_FORWARD].unknown_packets, 1);
    assert_int_equal(r->segments[1].side[DP_FORWARD].lost_packets, 2);
    assert_int_equal(r->segments[1].side[DP_FORWARD].lost_bytes, 2000);
    dp_report_free(r);
}

/* ---- begin and end of captures ---- */

/* The captures begin and end at other moments, in the middle of a transfer. */
static void run_cut(struct sim *sim, bool windows)
{
    static const int64_t from[3] = {0, 113 * SIM_MS, 57 * SIM_MS},
                         to[3] = {903 * SIM_MS, 871 * SIM_MS, 888 * SIM_MS};
    for (size_t v = 0; v < 3; v++) {
        sim->at[v].capture_from = from[v] + 1;
        sim->at[v].capture_to = to[v];
        sim->at[v].window = windows;
    }
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, SIM_MS);
    t = sim_transfer(sim, flow, 0, t, 1000, SIM_MS / 2);
    (void)sim_transfer(sim, flow, 1, t, 1000, SIM_MS / 2);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->verdict, DP_CODE_CLEAN);
    for (size_t v = 0; v < 3; v++)
        assert_int_equal(r->vantages[v].missed, 0);
    dp_report_free(r);
}

static void test_in_flight_as_captures_begin_and_end(void **state)
{
    run_cut(*state, false);
}

static void test_in_flight_as_known_windows_begin_and_end(void **state)
{
    run_cut(*state, true);
}

/* A point misses nothing while it does not capture. */
static void test_nothing_is_missed_outside_of_the_capture(void **state)
{
    struct sim *sim = *state;
    sim->at[2].capture_from = 100 * SIM_MS;
    sim->at[2].capture_to = 500 * SIM_MS;
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, SIM_MS);
    (void)sim_transfer(sim, flow, 0, t, 1000, SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->vantages[2].missed, 0);
    dp_report_free(r);
}

/* The last packets of a capture whose end is known, seen by no other: lost. */
static void test_known_window_proves_a_loss_at_the_end(void **state)
{
    struct sim *sim = *state;
    for (size_t v = 0; v < 3; v++) {
        sim->at[v].capture_to = 10 * SIM_S;
        sim->at[v].window = true;
    }
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 500, .lost_in = SIM_IN(0)});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    dp_report_free(r);
}

/* ---- paths that go around, captures that do not fit ---- */

static void go_around(struct sim *sim, uint8_t halves, uint64_t lost)
{
    sim->at[1].deaf_half = halves;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    if (lost) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
        t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1000});
    }
    sim_session_end(sim, flow, t);
}

static void test_asymmetric_reply_path(void **state)
{
    struct sim *sim = *state;
    go_around(sim, 2, 0);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_asymmetric_reply_path_with_forward_loss(void **state)
{
    struct sim *sim = *state;
    go_around(sim, 2, 1);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->vantages[1].missed, 0);
    dp_report_free(r);
}

static void test_reply_goes_around_the_last_point(void **state)
{
    struct sim *sim = *state;
    sim->at[2].deaf_half = 2;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_reply_goes_around_the_first_point(void **state)
{
    struct sim *sim = *state;
    sim->at[0].deaf_half = 2;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

static struct dp_report *run_deaf(struct sim *sim, uint32_t vantage)
{
    sim->at[vantage].deaf = true;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_session_end(sim, flow, t);
    return sim_run(sim, SIM_FILES);
}

static void test_empty_capture_at_the_end_is_inconclusive(void **state)
{
    struct dp_report *r = run_deaf(*state, 2);
    assert_inconclusive(r);
    dp_report_free(r);
}

static void test_empty_capture_at_the_beginning_is_inconclusive(void **state)
{
    struct dp_report *r = run_deaf(*state, 0);
    assert_inconclusive(r);
    dp_report_free(r);
}

/* It says nothing, but the points around it see everything: nothing was lost. */
static void test_empty_capture_in_the_middle(void **state)
{
    struct dp_report *r = run_deaf(*state, 1);
    sim_assert_losses(*state, r);
    assert_int_equal(r->vantages[1].missed, 0);
    assert_int_equal(r->finding_count, 0);
    dp_report_free(r);
}

static void test_all_captures_empty(void **state)
{
    struct dp_report *r = sim_run(*state, SIM_FILES);
    assert_inconclusive(r);
    dp_report_free(r);
}

/* Each point sees another session, the whole of it. */
static void nothing_in_common(struct sim *sim, int64_t apart)
{
    for (uint32_t v = 0; v < 3; v++) {
        uint32_t flow = sim_flow(sim, (struct sim_flow){.client_host = (uint8_t)(10 + v)});
        for (uint32_t i = 0; i < 50; i++) {
            struct sim_packet p = {.t = v * apart + i * 10 * SIM_MS, .len = 100, .missed = 7u & ~(1u << v)};
            p.seq = 1 + i * p.len;
            sim_send(sim, flow, p);
            p = (struct sim_packet){.half = 1, .t = p.t + SIM_MS, .missed = p.missed};
            sim_send(sim, flow, p);
        }
    }
}

static void test_captures_with_nothing_in_common(void **state)
{
    struct sim *sim = *state;
    nothing_in_common(sim, 0);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_inconclusive(r);
    dp_report_free(r);
}

static void test_captures_that_do_not_overlap_in_time(void **state)
{
    struct sim *sim = *state;
    nothing_in_common(sim, 600 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_inconclusive(r);
    dp_report_free(r);
}

/* The same long session, captured at one point after the other. */
static void test_one_session_captured_in_turns(void **state)
{
    struct sim *sim = *state;
    for (size_t v = 0; v < 3; v++) {
        sim->at[v].capture_from = (int64_t)v * 2 * SIM_S + 1;
        sim->at[v].capture_to = ((int64_t)v * 2 + 1) * SIM_S;
    }
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, SIM_MS);
    (void)sim_transfer(sim, flow, 0, t, 3000, 2 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_inconclusive(r);
    dp_report_free(r);
}

/* As one that listens at a bridge and its port: the copies are no packets of their own. */
static struct dp_report *run_echoes(struct sim *sim, int lost_in)
{
    int64_t t;
    sim->at[1].echo_ns = 7 * SIM_US;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 10; i++)
        sim_send(sim, flow, (struct sim_packet){.t = t + i * SIM_MS, .len = 900, .lost_in = lost_in});
    sim_session_end(sim, flow, t + 20 * SIM_MS);
    return sim_run(sim, SIM_FILES);
}

static void test_a_point_that_sees_all_twice(void **state)
{
    struct dp_report *r = run_echoes(*state, 0);
    sim_assert_clean(r);
    assert_int_equal(r->segments[1].side[0].packets, r->segments[0].side[0].packets);
    assert_int_equal(r->segments[1].side[0].duplicated_packets, 0);
    assert_int_equal(r->vantages[1].packets, 2 * r->vantages[0].packets);
    assert_int_equal(r->vantages[1].matched, r->vantages[1].packets);
    dp_report_free(r);
}

static void test_loss_behind_a_point_that_sees_all_twice(void **state)
{
    struct dp_report *r = run_echoes(*state, SIM_IN(1));
    sim_assert_loss_at(*state, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static uint32_t udp_flow(struct sim *sim)
{
    return sim_flow(sim, (struct sim_flow){.proto = 17, .server_port = 5004});
}

/* Two points keep 80 bytes of each packet, one keeps all: hashes of long datagrams cannot be compared. */
static struct dp_report *run_cut_short(struct sim *sim, uint32_t len, bool new_ids, int lost_in)
{
    int64_t t;
    sim->at[1].keeps = 32;
    uint32_t session = sim_session(sim, &t);
    uint32_t flow = udp_flow(sim);
    if (new_ids)
        sim->flows[flow].rewrite = (struct sim_rewrite){.from = SIM_AT(1), .new_ids = true};
    for (int i = 0; i < 200; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.half = i % 2,
                                     .t = t + i * SIM_MS,
                                     .len = len ? len : 20 + (uint32_t)sim_random(sim, 1000),
                                     .lost_in = i % 20 == 0 ? lost_in : 0});
    sim_session_end(sim, session, t + 300 * SIM_MS);
    return sim_run(sim, SIM_FILES);
}

static void test_datagrams_that_one_point_cuts_short(void **state)
{
    struct dp_report *r = run_cut_short(*state, 0, false, 0);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_datagrams_of_one_length_and_other_ids(void **state)
{
    struct dp_report *r = run_cut_short(*state, 172, true, 0);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_loss_of_datagrams_that_one_point_cuts_short(void **state)
{
    struct dp_report *r = run_cut_short(*state, 0, false, SIM_IN(1));
    sim_assert_loss_at(*state, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_sack_blocks_that_one_point_cuts_off(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    sim->at[1].cuts_options = true;
    uint32_t flow = sim_session(sim, &t);
    uint32_t arrived = sim->flows[flow].arrived[1];
    for (uint32_t i = 0; i < 5; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.t = t + i * SIM_MS,
                                     .sack_count = 1,
                                     .sack = {{arrived + 1000, arrived + 2000 + i * 1000}}});
    sim_session_end(sim, flow, t + 20 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_seen_farther_along_was_missed),
        SIM_TEST(test_last_point_missed_what_was_acknowledged),
        SIM_TEST(test_first_point_missed),
        SIM_TEST(test_two_points_missed_what_was_acknowledged),
        SIM_TEST(test_real_loss_beside_a_capture_that_misses),
        SIM_TEST(test_dropped_by_the_capture_is_unknown),
        SIM_TEST(test_a_capture_that_dropped_nothing_proves),
        SIM_TEST(test_drops_elsewhere_change_nothing),
        SIM_TEST(test_gap_at_the_time_of_the_loss_is_unknown),
        SIM_TEST(test_gap_at_another_time_changes_nothing),
        SIM_TEST(test_gap_at_one_of_the_losses),
        SIM_TEST(test_in_flight_as_captures_begin_and_end),
        SIM_TEST(test_in_flight_as_known_windows_begin_and_end),
        SIM_TEST(test_known_window_proves_a_loss_at_the_end),
        SIM_TEST(test_asymmetric_reply_path),
        SIM_TEST(test_asymmetric_reply_path_with_forward_loss),
        SIM_TEST(test_reply_goes_around_the_last_point),
        SIM_TEST(test_empty_capture_at_the_end_is_inconclusive),
        SIM_TEST(test_empty_capture_at_the_beginning_is_inconclusive),
        SIM_TEST(test_empty_capture_in_the_middle),
        SIM_TEST(test_all_captures_empty),
        SIM_TEST(test_captures_with_nothing_in_common),
        SIM_TEST(test_captures_that_do_not_overlap_in_time),
        SIM_TEST(test_one_session_captured_in_turns),
        SIM_TEST(test_reply_goes_around_the_first_point),
        SIM_TEST(test_nothing_is_missed_outside_of_the_capture),
        SIM_TEST(test_a_point_that_sees_all_twice),
        SIM_TEST(test_loss_behind_a_point_that_sees_all_twice),
        SIM_TEST(test_datagrams_that_one_point_cuts_short),
        SIM_TEST(test_datagrams_of_one_length_and_other_ids),
        SIM_TEST(test_loss_of_datagrams_that_one_point_cuts_short),
        SIM_TEST(test_sack_blocks_that_one_point_cuts_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
