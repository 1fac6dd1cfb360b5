/* Which packets the ladder keeps, and that it calls lost what the report calls lost. */
#include "tests/unit/locate/sim_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "collector/report/ladder.h"

/* Runs the engine twice, as the command does. */
static struct dp_ladder *make_ladder(struct sim *sim, struct dp_report **ret_report)
{
    struct dp_ladder_maker *maker = NULL;
    struct dp_ladder *ladder = NULL;
    struct dp_report *report = sim_run(sim, SIM_FILES);
    assert_int_equal(dp_ladder_begin(report, &maker), DP_OK);
    sim->tell = dp_ladder_take;
    sim->tell_context = maker;
    dp_report_free(sim_run(sim, SIM_FILES));
    assert_int_equal(dp_ladder_end(maker, &ladder), DP_OK);
    dp_ladder_maker_free(maker);
    sim->tell = NULL;
    *ret_report = report;
    return ladder;
}

static const struct dp_ladder_packet *packet_of(const struct dp_ladder *ladder, size_t scene, size_t index)
{
    assert_true(index < ladder->scenes[scene].packet_count);
    return &ladder->packets[ladder->scenes[scene].packet + index];
}

static const struct dp_ladder_sighting *sighting_of(const struct dp_ladder *ladder,
                                                    const struct dp_ladder_packet *packet, size_t index)
{
    assert_true(index < packet->sighting_count);
    return &ladder->sightings[packet->sighting + index];
}

static size_t count_marked(const struct dp_ladder *ladder, uint8_t mark)
{
    size_t count = 0;
    for (size_t i = 0; i < ladder->packet_count; i++)
        count += (ladder->packets[i].marks & mark) != 0;
    return count;
}

/* Everything stands in order of time within its scene, and inside of a window. */
static void assert_sound(const struct dp_ladder *ladder)
{
    for (size_t s = 0; s < ladder->scene_count; s++) {
        const struct dp_ladder_scene *scene = &ladder->scenes[s];
        int64_t before = INT64_MIN;
        for (size_t i = 0; i < scene->packet_count; i++) {
            const struct dp_ladder_packet *p = packet_of(ladder, s, i);
            int64_t t = sighting_of(ladder, p, 0)->t_ns,
                    end = sighting_of(ladder, p, p->sighting_count - 1)->t_ns;
            assert_true(t >= before);
            before = t;
            bool inside = false;
            for (size_t w = 0; w < scene->window_count; w++)
                inside = inside || (t >= scene->windows[w].from_ns && t <= scene->windows[w].to_ns) ||
                         (end >= scene->windows[w].from_ns && end <= scene->windows[w].to_ns);
            assert_true(inside);
        }
        for (size_t w = 1; w < scene->window_count; w++)
            assert_true(scene->windows[w].from_ns > scene->windows[w - 1].to_ns);
    }
}

static void test_lost_copies_and_the_one_that_came_through(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 3; copy++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + copy * 200 * SIM_MS, .seq = at, .len = 1000, .lost_in = SIM_IN(1)});
    t = sim_exchange(sim, flow, (struct sim_packet){.t = t + 600 * SIM_MS, .seq = at, .len = 1000});
    sim_session_end(sim, flow, t);
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(ladder->scene_count, 1);
    assert_int_equal(ladder->scenes[0].lost, 3);
    size_t packets = 0;
    for (size_t v = 0; v < 3; v++)
        packets += sim->at[v].count;
    assert_int_equal(ladder->sighting_count, packets); /* a short flow is there as a whole */
    uint32_t copy = 0;
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        if (p->half != 0 || !p->has_bytes || p->offset != at) {
            assert_int_equal(p->copy, 1);
            assert_int_equal(p->marks, 0);
            continue;
        }
        assert_int_equal(p->copy, ++copy);
        assert_int_equal(p->length, 1000);
        assert_int_equal(p->marks, copy <= 3 ? DP_LADDER_LOST : 0);
        assert_int_equal(p->finding, copy <= 3 ? 0 : -1);
        assert_int_equal(p->sighting_count, copy <= 3 ? 2 : 3);
        assert_int_equal(p->direction, DP_FORWARD);
    }
    assert_int_equal(copy, 4);
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* Times follow the reference's clock, the files' own stamps stay. */
static void test_corrected_times(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    sim->at[1].offset_ns = 3 * SIM_S;
    sim->at[1].skew_ppm = 40;
    sim->at[2].offset_ns = -7200 * SIM_S;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 1000, .lost_in = SIM_IN(1)});
    t = sim_exchange(
        sim, flow,
        (struct sim_packet){.t = t + 400 * SIM_MS, .seq = sim->flows[flow].next[0] - 1000, .len = 1000});
    sim_session_end(sim, flow, t + 2 * SIM_S);
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(count_marked(ladder, DP_LADDER_LOST), 1);
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        for (size_t k = 0; k < p->sighting_count; k++) {
            const struct dp_ladder_sighting *s = sighting_of(ladder, p, k);
            assert_int_equal(s->t_ns, dp_report_corrected(r, s->vantage, s->ts_ns));
            if (k > 0) /* the delays of the simulation are well below this */
                assert_in_range(s->t_ns - sighting_of(ladder, p, k - 1)->t_ns + SIM_MS, 0, 20 * SIM_MS);
        }
    }
    dp_ladder_free(ladder);
    dp_report_free(r);
}

