#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/probe/tls/hello.h"
#include "agent/probe/tls/suites.h"
#include "agent/probe/tls/verdict.h"

static void test_suites(void **state)
{
    (void)state;
    char text[12];
    const char *why;
    for (size_t i = 1; i < tls_suite_count; i++)
        assert_true(tls_suites[i - 1].number < tls_suites[i].number);
    assert_string_equal(tls_suite_name(0xc02f, text), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_string_equal(tls_suite_name(0xfefe, text), "0xFEFE");
    static const struct {
        const char *name;
        enum tls_strength strength;
    } cases[] = {{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", TLS_STRONG},
                 {"TLS_AES_256_GCM_SHA384", TLS_STRONG},
                 {"TLS_RSA_WITH_AES_128_GCM_SHA256", TLS_ACCEPTABLE},
                 {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", TLS_ACCEPTABLE},
                 {"TLS_RSA_WITH_NULL_SHA", TLS_WEAK},
                 {"TLS_DH_anon_WITH_AES_128_GCM_SHA256", TLS_WEAK},
                 {"TLS_RSA_EXPORT_WITH_RC4_40_MD5", TLS_WEAK},
                 {"TLS_RSA_WITH_RC4_128_SHA", TLS_WEAK},
                 {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", TLS_WEAK},
                 {"TLS_DHE_RSA_WITH_DES_CBC_SHA", TLS_WEAK},
                 {"SSL_CK_IDEA_128_CBC_WITH_MD5", TLS_WEAK},
                 {"TLS_ECDH_anon_WITH_NULL_SHA", TLS_WEAK}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(tls_suite_strength(cases[i].name, &why), cases[i].strength);
    struct tls_suite tls13 = {0x1301, "TLS_AES_128_GCM_SHA256"},
                     gcm = {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
                     cbc = {0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"};
    assert_true(tls_suite_fits(&tls13, TLS_1_3) && !tls_suite_fits(&tls13, TLS_1_2));
    assert_true(tls_suite_fits(&gcm, TLS_1_2) && !tls_suite_fits(&gcm, TLS_1_1) &&
                !tls_suite_fits(&gcm, TLS_1_3));
    assert_true(tls_suite_fits(&cbc, TLS_1_2) && tls_suite_fits(&cbc, TLS_SSL3));
}

/* Lengths inside of each other hold, for every version. */
static void test_hellos(void **state)
{
    (void)state;
    uint8_t random[64] = {1}, out[TLS_HELLO_MAX];
    uint16_t suites[300];
    for (size_t i = 0; i < 300; i++)
        suites[i] = (uint16_t)(0xc000 + i);
    for (int v = TLS_SSL3; v < TLS_VERSIONS; v++) {
        size_t length = tls_hello_write((enum tls_version)v, suites, 300, "mx.example.net", random, out);
        assert_true(length > 600);
        assert_int_equal(out[0], 22);
        assert_int_equal((size_t)(out[3] << 8 | out[4]) + 5, length);
        assert_int_equal((size_t)(out[7] << 8 | out[8]) + 9, length);
        assert_int_equal(out[44] << 8 | out[45], 600); // suites
        bool has_name = false;
        for (size_t i = 0; i + 14 <= length; i++)
            has_name = has_name || memcmp(out + i, "mx.example.net", 14) == 0;
        assert_int_equal(has_name, v != TLS_SSL3);
    }
    size_t length = tls_hello_write(TLS_SSL2, NULL, 0, NULL, random, out);
    assert_int_equal((size_t)((out[0] & 0x7f) << 8 | out[1]) + 2, length);
    char name[TLS_HELLO_MAX];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(tls_hello_write(TLS_1_2, suites, 300, name, random, out), 0); // does not fit
}

/* A ServerHello of TLS 1.2 with a DHE suite, its ServerKeyExchange with a 1024 bit prime, in two records. */
static size_t make_answer(uint8_t *out, uint16_t suite)
{
    size_t at = 0;
    static const uint8_t head[] = {22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3};
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 7, 32);
    at = sizeof head + 32;
    out[at++] = 0;
    out[at++] = (uint8_t)(suite >> 8);
    out[at++] = (uint8_t)suite;
    out[at++] = 0;
    static const uint8_t key[] = {22, 3, 3, 0, 134, 12, 0, 0, 130, 0, 128};
    memcpy(out + at, key, sizeof key);
    at += sizeof key;
    memset(out + at, 0xff, 128);
    return at + 128;
}

static void test_answers(void **state)
{
    (void)state;
    uint8_t bytes[400];
    size_t length = make_answer(bytes, 0x0033); // TLS_DHE_RSA_WITH_AES_128_CBC_SHA
    struct tls_answer answer = tls_answer_read(TLS_1_2, bytes, length, false);
    assert_int_equal(answer.kind, TLS_ANSWER_HELLO);
    assert_int_equal(answer.version, 0x0303);
    assert_int_equal(answer.suite, 0x0033);
    assert_int_equal(answer.dh_bits, 1024);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(tls_answer_read(TLS_1_2, bytes, cut, false).kind, TLS_ANSWER_MORE);
    assert_int_equal(tls_answer_read(TLS_1_2, bytes, 60, true).kind, TLS_ANSWER_HELLO); // the hello is whole
    (void)make_answer(bytes, 0x002f);                                                   // needs no key
    assert_int_equal(tls_answer_read(TLS_1_2, bytes, 47, false).kind, TLS_ANSWER_HELLO);
    static const uint8_t alert[] = {21, 3, 1, 0, 2, 2, 40};
    answer = tls_answer_read(TLS_1_0, alert, sizeof alert, false);
    assert_int_equal(answer.kind, TLS_ANSWER_ALERT);
    assert_string_equal(tls_alert_name(answer.alert), "handshake_failure");
    assert_int_equal(tls_answer_read(TLS_1_0, (const uint8_t *)"220 mx\r\n", 8, false).kind,
                     TLS_ANSWER_NOT_TLS);
    assert_int_equal(tls_answer_read(TLS_1_0, NULL, 0, false).kind, TLS_ANSWER_MORE);
    assert_int_equal(tls_answer_read(TLS_1_0, NULL, 0, true).kind, TLS_ANSWER_NOT_TLS);
    static const uint8_t ssl2[] = {0x80, 14, 4, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 1, 0, 0x80};
    answer = tls_answer_read(TLS_SSL2, ssl2, sizeof ssl2, false);
    assert_int_equal(answer.kind, TLS_ANSWER_HELLO);
    assert_int_equal(answer.ssl2_count, 1);
    assert_int_equal(answer.ssl2_suites[0], 0x010080);
    assert_int_equal(tls_answer_read(TLS_SSL2, alert, sizeof alert, false).kind, TLS_ANSWER_ALERT);
}

static void check(const struct tls_chain_state *tls12, const struct tls_certificate *certificate,
                  const char *class)
{
    static const struct tls_chain_state no = {.offered = TLS_OFFERED_NO, .complete = true, .spoke_tls = true};
    const struct tls_chain_state *states[TLS_VERSIONS] = {&no, &no, &no, &no, tls12, &no};
    struct tls_verdict verdict = tls_judge("mx", states, certificate);
    assert_string_equal(verdict.class, class);
    json_decref(verdict.weaknesses);
}

static void test_verdicts(void **state)
{
    (void)state;
    static struct tls_chain_state yes = {
        .offered = TLS_OFFERED_YES, .complete = true, .spoke_tls = true, .count = 1, .found = {{0xc02f, 0}}};
    struct tls_certificate good = {.seen = true,
                                   .trust = DP_TRUST_OK,
                                   .name_holds = true,
                                   .key_type = "RSA",
                                   .key_bits = 2048,
                                   .error = ""};
    struct tls_certificate bad = good;
    check(&yes, &good, "ok");
    bad.trust = DP_TRUST_UNTRUSTED;
    check(&yes, &bad, "untrusted");
    bad.expired = true;
    check(&yes, &bad, "expired");
    bad = good;
    bad.trust = DP_TRUST_MISMATCH;
    check(&yes, &bad, "mismatch");
    bad = good;
    bad.key_bits = 1024;
    check(&yes, &bad, "weak");
    bad.key_type = "EC";
    bad.key_bits = 256;
    check(&yes, &bad, "ok");
    yes.found[0] = (struct tls_found){0x0033, 1024};
    check(&yes, &good, "weak"); // a short Diffie-Hellman key
    yes.found[0] = (struct tls_found){0x0005, 0};
    check(&yes, &good, "weak"); // RC4
    yes.found[0] = (struct tls_found){0xc02f, 0};
    yes.complete = false;
    check(&yes, &good, "inconclusive");
    static const struct tls_chain_state unknown = {.offered = TLS_OFFERED_UNKNOWN};
    struct tls_certificate none = {.key_type = "", .error = ""};
    check(&unknown, &none, "inconclusive");
    static const struct tls_chain_state other = {
        .offered = TLS_OFFERED_NO, .complete = true, .not_tls = true};
    const struct tls_chain_state *states[TLS_VERSIONS] = {&other, &other, &other, &other, &other, &other};
    struct tls_verdict verdict = tls_judge("mx", states, &none);
    assert_string_equal(verdict.class, "no-tls");
    json_decref(verdict.weaknesses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_suites), cmocka_unit_test(test_hellos),
                                       cmocka_unit_test(test_answers), cmocka_unit_test(test_verdicts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
