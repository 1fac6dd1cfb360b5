#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/probe/dns/spf.h"
#include "agent/probe/dns/spf_macro.h"

/* A small DNS: name, type, data. */
struct record {
    const char *name;
    uint16_t type;
    const char *data;
};

static enum dp_spf_result run(const struct record *records, const char *address, unsigned *ret_lookups,
                              unsigned *ret_voids, char *ret_why)
{
    struct dp_spf *spf = NULL;
    const char *name;
    uint16_t type;
    unsigned steps = 0;
    assert_int_equal(dp_spf_new("example.net", address, &spf), 0);
    while (dp_spf_wants(spf, &name, &type)) {
        struct dp_dns_record found[16];
        struct dp_dns_message message = {.records = found};
        bool fails = false;
        assert_true(++steps < 100);
        for (const struct record *r = records; r->name; r++) {
            if (strcmp(r->name, name) != 0 || r->type != type)
                continue;
            fails = fails || !r->data;
            struct dp_dns_record *one = &found[message.count++];
            *one = (struct dp_dns_record){
                .section = DP_DNS_ANSWER, .type = type, .data = (char *)(uintptr_t)r->data};
            if (r->data)
                strncpy(one->target, r->data, sizeof one->target - 1);
        }
        dp_spf_answer(spf, !fails, &message);
    }
    enum dp_spf_result result = dp_spf_outcome(spf);
    if (ret_lookups)
        *ret_lookups = dp_spf_lookups(spf);
    if (ret_voids)
        *ret_voids = dp_spf_voids(spf);
    if (ret_why)
        strcpy(ret_why, dp_spf_why(spf));
    dp_spf_free(spf);
    return result;
}

#define TXT DP_DNS_TXT
#define A DP_DNS_A
#define MX DP_DNS_MX

static void check(const char *record, const char *address, enum dp_spf_result wanted)
{
    const struct record records[] = {{"example.net", TXT, record},
                                     {"example.net", A, "192.0.2.80"},
                                     {"example.net", MX, "mx1.example.net"},
                                     {"example.net", MX, "mx2.example.net"},
                                     {"mx1.example.net", A, "192.0.2.10"},
                                     {"mx2.example.net", A, "192.0.2.11"},
                                     {"inc.example.net", TXT, "v=spf1 ip4:198.51.100.0/24 -all"},
                                     {"soft.example.net", TXT, "v=spf1 ~all"},
                                     {"red.example.net", TXT, "v=spf1 ip4:203.0.113.7 -all"},
                                     {"9.2.0.192.x.example.net", A, "127.0.0.2"},
                                     {"9.2.0.192.in-addr.arpa", DP_DNS_PTR, "host.example.net"},
                                     {"host.example.net", A, "192.0.2.9"},
                                     {"broken.example.net", TXT, NULL},
                                     {NULL, 0, NULL}};
    enum dp_spf_result got = run(records, address, NULL, NULL, NULL);
    if (got != wanted)
        fail_msg("%s for %s: %s, not %s", record, address, dp_spf_result_name(got),
                 dp_spf_result_name(wanted));
}

