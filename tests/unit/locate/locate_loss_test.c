/* What is lost, where, and how much of it. */
#include "tests/unit/locate/sim_fixture.h"

static void test_clean_path_is_clean(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    for (size_t v = 0; v < 3; v++)
        assert_int_equal(r->vantages[v].matched, r->vantages[v].packets);
    assert_int_equal(r->flow_count, 1);
    dp_report_free(r);
}

static void lose_one(int segment, enum dp_direction direction, size_t vantages)
{
    struct sim sim;
    sim_begin(&sim, vantages);
    int64_t t;
    uint32_t flow = sim_session(&sim, &t);
    int half = direction == DP_FORWARD ? 0 : 1;
    uint32_t at = sim.flows[flow].next[half];
    sim_send(&sim, flow, (struct sim_packet){.half = half, .t = t, .len = 1000, .lost_in = SIM_IN(segment)});
    t = sim_exchange(&sim, flow,
                     (struct sim_packet){.half = half, .t = t + 200 * SIM_MS, .seq = at, .len = 1000});
    sim_session_end(&sim, flow, t);
    struct dp_report *r = sim_run(&sim, SIM_FILES);
    sim_assert_loss_at(&sim, r, segment, direction);
    assert_int_equal(r->findings[0].lost_bytes, 1000);
    assert_int_equal(r->finding_count, 1);
    dp_report_free(r);
    sim_end(&sim);
}

static void test_loss_in_each_segment_forward(void **state)
{
    (void)state;
    for (int segment = 0; segment < 7; segment++)
        lose_one(segment, DP_FORWARD, 8);
    lose_one(0, DP_FORWARD, 2);
}

static void test_loss_in_each_segment_reverse(void **state)
{
    (void)state;
    for (int segment = 0; segment < 7; segment++)
        lose_one(segment, DP_REVERSE, 8);
    lose_one(0, DP_REVERSE, 2);
}

static void test_first_and_last_packet_of_a_window_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int i = 0; i < 10; i++)
        sim_send(sim, flow,
                 (struct sim_packet){
                     .t = t + i * 20 * SIM_US, .len = SIM_MSS, .lost_in = i == 0 || i == 9 ? SIM_IN(1) : 0});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 3 * SIM_MS, .seq = at, .len = SIM_MSS});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at + 9 * SIM_MSS, .len = SIM_MSS});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_pure_acks_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 10; i++) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .len = SIM_MSS});
        sim_send(sim, flow,
                 (struct sim_packet){.half = 1, .t = t + SIM_MS, .lost_in = i % 3 == 1 ? SIM_IN(0) : 0});
        t += 2 * SIM_MS;
    }
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_REVERSE);
    assert_int_equal(r->findings[0].lost_packets, 3);
    assert_int_equal(r->findings[0].lost_bytes, 0);
    dp_report_free(r);
}

static void test_syn_and_synack_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t before = sim_session(sim, &t);
    uint32_t flow = sim_tcp(sim);
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .lost_in = SIM_IN(1)});
    t += SIM_S;
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN});
    sim_send(sim, flow,
             (struct sim_packet){
                 .half = 1, .t = t + SIM_MS, .flags = DP_TCP_SYN | DP_TCP_ACK, .lost_in = SIM_IN(0)});
    t = sim_connect(sim, flow, t + 2 * SIM_S);
    t = sim_transfer(sim, flow, 0, t, 5, 2 * SIM_MS);
    sim_session_end(sim, before, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(sim->lost[1][DP_FORWARD].lost_packets + sim->lost[0][DP_REVERSE].lost_packets, 2);
    dp_report_free(r);
}

static void test_fin_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t), other = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_FIN | DP_TCP_ACK, .lost_in = SIM_IN(0)});
    sim_send(sim, flow,
             (struct sim_packet){.t = t + 210 * SIM_MS, .seq = at, .flags = DP_TCP_FIN | DP_TCP_ACK});
    sim_send(sim, flow,
             (struct sim_packet){.half = 1, .t = t + 212 * SIM_MS, .flags = DP_TCP_FIN | DP_TCP_ACK});
    sim_send(sim, flow, (struct sim_packet){.t = t + 214 * SIM_MS});
    sim_session_end(sim, other, t + 300 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_bytes, 0);
    dp_report_free(r);
}

static void test_retransmission_lost_again_counts_again(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 4; copy++) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 1448, .lost_in = SIM_IN(1)});
        t += (200 << copy) * SIM_MS;
    }
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 1448});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_packets, 4);
    assert_int_equal(r->findings[0].lost_bytes, 4 * 1448);
    assert_int_equal(r->findings[0].packet_count, 4);
    dp_report_free(r);
}

