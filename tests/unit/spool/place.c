#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/spool/place.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/wire/wire.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    (void)snprintf(place->directory, sizeof place->directory, "/tmp/dp-spool-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    *state = place;
    return 0;
}

int tear_down(void **state)
{
    struct place *place = *state;
    (void)nftw(place->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(place);
    return 0;
}

struct dp_spool *open_spool(const struct place *place, uint64_t epoch, uint64_t max_bytes)
{
    struct dp_spool *spool = NULL;
    struct dp_diag diag = {""};
    int code = dp_spool_open(place->directory, epoch, max_bytes, &spool, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    return spool;
}

/* A payload that its number alone determines. */
static size_t make_payload(uint64_t number, uint8_t *bytes)
{
    size_t len = 1 + (size_t)(number * 7919 % 30000);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(number * 31 + i * (number % 13 + 1));
    return len;
}

int append(struct dp_spool *spool, uint64_t stream, uint64_t expected)
{
    static uint8_t bytes[30001];
    size_t len = make_payload(expected, bytes);
    uint64_t number = 0;
    int code = dp_spool_append(spool, stream, (uint32_t)expected % 4096, bytes, len, &number);
    if (code == DP_OK)
        assert_int_equal(number, expected);
    return code;
}

void check_batch(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number)
{
    static uint8_t bytes[30001];
    size_t len = make_payload(number, bytes);
    uint32_t crc = 0, records = 0;
    uint8_t *payload = NULL;
    size_t got = 0;
    assert_int_equal(dp_spool_read(spool, epoch, stream, number, &crc, &records, &payload, &got), DP_OK);
    assert_int_equal(got, len);
    assert_memory_equal(payload, bytes, len);
    assert_int_equal(crc, dp_crc32c(0, bytes, len));
    assert_int_equal(records, number % 4096);
    free(payload);
}

int read_code(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number)
{
    uint32_t crc = 0, records = 0;
    uint8_t *payload = NULL;
    size_t len = 0;
    int code = dp_spool_read(spool, epoch, stream, number, &crc, &records, &payload, &len);
    free(payload);
    return code;
}

struct dp_spool_stream_info info_at(struct dp_spool *spool, size_t index)
{
    struct dp_spool_stream_info info = {0};
    assert_true(dp_spool_stream_at(spool, index, &info));
    return info;
}
