#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/digest/digest.h"

/* xorshift64*: the same numbers each time, so that a failure can be seen again. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}

/* A number of random size: small ones, large ones and the extremes all come up. */
static uint64_t any_number(uint64_t *state)
{
    uint64_t value = next_random(state);
    switch (value & 7) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    default:
        return next_random(state) >> (value >> 8 & 63);
    }
}

static void random_digest(uint64_t *state, struct dp_digest *digest)
{
    *digest = (struct dp_digest){
        .ts_ns = (int64_t)any_number(state),
        .flow = (uint32_t)any_number(state),
        .dir = (uint8_t)(next_random(state) & 1),
        .bits = (uint8_t)(next_random(state) & 0x0f),
        .ttl = (uint8_t)any_number(state),
        .seq = (uint32_t)any_number(state),
        .ack = (uint32_t)any_number(state),
        .payload_len = (uint32_t)any_number(state),
        .ip_len = (uint32_t)any_number(state),
        .tcp_flags = (uint16_t)(any_number(state) & 0x1ff),
        .window = (uint16_t)any_number(state),
        .app = (uint16_t)any_number(state),
        .mss = (uint16_t)any_number(state),
        .wscale = (uint8_t)any_number(state),
        .sack_count = (uint8_t)(next_random(state) % (DP_SACK_MAX + 1)),
    };
    if (digest->flow % 4)
        digest->flow %= 16;
    if (digest->bits & DP_DIGEST_HAS_TS) {
        digest->tsval = (uint32_t)any_number(state);
        digest->tsecr = (uint32_t)any_number(state);
    }
    if (digest->bits & DP_DIGEST_HAS_IP_ID)
        digest->ip_id = (uint16_t)any_number(state);
    digest->hash_len = (uint8_t)(digest->payload_len < 64 ? digest->payload_len : next_random(state) % 65);
    if (digest->hash_len)
        digest->hash = (uint32_t)next_random(state);
    for (size_t i = 0; i < digest->sack_count; i++) {
        digest->sack[i][0] = (uint32_t)any_number(state);
        digest->sack[i][1] = (uint32_t)any_number(state);
    }
}

static void random_addr(uint64_t *state, uint8_t family, struct dp_addr *addr)
{
    *addr = (struct dp_addr){.family = family};
    for (size_t i = 0; i < (family == 4 ? 4U : 16U); i++)
        addr->bytes[i] = (uint8_t)next_random(state);
}

static void random_flow(uint64_t *state, struct dp_flow_def *flow)
{
    uint8_t family = next_random(state) & 1 ? 4 : 6;
    *flow = (struct dp_flow_def){.flow = (uint32_t)any_number(state),
                                 .proto = (uint8_t)any_number(state),
                                 .a_port = (uint16_t)any_number(state),
                                 .b_port = (uint16_t)any_number(state)};
    random_addr(state, family, &flow->a);
    random_addr(state, family, &flow->b);
}

static void random_note(uint64_t *state, struct dp_note *note)
{
    *note = (struct dp_note){.ts_ns = (int64_t)any_number(state),
                             .flow = (uint32_t)any_number(state),
                             .dir = (uint8_t)(next_random(state) & 1),
                             .kind = (uint8_t)(next_random(state) % DP_NOTE_KINDS)};
    if (note->kind != DP_NOTE_REPLY) {
        note->seq = (uint32_t)any_number(state);
        if (note->kind == DP_NOTE_PROXIED) {
            uint8_t family = next_random(state) & 1 ? 4 : 6;
            random_addr(state, family, &note->from);
            random_addr(state, family, &note->to);
            note->from_port = (uint16_t)any_number(state);
            note->to_port = (uint16_t)any_number(state);
            note->len = (uint32_t)(next_random(state) % (DP_NOTE_PROXIED_MOST + 1));
        } else {
            note->value = any_number(state);
        }
        return;
    }
    note->code = (uint16_t)(400 + next_random(state) % 200);
    size_t len = next_random(state) % DP_NOTE_TEXT;
    for (size_t i = 0; i < len; i++)
        note->text[i] = (char)(' ' + next_random(state) % 95);
}

