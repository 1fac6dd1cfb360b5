/* What the engine tells of its transmissions, and of loss and delay over time. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/locate/sim_fixture.h"

#define TOLD_MOST 200000

struct told {
    struct dp_transmission t;
    struct dp_sighting seen[SIM_VANTAGES];
};

struct listener {
    struct told *list;
    size_t count;
};

static int listen(void *context, const struct dp_transmission *t)
{
    struct listener *listener = context;
    assert_true(listener->count < TOLD_MOST);
    assert_true(t->seen_count >= 1 && t->seen_count <= SIM_VANTAGES);
    struct told *to = &listener->list[listener->count++];
    to->t = *t;
    memcpy(to->seen, t->seen, t->seen_count * sizeof *t->seen);
    return DP_OK;
}

static struct dp_report *run_listening(struct sim *sim, struct sim_feed feed, struct listener *listener)
{
    listener->list = calloc(TOLD_MOST, sizeof *listener->list);
    assert_non_null(listener->list);
    sim->tell = listen;
    sim->tell_context = listener;
    return sim_run(sim, feed);
}

/* Transmissions that end in a lost packet of the report add up to its lost bytes, and no other is told lost.
 */
static void assert_tells_losses(const struct dp_report *r, const struct listener *listener)
{
    size_t told_lost = 0, explained = 0;
    for (size_t i = 0; i < listener->count; i++)
        told_lost += listener->list[i].t.fate == DP_FATE_LOST;
    for (size_t f = 0; f < r->finding_count; f++)
        for (size_t n = 0; n < r->findings[f].packet_count; n++) {
            const struct dp_lost_packet *p = &r->findings[f].packets[n];
            uint64_t bytes = 0;
            size_t pieces = 0;
            for (size_t i = 0; i < listener->count; i++) {
                const struct told *told = &listener->list[i];
                const struct dp_sighting *last = &told->seen[told->t.seen_count - 1];
                if (told->t.fate != DP_FATE_LOST || told->t.flow != p->flow || last->vantage != p->vantage ||
                    last->ts_ns != p->ts_ns || last->seq != p->seq || last->payload_len != p->payload_len)
                    continue;
                bytes += p->payload_len ? told->t.length : 0;
                pieces++;
            }
            assert_true(pieces > 0);
            assert_int_equal(bytes, p->lost_bytes);
            explained += pieces;
        }
    assert_int_equal(told_lost, explained);
}

static void test_tells_each_packet_and_its_loss(void **state)
{
    struct sim *sim = *state;
    struct listener listener = {0};
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at, .len = 1000});
    sim_session_end(sim, flow, t);
    struct dp_report *r = run_listening(sim, SIM_FILES, &listener);
    assert_int_equal(r->findings[0].packet_count, 1);
    assert_tells_losses(r, &listener);
    size_t sightings = 0, packets = 0;
    for (size_t i = 0; i < listener.count; i++)
        sightings += listener.list[i].t.seen_count;
    for (size_t v = 0; v < sim->vantages; v++)
        packets += sim->at[v].count;
    assert_int_equal(sightings, packets);
    dp_report_free(r);
    free(listener.list);
}

/* One large packet here is two there: each piece is told by itself, and where it lies in the stream. */
static void test_tells_pieces_of_a_large_packet(void **state)
{
    struct sim *sim = *state;
    struct listener listener = {0};
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    sim->at[1].cut = SIM_MSS;
    sim->at[2].cut = SIM_MSS;
    sim_send(
        sim, flow,
        (struct sim_packet){
            .t = t, .len = 3 * SIM_MSS, .lost_in = SIM_IN(1), .lost_from = SIM_MSS, .lost_len = SIM_MSS});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at + SIM_MSS, .len = SIM_MSS});
    sim_session_end(sim, flow, t);
    struct dp_report *r = run_listening(sim, SIM_FILES, &listener);
    assert_tells_losses(r, &listener);
    size_t pieces = 0;
    for (size_t i = 0; i < listener.count; i++) {
        const struct told *told = &listener.list[i];
        if (told->t.half != 0 || !told->t.has_bytes || told->seen[0].payload_len != 3 * SIM_MSS)
            continue;
        assert_int_equal(told->t.offset, at + pieces * SIM_MSS);
        assert_int_equal(told->t.length, SIM_MSS);
        assert_int_equal(told->t.fate, pieces == 1 ? DP_FATE_LOST : DP_FATE_ARRIVED);
        assert_int_equal(told->t.seen_count, pieces == 1 ? 2 : 3);
        pieces++;
    }
    assert_int_equal(pieces, 3);
    dp_report_free(r);
    free(listener.list);
}

static int by_sighting(const void *a, const void *b)
{
    const struct told *x = a, *y = b;
    if (x->seen[0].vantage != y->seen[0].vantage)
        return x->seen[0].vantage < y->seen[0].vantage ? -1 : 1;
    if (x->seen[0].ts_ns != y->seen[0].ts_ns)
        return x->seen[0].ts_ns < y->seen[0].ts_ns ? -1 : 1;
    if (x->t.flow != y->t.flow)
        return x->t.flow < y->t.flow ? -1 : 1;
    return x->t.offset < y->t.offset ? -1 : x->t.offset > y->t.offset;
}

