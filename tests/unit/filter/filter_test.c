#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/filter/filter.h"
#include "tests/unit/cli_locate/frames.h"

static bool matches(const char *expression, int link_type, const uint8_t *frame, size_t captured,
                    size_t wire_len)
{
    struct dp_filter *filter = NULL;
    bool match = false;
    struct dp_diag diag = {""};
    assert_int_equal(dp_filter_new(expression, DP_FILTER_INNERMOST, &filter), DP_OK);
    /* Twice: compiled, and found again. */
    for (int i = 0; i < 2; i++) {
        int code = dp_filter_match(filter, link_type, frame, captured, wire_len, &match, &diag);
        if (code != DP_OK)
            fail_msg("%s", dp_reason(&diag, code));
    }
    dp_filter_free(filter);
    return match;
}

static void test_link_types(void **state)
{
    (void)state;
    uint8_t ethernet[FRAME_ROOM];
    struct frame frame = {.from_client = true, .flags = 0x10, .payload_len = 10};
    size_t len = make_frame(&frame, ethernet);
    assert_true(matches("tcp port 25", 1, ethernet, len, len));
    assert_false(matches("tcp port 26", 1, ethernet, len, len));
    assert_true(matches(NULL, 1, ethernet, len, len));
    assert_true(matches("", 1, ethernet, len, len));
    /* Raw IP by all its numbers. */
    static const int raw[] = {12, 14, 101, 228};
    for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++) {
        assert_true(matches("tcp port 25", raw[i], ethernet + 14, len - 14, len - 14));
        assert_false(matches("tcp port 26", raw[i], ethernet + 14, len - 14, len - 14));
    }
    assert_true(matches("greater 200", 1, ethernet, len, 200));
}

/* libpcap has no filters for nflog; the packet inside counts, in either byte order. */
static void test_nflog(void **state)
{
    (void)state;
    uint8_t ethernet[FRAME_ROOM];
    uint8_t nflog[FRAME_ROOM + 64];
    struct frame frame = {.from_client = true, .flags = 0x10, .payload_len = 10};
    size_t len = make_frame(&frame, ethernet) - 14;
    for (int swapped = 0; swapped < 2; swapped++) {
        uint16_t head[4] = {5, 10, (uint16_t)(len + 4), 9}; /* a prefix of one byte, then the payload */
        for (int i = 0; swapped && i < 4; i++)
            head[i] = __builtin_bswap16(head[i]);
        memset(nflog, 0, sizeof nflog);
        nflog[0] = 2;
        memcpy(nflog + 4, head, 4);
        memcpy(nflog + 12, head + 2, 4);
        memcpy(nflog + 16, ethernet + 14, len);
        assert_true(matches("tcp port 25", 239, nflog, 16 + len, 16 + len));
        assert_false(matches("tcp port 26", 239, nflog, 16 + len, 16 + len));
        for (size_t cut = 0; cut < 16; cut++) {
            uint8_t *exact = test_malloc(cut + 1);
            memcpy(exact, nflog, cut);
            assert_false(matches("tcp port 25", 239, exact, cut, cut));
            test_free(exact);
        }
    }
    memset(nflog, 0, sizeof nflog);
    assert_false(matches("tcp port 25", 239, nflog, 100, 100));
}

static void test_wrong_expressions(void **state)
{
    (void)state;
    struct dp_filter *filter = NULL;
    struct dp_diag diag = {""};
    bool match = true;
    uint8_t bytes[64] = {0};
    assert_int_equal(dp_filter_new("tcp prot 25", DP_FILTER_INNERMOST, &filter), DP_OK);
    assert_int_equal(dp_filter_check(filter, &diag), DP_ERR_FILTER);
    assert_non_null(strstr(diag.text, "tcp prot 25"));
    assert_int_equal(dp_filter_match(filter, 1, bytes, 60, 60, &match, &diag), DP_ERR_FILTER);
    assert_true(match);
    dp_filter_free(filter);
    assert_int_equal(dp_filter_new("tcp", DP_FILTER_INNERMOST, &filter), DP_OK);
    assert_int_equal(dp_filter_check(filter, &diag), DP_OK);
    dp_filter_free(filter);
    dp_filter_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_types),
        cmocka_unit_test(test_nflog),
        cmocka_unit_test(test_wrong_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