static void random_batch(uint64_t *state, struct dp_batch *batch, size_t most)
{
    *batch = (struct dp_batch){0};
    batch->digest_count = batch->digest_room = next_random(state) % (most + 1);
    batch->flow_count = batch->flow_room = next_random(state) % (most + 1);
    batch->note_count = batch->note_room = next_random(state) % (most / 4 + 1);
    batch->gap_count = batch->gap_room = next_random(state) % (most + 1);
    batch->other_packets = any_number(state);
    batch->complete_ns = (int64_t)(any_number(state) & DP_BATCH_MAX_TIME);
    batch->digests = calloc(batch->digest_room + 1, sizeof *batch->digests);
    batch->flows = calloc(batch->flow_room + 1, sizeof *batch->flows);
    batch->notes = calloc(batch->note_room + 1, sizeof *batch->notes);
    batch->gaps = calloc(batch->gap_room + 1, sizeof *batch->gaps);
    assert_true(batch->digests && batch->flows && batch->notes && batch->gaps);
    for (size_t i = 0; i < batch->digest_count; i++)
        random_digest(state, &batch->digests[i]);
    for (size_t i = 0; i < batch->flow_count; i++)
        random_flow(state, &batch->flows[i]);
    for (size_t i = 0; i < batch->note_count; i++)
        random_note(state, &batch->notes[i]);
    for (size_t i = 0; i < batch->gap_count; i++)
        batch->gaps[i] =
            (struct dp_gap){(int64_t)any_number(state), (int64_t)any_number(state), any_number(state)};
}

static void assert_same(const struct dp_batch *a, const struct dp_batch *b)
{
    assert_int_equal(a->digest_count, b->digest_count);
    assert_int_equal(a->flow_count, b->flow_count);
    assert_int_equal(a->note_count, b->note_count);
    assert_int_equal(a->gap_count, b->gap_count);
    assert_true(a->other_packets == b->other_packets);
    assert_true(a->complete_ns == b->complete_ns);
    _Static_assert(sizeof(struct dp_digest) == 88, "no padding: compared as bytes");
    for (size_t i = 0; i < a->digest_count; i++)
        assert_memory_equal(&a->digests[i], &b->digests[i], sizeof a->digests[i]);
    for (size_t i = 0; i < a->flow_count; i++) {
        assert_int_equal(a->flows[i].flow, b->flows[i].flow);
        assert_int_equal(a->flows[i].proto, b->flows[i].proto);
        assert_true(dp_addr_equal(&a->flows[i].a, &b->flows[i].a));
        assert_true(dp_addr_equal(&a->flows[i].b, &b->flows[i].b));
        assert_int_equal(a->flows[i].a_port, b->flows[i].a_port);
        assert_int_equal(a->flows[i].b_port, b->flows[i].b_port);
    }
    for (size_t i = 0; i < a->note_count; i++) {
        assert_true(a->notes[i].ts_ns == b->notes[i].ts_ns);
        assert_int_equal(a->notes[i].flow, b->notes[i].flow);
        assert_int_equal(a->notes[i].dir, b->notes[i].dir);
        assert_int_equal(a->notes[i].kind, b->notes[i].kind);
        assert_int_equal(a->notes[i].seq, b->notes[i].seq);
        assert_int_equal(a->notes[i].len, b->notes[i].len);
        assert_true(a->notes[i].value == b->notes[i].value);
        assert_true(dp_addr_equal(&a->notes[i].from, &b->notes[i].from));
        assert_true(dp_addr_equal(&a->notes[i].to, &b->notes[i].to));
        assert_int_equal(a->notes[i].from_port, b->notes[i].from_port);
        assert_int_equal(a->notes[i].to_port, b->notes[i].to_port);
        assert_int_equal(a->notes[i].code, b->notes[i].code);
        assert_string_equal(a->notes[i].text, b->notes[i].text);
    }
    for (size_t i = 0; i < a->gap_count; i++)
        assert_memory_equal(&a->gaps[i], &b->gaps[i], sizeof a->gaps[i]);
}

