#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/locate/args.h"

#define MAX_ARGS 80

/* Parses a NULL-terminated list; the strings are copied, because getopt moves them. */
static int parse(struct dp_locate_args *args, struct dp_diag *diag, const char *const *list)
{
    static char room[MAX_ARGS][64];
    char *argv[MAX_ARGS + 1];
    int argc = 0;
    for (; list[argc]; argc++) {
        (void)snprintf(room[argc], sizeof room[argc], "%s", list[argc]);
        argv[argc] = room[argc];
    }
    argv[argc] = NULL;
    diag->text[0] = '\0';
    return dp_locate_args_parse(argc, argv, args, diag);
}

static void test_options_before_and_after(void **state)
{
    (void)state;
    struct dp_locate_args args;
    struct dp_diag diag;
    const char *const list[] = {"locate",      "--json",      "a/e0=x=y.pcap", "--filter",
                                "tcp port 25", "b/e0=z.pcap", "--merge=m",     "--no-clock-correction",
                                "--html",      "h.html",      NULL};
    assert_int_equal(parse(&args, &diag, list), DP_OK);
    assert_true(args.json);
    assert_true(args.no_clock_correction);
    assert_string_equal(args.filter, "tcp port 25");
    assert_string_equal(args.merge, "m");
    assert_string_equal(args.html, "h.html");
    assert_int_equal(args.count, 2);
    assert_string_equal(args.names[0], "a/e0");
    assert_string_equal(args.paths[0], "x=y.pcap");
    assert_string_equal(args.names[1], "b/e0");
    assert_string_equal(args.paths[1], "z.pcap");
    dp_locate_args_free(&args);
}

static void check_refused(const char *const *list, const char *what)
{
    struct dp_locate_args args;
    struct dp_diag diag;
    assert_int_equal(parse(&args, &diag, list), DP_ERR_USAGE);
    if (!strstr(diag.text, what))
        fail_msg("'%s' does not say '%s'", diag.text, what);
    dp_locate_args_free(&args);
}

static void test_wrong_usage(void **state)
{
    (void)state;
    check_refused((const char *const[]){"locate", NULL}, "No capture file");
    check_refused((const char *const[]){"locate", "x.pcap", NULL}, "not NAME=FILE");
    check_refused((const char *const[]){"locate", "=x.pcap", NULL}, "no name");
    check_refused((const char *const[]){"locate", "a=", NULL}, "no file");
    check_refused((const char *const[]){"locate", "a=-", NULL}, "standard input");
    check_refused((const char *const[]){"locate", "a=x", "a=y", NULL}, "'a' is given twice");
    check_refused((const char *const[]){"locate", "beyond=x", NULL}, "taken");
    check_refused((const char *const[]){"locate", "a\033b=x", NULL}, "control character");
    check_refused((const char *const[]){"locate", "--nonsense", "a=x", NULL}, "'--nonsense'");
    check_refused((const char *const[]){"locate", "a=x", "-z", NULL}, "'-z'");
    check_refused((const char *const[]){"locate", "a=x", "--filter", NULL}, "'--filter' needs");
    check_refused((const char *const[]){"locate", "a=x", "--html", NULL}, "'--html' needs");
}

static void test_too_many(void **state)
{
    (void)state;
    static char names[DP_LOCATE_MAX_VANTAGES + 1][16];
    const char *list[MAX_ARGS] = {"locate"};
    for (int i = 0; i <= DP_LOCATE_MAX_VANTAGES; i++) {
        (void)snprintf(names[i], sizeof names[i], "v%d=x", i);
        list[i + 1] = names[i];
    }
    check_refused(list, "More than 64");
    list[DP_LOCATE_MAX_VANTAGES + 1] = NULL;
    struct dp_locate_args args;
    struct dp_diag diag;
    assert_int_equal(parse(&args, &diag, list), DP_OK);
    assert_int_equal(args.count, DP_LOCATE_MAX_VANTAGES);
    dp_locate_args_free(&args);
}

static void test_help_needs_no_files(void **state)
{
    (void)state;
    struct dp_locate_args args;
    struct dp_diag diag;
    assert_int_equal(parse(&args, &diag, (const char *const[]){"locate", "--help", NULL}), DP_OK);
    assert_true(args.help);
    dp_locate_args_free(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_before_and_after),
        cmocka_unit_test(test_wrong_usage),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_help_needs_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
