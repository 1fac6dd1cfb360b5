/* Connections that a proxy between the points 1 and 2 encrypts anew: put together by when they begin and end
 * and by how much they carry, or not at all. */
#include "tests/unit/locate/sim_fixture.h"
#include "tests/unit/locate/sim_mail.h"

#define NONE (-1)

/* A connection before the proxy and the one that carries it on. Bytes of each half; all times are when the
 * near one does it, or so much later. */
struct veiled {
    int64_t begin;
    int64_t opens, closes; /* how much later the far one does so; 0: 2 ms */
    uint32_t bytes[2];     /* 0: 40000 up, 9000 down */
    int64_t more[2];       /* so many more, or less, on the far side */
    bool client_far;
    /* One runs the other way: both leave the host, or both come to it. */
    bool near_turned, far_turned;
    int64_t lasts; /* 0: 8 s */
};

struct pair {
    uint32_t near, far;
};

static uint32_t carry(struct sim *sim, struct sim_flow flow, int64_t t, int64_t end, const uint32_t bytes[2])
{
    uint32_t id = sim_flow(sim, flow);
    t = sim_connect(sim, id, t);
    for (int half = 0; half < 2; half++)
        for (uint32_t sent = 0; sent < bytes[half]; sent += SIM_MSS) {
            uint32_t left = bytes[half] - sent;
            (void)sim_exchange(
                sim, id, (struct sim_packet){.half = half, .t = t, .len = left < SIM_MSS ? left : SIM_MSS});
            t += SIM_MS;
        }
    (void)sim_close(sim, id, end);
    return id;
}

static struct pair add(struct sim *sim, struct veiled v)
{
    struct sim_flow before = {.far_end = SIM_AT(1), .server_port = 465},
                    behind = {.near_end = SIM_AT(2), .server_port = 465};
    struct sim_flow in = v.client_far ? behind : before, out = v.client_far ? before : behind;
    in.client_far = v.client_far != v.near_turned;
    out.client_far = v.client_far != v.far_turned;
    in.server_host = 8;
    out.client_host = 8;
    uint32_t bytes[2] = {v.bytes[0] ? v.bytes[0] : 40000, v.bytes[1] ? v.bytes[1] : 9000};
    uint32_t far[2] = {(uint32_t)(bytes[0] + v.more[0]), (uint32_t)(bytes[1] + v.more[1])};
    int64_t opens = v.opens ? v.opens : 2 * SIM_MS, closes = v.closes ? v.closes : 2 * SIM_MS;
    int64_t end = v.begin + (v.lasts ? v.lasts : 8 * SIM_S);
    struct pair p;
    p.near = carry(sim, in, v.begin, end, bytes);
    p.far = carry(sim, out, v.begin + opens, end + closes, far);
    return p;
}

static void assert_paired(const struct sim *sim, const struct dp_report *r, struct pair p)
{
    bool far = sim->flows[p.near].client_far;
    for (uint32_t v = 0; v < 2; v++) {
        assert_int_equal(sim_goes_on_as(sim, r, p.near, far ? v : v + 2), p.far);
        assert_int_equal(sim_goes_on_as(sim, r, p.far, far ? v + 2 : v), p.near);
    }
}

static void assert_apart(const struct sim *sim, const struct dp_report *r, struct pair p)
{
    for (uint32_t v = 0; v < 4; v++) {
        assert_int_equal(sim_goes_on_as(sim, r, p.near, v), NONE);
        assert_int_equal(sim_goes_on_as(sim, r, p.far, v), NONE);
    }
}

/* ---- one that is carried on ---- */

static void test_paired_by_timing_and_volume(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++) {
        sim_relay_path(sim);
        struct pair p = add(sim, (struct veiled){.client_far = far != 0, .more = {300, -200}});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_clean(r);
        assert_int_equal(r->flow_count, 2);
        assert_paired(sim, r, p);
        sim_assert_says(r->verdict_summary, "The host behind lb1/eth0 encrypts anew");
        sim_assert_says(r->verdict_summary, "put together by timing and volume only");
        dp_report_free(r);
    }
}

