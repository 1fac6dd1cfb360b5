/* What TCP itself tells: of losses outside the vantage points, of resets, refusals, stalls and rewriting. */
#include "tests/unit/locate/sim_fixture.h"

static const struct dp_finding *only_finding(const struct dp_report *r, enum dp_code code)
{
    if (r->verdict != code || r->finding_count != 1)
        print_error("%zu findings: %s\n", r->finding_count, r->verdict_summary);
    assert_int_equal(r->verdict, code);
    assert_int_equal(r->finding_count, 1);
    assert_int_equal(dp_report_exit_code(r), 1);
    return &r->findings[0];
}

static void assert_place(const struct dp_finding *f, int from, int to, enum dp_direction direction)
{
    assert_int_equal(f->from, from);
    assert_int_equal(f->to, to);
    assert_int_equal(f->direction, direction);
}

static void use_one_point(struct sim *sim)
{
    sim_end(sim);
    sim_begin(sim, 1);
    sim->delay[0] = 0;
}

/* ---- beyond and before ---- */

static void test_one_point_alone_sees_a_clean_session(void **state)
{
    struct sim *sim = *state;
    use_one_point(sim);
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(r->segment_count, 0);
    dp_report_free(r);
}

/* Copies pass us, and no acknowledgement comes: they are lost beyond. */
static void lose_beyond(struct sim *sim, int half, int copies)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[half];
    for (int copy = 0; copy < copies; copy++) {
        sim_send(sim, flow, (struct sim_packet){.half = half, .t = t, .seq = at, .len = 1000});
        sim->flows[flow].arrived[half] = at; /* not really */
        t += (300 << copy) * SIM_MS;
    }
    t = sim_exchange(sim, flow, (struct sim_packet){.half = half, .t = t, .seq = at, .len = 1000});
    sim_session_end(sim, flow, t);
}

static void test_retransmission_that_passes_again_was_lost_beyond(void **state)
{
    struct sim *sim = *state;
    use_one_point(sim);
    lose_beyond(sim, 0, 3);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_LOSS);
    assert_place(f, 0, DP_POINT_BEYOND, DP_FORWARD);
    assert_int_equal(f->lost_packets, 3);
    assert_int_equal(f->lost_bytes, 3000);
    dp_report_free(r);
}

static void test_lost_beyond_the_last_of_three(void **state)
{
    struct sim *sim = *state;
    lose_beyond(sim, 0, 3);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_LOSS);
    assert_place(f, 2, DP_POINT_BEYOND, DP_FORWARD);
    assert_int_equal(f->lost_packets, 3);
    sim_assert_losses(sim, r);
    dp_report_free(r);
}

/* Reverse data that leaves the path at its near end and is lost there lies before the first point. */
static void test_reverse_loss_behind_the_near_end_is_before(void **state)
{
    struct sim *sim = *state;
    lose_beyond(sim, 1, 3);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_LOSS), DP_POINT_BEFORE, 0, DP_REVERSE);
    dp_report_free(r);
}

/* The stream goes on behind a hole that is filled much later: the first copy was lost before us. */
static void hole(struct sim *sim)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (uint32_t i = 1; i <= 5; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.t = t + i * 100 * SIM_US, .seq = at + i * SIM_MSS, .len = SIM_MSS});
    for (uint32_t i = 1; i <= 5; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.half = 1,
                                     .t = t + i * 100 * SIM_US + SIM_MS,
                                     .sack_count = 1,
                                     .sack = {{at + SIM_MSS, at + (i + 1) * SIM_MSS}}});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 210 * SIM_MS, .seq = at, .len = SIM_MSS});
    sim_session_end(sim, flow, t);
}

static void test_hole_filled_later_was_lost_before(void **state)
{
    struct sim *sim = *state;
    use_one_point(sim);
    hole(sim);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_LOSS);
    assert_place(f, DP_POINT_BEFORE, 0, DP_FORWARD);
    assert_int_equal(f->lost_packets, 1);
    assert_int_equal(f->lost_bytes, SIM_MSS);
    dp_report_free(r);
}

static void test_hole_at_the_first_of_three(void **state)
{
    struct sim *sim = *state;
    hole(sim);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_LOSS), DP_POINT_BEFORE, 0, DP_FORWARD);
    sim_assert_losses(sim, r);
    dp_report_free(r);
}

