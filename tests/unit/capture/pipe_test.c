#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/capture/pipe.h"

/* Gives `len` bytes to the reader in pieces of `step`; counts the messages that come out. */
static unsigned feed(struct dp_pipe_reader *reader, const uint8_t *bytes, size_t len, size_t step,
                     int *ret_code)
{
    unsigned messages = 0;
    *ret_code = DP_ERR_END;
    for (size_t at = 0; at < len;) {
        size_t room = 0;
        uint8_t *to = dp_pipe_reader_room(reader, &room);
        size_t part = len - at < step ? len - at : step;
        part = part < room ? part : room;
        assert_true(to && room > 0);
        memcpy(to, bytes + at, part);
        dp_pipe_reader_filled(reader, part);
        at += part;
        struct dp_pipe_message message;
        while ((*ret_code = dp_pipe_reader_next(reader, &message)) == DP_OK) {
            for (size_t i = 0; i < message.len; i++)
                assert_int_equal(message.bytes[i], (uint8_t)(messages + i));
            assert_int_equal(message.records, messages);
            messages++;
        }
    }
    return messages;
}

static void test_messages_arrive_in_any_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 5, 4096, 100000, DP_PIPE_MAX_PAYLOAD, 3, 0, 700000};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    size_t len = 0;
    uint8_t *bytes = malloc(COUNT * (DP_PIPE_HEADER + DP_PIPE_MAX_PAYLOAD));
    for (unsigned m = 0; m < COUNT; m++) {
        dp_pipe_header(DP_PIPE_BATCH, m, sizes[m], bytes + len);
        len += DP_PIPE_HEADER;
        for (size_t i = 0; i < sizes[m]; i++)
            bytes[len + i] = (uint8_t)(m + i);
        len += sizes[m];
    }
    static const size_t steps[] = {7, 1000, 65536, 10000000};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        struct dp_pipe_reader *reader = NULL;
        int code = 0;
        assert_int_equal(dp_pipe_reader_new(&reader), DP_OK);
        assert_int_equal(feed(reader, bytes, len, steps[s], &code), COUNT);
        assert_int_equal(code, DP_ERR_END);
        dp_pipe_reader_free(reader);
    }
    free(bytes);
}

static void test_lies_are_refused(void **state)
{
    (void)state;
    for (int lie = 0; lie < 4; lie++) {
        uint8_t header[DP_PIPE_HEADER];
        dp_pipe_header(DP_PIPE_BATCH, 0, lie == 0 ? DP_PIPE_MAX_PAYLOAD + 1 : 0, header);
        if (lie > 0)
            header[lie] = 99; /* magic, version, type */
        struct dp_pipe_reader *reader = NULL;
        int code = 0;
        assert_int_equal(dp_pipe_reader_new(&reader), DP_OK);
        assert_int_equal(feed(reader, header, sizeof header, 5, &code), 0);
        assert_int_equal(code, DP_ERR_PROTOCOL);
        dp_pipe_header(DP_PIPE_BATCH, 0, 0, header); /* it does not come back into step */
        assert_int_equal(feed(reader, header, sizeof header, 5, &code), 0);
        assert_int_equal(code, DP_ERR_PROTOCOL);
        dp_pipe_reader_free(reader);
    }
}

static void test_config_there_and_back(void **state)
{
    (void)state;
    struct dp_pipe_config *config = calloc(2, sizeof *config);
    struct dp_pipe_config *back = config + 1;
    *config = (struct dp_pipe_config){
        .hash_key = {1, 2, 3},
        .snaplen = 96,
        .duration_ms = 5,
        .uid = 7,
        .gid = 8,
        .max_packets = UINT64_MAX,
        .ring_bytes = 1ULL << 40,
        .buffer_bytes = 9,
        .interface = "eth0",
        .vantage = "mx1/eth0",
        .ring_directory = "/var/lib/droppoint/ring/c1",
        .filter = "tcp port 25",
        .own_filter = "not port 22",
    };
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(dp_pipe_config_pack(config, &bytes, &len), DP_OK);
    const uint8_t *payload = bytes + DP_PIPE_HEADER;
    size_t payload_len = len - DP_PIPE_HEADER;
    assert_int_equal(dp_pipe_config_unpack(payload, payload_len, back), DP_OK);
    assert_memory_equal(config, back, sizeof *config);
    for (size_t cut = 0; cut < payload_len; cut++)
        assert_int_equal(dp_pipe_config_unpack(payload, cut, back), DP_ERR_PROTOCOL);
    free(bytes);
    free(config);
}

static void test_texts_are_made_harmless(void **state)
{
    (void)state;
    struct dp_pipe_error error = {.code = DP_ERR_FILTER, .text = "bad\x1b[2J\ntext"};
    struct dp_pipe_error back;
    uint8_t bytes[DP_PIPE_END_MAX];
    size_t len = dp_pipe_error_pack(&error, bytes);
    assert_int_equal(dp_pipe_error_unpack(bytes, len, &back), DP_OK);
    assert_string_equal(back.text, "bad?[2J?text");
    assert_int_equal(back.code, DP_ERR_FILTER);
    error.code = 5; /* not an error */
    len = dp_pipe_error_pack(&error, bytes);
    assert_int_equal(dp_pipe_error_unpack(bytes, len, &back), DP_ERR_PROTOCOL);

    struct dp_pipe_end end = {.counts = {1, 2, 3, 4}, .reason = "interface", .text = "gone"};
    struct dp_pipe_end end_back;
    len = dp_pipe_end_pack(&end, bytes);
    assert_int_equal(dp_pipe_end_unpack(bytes, len, &end_back), DP_OK);
    assert_string_equal(end_back.reason, "interface");
    assert_string_equal(end_back.text, "gone");
    assert_int_equal(end_back.counts.ended_ns, 4);
    assert_int_equal(dp_pipe_end_unpack(bytes, DP_PIPE_COUNTS_SIZE, &end_back), DP_ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_arrive_in_any_pieces),
        cmocka_unit_test(test_lies_are_refused),
        cmocka_unit_test(test_config_there_and_back),
        cmocka_unit_test(test_texts_are_made_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