static void test_one_after_the_other(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p[6];
    for (int i = 0; i < 6; i++)
        p[i] = add(sim, (struct veiled){.begin = i * 500 * SIM_MS, .more = {300, 300}});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    for (int i = 0; i < 6; i++)
        assert_paired(sim, r, p[i]);
    dp_report_free(r);
}

/* Two at a time, but with unlike volumes. */
static void test_at_once_with_volumes_of_their_own(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p[2] = {add(sim, (struct veiled){.bytes = {60000, 9000}, .more = {300, 300}}),
                        add(sim, (struct veiled){.bytes = {9000, 60000}, .more = {300, 300}})};
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    for (int i = 0; i < 2; i++)
        assert_paired(sim, r, p[i]);
    dp_report_free(r);
}

/* Two at a time that differ in one thing only, and in that by too little to rule anything out. */
static void test_at_once_and_nearly_alike(void **state)
{
    static const struct veiled cases[][2] = {
        {{.more = {300, 300}}, {.bytes = {45000, 14000}, .more = {300, 300}}},
        {{.lasts = 8 * SIM_S}, {.begin = 500 * SIM_MS, .lasts = 7500 * SIM_MS}},
        {{.lasts = 8 * SIM_S}, {.lasts = 8500 * SIM_MS}},
    };
    struct sim *sim = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_relay_path(sim);
        struct pair p[2] = {add(sim, cases[i][0]), add(sim, cases[i][1])};
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_clean(r);
        for (int k = 0; k < 2; k++)
            assert_paired(sim, r, p[k]);
        dp_report_free(r);
    }
}

/* What lies between them no one can count: no loss there, however the volumes differ. */
static void test_other_volumes_are_no_loss(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p = add(sim, (struct veiled){.more = {-4000, 4000}});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_paired(sim, r, p);
    dp_report_free(r);
}

static void lose(struct sim *sim, uint32_t flow, int64_t t, int segment)
{
    for (int i = 0; i < 20; i++, t += 40 * SIM_MS) {
        uint32_t at = sim->flows[flow].next[0];
        sim_send(sim, flow, (struct sim_packet){.t = t, .len = 500, .lost_in = SIM_IN(segment)});
        (void)sim_exchange(sim, flow, (struct sim_packet){.t = t + 20 * SIM_MS, .seq = at, .len = 500});
    }
}

/* TCP itself proves these losses; how sure the answer is depends on the pair all the same. */
static void test_loss_beside_the_proxy_is_told_with_reserve(void **state)
{
    struct sim *sim = *state;
    for (int segment = 0; segment <= 2; segment += 2) {
        sim_relay_path(sim);
        struct sim_flow in = {.far_end = SIM_AT(1), .server_port = 465, .server_host = 8},
                        out = {.near_end = SIM_AT(2), .server_port = 465, .client_host = 8};
        struct pair p = {.near = sim_flow(sim, in), .far = sim_flow(sim, out)};
        for (int side = 0; side < 2; side++) {
            uint32_t flow = side ? p.far : p.near;
            int64_t t = sim_connect(sim, flow, side * 2 * SIM_MS);
            t = sim_transfer(sim, flow, 0, t, 40, 2 * SIM_MS);
            t = sim_transfer(sim, flow, 1, t, 10, 2 * SIM_MS);
            if (side == segment / 2)
                lose(sim, flow, t, segment);
            else
                for (int i = 0; i < 20; i++)
                    (void)sim_exchange(sim, flow, (struct sim_packet){.t = t + i * 40 * SIM_MS, .len = 500});
            (void)sim_close(sim, flow, 3 * SIM_S + side * 2 * SIM_MS);
        }
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_loss_at(sim, r, segment, DP_FORWARD);
        assert_paired(sim, r, p);
        const struct dp_finding *f = &r->findings[r->verdict_finding];
        assert_true(f->confidence > 0.5 && f->confidence <= 0.8);
        sim_assert_says(f->summary,
                        "Between lb1/eth0 and lb1/eth1 a host ends these connections and encrypts "
                        "anew");
        sim_assert_says(f->summary, "put together by timing and volume only");
        dp_report_free(r);
    }
}

/* ---- two that look alike ---- */