/* The receiver says that it got the bytes twice: nothing was lost. */
static void test_spurious_retransmission_with_dsack_is_no_loss(void **state)
{
    struct sim *sim = *state;
    use_one_point(sim);
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000});
    sim->flows[flow].arrived[0] = at; /* as the slow answers let it look */
    for (int copy = 1; copy <= 3; copy++)
        sim_send(sim, flow, (struct sim_packet){.t = t + copy * 300 * SIM_MS, .seq = at, .len = 1000});
    for (int copy = 1; copy <= 3; copy++)
        sim_send(
            sim, flow,
            (struct sim_packet){
                .half = 1, .t = t + SIM_S + copy * 300 * SIM_MS, .sack_count = 1, .sack = {{at, at + 1000}}});
    t += 2 * SIM_S;
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_syn_without_answer_is_lost_beyond(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_tcp(sim);
    for (int i = 0; i < 4; i++)
        sim_send(sim, flow, (struct sim_packet){.t = (1 << i) * SIM_S, .flags = DP_TCP_SYN});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_LOSS);
    assert_place(f, 2, DP_POINT_BEYOND, DP_FORWARD);
    assert_int_equal(f->pattern, DP_PATTERN_HANDSHAKE);
    dp_report_free(r);
}

/* ---- resets and refusals ---- */

static void reset_from(struct sim *sim, int half, int appears_at)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t), other = sim_session(sim, &t);
    sim_send(sim, flow,
             (struct sim_packet){.half = half, .t = t, .flags = DP_TCP_RST, .appears_at = appears_at});
    sim_session_end(sim, other, t);
}

static void test_reset_made_on_the_path(void **state)
{
    struct sim *sim = *state;
    reset_from(sim, 0, SIM_AT(2));
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_RESET), 1, 2, DP_FORWARD);
    dp_report_free(r);
}

static void test_reset_made_on_the_path_towards_the_client(void **state)
{
    struct sim *sim = *state;
    reset_from(sim, 1, SIM_AT(0));
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_RESET), 0, 1, DP_REVERSE);
    dp_report_free(r);
}

static void test_reset_that_crosses_the_whole_path_is_none(void **state)
{
    struct sim *sim = *state;
    reset_from(sim, 1, 0);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

/* The packet that provoked the RST is swallowed: the reset comes first. */
static void test_reset_comes_before_the_loss_that_provoked_it(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t), other = sim_session(sim, &t);
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
    sim_send(sim, flow,
             (struct sim_packet){.half = 1, .t = t + SIM_MS, .flags = DP_TCP_RST, .appears_at = SIM_AT(1)});
    sim_session_end(sim, other, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_RESET);
    assert_place(&r->findings[0], 1, 2, DP_REVERSE);
    dp_report_free(r);
}

static void test_refused_by_the_far_end(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t before = sim_session(sim, &t), flow = sim_tcp(sim);
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN});
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + SIM_MS, .flags = DP_TCP_RST | DP_TCP_ACK});
    sim_session_end(sim, before, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_REFUSED);
    assert_place(f, 2, DP_POINT_BEYOND, DP_REVERSE);
    assert_int_equal(f->flow_count, 1);
    assert_int_equal(f->flows[0], flow + 1);
    dp_report_free(r);
}

static void test_refused_by_a_middlebox_is_a_reset(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t before = sim_session(sim, &t), flow = sim_tcp(sim);
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .absorbed_at = SIM_AT(1)});
    sim_send(sim, flow,
             (struct sim_packet){
                 .half = 1, .t = t + SIM_MS, .flags = DP_TCP_RST | DP_TCP_ACK, .appears_at = SIM_AT(1)});
    sim_session_end(sim, before, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_RESET);
    assert_int_equal(r->findings[0].from, 1);
    assert_int_equal(r->findings[0].direction, DP_REVERSE);
    dp_report_free(r);
}

/* ---- rejections, stalls, rewriting ---- */

static void rewrite_reset(struct dp_digest *d, uint32_t vantage)
{
    if (vantage == 0)
        d->seq += 77777;
}

