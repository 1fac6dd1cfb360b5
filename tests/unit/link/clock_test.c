#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/link/clock.h"

#define MS INT64_C(1000000)
#define S (1000 * MS)

/* Our monotonic clock is M, our wall clock M + 1000 s, the peer's M + 1000 s + ahead. */
static bool exchange(struct dp_clock *clock, int64_t at, int64_t there, int64_t back, int64_t ahead)
{
    int64_t peer = at + 1000 * S + there + ahead;
    return dp_clock_add(clock, at, at + there + back, peer, peer);
}

static void test_offset_is_within_the_error(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    int64_t offset = 0;
    int64_t error = 0;
    assert_false(dp_clock_best(&clock, 0, 0, &offset, &error));
    assert_true(exchange(&clock, S, 9 * MS, MS, -3 * S));
    assert_true(dp_clock_best(&clock, S + 10 * MS, 1001 * S + 10 * MS, &offset, &error));
    assert_in_range((unsigned long)error, 5 * MS, 5 * MS + 1000);
    assert_true(offset + error >= -3 * S && offset - error <= -3 * S);
}

static void test_smallest_round_trip_wins_until_it_is_old(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    int64_t offset = 0;
    int64_t error = 0;
    assert_true(exchange(&clock, S, MS, MS, 0));
    for (int i = 2; i < 10; i++)
        assert_true(exchange(&clock, i * S, 30 * MS, MS, 0));
    assert_true(dp_clock_best(&clock, 10 * S, 1010 * S, &offset, &error));
    /* One millisecond, and 50 ppm of nine seconds. */
    assert_in_range((unsigned long)error, MS, MS + 460000);
    for (int i = 10; i < 30; i++)
        assert_true(exchange(&clock, i * S, 30 * MS, MS, 0));
    assert_true(dp_clock_best(&clock, 30 * S, 1030 * S, &offset, &error));
    assert_true(error > 15 * MS);
}

static void test_step_of_the_peer_voids_older_samples(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    int64_t offset = 0;
    int64_t error = 0;
    assert_true(exchange(&clock, S, MS, MS, 0));
    assert_true(exchange(&clock, 2 * S, 5 * MS, 5 * MS, 2 * S));
    assert_true(dp_clock_best(&clock, 2 * S + 10 * MS, 1002 * S + 10 * MS, &offset, &error));
    assert_true(offset > S);
}

static void test_step_of_our_own_clock_moves_the_offset(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    int64_t offset = 0;
    int64_t error = 0;
    assert_true(exchange(&clock, S, MS, MS, 0));
    assert_true(dp_clock_best(&clock, 2 * S, 1012 * S, &offset, &error)); /* set ten seconds ahead */
    assert_true(offset + error >= -10 * S && offset - error <= -10 * S);
}

static void test_times_of_today_fit(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    int64_t now = 1800000000 * S;
    assert_true(dp_clock_add(&clock, S, S + 2 * MS, now + MS, now + MS));
    int64_t offset = 0;
    int64_t error = 0;
    assert_true(dp_clock_best(&clock, S + 2 * MS, now + 2 * MS, &offset, &error));
    assert_true(offset + error >= 0 && offset - error <= 0);
}

static void test_impossible_stamps_change_nothing(void **state)
{
    (void)state;
    struct dp_clock clock = {.count = 0};
    assert_false(dp_clock_add(&clock, 10, 5, 100, 100));
    assert_false(dp_clock_add(&clock, 5, 10, 100, 99));
    assert_false(dp_clock_add(&clock, 5, 10, 100, 200)); /* held it longer than the round trip */
    assert_false(dp_clock_add(&clock, 5, 10, -1, 1));
    assert_false(dp_clock_add(&clock, 5, 10, INT64_MAX, INT64_MAX));
    assert_int_equal(clock.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offset_is_within_the_error),
        cmocka_unit_test(test_smallest_round_trip_wins_until_it_is_old),
        cmocka_unit_test(test_step_of_the_peer_voids_older_samples),
        cmocka_unit_test(test_step_of_our_own_clock_moves_the_offset),
        cmocka_unit_test(test_times_of_today_fit),
        cmocka_unit_test(test_impossible_stamps_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
