#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/policy/policy.h"

static int load(const char *text, struct dp_policy **ret_policy, struct dp_diag *diag)
{
    char path[] = "/tmp/droppoint-policy-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    int code = dp_policy_load(path, ret_policy, diag);
    (void)unlink(path);
    return code;
}

static const struct dp_policy_request ordinary = {
    .interface = "eth0", .filter = "port 25", .snaplen = 96, .duration_ms = 30000, .ring_bytes = 1 << 20};

static void test_defaults_allow_and_keep_payload(void **state)
{
    (void)state;
    struct dp_policy *policy;
    struct dp_policy_grant grant;
    assert_int_equal(dp_policy_load(NULL, &policy, NULL), DP_OK);
    assert_int_equal(dp_policy_capture(policy, &ordinary, &grant, NULL), DP_OK);
    assert_string_equal(grant.filter, "port 25");
    assert_int_equal(grant.ring_bytes, 1 << 20);
    assert_int_equal(dp_policy_payload(policy), DP_PAYLOAD_HEADERS);
    assert_true(dp_policy_smtp_reply_text(policy));
    dp_policy_grant_free(&grant);
    dp_policy_free(policy);
}

static void test_each_rule_refuses_or_narrows(void **state)
{
    (void)state;
    struct rule_case {
        const char *policy;
        struct dp_policy_request request;
        int code;
        const char *said;   /* in the diag, where refused */
        const char *filter; /* in force, where allowed */
    } cases[] = {
        {"interfaces: [eth0, 'veth*']\n", ordinary, DP_OK, NULL, "port 25"},
        {"interfaces: [eth0, 'veth*']\n", ordinary, DP_OK, NULL, "port 25"},
        {"interfaces: [eth1]\n", ordinary, DP_ERR_DENIED, "interface eth0", NULL},
        {"max_duration_seconds: 29\n", ordinary, DP_ERR_DENIED, "29 seconds", NULL},
        {"max_duration_seconds: 30\n", ordinary, DP_OK, NULL, "port 25"},
        {"max_snaplen: 95\n", ordinary, DP_ERR_DENIED, "95 bytes", NULL},
        {"max_snaplen: 96\n", ordinary, DP_OK, NULL, "port 25"},
        {"filter: tcp\n", ordinary, DP_OK, NULL, "(tcp) and (port 25)"},
        {"filter: ''\n", ordinary, DP_OK, NULL, "port 25"},
        {"filter: tcp\n", {"eth0", "tcp) or (udp", 96, 1, 0}, DP_ERR_FILTER, "parentheses", NULL},
        {"filter: tcp\n", {"eth0", "(udp", 96, 1, 0}, DP_ERR_FILTER, "parentheses", NULL},
        {"filter: tcp\n", {"eth0", "", 96, 1, 0}, DP_OK, NULL, "tcp"},
        {"filter: tcp\n", {"eth0", "  ", 96, 1, 0}, DP_OK, NULL, "tcp"},
        {"filter: tcp or udp\n",
         {"eth0", "host 192.0.2.1 or port 25", 96, 1, 0},
         DP_OK,
         NULL,
         "(tcp or udp) and (host 192.0.2.1 or port 25)"},
    };
    cases[1].request.interface = "veth7";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_policy *policy;
        struct dp_policy_grant grant;
        struct dp_diag diag = {""};
        assert_int_equal(load(cases[i].policy, &policy, &diag), DP_OK);
        int code = dp_policy_capture(policy, &cases[i].request, &grant, &diag);
        if (code != cases[i].code || (code != DP_OK && !strstr(diag.text, cases[i].said)))
            fail_msg("%s: %d %s", cases[i].policy, code, diag.text);
        if (code == DP_OK) {
            assert_string_equal(grant.filter, cases[i].filter);
            dp_policy_grant_free(&grant);
        }
        dp_policy_free(policy);
    }
}

static void test_ring_payload_and_reply_text(void **state)
{
    (void)state;
    struct dp_policy *policy;
    struct dp_policy_grant grant;
    assert_int_equal(load("ring: false\npayload: never\nsmtp_reply_text: no\n", &policy, NULL), DP_OK);
    assert_int_equal(dp_policy_capture(policy, &ordinary, &grant, NULL), DP_OK);
    assert_int_equal(grant.ring_bytes, 0);
    assert_int_equal(dp_policy_payload(policy), DP_PAYLOAD_NEVER);
    assert_false(dp_policy_smtp_reply_text(policy));
    dp_policy_grant_free(&grant);
    dp_policy_free(policy);
    assert_int_equal(load("payload: full\n", &policy, NULL), DP_OK);
    assert_int_equal(dp_policy_payload(policy), DP_PAYLOAD_FULL);
    dp_policy_free(policy);
}

static void test_bad_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"payload: sometimes\n", "line 1: key \"payload\""},
        {"payload: 0\n", "line 1: key \"payload\""},
        {"schedule:\n  rate: 1\n", "unknown key \"schedule\""},
        {"filter: prot 25\n", "key \"filter\""},
        {"filter: (tcp\n", "key \"filter\""},
        {"filter: tcp) or (udp\n", "key \"filter\""},
        {"max_duration_seconds: 0\n", "max_duration_seconds"},
        {"max_snaplen: 96k\n", "max_snaplen"},
        {"ring: perhaps\n", "key \"ring\""},
        {"interfaces: eth0\n", "key \"interfaces\""},
        {"interfaces: []\n", "interfaces"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_policy *policy = NULL;
        struct dp_diag diag = {""};
        int code = load(cases[i].text, &policy, &diag);
        if (code != DP_ERR_USAGE || !strstr(diag.text, cases[i].said))
            fail_msg("%s: %d %s", cases[i].text, code, diag.text);
        assert_null(policy);
    }
    struct dp_policy *policy = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_policy_load("/nonexistent/policy.yaml", &policy, &diag), DP_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_allow_and_keep_payload),
        cmocka_unit_test(test_each_rule_refuses_or_narrows),
        cmocka_unit_test(test_ring_payload_and_reply_text),
        cmocka_unit_test(test_bad_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
