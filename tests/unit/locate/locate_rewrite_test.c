/* Hosts on the way that change what vantage points know a flow by: numbers, time stamps, IP IDs, addresses
 * and ports without a SYN to tell. Each flow loses one packet in segment 1 on its way from the client, so
 * that both kinds of error show: losses that are none, and a loss that is not seen. */
#include "tests/unit/locate/sim_fixture.h"

static void lossy_part(struct sim *sim, uint32_t flow, int64_t t)
{
    t = sim_transfer(sim, flow, 0, t, 10, 2 * SIM_MS);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1000});
    t = sim_transfer(sim, flow, 1, t, 10, 2 * SIM_MS);
    (void)sim_close(sim, flow, t);
}

static void lossy_session(struct sim *sim, uint32_t flow, int64_t t)
{
    lossy_part(sim, flow, sim_connect(sim, flow, t));
}

/* The flow as one, its loss, and nothing else but what is changed for the worse. */
static struct dp_report *assert_one_flow(struct sim *sim, struct sim_flow flow)
{
    lossy_session(sim, sim_flow(sim, flow), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    enum dp_direction direction = flow.client_far ? DP_REVERSE : DP_FORWARD;
    sim_assert_loss_at(sim, r, 1, direction);
    assert_int_equal(r->flow_count, 1);
    assert_int_equal(r->finding_count, flow.rewrite.strip_ts ? 2 : 1);
    if (flow.rewrite.strip_ts)
        assert_int_equal(r->findings[1].code, DP_CODE_REWRITE);
    for (size_t v = 0; v < r->vantage_count; v++)
        assert_int_equal(r->vantages[v].missed, 0);
    return r;
}

static void each_half(struct sim *sim, struct sim_rewrite rewrite)
{
    for (int halves = 1; halves <= 3; halves++)
        for (int far = 0; far < 2; far++)
            for (int from = 1; from < 3; from++) {
                struct sim_rewrite r = rewrite;
                r.from = SIM_AT(from);
                for (int half = 0; half < 2; half++)
                    if (!(halves >> half & 1))
                        r.seq_by[half] = r.ts_by[half] = 0;
                dp_report_free(assert_one_flow(sim, (struct sim_flow){.client_far = far != 0, .rewrite = r}));
                sim_end(sim);
                sim_begin(sim, 3);
            }
}

static void test_sequence_numbers_made_random(void **state)
{
    each_half(*state, (struct sim_rewrite){.seq_by = {0x93e0f1a7, 0x5c00ff13}});
}

static void test_time_stamps_shifted(void **state)
{
    each_half(*state, (struct sim_rewrite){.ts_by = {0x01020304, 0xfedcba98}});
}

static void test_sequence_numbers_and_time_stamps(void **state)
{
    each_half(*state, (struct sim_rewrite){.seq_by = {0x80000000, 0x7fffffff}, .ts_by = {1, 0xffffffff}});
}

static void test_time_stamps_taken_out(void **state)
{
    dp_report_free(
        assert_one_flow(*state, (struct sim_flow){.rewrite = {.from = SIM_AT(1), .strip_ts = true}}));
}

static void test_time_stamps_made_up(void **state)
{
    dp_report_free(
        assert_one_flow(*state, (struct sim_flow){.rewrite = {.from = SIM_AT(2), .mangle_ts = true}}));
}

/* It then rises at the host and falls behind it: which way a flow runs is told by the round trip alone. */
static void test_ttl_set_anew(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++)
        for (int from = 1; from < 3; from++) {
            struct sim_rewrite rewrite = {.from = SIM_AT(from), .ttl = 77};
            sim->delay[0] = sim->delay[1] = 20000; /* a LAN: too short to contradict */
            dp_report_free(
                assert_one_flow(sim, (struct sim_flow){.client_far = far != 0, .rewrite = rewrite}));
            sim_end(sim);
            sim_begin(sim, 3);
        }
}

