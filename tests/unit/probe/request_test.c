#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "agent/probe/core/prober.h"
#include "agent/probe/core/request.h"
#include "agent/probe/net/target.h"

static struct dp_request *request(const char *kind)
{
    struct dp_request *made = NULL;
    assert_int_equal(dp_request_new(kind, &made, NULL), 0);
    return made;
}

static void test_values(void **state)
{
    (void)state;
    struct dp_request *ping = request("ping");
    struct dp_diag diag = {""};
    assert_int_equal(dp_request_number(ping, "--count"), 5); // the fallback
    assert_false(dp_request_given(ping, "--count"));
    assert_int_equal(dp_request_set(ping, "--count", "7", &diag), 0);
    assert_int_equal(dp_request_number(ping, "--count"), 7);
    assert_int_equal(dp_request_set(ping, "--interval", "0.25", &diag), 0);
    assert_int_equal(dp_request_ms(ping, "--interval"), 250);
    assert_int_equal(dp_request_set(ping, "--df", NULL, &diag), 0);
    assert_true(dp_request_flag(ping, "--df"));
    assert_int_equal(dp_request_set(ping, "-6", NULL, &diag), 0);
    assert_int_equal(dp_request_family(ping), AF_INET6);
    static const char *const bad[][2] = {{"--count", "0"},     {"--count", "x"},    {"--count", ""},
                                         {"--count", "-1"},    {"--interval", "x"}, {"--interval", "9999"},
                                         {"--nope", "1"},      {"--df", "1"},       {"--count", "1\n"},
                                         {"--source", "\xff"}, {"--count", NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diag.text[0] = '\0';
        assert_int_equal(dp_request_set(ping, bad[i][0], bad[i][1], &diag), DP_ERR_USAGE);
        assert_non_null(strstr(diag.text, bad[i][0]));
    }
    assert_int_equal(dp_request_number(ping, "--count"), 7);
    dp_request_free(ping);
}

static void test_lists_and_words(void **state)
{
    (void)state;
    struct dp_request *dns = request("dns"), *trace = request("trace");
    assert_int_equal(dp_request_set(dns, "--server", "192.0.2.1", NULL), 0);
    assert_int_equal(dp_request_set(dns, "--server", "192.0.2.2", NULL), 0);
    assert_int_equal(dp_request_list_size(dns, "--server"), 2);
    assert_string_equal(dp_request_list(dns, "--server", 1), "192.0.2.2");
    for (int i = 0; i < 62; i++)
        assert_int_equal(dp_request_set(dns, "--server", "192.0.2.2", NULL), 0);
    assert_int_equal(dp_request_set(dns, "--server", "192.0.2.2", NULL), DP_ERR_USAGE);
    assert_int_equal(dp_request_set(trace, "--mode", "udp", NULL), 0);
    assert_int_equal(dp_request_set(trace, "--mode", "ud", NULL), DP_ERR_USAGE);
    assert_int_equal(dp_request_set(trace, "--mode", "tcp|udp", NULL), DP_ERR_USAGE);
    dp_request_free(dns);
    dp_request_free(trace);
}

static void check_fails(const char *kind, const char *target, const char *options[][2], int code)
{
    struct dp_request *made = request(kind);
    if (target)
        assert_int_equal(dp_request_set_target(made, target, NULL), 0);
    for (; options && (*options)[0]; options++)
        assert_int_equal(dp_request_set(made, (*options)[0], (*options)[1], NULL), 0);
    assert_int_equal(dp_request_check(made, NULL), code);
    dp_request_free(made);
}

static void test_checks(void **state)
{
    (void)state;
    check_fails("tcp", NULL, NULL, DP_ERR_USAGE);
    check_fails("tcp", "x:1", NULL, 0);
    check_fails("link", NULL, NULL, 0);
    const char *both[][2] = {{"-4", NULL}, {"-6", NULL}, {NULL, NULL}};
    check_fails("tcp", "x:1", both, DP_ERR_USAGE);
    const char *family[][2] = {{"-6", NULL}, {"--source", "192.0.2.1"}, {NULL, NULL}};
    check_fails("tcp", "x:1", family, DP_ERR_USAGE);
    const char *absent[][2] = {{"--interface", "nosuchif0"}, {NULL, NULL}};
    check_fails("tcp", "x:1", absent, DP_ERR_INTERFACE);
    const char *source[][2] = {{"--source", "here"}, {NULL, NULL}};
    check_fails("tcp", "x:1", source, DP_ERR_USAGE);
    struct dp_request *made = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_request_new("nonsense", &made, &diag), DP_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "smtp"));
    made = request("tcp");
    assert_int_equal(dp_request_set_target(made, "a\nb", NULL), DP_ERR_USAGE);
    assert_int_equal(dp_request_set_target(made, "", NULL), DP_ERR_USAGE);
    dp_request_free(made);
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"mx.example.net:25", "mx.example.net", 25}, {"192.0.2.1", "192.0.2.1", 0},
                {"[2001:db8::1]:587", "2001:db8::1", 587},   {"2001:db8::1", "2001:db8::1", 0},
                {"[2001:db8::1]", "2001:db8::1", 0},         {"host:65535", "host", 65535}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct dp_host_port got;
        assert_int_equal(dp_host_port_parse(good[i].text, &got, NULL), 0);
        assert_string_equal(got.host, good[i].host);
        assert_int_equal(got.port, good[i].port);
    }
    static const char *const bad[] = {
        "",         ":25",       "host:",       "host:0",   "host:65536", "host:x", "[::1", "[::1]25",
        "ho st:25", "http://x/", "2001:db8::g", "host:25x", "[host]x",    "a@b:25", "1:2:3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dp_host_port got;
        assert_int_equal(dp_host_port_parse(bad[i], &got, NULL), DP_ERR_USAGE);
    }
}

static void test_private(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool hidden;
    } cases[] = {{"10.1.2.3", true},   {"172.16.0.1", true},   {"172.32.0.1", false},  {"192.168.9.9", true},
                 {"100.64.0.1", true}, {"100.128.0.1", false}, {"127.0.0.1", true},    {"169.254.1.1", true},
                 {"192.0.2.1", false}, {"fd00::1", true},      {"2001:db8::1", false}, {"::1", true},
                 {"fe80::1", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union dp_address address;
        assert_int_equal(dp_address_parse(cases[i].text, 0, &address), 0);
        assert_int_equal(dp_address_is_private(&address), cases[i].hidden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_lists_and_words),
                                       cmocka_unit_test(test_checks), cmocka_unit_test(test_targets),
                                       cmocka_unit_test(test_private)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
