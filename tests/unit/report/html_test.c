/* The report page: whole, safe against what comes from outside, and as it was agreed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/report/html.h"
#include "collector/report/report_out.h"
#include "sample.h"

#define GOLDEN DP_TEST_DATA "/locate/report_body.html"

/* Markup, ends of elements, attributes, control characters, text that runs backwards, what is no UTF-8. */
#define HOSTILE                                                                                              \
    "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)><!--&lt;\x01\x1b[31m"                 \
    "\xe2\x80\xae\xe2\x81\xa6"

#define CLEANED                                                                                              \
    "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)><!--&lt;?"                            \
    "?[31m"                                                                                                  \
    "???"                                                                                                    \
    "???"

static char *make_page(const json_t *document, const struct dp_report *report, const struct dp_ladder *ladder)
{
    char *page = NULL;
    size_t len = 0;
    assert_int_equal(dp_report_html(document, report, ladder, &page, &len), DP_OK);
    assert_int_equal(strlen(page), len);
    return page;
}

static char *sample_page(void)
{
    json_t *document = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    char *page = make_page(document, sample_report(), NULL);
    json_decref(document);
    return page;
}

static size_t occurrences(const char *text, const char *what)
{
    size_t count = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        count++;
    return count;
}

/* A copy of what stands between two marks. */
static char *between(const char *text, const char *from, const char *to)
{
    const char *start = strstr(text, from);
    assert_non_null(start);
    start += strlen(from);
    const char *end = strstr(start, to);
    assert_non_null(end);
    return strndup(start, (size_t)(end - start));
}

/* ---- as agreed ---- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s is missing", path);
    char *text = calloc(1, 262144);
    assert_non_null(text);
    assert_true(fread(text, 1, 262143, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* What is HTML and SVG of it, without style, script and data. With DROPPOINT_UPDATE_GOLDEN in the environment
 * it is written anew; look at the difference, and at the page, before committing it. */
static void test_page_is_as_agreed(void **state)
{
    (void)state;
    char *page = sample_page();
    char *body = between(page, "<body>", "<script type=");
    if (getenv("DROPPOINT_UPDATE_GOLDEN")) {
        FILE *file = fopen(GOLDEN, "w");
        assert_non_null(file);
        assert_true(fputs(body, file) >= 0);
        assert_int_equal(fclose(file), 0);
    }
    char *golden = read_file(GOLDEN);
    assert_string_equal(body, golden);
    free(golden);
    free(body);
    free(page);
}

/* ---- well-formed ---- */

