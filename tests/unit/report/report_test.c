#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/report/report_out.h"
#include "sample.h"

#define GOLDEN_JSON DP_TEST_DATA "/locate/report.json"
#define GOLDEN_TEXT DP_TEST_DATA "/locate/report.txt"

/* With this in the environment the golden files are written anew; look at the difference before committing
 * it. */
static int update_golden(void)
{
    return getenv("DROPPOINT_UPDATE_GOLDEN") != NULL;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s is missing", path);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    size_t len = fread(text, 1, 65535, file);
    assert_true(len > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* Text, not just values: also the order of members and the numbers' precision stay as they are. */
static void test_document_is_as_agreed(void **state)
{
    (void)state;
    json_t *document = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    char *text = json_dumps(document, DP_REPORT_JSON_FLAGS);
    assert_non_null(text);
    if (update_golden())
        write_file(GOLDEN_JSON, text);
    char *golden = read_file(GOLDEN_JSON);
    assert_string_equal(text, golden);
    free(golden);
    free(text);
    json_decref(document);
}

static const json_t *at(const json_t *document, const char *list, size_t index)
{
    return json_array_get(json_object_get(document, list), index);
}

/* What the contract says in words. */
static void test_members_that_may_be_missing(void **state)
{
    (void)state;
    json_t *document = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    assert_true(json_is_null(json_object_get(at(document, "vantages", 0), "capture_dropped")));
    assert_int_equal(json_integer_value(json_object_get(at(document, "vantages", 2), "capture_dropped")), 0);
    assert_true(json_is_null(json_object_get(at(document, "vantages", 2), "clock_error_ns")));
    assert_int_equal(json_integer_value(json_object_get(at(document, "findings", 0), "size_over")), 1400);
    assert_null(json_object_get(at(document, "findings", 1), "size_over"));
    assert_string_equal(json_string_value(json_object_get(at(document, "findings", 1), "to")), "beyond");
    assert_string_equal(json_string_value(json_object_get(at(document, "findings", 2), "from")), "before");
    assert_true(json_is_null(json_object_get(at(document, "findings", 2), "pattern")));
    assert_null(json_object_get(at(document, "findings", 1), "smtp_reply"));
    const json_t *reply = json_object_get(at(document, "findings", 0), "smtp_reply");
    assert_int_equal(json_integer_value(json_object_get(reply, "code")), 421);
    assert_string_equal(json_string_value(json_object_get(reply, "text")),
                        "4.4.2 mx.example.net timeout ? exceeded");
    json_decref(document);
}

static void test_clean_verdict_has_no_finding(void **state)
{
    (void)state;
    struct dp_report report = {
        .verdict = DP_CODE_CLEAN, .verdict_finding = -1, .verdict_summary = "All well."};
    json_t *document = NULL;
    assert_int_equal(dp_report_json(&report, &document), DP_OK);
    assert_true(json_is_null(json_object_get(json_object_get(document, "verdict"), "finding")));
    assert_int_equal(dp_report_document_exit_code(document), 0);
    json_decref(document);
}

static void check_exit_code(const char *code, int expected)
{
    json_t *document = json_pack("{s:{s:s}}", "verdict", "code", code);
    assert_non_null(document);
    assert_int_equal(dp_report_document_exit_code(document), expected);
    json_decref(document);
}

static void test_exit_codes(void **state)
{
    (void)state;
    check_exit_code("clean", 0);
    check_exit_code("loss", 1);
    check_exit_code("rewrite", 1);
    check_exit_code("inconclusive", 3);
    json_t *document = json_object();
    assert_int_equal(dp_report_document_exit_code(document), DP_ERR_FORMAT);
    json_decref(document);
    assert_int_equal(dp_report_document_exit_code(NULL), DP_ERR_FORMAT);
}

static void test_text_is_as_agreed(void **state)
{
    (void)state;
    json_t *document = NULL;
    char *text = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    assert_int_equal(dp_report_text(document, false, &text), DP_OK);
    if (update_golden())
        write_file(GOLDEN_TEXT, text);
    char *golden = read_file(GOLDEN_TEXT);
    assert_string_equal(text, golden);
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        assert_true(len <= 110);
        line += len + (line[len] == '\n');
    }
    free(golden);
    free(text);
    json_decref(document);
}

/* Colour adds escape sequences and nothing else. */
static void test_colour(void **state)
{
    (void)state;
    json_t *document = NULL;
    char *plain = NULL;
    char *coloured = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    assert_int_equal(dp_report_text(document, false, &plain), DP_OK);
    assert_int_equal(dp_report_text(document, true, &coloured), DP_OK);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strchr(coloured, '\033'));
    char *to = coloured;
    for (const char *from = coloured; *from;) {
        if (*from == '\033')
            from = strchr(from, 'm') + 1;
        else
            *to++ = *from++;
    }
    *to = '\0';
    assert_string_equal(coloured, plain);
    free(coloured);
    free(plain);
    json_decref(document);
}