/* However the data comes in. */
static void test_tells_the_same_again(void **state)
{
    struct sim *sim = *state;
    struct listener first = {0}, second = {0};
    sim_long_run(sim, 7 * SIM_MS, -3 * SIM_S, SIM_FILES);
    struct dp_report *r = run_listening(sim, SIM_FILES, &first);
    struct dp_report *again =
        run_listening(sim, (struct sim_feed){.batch = 4096, .by_time = true, .advance = true}, &second);
    assert_tells_losses(r, &first);
    assert_int_equal(first.count, second.count);
    qsort(first.list, first.count, sizeof *first.list, by_sighting);
    qsort(second.list, second.count, sizeof *second.list, by_sighting);
    for (size_t i = 0; i < first.count; i++) {
        assert_int_equal(first.list[i].t.fate, second.list[i].t.fate);
        assert_int_equal(first.list[i].t.seen_count, second.list[i].t.seen_count);
        for (size_t k = 0; k < first.list[i].t.seen_count; k++) {
            const struct dp_sighting *x = &first.list[i].seen[k], *y = &second.list[i].seen[k];
            assert_true(x->vantage == y->vantage && x->ts_ns == y->ts_ns && x->seq == y->seq &&
                        x->payload_len == y->payload_len);
        }
    }
    dp_report_free(r);
    dp_report_free(again);
    free(first.list);
    free(second.list);
}

static void test_loss_beyond_names_the_retransmission(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 4; copy++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + copy * 300 * SIM_MS, .seq = at, .len = 1000, .lost_in = SIM_IN(2)});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->finding_count, 1);
    const struct dp_finding *f = &r->findings[0];
    assert_int_equal(f->to, DP_POINT_BEYOND);
    assert_int_equal(f->packet_count, f->lost_packets);
    assert_int_equal(f->packet_count, 3);
    for (size_t i = 0; i < f->packet_count; i++) {
        assert_true(f->packets[i].only_shown);
        assert_int_equal(f->packets[i].vantage, 2);
        assert_int_equal(f->packets[i].payload_len, 1000);
        assert_true(f->packets[i].ts_ns - SIM_EPOCH >= t + ((int64_t)i + 1) * 300 * SIM_MS);
        assert_true(f->packets[i].ts_ns - SIM_EPOCH < t + ((int64_t)i + 2) * 300 * SIM_MS);
    }
    dp_report_free(r);
}

/* ---- over time ---- */

static void test_course_of_time(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    /* Quick for two seconds, slow for two: the delay and the losses must show when. */
    t = sim_transfer(sim, flow, 0, t, 200, 10 * SIM_MS);
    int64_t turn = t;
    sim->delay[1] += 5 * SIM_MS;
    for (int i = 0; i < 200; i++) {
        uint32_t at = sim->flows[flow].next[0];
        int64_t sent = turn + i * 10 * SIM_MS;
        if (i % 50 == 25)
            sim_send(sim, flow, (struct sim_packet){.t = sent, .len = 500, .lost_in = SIM_IN(1)});
        (void)sim_exchange(sim, flow, (struct sim_packet){.t = sent + 5 * SIM_MS, .seq = at, .len = 500});
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->findings[0].packet_count, 4);
    assert_true(r->series_count > 100 && r->series_count <= DP_REPORT_MAX_SERIES);
    const struct dp_segment_side *side = &r->segments[1].side[DP_FORWARD];
    uint64_t lost = 0, entered = 0;
    for (size_t i = 0; i < r->series_count; i++) {
        const struct dp_series_point *p = &side->series[i];
        int64_t from = r->series_from_ns + (int64_t)i * r->series_width_ns - SIM_EPOCH;
        lost += p->lost;
        assert_true(p->lost <= 1); /* half a second apart */
        entered += p->entered;
        if (from + r->series_width_ns <= turn)
            assert_int_equal(p->lost, 0);
        if (!p->has_delay)
            continue;
        assert_true(p->delay_min <= p->delay_p50 && p->delay_p50 <= p->delay_max);
        if (from + r->series_width_ns <= turn - 10 * SIM_MS)
            assert_true(p->delay_max < 5 * SIM_MS);
        else if (from > turn + 10 * SIM_MS)
            assert_true(p->delay_min > 5 * SIM_MS);
    }
    assert_int_equal(lost, 4);
    assert_int_equal(entered, side->packets);
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_tells_each_packet_and_its_loss),
        SIM_TEST(test_tells_pieces_of_a_large_packet),
        SIM_TEST(test_tells_the_same_again),
        SIM_TEST(test_course_of_time),
        SIM_TEST(test_loss_beyond_names_the_retransmission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
