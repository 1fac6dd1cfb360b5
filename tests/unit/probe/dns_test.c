#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/probe/dns/verdict.h"
#include "agent/probe/dnsbl/lists.h"
#include "agent/probe/net/dns_codec.h"
#include "agent/probe/zone/transfer.h"

/* example.net MX, compressed names: 10 mx1.example.net, and its address in the additional section. */
static const uint8_t mx_answer[] = {
    0x12, 0x34, 0x84, 0x00, 0,   1,   0,   1,   0, 0,    0,   1,                         // header, AA
    7,    'E',  'x',  'a',  'm', 'p', 'l', 'e', 3, 'n',  'e', 't', 0,   0,  15,  0,   1, // question
    0xc0, 12,   0,    15,   0,   1,   0,   0,   1, 0x2c, 0,   8,   0,   10, 3,   'm', 'x',
    '1',  0xc0, 12,                                                                   // MX, TTL 300
    0xc0, 43,   0,    1,    0,   1,   0,   0,   0, 60,   0,   4,   203, 0,  113, 10}; // A of mx1

static void test_reads(void **state)
{
    (void)state;
    struct dp_dns_message m;
    assert_int_equal(dp_dns_read(mx_answer, sizeof mx_answer, &m), 0);
    assert_int_equal(m.id, 0x1234);
    assert_true(m.aa);
    assert_false(m.tc);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.records[0].type, DP_DNS_MX);
    assert_int_equal(m.records[0].ttl, 300);
    assert_int_equal(m.records[0].preference, 10);
    assert_string_equal(m.records[0].name, "example.net");
    assert_string_equal(m.records[0].target, "mx1.example.net");
    assert_string_equal(m.records[0].data, "10 mx1.example.net");
    assert_int_equal(m.records[1].section, DP_DNS_ADDITIONAL);
    assert_string_equal(m.records[1].name, "mx1.example.net");
    assert_string_equal(m.records[1].data, "203.0.113.10");
    dp_dns_message_free(&m);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof mx_answer; length++) {
        struct dp_dns_message m = {.count = 77};
        assert_int_not_equal(dp_dns_read(mx_answer, length, &m), 0);
        assert_int_equal(m.count, 77);
    }
    uint8_t cut[sizeof mx_answer];
    struct dp_dns_message m;
    memcpy(cut, mx_answer, sizeof cut);
    cut[2] |= 2; // TC: what is whole counts
    assert_int_equal(dp_dns_read(cut, sizeof cut - 3, &m), 0);
    assert_int_equal(m.count, 1);
    dp_dns_message_free(&m);
    cut[2] = 0; // a question
    assert_int_equal(dp_dns_read(cut, sizeof cut, &m), DP_ERR_FORMAT);
    memcpy(cut, mx_answer, sizeof cut);
    cut[sizeof cut - 16] = 0xc0; // a name that points to itself
    cut[sizeof cut - 15] = sizeof cut - 16;
    assert_int_equal(dp_dns_read(cut, sizeof cut, &m), DP_ERR_FORMAT);
}