static void test_copies_lost_in_different_segments(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 1448, .lost_in = SIM_IN(1)});
    sim_send(sim, flow,
             (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1448, .lost_in = SIM_IN(0)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 600 * SIM_MS, .seq = at, .len = 1448});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->finding_count, 2);
    dp_report_free(r);
}

static void test_copies_told_apart_without_ids_or_stamps(void **state)
{
    struct sim *sim = *state;
    sim->no_ip_id = sim->no_timestamps = true;
    test_copies_lost_in_different_segments(state);
}

/* The retransmission is cut otherwise than the first transmission. */
static void test_retransmission_with_other_borders(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 700, .lost_in = SIM_IN(0)});
    sim_send(sim, flow,
             (struct sim_packet){.t = t + SIM_MS, .seq = at + 700, .len = 600, .lost_in = SIM_IN(0)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1300});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_packets, 2);
    dp_report_free(r);
}

/* ---- offloads ---- */

static void offloaded(struct sim *sim, uint32_t first, uint32_t second, uint32_t third)
{
    sim->at[0].cut = first;
    sim->at[1].cut = second;
    sim->at[2].cut = third;
}

static void lose_piece(struct sim *sim, int segment, int half, uint32_t pieces, uint32_t piece)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 3; i++)
        t = sim_exchange(sim, flow, (struct sim_packet){.half = half, .t = t, .len = pieces * SIM_MSS});
    uint32_t at = sim->flows[flow].next[half];
    sim_send(sim, flow,
             (struct sim_packet){.half = half,
                                 .t = t,
                                 .len = pieces * SIM_MSS,
                                 .lost_in = SIM_IN(segment),
                                 .lost_from = piece * SIM_MSS,
                                 .lost_len = SIM_MSS});
    t = sim_exchange(
        sim, flow,
        (struct sim_packet){.half = half, .t = t + 3 * SIM_MS, .seq = at + piece * SIM_MSS, .len = SIM_MSS});
    for (int i = 0; i < 3; i++)
        t = sim_exchange(sim, flow, (struct sim_packet){.half = half, .t = t, .len = pieces * SIM_MSS});
    sim_session_end(sim, flow, t);
}

static void test_super_packets_cut_and_merged_are_clean(void **state)
{
    struct sim *sim = *state;
    offloaded(sim, 0, SIM_MSS, 4 * SIM_MSS);
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 20; i++)
        t = sim_exchange(sim, flow, (struct sim_packet){.half = i % 2, .t = t, .len = 10 * SIM_MSS + 300});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_piece_of_a_super_packet_lost_before_it_is_cut(void **state)
{
    struct sim *sim = *state;
    offloaded(sim, 0, SIM_MSS, 4 * SIM_MSS);
    lose_piece(sim, 0, 0, 10, 4);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_packets, 1);
    assert_int_equal(r->findings[0].lost_bytes, SIM_MSS);
    dp_report_free(r);
}

static void test_piece_lost_between_cut_and_merge(void **state)
{
    struct sim *sim = *state;
    offloaded(sim, 0, SIM_MSS, 4 * SIM_MSS);
    lose_piece(sim, 1, 0, 10, 5);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_piece_lost_in_the_other_direction(void **state)
{
    struct sim *sim = *state;
    offloaded(sim, 6 * SIM_MSS, SIM_MSS, 0);
    lose_piece(sim, 0, 1, 10, 9);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_REVERSE);
    dp_report_free(r);
}

/* Two pieces of one super-packet: both bytes count, the packet counts once. */
static void test_two_pieces_of_one_super_packet_are_one_packet(void **state)
{
    struct sim *sim = *state;
    offloaded(sim, 0, SIM_MSS, 0);
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim->no_ip_id = true;
    /* Pieces 2 and 6 of 10 are lost in segment 0: what is behind sees three runs. */
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 10 * SIM_MSS, .missed = 6});
    sim->flows[flow].arrived[0] = at;
    sim->lost[0][0].lost_packets++;
    sim->lost[0][0].lost_bytes += 2 * SIM_MSS;
    static const uint32_t runs[][2] = {{0, 2}, {3, 6}, {7, 10}};
    for (size_t i = 0; i < 3; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.t = t + (int64_t)i * 10 * SIM_US,
                                     .seq = at + runs[i][0] * SIM_MSS,
                                     .len = (runs[i][1] - runs[i][0]) * SIM_MSS,
                                     .missed = 1});
    for (uint32_t piece = 2; piece <= 6; piece += 4)
        t = sim_exchange(
            sim, flow, (struct sim_packet){.t = t + 3 * SIM_MS, .seq = at + piece * SIM_MSS, .len = SIM_MSS});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_packets, 1);
    dp_report_free(r);
}

/* ---- not losses ---- */

