/* Hosts that end connections, recognised by what they carry on: between the points 1 and 2 of four. */
#include <stdlib.h>

#include "tests/unit/locate/sim_fixture.h"

struct proxied {
    uint32_t near, far;
    int64_t t;
};

static void begin(struct sim *sim)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0"};
    sim_end(sim);
    sim_begin(sim, 4);
    for (size_t v = 0; v < 4; v++)
        sim->names[v] = names[v];
}

/* header: bytes that the proxy writes in front of what the client sends. */
static struct proxied session(struct sim *sim, uint32_t content, bool client_far, uint32_t header)
{
    struct sim_flow side[2] = {{.far_end = SIM_AT(1)}, {.near_end = SIM_AT(2)}};
    struct proxied p = {0};
    for (int server = 0; server < 2; server++) {
        struct sim_flow f = side[client_far ? 1 - server : server];
        f.client_far = client_far;
        f.content = content;
        f.content_from = server ? header : 0;
        f.client_host = server ? 7 : 1;
        f.server_host = server ? 9 : 8;
        *(server ? &p.far : &p.near) = sim_flow(sim, f);
    }
    return p;
}

static void connect_all(struct sim *sim, struct proxied *p, int64_t t, uint32_t header)
{
    p->t = sim_connect(sim, p->near, t);
    p->t = sim_connect(sim, p->far, p->t);
    if (header)
        p->t = sim_exchange(sim, p->far, (struct sim_packet){.t = p->t, .len = header});
}

/* Bytes of one half: over the client's connection in packets of `in` bytes, soon after in such of `out`. */
static void relay(struct sim *sim, struct proxied *p, int half, uint32_t len, uint32_t in, uint32_t out)
{
    uint32_t first = half == 0 ? p->near : p->far, second = half == 0 ? p->far : p->near;
    int64_t t = p->t;
    for (uint32_t sent = 0; sent < len; sent += in)
        p->t = sim_exchange(
            sim, first,
            (struct sim_packet){.half = half, .t = t + sent, .len = len - sent < in ? len - sent : in});
    for (uint32_t sent = 0; sent < len; sent += out)
        p->t = sim_exchange(sim, second,
                            (struct sim_packet){.half = half,
                                                .t = t + SIM_MS + sent,
                                                .len = len - sent < out ? len - sent : out});
    p->t += SIM_MS;
}

static void dialogue(struct sim *sim, struct proxied *p)
{
    relay(sim, p, 1, 60, 60, 60);
    for (int i = 0; i < 4; i++) {
        relay(sim, p, 0, 30, 30, 30);
        relay(sim, p, 1, 40, 40, 40);
    }
    relay(sim, p, 0, 20000, SIM_MSS, 1000);
    relay(sim, p, 1, 35, 35, 35);
}

static void close_all(struct sim *sim, struct proxied *p)
{
    (void)sim_close(sim, p->near, p->t);
    (void)sim_close(sim, p->far, p->t + SIM_MS);
}

static const struct dp_endpoints *seen_at(const struct dp_flow_report *f, uint32_t vantage)
{
    for (size_t i = 0; i < f->seen_as_count; i++)
        if (f->seen_as[i].vantage == vantage)
            return &f->seen_as[i].endpoints;
    return &f->endpoints;
}

/* One flow, under one name before the proxy and under the other behind it. */
static void assert_whole(const struct sim *sim, const struct dp_report *r, size_t flow, struct proxied p)
{
    const struct dp_flow_report *f = &r->flows[flow];
    bool far = sim->flows[p.near].client_far;
    uint16_t before = sim->flows[far ? p.far : p.near].client_port,
             behind = sim->flows[far ? p.near : p.far].client_port;
    for (uint32_t v = 0; v < 4; v++)
        assert_int_equal(seen_at(f, v)->client_port, v < 2 ? before : behind);
}

static void test_session_through_a_proxy(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++)
        for (uint32_t header = 0; header <= 60; header += 60) {
            begin(sim);
            struct proxied p = session(sim, 77, far != 0, header);
            connect_all(sim, &p, SIM_MS, header);
            dialogue(sim, &p);
            close_all(sim, &p);
            struct dp_report *r = sim_run(sim, SIM_FILES);
            sim_assert_losses(sim, r);
            assert_int_equal(r->verdict, DP_CODE_CLEAN);
            assert_int_equal(r->flow_count, 1);
            assert_whole(sim, r, 0, p);
            /* What it took over, in the packets in which it came. */
            const struct dp_segment_side *s = r->segments[1].side;
            assert_int_equal(s[far ? DP_REVERSE : DP_FORWARD].bytes, 20120);
            assert_int_equal(s[far ? DP_FORWARD : DP_REVERSE].bytes, 60 + 160 + 35);
            dp_report_free(r);
        }
}