/* What stands between the first two points gives the RST another number: it is the server's all the same. */
static void test_a_reset_that_is_written_anew_crosses(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_send(
        sim, flow,
        (struct sim_packet){.half = 1, .t = t, .flags = DP_TCP_RST | DP_TCP_ACK, .alter = rewrite_reset});
    uint32_t other = sim_tcp(sim);
    t = sim_connect(sim, other, t + SIM_MS);
    (void)sim_close(sim, other, sim_transfer(sim, other, 0, t, 40, SIM_MS));
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    dp_report_free(r);
}

/* A proxy that is down: its host answers each SYN, which therefore was not lost. */
static void test_a_syn_that_a_host_on_the_way_refused_is_not_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t session = sim_session(sim, &t);
    for (int i = 0; i < 4; i++) {
        uint32_t flow = sim_tcp(sim);
        sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .absorbed_at = SIM_AT(0)});
        t += 5 * SIM_MS;
        sim_send(sim, flow,
                 (struct sim_packet){.half = 1,
                                     .t = t,
                                     .ack = 1,
                                     .flags = DP_TCP_RST | DP_TCP_ACK,
                                     .seq = 1,
                                     .appears_at = SIM_AT(0)});
    }
    sim_session_end(sim, session, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_RESET);
    assert_place(f, 0, 1, DP_REVERSE);
    sim_assert_losses(sim, r);
    dp_report_free(r);
}

static void test_smtp_refusal_is_rejected(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (uint32_t v = 0; v < 3; v++)
        sim_note(sim, flow, v, t, 421);
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    const struct dp_finding *f = only_finding(r, DP_CODE_REJECTED);
    assert_place(f, 2, DP_POINT_BEYOND, DP_REVERSE);
    assert_int_equal(f->smtp_code, 421);
    assert_non_null(f->smtp_reply);
    assert_string_equal(r->flows[0].app, "smtp");
    dp_report_free(r);
}

static void test_refusal_after_a_loss_belongs_to_the_loss(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t), at = sim->flows[flow].next[0];
    for (int i = 0; i < 4; i++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + i * 300 * SIM_MS, .seq = at, .len = 1448, .lost_in = SIM_IN(1)});
    t += 1500 * SIM_MS;
    (void)sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 60});
    for (uint32_t v = 0; v < 3; v++)
        sim_note(sim, flow, v, t + SIM_MS, 421);
    int64_t later;
    uint32_t other = sim_session(sim, &later);
    sim_session_end(sim, other, t + SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->finding_count, 1);
    assert_int_equal(r->findings[0].smtp_code, 421);
    dp_report_free(r);
}

static void stall(struct sim *sim, int half)
{
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    for (int i = 0; i <= 20; i++) /* probes of a byte that was acknowledged, and answers */
        sim_send(sim, flow,
                 (struct sim_packet){.half = half, .t = t + i * 100 * SIM_MS, .zero_window = true});
    sim_session_end(sim, flow, t + 2 * SIM_S);
}

static void test_zero_window_of_the_server_is_a_stall_beyond(void **state)
{
    struct sim *sim = *state;
    stall(sim, 1);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_STALL), 2, DP_POINT_BEYOND, DP_FORWARD);
    dp_report_free(r);
}

static void test_zero_window_of_the_client_is_a_stall_before(void **state)
{
    struct sim *sim = *state;
    stall(sim, 0);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_place(only_finding(r, DP_CODE_STALL), DP_POINT_BEFORE, 0, DP_REVERSE);
    dp_report_free(r);
}

static void change_payload(struct dp_digest *d, uint32_t vantage)
{
    if (vantage >= 2)
        d->hash ^= 0x5555;
}

static void raise_mss(struct dp_digest *d, uint32_t vantage)
{
    if (vantage >= 1 && d->mss)
        d->mss = 1500;
}

static void lower_mss(struct dp_digest *d, uint32_t vantage)
{
    if (vantage >= 1 && d->mss)
        d->mss = 1360;
}

static void strip_sack(struct dp_digest *d, uint32_t vantage)
{
    if (vantage >= 1)
        d->bits &= (uint8_t)~DP_DIGEST_SACK_PERMITTED;
}