static void round_trip(const struct dp_batch *batch, struct dp_batch *back, size_t *ret_len)
{
    uint8_t *bytes;
    struct dp_diag diag = {""};
    assert_int_equal(dp_batch_encode(batch, &bytes, ret_len), DP_OK);
    assert_true(*ret_len <= DP_BATCH_MAX_BYTES);
    int rc = dp_batch_decode(bytes, *ret_len, back, &diag);
    if (rc)
        print_error("%s\n", diag.text);
    assert_int_equal(rc, DP_OK);
    assert_same(batch, back);
    free(bytes);
}

static void test_random_batches_come_back(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct dp_batch back = {0};
    for (size_t i = 0; i < 300; i++) {
        struct dp_batch batch;
        size_t len;
        random_batch(&seed, &batch, i % 10 == 0 ? DP_BATCH_MAX_RECORDS : 50);
        round_trip(&batch, &back, &len);
        dp_batch_free(&batch);
    }
    dp_batch_free(&back);
}

static void test_the_empty_batch_comes_back(void **state)
{
    (void)state;
    struct dp_batch batch = {.other_packets = 7}, back = {0};
    size_t len;
    round_trip(&batch, &back, &len);
    assert_true(len < 64);
    batch.complete_ns = 1700000000000000000; /* all that a point without packets says */
    round_trip(&batch, &back, &len);
    assert_true(len < 64);
    dp_batch_clear(&back);
    assert_true(back.complete_ns == 0);
    dp_batch_free(&back);
}

static void test_a_time_out_of_range_is_not_encoded(void **state)
{
    (void)state;
    const int64_t wrong[] = {-1, INT64_MIN, DP_BATCH_MAX_TIME + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct dp_batch batch = {.complete_ns = wrong[i]};
        uint8_t *bytes = NULL;
        size_t len = 0;
        assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
        assert_null(bytes);
    }
}

/* Bulk as a vantage point in the middle sees it: some connections at once, both directions, an
 * acknowledgement for every second packet half a round trip later, timestamps, windows that move, now and
 * then a loss with SACK. */
struct bulk {
    uint64_t random;
    int64_t now;
    struct bulk_flow {
        uint32_t seq[4096]; /* ends of packets on their way to the receiver */
        size_t sent, acked;
        uint32_t next_seq, tsval, tsecr, peer_tsval;
        uint16_t ip_id, ack_id, window;
        unsigned retransmit;
    } flow[16];
};

static void bulk_data(struct bulk *bulk, uint32_t number, struct dp_digest *digest)
{
    struct bulk_flow *flow = &bulk->flow[number];
    uint32_t len =
        next_random(&bulk->random) % 40 == 0 ? 52 + (uint32_t)(next_random(&bulk->random) % 1300) : 1448;
    uint32_t seq = flow->next_seq;
    if (next_random(&bulk->random) % 500 == 0) {
        seq -= 1448U * 12;
        len = 1448;
        flow->retransmit = 6;
    } else {
        flow->next_seq += len;
    }
    flow->tsval = (uint32_t)(bulk->now / 1000000) + number * 7777777;
    flow->seq[flow->sent++ % 4096] = flow->next_seq;
    *digest = (struct dp_digest){.bits = DP_DIGEST_HAS_TS | DP_DIGEST_HAS_IP_ID,
                                 .ttl = 63,
                                 .hash_len = (uint8_t)(len < 64 ? len : 64),
                                 .seq = seq,
                                 .ack = 4000 + number,
                                 .payload_len = len,
                                 .ip_len = len + 52,
                                 .hash = (uint32_t)next_random(&bulk->random),
                                 .tsval = flow->tsval,
                                 .tsecr = flow->peer_tsval,
                                 .tcp_flags =
                                     next_random(&bulk->random) % 16 ? DP_TCP_ACK : DP_TCP_ACK | DP_TCP_PSH,
                                 .window = 502,
                                 .ip_id = flow->ip_id++,
                                 .wscale = 0xff};
}

