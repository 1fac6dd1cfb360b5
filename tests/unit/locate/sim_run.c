/* Feeds what the vantage points recorded to the engine, and compares reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/locate/sim.h"

/* One vantage point's way through its records. */
struct reader {
    size_t next;
    struct dp_flow_def *defs; /* its flow table, as a digester keeps it: one entry for both directions */
    uint8_t *first_half;
    size_t def_count, def_room;
    int32_t *of_flow; /* the simulation's flow -> number here; -1: not seen yet */
    size_t next_gap;
};

static int by_time(const void *a, const void *b)
{
    const struct sim_record *x = a, *y = b;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static struct dp_addr address(uint8_t net, uint8_t host)
{
    struct dp_addr a = {.family = 4};
    static const uint8_t nets[3][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}};
    memcpy(a.bytes, nets[net], 3);
    a.bytes[3] = host;
    return a;
}

static struct dp_flow_def definition(const struct sim_flow *flow, uint32_t vantage, int half)
{
    bool nat = flow->nat_from && SIM_AT((int)vantage) >= flow->nat_from;
    bool dnat = flow->dnat_from && SIM_AT((int)vantage) >= flow->dnat_from;
    struct dp_addr client = address(nat ? 2 : 0, flow->client_host);
    struct dp_addr server = address(1, (uint8_t)(flow->server_host + (dnat ? 100 : 0)));
    uint16_t client_port = (uint16_t)(flow->client_port + (nat ? 7 : 0));
    if (half == 0)
        return (struct dp_flow_def){.proto = flow->proto,
                                    .a = client,
                                    .b = server,
                                    .a_port = client_port,
                                    .b_port = flow->server_port};
    return (struct dp_flow_def){
        .proto = flow->proto, .a = server, .b = client, .a_port = flow->server_port, .b_port = client_port};
}

static bool same_tuple(const struct dp_flow_def *a, const struct dp_flow_def *b)
{
    return a->proto == b->proto && a->a_port == b->a_port && a->b_port == b->b_port &&
           dp_addr_equal(&a->a, &b->a) && dp_addr_equal(&a->b, &b->b);
}

/* The number of a record's flow here; defines it in the batch at its first packet. */
static uint32_t number_of(const struct sim *sim, struct reader *reader, uint32_t vantage,
                          const struct sim_record *r, struct dp_batch *batch, uint8_t *ret_dir)
{
    if (reader->of_flow[r->flow] < 0) {
        struct dp_flow_def def = definition(&sim->flows[r->flow], vantage, r->half);
        struct dp_flow_def turned = definition(&sim->flows[r->flow], vantage, 1 - r->half);
        size_t i = 0;
        /* Ports used again are the same flow to a digester. A long search only where there are few flows. */
        size_t look_at = sim->flow_count <= 1000 ? reader->def_count : 0;
        while (i < look_at && !same_tuple(&reader->defs[i], &def) && !same_tuple(&reader->defs[i], &turned))
            i++;
        if (i >= look_at) {
            i = reader->def_count++;
            assert_true(i < reader->def_room);
            def.flow = (uint32_t)i;
            reader->defs[i] = def;
            batch->flows[batch->flow_count++] = def;
        }
        struct dp_flow_def client_first = definition(&sim->flows[r->flow], vantage, 0);
        reader->first_half[i] = same_tuple(&reader->defs[i], &client_first) ? 0 : 1;
        reader->of_flow[r->flow] = (int32_t)i;
    }
    uint32_t number = (uint32_t)reader->of_flow[r->flow];
    *ret_dir = r->half == reader->first_half[number] ? 0 : 1;
    return number;
}