static void test_ip_ids_rewritten(void **state)
{
    struct sim *sim = *state;
    for (int zero = 0; zero < 2; zero++) {
        sim->no_timestamps = true; /* so that only IP IDs could tell copies apart */
        dp_report_free(assert_one_flow(
            sim,
            (struct sim_flow){.rewrite = {.from = SIM_AT(1), .new_ids = zero == 0, .zero_ids = zero == 1}}));
        sim_end(sim);
        sim_begin(sim, 3);
    }
}

static void test_windows_scaled_otherwise(void **state)
{
    dp_report_free(
        assert_one_flow(*state, (struct sim_flow){.rewrite = {.from = SIM_AT(1), .window_shift = 2}}));
}

static void test_captures_of_other_snap_lengths(void **state)
{
    /* Payload that shows at no two points alike: the SYNs tell. */
    struct sim *sim = *state;
    uint32_t flow =
        sim_flow(sim, (struct sim_flow){.rewrite = {.from = SIM_AT(1), .seq_by = {0x10000000, 0x20000000}}});
    lossy_session(sim, flow, SIM_MS);
    for (size_t i = 0; i < sim->at[1].count; i++) {
        struct dp_digest *d = &sim->at[1].records[i].digest;
        if (d->hash_len == 64) {
            d->hash_len = 16;
            d->hash ^= 0x55555555;
        }
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 1);
    dp_report_free(r);
}

/* ---- without the beginning ---- */

static struct dp_report *assert_joined_midway(struct sim *sim, struct sim_flow flow)
{
    lossy_part(sim, sim_flow(sim, flow), SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, flow.client_far ? DP_REVERSE : DP_FORWARD);
    assert_int_equal(r->flow_count, 1);
    return r;
}

static void test_address_translation_seen_from_the_middle(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++) {
        struct dp_report *r = assert_joined_midway(
            sim, (struct sim_flow){.client_far = far != 0, .nat_from = SIM_AT(1), .dnat_from = SIM_AT(2)});
        assert_int_equal(r->flows[0].endpoints.client.bytes[0], 192);
        assert_int_equal(r->flows[0].endpoints.server_port, 25);
        assert_int_equal(r->flows[0].seen_as_count, 2);
        dp_report_free(r);
        sim_end(sim);
        sim_begin(sim, 3);
    }
}

static void test_translation_and_random_numbers_from_the_middle(void **state)
{
    dp_report_free(assert_joined_midway(
        *state, (struct sim_flow){.nat_from = SIM_AT(1),
                                  .rewrite = {.from = SIM_AT(1), .seq_by = {0x12345678, 0x9abcdef0}}}));
}

static void test_random_numbers_from_the_middle(void **state)
{
    dp_report_free(assert_joined_midway(
        *state, (struct sim_flow){.rewrite = {.from = SIM_AT(2), .seq_by = {0x12345678, 0x9abcdef0}}}));
}

/* One capture begins in mid-connection, and the numbers are other ones there. */
static void test_random_numbers_and_a_late_capture(void **state)
{
    struct sim *sim = *state;
    uint32_t flow =
        sim_flow(sim, (struct sim_flow){.rewrite = {.from = SIM_AT(1), .seq_by = {0x12345678, 0x9abcdef0}}});
    sim->at[1].capture_from = 10 * SIM_MS;
    sim->at[1].capture_to = 100 * SIM_S;
    lossy_session(sim, flow, SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 1);
    dp_report_free(r);
}

/* ---- SYN proxies ---- */

