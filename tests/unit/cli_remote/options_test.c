#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/remote/address.h"
#include "cli/remote/options.h"

static void assert_duration(const char *text, uint64_t ms)
{
    uint64_t got = 0;
    assert_int_equal(dp_duration_parse(text, &got), 0);
    assert_int_equal(got, ms);
}

static void test_durations(void **state)
{
    (void)state;
    assert_duration("30", 30000);
    assert_duration("30s", 30000);
    assert_duration("5m", 300000);
    assert_duration("5min", 300000);
    assert_duration("1h", 3600000);
    assert_duration("500ms", 500);
    assert_duration("1.5s", 1500);
    assert_duration("0.25h", 900000);
    assert_duration("2.0009s", 2000);
}

static void test_bad_durations(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "s",   "-5", "+5",  "5 s",  "5d",
                                      "1.",  "1.s", ".5", "5ss", "0x10", "99999999999999999999999",
                                      "1e3", " 5"};
    uint64_t got = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dp_duration_parse(bad[i], &got), DP_ERR_USAGE);
    assert_int_equal(dp_duration_parse(NULL, &got), DP_ERR_USAGE);
    assert_int_equal(got, 77);
}

struct targets {
    bool flag;
    const char *text;
    uint64_t number, duration;
};

static int parse(struct targets *targets, struct dp_words *words, struct dp_diag *diag,
                 const char *const *args)
{
    const struct dp_option options[] = {
        {"--flag", DP_OPTION_FLAG, &targets->flag, 0, 0},
        {"--text", DP_OPTION_TEXT, &targets->text, 0, 0},
        {"--number", DP_OPTION_NUMBER, &targets->number, 5, 10},
        {"--time", DP_OPTION_DURATION, &targets->duration, 100, 60000},
    };
    char *argv[16];
    int argc = 0;
    argv[argc++] = (char *)"run";
    for (; *args; args++)
        argv[argc++] = (char *)*args;
    *targets = (struct targets){.text = "before", .number = 1, .duration = 2};
    diag->text[0] = '\0';
    return dp_options_parse(argc, argv, options, 4, words, diag);
}

static void test_options_and_words(void **state)
{
    (void)state;
    struct targets targets;
    struct dp_words words;
    struct dp_diag diag;
    const char *const all[] = {"one",    "--flag", "--text=a=b", "--number", "7", "-",
                               "--time", "1s",     "--",         "--flag",   NULL};
    assert_int_equal(parse(&targets, &words, &diag, all), 0);
    assert_true(targets.flag);
    assert_string_equal(targets.text, "a=b");
    assert_int_equal(targets.number, 7);
    assert_int_equal(targets.duration, 1000);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.word[0], "one");
    assert_string_equal(words.word[1], "-");
    assert_string_equal(words.word[2], "--flag");
}

static void assert_refused(const char *const *args, const char *names)
{
    struct targets targets;
    struct dp_words words;
    struct dp_diag diag;
    assert_int_equal(parse(&targets, &words, &diag, args), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, names));
}

static void test_refused_options(void **state)
{
    (void)state;
    assert_refused((const char *const[]){"--flags", NULL}, "--flags");
    assert_refused((const char *const[]){"--fla", NULL}, "--fla");
    assert_refused((const char *const[]){"--flag=yes", NULL}, "takes no value");
    assert_refused((const char *const[]){"--text", NULL}, "--text needs a value");
    assert_refused((const char *const[]){"--text=", NULL}, "not empty");
    assert_refused((const char *const[]){"--number", "4", NULL}, "from 5 to 10");
    assert_refused((const char *const[]){"--number", "11", NULL}, "from 5 to 10");
    assert_refused((const char *const[]){"--number", "7x", NULL}, "'7x'");
    assert_refused((const char *const[]){"--number", "-7", NULL}, "'-7'");
    assert_refused((const char *const[]){"--number", "18446744073709551623", NULL}, "from 5 to 10");
    assert_refused((const char *const[]){"--time", "soon", NULL}, "such as 30s");
    assert_refused((const char *const[]){"--time", "99ms", NULL}, "from 100 ms to 1 min");
    assert_refused((const char *const[]){"--time", "61s", NULL}, "from 100 ms to 1 min");
}

static void test_environment(void **state)
{
    (void)state;
    struct dp_remote_options options;
    unsetenv("DROPPOINT_COLLECTOR");
    setenv("DROPPOINT_KEY", "", 1);
    dp_remote_options_init(&options);
    assert_string_equal(options.collector, "tcp://127.0.0.1:9910");
    assert_null(options.key);
    setenv("DROPPOINT_COLLECTOR", "tcp://192.0.2.1:1", 1);
    setenv("DROPPOINT_KEY", "k", 1);
    dp_remote_options_init(&options);
    assert_string_equal(options.collector, "tcp://192.0.2.1:1");
    assert_string_equal(options.key, "k");
}

static void test_addresses(void **state)
{
    (void)state;
    char host[64], port[8];
    struct dp_diag diag;
    assert_int_equal(
        dp_address_split("tcp://collector.example.net:9910", host, sizeof host, port, sizeof port, &diag), 0);
    assert_string_equal(host, "collector.example.net");
    assert_string_equal(port, "9910");
    assert_int_equal(
        dp_address_split("tcp://[2001:db8::10]:65535", host, sizeof host, port, sizeof port, &diag), 0);
    assert_string_equal(host, "2001:db8::10");
    assert_string_equal(port, "65535");
    static const char *const bad[] = {
        "",           "tcp://",      "collector:9910", "udp://a:1",          "tcp://a",
        "tcp://:1",   "tcp://a:",    "tcp://a:0",      "tcp://a:65536",      "tcp://a:99999999",
        "tcp://a:1x", "tcp://[::1]", "tcp://[::1:5",   "tcp://2001:db8::1:5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diag.text[0] = '\0';
        assert_int_equal(dp_address_split(bad[i], host, sizeof host, port, sizeof port, &diag), DP_ERR_USAGE);
        assert_non_null(strstr(diag.text, "tcp://HOST:PORT"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),         cmocka_unit_test(test_bad_durations),
        cmocka_unit_test(test_options_and_words), cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_environment),       cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