/* However close they follow each other: no connection is said to go on in the other's. */
static void test_look_alikes_are_not_mixed_up(void **state)
{
    struct sim *sim = *state;
    for (int64_t apart = 0; apart <= 128 * SIM_MS; apart = apart ? 2 * apart : SIM_MS) {
        sim_relay_path(sim);
        struct pair p[2];
        for (int i = 0; i < 2; i++)
            p[i] = add(sim, (struct veiled){.begin = i * apart, .more = {300, 300}});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_losses(sim, r);
        for (int i = 0; i < 2; i++)
            if (apart <= 2 * SIM_MS)
                assert_apart(sim, r, p[i]);
            else if (sim_goes_on_as(sim, r, p[i].near, 2) != NONE || apart >= 64 * SIM_MS)
                assert_paired(sim, r, p[i]);
        if (apart == 0)
            assert_int_equal(r->verdict, DP_CODE_INCONCLUSIVE);
        dp_report_free(r);
    }
}

/* The proxy takes its time with the first, and opens for the second at once: by the clock alone the second's
 * would be the first's. */
static void test_look_alikes_in_turned_order(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p[2] = {add(sim, (struct veiled){.opens = 30 * SIM_MS, .closes = 30 * SIM_MS}),
                        add(sim, (struct veiled){.begin = 10 * SIM_MS, .opens = SIM_MS, .closes = SIM_MS})};
    struct dp_report *r = sim_run(sim, SIM_FILES);
    for (int i = 0; i < 2; i++) {
        int goes_on = sim_goes_on_as(sim, r, p[i].near, 2);
        assert_true(goes_on == NONE || goes_on == (int)p[i].far);
    }
    dp_report_free(r);
}

/* A connection that only one side saw, beside a pair that it looks like. */
static uint32_t lone(struct sim *sim, bool far, int64_t begin)
{
    struct sim_flow in = {.far_end = SIM_AT(1), .server_port = 465, .server_host = 8},
                    out = {.near_end = SIM_AT(2), .server_port = 465, .client_host = 8};
    return carry(sim, far ? out : in, begin, begin + 8 * SIM_S, (uint32_t[]){40000, 9000});
}

/* Of two alike only one is carried on where we see it: it may be either's. Or one is carried on by either of
 * two. */
static void test_one_for_two(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++) {
        sim_relay_path(sim);
        struct pair p = add(sim, (struct veiled){0});
        uint32_t other = lone(sim, far != 0, far ? 3 * SIM_MS : SIM_MS);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_apart(sim, r, p);
        assert_int_equal(sim_goes_on_as(sim, r, other, far ? 0 : 3), NONE);
        dp_report_free(r);
    }
}

/* What carries the first on no one captured: that of the second is not its. */
static void test_one_that_is_not_carried_on(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t other = lone(sim, false, 0);
    struct pair p = add(sim, (struct veiled){.begin = 100 * SIM_MS});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_paired(sim, r, p);
    assert_int_equal(sim_goes_on_as(sim, r, other, 3), NONE);
    dp_report_free(r);
}

/* ---- what does not fit ---- */

static void test_not_paired(void **state)
{
    static const struct {
        struct veiled v;
        bool paired;
    } cases[] = {
        {{.more = {5000, 5000}}, true},
        {{.more = {9000, 0}}, false}, /* more than a handshake and 5 % can differ */
        {{.more = {-9000, 0}}, false},
        {{.more = {0, 7000}}, false},
        {{.more = {0, -7000}}, false},
        {{.bytes = {400000, 9000}, .more = {24000, 0}}, true}, /* records cut otherwise */
        {{.bytes = {400000, 9000}, .more = {32000, 0}}, false},
        {{.opens = 2900 * SIM_MS}, true},
        {{.opens = 3100 * SIM_MS}, false},
        {{.begin = SIM_S, .opens = -SIM_MS}, false}, /* it was there before the client came */
        {{.closes = 1900 * SIM_MS}, true},
        {{.closes = 2100 * SIM_MS}, false},
        {{.closes = -1900 * SIM_MS}, true},
        {{.closes = -2100 * SIM_MS}, false},
        {{.near_turned = true}, false},
        {{.far_turned = true}, false},
    };
    struct sim *sim = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_relay_path(sim);
        struct pair p = add(sim, cases[i].v);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        if ((sim_goes_on_as(sim, r, p.near, 2) != NONE) != cases[i].paired)
            print_error("case %zu: %s\n", i, r->verdict_summary);
        if (cases[i].paired)
            assert_paired(sim, r, p);
        else
            assert_apart(sim, r, p);
        assert_int_equal(r->verdict, cases[i].paired ? DP_CODE_CLEAN : DP_CODE_INCONCLUSIVE);
        dp_report_free(r);
    }
}

