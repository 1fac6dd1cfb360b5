#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config.h"

struct settings {
    char *name;
    char *size;
    enum dp_config_boolean ring;
    char **list;
    unsigned list_count;
};

static const cyaml_schema_value_t entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 20)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, name, 1, 20),
    CYAML_FIELD_STRING_PTR("size", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, size, 1, 20),
    CYAML_FIELD_ENUM("ring", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct settings, ring,
                     dp_config_booleans, DP_CONFIG_BOOLEANS),
    CYAML_FIELD_SEQUENCE("list", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, list, &entry, 0,
                         3),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct settings, fields)};

static void test_values_are_read(void **state)
{
    (void)state;
    static const char text[] = "# comment\nname: mx1\nsize: 64 MiB\nring: yes\nlist: [eth0, 'veth*']\n";
    void *data = NULL;
    uint64_t size = 0;
    assert_int_equal(dp_config_parse("x.yaml", text, strlen(text), &schema, &data, NULL), DP_OK);
    struct settings *settings = data;
    assert_string_equal(settings->name, "mx1");
    assert_int_equal(settings->ring, DP_CONFIG_TRUE);
    assert_int_equal(settings->list_count, 2);
    assert_string_equal(settings->list[1], "veth*");
    assert_int_equal(dp_config_number("x.yaml", "size", settings->size, 1, UINT64_MAX, &size, NULL), DP_OK);
    assert_int_equal(size, 64 << 20);
    dp_config_free(&schema, data);
}

static void test_nothing_set_is_fine(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# nothing\n", "{}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        void *data = NULL;
        assert_int_equal(dp_config_parse("x.yaml", texts[i], strlen(texts[i]), &schema, &data, NULL), DP_OK);
        assert_true(!data || !((struct settings *)data)->name);
        dp_config_free(&schema, data);
    }
}

static void test_faults_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *said; /* in the diag, besides the file */
    } cases[] = {
        {"name: a\ncolor: blue\n", "line 2: unknown key \"color\""},
        {"ring: maybe\n", "line 1: key \"ring\""},
        {"ring: 1\n", "line 1: key \"ring\""},
        {"ring: 7\n", "line 1: key \"ring\""},
        {"\n\nname: averyveryveryverylongname\n", "line 3: key \"name\""},
        {"name: ''\n", "line 1: key \"name\""},
        {"name: [a]\n", "line 1: key \"name\""},
        {"list: [a, b, c, d]\n", "key \"list\""},
        {"list: [{a: b}]\n", "key \"list\""},
        {"name: a\nname: b\n", "already seen: name"},
        {"- a\n", "MAPPING"},
        {"name: *a\n", "alias"},
        {"name: a\n---\nname: b\n", "documents"},
        {"name: \"a\n", "libyaml"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_diag diag = {""};
        void *data = NULL;
        int code = dp_config_parse("x.yaml", cases[i].text, strlen(cases[i].text), &schema, &data, &diag);
        if (code != DP_ERR_USAGE || strncmp(diag.text, "x.yaml: ", 8) != 0 ||
            !strstr(diag.text, cases[i].said))
            fail_msg("%s: %d %s", cases[i].text, code, diag.text);
        assert_null(data);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        uint64_t number;
    } cases[] = {{"0", 0, 0},
                 {"42", 0, 42},
                 {"1KiB", 0, 1024},
                 {"2 GiB", 0, UINT64_C(2) << 30},
                 {"18446744073709551615", 0, UINT64_MAX},
                 {"18446744073709551616", DP_ERR_USAGE, 0},
                 {"17179869184GiB", DP_ERR_USAGE, 0},
                 {"96k", DP_ERR_USAGE, 0},
                 {"-1", DP_ERR_USAGE, 0},
                 {" 1", DP_ERR_USAGE, 0},
                 {"+1", DP_ERR_USAGE, 0},
                 {"1.5", DP_ERR_USAGE, 0},
                 {"0x10", DP_ERR_USAGE, 0},
                 {"", DP_ERR_USAGE, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t number = 7;
        assert_int_equal(dp_config_number("x", "k", cases[i].text, 0, UINT64_MAX, &number, NULL),
                         cases[i].code);
        assert_int_equal(number, cases[i].code == 0 ? cases[i].number : 7);
    }
    uint64_t number = 7;
    struct dp_diag diag = {""};
    assert_int_equal(dp_config_number("x.yaml", "k", "5", 6, 9, &number, &diag), DP_ERR_USAGE);
    assert_string_equal(diag.text, "x.yaml: key \"k\": \"5\" is not a whole number from 6 to 9.");
    assert_int_equal(dp_config_number("x.yaml", "k", NULL, 6, 9, &number, &diag), DP_OK);
    assert_int_equal(number, 7);
}

static void test_files(void **state)
{
    (void)state;
    void *data = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_config_load("/nonexistent/agent.yaml", &schema, &data, &diag), DP_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nonexistent/agent.yaml"));
    assert_int_equal(dp_config_load("/", &schema, &data, &diag), DP_ERR_IO);
    char path[] = "/tmp/droppoint-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i <= DP_CONFIG_MAX_BYTES / 16; i++)
        assert_int_equal(write(fd, "# sixteen bytes\n", 16), 16);
    assert_int_equal(dp_config_load(path, &schema, &data, &diag), DP_ERR_USAGE);
    assert_int_equal(ftruncate(fd, 32), 0);
    assert_int_equal(dp_config_load(path, &schema, &data, &diag), DP_OK);
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_read),
        cmocka_unit_test(test_nothing_set_is_fine),
        cmocka_unit_test(test_faults_are_named),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
