/* What happens to digests that nobody reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/capture/seal.h"

static const uint8_t key[DP_HASH_KEY_SIZE] = {9};

/* Ethernet, IPv4, UDP; `n` makes flow and content different. */
static size_t make_frame(unsigned n, uint8_t frame[142])
{
    static const uint8_t head[42] = {2,    0, 0,   0,   0,   1, 2, 0,  0,  0,  0, 2,   8,   0,
                                     0x45, 0, 0,   128, 0,   0, 0, 0,  64, 17, 0, 0,   192, 0,
                                     2,    1, 198, 51,  100, 9, 0, 25, 0,  25, 0, 108, 0,   0};
    memcpy(frame, head, sizeof head);
    frame[34] = (uint8_t)(n / 10000); /* the last flow begins while nobody reads */
    for (unsigned i = 0; i < 100; i++)
        frame[42 + i] = (uint8_t)(n * 2654435761U >> (i % 24));
    return 142;
}

struct world {
    int pipe[2];
    struct dp_outbox *outbox;
    struct dp_sealer *sealer;
    struct dp_pipe_reader *reader;
    struct dp_batch batch;
    uint64_t digests, gap_packets, gaps, batches;
    int64_t gap_from, gap_to;
    bool flow_known[4096];
    unsigned unknown_flows;
};

static void world_open(struct world *w, size_t queue)
{
    memset(w, 0, sizeof *w);
    assert_int_equal(pipe2(w->pipe, O_CLOEXEC), 0);
    assert_int_equal(dp_outbox_new(w->pipe[1], &w->outbox), DP_OK);
    assert_int_equal(dp_sealer_new(key, 1, w->outbox, queue, &w->sealer), DP_OK);
    assert_int_equal(dp_pipe_reader_new(&w->reader), DP_OK);
}

static void world_close(struct world *w)
{
    dp_sealer_free(w->sealer);
    dp_outbox_free(w->outbox);
    dp_pipe_reader_free(w->reader);
    dp_batch_free(&w->batch);
    (void)close(w->pipe[0]);
    (void)close(w->pipe[1]);
}

static void look(struct world *w, const struct dp_pipe_message *message)
{
    assert_int_equal(dp_batch_decode(message->bytes, message->len, &w->batch, NULL), DP_OK);
    w->batches++;
    w->digests += w->batch.digest_count;
    for (size_t i = 0; i < w->batch.flow_count; i++)
        w->flow_known[w->batch.flows[i].flow] = true;
    for (size_t i = 0; i < w->batch.digest_count; i++)
        w->unknown_flows += !w->flow_known[w->batch.digests[i].flow];
    for (size_t i = 0; i < w->batch.gap_count; i++) {
        w->gaps++;
        w->gap_packets += w->batch.gaps[i].packets;
        w->gap_from = w->batch.gaps[i].from_ns;
        w->gap_to = w->batch.gaps[i].to_ns;
    }
}

/* Reads all that waits. */
static void read_all(struct world *w)
{
    do {
        assert_int_equal(dp_outbox_flush(w->outbox), DP_OK);
        size_t room = 0;
        uint8_t *at = dp_pipe_reader_room(w->reader, &room);
        if (fcntl(w->pipe[0], F_SETFL, O_NONBLOCK) != 0)
            fail();
        ssize_t got = read(w->pipe[0], at, room);
        if (got > 0)
            dp_pipe_reader_filled(w->reader, (size_t)got);
        struct dp_pipe_message message;
        while (dp_pipe_reader_next(w->reader, &message) == DP_OK)
            look(w, &message);
    } while (dp_outbox_held(w->outbox) > 0);
}

static void put_frames(struct world *w, unsigned from, unsigned to)
{
    uint8_t frame[142];
    for (unsigned n = from; n < to; n++) {
        size_t len = make_frame(n, frame);
        assert_int_equal(dp_sealer_frame(w->sealer, 1000000 + (int64_t)n, frame, len, len), DP_OK);
    }
}

static void test_unread_batches_become_a_gap(void **state)
{
    (void)state;
    struct world *w = malloc(sizeof *w);
    world_open(w, 50000);
    put_frames(w, 0, 200000); /* nobody reads */
    assert_true(dp_outbox_held(w->outbox) < 200000);
    put_frames(w, 200000, 200010);
    read_all(w);
    uint64_t delivered = w->digests;
    assert_true(delivered >= 4096 && delivered < 150000);
    put_frames(w, 200010, 201000);
    assert_int_equal(dp_sealer_tick(w->sealer, 0, true), DP_OK);
    read_all(w);
    assert_true(w->gaps >= 1);
    assert_int_equal(w->digests + w->gap_packets, 201000); /* every packet is delivered or known to be lost */
    assert_int_equal(w->unknown_flows, 0);                 /* flows are told again behind a gap */
    assert_true(w->gap_from >= 1000000 && w->gap_to > w->gap_from && w->gap_to < 1000000 + 200000);
    world_close(w);
    free(w);
}

