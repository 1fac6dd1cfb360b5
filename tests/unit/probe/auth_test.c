#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/probe/net/auth_file.h"

static char path[] = "/tmp/dp_auth_XXXXXX";

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void test_reads(void **state)
{
    (void)state;
    struct dp_auth auth;
    struct dp_diag diag = {""};
    write_file("# mail\nuser: alice@example.net\r\n password:  a b:c \n", 0600);
    assert_int_equal(dp_auth_read(path, &auth, &diag), 0);
    assert_true(auth.known);
    assert_string_equal(auth.user, "alice@example.net");
    assert_string_equal(auth.password, "a b:c ");
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        int code;
        const char *says;
    } cases[] = {
        {"user: a\npassword: b\n", 0640, DP_ERR_DENIED, "chmod 600"},
        {"user: a\npassword: b\n", 0604, DP_ERR_DENIED, "open to others"},
        {"user: a\n", 0600, DP_ERR_USAGE, "no 'password:'"},
        {"password: a\n", 0600, DP_ERR_USAGE, "no 'user:'"},
        {"user: a\nuser: b\npassword: c\n", 0600, DP_ERR_USAGE, "line 2"},
        {"user: a\nsecret: c\n", 0600, DP_ERR_USAGE, "line 2"},
        {"user:\npassword: c\n", 0600, DP_ERR_USAGE, "line 1"},
        {"", 0600, DP_ERR_USAGE, "no 'user:'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_auth auth = {.known = true};
        struct dp_diag diag = {""};
        write_file(cases[i].text, cases[i].mode);
        assert_int_equal(dp_auth_read(path, &auth, &diag), cases[i].code);
        assert_non_null(strstr(diag.text, cases[i].says));
        assert_true(auth.known); // untouched
    }
    struct dp_auth auth;
    assert_int_equal(dp_auth_read("/nonexistent/auth", &auth, NULL), DP_ERR_NOT_FOUND);
    assert_int_equal(dp_auth_read("/tmp", &auth, NULL), DP_ERR_USAGE);
}

static void test_environment(void **state)
{
    (void)state;
    struct dp_auth auth;
    (void)unsetenv("DROPPOINT_USER");
    (void)setenv("DROPPOINT_PASSWORD", "x", 1);
    assert_int_equal(dp_auth_read(NULL, &auth, NULL), 0);
    assert_false(auth.known);
    (void)setenv("DROPPOINT_USER", "bob", 1);
    assert_int_equal(dp_auth_read(NULL, &auth, NULL), 0);
    assert_true(auth.known);
    assert_string_equal(auth.user, "bob");
}

static void test_redacts(void **state)
{
    (void)state;
    struct dp_auth auth = {.known = true, .user = "alice", .password = "s3cret"};
    char plain[DP_AUTH_PLAIN_TEXT], text[2 * DP_AUTH_PLAIN_TEXT];
    assert_string_equal(dp_auth_plain(&auth, plain), "AGFsaWNlAHMzY3JldA==");
    (void)snprintf(text, sizeof text, "you sent s3cret, that is czNjcmV0, in %s, s3crets3cret", plain);
    dp_auth_redact(&auth, text);
    assert_null(strstr(text, "s3cret"));
    assert_null(strstr(text, "czNjcmV0"));
    assert_null(strstr(text, plain));
    assert_non_null(strstr(text, "you sent <hidde"));
    auth.known = false;
    (void)snprintf(text, sizeof text, "s3cret");
    dp_auth_redact(&auth, text);
    assert_string_equal(text, "s3cret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads), cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_environment), cmocka_unit_test(test_redacts)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