static void test_loss_beyond_marks_the_copy_before(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 4; copy++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + copy * 300 * SIM_MS, .seq = at, .len = 1000, .lost_in = SIM_IN(2)});
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(r->findings[0].lost_packets, 3);
    assert_int_equal(count_marked(ladder, DP_LADDER_LOST_BEYOND), 3);
    assert_int_equal(count_marked(ladder, DP_LADDER_SHOWS_BEYOND), 3);
    assert_int_equal(count_marked(ladder, DP_LADDER_LOST | DP_LADDER_SHOWS_BEFORE), 0);
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        bool lost = (p->marks & DP_LADDER_LOST_BEYOND) != 0, shows = (p->marks & DP_LADDER_SHOWS_BEYOND) != 0;
        bool one = p->half == 0 && p->has_bytes && p->offset == at;
        assert_int_equal(lost, one && p->copy < 4);
        assert_int_equal(shows, one && p->copy > 1);
        assert_int_equal(p->finding, one ? 0 : -1);
    }
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* The copy before may not have come so far: it is the last that did which was lost beyond. */
static void test_loss_beyond_passes_over_what_was_lost_inside(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (int copy = 0; copy < 4; copy++)
        sim_send(sim, flow,
                 (struct sim_packet){.t = t + copy * 300 * SIM_MS,
                                     .seq = at,
                                     .len = 1000,
                                     .lost_in = copy == 1 ? SIM_IN(1) : SIM_IN(2)});
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    static const uint8_t marks[] = {DP_LADDER_LOST_BEYOND, DP_LADDER_LOST,
                                    DP_LADDER_SHOWS_BEYOND | DP_LADDER_LOST_BEYOND, DP_LADDER_SHOWS_BEYOND};
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        assert_int_equal(p->marks, p->half == 0 && p->has_bytes && p->offset == at ? marks[p->copy - 1] : 0);
    }
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* Pieces of one packet, which is cut at the first point behind `whole`: only the piece that was lost is. */
static void lose_a_piece(struct sim *sim, size_t whole)
{
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    uint32_t at = sim->flows[flow].next[0];
    for (size_t v = whole + 1; v < 3; v++)
        sim->at[v].cut = SIM_MSS;
    sim_send(
        sim, flow,
        (struct sim_packet){
            .t = t, .len = 3 * SIM_MSS, .lost_in = SIM_IN(1), .lost_from = SIM_MSS, .lost_len = SIM_MSS});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 200 * SIM_MS, .seq = at + SIM_MSS, .len = SIM_MSS});
    sim_session_end(sim, flow, t);
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(count_marked(ladder, DP_LADDER_LOST), 1);
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        if (p->marks & DP_LADDER_LOST) {
            assert_int_equal(p->offset, at + SIM_MSS);
            assert_int_equal(p->length, SIM_MSS);
        }
        assert_int_equal(p->copy, p->half == 0 && p->has_bytes && p->offset == at + SIM_MSS &&
                                          !(p->marks & DP_LADDER_LOST)
                                      ? 2
                                      : 1);
    }
    dp_ladder_free(ladder);
    dp_report_free(r);
}

