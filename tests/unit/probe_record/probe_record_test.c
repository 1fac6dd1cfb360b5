#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/probe_record/probe_record.h"

static json_t *sample(void)
{
    return json_pack("{s:s, s:s, s:f, s:s, s:s, s:s, s:s, s:{s:i}}", "agent", "mx1", "started_at",
                     "2026-01-02T03:04:05.678901Z", "duration_ms", 12.3, "status", "critical", "class",
                     "refused", "summary", "192.0.2.1 refuses", "next_step", "Ask.", "data", "connect_ms", 1);
}

static int pass(json_t *record, json_t **ret_back, struct dp_diag *diag)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_probe_record_encode(record, &bytes, &len), DP_OK);
    int code = dp_probe_record_decode(bytes, len, ret_back, diag);
    free(bytes);
    return code;
}

static void test_round_trip(void **state)
{
    (void)state;
    json_t *result = sample(), *back = NULL;
    json_t *record = dp_probe_record_result(7, result);
    assert_int_equal(pass(record, &back, NULL), DP_OK);
    assert_true(json_equal(record, back));
    json_decref(back);
    json_decref(record);
    json_decref(result);
    record = dp_probe_record_error(7, DP_ERR_NOT_FOUND, "no such name");
    assert_int_equal(pass(record, &back, NULL), DP_OK);
    assert_string_equal(json_string_value(json_object_get(back, "error")), "not-found");
    json_decref(back);
    json_decref(record);
}

/* Each field of another type or outside its bounds is named. */
static void test_each_field_is_checked(void **state)
{
    (void)state;
    static const char *const fields[] = {"agent", "started_at", "duration_ms", "status",
                                         "class", "summary",    "next_step",   "data"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_t *result = sample(), *back = NULL;
        struct dp_diag diag = {""};
        json_object_set_new(result, fields[i], json_null());
        json_t *record = dp_probe_record_result(7, result);
        assert_int_equal(pass(record, &back, &diag), DP_ERR_FORMAT);
        assert_non_null(strstr(diag.text, fields[i]));
        json_decref(record);
        json_decref(result);
    }
    static const char *const values[][2] = {
        {"status", "fine"}, {"class", "Open Relay"}, {"class", ""}, {"agent", ""}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *result = sample(), *back = NULL;
        json_object_set_new(result, values[i][0], json_string(values[i][1]));
        json_t *record = dp_probe_record_result(7, result);
        assert_int_equal(pass(record, &back, NULL), DP_ERR_FORMAT);
        json_decref(record);
        json_decref(result);
    }
}

static void test_bytes_that_are_none(void **state)
{
    (void)state;
    json_t *back = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_probe_record_decode((const uint8_t *)"dpb\2xx", 6, &back, &diag), DP_ERR_FORMAT);
    assert_int_equal(dp_probe_record_decode((const uint8_t *)"dpr\2xx", 6, &back, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "version 2"));
    assert_int_equal(dp_probe_record_decode((const uint8_t *)"dpr\1", 4, &back, &diag), DP_ERR_FORMAT);
    json_t *record = dp_probe_record_error(1, DP_ERR_IO, "x");
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_probe_record_encode(record, &bytes, &len), DP_OK);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(dp_probe_record_decode(bytes, cut, &back, NULL), DP_ERR_FORMAT);
    free(bytes);
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_each_field_is_checked),
        cmocka_unit_test(test_bytes_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