static void test_clocks_that_disagree(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++) {
        begin(sim);
        sim->at[1].offset_ns = sim->at[2].offset_ns = -700 * SIM_S;
        sim->at[3].offset_ns = 3 * SIM_S;
        struct proxied p = session(sim, 77, far != 0, 0);
        connect_all(sim, &p, SIM_MS, 0);
        dialogue(sim, &p);
        close_all(sim, &p);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_int_equal(r->verdict, DP_CODE_CLEAN);
        assert_int_equal(r->flow_count, 1);
        dp_report_free(r);
    }
}

static void test_session_seen_from_its_middle(void **state)
{
    struct sim *sim = *state;
    begin(sim);
    struct proxied p = session(sim, 77, false, 0);
    p.t = SIM_MS;
    dialogue(sim, &p);
    close_all(sim, &p);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->flow_count, 1);
    assert_whole(sim, r, 0, p);
    dp_report_free(r);
}

/* ---- losses ---- */

/* A packet of the client's is lost in a segment, and sent again. */
static void test_lost_on_either_side(void **state)
{
    struct sim *sim = *state;
    for (int segment = 0; segment <= 2; segment += 2) {
        begin(sim);
        struct proxied p = session(sim, 77, false, 0);
        connect_all(sim, &p, SIM_MS, 0);
        dialogue(sim, &p);
        for (int behind = 0; behind < 2; behind++) {
            uint32_t flow = behind ? p.far : p.near, at = sim->flows[flow].next[0];
            if (behind == segment / 2) {
                sim_send(sim, flow, (struct sim_packet){.t = p.t, .len = 900, .lost_in = SIM_IN(segment)});
                p.t += 200 * SIM_MS;
            }
            p.t = sim_exchange(sim, flow, (struct sim_packet){.t = p.t, .seq = at, .len = 900});
        }
        dialogue(sim, &p);
        close_all(sim, &p);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_loss_at(sim, r, segment, DP_FORWARD);
        assert_int_equal(r->flow_count, 1);
        assert_int_equal(r->finding_count, 1);
        dp_report_free(r);
    }
}

static void test_swallowed_by_the_proxy(void **state)
{
    struct sim *sim = *state;
    begin(sim);
    struct proxied p = session(sim, 77, false, 0);
    connect_all(sim, &p, SIM_MS, 0);
    dialogue(sim, &p);
    for (int i = 0; i < 3; i++)
        p.t = sim_exchange(sim, p.near, (struct sim_packet){.t = p.t, .len = 700});
    sim->lost[1][DP_FORWARD] = (struct sim_truth){3, 2100};
    p.t += 30 * SIM_S;
    relay(sim, &p, 1, 40, 40, 40);
    close_all(sim, &p);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    dp_report_free(r);
}

static void nearly_closed(struct dp_digest *d, uint32_t vantage)
{
    (void)vantage;
    d->window = 2;
}

/* The server reads no more, and leaves a window that is too small to be used: the proxy has to wait. */
static void test_waits_in_the_proxy_for_a_server_that_does_not_read(void **state)
{
    struct sim *sim = *state;
    begin(sim);
    struct proxied p = session(sim, 77, false, 0), other = session(sim, 78, false, 0);
    connect_all(sim, &p, SIM_MS, 0);
    dialogue(sim, &p);
    sim_send(sim, p.far, (struct sim_packet){.half = 1, .t = p.t, .alter = nearly_closed});
    for (int i = 0; i < 3; i++)
        p.t = sim_exchange(sim, p.near, (struct sim_packet){.t = p.t, .len = 700});
    connect_all(sim, &other, p.t + 30 * SIM_S, 0);
    dialogue(sim, &other);
    close_all(sim, &other);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->finding_count, 0);
    dp_report_free(r);
}

/* ---- which belongs to which ---- */

#define PARALLEL 12

