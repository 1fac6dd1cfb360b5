/* What the agent reads of an SMTP dialogue, and what it leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/digest/digest.h"
#include "tests/unit/packet/frames.h"

enum { RAW = 101 };

static const uint8_t key[DP_HASH_KEY_SIZE] = "0123456789abcde";

struct dialogue {
    struct dp_digester *digester;
    struct dp_batch batch;
    uint16_t port;
    uint32_t client_seq, server_seq;
};

static int begin(void **state)
{
    static struct dialogue dialogue;
    dialogue = (struct dialogue){.port = 25, .client_seq = 0xfffffff0, .server_seq = 500};
    *state = &dialogue;
    return dp_digester_new(key, &dialogue.digester);
}

static int end(void **state)
{
    struct dialogue *dialogue = *state;
    dp_digester_free(dialogue->digester);
    dp_batch_free(&dialogue->batch);
    return 0;
}

/* Sends a payload; returns what was recognised. `captured`: bytes of it within the snap length. */
static uint16_t send_cut(struct dialogue *dialogue, bool server, const char *payload, size_t len,
                         size_t captured)
{
    struct frame frame = {.len = 0};
    uint32_t *seq = server ? &dialogue->server_seq : &dialogue->client_seq;
    if (server)
        frame_ipv4_back(&frame, 6, 20 + len);
    else
        frame_ipv4(&frame, 6, 20 + len);
    frame_tcp(&frame, server ? dialogue->port : 40000, server ? 40000 : dialogue->port,
              DP_TCP_ACK | DP_TCP_PSH, NULL, 0);
    for (size_t i = 0; i < 4; i++)
        frame.bytes[24 + i] = (uint8_t)(*seq >> (24 - 8 * i));
    *seq += (uint32_t)len;
    frame_put(&frame, payload, len);
    assert_int_equal(dp_digester_frame(dialogue->digester, RAW, 1, frame.bytes, 40 + captured, frame.len,
                                       &dialogue->batch),
                     DP_OK);
    return dialogue->batch.digests[dialogue->batch.digest_count - 1].app;
}

static uint16_t client(struct dialogue *dialogue, const char *text)
{
    return send_cut(dialogue, false, text, strlen(text), strlen(text));
}

static uint16_t server(struct dialogue *dialogue, const char *text)
{
    return send_cut(dialogue, true, text, strlen(text), strlen(text));
}