/* It stands between the points 0 and 1: answers by itself, opens to the server when the client is there. */
static int64_t connect_by_proxy(struct sim *sim, uint32_t flow, int64_t t)
{
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .absorbed_at = SIM_AT(0)});
    t += 100 * SIM_US;
    sim_send(sim, flow,
             (struct sim_packet){
                 .half = 1, .t = t, .flags = DP_TCP_SYN | DP_TCP_ACK, .ack = 1, .appears_at = SIM_AT(0)});
    t += 20 * SIM_MS;
    sim_send(sim, flow, (struct sim_packet){.t = t, .seq = 1, .ack = 1, .absorbed_at = SIM_AT(0)});
    t += SIM_MS;
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .appears_at = SIM_AT(1)});
    t += SIM_MS;
    sim_send(sim, flow,
             (struct sim_packet){
                 .half = 1, .t = t, .flags = DP_TCP_SYN | DP_TCP_ACK, .ack = 1, .absorbed_at = SIM_AT(1)});
    t += SIM_MS;
    sim_send(sim, flow, (struct sim_packet){.t = t, .seq = 1, .ack = 1, .appears_at = SIM_AT(1)});
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t, .seq = 1, .ack = 1, .appears_at = SIM_AT(0)});
    return t + 5 * SIM_MS;
}

static void test_syn_proxy(void **state)
{
    struct sim *sim = *state;
    for (int i = 0; i < 5; i++) {
        uint32_t flow =
            sim_flow(sim, (struct sim_flow){.rewrite = {.from = SIM_AT(1),
                                                        .seq_by = {0, 0x2468ace0u + (uint32_t)i * 12345},
                                                        .ts_by = {0, 0x13579bdfu * (uint32_t)(i + 1)}}});
        lossy_part(sim, flow, connect_by_proxy(sim, flow, SIM_MS + i * 300 * SIM_MS));
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 5);
    assert_int_equal(r->finding_count, 1);
    dp_report_free(r);
}

/* ---- datagrams ---- */

static void test_datagrams_through_address_translation(void **state)
{
    struct sim *sim = *state;
    for (int i = 0; i < 4; i++) {
        uint32_t flow =
            sim_flow(sim, (struct sim_flow){.proto = 17, .server_port = 53, .nat_from = SIM_AT(1)});
        for (uint32_t k = 0; k < 3; k++) {
            int64_t t = (i * 5 + (int64_t)k * 50) * SIM_MS;
            sim_send(sim, flow, (struct sim_packet){.t = t, .seq = 1 + k * 40, .len = 40});
            sim_send(sim, flow,
                     (struct sim_packet){.half = 1, .t = t + 3 * SIM_MS, .seq = 1 + k * 90, .len = 90});
        }
        if (i == 2)
            sim_send(sim, flow,
                     (struct sim_packet){.t = 80 * SIM_MS, .seq = 500, .len = 40, .lost_in = SIM_IN(0)});
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->flow_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(r->flows[i].seen_as_count, 2);
    dp_report_free(r);
}

/* ---- what must not be taken for one ---- */

/* The same ports again, and a point that did not see the first beginning: the numbers tell which is which. */
static void test_ports_used_again_without_beginning(void **state)
{
    struct sim *sim = *state;
    sim->at[1].capture_from = 20 * SIM_MS;
    sim->at[1].capture_to = 100 * SIM_S;
    for (int i = 0; i < 2; i++) {
        uint32_t flow = sim_flow(sim, (struct sim_flow){.client_port = 45000});
        int64_t t = sim_connect(sim, flow, SIM_MS + i * 2 * SIM_S);
        t = sim_transfer(sim, flow, 0, t, 30, 2 * SIM_MS);
        if (i == 0)
            lossy_part(sim, flow, t);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 2);
    assert_int_equal(r->findings[0].flow_count, 1);
    assert_int_equal(r->findings[0].flows[0], 1);
    dp_report_free(r);
}

/* Sessions that begin with the same words, but are others at each point. */
static void test_greetings_alone_join_nothing(void **state)
{
    struct sim *sim = *state;
    for (int i = 0; i < 6; i++) {
        struct sim_flow f = {.client_host = (uint8_t)(10 + i), .server_host = (uint8_t)(20 + i)};
        if (i % 2 == 0)
            f.far_end = SIM_AT(0);
        else
            f.near_end = SIM_AT(2);
        uint32_t flow = sim_flow(sim, f);
        int64_t t = sim_connect(sim, flow, (i + 1) * 10 * SIM_MS);
        sim->flows[flow].content = 99;
        t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 30});
        t = sim_exchange(sim, flow, (struct sim_packet){.t = t, .len = 12});
        t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 50});
        sim->flows[flow].content = 0;
        t = sim_transfer(sim, flow, 0, t, 10, 2 * SIM_MS);
        (void)sim_close(sim, flow, t);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->flow_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(r->flows[i].seen_as_count, 0);
    dp_report_free(r);
}