static bool is_void(const char *name)
{
    static const char *const names[] = {"meta", "link", "input", "br"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The end of a tag, behind its '>': attributes are in double quotes or bare, and quotes are closed. */
static const char *tag_end(const char *at)
{
    bool quoted = false;
    for (; *at && (quoted || *at != '>'); at++) {
        quoted = quoted != (*at == '"');
        assert_true(quoted || *at != '<');
    }
    assert_int_equal(*at, '>');
    return at + 1;
}

/* Every element that is opened is closed, in order. Style and script hold no elements. */
static void assert_well_formed(const char *page)
{
    char open[64][32];
    size_t depth = 0;
    const char *at = page;
    while ((at = strchr(at, '<')) != NULL) {
        if (strncmp(at, "<!DOCTYPE html>", 15) == 0) {
            at++;
            continue;
        }
        bool closing = at[1] == '/';
        const char *name_at = at + 1 + closing;
        size_t len = strspn(name_at, "abcdefghijklmnopqrstuvwxyz0123456789");
        char name[32];
        assert_true(len > 0 && len < sizeof name);
        (void)snprintf(name, sizeof name, "%.*s", (int)len, name_at);
        const char *end = tag_end(name_at);
        bool self_closing = end[-2] == '/';
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else if (!self_closing && !is_void(name)) {
            assert_true(depth < 64);
            (void)snprintf(open[depth++], sizeof open[0], "%s", name);
        }
        at = end;
        if (!closing && (strcmp(name, "script") == 0 || strcmp(name, "style") == 0)) {
            char close[40];
            (void)snprintf(close, sizeof close, "</%s>", name);
            at = strstr(end, close);
            assert_non_null(at);
        }
    }
    assert_int_equal(depth, 0);
}

static void test_page_is_well_formed(void **state)
{
    (void)state;
    char *page = sample_page();
    assert_well_formed(page);
    assert_int_equal(occurrences(page, "{{"), 0);
    free(page);
}

/* Nothing on the page leads anywhere else. */
static void test_page_stands_alone(void **state)
{
    (void)state;
    char *page = sample_page();
    static const char *const leads[] = {"http:", "https:", "src=",    "@import",
                                        "url(",  "//",     "<iframe", "<object"};
    char *body = between(page, "<body>", "<script type=");
    char *style = between(page, "<style>", "</style>");
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        assert_null(strstr(body, leads[i]));
        assert_null(strstr(style, leads[i]));
    }
    assert_int_equal(occurrences(page, "href="), 1);
    assert_non_null(strstr(page, "<link rel=\"icon\" href=\"data:,\">"));
    free(style);
    free(body);
    free(page);
}

/* ---- what comes from outside ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
    assert_int_equal(json_object_set_new(object, name, json_string(text)), 0);
}

/* The sample with hostile text in every place that others can write to. */
static json_t *hostile_document(void)
{
    json_t *document = NULL, *value;
    size_t i;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    json_array_foreach(json_object_get(document, "vantages"), i, value)
    {
        char name[400];
        (void)snprintf(name, sizeof name, "%zu" HOSTILE "/eth0", i);
        set_text(value, "name", name);
    }
    json_array_foreach(json_object_get(document, "segments"), i, value)
    {
        set_text(value, "from", HOSTILE "/eth0");
        set_text(value, "to", HOSTILE "/eth1");
    }
    json_array_foreach(json_object_get(document, "flows"), i, value)
    {
        set_text(value, "app", HOSTILE);
        set_text(value, "client", HOSTILE);
        set_text(value, "server", HOSTILE);
        assert_int_equal(json_object_set_new(json_object_get(value, "seen_as"), HOSTILE,
                                             json_pack("{s:s, s:s}", "client", HOSTILE, "server", HOSTILE)),
                         0);
    }
    json_array_foreach(json_object_get(document, "findings"), i, value)
    {
        static const char *const names[] = {"code",    "from",    "to",       "direction",
                                            "pattern", "summary", "next_step"};
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            set_text(value, names[k], HOSTILE "`" HOSTILE "`");
        set_text(value, "first_at", "2023-11-14T22:13:20" HOSTILE);
        set_text(value, "last_at", HOSTILE);
        assert_int_equal(
            json_object_set_new(value, "smtp_reply", json_pack("{s:i, s:s}", "code", 421, "text", HOSTILE)),
            0);
    }
    json_t *verdict = json_object_get(document, "verdict");
    set_text(verdict, "summary", HOSTILE);
    set_text(verdict, "next_step", HOSTILE);
    set_text(verdict, "code", HOSTILE);
    assert_int_equal(json_object_set_new(
                         document, "capture",
                         json_pack("{s:s, s:s, s:s}", "id", HOSTILE, "path", HOSTILE, "started_at", HOSTILE)),
                     0);
    return document;
}

static void test_hostile_text_is_inert(void **state)
{
    (void)state;
    json_t *document = hostile_document();
    char *page = make_page(document, sample_report(), NULL);
    assert_well_formed(page);
    char *harmless = sample_page();
    /* No element, attribute or comment that a harmless report has not. */
    static const char *const marks[] = {"<script", "</script", "<style",           "</style",
                                        "<img",    "<!--",     "onerror=alert(2)>"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] - 1; i++)
        assert_int_equal(occurrences(page, marks[i]), occurrences(harmless, marks[i]));
    assert_true(occurrences(page, "&lt;img src=x onerror=alert(2)&gt;") > 20);
    /* Control characters and those that turn the text are gone, everywhere. */
    for (const char *at = page; *at; at++)
        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
    assert_null(strstr(page, "\xe2\x80\xae"));
    assert_null(strstr(page, "\xe2\x81\xa6"));
    free(harmless);
    free(page);
    json_decref(document);
}

/* The data is JSON as it stands there, says what the document says, and no HTML parser sees anything in it.
 */
static void test_data_is_the_document(void **state)
{
    (void)state;
    json_t *document = hostile_document();
    char *page = make_page(document, sample_report(), NULL);
    char *data = between(page, "<script type=\"application/json\" id=\"data\">", "</script>");
    assert_null(strpbrk(data, "<>&"));
    json_t *value = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    const json_t *report = json_object_get(value, "report");
    const json_t *name = json_object_get(json_array_get(json_object_get(report, "vantages"), 1), "name");
    assert_string_equal(json_string_value(name), "1" CLEANED "/eth0");
    const json_t *segment = json_array_get(json_object_get(report, "segments"), 1);
    assert_string_equal(json_string_value(json_object_get(segment, "to")), CLEANED "/eth1");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(segment, "forward"), "lost_packets")),
                     38);
    assert_int_equal(json_array_size(json_object_get(report, "flows")), 2);
    assert_true(json_is_null(json_object_get(value, "ladder")));
    json_decref(value);
    free(data);
    free(page);
    json_decref(document);
}

/* ---- the Content-Security-Policy ---- */

