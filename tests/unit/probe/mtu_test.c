#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/probe/mtu/search.h"

/* Runs the search on a path that takes `limit`; how many rounds. */
static unsigned run(uint32_t floor, uint32_t top, uint32_t limit, bool routers_tell, uint32_t *ret_found)
{
    struct mtu_search search;
    uint32_t sizes[MTU_BATCH];
    unsigned rounds = 0;
    size_t count;
    mtu_search_init(&search, floor, top);
    while ((count = mtu_search_next(&search, sizes)) && rounds < 100) {
        assert_true(count <= MTU_BATCH);
        for (size_t i = 0; i < count; i++) {
            assert_true(sizes[i] >= floor && sizes[i] <= top);
            assert_true(!i || sizes[i] > sizes[i - 1]);
        }
        for (size_t i = count; i-- > 0;)
            if (sizes[i] > limit && routers_tell)
                mtu_search_told(&search, sizes[i], limit);
            else if (sizes[i] > limit)
                mtu_search_failed(&search, sizes[i]);
        for (size_t i = 0; i < count; i++)
            if (sizes[i] <= limit)
                mtu_search_passed(&search, sizes[i]);
        rounds++;
    }
    *ret_found = search.passes;
    return rounds;
}

static void test_finds(void **state)
{
    (void)state;
    uint32_t found;
    assert_int_equal(run(576, 1500, 1500, false, &found), 1);
    assert_int_equal(found, 1500);
    for (uint32_t limit = 576; limit <= 1500; limit += 7) {
        assert_true(run(576, 1500, limit, false, &found) <= 4);
        assert_int_equal(found, limit);
        assert_true(run(576, 1500, limit, true, &found) <= 2);
        assert_int_equal(found, limit);
    }
    assert_true(run(1280, 9000, 8191, false, &found) <= 5);
    assert_int_equal(found, 8191);
    assert_int_equal(run(1280, 1280, 1280, false, &found), 1);
}

/* A router that names a size which does not pass either, or is beyond all sense. */
static void test_lies(void **state)
{
    (void)state;
    struct mtu_search search;
    uint32_t sizes[MTU_BATCH];
    mtu_search_init(&search, 576, 1500);
    mtu_search_passed(&search, 576);
    mtu_search_told(&search, 1500, 68);
    assert_int_equal(search.hint, 0);
    mtu_search_told(&search, 1500, 9000);
    assert_int_equal(search.hint, 0);
    mtu_search_told(&search, 1500, 1400);
    assert_int_equal(mtu_search_next(&search, sizes), 2);
    assert_int_equal(sizes[0], 1400);
    assert_int_equal(sizes[1], 1401);
    mtu_search_failed(&search, 1400);
    assert_int_equal(mtu_search_next(&search, sizes), MTU_BATCH);
    assert_true(sizes[MTU_BATCH - 1] < 1400);
}

static void test_clamp(void **state)
{
    (void)state;
    assert_int_equal(mtu_clamp(1400, false), 1360);
    assert_int_equal(mtu_clamp(1400, true), 1340);
    assert_int_equal(mtu_clamp(20, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds), cmocka_unit_test(test_lies),
                                       cmocka_unit_test(test_clamp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
