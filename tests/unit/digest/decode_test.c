/* Batches that are not what they claim to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/digest/digest.h"

enum { COLUMNS = 26 };

/* A batch in the clear: the columns before they are compressed. */
struct plain {
    uint8_t counts[4];
    const char *complete; /* a number; NULL: 0 */
    uint8_t column[COLUMNS][64];
    uint8_t len[COLUMNS];
    const char *tail; /* behind the columns */
};

enum {
    MASK_LOW,
    MASK_HIGH,
    TIME,
    FLOW,
    FLOW_NUMBER,
    TTL,
    BITS,
    APP,
    MSS,
    WSCALE,
    FLAGS,
    PAYLOAD_LEN,
    IP_LEN,
    HASH_LEN,
    HASH,
    SEQ,
    ACK,
    WINDOW,
    TSVAL,
    TSECR,
    IP_ID,
    SACK_COUNT,
    SACK,
    FLOW_DEF,
    NOTE,
    GAP
};

static void add(struct plain *plain, size_t column, const void *bytes, size_t len)
{
    memcpy(plain->column[column] + plain->len[column], bytes, len);
    plain->len[column] = (uint8_t)(plain->len[column] + len);
}

static size_t pack(const struct plain *plain, uint8_t *bytes, size_t room)
{
    uint8_t raw[8192];
    size_t len = 0;
    for (size_t c = 0; c < COLUMNS; c++)
        raw[len++] = plain->len[c];
    for (size_t c = 0; c < COLUMNS; c++) {
        memcpy(raw + len, plain->column[c], plain->len[c]);
        len += plain->len[c];
    }
    if (plain->tail) {
        memcpy(raw + len, plain->tail, strlen(plain->tail));
        len += strlen(plain->tail);
    }
    size_t head = 10;
    memcpy(bytes, "dpb\x02", 4);
    memcpy(bytes + 4, plain->counts, 4);
    bytes[8] = bytes[9] = 0;
    if (plain->complete) {
        memcpy(bytes + 9, plain->complete, strlen(plain->complete));
        head = 9 + strlen(plain->complete);
    }
    size_t packed = ZSTD_compress(bytes + head, room - head, raw, len, 1);
    assert_false(ZSTD_isError(packed));
    return head + packed;
}

/* The decoder's answer, from memory that ends with the batch. */
static int decode(const uint8_t *bytes, size_t len, struct dp_batch *batch, struct dp_diag *diag)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    diag->text[0] = '\0';
    int rc = dp_batch_decode(copy, len, batch, diag);
    if (rc != DP_OK) {
        assert_int_equal(rc, DP_ERR_FORMAT);
        assert_true(strlen(diag->text) > 10);
        assert_int_equal(batch->digest_count + batch->flow_count + batch->note_count + batch->gap_count, 0);
    }
    free(copy);
    return rc;
}

static void assert_refused(const struct plain *plain, const char *says)
{
    uint8_t bytes[8192];
    struct dp_batch batch = {0};
    struct dp_diag diag;
    assert_int_equal(decode(bytes, pack(plain, bytes, sizeof bytes), &batch, &diag), DP_ERR_FORMAT);
    if (!strstr(diag.text, says))
        print_error("\"%s\" does not name \"%s\"\n", diag.text, says);
    assert_non_null(strstr(diag.text, says));
    dp_batch_free(&batch);
}

/* One digest, one flow, one note, one gap: everything by hand. */
static struct plain sound(void)
{
    struct plain plain = {.counts = {1, 1, 1, 1}};
    add(&plain, MASK_LOW, "\x22", 1);    /* flow, payload length */
    add(&plain, MASK_HIGH, "\xe0", 1);   /* flags, rare, sack */
    add(&plain, TIME, "\x02", 1);        /* +1 */
    add(&plain, FLOW, "\x00", 1);        /* the first of this batch */
    add(&plain, FLOW_NUMBER, "\x01", 1); /* -1 from 1: flow 0 */
    add(&plain, TTL, "\x40", 1);
    add(&plain, BITS, "\x00", 1);
    add(&plain, APP, "\x00", 1);
    add(&plain, MSS, "\x00", 1);
    add(&plain, WSCALE, "\xff", 1);
    add(&plain, FLAGS, "\x10", 1);
    add(&plain, PAYLOAD_LEN, "\x06", 1); /* +3 */
    add(&plain, HASH, "\1\2\3\4", 4);
    add(&plain, SACK_COUNT, "\x01", 1);
    add(&plain, SACK, "\x02\x04", 2);
    add(&plain, FLOW_DEF, "\x00\x06\x04\xc0\x00\x02\x01\xc6\x33\x64\x09\x9c\x40\x00\x19", 15);
    add(&plain, NOTE, "\x02\x00\x01\x00\xa5\x03\x02no", 9);
    add(&plain, GAP, "\x02\x02\x05", 3);
    return plain;
}

