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

static int ask(const char *policy_text, const char *kind, const char *place, const char *file,
               struct dp_diag *diag)
{
    struct dp_policy *policy = NULL;
    assert_int_equal(load(policy_text, &policy, diag), DP_OK);
    const struct dp_probe_wish wish = {.kind = kind,
                                       .places = &place,
                                       .place_count = place != NULL,
                                       .files = &file,
                                       .file_count = file != NULL,
                                       .timeout_ms = 20000,
                                       .running = 3,
                                       .last_minute = 5};
    int code = dp_policy_probe(policy, &wish, diag);
    dp_policy_free(policy);
    return code;
}

static void test_each_rule(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *kind, *place, *file;
        int code;
        const char *said;
    } cases[] = {
        {"ring: true\n", "tcp", "mx.example.net", NULL, DP_OK, NULL},
        {"ring: true\n", "smtp", "mx.example.net", "/etc/droppoint/auth", DP_ERR_DENIED, "probe_files"},
        {"probe_files: [/etc/droppoint/auth]\n", "smtp", "mx.example.net", "/etc/droppoint/auth", DP_OK,
         NULL},
        {"probe_files: ['/etc/droppoint/*']\n", "smtp", NULL, "/etc/droppoint/a/b", DP_ERR_DENIED,
         "probe_files"},
        {"probe_files: ['/etc/droppoint/*/*']\n", "smtp", NULL, "/etc/droppoint/../shadow", DP_ERR_DENIED,
         "probe_files"},
        {"probes: [tcp, ping]\n", "tcp", "mx.example.net", NULL, DP_OK, NULL},
        {"probes: [tcp, ping]\n", "tls", "mx.example.net", NULL, DP_ERR_DENIED, "probe tls"},
        {"probes: [none]\n", "tcp", NULL, NULL, DP_ERR_DENIED, "key probes"},
        {"probe_targets: ['*.example.net']\n", "tcp", "MX.example.NET", NULL, DP_OK, NULL},
        {"probe_targets: ['*.example.net']\n", "tcp", "mx.example.org", NULL, DP_ERR_DENIED,
         "mx.example.org"},
        {"probe_targets: ['*.example.net']\n", "tcp", "192.0.2.1", NULL, DP_ERR_DENIED, "192.0.2.1"},
        {"probe_targets: ['1*']\n", "tcp", "192.0.2.1", NULL, DP_ERR_DENIED, "192.0.2.1"},
        {"probe_targets: ['*']\n", "tcp", "192.0.2.1", NULL, DP_OK, NULL},
        {"probe_targets: [192.0.2.0/25]\n", "tcp", "192.0.2.1", NULL, DP_OK, NULL},
        {"probe_targets: [192.0.2.0/25]\n", "tcp", "192.0.2.129", NULL, DP_ERR_DENIED, "192.0.2.129"},
        {"probe_targets: [192.0.2.0/25]\n", "arp", "192.0.2.0/24", NULL, DP_ERR_DENIED, "192.0.2.0/24"},
        {"probe_targets: [192.0.2.0/25]\n", "arp", "192.0.2.64/26", NULL, DP_OK, NULL},
        {"probe_targets: [192.0.2.0/25]\n", "tcp", "mx.example.net", NULL, DP_ERR_DENIED, "mx.example.net"},
        {"probe_targets: ['2001:db8::/33']\n", "tcp", "2001:db8:7fff::1", NULL, DP_OK, NULL},
        {"probe_targets: ['2001:db8::/33']\n", "tcp", "2001:db8:8000::1", NULL, DP_ERR_DENIED,
         "2001:db8:8000::1"},
        {"probe_targets: ['2001:db8::/33']\n", "tcp", "32.1.13.184", NULL, DP_ERR_DENIED, "32.1.13.184"},
        {"probe_targets: [192.0.2.7]\n", "tcp", NULL, NULL, DP_OK, NULL},
        {"max_probe_seconds: 20\n", "tcp", NULL, NULL, DP_OK, NULL},
        {"max_probe_seconds: 19\n", "tcp", NULL, NULL, DP_ERR_DENIED, "19 seconds"},
        {"max_probes_at_once: 3\n", "tcp", NULL, NULL, DP_ERR_DENIED, "3 probes at once"},
        {"max_probes_at_once: 4\n", "tcp", NULL, NULL, DP_OK, NULL},
        {"max_probes_per_minute: 5\n", "tcp", NULL, NULL, DP_ERR_DENIED, "5 probes a minute"},
        {"max_probes_per_minute: 6\n", "tcp", NULL, NULL, DP_OK, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_diag diag = {""};
        int code = ask(cases[i].policy, cases[i].kind, cases[i].place, cases[i].file, &diag);
        if (code != cases[i].code || (cases[i].said && !strstr(diag.text, cases[i].said)))
            fail_msg("case %zu (%s): %d, %s", i, cases[i].policy, code, diag.text);
    }
}

static void test_a_prefix_that_is_none(void **state)
{
    (void)state;
    struct dp_policy *policy = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(load("probe_targets: [192.0.2.0/33]\n", &policy, &diag), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, "192.0.2.0/33"));
    assert_int_equal(load("max_probes_at_once: many\n", &policy, &diag), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, "max_probes_at_once"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_rule),
        cmocka_unit_test(test_a_prefix_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
