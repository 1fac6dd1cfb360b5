#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/wire/crc32c.h"
#include "common/wire/rules.h"
#include "common/wire/wire.h"

static void test_crc32c_known_values(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    memset(ones, 0xff, sizeof ones);
    /* RFC 3720 B.4, and the usual check value. */
    assert_int_equal(dp_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(dp_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(dp_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(dp_crc32c(dp_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(dp_crc32c(7, NULL, 0), 7);
}

static void test_crc32c_both_ways_agree(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len + from <= sizeof bytes; len++)
            assert_int_equal(dp_crc32c(5, bytes + from, len), dp_crc32c_portable(5, bytes + from, len));
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool valid;
    } cases[] = {{"mx1", true},  {"0", true},    {"a.b_c-d", true},   {"", false},
                 {"-a", false},  {".", false},   {"..", false},       {"Mx1", false},
                 {"a/b", false}, {"a b", false}, {"m\xc3\xa4", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dp_wire_name_valid(cases[i].name), cases[i].valid);
    char name[65];
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_true(dp_wire_name_valid(name));
    name[63] = 'a';
    name[64] = '\0';
    assert_false(dp_wire_name_valid(name));
    assert_false(dp_wire_name_valid(NULL));
}

static void test_vantages(void **state)
{
    (void)state;
    static const struct {
        const char *vantage;
        bool valid;
    } cases[] = {{"mx1/eth0", true},
                 {"mx1/eth0.100", true},
                 {"mx1/veth-a", true},
                 {"mx1/nflog:5", true},
                 {"mx1", false},
                 {"mx1/", false},
                 {"/eth0", false},
                 {"mx1/a/b", false},
                 {"mx1/..", false},
                 {"mx1/.", false},
                 {"mx1/e th", false},
                 {"mx1/eth0\n", false},
                 {"Mx1/eth0", false},
                 {"mx1/0123456789abcde", true},
                 {"mx1/0123456789abcdef", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dp_wire_vantage_valid(cases[i].vantage), cases[i].valid);
    assert_false(dp_wire_vantage_valid(NULL));
}

static void test_text(void **state)
{
    (void)state;
    assert_true(dp_wire_text_valid("", "", false));
    assert_true(dp_wire_text_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", "", false));
    assert_true(dp_wire_text_valid("a\n\tb", "\n\t", false));
    assert_false(dp_wire_text_valid("a\nb", "", false));
    assert_false(dp_wire_text_valid("a\rb", "\n\t", false));
    assert_false(dp_wire_text_valid("a\x1b[2J", "\n\t", false));
    assert_false(dp_wire_text_valid("\x7f", "\n\t", false));
    assert_false(dp_wire_text_valid("\xc2\x9b", "\n\t", false)); /* CSI in one character */
    assert_true(dp_wire_text_valid("\xc2\x9b\x7f", "", true));
    assert_false(dp_wire_text_valid("\xe0\x80\x80", "", true)); /* overlong */
    assert_false(dp_wire_text_valid("\x80", "", true));
    assert_false(dp_wire_text_valid("\xf8\x88\x80\x80\x80", "", true));
}

static Droppoint__CapturePrepare prepare_message(uint8_t key[16])
{
    Droppoint__CapturePrepare prepare = DROPPOINT__CAPTURE_PREPARE__INIT;
    prepare.capture_id = (char *)"20260101-1200-a";
    prepare.vantage = (char *)"mx1/eth0";
    prepare.interface = (char *)"eth0";
    prepare.filter = (char *)"";
    prepare.snaplen = 96;
    prepare.duration_ms = 1000;
    prepare.hash_key = (ProtobufCBinaryData){.len = 16, .data = key};
    return prepare;
}

static int round_trip(Droppoint__Envelope *envelope, struct dp_diag *diag)
{
    uint8_t *bytes;
    size_t len;
    Droppoint__Envelope *back = NULL;
    int code = dp_wire_pack(envelope, &bytes, &len);
    if (code != DP_OK)
        return code;
    code = dp_wire_unpack(bytes, len, &back, diag);
    droppoint__envelope__free_unpacked(back, NULL);
    free(bytes);
    return code;
}

static int prepare_trip(const Droppoint__CapturePrepare *prepare)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_PREPARE;
    envelope.capture_prepare = (Droppoint__CapturePrepare *)prepare;
    return round_trip(&envelope, NULL);
}

static void test_numbers_stay_in_their_bounds(void **state)
{
    (void)state;
    uint8_t key[17] = {0};
    static const struct {
        uint32_t snaplen, duration_ms;
        size_t key_len;
        int code;
    } cases[] = {
        {64, 1, 16, DP_OK},           {262144, 86400000, 16, DP_OK},
        {63, 1, 16, DP_ERR_PROTOCOL}, {262145, 1, 16, DP_ERR_PROTOCOL},
        {64, 0, 16, DP_ERR_PROTOCOL}, {64, 86400001, 16, DP_ERR_PROTOCOL},
        {64, 1, 15, DP_ERR_PROTOCOL}, {64, 1, 17, DP_ERR_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Droppoint__CapturePrepare prepare = prepare_message(key);
        prepare.snaplen = cases[i].snaplen;
        prepare.duration_ms = cases[i].duration_ms;
        prepare.hash_key.len = cases[i].key_len;
        assert_int_equal(prepare_trip(&prepare), cases[i].code);
    }
    Droppoint__CapturePrepare prepare = prepare_message(key);
    prepare.ring_bytes = UINT64_MAX; /* no number that PostgreSQL cannot hold */
    assert_int_equal(prepare_trip(&prepare), DP_ERR_PROTOCOL);
    prepare = prepare_message(key);
    prepare.capture_id = (char *)"../../etc";
    assert_int_equal(prepare_trip(&prepare), DP_ERR_PROTOCOL);
    prepare.capture_id = (char *)"";
    assert_int_equal(prepare_trip(&prepare), DP_ERR_PROTOCOL);
}

static int trip_open(int kind)
{
    Droppoint__StreamOpen open = DROPPOINT__STREAM_OPEN__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_OPEN;
    envelope.stream_open = &open;
    open.epoch = open.stream = 1;
    open.capture_id = (char *)"c";
    open.vantage = (char *)"mx1/eth0";
    open.kind = (Droppoint__StreamKind)kind;
    return round_trip(&envelope, NULL);
}

static void test_enums_lists_and_required_parts(void **state)
{
    (void)state;
    assert_int_equal(trip_open(1), DP_OK);
    assert_int_equal(trip_open(0), DP_ERR_PROTOCOL);
    assert_int_equal(trip_open(99), DP_ERR_PROTOCOL);

    char *vantages[65];
    for (size_t i = 0; i < 65; i++)
        vantages[i] = (char *)"mx1/eth0";
    Droppoint__PathEntry path = DROPPOINT__PATH_ENTRY__INIT;
    Droppoint__PathSet set = DROPPOINT__PATH_SET__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    struct dp_diag diag = {""};
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PATH_SET;
    envelope.path_set = &set;
    assert_int_equal(round_trip(&envelope, &diag), DP_ERR_PROTOCOL);
    assert_non_null(strstr(diag.text, "PathSet"));
    set.path = &path;
    path.name = (char *)"out";
    path.vantages = vantages;
    path.n_vantages = 64;
    assert_int_equal(round_trip(&envelope, &diag), DP_OK);
    path.n_vantages = 65;
    assert_int_equal(round_trip(&envelope, &diag), DP_ERR_PROTOCOL);
    assert_string_equal(diag.text, "PathEntry: field \"vantages\" has 65 items, at most 64 are allowed.");
}

static void test_versions_bodies_and_junk(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t len;
        int code;
    } cases[] = {
        {{0}, 0, DP_ERR_UNSUPPORTED},                         /* version 0 */
        {{0x08, 0x02, 0x6a, 0x00}, 4, DP_ERR_UNSUPPORTED},    /* version 2 */
        {{0x08, 0x01}, 2, DP_ERR_PROTOCOL},                   /* no body */
        {{0x08, 0x01, 0xda, 0x3f, 0x00}, 5, DP_ERR_PROTOCOL}, /* a body that nobody knows */
        {{0x08, 0x01, 0x6a, 0x7f, 0x00}, 5, DP_ERR_PROTOCOL}, /* longer than it is */
        {{'G', 'E', 'T', ' ', '/'}, 5, DP_ERR_PROTOCOL},
        {{0x08, 0x01, 0x6a, 0x00}, 4, DP_OK}, /* a ping of zeros */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Droppoint__Envelope *envelope = NULL;
        struct dp_diag diag = {""};
        assert_int_equal(dp_wire_unpack(cases[i].bytes, cases[i].len, &envelope, &diag), cases[i].code);
        assert_true((cases[i].code == DP_OK) == (diag.text[0] == '\0'));
        assert_true((cases[i].code == DP_OK) == (envelope != NULL));
        droppoint__envelope__free_unpacked(envelope, NULL);
    }
    static const uint8_t refused[] = {0x08, 0x01, 0x10, 0x2a, 0xa2, 0x01, 0x02, 0x18, 0x63};
    assert_int_equal(dp_wire_request_of(refused, sizeof refused), 42);
    assert_int_equal(dp_wire_request_of((const uint8_t *)"GET", 3), 0);
}

/* Two bytes for each FlowKey on the wire, about a hundred in memory. */
static void test_a_message_cannot_swell(void **state)
{
    (void)state;
    size_t items = 700000;
    size_t len = 2 + 2 + 4 + 2 * items;
    uint8_t *bytes = calloc(1, len);
    assert_non_null(bytes);
    size_t body = 2 * items;
    const uint8_t head[] = {0x08,
                            0x01,
                            0xd2,
                            0x01,
                            (uint8_t)(0x80 | (body & 0x7f)),
                            (uint8_t)(0x80 | (body >> 7 & 0x7f)),
                            (uint8_t)(0x80 | (body >> 14 & 0x7f)),
                            (uint8_t)(body >> 21)};
    memcpy(bytes, head, sizeof head);
    for (size_t i = 0; i < items; i++)
        bytes[sizeof head + 2 * i] = 0x1a; /* ExportRequest.flows, length 0 */
    Droppoint__Envelope *envelope = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_wire_unpack(bytes, sizeof head + body, &envelope, &diag), DP_ERR_PROTOCOL);
    assert_null(strstr(diag.text, "ExportRequest")); /* refused before it was built */
    free(bytes);
}

static void test_size_bounds(void **state)
{
    (void)state;
    uint8_t *bytes = NULL;
    size_t len = 0;
    Droppoint__StreamData data = DROPPOINT__STREAM_DATA__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_STREAM_DATA;
    envelope.stream_data = &data;
    data.epoch = data.stream = data.number = 1;
    data.payload.len = DP_WIRE_MAX_MESSAGE;
    data.payload.data = calloc(1, data.payload.len);
    assert_non_null(data.payload.data);
    assert_int_equal(dp_wire_pack(&envelope, &bytes, &len), DP_ERR_RANGE);
    assert_null(bytes);
    data.payload.len = 1 << 20;
    assert_int_equal(round_trip(&envelope, NULL), DP_OK);
    data.payload.len = (1 << 20) + 1;
    assert_int_equal(round_trip(&envelope, NULL), DP_ERR_PROTOCOL);
    data.payload.len = 0;
    assert_int_equal(round_trip(&envelope, NULL), DP_ERR_PROTOCOL);
    free(data.payload.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_known_values),
        cmocka_unit_test(test_crc32c_both_ways_agree),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_vantages),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_numbers_stay_in_their_bounds),
        cmocka_unit_test(test_enums_lists_and_required_parts),
        cmocka_unit_test(test_versions_bodies_and_junk),
        cmocka_unit_test(test_a_message_cannot_swell),
        cmocka_unit_test(test_size_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
