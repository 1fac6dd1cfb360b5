#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log/log.h"

static int ends[2];

static const char *line(char text[4096])
{
    ssize_t got = read(ends[0], text, 4095);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void test_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    char text[4096];
    struct dp_log log = {.fd = ends[1], .level = DP_LOG_INFO, .journal = true};
    errno = ENOENT;
    dp_log(&log, DP_LOG_WARNING, "a%sb", "\n<3>forged\x1b[2J\x7f");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(line(text), "<4>a?<3>forged?[2J?b\n");
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    dp_log(&log, DP_LOG_ERROR, "%s", longer);
    assert_in_range(strlen(line(text)), 990, 1001);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_levels_and_time(void **state)
{
    (void)state;
    char text[4096];
    struct dp_log log = {.fd = ends[1], .level = DP_LOG_WARNING};
    dp_log(&log, DP_LOG_INFO, "quiet");
    dp_log(NULL, DP_LOG_ERROR, "nowhere");
    dp_log(&log, DP_LOG_ERROR, "loud");
    assert_string_equal(line(text) + strlen("2026-01-01T00:00:00.000"), "Z error: loud\n");
    assert_int_equal(text[10], 'T');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line_whatever_is_in_it),
        cmocka_unit_test(test_levels_and_time),
    };
    return pipe(ends) != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
