/* What waits in the engine: lanes of observations and of acknowledgements keep their order and lose nothing,
 * whatever their length, and give back what they don't need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/locate/engine.h"

static struct dp_locate *engine(void)
{
    static const char *const names[] = {"a", "b"};
    struct dp_locate *l = NULL;
    assert_int_equal(dp_locate_new(names, 2, NULL, &l), DP_OK);
    return l;
}

/* Every third waits on, as many are settled: what is left is in order, and at its place. */
static void check_lane(struct dp_locate *l, size_t count)
{
    struct lane lane = {.first = NULL};
    for (size_t i = 0; i < count; i++) {
        struct observation *o = lane_add(l, &lane);
        assert_non_null(o);
        *o = (struct observation){.start = 10 * i, .marks = i % 3 ? MARK_SETTLED : 0};
    }
    assert_int_equal(lane.count, count);
    for (size_t i = 0; i < count; i += 1 + count / 50) {
        struct lane_cursor cursor = lane_from(&lane, i);
        assert_int_equal(lane_next(&cursor)->start, 10 * i);
        assert_int_equal(cursor.left, count - i - 1);
        assert_int_equal(lane_find(&lane, 10 * i), i);
        assert_int_equal(lane_find(&lane, 10 * i + 1), i + 1);
    }
    lane_compact(l, &lane);
    assert_int_equal(lane.count, (count + 2) / 3);
    *lane_add(l, &lane) = (struct observation){.start = 10 * 3 * ((count + 2) / 3)};
    struct lane_cursor cursor = lane_from(&lane, 0);
    struct observation *o;
    size_t seen = 0;
    while ((o = lane_next(&cursor)) != NULL) {
        assert_int_equal(o->start, 30 * seen++);
        o->marks = MARK_SETTLED;
    }
    assert_int_equal(seen, lane.count);
    lane_compact(l, &lane);
    assert_int_equal(lane.count, 0);
    assert_null(lane.first);
    assert_null(lane_from(&lane, 0).next);
}

static void lanes_keep_what_waits(void **state)
{
    (void)state;
    struct dp_locate *l = engine();
    static const size_t counts[] = {1, 9, 10, 11, 31, 157, 158, 159, 1000, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        check_lane(l, counts[i]);
    dp_locate_free(l);
}

static void acknowledgements_are_found_by_index(void **state)
{
    (void)state;
    struct dp_locate *l = engine();
    struct ack_lane lane = {.only = NULL};
    size_t first = 0, last = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 61 * (round + 1); i++, last++)
            assert_int_equal(ack_add(l, &lane, (struct ack_mark){.position = last + 1}), DP_OK);
        assert_int_equal(lane.count, last - first);
        assert_int_equal(lane.highest, last);
        for (size_t i = 0; i < lane.count; i++)
            assert_int_equal(ack_at(&lane, i)->position, first + i + 1);
        size_t gone = (lane.count - 1) * (size_t)(round % 3) / 2; /* none, half, all but one */
        ack_trim(l, &lane, gone);
        first += gone;
    }
    assert_int_equal(ack_at(&lane, 0)->position, first + 1);
    free(lane.table);
    dp_locate_free(l);
}

static void blocks_are_used_again(void **state)
{
    (void)state;
    struct pool pool = {.pieces = NULL};
    size_t size = 0;
    void *some = pool_take(&pool, 500, &size);
    assert_non_null(some);
    assert_int_equal(size, 512);
    memset(some, 1, size);
    pool_give(&pool, some, 500);
    assert_ptr_equal(pool_take(&pool, 512, &size), some);
    assert_ptr_not_equal(pool_take(&pool, 512, &size), some);
    assert_null(pool_take(&pool, ((size_t)1 << POOL_LARGEST) + 1, &size));
    void *large = pool_take(&pool, (size_t)1 << POOL_LARGEST, &size);
    memset(large, 2, size);
    pool_give(&pool, large, size);
    assert_ptr_equal(pool_take(&pool, size, &size), large);
    uint32_t *items = NULL;
    size_t room = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        assert_int_equal(pool_grow(&pool, &items, &room, i + 1, sizeof *items), DP_OK);
        assert_true(room > i);
        items[i] = i;
    }
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(items[i], i);
    assert_int_equal(pool_grow(&pool, &items, &room, (size_t)1 << POOL_LARGEST, sizeof *items), DP_ERR_NOMEM);
    pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_keep_what_waits),
        cmocka_unit_test(acknowledgements_are_found_by_index),
        cmocka_unit_test(blocks_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