static void test_each_verb(void **state)
{
    struct dialogue *d = *state;
    static const struct {
        const char *line;
        uint16_t app;
    } cases[] = {
        {"HELO mx1\r\n", DP_SMTP_HELO},
        {"EHLO mx1\r\n", DP_SMTP_EHLO},
        {"MAIL FROM:<a@b>\r\n", DP_SMTP_MAIL},
        {"rcpt to:<a@b>\r\n", DP_SMTP_RCPT},
        {"Data\r\n", DP_SMTP_DATA},
        {"RSET\r\n", DP_SMTP_RSET},
        {"NOOP\r\n", DP_SMTP_NOOP},
        {"QUIT\r\n", DP_SMTP_QUIT},
        {"VRFY x\r\n", DP_SMTP_VRFY},
        {"AUTH PLAIN AGEAYg==\r\n", DP_SMTP_AUTH},
        {"DATAX\r\n", 0},
        {"DATA", 0},
        {"DATA\n", 0},
        {" DATA\r\n", 0},
        {"XCLIENT a\r\n", 0},
        {"STARTTLS\r\n", DP_SMTP_STARTTLS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(client(d, cases[i].line), cases[i].app);
    assert_int_equal(d->batch.note_count, 0);
}

static void test_each_port(void **state)
{
    struct dialogue *d = *state;
    static const uint16_t ports[] = {25, 587, 2525, 465, 80};
    for (size_t i = 0; i < 5; i++) {
        d->port = ports[i];
        assert_int_equal(client(d, "QUIT\r\n"), i < 3 ? DP_SMTP_QUIT : 0);
        assert_int_equal(server(d, "221 bye\r\n"), i < 3 ? 221 : 0);
    }
}

static void test_replies(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(server(d, "220 mx ESMTP\r\n"), 220);
    assert_int_equal(server(d, "250-mx\r\n250 SIZE 1\r\n"), 250);
    assert_int_equal(server(d, "250\r\n"), 250);
    assert_int_equal(server(d, "199 x\r\n"), 0);
    assert_int_equal(server(d, "600 x\r\n"), 0);
    assert_int_equal(server(d, "2500 x\r\n"), 0);
    assert_int_equal(server(d, "250"), 0);
    assert_int_equal(server(d, "QUIT\r\n"), 0); /* a server says no verbs */
    assert_int_equal(client(d, "250 ok\r\n"), 0);
    assert_int_equal(d->batch.note_count, 0);
}

/* Behind a relay the same message is known by these; only their hashes are in the batch. */
static void test_what_identifies_a_message(void **state)
{
    struct dialogue *d = *state;
    client(d, "PROXY TCP4 192.0.2.7 198.51.100.9 40000 25\r\n");
    client(d, "DATA\r\n");
    server(d, "354 go\r\n");
    uint32_t seq = d->client_seq;
    client(d, "Received: by a with ESMTP id QUEUE1; now\r\nMessage-ID: <a@example.net>\r\n\r\nhi\r\n.\r\n");
    server(d, "250 2.0.0 Ok: queued as QUEUE1\r\n");
    server(d, "250 2.0.0 Ok: queued as QUEUE2\r\n"); /* no message before it */
    assert_int_equal(d->batch.note_count, 4);
    const struct dp_note *n = d->batch.notes;
    assert_int_equal(n[0].kind, DP_NOTE_PROXIED);
    assert_int_equal(n[0].from_port, 40000);
    assert_int_equal(n[0].len, 44);
    assert_int_equal(n[1].kind, DP_NOTE_RECEIVED_ID);
    assert_int_equal(n[1].seq, seq);
    assert_int_equal(n[2].kind, DP_NOTE_MESSAGE_ID);
    assert_int_equal(n[2].seq, seq + 42);
    assert_int_equal(n[3].kind, DP_NOTE_QUEUE_ID);
    assert_int_equal(n[3].dir, 1);
    assert_true(n[3].value == n[1].value && n[3].value != n[2].value);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(n[i].text, "");
}

static void test_content_is_not_read(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(client(d, "DATA\r\n"), DP_SMTP_DATA);
    assert_int_equal(client(d, "QUIT\r\n"), DP_SMTP_QUIT); /* no 354 yet: still commands */
    assert_int_equal(server(d, "354 go\r\n"), 354);
    assert_int_equal(client(d, "MAIL is what this is about\r\n"), DP_SMTP_CONTENT);
    assert_int_equal(client(d, "\r\n.\r\nx"), 0);
    d->server_seq -= 8;
    assert_int_equal(server(d, "354 go\r\n"), 354); /* sent again */
    d->server_seq -= 16;
    assert_int_equal(server(d, "250 ok\r\n"), 250); /* an older one sent again */
    d->server_seq += 8;
    assert_int_equal(client(d, "QUIT \r\n"), 0);
    assert_int_equal(client(d, "end\r\n.\r\n"), DP_SMTP_END_OF_DATA);
    assert_int_equal(client(d, "QUIT\r\n"), DP_SMTP_QUIT);
}

static void test_end_of_data(void **state)
{
    struct dialogue *d = *state;
    static const char *const ends[] = {".\r\n", "\r\n.\r\n", "x\r\n.\r\n", ".\r\nQUIT\r\n",
                                       "x\r\n.\r\nQUIT\r\n"};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(server(d, "354 go\r\n"), 354);
        assert_int_equal(client(d, "x.\r\n"), DP_SMTP_CONTENT);
        assert_int_equal(client(d, "..\r\n"), 0);
        assert_int_equal(client(d, ends[i]), DP_SMTP_END_OF_DATA);
        assert_int_equal(client(d, "RSET\r\n"), DP_SMTP_RSET);
    }
    /* Not within the snap length: the server's reply ends the content. */
    assert_int_equal(server(d, "354 go\r\n"), 354);
    assert_int_equal(send_cut(d, false, "long\r\n.\r\nlong\r\n.\r\n", 18, 9), DP_SMTP_CONTENT);
    assert_int_equal(client(d, "RSET\r\n"), 0);
    assert_int_equal(server(d, "250 queued\r\n"), 250);
    assert_int_equal(client(d, "RSET\r\n"), DP_SMTP_RSET);
}

static void test_pipelined_replies(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(server(d, "250 ok\r\n550 5.1.1 who\r\n354 go\r\n"), 250);
    assert_int_equal(client(d, "DATA \r\n"), DP_SMTP_CONTENT);
    assert_int_equal(d->batch.note_count, 1);
    assert_int_equal(d->batch.notes[0].code, 550);
    assert_string_equal(d->batch.notes[0].text, "5.1.1 who");
}

static void test_chunks_are_not_read(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(client(d, "BDAT 18 LAST\r\nDATA \r\n"), DP_SMTP_BDAT);
    assert_int_equal(client(d, "DATA \r\n1234"), 0);
    assert_int_equal(client(d, "QUIT\r\n"), DP_SMTP_QUIT);
}

static void test_nothing_is_read_after_starttls(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(client(d, "STARTTLS\r\n"), DP_SMTP_STARTTLS);
    assert_int_equal(server(d, "454 no\r\n"), 454);
    assert_int_equal(client(d, "NOOP\r\n"), DP_SMTP_NOOP);
    assert_int_equal(client(d, "STARTTLS\r\n"), DP_SMTP_STARTTLS);
    assert_int_equal(server(d, "220 go\r\n"), 220);
    assert_int_equal(client(d, "NOOP\r\n"), 0);
    assert_int_equal(client(d, "x\r\n.\r\n"), 0);
    assert_int_equal(server(d, "550 no\r\n"), 0);
    assert_int_equal(d->batch.note_count, 1);
    /* The ports used anew: a new connection. */
    struct frame frame = {.len = 0};
    frame_ipv4(&frame, 6, 20);
    frame_tcp(&frame, 40000, 25, DP_TCP_SYN, NULL, 0);
    assert_int_equal(dp_digester_frame(d->digester, RAW, 1, frame.bytes, frame.len, frame.len, &d->batch),
                     DP_OK);
    assert_int_equal(client(d, "NOOP\r\n"), DP_SMTP_NOOP);
}

static void test_notes(void **state)
{
    struct dialogue *d = *state;
    assert_int_equal(server(d, "421 4.4.2 timeout exceeded\r\n"), 421);
    assert_int_equal(server(d, "550-5.7.1 one\r\n550-\r\n550 5.7.1 two"), 550);
    assert_int_equal(server(d, "451\r\n"), 451);
    assert_int_equal(server(d, "550 a\x01\x7f\xff\xc3\xa9\xc2\x85\xe2\x80\xae z\r\n"), 550);
    assert_int_equal(client(d, "550 mine\r\n"), 0);
    assert_int_equal(d->batch.note_count, 4);
    const struct dp_note *notes = d->batch.notes;
    assert_int_equal(notes[0].code, 421);
    assert_int_equal(notes[0].dir, 0); /* the server's packet is the first of this flow */
    assert_true(notes[0].ts_ns == 1);
    assert_string_equal(notes[0].text, "4.4.2 timeout exceeded");
    assert_string_equal(notes[1].text, "5.7.1 one /  / 5.7.1 two");
    assert_string_equal(notes[2].text, "");
    assert_string_equal(notes[3].text, "a???\xc3\xa9????? z");
}

static void test_long_note_is_cut_at_a_character(void **state)
{
    struct dialogue *d = *state;
    char text[500] = "550 ";
    memset(text + 4, 'x', DP_NOTE_TEXT - 2);
    strcpy(text + 4 + DP_NOTE_TEXT - 2, "\xc3\xa9\r\n");
    assert_int_equal(server(d, text), 550);
    assert_int_equal(strlen(d->batch.notes[0].text), DP_NOTE_TEXT - 2);
    strcpy(text + 4 + DP_NOTE_TEXT - 3, "\xc3\xa9\r\n");
    assert_int_equal(server(d, text), 550);
    assert_int_equal(strlen(d->batch.notes[1].text), DP_NOTE_TEXT - 1);
}

static void test_notes_are_bounded(void **state)
{
    struct dialogue *d = *state;
    char flood[1000] = "";
    for (size_t i = 0; i < 100; i++)
        strcat(flood, "550 no\r\n");
    assert_int_equal(server(d, flood), 550);
    assert_true(d->batch.note_count < 100);
    for (size_t i = 0; i < 1000; i++)
        (void)server(d, flood);
    assert_int_equal(d->batch.note_count, DP_BATCH_MAX_NOTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_verb, begin, end),
        cmocka_unit_test_setup_teardown(test_each_port, begin, end),
        cmocka_unit_test_setup_teardown(test_replies, begin, end),
        cmocka_unit_test_setup_teardown(test_what_identifies_a_message, begin, end),
        cmocka_unit_test_setup_teardown(test_content_is_not_read, begin, end),
        cmocka_unit_test_setup_teardown(test_end_of_data, begin, end),
        cmocka_unit_test_setup_teardown(test_pipelined_replies, begin, end),
        cmocka_unit_test_setup_teardown(test_chunks_are_not_read, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_is_read_after_starttls, begin, end),
        cmocka_unit_test_setup_teardown(test_notes, begin, end),
        cmocka_unit_test_setup_teardown(test_long_note_is_cut_at_a_character, begin, end),
        cmocka_unit_test_setup_teardown(test_notes_are_bounded, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