static void test_by_hand(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct plain plain = sound();
    struct dp_batch batch = {0};
    struct dp_diag diag;
    int rc = decode(bytes, pack(&plain, bytes, sizeof bytes), &batch, &diag);
    if (rc)
        print_error("%s\n", diag.text);
    assert_int_equal(rc, DP_OK);
    assert_true(batch.digests[0].ts_ns == 1);
    assert_int_equal(batch.digests[0].flow, 0);
    assert_int_equal(batch.digests[0].ttl, 64);
    assert_int_equal(batch.digests[0].payload_len, 3);
    assert_int_equal(batch.digests[0].hash_len, 3);
    assert_int_equal(batch.digests[0].hash, 0x04030201);
    assert_int_equal(batch.digests[0].sack[0][0], 1);
    assert_int_equal(batch.digests[0].sack[0][1], 3);
    assert_int_equal(batch.flows[0].a_port, 40000);
    assert_int_equal(batch.flows[0].b_port, 25);
    assert_int_equal(batch.notes[0].code, 421);
    assert_string_equal(batch.notes[0].text, "no");
    assert_true(batch.gaps[0].from_ns == 1 && batch.gaps[0].to_ns == 2 && batch.gaps[0].packets == 5);
    assert_true(batch.complete_ns == 0);
    plain.complete = "\x85\x01"; /* 5 + 1 * 128 */
    assert_int_equal(decode(bytes, pack(&plain, bytes, sizeof bytes), &batch, &diag), DP_OK);
    assert_true(batch.complete_ns == 133);
    dp_batch_free(&batch);
}

static void test_complete_until(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct plain plain = sound();
    struct dp_batch batch = {0};
    struct dp_diag diag;
    plain.complete = "\xff\xff\xff\xff\xff\xff\xff\xff\x3f"; /* the last moment there is */
    assert_int_equal(decode(bytes, pack(&plain, bytes, sizeof bytes), &batch, &diag), DP_OK);
    assert_true(batch.complete_ns == DP_BATCH_MAX_TIME);
    dp_batch_free(&batch);
    static const char *const wrong[] = {
        "\x80\x80\x80\x80\x80\x80\x80\x80\x40",     /* one more */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* a moment before 1970, as 64 bits take it */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        plain.complete = wrong[i];
        assert_refused(&plain, "complete");
    }
}