static void assert_hash(const char *page, const char *from, const char *to, const char *kind)
{
    char *text = between(page, from, to);
    uint8_t digest[32];
    unsigned len = 0;
    assert_int_equal(EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL), 1);
    unsigned char base64[64], wanted[128];
    assert_int_equal(EVP_EncodeBlock(base64, digest, (int)len), 44);
    (void)snprintf((char *)wanted, sizeof wanted, "%s 'sha256-%s'", kind, (const char *)base64);
    if (!strstr(page, (const char *)wanted))
        fail_msg("the page does not say %s", (const char *)wanted);
    free(text);
}

static void test_policy_names_what_may_run(void **state)
{
    (void)state;
    char *page = sample_page();
    assert_hash(page, "<style>", "</style>", "style-src");
    assert_hash(page, "<script>", "</script>", "script-src");
    char *policy = between(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"", "\">");
    assert_non_null(strstr(policy, "default-src 'none'"));
    assert_null(strstr(policy, "unsafe"));
    free(policy);
    free(page);
}

/* ---- what there is, and what there is not ---- */

static void test_stored_document_has_no_course_of_time(void **state)
{
    (void)state;
    json_t *document = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    char *page = make_page(document, NULL, NULL);
    assert_null(strstr(page, "<section id=\"course\""));
    assert_null(strstr(page, "<section id=\"ladder\""));
    assert_non_null(strstr(page, "<section id=\"segments\""));
    assert_well_formed(page);
    free(page);
    json_decref(document);
}

static void test_losing_segment_is_marked(void **state)
{
    (void)state;
    char *page = sample_page();
    char *wide = between(page, "<svg class=\"picture wide\"", "</svg>");
    char *tall = between(page, "<svg class=\"picture tall\"", "</svg>");
    char *const pictures[] = {wide, tall};
    for (size_t i = 0; i < 2; i++) {
        /* Forward inside lb1; in reverse beyond, that is, before the way back begins; the stall before mx1.
         */
        assert_int_equal(occurrences(pictures[i], "class=\"lane bad\""), 1);
        assert_int_equal(occurrences(pictures[i], "class=\"lane bad outside\""), 1);
        assert_int_equal(occurrences(pictures[i], "class=\"lane fault outside\""), 1);
        assert_int_equal(occurrences(pictures[i], "class=\"cross\""), 3);
        assert_int_equal(occurrences(pictures[i], "38 lost (42.2\xc2\xa0%)"), 1);
    }
    free(wide);
    free(tall);
    free(page);
}

static void test_only_a_locate_document_becomes_a_page(void **state)
{
    (void)state;
    char *page = NULL;
    size_t len = 7;
    json_t *other = json_pack("{s:s}", "schema", "droppoint.other.v1");
    assert_int_equal(dp_report_html(other, NULL, NULL, &page, &len), DP_ERR_FORMAT);
    assert_null(page);
    assert_int_equal(len, 7);
    json_decref(other);
}

/* 30,000 flows: those with loss are among the 20,000 that the page lists. */
static void test_many_flows(void **state)
{
    (void)state;
    json_t *document = NULL;
    assert_int_equal(dp_report_json(sample_report(), &document), DP_OK);
    json_t *flows = json_object_get(document, "flows");
    for (json_int_t id = 3; id <= 30000; id++) {
        json_t *flow =
            json_pack("{s:I, s:s, s:s, s:s, s:i, s:i, s:{}}", "id", id, "app", "tcp", "client", "a", "server",
                      "b", "lost_packets", id == 29999 ? 5 : 0, "lost_bytes", 0, "seen_as");
        assert_int_equal(json_array_append_new(flows, flow), 0);
    }
    char *page = make_page(document, NULL, NULL);
    char *data = between(page, "id=\"data\">", "</script>");
    json_t *value = json_loads(data, 0, NULL);
    const json_t *kept = json_object_get(json_object_get(value, "report"), "flows");
    assert_int_equal(json_array_size(kept), DP_HTML_MAX_FLOWS);
    assert_int_equal(json_integer_value(json_object_get(value, "flows")), 30000);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(kept, 0), "id")), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(kept, 1), "id")), 29999);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(kept, 2), "id")), 2);
    json_decref(value);
    free(data);
    free(page);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_is_as_agreed),
        cmocka_unit_test(test_page_is_well_formed),
        cmocka_unit_test(test_page_stands_alone),
        cmocka_unit_test(test_hostile_text_is_inert),
        cmocka_unit_test(test_data_is_the_document),
        cmocka_unit_test(test_policy_names_what_may_run),
        cmocka_unit_test(test_stored_document_has_no_course_of_time),
        cmocka_unit_test(test_losing_segment_is_marked),
        cmocka_unit_test(test_only_a_locate_document_becomes_a_page),
        cmocka_unit_test(test_many_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