static void test_names_and_numbers(void **state)
{
    (void)state;
    char name[DP_DNS_NAME], text[16];
    assert_true(dp_dns_reverse_name("192.0.2.10", name));
    assert_string_equal(name, "10.2.0.192.in-addr.arpa");
    assert_true(dp_dns_reverse_name("2001:db8::1", name));
    assert_string_equal(name, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    assert_false(dp_dns_reverse_name("example.net", name));
    assert_int_equal(dp_dns_type_number("mx"), 15);
    assert_int_equal(dp_dns_type_number("TYPE65280"), 65280);
    assert_int_equal(dp_dns_type_number("TYPE99999"), 0);
    assert_int_equal(dp_dns_type_number("AXFR"), 0);
    assert_string_equal(dp_dns_type_name(65280, text), "TYPE65280");
    // RFC 1982
    assert_true(dp_dns_serial_newer(2, 1));
    assert_true(dp_dns_serial_newer(0, 0xffffffffU));
    assert_false(dp_dns_serial_newer(1, 2));
    assert_false(dp_dns_serial_newer(5, 5));
    assert_false(dp_dns_serial_newer(0x80000000U, 0));
}

static struct dns_cell cell(enum dns_state state, const char *data)
{
    struct dns_cell made = {.done = true, .state = state, .answers = json_array(), .canonical = strdup(data)};
    if (data[0])
        (void)json_array_append_new(made.answers,
                                    json_pack("{s:s, s:s, s:i}", "type", "A", "data", data, "ttl", 60));
    return made;
}

static void check_verdict(struct dns_cell a, struct dns_cell b, uint16_t type, const char *class,
                          size_t differences)
{
    struct dns_server servers[2] = {{.address = "192.0.2.1:53", .role = DNS_SYSTEM},
                                    {.address = "192.0.2.2:53", .role = DNS_AUTHORITATIVE}};
    struct dns_question question = {.name = "example.net", .type = type, .of_domain = true};
    struct dns_cell cells[2] = {a, b};
    struct dns_verdict verdict = dns_judge("example.net", servers, 2, &question, 1, cells);
    assert_string_equal(verdict.class, class);
    assert_int_equal(json_array_size(verdict.differences), differences);
    json_decref(verdict.differences);
    dns_cell_free(&cells[0]);
    dns_cell_free(&cells[1]);
}

static void test_verdicts(void **state)
{
    (void)state;
    check_verdict(cell(DNS_ANSWERS, "192.0.2.9"), cell(DNS_ANSWERS, "192.0.2.9"), DP_DNS_A, "consistent", 0);
    check_verdict(cell(DNS_ANSWERS, "192.0.2.9"), cell(DNS_ANSWERS, "192.0.2.8"), DP_DNS_A, "inconsistent",
                  1);
    check_verdict(cell(DNS_ANSWERS, "192.0.2.9"), cell(DNS_NXDOMAIN, ""), DP_DNS_A, "inconsistent", 1);
    check_verdict(cell(DNS_NXDOMAIN, ""), cell(DNS_NXDOMAIN, ""), DP_DNS_A, "nxdomain", 0);
    check_verdict(cell(DNS_NODATA, ""), cell(DNS_NODATA, ""), DP_DNS_A, "nodata", 0);
    // trouble with a server comes first, the worst of it
    check_verdict(cell(DNS_NXDOMAIN, ""), cell(DNS_LAME, ""), DP_DNS_A, "lame", 0);
    check_verdict(cell(DNS_REFUSED, ""), cell(DNS_LAME, ""), DP_DNS_A, "refused", 0);
    check_verdict(cell(DNS_REFUSED, ""), cell(DNS_SERVFAIL, ""), DP_DNS_A, "servfail", 0);
    check_verdict(cell(DNS_TIMEOUT, ""), cell(DNS_SERVFAIL, ""), DP_DNS_A, "timeout", 0);
    // a cache may keep an old SOA
    check_verdict(cell(DNS_ANSWERS, "old"), cell(DNS_ANSWERS, "new"), DP_DNS_SOA, "consistent", 0);
}

static void test_block_lists(void **state)
{
    (void)state;
    const struct dnsbl_list *zen = dnsbl_list_find("ZEN.spamhaus.org");
    char meaning[200], name[DP_DNS_NAME];
    assert_non_null(zen);
    assert_int_equal(dnsbl_judge(zen, "127.0.0.4", meaning, sizeof meaning), DNSBL_LISTED);
    assert_non_null(strstr(meaning, "XBL"));
    assert_int_equal(dnsbl_judge(zen, "127.0.0.11", meaning, sizeof meaning), DNSBL_LISTED);
    assert_non_null(strstr(meaning, "PBL"));
    assert_int_equal(dnsbl_judge(NULL, "127.0.0.77", meaning, sizeof meaning), DNSBL_LISTED);
    static const char *const errors[] = {"127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1",
                                         "10.0.0.2",        "203.0.113.1",     "nonsense"};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        assert_int_equal(dnsbl_judge(zen, errors[i], meaning, sizeof meaning), DNSBL_ERROR);
    const struct dnsbl_list *bits = dnsbl_list_find("multi.surbl.org");
    assert_int_equal(dnsbl_judge(bits, "127.0.0.24", meaning, sizeof meaning), DNSBL_LISTED);
    assert_string_equal(meaning, "phishing; malware");
    assert_true(dnsbl_name(DNSBL_IP4, "192.0.2.99", "bl.test", name));
    assert_string_equal(name, "99.2.0.192.bl.test");
    assert_true(dnsbl_name(DNSBL_DOMAIN, "example.net", "bl.test", name));
    assert_string_equal(name, "example.net.bl.test");
    assert_false(dnsbl_name(DNSBL_IP4, "2001:db8::1", "bl.test", name));
}

static void test_transfer(void **state)
{
    (void)state;
    uint8_t refused[12] = {0, 1, 0x84, 5, 0, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(zone_transfer_judge(refused, sizeof refused), ZONE_TRANSFER_REFUSED);
    refused[3] = 0; // no error, and nothing in it
    assert_int_equal(zone_transfer_judge(refused, sizeof refused), ZONE_TRANSFER_UNKNOWN);
    assert_int_equal(zone_transfer_judge(refused, 5), ZONE_TRANSFER_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads),
                                       cmocka_unit_test(test_every_cut_is_refused),
                                       cmocka_unit_test(test_names_and_numbers),
                                       cmocka_unit_test(test_verdicts),
                                       cmocka_unit_test(test_block_lists),
                                       cmocka_unit_test(test_transfer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