static void test_bad_values(void **state)
{
    (void)state;
    static const struct {
        size_t column, at;
        uint8_t value;
        const char *says;
    } cases[] = {
        {FLOW, 0, 1, "\"flow\""},    /* a flow that was not named before */
        {BITS, 0, 0x20, "\"bits\""}, /* a bit that doesn't exist */
        {SACK_COUNT, 0, 5, "\"SACK count\""},
        {SACK_COUNT, 0, 2, "\"SACK\""},  /* more than there are */
        {SACK_COUNT, 0, 0, "\"SACK\""},  /* fewer */
        {MASK_LOW, 0, 0x20, "\"flow\""}, /* the first digest without a flow */
        {MASK_LOW, 0, 0x02, "too many"}, /* no payload: a hash too many */
        {MASK_LOW, 0, 0xa2, "\"hash length\""},
        {FLAGS, 0, 0x80, "\"TCP flags\""}, /* a number without end */
        {FLOW_DEF, 2, 5, "\"flow definition\""},
        {FLOW_DEF, 2, 6, "\"flow definition\""},
        {NOTE, 2, 2, "\"note\""},    /* a direction that doesn't exist */
        {NOTE, 3, 5, "\"note\""},    /* a kind that doesn't exist */
        {NOTE, 3, 4, "\"note\""},    /* a proxied connection of no address family */
        {NOTE, 5, 0x02, "\"note\""}, /* code 293 */
        {NOTE, 5, 0x06, "\"note\""}, /* code 805 */
        {NOTE, 6, 3, "\"note\""},    /* longer than what is there */
        {NOTE, 7, 7, "\"note\""},    /* a control character */
        {NOTE, 7, 0, "\"note\""},    /* a text that ends early */
        {GAP, 2, 0x80, "\"gap\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plain plain = sound();
        plain.column[cases[i].column][cases[i].at] = cases[i].value;
        assert_refused(&plain, cases[i].says);
    }
}

static void test_bad_hash_length(void **state)
{
    (void)state;
    struct plain plain = sound();
    plain.column[MASK_LOW][0] |= 0x80;
    add(&plain, HASH_LEN, "\x04", 1); /* more than the payload has */
    assert_refused(&plain, "\"hash length\"");
    plain.column[PAYLOAD_LEN][0] = 100;
    plain.column[HASH_LEN][0] = 65;
    assert_refused(&plain, "\"hash length\"");
}

static void test_unknown_address_family(void **state)
{
    (void)state;
    struct plain plain = sound();
    add(&plain, FLOW_DEF, "012345678901234567890123", 24); /* as long as IPv6 */
    plain.column[FLOW_DEF][2] = 5;
    assert_refused(&plain, "\"flow definition\"");
    plain.column[FLOW_DEF][2] = 6;
    uint8_t bytes[8192];
    struct dp_batch batch = {0};
    struct dp_diag diag;
    assert_int_equal(decode(bytes, pack(&plain, bytes, sizeof bytes), &batch, &diag), DP_OK);
    assert_int_equal(batch.flows[0].a.family, 6);
    dp_batch_free(&batch);
}

static void test_numbers_too_large(void **state)
{
    (void)state;
    struct plain plain = sound();
    plain.len[PAYLOAD_LEN] = 0;
    add(&plain, PAYLOAD_LEN, "\x80\x80\x80\x80\x10", 5); /* 2^32 */
    assert_refused(&plain, "\"payload length\"");
    plain = sound();
    plain.len[TIME] = 0;
    add(&plain, TIME, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10); /* 2^64 and more */
    assert_refused(&plain, "\"time\"");
    plain = sound();
    plain.len[FLAGS] = 0;
    add(&plain, FLAGS, "\x80\x04", 2); /* 0x200 */
    assert_refused(&plain, "\"TCP flags\"");
    plain = sound();
    plain.len[MSS] = 0;
    add(&plain, MSS, "\x80\x80\x04", 3); /* 65536 */
    assert_refused(&plain, "\"MSS\"");
}

static void test_columns_too_long_or_short(void **state)
{
    (void)state;
    for (size_t c = 0; c < COLUMNS; c++) {
        struct plain plain = sound();
        add(&plain, c, "", 1);
        assert_refused(&plain, "too many");
        plain = sound();
        if (plain.len[c] == 0)
            continue;
        plain.len[c]--;
        assert_refused(&plain, "corrupt");
    }
    struct plain plain = sound();
    plain.tail = "x";
    assert_refused(&plain, "follow");
}

static void test_counts_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct plain plain = sound();
        plain.counts[i]++;
        assert_refused(&plain, "corrupt");
        plain.counts[i] = 0;
        assert_refused(&plain, "corrupt");
    }
}

