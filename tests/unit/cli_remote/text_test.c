#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/remote/text.h"

#define MOMENT 1772370309120000000 /* 2026-03-01 13:05:09.12 UTC */

static void test_times(void **state)
{
    (void)state;
    char text[DP_TIME_TEXT];
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    assert_string_equal(dp_time_text(MOMENT, text, sizeof text), "2026-03-01 14:05:09 CET");
    assert_string_equal(dp_time_text(MOMENT + 180 * 86400 * INT64_C(1000000000), text, sizeof text),
                        "2026-08-28 15:05:09 CEST");
    assert_string_equal(dp_time_text(0, text, sizeof text), "never");
    assert_string_equal(dp_time_utc(MOMENT, text, sizeof text), "2026-03-01T13:05:09.120Z");
    assert_string_equal(dp_time_utc(-1, text, sizeof text), "1969-12-31T23:59:59.999Z");
    assert_string_equal(dp_time_utc(INT64_MAX, text, sizeof text), "2262-04-11T23:47:16.854Z");
}

static void assert_length(uint64_t ms, const char *expected)
{
    char text[32];
    assert_string_equal(dp_duration_text(ms, text, sizeof text), expected);
}

static void test_lengths(void **state)
{
    (void)state;
    assert_length(0, "0 ms");
    assert_length(999, "999 ms");
    assert_length(1500, "1.5 s");
    assert_length(30000, "30 s");
    assert_length(90000, "1 min 30 s");
    assert_length(300000, "5 min");
    assert_length(5400000, "1 h 30 min");
    assert_length(7200000, "2 h");
}

static void assert_count(uint64_t number, const char *expected)
{
    char text[DP_COUNT_TEXT];
    assert_string_equal(dp_count_text(number, text, sizeof text), expected);
}

static void test_counts(void **state)
{
    (void)state;
    assert_count(0, "0");
    assert_count(999, "999");
    assert_count(1000, "1,000");
    assert_count(1234567, "1,234,567");
    assert_count(UINT64_MAX, "18,446,744,073,709,551,615");
}

static void test_offsets(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(dp_offset_text(1204000, 110000, text, sizeof text), "+1.204 ms \xc2\xb1"
                                                                            "0.110 ms");
    assert_string_equal(dp_offset_text(-5, -1, text, sizeof text), "-");
}

static void test_control_characters_do_not_get_through(void **state)
{
    (void)state;
    char text[] = "a\033[2Jb\nc\td\x7f \xc2\x9b"
                  "1m \xc3\xa9";
    assert_string_equal(dp_printable(text), "a?[2Jb?c?d? ??1m \xc3\xa9");
}

static void test_table(void **state)
{
    (void)state;
    static const char *const heads[] = {"NAME", "N", "LAST"};
    static const char *const cells[] = {
        "lb1", "12", "x", "", "1", "a\nb", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", NULL, "y"};
    struct dp_table *table = NULL;
    assert_int_equal(dp_table_new(heads, 3, &table), 0);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(dp_table_add(table, cells[i]), 0);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    dp_table_print(table, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "NAME   N   LAST\n"
                              "lb1    12  x\n"
                              "-      1   a?b\n"
                              "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  -   y\n");
    free(text);
    dp_table_free(table);
    dp_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_control_characters_do_not_get_through),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
