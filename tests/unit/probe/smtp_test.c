#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/probe/smtp/message.h"
#include "agent/probe/smtp/reply.h"
#include "agent/probe/tls/starttls.h"

static enum dp_smtp_parse take(struct dp_smtp_reply *reply, const char *line)
{
    return dp_smtp_reply_line(reply, line, strlen(line));
}

static void test_replies(void **state)
{
    (void)state;
    struct dp_smtp_reply reply = {.code = 0};
    assert_int_equal(take(&reply, "250-mx.example.net"), DP_SMTP_MORE);
    assert_int_equal(take(&reply, "250-SIZE 1000"), DP_SMTP_MORE);
    assert_int_equal(take(&reply, "250-AUTH LOGIN plain"), DP_SMTP_MORE);
    assert_int_equal(take(&reply, "250 STARTTLS"), DP_SMTP_DONE);
    const char *parameters = NULL;
    assert_true(dp_smtp_offers(&reply, "starttls", NULL));
    assert_true(dp_smtp_offers(&reply, "SIZE", NULL));
    assert_false(dp_smtp_offers(&reply, "SIZ", NULL));
    assert_false(dp_smtp_offers(&reply, "mx.example.net", NULL)); // the greeting is no keyword
    assert_true(dp_smtp_offers(&reply, "AUTH", &parameters));
    assert_true(dp_smtp_has_word(parameters, "PLAIN"));
    assert_false(dp_smtp_has_word(parameters, "STARTTLS"));
    reply = (struct dp_smtp_reply){.code = 0};
    assert_int_equal(take(&reply, "550 5.1.1 <x@y>: no such user"), DP_SMTP_DONE);
    assert_int_equal(reply.code, 550);
    assert_string_equal(reply.enhanced, "5.1.1");
    assert_string_equal(reply.text, "<x@y>: no such user");
    reply = (struct dp_smtp_reply){.code = 0};
    assert_int_equal(take(&reply, "550 4.1.1 of another class"), DP_SMTP_DONE);
    assert_string_equal(reply.enhanced, "");
    reply = (struct dp_smtp_reply){.code = 0};
    assert_int_equal(take(&reply, "220"), DP_SMTP_DONE);
    static const char *const bad[] = {"",      "22",     "abc",   "99 x",     "199 x",
                                      "600 x", "2500 x", "250_x", "SSH-2.0-x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        reply = (struct dp_smtp_reply){.code = 0};
        assert_int_equal(take(&reply, bad[i]), DP_SMTP_INVALID);
    }
    reply = (struct dp_smtp_reply){.code = 0};
    assert_int_equal(take(&reply, "250-a"), DP_SMTP_MORE);
    assert_int_equal(take(&reply, "550 b"), DP_SMTP_INVALID);
    reply = (struct dp_smtp_reply){.code = 0};
    for (int i = 0; i < DP_SMTP_LINES_MAX; i++)
        assert_int_equal(take(&reply, "250-a long text that fills what is kept of a reply sooner or later"),
                         DP_SMTP_MORE);
    assert_int_equal(take(&reply, "250-once more"), DP_SMTP_INVALID);
}

/* The message has the size that was asked for, before dots are doubled, and is whole lines of at most 998
 * bytes. */
static void test_message(void **state)
{
    (void)state;
    for (uint64_t size = 400; size < 3000; size += 1) {
        struct dp_message message;
        static char out[8192];
        size_t length = 0, got, stuffed = 0, line = 0;
        dp_message_init(&message, "a@example.org", "b@example.net", "id@example.org", 1700000000, size);
        while ((got = dp_message_next(&message, out + length, 4096)) > 0)
            length += got;
        for (size_t i = 0; i < length; i++) {
            if (line == 0 && out[i] == '.') {
                assert_int_equal(out[i + 1], '.');
                stuffed++;
            }
            line = out[i] == '\n' ? 0 : line + 1;
            assert_true(line < 998);
            assert_int_equal(out[i] == '\n', i > 0 && out[i - 1] == '\r' && out[i] == '\n');
        }
        assert_memory_equal(out + length - 2, "\r\n", 2);
        assert_int_equal(length - stuffed, message.size);
        assert_true(message.size == size || message.size == message.header_length ||
                    message.size == message.header_length + 2);
    }
}

static enum starttls_step step(struct starttls *s, const char *line)
{
    return starttls_take(s, line, strlen(line));
}

static void test_starttls(void **state)
{
    (void)state;
    struct starttls s = {.protocol = STARTTLS_SMTP};
    assert_int_equal(step(&s, "220-wait"), STARTTLS_WAIT);
    assert_int_equal(step(&s, "220 go"), STARTTLS_SAY);
    assert_string_equal(s.say, "EHLO droppoint.invalid\r\n");
    assert_int_equal(step(&s, "250-x"), STARTTLS_WAIT);
    assert_int_equal(step(&s, "250 y"), STARTTLS_SAY);
    assert_int_equal(step(&s, "220 2.0.0 ready"), STARTTLS_READY);
    s = (struct starttls){.protocol = STARTTLS_SMTP};
    assert_int_equal(step(&s, "421 too many"), STARTTLS_LATER);
    s = (struct starttls){.protocol = STARTTLS_SMTP};
    assert_int_equal(step(&s, "554 not you"), STARTTLS_LATER);
    s = (struct starttls){.protocol = STARTTLS_SMTP, .phase = 2};
    assert_int_equal(step(&s, "250 ok"), STARTTLS_ABSENT);
    s = (struct starttls){.protocol = STARTTLS_SMTP, .phase = 2};
    assert_int_equal(step(&s, "454 4.7.0 later"), STARTTLS_LATER);
    s = (struct starttls){.protocol = STARTTLS_IMAP};
    assert_int_equal(step(&s, "* OK hi"), STARTTLS_SAY);
    assert_int_equal(step(&s, "* CAPABILITY IMAP4rev1"), STARTTLS_WAIT);
    assert_int_equal(step(&s, "a OK begin"), STARTTLS_READY);
    s = (struct starttls){.protocol = STARTTLS_POP3};
    assert_int_equal(step(&s, "+OK hi"), STARTTLS_SAY);
    assert_int_equal(step(&s, "-ERR no"), STARTTLS_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies), cmocka_unit_test(test_message),
                                       cmocka_unit_test(test_starttls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