static void fill_batch(const struct sim *sim, struct reader *reader, uint32_t vantage, size_t count,
                       struct dp_batch *batch)
{
    const struct sim_vantage *at = &sim->at[vantage];
    dp_batch_clear(batch);
    for (size_t i = 0; i < count; i++) {
        const struct sim_record *r = &at->records[reader->next++];
        uint8_t dir;
        uint32_t number = number_of(sim, reader, vantage, r, batch, &dir);
        if (r->is_note) {
            struct dp_note *note = &batch->notes[batch->note_count++];
            *note = (struct dp_note){.ts_ns = r->digest.ts_ns, .flow = number, .dir = dir, .code = r->code};
            if (r->id.kind == DP_NOTE_REPLY) {
                (void)snprintf(note->text, sizeof note->text, "4.4.2 timeout exceeded");
                continue;
            }
            note->kind = r->id.kind;
            note->seq = sim->flows[r->flow].isn[r->half] + r->id.offset;
            note->value = r->id.value;
            continue;
        }
        struct dp_digest *d = &batch->digests[batch->digest_count++];
        *d = r->digest;
        d->flow = number;
        d->dir = dir;
    }
    for (; reader->next == at->count && reader->next_gap < at->gap_count; reader->next_gap++) {
        const struct dp_gap *gap = &at->gaps[reader->next_gap];
        assert_int_equal(
            dp_batch_add_gap(batch, sim_stamp(at, gap->from_ns), sim_stamp(at, gap->to_ns), gap->packets),
            DP_OK);
    }
}

static void room_for(struct dp_batch *batch, size_t records)
{
    batch->digests = calloc(records + 1, sizeof *batch->digests);
    batch->flows = calloc(records + 1, sizeof *batch->flows);
    batch->notes = calloc(records + 1, sizeof *batch->notes);
    assert_true(batch->digests && batch->flows && batch->notes);
    batch->digest_room = batch->flow_room = batch->note_room = records + 1;
}

static void feed_next(const struct sim *sim, struct dp_locate *l, struct reader *reader, uint32_t vantage,
                      struct sim_feed feed, struct dp_batch *batch)
{
    const struct sim_vantage *at = &sim->at[vantage];
    size_t left = at->count - reader->next, n = feed.batch && feed.batch < left ? feed.batch : left;
    fill_batch(sim, reader, vantage, n, batch);
    assert_int_equal(dp_locate_feed(l, vantage, batch), DP_OK);
    if (feed.advance && at->count)
        dp_locate_advance(l, vantage,
                          reader->next == at->count ? INT64_MAX : at->records[reader->next - 1].digest.ts_ns);
}

static void feed_all(const struct sim *sim, struct dp_locate *l, struct reader *readers, struct sim_feed feed,
                     struct dp_batch *batch)
{
    size_t rounds = 0;
    for (;;) {
        uint32_t pick = (uint32_t)sim->vantages;
        for (uint32_t v = 0; v < sim->vantages; v++) {
            if (readers[v].next >= sim->at[v].count)
                continue;
            if (pick == sim->vantages ||
                (feed.by_time && sim->at[v].records[readers[v].next].digest.ts_ns <
                                     sim->at[pick].records[readers[pick].next].digest.ts_ns))
                pick = v;
        }
        if (pick == sim->vantages)
            return;
        feed_next(sim, l, &readers[pick], pick, feed, batch);
        if (feed.settle && rounds++ % 50 == 0)
            assert_int_equal(dp_locate_settle(l), DP_OK);
    }
}

static void tell_captures(const struct sim *sim, struct dp_locate *l)
{
    for (uint32_t v = 0; v < sim->vantages; v++) {
        const struct sim_vantage *at = &sim->at[v];
        if (at->window)
            dp_locate_window(l, v, sim_stamp(at, at->capture_from), sim_stamp(at, at->capture_to));
        if (at->has_dropped)
            dp_locate_capture_dropped(l, v, at->dropped);
    }
}