/* A reply that a server sent, or a name from the command line, must not steer the terminal. */
static void test_control_characters_stay_out(void **state)
{
    (void)state;
    struct dp_report report = *sample_report();
    struct dp_vantage_report vantage = {.name = (char[]){"a\033[2Jb"}};
    struct dp_seen_as seen_as = *report.flows[0].seen_as;
    seen_as.vantage = 0;
    struct dp_flow_report flow = report.flows[0];
    flow.seen_as = &seen_as;
    report.flows = &flow;
    report.flow_count = 1;
    report.vantages = &vantage;
    report.vantage_count = 1;
    report.segment_count = 0;
    report.finding_count = 1;
    report.verdict_summary = (char[]){"x\033[31my \xc2\x9b z"};
    json_t *document = NULL;
    char *text = NULL;
    assert_int_equal(dp_report_json(&report, &document), DP_OK);
    assert_int_equal(dp_report_text(document, false, &text), DP_OK);
    assert_null(strchr(text, '\033'));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_non_null(strstr(text, "seen at a?[2Jb as"));
    free(text);
    json_decref(document);
}

/* A stored document may be damaged: no crash, an answer or an error. */
static void test_wrong_documents(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "{}",
        "{\"schema\": \"droppoint.locate.v2\", \"vantages\": [], \"segments\": [], \"findings\": [], "
        "\"verdict\": {\"code\": \"clean\"}}",
        "{\"schema\": \"droppoint.locate.v1\", \"vantages\": 1, \"segments\": [], \"findings\": [], "
        "\"verdict\": {\"code\": \"clean\"}}",
        "{\"schema\": \"droppoint.locate.v1\", \"vantages\": [], \"segments\": [], \"findings\": []}",
    };
    char *text = NULL;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *document = json_loads(refused[i], 0, NULL);
        assert_non_null(document);
        assert_int_equal(dp_report_text(document, false, &text), DP_ERR_FORMAT);
        json_decref(document);
    }
    assert_int_equal(dp_report_text(NULL, false, &text), DP_ERR_FORMAT);
    assert_null(text);
    json_t *document =
        json_loads("{\"schema\": \"droppoint.locate.v1\", \"vantages\": [1, {\"name\": 5}], "
                   "\"segments\": [null], \"findings\": [[], {\"flows\": {\"a\": 1}, \"pattern\": 5}], "
                   "\"verdict\": {\"code\": \"odd\", \"finding\": 17, \"summary\": null}}",
                   0, NULL);
    assert_non_null(document);
    assert_int_equal(dp_report_text(document, false, &text), DP_OK);
    free(text);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_is_as_agreed),
        cmocka_unit_test(test_members_that_may_be_missing),
        cmocka_unit_test(test_clean_verdict_has_no_finding),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_text_is_as_agreed),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_control_characters_stay_out),
        cmocka_unit_test(test_wrong_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