static void test_batches_are_sealed_by_age_and_number(void **state)
{
    (void)state;
    struct world *w = malloc(sizeof *w);
    world_open(w, DP_SEAL_QUEUE);
    put_frames(w, 0, 4095);
    assert_int_equal(dp_outbox_held(w->outbox), 0);
    put_frames(w, 4095, 4097);
    assert_true(dp_outbox_held(w->outbox) > 0);
    read_all(w);
    assert_int_equal(w->digests, 4096);
    assert_int_equal(dp_sealer_tick(w->sealer, 5000, false), DP_OK);
    assert_int_equal(dp_sealer_tick(w->sealer, 5000 + DP_SEAL_MS - 1, false), DP_OK);
    assert_int_equal(dp_outbox_held(w->outbox), 0);
    assert_int_equal(dp_sealer_tick(w->sealer, 5000 + DP_SEAL_MS, false), DP_OK);
    read_all(w);
    assert_int_equal(w->digests, 4097);
    assert_int_equal(dp_sealer_tick(w->sealer, 99999, true), DP_OK); /* nothing there: nothing sent */
    assert_int_equal(dp_outbox_held(w->outbox), 0);
    for (unsigned i = 0; i < 1000; i++) /* many gaps are merged, none is forgotten */
        assert_int_equal(dp_sealer_gap(w->sealer, 10 + i, 20 + i, 2), DP_OK);
    assert_int_equal(dp_sealer_tick(w->sealer, 0, true), DP_OK);
    read_all(w);
    assert_int_equal(w->gap_packets, 2000);
    assert_true(w->gaps <= 100);
    world_close(w);
    free(w);
}

static void test_completeness_rides_along(void **state)
{
    (void)state;
    const int64_t second = 1000000000;
    struct world *w = malloc(sizeof *w);
    world_open(w, DP_SEAL_QUEUE);
    dp_sealer_complete(w->sealer, 2 * second); /* nothing else: a batch of its own */
    assert_int_equal(dp_sealer_tick(w->sealer, 1, false), DP_OK);
    read_all(w);
    assert_true(w->batches == 1 && w->batch.complete_ns == 2 * second);
    dp_sealer_complete(w->sealer, 2 * second + second / 2); /* too soon for another one */
    dp_sealer_complete(w->sealer, second);                  /* never back */
    assert_int_equal(dp_sealer_tick(w->sealer, 2, false), DP_OK);
    assert_int_equal(dp_outbox_held(w->outbox), 0);
    put_frames(w, 0, 1); /* stamped long before: the time is news beside it */
    assert_int_equal(dp_sealer_tick(w->sealer, 3, true), DP_OK);
    read_all(w);
    assert_true(w->batch.digest_count == 1 && w->batch.complete_ns == 2 * second + second / 2);
    put_frames(w, 1, 2); /* nothing new */
    assert_int_equal(dp_sealer_tick(w->sealer, 4, true), DP_OK);
    read_all(w);
    assert_true(w->batch.digest_count == 1 && w->batch.complete_ns == 0);
    uint8_t frame[142];
    size_t len = make_frame(3, frame);
    assert_int_equal(dp_sealer_frame(w->sealer, 9 * second, frame, len, len), DP_OK);
    dp_sealer_complete(w->sealer, 8 * second); /* the digest itself says more */
    assert_int_equal(dp_sealer_tick(w->sealer, 5, true), DP_OK);
    read_all(w);
    assert_true(w->batch.digest_count == 1 && w->batch.complete_ns == 0);
    assert_int_equal(w->batches, 4);
    world_close(w);
    free(w);
}

/* While nobody reads, a time that was told stays in front of the door: behind the gap that it is true with.
 */
static void test_completeness_waits_for_its_gap(void **state)
{
    (void)state;
    const int64_t second = 1000000000;
    struct world *w = malloc(sizeof *w);
    world_open(w, 50000);
    put_frames(w, 0, 200000); /* nobody reads: the last ones are a gap */
    for (int64_t i = 1; i <= 20; i++) {
        dp_sealer_complete(w->sealer, i * second);
        assert_int_equal(dp_sealer_tick(w->sealer, (uint64_t)i * 1000, false), DP_OK);
    }
    read_all(w);
    uint64_t before = w->batches;
    assert_int_equal(w->gaps, 0);
    assert_true(w->batch.complete_ns == 0);
    assert_int_equal(dp_sealer_tick(w->sealer, 50000, true), DP_OK);
    read_all(w);
    assert_int_equal(w->batches, before + 1);
    assert_true(w->batch.gap_count >= 1 && w->batch.complete_ns == 20 * second);
    assert_int_equal(w->digests + w->gap_packets, 200000);
    world_close(w);
    free(w);
}

static void test_reader_gone_is_told(void **state)
{
    (void)state;
    struct world *w = malloc(sizeof *w);
    world_open(w, DP_SEAL_QUEUE);
    put_frames(w, 0, 4096);
    (void)close(w->pipe[0]);
    w->pipe[0] = -1;
    assert_int_equal(dp_outbox_flush(w->outbox), DP_ERR_UNAVAILABLE);
    world_close(w);
    free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unread_batches_become_a_gap),
        cmocka_unit_test(test_batches_are_sealed_by_age_and_number),
        cmocka_unit_test(test_completeness_rides_along),
        cmocka_unit_test(test_completeness_waits_for_its_gap),
        cmocka_unit_test(test_reader_gone_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