static void test_header(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    struct plain plain = sound();
    struct dp_batch batch = {0};
    struct dp_diag diag;
    size_t len = pack(&plain, bytes, sizeof bytes);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(decode(bytes, cut, &batch, &diag), DP_ERR_FORMAT);
    bytes[len] = 0;
    assert_int_equal(decode(bytes, len + 1, &batch, &diag), DP_ERR_FORMAT);
    /* A frame that zstd would skip without a word. */
    memcpy(bytes + len, "\x50\x2a\x4d\x18\x01\0\0\0x", 9);
    assert_int_equal(decode(bytes, len + 9, &batch, &diag), DP_ERR_FORMAT);
    bytes[3] = 1;
    assert_int_equal(decode(bytes, len, &batch, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "version 1"));
    bytes[0] = 'x';
    assert_int_equal(decode(bytes, len, &batch, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "not a digest batch"));
    /* 4,097 digests */
    const uint8_t many[] = {'d', 'p', 'b', 2, 0x81, 0x20, 0, 0, 0, 0, 0};
    assert_int_equal(decode(many, sizeof many, &batch, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "4096"));
    dp_batch_free(&batch);
}

/* A small batch that unpacks to more than any batch has. */
static void test_bomb(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024 * 1024 };
    uint8_t *zeros = calloc(1, SIZE);
    uint8_t *bytes = calloc(1, 1024 * 1024);
    struct dp_batch batch = {0};
    struct dp_diag diag;
    assert_true(zeros && bytes);
    memcpy(bytes, "dpb\x02", 4);
    size_t packed = ZSTD_compress(bytes + 10, 1024 * 1024 - 10, zeros, SIZE, 1);
    assert_false(ZSTD_isError(packed));
    assert_int_equal(decode(bytes, 10 + packed, &batch, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "size"));
    free(zeros);
    free(bytes);
}

/* Single bytes turned over at random: an error or a valid batch, never more. */
static void test_random_damage(void **state)
{
    (void)state;
    uint8_t bytes[8192], damaged[8192];
    struct dp_batch batch = {0};
    struct dp_diag diag;
    unsigned seed = 1;
    for (size_t i = 0; i < 20000; i++) {
        struct plain plain = sound();
        size_t c = (seed = seed * 1103515245 + 12345) >> 16 & 31;
        if (c < COLUMNS && plain.len[c])
            plain.column[c][(seed >> 8) % plain.len[c]] = (uint8_t)(seed >> 20);
        size_t len = pack(&plain, bytes, sizeof bytes);
        memcpy(damaged, bytes, len);
        if (i % 2)
            damaged[(seed >> 4) % len] ^= (uint8_t)(1U << (seed & 7));
        int rc = decode(damaged, len, &batch, &diag);
        if (rc)
            continue;
        uint8_t *again;
        size_t again_len;
        assert_int_equal(dp_batch_encode(&batch, &again, &again_len), DP_OK);
        free(again);
    }
    dp_batch_free(&batch);
}

static void test_encoder_refuses(void **state)
{
    (void)state;
    static const struct dp_digest bad[] = {
        {.dir = 2},           {.bits = 0x20},  {.sack_count = 5},
        {.tcp_flags = 0x200}, {.hash_len = 1}, {.hash_len = 65, .payload_len = 99},
    };
    uint8_t *bytes = NULL;
    size_t len = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dp_digest digest = bad[i];
        struct dp_batch batch = {.digests = &digest, .digest_count = 1};
        assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    }
    struct dp_flow_def flow = {.a = {.family = 4}, .b = {.family = 6}};
    struct dp_batch batch = {.flows = &flow, .flow_count = 1};
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    struct dp_note note = {.code = 250};
    batch = (struct dp_batch){.notes = &note, .note_count = 1};
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    note = (struct dp_note){.kind = DP_NOTE_KINDS};
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    note = (struct dp_note){.kind = DP_NOTE_PROXIED, .from = {.family = 4}, .to = {.family = 6}};
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    note.to.family = 4;
    note.len = DP_NOTE_PROXIED_MOST + 1;
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    batch = (struct dp_batch){.digest_count = DP_BATCH_MAX_RECORDS + 1};
    assert_int_equal(dp_batch_encode(&batch, &bytes, &len), DP_ERR_RANGE);
    assert_null(bytes);
    assert_int_equal(len, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_complete_until),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_hash_length),
        cmocka_unit_test(test_unknown_address_family),
        cmocka_unit_test(test_numbers_too_large),
        cmocka_unit_test(test_columns_too_long_or_short),
        cmocka_unit_test(test_counts_that_lie),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_encoder_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
