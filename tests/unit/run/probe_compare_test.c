#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "collector/run/probe_compare.h"

static json_t *result(const char *agent, const char *class, const char *status, const char *data)
{
    json_t *parsed = json_loads(data, 0, NULL);
    assert_non_null(parsed);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "agent", agent, "class", class, "status", status, "summary",
                     "as it was", "data", parsed);
}

/* Takes the results over. */
static void expect(const char *kind, json_t *results, const char *path, int agree, const char *summary)
{
    json_t *comparison = dp_probe_compare(kind, results, path);
    assert_non_null(comparison);
    assert_int_equal(json_is_true(json_object_get(comparison, "agree")), agree);
    assert_string_equal(json_string_value(json_object_get(comparison, "summary")), summary);
    json_decref(comparison);
    json_decref(results);
}

static void test_one_alone_is_not_compared(void **state)
{
    (void)state;
    json_t *results = json_pack("[o]", result("mx1", "open", "ok", "{}"));
    assert_null(dp_probe_compare("tcp", results, NULL));
    json_decref(results);
}

static void test_all_the_same(void **state)
{
    (void)state;
    expect("tcp", json_pack("[o, o]", result("mx1", "open", "ok", "{}"), result("lb1", "open", "ok", "{}")),
           NULL, 1, "mx1 and lb1 both reach it");
    expect("tcp",
           json_pack("[o, o, o]", result("mx1", "filtered", "critical", "{}"),
                     result("lb1", "filtered", "critical", "{}"),
                     result("edge1", "filtered", "critical", "{}")),
           "mail", 1, "mx1, lb1 and edge1 all say filtered");
    expect("queue", json_pack("[o, o]", result("mx1", "ok", "ok", "{}"), result("mx2", "ok", "ok", "{}")),
           NULL, 1, "mx1 and mx2 both find no fault");
}

static void test_where_it_changes(void **state)
{
    (void)state;
    const char *icmp = "{\"icmp_type\": 3, \"icmp_code\": 13, \"icmp_from\": \"203.0.113.1\"}";
    expect("tcp",
           json_pack("[o, o, o]", result("mx1", "unreachable", "critical", icmp),
                     result("lb1", "open", "ok", "{}"), result("edge1", "open", "ok", "{}")),
           "mail", 0,
           "lb1 and edge1 reach it; mx1 does not: unreachable, ICMP 3/13 from 203.0.113.1. Along the path "
           "mail it "
           "changes between mx1 and lb1");
    /* The same class from another sender is another finding. */
    const char *other = "{\"icmp_type\": 3, \"icmp_code\": 13, \"icmp_from\": \"198.51.100.1\"}";
    expect("tcp",
           json_pack("[o, o]", result("mx1", "unreachable", "critical", icmp),
                     result("lb1", "unreachable", "critical", other)),
           NULL, 0, "mx1 says as it was; lb1 says as it was");
    expect("tcp",
           json_pack("[o, o]", result("mx1", "refused", "critical", "{}"),
                     result("lb1", "filtered", "critical", "{}")),
           NULL, 0, "mx1 says refused; lb1 says filtered");
}

static void test_split_dns(void **state)
{
    (void)state;
    const char *inside =
        "{\"servers\": [{\"questions\": [{\"name\": \"mx.example.net\", \"type\": \"A\", \"answers\": "
        "[{\"data\": \"192.0.2.1\", \"ttl\": 5}, {\"data\": \"192.0.2.2\", \"ttl\": 5}]}]}]}";
    const char *turned =
        "{\"servers\": [{\"questions\": [{\"name\": \"mx.example.net\", \"type\": \"A\", \"answers\": "
        "[{\"data\": \"192.0.2.2\", \"ttl\": 4}, {\"data\": \"192.0.2.1\", \"ttl\": 4}]}]}]}";
    const char *outside =
        "{\"servers\": [{\"questions\": [{\"name\": \"mx.example.net\", \"type\": \"A\", \"answers\": "
        "[{\"data\": \"198.51.100.1\", \"ttl\": 5}]}]}]}";
    expect("dns",
           json_pack("[o, o]", result("mx1", "consistent", "ok", inside),
                     result("lb1", "consistent", "ok", turned)),
           NULL, 1, "mx1 and lb1 both see it right");
    expect("dns",
           json_pack("[o, o]", result("mx1", "consistent", "ok", inside),
                     result("edge1", "consistent", "ok", outside)),
           NULL, 0, "mx1 says as it was; edge1 says as it was. Their answers differ");
}

static void test_a_crowd(void **state)
{
    (void)state;
    json_t *results = json_array();
    for (int i = 0; i < 300; i++) {
        char name[64], data[64];
        snprintf(name, sizeof name, "agent-with-a-long-name-%03d", i);
        snprintf(data, sizeof data, "{\"largest\": %d}", i);
        json_array_append_new(results, result(name, "reduced", "warning", data));
    }
    json_t *comparison = dp_probe_compare("mtu", results, "mail");
    assert_true(json_is_false(json_object_get(comparison, "agree")));
    json_decref(comparison);
    json_decref(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_alone_is_not_compared),
        cmocka_unit_test(test_all_the_same),
        cmocka_unit_test(test_where_it_changes),
        cmocka_unit_test(test_split_dns),
        cmocka_unit_test(test_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