/* Many at once, all rewritten, fed by time in small batches. */
static void test_many_flows_rewritten(void **state)
{
    struct sim *sim = *state;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t flow =
            sim_flow(sim, (struct sim_flow){.nat_from = SIM_AT(2),
                                            .rewrite = {.from = SIM_AT(1),
                                                        .seq_by = {i * 0x01234567 + 99, i * 0x07654321 + 7},
                                                        .ts_by = {0, i * 77}}});
        lossy_session(sim, flow, SIM_MS + i * 3 * SIM_MS);
    }
    struct dp_report *r = sim_run(sim, (struct sim_feed){.batch = 7, .by_time = true, .settle = true});
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_int_equal(r->flow_count, 300);
    assert_int_equal(sim->lost[1][DP_FORWARD].lost_packets, 300);
    dp_report_free(r);
}

/* SYNs of one name end before a host, SYNs of another begin behind it: one connection as likely as two. */
static void test_syns_that_go_on_by_another_name_are_not_surely_lost(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t session = sim_session(sim, &t);
    uint32_t near = sim_flow(sim, (struct sim_flow){.client_host = 7, .far_end = SIM_AT(0)});
    uint32_t far = sim_flow(sim, (struct sim_flow){.client_host = 9, .near_end = SIM_AT(1)});
    for (int i = 0; i < 3; i++) {
        sim_send(sim, near, (struct sim_packet){.t = t, .flags = DP_TCP_SYN});
        sim_send(sim, far, (struct sim_packet){.t = t, .flags = DP_TCP_SYN});
        t += (1000 << i) * SIM_MS;
    }
    sim_session_end(sim, session, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    for (size_t i = 0; i < r->finding_count; i++)
        if (r->findings[i].from == 0)
            assert_true(r->findings[i].confidence < 0.9);
    dp_report_free(r);
}

/* A firewall gives the SYNs of a connection that never comes up other IP IDs. */
static void test_syns_with_other_ids_cross(void **state)
{
    struct sim *sim = *state;
    sim->no_timestamps = true;
    int64_t t;
    uint32_t session = sim_session(sim, &t);
    uint32_t flow = sim_tcp(sim);
    sim->flows[flow].rewrite = (struct sim_rewrite){.from = SIM_AT(1), .new_ids = true};
    for (int i = 0; i < 3; i++) {
        sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN, .seq = 0, .lost_in = SIM_IN(1)});
        t += (1000 << i) * SIM_MS;
    }
    sim_session_end(sim, session, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_sequence_numbers_made_random),
        SIM_TEST(test_time_stamps_shifted),
        SIM_TEST(test_sequence_numbers_and_time_stamps),
        SIM_TEST(test_time_stamps_taken_out),
        SIM_TEST(test_time_stamps_made_up),
        SIM_TEST(test_ttl_set_anew),
        SIM_TEST(test_ip_ids_rewritten),
        SIM_TEST(test_windows_scaled_otherwise),
        SIM_TEST(test_captures_of_other_snap_lengths),
        SIM_TEST(test_address_translation_seen_from_the_middle),
        SIM_TEST(test_translation_and_random_numbers_from_the_middle),
        SIM_TEST(test_random_numbers_from_the_middle),
        SIM_TEST(test_random_numbers_and_a_late_capture),
        SIM_TEST(test_syn_proxy),
        SIM_TEST(test_datagrams_through_address_translation),
        SIM_TEST(test_ports_used_again_without_beginning),
        SIM_TEST(test_greetings_alone_join_nothing),
        SIM_TEST(test_many_flows_rewritten),
        SIM_TEST(test_syns_that_go_on_by_another_name_are_not_surely_lost),
        SIM_TEST(test_syns_with_other_ids_cross),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
