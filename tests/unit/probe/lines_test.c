#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/lines.h"

static void test_pieces(void **state)
{
    (void)state;
    struct dp_lines lines = {.bytes = NULL};
    const char *line;
    size_t length;
    bool cut;
    assert_false(dp_lines_next(&lines, &line, &length, &cut));
    static const char *const pieces[] = {"2", "20 hel", "lo\r", "\n250-a\n\r\nre", "st"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(dp_lines_add(&lines, pieces[i], strlen(pieces[i])), 0);
        assert_false(dp_lines_next(&lines, &line, &length, &cut));
    }
    assert_int_equal(dp_lines_add(&lines, pieces[3], strlen(pieces[3])), 0);
    assert_true(dp_lines_next(&lines, &line, &length, &cut));
    assert_int_equal(length, 9);
    assert_memory_equal(line, "220 hello", 9);
    assert_true(dp_lines_next(&lines, &line, &length, &cut));
    assert_memory_equal(line, "250-a", 5);
    assert_true(dp_lines_next(&lines, &line, &length, &cut));
    assert_int_equal(length, 0);
    assert_false(dp_lines_next(&lines, &line, &length, &cut));
    assert_memory_equal(dp_lines_rest(&lines, &length), "re", 2);
    assert_int_equal(length, 2);
    assert_int_equal(dp_lines_add(&lines, pieces[4], 2), 0);
    assert_false(dp_lines_take(&lines, 5, &line));
    assert_true(dp_lines_take(&lines, 4, &line));
    assert_memory_equal(line, "rest", 4);
    dp_lines_free(&lines);
}

static void test_bounds(void **state)
{
    (void)state;
    struct dp_lines lines = {.bytes = NULL};
    char *flood = malloc(100000);
    const char *line;
    size_t length;
    bool cut;
    assert_non_null(flood);
    memset(flood, 'x', 100000);
    assert_int_equal(dp_lines_add(&lines, flood, 100000), 0);
    assert_int_equal(dp_lines_add(&lines, "\nshort\n", 7), 0);
    assert_true(dp_lines_next(&lines, &line, &length, &cut));
    assert_int_equal(length, DP_LINE_MAX);
    assert_true(cut);
    assert_true(dp_lines_next(&lines, &line, &length, &cut));
    assert_false(cut);
    assert_int_equal(dp_lines_add(&lines, flood, 100000), 0);
    assert_int_equal(dp_lines_add(&lines, flood, 100000), 0);
    assert_int_equal(dp_lines_add(&lines, flood, 100000), DP_ERR_FULL);
    free(flood);
    dp_lines_free(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