/* Sessions that say the same, word for word, at the same time. */
/* unseen: so many of their connections no point captured. */
static void run_parallel(struct sim *sim, int64_t apart, size_t unseen, size_t *ret_right)
{
    struct proxied p[PARALLEL];
    for (int i = 0; i < PARALLEL; i++) {
        p[i] = session(sim, 77, false, 0);
        connect_all(sim, &p[i], SIM_MS + i * apart, 0);
        dialogue(sim, &p[i]);
        close_all(sim, &p[i]);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    *ret_right = 0;
    for (size_t f = 0; f < r->flow_count; f++) {
        const struct dp_flow_report *flow = &r->flows[f];
        if (flow->seen_as_count == 0)
            continue;
        for (int i = 0; i < PARALLEL; i++)
            if (seen_at(flow, 0)->client_port == sim->flows[p[i].near].client_port) {
                assert_whole(sim, r, f, p[i]); /* never another's */
                ++*ret_right;
            }
    }
    assert_int_equal(r->flow_count, 2 * PARALLEL - unseen - *ret_right);
    dp_report_free(r);
}

static void test_same_words_one_host(void **state)
{
    struct sim *sim = *state;
    size_t right;
    begin(sim);
    run_parallel(sim, 5 * SIM_MS, 0, &right);
    assert_int_equal(right, PARALLEL);
}

static void test_same_words_at_the_same_moment(void **state)
{
    struct sim *sim = *state;
    size_t right;
    for (int64_t apart = 0; apart <= 20 * SIM_US; apart += 20 * SIM_US) {
        begin(sim);
        run_parallel(sim, apart, 0, &right);
    }
}

/* The clocks behind the proxy are off by just so much that each session there looks like the one after it
 * before the proxy, and the first one was not captured. */
static void test_same_words_by_clocks_that_are_off(void **state)
{
    struct sim *sim = *state;
    size_t right;
    begin(sim);
    sim->names[2] = "lb2/eth1";
    for (int v = 2; v < 4; v++) {
        sim->at[v].offset_ns = -300 * SIM_MS;
        sim->at[v].capture_from = 300 * SIM_MS;
        sim->at[v].capture_to = 100 * SIM_S;
    }
    run_parallel(sim, 300 * SIM_MS, 1, &right);
}

/* ---- three connections in a row ---- */

static void test_two_proxies(void **state)
{
    struct sim *sim = *state;
    sim_end(sim);
    sim_begin(sim, 6);
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1",
                                        "lb2/eth0", "lb2/eth1", "far/eth0"};
    for (size_t v = 0; v < 6; v++)
        sim->names[v] = names[v];
    uint32_t flow[3];
    int64_t t = SIM_MS;
    for (int i = 0; i < 3; i++) {
        flow[i] = sim_flow(sim, (struct sim_flow){.near_end = SIM_AT(2 * i),
                                                  .far_end = SIM_AT(2 * i + 1),
                                                  .content = 5,
                                                  .client_host = (uint8_t)(1 + i),
                                                  .server_host = (uint8_t)(20 + i)});
        t = sim_connect(sim, flow[i], t);
    }
    for (int k = 0; k < 10; k++)
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 3; i++)
                t = sim_exchange(sim, flow[half == 0 ? i : 2 - i],
                                 (struct sim_packet){.half = half, .t = t, .len = 300});
    uint32_t at = sim->flows[flow[2]].next[0];
    for (int i = 0; i < 3; i++) {
        if (i == 2) {
            sim_send(sim, flow[i], (struct sim_packet){.t = t, .len = 500, .lost_in = SIM_IN(4)});
            t += 200 * SIM_MS;
        }
        t = sim_exchange(sim, flow[i], (struct sim_packet){.t = t, .seq = i == 2 ? at : 0, .len = 500});
    }
    for (int k = 0; k < 10; k++)
        for (int i = 0; i < 3; i++)
            t = sim_exchange(sim, flow[2 - i], (struct sim_packet){.half = 1, .t = t, .len = 300});
    for (int i = 0; i < 3; i++)
        (void)sim_close(sim, flow[i], t + i * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 4, DP_FORWARD);
    assert_int_equal(r->flow_count, 1);
    assert_int_equal(r->flows[0].seen_as_count, 4);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_session_through_a_proxy),
        SIM_TEST(test_clocks_that_disagree),
        SIM_TEST(test_session_seen_from_its_middle),
        SIM_TEST(test_lost_on_either_side),
        SIM_TEST(test_swallowed_by_the_proxy),
        SIM_TEST(test_waits_in_the_proxy_for_a_server_that_does_not_read),
        SIM_TEST(test_same_words_one_host),
        SIM_TEST(test_same_words_at_the_same_moment),
        SIM_TEST(test_same_words_by_clocks_that_are_off),
        SIM_TEST(test_two_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
