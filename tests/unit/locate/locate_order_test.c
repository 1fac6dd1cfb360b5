/* The order of the vantage points from TTLs and from times of both directions, clocks off by seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/locate/order.h"

#define MS 1000000
#define SECOND 1000000000

/* Vantage point v is the place[v]th of three on the path, a millisecond apart; its clock is off by clock[v].
 */
static const int place[3] = {1, 2, 0};
static const int64_t clock_off[3] = {5LL * SECOND, -7LL * SECOND, 0};

static void packets(struct order *order, int half, int hops, int64_t drift)
{
    for (int64_t i = 0; i < 10; i++) {
        struct order_sighting seen[3];
        for (int v = 0; v < 3; v++) {
            int way = half == 0 ? place[v] : 2 - place[v];
            seen[v] = (struct order_sighting){.vantage = (uint32_t)v, .ttl = (uint8_t)(64 - hops * way)};
            seen[v].ts_ns = i * SECOND + way * (int64_t)(MS + i * 1000) + clock_off[v] + v * i * drift;
        }
        assert_int_equal(order_packet(order, half, seen, 3), DP_OK);
    }
}

static struct order_result found(int halves, int hops, int64_t drift)
{
    struct order *order;
    struct order_result result;
    assert_int_equal(order_new(3, &order), DP_OK);
    for (int half = 0; half < halves; half++)
        packets(order, half, hops, drift);
    order_find(order, &result);
    order_free(order);
    return result;
}

static void assert_path(const struct order_result *result, enum order_reason reason)
{
    static const uint32_t path[3] = {2, 0, 1};
    assert_true(result->certain);
    assert_memory_equal(result->at, path, sizeof path);
    assert_int_equal(result->reason[0], reason);
    assert_int_equal(result->reason[1], reason);
}

static void test_ttl_orders_with_one_direction(void **state)
{
    (void)state;
    struct order_result result = found(1, 1, 0);
    assert_path(&result, ORDER_TTL);
}

static void test_delay_orders_with_clocks_off(void **state)
{
    (void)state;
    struct order_result result = found(2, 0, 0);
    assert_path(&result, ORDER_DELAY);
}

static void test_delay_of_one_direction_orders_nothing(void **state)
{
    (void)state;
    struct order_result result = found(1, 0, 0);
    assert_false(result.certain);
    for (uint32_t v = 0; v < 3; v++)
        assert_int_equal(result.at[v], v);
    assert_int_equal(result.reason[0], ORDER_UNKNOWN);
}

static void test_drift_beyond_the_delay_is_not_certain(void **state)
{
    (void)state;
    struct order_result result = found(2, 0, 5 * MS);
    assert_false(result.certain);
}

/* Point 0 is before point 1; its clock loses 10 ms until packets come the other way. */
static void test_directions_apart_in_time_order_nothing(void **state)
{
    (void)state;
    struct order *order;
    struct order_result result;
    struct order_sighting there[2] = {{.vantage = 0, .ts_ns = 0}, {.vantage = 1, .ts_ns = MS}};
    struct order_sighting back[2] = {{.vantage = 0, .ts_ns = 100LL * SECOND - 10 * MS},
                                     {.vantage = 1, .ts_ns = 100LL * SECOND - MS}};
    assert_int_equal(order_new(2, &order), DP_OK);
    assert_int_equal(order_packet(order, 0, there, 2), DP_OK);
    assert_int_equal(order_packet(order, 1, back, 2), DP_OK);
    order_find(order, &result);
    order_free(order);
    assert_false(result.certain);
    assert_int_equal(result.reason[0], ORDER_UNKNOWN);
}

static void test_packets_for_both_orders_are_a_conflict(void **state)
{
    (void)state;
    struct order *order;
    struct order_result result;
    assert_int_equal(order_new(2, &order), DP_OK);
    for (uint8_t i = 0; i < 2; i++) {
        struct order_sighting seen[2] = {{.vantage = 0, .ttl = 64},
                                         {.vantage = 1, .ttl = (uint8_t)(63 + 2 * i)}};
        assert_int_equal(order_packet(order, 0, seen, 2), DP_OK);
    }
    order_find(order, &result);
    order_free(order);
    assert_false(result.certain);
    assert_int_equal(result.reason[0], ORDER_CONFLICT);
}

static void test_bounds(void **state)
{
    (void)state;
    struct order *order;
    struct order_sighting seen = {.vantage = 2};
    assert_int_equal(order_new(0, &order), DP_ERR_RANGE);
    assert_int_equal(order_new(ORDER_MAX + 1, &order), DP_ERR_RANGE);
    assert_int_equal(order_new(2, &order), DP_OK);
    assert_int_equal(order_packet(order, 0, &seen, 1), DP_ERR_RANGE);
    order_free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ttl_orders_with_one_direction),
        cmocka_unit_test(test_delay_orders_with_clocks_off),
        cmocka_unit_test(test_delay_of_one_direction_orders_nothing),
        cmocka_unit_test(test_drift_beyond_the_delay_is_not_certain),
        cmocka_unit_test(test_directions_apart_in_time_order_nothing),
        cmocka_unit_test(test_packets_for_both_orders_are_a_conflict),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