static void bulk_ack(struct bulk *bulk, uint32_t number, struct dp_digest *digest)
{
    struct bulk_flow *flow = &bulk->flow[number];
    flow->acked += 2;
    flow->peer_tsval = (uint32_t)(bulk->now / 1000000) + number * 5555555;
    if (next_random(&bulk->random) % 4 == 0)
        flow->window = (uint16_t)(flow->window + next_random(&bulk->random) % 64 - 32);
    *digest = (struct dp_digest){.dir = 1,
                                 .bits = DP_DIGEST_HAS_TS | DP_DIGEST_HAS_IP_ID,
                                 .ttl = 57,
                                 .seq = 4000 + number,
                                 .ack = flow->seq[(flow->acked - 1) % 4096],
                                 .ip_len = 52,
                                 .tsval = flow->peer_tsval,
                                 .tsecr = flow->tsval - 9,
                                 .tcp_flags = DP_TCP_ACK,
                                 .window = flow->window,
                                 .ip_id = flow->ack_id++,
                                 .wscale = 0xff};
    if (flow->retransmit) {
        flow->retransmit--;
        digest->ip_len = 64;
        digest->sack_count = 1;
        digest->sack[0][0] = digest->ack + 1448;
        digest->sack[0][1] = digest->ack + 1448 * (8 - flow->retransmit);
    }
}

static void bulk_batch(struct bulk *bulk, struct dp_batch *batch)
{
    while (batch->digest_count < DP_BATCH_MAX_RECORDS) {
        uint32_t number = (uint32_t)(next_random(&bulk->random) % 16);
        size_t burst = 1 + next_random(&bulk->random) % 10;
        for (size_t i = 0; i < burst && batch->digest_count < DP_BATCH_MAX_RECORDS; i++) {
            struct bulk_flow *flow = &bulk->flow[number];
            struct dp_digest *digest = &batch->digests[batch->digest_count++];
            if (flow->sent > flow->acked + 42 && next_random(&bulk->random) % 2)
                bulk_ack(bulk, number, digest);
            else
                bulk_data(bulk, number, digest);
            bulk->now += 600 + (int64_t)(next_random(&bulk->random) % 4000);
            digest->ts_ns = bulk->now;
            digest->flow = 100 + number;
        }
    }
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_bulk_takes_at_most_24_bytes_a_packet(void **state)
{
    (void)state;
    enum { BATCHES = 50 };
    struct bulk *bulk = calloc(1, sizeof *bulk);
    assert_non_null(bulk);
    bulk->random = 42;
    bulk->now = 1700000000000000000;
    for (uint32_t i = 0; i < 16; i++)
        bulk->flow[i].next_seq = (uint32_t)next_random(&bulk->random);
    struct dp_batch batch = {.digests = calloc(DP_BATCH_MAX_RECORDS, sizeof *batch.digests),
                             .digest_room = DP_BATCH_MAX_RECORDS};
    struct dp_batch back = {0};
    assert_non_null(batch.digests);
    size_t bytes = 0;
    double encoding = 0, decoding = 0;
    for (size_t i = 0; i < BATCHES; i++) {
        uint8_t *encoded;
        size_t len;
        dp_batch_clear(&batch);
        bulk_batch(bulk, &batch);
        double begin = seconds();
        assert_int_equal(dp_batch_encode(&batch, &encoded, &len), DP_OK);
        double middle = seconds();
        assert_int_equal(dp_batch_decode(encoded, len, &back, NULL), DP_OK);
        decoding += seconds() - middle;
        encoding += middle - begin;
        assert_same(&batch, &back);
        bytes += len;
        free(encoded);
    }
    double records = (double)BATCHES * DP_BATCH_MAX_RECORDS;
    print_message("bulk: %.2f bytes a packet, encode %.0f ns, decode %.0f ns a record\n",
                  (double)bytes / records, encoding / records * 1e9, decoding / records * 1e9);
    assert_true((double)bytes / records <= 24.0);
    dp_batch_free(&batch);
    dp_batch_free(&back);
    free(bulk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_batches_come_back),
        cmocka_unit_test(test_the_empty_batch_comes_back),
        cmocka_unit_test(test_a_time_out_of_range_is_not_encoded),
        cmocka_unit_test(test_bulk_takes_at_most_24_bytes_a_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
