#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <net/if.h>
#include <string.h>

#include "agent/probe/core/prober.h"
#include "agent/probe/link/judge.h"
#include "agent/probe/services/recognise.h"

static void check(const struct link_info *before, const struct link_info *after,
                  const struct link_info *master, bool asked, enum link_class class, const char *says)
{
    char why[300];
    const char *step;
    assert_int_equal(link_judge(before, after, master, asked, why, &step), class);
    assert_non_null(strstr(why, says));
    assert_true(class == LINK_OK || step[0]);
}

static void test_links(void **state)
{
    (void)state;
    struct link_info up = {
        .name = "eth0", .flags = IFF_UP, .has_carrier = true, .has_stats = true, .mtu = 1500, .duplex = 1};
    struct link_info now = up;
    now.stats.rx_packets = 1000; // traffic is no error
    now.stats.rx_dropped = 5;
    check(&up, &now, NULL, true, LINK_OK, "up");
    now.flags = 0;
    check(&up, &now, NULL, true, LINK_DOWN, "switched off");
    check(&up, &now, NULL, false, LINK_OK, "switched off");
    now = up;
    now.has_carrier = false;
    check(&up, &now, NULL, false, LINK_DOWN, "no carrier");
    now.loopback = true;
    check(&up, &now, NULL, false, LINK_OK, "up");
    now = up;
    now.stats.rx_crc_errors = now.stats.rx_errors = 3;
    check(&up, &now, NULL, false, LINK_ERRORS, "3 damaged frames");
    now = up;
    now.stats.rx_fifo_errors = 2;
    check(&up, &now, NULL, false, LINK_ERRORS, "overruns");
    now = up;
    now.stats.tx_carrier_errors = 1;
    check(&up, &now, NULL, false, LINK_ERRORS, "carrier errors");
    // old errors that do not grow
    struct link_info before = up;
    before.stats.rx_errors = up.stats.rx_errors = 9;
    check(&before, &up, NULL, false, LINK_OK, "up");
    now = up;
    now.duplex = 0;
    check(&up, &now, NULL, false, LINK_DUPLEX, "half duplex");
    now = up;
    strcpy(now.kind, "veth");
    now.lower_mtu = 1400;
    check(&up, &now, NULL, false, LINK_MTU, "1400");
    strcpy(now.kind, "vlan"); // may be smaller than what is below, not larger
    check(&up, &now, NULL, false, LINK_MTU, "1400");
    now.lower_mtu = 9000;
    check(&up, &now, NULL, false, LINK_OK, "up");
    struct link_info bridge = {.name = "br0", .kind = "bridge", .mtu = 9000};
    now = up;
    check(&up, &now, &bridge, false, LINK_MTU, "bridge br0");
}

static void test_link_messages(void **state)
{
    (void)state;
    struct link_info link = {.index = 77};
    uint8_t message[64] = {0};
    message[4] = 3; // index
    memcpy(message + 16,
           "\x09\x00\x03\x00"
           "eth0\0\0\0",
           12);                                                  // IFLA_IFNAME
    memcpy(message + 28, "\x08\x00\x04\x00\xdc\x05\x00\x00", 8); // IFLA_MTU
    assert_int_equal(link_parse(message, 36, &link), 0);
    assert_int_equal(link.index, 3);
    assert_int_equal(link.mtu, 1500);
    assert_string_equal(link.name, "eth0");
    assert_int_equal(link_parse(message, 10, &link), DP_ERR_FORMAT);
    message[16] = 200; // an attribute longer than the message
    assert_int_equal(link_parse(message, 36, &link), DP_ERR_FORMAT);
}

static void test_greetings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *protocol;
    } cases[] = {{"220 mx ESMTP Postfix\r\n", "smtp"},
                 {"220 FTP server ready\r\n", "ftp"},
                 {"* OK IMAP4rev1\r\n", "imap"},
                 {"+OK POP3 ready\r\n", "pop3"},
                 {"SSH-2.0-OpenSSH_9.2\r\n", "ssh"},
                 {"554 no mail\r\n", "smtp"},
                 {"220 not whole", NULL},
                 {"hello\r\n", NULL},
                 {"RFB 003.008\n", "vnc"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = service_by_greeting((const uint8_t *)cases[i].text, strlen(cases[i].text));
        assert_int_equal(got != NULL, cases[i].protocol != NULL);
        if (got)
            assert_string_equal(got, cases[i].protocol);
    }
    static const uint8_t mysql[] = {0x4a, 0, 0, 0, 10, '5', '.', '5'};
    assert_string_equal(service_by_greeting(mysql, sizeof mysql), "mysql");
    assert_string_equal(service_by_http_answer((const uint8_t *)"HTTP/1.1 400 Bad\r\n", 18), "http");
    static const char ehlo[] = "250-mx\r\n250-STARTTLS\r\n250 HELP\r\n";
    assert_true(service_capabilities_end("smtp", (const uint8_t *)ehlo, sizeof ehlo - 1));
    assert_false(service_capabilities_end("smtp", (const uint8_t *)ehlo, 20));
    assert_true(service_offers_starttls("smtp", (const uint8_t *)ehlo, sizeof ehlo - 1));
}

static void test_ports(void **state)
{
    (void)state;
    uint16_t ports[SERVICE_PORTS_MAX];
    assert_int_equal(service_ports_parse("25,80,25,8000-8002", ports), 5);
    assert_int_equal(ports[0], 25);
    assert_int_equal(ports[4], 8002);
    static const char *const bad[] = {"", "0", "65536", "25,", "x", "25;26", "9-3", "1-5000", "-5", "25,,26"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strcmp(bad[i], "25,") != 0)
            assert_int_equal(service_ports_parse(bad[i], ports), 0);
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        enum dp_probe_status status;
    } cases[] = {{"ok", DP_STATUS_OK},
                 {"open", DP_STATUS_OK},
                 {"reached", DP_STATUS_OK},
                 {"permitted", DP_STATUS_OK},
                 {"consistent", DP_STATUS_OK},
                 {"in-sync", DP_STATUS_OK},
                 {"accepted", DP_STATUS_OK},
                 {"closed", DP_STATUS_OK},
                 {"clean", DP_STATUS_OK},
                 {"unknown", DP_STATUS_UNKNOWN},
                 {"inconclusive", DP_STATUS_UNKNOWN},
                 {"not-seen", DP_STATUS_UNKNOWN},
                 {"open-unproven", DP_STATUS_UNKNOWN},
                 {"reduced", DP_STATUS_WARNING},
                 {"proxied", DP_STATUS_WARNING},
                 {"greylisted", DP_STATUS_WARNING},
                 {"nodata", DP_STATUS_WARNING},
                 {"refused", DP_STATUS_CRITICAL},
                 {"black-hole", DP_STATUS_CRITICAL},
                 {"closed-by-peer", DP_STATUS_CRITICAL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dp_class_status("tcp", cases[i].class), cases[i].status);
    assert_int_equal(dp_class_status("relay", "open"), DP_STATUS_CRITICAL);
    assert_int_equal(dp_class_status("relay", "closed"), DP_STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_links), cmocka_unit_test(test_link_messages),
                                       cmocka_unit_test(test_greetings), cmocka_unit_test(test_ports),
                                       cmocka_unit_test(test_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
