#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/probe/relay/imap_proof.h"

static const struct {
    const char *url, *host;
    uint16_t port;
    const char *folder;
} good[] = {
    {"imap://mail.example.net", "mail.example.net", 143, "INBOX"},
    {"imaps://mail.example.net/", "mail.example.net", 993, "INBOX"},
    {"IMAPS://mail.example.net:993/Relay tests", "mail.example.net", 993, "Relay tests"},
    {"imap://192.0.2.7:1143/a/b", "192.0.2.7", 1143, "a/b"},
    {"imap://[2001:db8::7]:143", "2001:db8::7", 143, "INBOX"},
};

static const struct {
    const char *url, *said;
} bad[] = {
    {"imap://", "is not imap"},
    {"imap:///INBOX", "is not imap"},
    {"imap://me@mail.example.net", "--auth-file"},
    {"imaps://mail.example.net:1993", "port 993"},
    {"imap://mail.example.net:0", "0"},
    {"imap://mail.example.net/a\r\nb", "ASCII"},
    {"imap://mail.example.net/\xc3\xa4", "ASCII"},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct imap_place place;
        struct dp_diag diag;
        assert_true(imap_place_meant(good[i].url));
        assert_int_equal(imap_place_parse(good[i].url, &place, &diag), 0);
        assert_string_equal(place.server.host, good[i].host);
        assert_int_equal(place.server.port, good[i].port);
        assert_string_equal(place.folder, good[i].folder);
    }
}

static void test_bad_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct imap_place place;
        struct dp_diag diag;
        assert_int_equal(imap_place_parse(bad[i].url, &place, &diag), DP_ERR_USAGE);
        assert_non_null(strstr(diag.text, bad[i].said));
    }
    char url[600] = "imap://mail.example.net/";
    memset(url + strlen(url), 'x', 400);
    struct imap_place place;
    struct dp_diag diag;
    assert_int_equal(imap_place_parse(url, &place, &diag), DP_ERR_USAGE);
    assert_false(imap_place_meant("/home/me/Maildir"));
    assert_false(imap_place_meant("imap"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_bad_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
