#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/queue/files.h"

#ifndef DP_SEEDS
#error "the seeds are samples of each kind of file"
#endif

static size_t load(const char *name, char *bytes, size_t size)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", DP_SEEDS, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(bytes, 1, size, file);
    (void)fclose(file);
    return length;
}

static void test_files(void **state)
{
    (void)state;
    static struct queue_message m;
    char bytes[4096];
    size_t length = load("postfix", bytes, sizeof bytes);
    assert_true(queue_read_postfix((const uint8_t *)bytes, length, &m));
    assert_int_equal(m.arrived, 1795683645);
    assert_int_equal(m.recipient_count, 1);
    assert_string_equal(m.recipients[0], "x@example.org");
    assert_false(m.tried);
    length = load("defer", bytes, sizeof bytes);
    queue_read_postfix_defer(bytes, length, &m);
    assert_true(m.tried);
    assert_string_equal(m.reason, "connect to [203.0.113.25]:9: Connection refused");
    length = load("exim", bytes, sizeof bytes);
    assert_true(queue_read_exim(bytes, length, &m));
    assert_int_equal(m.recipient_count, 1); // the other two got it already
    assert_string_equal(m.recipients[0], "b@example.org");
    length = load("eximlog", bytes, sizeof bytes);
    queue_read_exim_log(bytes, length, &m);
    assert_true(m.tried);
    assert_string_equal(m.reason, "z");
    length = load("opensmtpd", bytes, sizeof bytes);
    assert_true(queue_read_opensmtpd(bytes, length, &m));
    assert_true(m.tried);
    assert_string_equal(m.recipients[0], "b@example.org");
    assert_string_equal(m.reason, "451 4.3.0 later");
    assert_false(queue_read_exim(bytes, length, &m));
    length = load("opensmtpd_6.8", bytes, sizeof bytes);
    assert_true(queue_read_opensmtpd(bytes, length, &m));
    assert_true(m.tried); /* although last-try is 0 */
    assert_string_equal(m.recipients[0], "b@far.example.com");
    assert_string_equal(m.reason, "Network error on destination MXs");
    static const char fresh[] = "version: 3\ndest: b@far.example.com\nctime: 1\nlast-try: 0\nretry: 0\n";
    assert_true(queue_read_opensmtpd(fresh, sizeof fresh - 1, &m));
    assert_false(m.tried);
    assert_false(queue_read_postfix((const uint8_t *)"\x89PNG", 4, &m));
}

static void test_domains(void **state)
{
    (void)state;
    char domain[QUEUE_ADDRESS];
    queue_domain("A@Example.ORG", domain);
    assert_string_equal(domain, "example.org");
    queue_domain("root", domain);
    assert_string_equal(domain, "(local)");
    queue_domain("\"a@b\"@c>", domain);
    assert_string_equal(domain, "c");
    queue_domain("x@", domain);
    assert_string_equal(domain, "(local)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_domains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