static void test_piece_of_a_packet_cut_before_the_loss(void **state)
{
    lose_a_piece(*state, 0);
}

static void test_piece_of_a_packet_cut_where_it_is_lost(void **state)
{
    lose_a_piece(*state, 1);
}

/* More packets than a page holds: those nearest to the losses stay, all of them up to the same distance. */
static void test_long_flow_is_cut_to_what_is_near(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    t = sim_transfer(sim, flow, 0, t, 70000, 100 * SIM_US);
    int64_t first = t;
    sim_send(sim, flow, (struct sim_packet){.t = t, .len = 700, .lost_in = SIM_IN(0)});
    t = sim_exchange(
        sim, flow,
        (struct sim_packet){.t = t + 200 * SIM_MS, .seq = sim->flows[flow].next[0] - 700, .len = 700});
    t = sim_transfer(sim, flow, 0, t, 70000, 100 * SIM_US);
    sim_session_end(sim, flow, t);
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(ladder->scene_count, 1);
    const struct dp_ladder_scene *scene = &ladder->scenes[0];
    assert_in_range(scene->packet_count, DP_LADDER_MAX_PACKETS * 9 / 10, DP_LADDER_MAX_PACKETS);
    assert_int_equal(count_marked(ladder, DP_LADDER_LOST), 1);
    assert_int_equal(scene->window_count, 1);
    int64_t middle = scene->windows[0].from_ns + (scene->windows[0].to_ns - scene->windows[0].from_ns) / 2;
    assert_in_range(middle - SIM_EPOCH - first + SIM_MS, 0, 2 * SIM_MS);
    /* Nothing of the window is left out: the packets of this half follow each other without a hole. */
    const struct dp_ladder_packet *last = packet_of(ladder, 0, scene->packet_count - 1);
    int64_t early = sighting_of(ladder, packet_of(ladder, 0, 0), 0)->t_ns - scene->windows[0].from_ns;
    int64_t late = scene->windows[0].to_ns - sighting_of(ladder, last, 0)->t_ns;
    assert_true(early > -SIM_MS && early < SIM_MS && late > -SIM_MS && late < SIM_MS);
    uint64_t next = 0;
    for (size_t i = 0; i < ladder->packet_count; i++) {
        const struct dp_ladder_packet *p = &ladder->packets[i];
        if (p->half != 0 || !p->has_bytes || p->copy > 1)
            continue;
        assert_true(next == 0 || p->offset == next);
        next = p->offset + p->length;
    }
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* A hundred flows that lose: the page shows sixty, each with its share of the room. */
static void test_many_flows_share_the_room(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    for (int i = 0; i < 100; i++) {
        uint32_t flow = sim_tcp(sim);
        int64_t t = sim_connect(sim, flow, 10 * SIM_MS + i * SIM_MS);
        t = sim_transfer(sim, flow, 0, t, 30, SIM_MS);
        for (int n = 0; n < (i == 77 ? 3 : 1); n++) {
            sim_send(sim, flow, (struct sim_packet){.t = t, .len = 500, .lost_in = SIM_IN(1)});
            t = sim_exchange(sim, flow,
                             (struct sim_packet){
                                 .t = t + 200 * SIM_MS, .seq = sim->flows[flow].next[0] - 500, .len = 500});
        }
        (void)sim_close(sim, flow, t);
    }
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(ladder->scene_count, DP_LADDER_MAX_SCENES);
    assert_int_equal(ladder->scenes[0].lost, 3); /* the worst first */
    assert_int_equal(ladder->scenes[0].flow, 77);
    assert_true(ladder->packet_count <= DP_LADDER_MAX_PACKETS);
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* Where nothing was lost the flow's beginning and end are shown. */
static void test_clean_flow_shows_its_ends(void **state)
{
    struct sim *sim = *state;
    struct dp_report *r;
    int64_t t;
    uint32_t flow = sim_session(sim, &t);
    t = sim_transfer(sim, flow, 0, t, 20000, 100 * SIM_US);
    sim_session_end(sim, flow, t);
    struct dp_ladder *ladder = make_ladder(sim, &r);
    assert_sound(ladder);
    assert_int_equal(r->verdict, DP_CODE_CLEAN);
    assert_int_equal(ladder->scene_count, 1);
    const struct dp_ladder_scene *scene = &ladder->scenes[0];
    assert_int_equal(scene->packet_count, 4000);
    assert_int_equal(scene->window_count, 2);
    assert_int_equal(sighting_of(ladder, packet_of(ladder, 0, 0), 0)->tcp_flags, DP_TCP_SYN);
    bool fin = false;
    for (size_t i = 0; i < ladder->packet_count; i++)
        fin = fin || (sighting_of(ladder, &ladder->packets[i], 0)->tcp_flags & DP_TCP_FIN);
    assert_true(fin);
    assert_int_equal(count_marked(ladder, UINT8_MAX), 0);
    dp_ladder_free(ladder);
    dp_report_free(r);
}

/* What the packets say themselves goes to those sightings that are theirs. */
static void test_fill(void **state)
{
    (void)state;
    struct dp_ladder_sighting sightings[] = {
        {.vantage = 0,
         .ts_ns = 5,
         .seq = 1,
         .payload_len = 10,
         .ip_len = 50,
         .ip_id = 7,
         .tcp_flags = 0x10,
         .ttl = 64},
        {.vantage = 1,
         .ts_ns = 5,
         .seq = 1,
         .payload_len = 10,
         .ip_len = 50,
         .ip_id = 7,
         .tcp_flags = 0x10,
         .ttl = 64},
        {.vantage = 1,
         .ts_ns = 5,
         .seq = 2,
         .payload_len = 20,
         .ip_len = 60,
         .ip_id = 8,
         .tcp_flags = 0x10,
         .ttl = 64},
    };
    struct dp_ladder_packet packets[] = {{.sighting = 0, .sighting_count = 2},
                                         {.sighting = 2, .sighting_count = 1}};
    struct dp_ladder ladder = {
        .packets = packets, .packet_count = 2, .sightings = sightings, .sighting_count = 3};
    struct dp_ladder_filler *filler = NULL;
    assert_int_equal(dp_ladder_fill_begin(&ladder, &filler), DP_OK);
    assert_true(dp_ladder_wants(filler, 0, 5));
    assert_true(dp_ladder_wants(filler, 1, 5));
    assert_false(dp_ladder_wants(filler, 2, 5));
    assert_false(dp_ladder_wants(filler, 0, 4));
    struct dp_packet packet = {.proto = 6,
                               .seq = 2000,
                               .ack = 77,
                               .window = 501,
                               .payload_len = 20,
                               .ip_len = 60,
                               .has_ip_id = true,
                               .ip_id = 8,
                               .tcp_flags = 0x10,
                               .ttl = 64,
                               .has_timestamps = true,
                               .tsval = 3,
                               .tsecr = 4,
                               .sack_count = 1,
                               .sack = {{100, 200}}};
    dp_ladder_fill(filler, 1, 5, &packet);
    assert_false(sightings[0].filled);
    assert_false(sightings[1].filled);
    assert_true(sightings[2].filled);
    assert_int_equal(sightings[2].seq, 2000); /* as it stands in the packet: a middlebox may rewrite it */
    assert_int_equal(sightings[2].ack, 77);
    assert_int_equal(sightings[2].window, 501);
    assert_int_equal(sightings[2].tsecr, 4);
    assert_int_equal(packets[0].sack_count, 0);
    assert_int_equal(packets[1].sack_count, 1);
    assert_int_equal(packets[1].sack[0][1], 200);
    packet.ttl = 63; /* another packet */
    packet.payload_len = 10;
    packet.ip_len = 50;
    packet.ip_id = 7;
    dp_ladder_fill(filler, 0, 5, &packet);
    assert_false(sightings[0].filled);
    dp_ladder_fill_end(filler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_lost_copies_and_the_one_that_came_through),
        SIM_TEST(test_corrected_times),
        SIM_TEST(test_loss_beyond_marks_the_copy_before),
        SIM_TEST(test_loss_beyond_passes_over_what_was_lost_inside),
        SIM_TEST(test_piece_of_a_packet_cut_before_the_loss),
        SIM_TEST(test_piece_of_a_packet_cut_where_it_is_lost),
        SIM_TEST(test_long_flow_is_cut_to_what_is_near),
        SIM_TEST(test_many_flows_share_the_room),
        SIM_TEST(test_clean_flow_shows_its_ends),
        cmocka_unit_test(test_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