struct dp_report *sim_run(struct sim *sim, struct sim_feed feed)
{
    struct dp_locate *l = NULL;
    struct dp_locate_options options = {.no_clock_correction = sim->no_clock_correction};
    assert_int_equal(dp_locate_new(sim->names, sim->vantages, &options, &l), DP_OK);
    if (sim->tell)
        dp_locate_trace(l, sim->tell, sim->tell_context);
    struct reader readers[SIM_VANTAGES] = {0};
    size_t most = 1;
    for (size_t v = 0; v < sim->vantages; v++) {
        struct reader *reader = &readers[v];
        if (sim->at[v].count)
            qsort(sim->at[v].records, sim->at[v].count, sizeof *sim->at[v].records, by_time);
        reader->def_room = sim->flow_count + 1;
        reader->defs = calloc(reader->def_room, sizeof *reader->defs);
        reader->first_half = calloc(reader->def_room, 1);
        reader->of_flow = malloc(reader->def_room * sizeof *reader->of_flow);
        assert_true(reader->defs && reader->first_half && reader->of_flow);
        memset(reader->of_flow, 0xff, reader->def_room * sizeof *reader->of_flow);
        if (sim->at[v].count > most)
            most = sim->at[v].count;
    }
    struct dp_batch batch = {0};
    room_for(&batch, feed.batch && feed.batch < most ? feed.batch : most);
    tell_captures(sim, l);
    feed_all(sim, l, readers, feed, &batch);
    if (feed.before_finish)
        feed.before_finish(l);
    struct dp_report *report = NULL;
    assert_int_equal(dp_locate_finish(l, &report), DP_OK);
    for (size_t v = 0; v < sim->vantages; v++) {
        free(readers[v].defs);
        free(readers[v].first_half);
        free(readers[v].of_flow);
    }
    dp_batch_free(&batch);
    dp_locate_free(l);
    return report;
}

/* ---- what tests ask of a report ---- */

void sim_assert_losses(const struct sim *sim, const struct dp_report *report)
{
    assert_int_equal(report->segment_count, sim->vantages - 1);
    bool right = true;
    for (size_t i = 0; i < report->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct dp_segment_side *side = &report->segments[i].side[d];
            const struct sim_truth *truth = &sim->lost[i][d];
            if (side->lost_packets == truth->lost_packets && side->lost_bytes == truth->lost_bytes)
                continue;
            right = false;
            print_error("segment %zu %s: lost %llu packets, %llu bytes; in truth %llu packets, %llu bytes\n",
                        i, d ? "reverse" : "forward", (unsigned long long)side->lost_packets,
                        (unsigned long long)side->lost_bytes, (unsigned long long)truth->lost_packets,
                        (unsigned long long)truth->lost_bytes);
        }
    assert_true(right);
}

void sim_assert_loss_at(const struct sim *sim, const struct dp_report *report, int segment,
                        enum dp_direction direction)
{
    sim_assert_losses(sim, report);
    assert_int_equal(report->verdict, DP_CODE_LOSS);
    const struct dp_finding *f = &report->findings[report->verdict_finding];
    assert_int_equal(f->from, segment);
    assert_int_equal(f->to, segment + 1);
    assert_int_equal(f->direction, direction);
    assert_int_equal(f->lost_packets, sim->lost[segment][direction].lost_packets);
    assert_int_equal(f->lost_bytes, sim->lost[segment][direction].lost_bytes);
    assert_int_equal(dp_report_exit_code(report), 1);
}

void sim_assert_clean(const struct dp_report *report)
{
    if (report->verdict != DP_CODE_CLEAN)
        print_error("%s\n", report->verdict_summary);
    assert_int_equal(report->verdict, DP_CODE_CLEAN);
    assert_int_equal(report->finding_count, 0);
    assert_int_equal(dp_report_exit_code(report), 0);
    for (size_t v = 0; v < report->vantage_count; v++)
        assert_int_equal(report->vantages[v].missed, 0);
    for (size_t i = 0; i < report->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            assert_int_equal(report->segments[i].side[d].lost_packets, 0);
            assert_int_equal(report->segments[i].side[d].lost_bytes, 0);
            assert_int_equal(report->segments[i].side[d].unknown_packets, 0);
        }
}