/* Two hosts have two clocks, and nothing in common to set them by. */
static void test_not_paired_over_two_hosts(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    sim->names[2] = "lb2/eth1";
    struct pair p = add(sim, (struct veiled){0});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_apart(sim, r, p);
    assert_int_equal(r->verdict, DP_CODE_INCONCLUSIVE);
    dp_report_free(r);
}

/* When it began, or how much it carried until then, is not known. */
static void test_not_paired_from_its_middle(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    for (size_t v = 0; v < 4; v++) {
        sim->at[v].capture_from = 20 * SIM_MS;
        sim->at[v].capture_to = 60 * SIM_S;
    }
    struct pair p = add(sim, (struct veiled){0});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_apart(sim, r, p);
    dp_report_free(r);
}

/* Something is seen to go straight through that host: the others have no need to be guessed. */
static void test_not_paired_where_traffic_is_seen_to_cross(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p = add(sim, (struct veiled){0});
    uint32_t bytes[2] = {3000, 100000};
    (void)carry(sim, (struct sim_flow){.server_port = 443}, SIM_S, 9 * SIM_S, bytes);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_apart(sim, r, p);
    dp_report_free(r);
}

/* Mails in the clear are known by their ids: sessions that only look alike are not put together. */
static void test_not_paired_in_the_clear(void **state)
{
    struct sim *sim = *state;
    for (int clear = 0; clear < 2; clear++) {
        sim_relay_path(sim);
        struct sim_smtp in = sim_smtp_in(sim, 0), out = sim_smtp_out(sim, 2 * SIM_MS);
        struct sim_smtp *s[2] = {&in, &out};
        for (int i = 0; i < 2; i++) {
            if (clear)
                sim_smtp_mail(sim, s[i], (struct sim_mail){0});
            else
                s[i]->t = sim_transfer(sim, s[i]->flow, 0, s[i]->t, 3, SIM_MS);
            sim_smtp_quit(sim, s[i]);
        }
        struct dp_report *r = sim_run(sim, SIM_FILES);
        struct pair p = {in.flow, out.flow};
        if (clear)
            assert_apart(sim, r, p);
        else
            assert_paired(sim, r, p);
        dp_report_free(r);
    }
}

/* A packet before the proxy is sent again before its acknowledgement is there. Which of the two the proxy got
 * is of no account: neither goes on as it is. */
static void test_sent_again_before_the_proxy(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct pair p = add(sim, (struct veiled){.lasts = 4 * SIM_S});
    struct sim_packet packet = {.t = SIM_S, .seq = sim->flows[p.near].next[0] - 1, .len = 904};
    sim_send(sim, p.near, packet);
    packet.t += 5 * SIM_MS;
    (void)sim_exchange(sim, p.near, packet);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_paired(sim, r, p);
    sim_assert_clean(r);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_paired_by_timing_and_volume),
        SIM_TEST(test_one_after_the_other),
        SIM_TEST(test_at_once_with_volumes_of_their_own),
        SIM_TEST(test_at_once_and_nearly_alike),
        SIM_TEST(test_other_volumes_are_no_loss),
        SIM_TEST(test_loss_beside_the_proxy_is_told_with_reserve),
        SIM_TEST(test_look_alikes_are_not_mixed_up),
        SIM_TEST(test_look_alikes_in_turned_order),
        SIM_TEST(test_one_for_two),
        SIM_TEST(test_one_that_is_not_carried_on),
        SIM_TEST(test_not_paired),
        SIM_TEST(test_not_paired_over_two_hosts),
        SIM_TEST(test_not_paired_from_its_middle),
        SIM_TEST(test_not_paired_where_traffic_is_seen_to_cross),
        SIM_TEST(test_not_paired_in_the_clear),
        SIM_TEST(test_sent_again_before_the_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
