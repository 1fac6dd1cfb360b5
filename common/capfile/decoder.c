/* gzip, zstd and lz4 frames, also several in a row, as `cat a.gz b.gz` makes them. */
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "common/capfile/source.h"

#define RAW_SIZE (64U * 1024U)

enum codec { CODEC_GZIP, CODEC_ZSTD, CODEC_LZ4 };

struct dp_decoder {
    enum codec codec;
    z_stream gzip;
    ZSTD_DStream *zstd;
    LZ4F_dctx *lz4;
    bool inside; /* inside a frame: an end here is a cut */
    bool done;
    size_t pos, end;
    uint8_t raw[RAW_SIZE];
};

static bool starts(const uint8_t *head, size_t len, const char *magic, size_t magic_len)
{
    return len >= magic_len && memcmp(head, magic, magic_len) == 0;
}

/* 0x184D2A50 to 0x184D2A5F: a frame to be skipped, with which pzstd begins its files. */
static bool is_skippable(const uint8_t *head, size_t len)
{
    return len >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0;
}

static int codec_init(struct dp_decoder *decoder)
{
    switch (decoder->codec) {
    case CODEC_GZIP:
        return inflateInit2(&decoder->gzip, 15 + 16) == Z_OK ? DP_OK : DP_ERR_NOMEM;
    case CODEC_ZSTD:
        decoder->zstd = ZSTD_createDStream();
        return decoder->zstd ? DP_OK : DP_ERR_NOMEM;
    case CODEC_LZ4:
        return LZ4F_isError(LZ4F_createDecompressionContext(&decoder->lz4, LZ4F_VERSION)) ? DP_ERR_NOMEM
                                                                                          : DP_OK;
    }
    return DP_ERR_UNSUPPORTED;
}

int dp_decoder_new(const uint8_t *head, size_t len, struct dp_decoder **ret_decoder)
{
    enum codec codec;
    if (starts(head, len, "\x1f\x8b", 2)) {
        codec = CODEC_GZIP;
    } else if (starts(head, len, "\x28\xb5\x2f\xfd", 4) || is_skippable(head, len)) {
        codec = CODEC_ZSTD;
    } else if (starts(head, len, "\x04\x22\x4d\x18", 4)) {
        codec = CODEC_LZ4;
    } else {
        *ret_decoder = NULL;
        return DP_OK;
    }
    struct dp_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return DP_ERR_NOMEM;
    decoder->codec = codec;
    int code = codec_init(decoder);
    if (code != DP_OK) {
        dp_decoder_free(decoder);
        return code;
    }
    *ret_decoder = decoder;
    return DP_OK;
}

void dp_decoder_free(struct dp_decoder *decoder)
{
    if (!decoder)
        return;
    if (decoder->codec == CODEC_GZIP)
        (void)inflateEnd(&decoder->gzip);
    (void)ZSTD_freeDStream(decoder->zstd);
    (void)LZ4F_freeDecompressionContext(decoder->lz4);
    free(decoder);
}

/* Each step eats from raw[pos..end) and returns the bytes written to out, or -1 for data that are damaged. */
static ptrdiff_t step_gzip(struct dp_decoder *decoder, uint8_t *out, size_t room)
{
    if (!decoder->inside) {
        /* Between members; tape-like padding of zeros is allowed, as gzip does. */
        while (decoder->pos < decoder->end && decoder->raw[decoder->pos] == 0)
            decoder->pos++;
        if (decoder->pos == decoder->end)
            return 0;
        if (inflateReset(&decoder->gzip) != Z_OK)
            return -1;
    }
    z_stream *z = &decoder->gzip;
    z->next_in = decoder->raw + decoder->pos;
    z->avail_in = (uInt)(decoder->end - decoder->pos);
    z->next_out = out;
    z->avail_out = (uInt)room;
    int result = inflate(z, Z_NO_FLUSH);
    decoder->pos = decoder->end - z->avail_in;
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return -1;
    decoder->inside = result != Z_STREAM_END;
    return (ptrdiff_t)(room - z->avail_out);
}

static ptrdiff_t step_zstd(struct dp_decoder *decoder, uint8_t *out, size_t room)
{
    ZSTD_inBuffer in = {decoder->raw, decoder->end, decoder->pos};
    ZSTD_outBuffer to = {out, room, 0};
    size_t result = ZSTD_decompressStream(decoder->zstd, &to, &in);
    if (ZSTD_isError(result))
        return -1;
    decoder->pos = in.pos;
    decoder->inside = result != 0;
    return (ptrdiff_t)to.pos;
}

static ptrdiff_t step_lz4(struct dp_decoder *decoder, uint8_t *out, size_t room)
{
    size_t eaten = decoder->end - decoder->pos;
    size_t made = room;
    size_t result = LZ4F_decompress(decoder->lz4, out, &made, decoder->raw + decoder->pos, &eaten, NULL);
    if (LZ4F_isError(result))
        return -1;
    decoder->pos += eaten;
    decoder->inside = result != 0;
    return (ptrdiff_t)made;
}

static ptrdiff_t step(struct dp_decoder *decoder, uint8_t *out, size_t room)
{
    switch (decoder->codec) {
    case CODEC_GZIP:
        return step_gzip(decoder, out, room);
    case CODEC_ZSTD:
        return step_zstd(decoder, out, room);
    case CODEC_LZ4:
        return step_lz4(decoder, out, room);
    }
    return -1;
}

ptrdiff_t dp_decoder_read(struct dp_decoder *decoder, struct dp_source *source, uint8_t *out, size_t room,
                          struct dp_diag *diag)
{
    static const char *const names[] = {"gzip", "zstd", "lz4"};
    while (!decoder->done) {
        if (decoder->pos == decoder->end) {
            ptrdiff_t got = dp_source_raw(source, decoder->raw, sizeof decoder->raw, diag);
            if (got < 0)
                return got;
            decoder->pos = 0;
            decoder->end = (size_t)got;
        }
        bool dry = decoder->pos == decoder->end;
        if (dry && !decoder->inside) {
            decoder->done = true;
            break;
        }
        size_t before = decoder->pos;
        ptrdiff_t made = step(decoder, out, room);
        if (made < 0)
            return dp_fail(diag, DP_ERR_FORMAT,
                           "%s: the %s data are damaged before byte %llu. Copy the file again.", source->name,
                           names[decoder->codec],
                           (unsigned long long)(source->raw_done - (decoder->end - decoder->pos)));
        if (made > 0)
            return made;
        if (dry || (decoder->pos == before && decoder->pos < decoder->end)) {
            /* Nothing left to eat inside a frame, or no way on. */
            source->cut = true;
            decoder->done = true;
        }
    }
    return 0;
}
