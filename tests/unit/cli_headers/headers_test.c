#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/headers/message.h"
#include "cli/headers/report.h"

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"Thu, 26 Nov 2026 10:00:45 +0100", 1795683645},
                {"26 Nov 2026 09:00:45 GMT", 1795683645},
                {"Thu, 26 Nov 26 04:00:45 EST", 1795683645},
                {"Thu, 26 Nov 2026 09:00:45 (a (nested) comment) +0000 (UTC)", 1795683645},
                {"Thu,  26  Nov  2026  09:00 Z", 1795683600},
                {"1 Jan 1970 00:00:00 +0000", 0},
                {"29 Feb 2000 12:00:00 -0000", 951825600},
                {"31 Dec 99 23:59:60 GMT", 946684800},
                {"Thu, 26 Nov 2026 09:00:45 XYZ", 1795683645}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t got = -1;
        assert_true(header_date(good[i].text, &got));
        assert_int_equal(got, good[i].seconds);
    }
    static const char *const bad[] = {"",
                                      "yesterday",
                                      "32 Nov 2026 09:00:00 GMT",
                                      "26 Foo 2026 09:00:00 GMT",
                                      "26 Nov 2026",
                                      "26 Nov 2026 24:00:00 GMT",
                                      "26 Nov 2026 09:60 GMT",
                                      "26 Nov 2026 09:00:00 +12"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t got = 77;
        assert_false(header_date(bad[i], &got));
        assert_int_equal(got, 77);
    }
}

static void test_received(void **state)
{
    (void)state;
    struct received_hop hop;
    received_parse("from mx1 (HELO by) (mx1.example.net [IPv6:2001:db8::1]) by store (Postfix) with ESMTPS "
                   "(TLS1.3) id 4F1 for "
                   "<a@b>; Thu, 26 Nov 2026 10:00:45 +0100",
                   &hop);
    assert_string_equal(hop.from, "mx1");
    assert_string_equal(hop.by, "store");
    assert_string_equal(hop.with, "ESMTPS");
    assert_string_equal(hop.id, "4F1");
    assert_string_equal(hop.recipient, "<a@b>");
    assert_string_equal(hop.address, "2001:db8::1");
    assert_true(hop.has_time);
    received_parse("by x", &hop);
    assert_string_equal(hop.from, "");
    assert_string_equal(hop.by, "x");
    assert_false(hop.has_time);
    received_parse("", &hop);
    received_parse("((((from [", &hop);
    assert_string_equal(hop.from, "");
}

static void test_fields(void **state)
{
    (void)state;
    static const char text[] =
        "From me Thu Nov 26\r\nSubject : a\r\n\tb\r\nX:\r\nY: \x1b[31m\r\n\r\nbody: no\r\n";
    struct header_list list;
    struct dp_diag diag = {""};
    assert_int_equal(headers_parse(text, sizeof text - 1, &list, &diag), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(headers_find(&list, "SUBJECT"), "a b");
    assert_string_equal(headers_find(&list, "x"), "");
    assert_string_equal(headers_find(&list, "y"), "?[31m");
    assert_null(headers_find(&list, "body"));
    headers_free(&list);
    static const char *const bad[] = {
        "", "\n", "no colon here\n", " continues nothing\n", "A: b\nbroken\n", "\xff\xfe\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(headers_parse(bad[i], strlen(bad[i]), &list, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "line 1"));
}

static void check_decoded(const char *text, const char *wanted)
{
    char *got = header_decode(text);
    assert_non_null(got);
    assert_string_equal(got, wanted);
    free(got);
}

static void test_encoded_words(void **state)
{
    (void)state;
    check_decoded("plain", "plain");
    check_decoded("=?utf-8?Q?a_b=21?= c", "a b! c");
    check_decoded("=?UTF-8?B?YQ==?=  =?utf-8?q?b?=", "ab");
    check_decoded("=?iso-8859-1?Q?=E4?=", "=?iso-8859-1?Q?=E4?=");
    check_decoded("=?utf-8?Q?broken", "=?utf-8?Q?broken");
    check_decoded("=?utf-8?Q?=1B=0A?=", "??");
    check_decoded("=?utf-8?Q?a=?=", "a=");
}

static void test_report(void **state)
{
    (void)state;
    static const char text[] = "Received: from b by c; Thu, 26 Nov 2026 09:00:05 GMT\n"
                               "Received: from a by b; Thu, 26 Nov 2026 09:00:10 GMT\n"
                               "Received-SPF: SoftFail (x) y\n"
                               "X-Spam-Status: No, score=1.5 required=5.0 tests=A,B autolearn=no\n"
                               "X-Spam-Report: *  1.0 A what it is * -0.5 B and that\n\n";
    struct header_list list;
    assert_int_equal(headers_parse(text, sizeof text - 1, &list, NULL), 0);
    json_t *report = headers_report(&list);
    const json_t *hops = json_object_get(report, "hops"), *tests;
    assert_int_equal(json_array_size(hops), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(hops, 0), "from")),
                        "a"); // oldest first
    assert_true(json_number_value(json_object_get(json_array_get(hops, 1), "delay_s")) == -5);
    assert_true(json_is_true(json_object_get(json_array_get(hops, 1), "clock_wrong")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(report, "authentication"), "spf")),
                        "softfail");
    tests = json_object_get(json_object_get(report, "spamassassin"), "tests");
    assert_int_equal(json_array_size(tests), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(tests, 1), "name")), "B");
    assert_true(json_number_value(json_object_get(json_array_get(tests, 1), "score")) == -0.5);
    json_decref(report);
    headers_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dates), cmocka_unit_test(test_received),
                                       cmocka_unit_test(test_fields), cmocka_unit_test(test_encoded_words),
                                       cmocka_unit_test(test_report)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