static void test_duplicated_packets_are_not_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 10; i++) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1200, .twice_at = i % 2 ? SIM_AT(1) : 0});
        sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + SIM_MS});
        t += 3 * SIM_MS;
    }
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(r->segments[0].side[DP_FORWARD].duplicated_packets, 5);
    assert_int_equal(r->segments[1].side[DP_FORWARD].duplicated_packets, 0);
    dp_report_free(r);
}

static void test_reordered_packets_are_not_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i < 10; i++) {
        sim_send(sim, flow,
                 (struct sim_packet){.t = t, .len = 1200, .late_in = SIM_IN(1), .late_ns = 400 * SIM_US});
        sim_send(sim, flow, (struct sim_packet){.t = t + 100 * SIM_US, .len = 1200});
        sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + 2 * SIM_MS});
        t += 5 * SIM_MS;
    }
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(r->segments[1].side[DP_FORWARD].reordered_packets, 10);
    assert_int_equal(r->segments[0].side[DP_FORWARD].reordered_packets, 0);
    dp_report_free(r);
}

static void test_udp_datagrams_lost(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_flow(sim, (struct sim_flow){.proto = 17, .server_port = 53});
    uint32_t at = 1;
    for (int i = 0; i < 200; i++, at += 100) {
        int64_t t = i * 5 * SIM_MS;
        sim_send(sim, flow,
                 (struct sim_packet){.t = t, .seq = at, .len = 40, .lost_in = i % 40 == 7 ? SIM_IN(0) : 0});
        if (i % 40 != 7)
            sim_send(sim, flow,
                     (struct sim_packet){.half = 1,
                                         .t = t + SIM_MS,
                                         .seq = at,
                                         .len = 90,
                                         .lost_in = i % 50 == 11 ? SIM_IN(1) : 0});
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(sim->lost[0][DP_FORWARD].lost_packets, 5);
    assert_int_equal(sim->lost[1][DP_REVERSE].lost_packets, 4);
    assert_string_equal(r->flows[0].app, "dns");
    dp_report_free(r);
}

static void test_sequence_numbers_wrap_around(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_flow(sim, (struct sim_flow){.isn = {0xffffffffu - 30000, 0xffffffffu - 5000}});
    int64_t t = sim_connect(sim, flow, 100 * SIM_MS);
    for (int i = 0; i < 100; i++) {
        uint32_t at = sim->flows[flow].next[0];
        if (i % 10 == 3) {
            sim_send(sim, flow, (struct sim_packet){.t = t, .len = SIM_MSS, .lost_in = SIM_IN(1)});
            t += 200 * SIM_MS;
        }
        t = sim_exchange(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = SIM_MSS});
        t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 300});
    }
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->findings[0].lost_packets, 10);
    dp_report_free(r);
}

/* Datagrams of the same content at the same microsecond: each is a packet, and each is listed. */
static void test_equal_packets_with_equal_stamps(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_flow(sim, (struct sim_flow){.proto = 17, .server_port = 53});
    for (uint32_t i = 0; i < 100; i++)
        sim_send(sim, flow, (struct sim_packet){.t = i * 10 * SIM_MS, .seq = 1 + i * 100, .len = 50});
    for (int i = 0; i < 3; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.t = 500 * SIM_MS + SIM_MS, .seq = 1, .len = 50, .lost_in = SIM_IN(0)});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 0, DP_FORWARD);
    assert_int_equal(r->findings[0].packet_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(r->findings[0].packets[i].lost_bytes, 50);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_clean_path_is_clean),
        SIM_TEST(test_loss_in_each_segment_forward),
        SIM_TEST(test_loss_in_each_segment_reverse),
        SIM_TEST(test_first_and_last_packet_of_a_window_lost),
        SIM_TEST(test_pure_acks_lost),
        SIM_TEST(test_syn_and_synack_lost),
        SIM_TEST(test_fin_lost),
        SIM_TEST(test_retransmission_lost_again_counts_again),
        SIM_TEST(test_copies_lost_in_different_segments),
        SIM_TEST(test_copies_told_apart_without_ids_or_stamps),
        SIM_TEST(test_retransmission_with_other_borders),
        SIM_TEST(test_super_packets_cut_and_merged_are_clean),
        SIM_TEST(test_piece_of_a_super_packet_lost_before_it_is_cut),
        SIM_TEST(test_piece_lost_between_cut_and_merge),
        SIM_TEST(test_piece_lost_in_the_other_direction),
        SIM_TEST(test_two_pieces_of_one_super_packet_are_one_packet),
        SIM_TEST(test_duplicated_packets_are_not_lost),
        SIM_TEST(test_reordered_packets_are_not_lost),
        SIM_TEST(test_udp_datagrams_lost),
        SIM_TEST(test_sequence_numbers_wrap_around),
        SIM_TEST(test_equal_packets_with_equal_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