static struct dp_report *run_altered(struct sim *sim, uint16_t flags, uint32_t len,
                                     void (*alter)(struct dp_digest *, uint32_t))
{
    int64_t t;
    uint32_t before = sim_session(sim, &t), flow = sim_tcp(sim);
    int64_t cross = sim_crossing_time(sim) + SIM_MS;
    sim_send(sim, flow,
             (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .alter = (flags & DP_TCP_SYN) ? alter : NULL});
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + cross, .flags = DP_TCP_SYN | DP_TCP_ACK});
    sim_send(sim, flow, (struct sim_packet){.t = t + 2 * cross});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 3 * cross, .len = 500, .alter = len ? alter : NULL});
    t = sim_close(sim, flow, t);
    sim_session_end(sim, before, t);
    return sim_run(sim, SIM_FILES);
}

static void test_changed_payload_is_a_rewrite(void **state)
{
    struct dp_report *r = run_altered(*state, 0, 500, change_payload);
    assert_place(only_finding(r, DP_CODE_REWRITE), 1, 2, DP_FORWARD);
    dp_report_free(r);
}

static void test_raised_mss_is_a_rewrite(void **state)
{
    struct dp_report *r = run_altered(*state, DP_TCP_SYN, 0, raise_mss);
    assert_place(only_finding(r, DP_CODE_REWRITE), 0, 1, DP_FORWARD);
    dp_report_free(r);
}

static void test_lowered_mss_is_as_it_should_be(void **state)
{
    struct dp_report *r = run_altered(*state, DP_TCP_SYN, 0, lower_mss);
    sim_assert_clean(r);
    dp_report_free(r);
}

static void test_removed_sack_permitted_is_a_rewrite(void **state)
{
    struct dp_report *r = run_altered(*state, DP_TCP_SYN, 0, strip_sack);
    assert_place(only_finding(r, DP_CODE_REWRITE), 0, 1, DP_FORWARD);
    dp_report_free(r);
}

/* Three transmissions pass the last point, 300 and 600 ms apart, and only the third is acknowledged. */
static void test_two_copies_lost_beyond(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t), at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 2; copy++) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 1000});
        sim->flows[flow].arrived[0] = at; /* not really */
        t += (300 << copy) * SIM_MS;
    }
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t, .seq = at, .len = 1000});
    sim_session_end(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_LOSS);
    assert_int_equal(r->findings[0].to, DP_POINT_BEYOND);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_two_copies_lost_beyond),
        SIM_TEST(test_one_point_alone_sees_a_clean_session),
        SIM_TEST(test_retransmission_that_passes_again_was_lost_beyond),
        SIM_TEST(test_lost_beyond_the_last_of_three),
        SIM_TEST(test_reverse_loss_behind_the_near_end_is_before),
        SIM_TEST(test_hole_filled_later_was_lost_before),
        SIM_TEST(test_hole_at_the_first_of_three),
        SIM_TEST(test_spurious_retransmission_with_dsack_is_no_loss),
        SIM_TEST(test_syn_without_answer_is_lost_beyond),
        SIM_TEST(test_reset_made_on_the_path),
        SIM_TEST(test_reset_made_on_the_path_towards_the_client),
        SIM_TEST(test_reset_that_crosses_the_whole_path_is_none),
        SIM_TEST(test_reset_comes_before_the_loss_that_provoked_it),
        SIM_TEST(test_refused_by_the_far_end),
        SIM_TEST(test_a_reset_that_is_written_anew_crosses),
        SIM_TEST(test_a_syn_that_a_host_on_the_way_refused_is_not_lost),
        SIM_TEST(test_smtp_refusal_is_rejected),
        SIM_TEST(test_refusal_after_a_loss_belongs_to_the_loss),
        SIM_TEST(test_zero_window_of_the_server_is_a_stall_beyond),
        SIM_TEST(test_zero_window_of_the_client_is_a_stall_before),
        SIM_TEST(test_changed_payload_is_a_rewrite),
        SIM_TEST(test_raised_mss_is_a_rewrite),
        SIM_TEST(test_lowered_mss_is_as_it_should_be),
        SIM_TEST(test_removed_sack_permitted_is_a_rewrite),
        SIM_TEST(test_refused_by_a_middlebox_is_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
