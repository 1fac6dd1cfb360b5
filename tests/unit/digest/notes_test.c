/* What tells a message or a connection again behind a mail relay or a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/digest/mail_ids.h"
#include "common/digest/proxy_header.h"

#define MOST 8

struct reading {
    struct dp_mail_header header;
    uint32_t seq;
    struct dp_mail_id ids[MOST];
    size_t count;
};

static struct reading begin(void)
{
    struct reading r = {.seq = 0xfffffff0};
    dp_mail_begin(&r.header, r.seq);
    return r;
}

static void feed(struct reading *r, const char *text)
{
    r->count =
        dp_mail_read(&r->header, r->seq, (const uint8_t *)text, strlen(text), strlen(text), r->ids, MOST);
    r->seq += (uint32_t)strlen(text);
}

static void assert_id(const struct reading *r, size_t i, enum dp_note_kind kind, const char *text)
{
    assert_true(i < r->count);
    assert_int_equal(r->ids[i].kind, kind);
    assert_int_equal(r->ids[i].len, strlen(text));
    assert_memory_equal(r->ids[i].text, text, r->ids[i].len);
}

static void test_header_of_a_relay(void **state)
{
    (void)state;
    struct reading r = begin();
    uint32_t seq = r.seq;
    feed(&r, "Received: from mx1.example.net (mx1.example.net [192.0.2.1])\r\n"
             "\tby lb1.example.net (Postfix) with ESMTP id 4XyZ12AbCd\r\n"
             "\tfor <a@example.org>; Mon,  2 Nov 2026 10:00:00 +0000 (UTC)\r\n"
             "Subject: id 12345 of nothing\r\n"
             "message-id:  <abc.1@example.net> \r\n"
             "\r\n"
             "Message-ID: <of.the.body@example.net>\r\n");
    assert_int_equal(r.count, 2);
    assert_id(&r, 0, DP_NOTE_RECEIVED_ID, "4XyZ12AbCd");
    assert_id(&r, 1, DP_NOTE_MESSAGE_ID, "<abc.1@example.net>");
    assert_int_equal(r.ids[0].seq - seq, 62);
    assert_false(r.header.open);
}

static void test_header_in_pieces(void **state)
{
    (void)state;
    struct reading r = begin();
    feed(&r, "Subject: x\r\nTo: y\r\n");
    assert_int_equal(r.count, 0);
    feed(&r, "Message-ID:\r\n <folded@example.net>\r\nX-Long: abc");
    assert_int_equal(r.count, 1);
    assert_id(&r, 0, DP_NOTE_MESSAGE_ID, "<folded@example.net>");
    feed(&r, "Message-ID: <inside.a.line@example.net>\r\nReceived: by b; id\r\n");
    assert_int_equal(r.count, 0);
    uint32_t back = r.seq - 20; /* sent again in part: nothing is read twice */
    assert_int_equal(
        dp_mail_read(&r.header, back, (const uint8_t *)"Received: by b; id\r\n", 20, 20, r.ids, MOST), 0);
    assert_true(r.header.open);
    assert_int_equal(
        dp_mail_read(&r.header, r.seq + 5, (const uint8_t *)"Message-ID: <a@b>\r\n", 19, 19, r.ids, MOST),
        0); /* behind a hole */
    assert_false(r.header.open);
}

static void test_cut_by_the_snap_length(void **state)
{
    (void)state;
    struct reading r = begin();
    const char *text = "To: a\r\nMessage-ID: <cut.off@example.net>\r\n";
    assert_int_equal(dp_mail_read(&r.header, r.seq, (const uint8_t *)text, 24, strlen(text), r.ids, MOST), 0);
    r.seq += (uint32_t)strlen(text);
    feed(&r, "rest\r\nMessage-ID: <second@example.net>\r\n");
    assert_int_equal(r.count, 1);
    assert_id(&r, 0, DP_NOTE_MESSAGE_ID, "<second@example.net>");
}

static void test_more_than_fits(void **state)
{
    (void)state;
    struct reading r = begin();
    char text[4096] = "";
    for (int i = 0; i < 40; i++)
        strcat(text, "Received: by b with SMTP id 1234567890\r\n");
    feed(&r, text);
    assert_int_equal(r.count, MOST);
}

static void test_queue_ids(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *id;
    } cases[] = {
        {"250 2.0.0 Ok: queued as 4XyZ12AbCd\r\n", "4XyZ12AbCd"},
        {"250 OK id=1tAbCd-000000001Xy-2Zzz\r\n", "1tAbCd-000000001Xy-2Zzz"},
        {"250 2.0.0 5A21xyz0012 Message accepted for delivery\r\n", "5A21xyz0012"},
        {"250 2.0.0 deadbeef Message accepted for delivery", "deadbeef"},
        {"250 2.0.0 Ok\r\n", NULL},
        {"250 queued as \r\n", NULL},
        {"250 OK id=\r\n", NULL},
        {" Message accepted for delivery", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *text = NULL;
        size_t len = 0;
        bool found = dp_mail_queue_id((const uint8_t *)cases[i].reply, strlen(cases[i].reply), &text, &len);
        assert_int_equal(found, cases[i].id != NULL);
        if (!found)
            continue;
        assert_int_equal(len, strlen(cases[i].id));
        assert_memory_equal(text, cases[i].id, len);
    }
}

static bool read_header(const char *text, size_t len, struct dp_proxy_header *ret)
{
    return dp_proxy_header_read((const uint8_t *)text, len, ret);
}

static void test_proxy_header(void **state)
{
    (void)state;
    struct dp_proxy_header h;
    static const char v1[] = "PROXY TCP4 192.0.2.1 198.51.100.9 40000 25\r\nEHLO";
    assert_true(read_header(v1, sizeof v1 - 1, &h));
    assert_int_equal(h.len, 44);
    assert_int_equal(h.from_port, 40000);
    assert_int_equal(h.to_port, 25);
    assert_memory_equal(h.from.bytes, "\xc0\0\2\1", 4);
    assert_memory_equal(h.to.bytes, "\xc6\x33\x64\x09", 4);
    static const char v1_six[] = "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
    assert_true(read_header(v1_six, sizeof v1_six - 1, &h));
    assert_int_equal(h.from.family, 6);
    assert_int_equal(h.to_port, 65535);
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\x09\x9c\x40\0\x19tlv";
    assert_true(read_header(v2, sizeof v2 - 1, &h));
    assert_int_equal(h.len, 31);
    assert_int_equal(h.from_port, 40000);
    assert_int_equal(h.to_port, 25);
}

static void test_no_proxy_header(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY UNKNOWN\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 25\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 25 1\r\n",
        "PROXY TCP4 192.0.2.1 2001:db8::1 40000 25\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 -1 25\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 \r\n",
        "PROXY",
        "",
    };
    struct dp_proxy_header h;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_false(read_header(lines[i], strlen(lines[i]), &h));
    static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    assert_false(read_header(local, sizeof local - 1, &h));
    static const char cut[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1";
    assert_false(read_header(cut, sizeof cut - 1, &h));
    static const char lying[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\2\1\xc6\x33\x64\x09\x9c\x40\0\x19";
    assert_false(read_header(lying, sizeof lying - 1, &h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_of_a_relay),
        cmocka_unit_test(test_header_in_pieces),
        cmocka_unit_test(test_cut_by_the_snap_length),
        cmocka_unit_test(test_more_than_fits),
        cmocka_unit_test(test_queue_ids),
        cmocka_unit_test(test_proxy_header),
        cmocka_unit_test(test_no_proxy_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