static void test_results(void **state)
{
    (void)state;
    check("no spf", "192.0.2.1", DP_SPF_NONE);
    check("v=spf10 -all", "192.0.2.1", DP_SPF_NONE);
    check("v=spf1 -all", "192.0.2.1", DP_SPF_FAIL);
    check("v=spf1 ~all", "192.0.2.1", DP_SPF_SOFTFAIL);
    check("v=spf1 ?all", "192.0.2.1", DP_SPF_NEUTRAL);
    check("v=spf1", "192.0.2.1", DP_SPF_NEUTRAL);
    check("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.1", DP_SPF_PASS);
    check("v=spf1 ip4:192.0.2.0/25 -all", "192.0.2.129", DP_SPF_FAIL);
    check("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::9", DP_SPF_PASS);
    check("v=spf1 ip6:2001:db8::/32 -all", "192.0.2.1", DP_SPF_FAIL);
    check("v=spf1 -ip4:192.0.2.1 +all", "192.0.2.1", DP_SPF_FAIL);
    check("v=spf1 a -all", "192.0.2.80", DP_SPF_PASS);
    check("v=spf1 a/28 -all", "192.0.2.90", DP_SPF_PASS);
    check("v=spf1 a:mx1.example.net -all", "192.0.2.10", DP_SPF_PASS);
    check("v=spf1 MX -all", "192.0.2.11", DP_SPF_PASS);
    check("v=spf1 mx -all", "192.0.2.12", DP_SPF_FAIL);
    check("v=spf1 include:inc.example.net -all", "198.51.100.7", DP_SPF_PASS);
    check("v=spf1 ~include:inc.example.net -all", "198.51.100.7", DP_SPF_SOFTFAIL);
    check("v=spf1 include:inc.example.net ?all", "192.0.2.7",
          DP_SPF_NEUTRAL); // the inner fail does not match
    check("v=spf1 include:soft.example.net ip4:192.0.2.7 -all", "192.0.2.7", DP_SPF_PASS);
    check("v=spf1 redirect=red.example.net", "203.0.113.7", DP_SPF_PASS);
    check("v=spf1 redirect=red.example.net", "203.0.113.8", DP_SPF_FAIL);
    check("v=spf1 redirect=red.example.net -all", "203.0.113.7", DP_SPF_FAIL); // all comes first
    check("v=spf1 exists:%{ir}.x.example.net -all", "192.0.2.9", DP_SPF_PASS);
    check("v=spf1 exists:%{ir}.x.example.net -all", "192.0.2.8", DP_SPF_FAIL);
    check("v=spf1 ptr -all", "192.0.2.9", DP_SPF_PASS);
    check("v=spf1 ptr:other.test -all", "192.0.2.9", DP_SPF_FAIL);
    check("v=spf1 exp=why.example.net foo=bar -all", "192.0.2.9", DP_SPF_FAIL);
    check("v=spf1 include:broken.example.net -all", "192.0.2.9", DP_SPF_TEMPERROR);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "v=spf1 include:none.example.net -all", "v=spf1 include -all", "v=spf1 nonsense -all",
        "v=spf1 ip4:192.0.2.0/33 -all",         "v=spf1 ip4:x -all",   "v=spf1 ip4 -all",
        "v=spf1 a:%{z}.example.net -all",       "v=spf1 a/40 -all",    "v=spf1 redirect=none.example.net",
        "v=spf1 include:example.net -all"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check(bad[i], "203.0.113.99", DP_SPF_PERMERROR);
    const struct record two[] = {
        {"example.net", TXT, "v=spf1 -all"}, {"example.net", TXT, "v=spf1 +all"}, {NULL, 0, NULL}};
    assert_int_equal(run(two, "192.0.2.1", NULL, NULL, NULL), DP_SPF_PERMERROR);
}

static void test_limits(void **state)
{
    (void)state;
    char why[300];
    unsigned lookups, voids;
    const struct record ten[] = {{"example.net", TXT, "v=spf1 a a a a a a a a a a -all"},
                                 {"example.net", A, "192.0.2.80"},
                                 {NULL, 0, NULL}};
    assert_int_equal(run(ten, "192.0.2.1", &lookups, &voids, why), DP_SPF_FAIL);
    assert_int_equal(lookups, 10);
    assert_int_equal(voids, 0);
    const struct record eleven[] = {{"example.net", TXT, "v=spf1 a a a a a a a a a a mx -all"},
                                    {"example.net", A, "192.0.2.80"},
                                    {NULL, 0, NULL}};
    assert_int_equal(run(eleven, "192.0.2.1", &lookups, NULL, why), DP_SPF_PERMERROR);
    assert_non_null(strstr(why, "10 DNS lookups"));
    const struct record empty[] = {
        {"example.net", TXT, "v=spf1 a:x.test a:y.test ip4:192.0.2.1 a:z.test -all"}, {NULL, 0, NULL}};
    assert_int_equal(run(empty, "192.0.2.1", NULL, &voids, NULL), DP_SPF_PASS);
    assert_int_equal(voids, 2);
    assert_int_equal(run(empty, "192.0.2.2", NULL, NULL, why), DP_SPF_PERMERROR);
    assert_non_null(strstr(why, "without an answer"));
    // what it costs at worst: nothing matches, every term is looked at
    const struct record nested[] = {{"example.net", TXT, "v=spf1 include:a.test a -all"},
                                    {"a.test", TXT, "v=spf1 mx:b.test +all"},
                                    {"b.test", MX, "m.test"},
                                    {"m.test", A, "192.0.2.5"},
                                    {"example.net", A, "192.0.2.80"},
                                    {NULL, 0, NULL}};
    assert_int_equal(run(nested, NULL, &lookups, &voids, NULL), DP_SPF_FAIL);
    assert_int_equal(lookups, 3);
}

static void test_macros(void **state)
{
    (void)state;
    char out[DP_DNS_NAME];
    struct dp_spf_names names = {"192.0.2.3", "strong-bad.example.com", "email.example.com"};
    static const struct {
        const char *spec, *wanted;
    } cases[] = {{"%{d}", "email.example.com"},
                 {"%{d2}", "example.com"},
                 {"%{dr}", "com.example.email"},
                 {"%{d2r}", "example.email"},
                 {"%{l-}", "postmaster"},
                 {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
                 {"%%.%_x", "%. x"},
                 {"%{o}", "strong-bad.example.com"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(dp_spf_expand(cases[i].spec, &names, out));
        assert_string_equal(out, cases[i].wanted);
    }
    static const char *const bad[] = {"%", "%{", "%{d", "%{x}", "%{d0}", "%a", "%{dx}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(dp_spf_expand(bad[i], &names, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results), cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_macros)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
