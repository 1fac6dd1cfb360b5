#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/zone/named_conf.h"

/* A few files by their paths. */
struct files {
    const char *path[3], *text[3];
};

static int load(void *context, const char *path, char **ret_text, size_t *ret_length, struct dp_diag *diag)
{
    const struct files *files = context;
    for (size_t i = 0; i < 3 && files->path[i]; i++)
        if (strcmp(files->path[i], path) == 0) {
            *ret_text = strdup(files->text[i]);
            *ret_length = strlen(files->text[i]);
            return *ret_text ? 0 : DP_ERR_NOMEM;
        }
    return dp_fail(diag, DP_ERR_NOT_FOUND, "%s cannot be read", path);
}

static struct named_conf read_text(const char *text)
{
    struct files files = {{"/etc/bind/named.conf"}, {text}};
    struct named_conf conf = {.zones = NULL};
    struct dp_diag diag = {""};
    int rc = named_conf_read("/etc/bind/named.conf", load, &files, &conf, &diag);
    if (rc)
        print_message("%s\n", diag.text);
    assert_int_equal(rc, 0);
    return conf;
}

static void expect_wrong(const char *text, const char *what)
{
    struct files files = {{"/n.conf"}, {text}};
    struct named_conf conf;
    struct dp_diag diag = {""};
    assert_int_equal(named_conf_read("/n.conf", load, &files, &conf, &diag), DP_ERR_USAGE);
    if (!strstr(diag.text, what))
        print_message("'%s' is not in: %s\n", what, diag.text);
    assert_non_null(strstr(diag.text, what));
}

static void test_zones(void **state)
{
    (void)state;
    struct named_conf conf =
        read_text("# x\nzone \"Example.NET.\" IN { type primary; file \"a;b}\"; };\n"
                  "zone second.example { type slave; masters { list; 203.0.113.7 port 54 key k; }; };\n"
                  "masters list port 5301 { 198.51.100.1; 2001:db8::1; other; };\n"
                  "primaries \"other\" { 198.51.100.1; 198.51.100.2; list; };\n"
                  "zone \".\" { type hint; }; zone f.example { type forward; }; zone b CH { type master; };\n"
                  "view v { match-clients { any; }; zone second.example { type master; };\n"
                  "/* zone no { */ zone inner.example { type secondary; primaries { 192.0.2.1; }; }; };\n"
                  "view w { zone inner.example { in-view v; }; };");
    assert_int_equal(conf.zone_count, 3);
    assert_string_equal(conf.zones[0].name, "example.net");
    assert_false(conf.zones[0].secondary);
    const struct named_zone *second = &conf.zones[1];
    assert_string_equal(second->name, "second.example");
    assert_true(second->secondary);
    assert_int_equal(second->primary_count, 4);
    assert_string_equal(second->primaries[0].text, "198.51.100.1");
    assert_int_equal(second->primaries[0].port, 5301);
    assert_string_equal(second->primaries[1].text, "2001:db8::1");
    assert_string_equal(second->primaries[2].text, "198.51.100.2");
    assert_string_equal(second->primaries[3].text, "203.0.113.7");
    assert_int_equal(second->primaries[3].port, 54);
    assert_string_equal(conf.zones[2].name, "inner.example");
    assert_string_equal(conf.own.text, "127.0.0.1");
    named_conf_free(&conf);
}

static void test_listen(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        unsigned port;
    } cases[] = {
        {"options { listen-on port 5353 { !192.0.2.1; ! 192.0.2.2; 192.0.2.3; 192.0.2.4; }; };", "192.0.2.3",
         5353},
        {"options { listen-on { any; }; };", "127.0.0.1", 0},
        {"options { listen-on { none; }; };", "", 0},
        {"options { listen-on { none; }; listen-on { 10.0.0.0/8; 10.0.0.1; }; };", "10.0.0.1", 0},
        {"options { listen-on { { 192.0.2.9; }; mine; }; };", "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct named_conf conf = read_text(cases[i].text);
        assert_string_equal(conf.own.text, cases[i].address);
        assert_int_equal(conf.own.port, cases[i].port);
        named_conf_free(&conf);
    }
}

static void test_includes(void **state)
{
    (void)state;
    struct named_conf conf;
    struct dp_diag diag = {""};
    struct files files = {{"/etc/bind/named.conf", "/etc/bind/local.conf", "/srv/dns/more"},
                          {"include \"local.conf\"; options { directory \"/srv/dns\"; };\ninclude \"more\";",
                           "zone one.example { type master; };", "zone two.example { type master; };"}};
    assert_int_equal(named_conf_read("/etc/bind/named.conf", load, &files, &conf, &diag), 0);
    assert_int_equal(conf.zone_count, 2);
    named_conf_free(&conf);
    files.text[2] = "\nzone two.example { type master }; };";
    assert_int_equal(named_conf_read("/etc/bind/named.conf", load, &files, &conf, &diag), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, "/srv/dns/more, line 2: "));
    files.text[2] = "include \"more\";";
    assert_int_equal(named_conf_read("/etc/bind/named.conf", load, &files, &conf, &diag), DP_ERR_USAGE);
    assert_non_null(strstr(diag.text, "include each other"));
    files.text[2] = "include \"absent\";";
    assert_int_equal(named_conf_read("/etc/bind/named.conf", load, &files, &conf, &diag), DP_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/srv/dns/absent"));
}

static void test_wrong(void **state)
{
    (void)state;
    expect_wrong("\n\nzone a { type mister; };", "/n.conf, line 3: no type of zone");
    expect_wrong("zone a {\n file \"x\";\n};\n", "line 1: the zone has no type");
    expect_wrong("zone a { type master; type slave; };", "has a type already");
    expect_wrong("zone a { type master };", "expected ';'");
    expect_wrong("zone a { file \"x\" };", "is a ';' missing");
    expect_wrong("zone a { type master; }\nzone b { type master; };", "line 2: expected ';'");
    expect_wrong("zone { type master; };", "expected the name of a zone");
    expect_wrong("zone \"a b\" { type master; };", "the name of a zone has");
    expect_wrong("zone a { type slave; masters { 192.0.2.1 port 0; }; };", "a port is a number");
    expect_wrong("zone a { type slave; masters { 192.0.2.1 }; };", "expected ';'");
    expect_wrong("options {\n/* no end\n\n", "line 2: a comment that does not end");
    expect_wrong("options { directory \"x\n\"; };", "the line ends within quotes");
    expect_wrong("options { directory \"x", "quotes that do not end");
    expect_wrong("options { a b;", "the file ends before its braces close");
    expect_wrong("options { a b", "ends in the middle of a statement");
    expect_wrong("};", "never open");
    expect_wrong("\"zone\" a { };", "begins with a word");
    expect_wrong("root:x:0:0:root:/root:/bin/bash\n", "line 2: the file ends in the middle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_zones), cmocka_unit_test(test_listen),
                                       cmocka_unit_test(test_includes), cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
