#include <setjmp.h>
#include <stdarg.h>

#include "bytes.h"

#include <cmocka.h>

#include <string.h>

void put(struct bytes *bytes, const void *data, size_t len)
{
    assert_true(bytes->len + len <= sizeof bytes->at);
    if (len > 0)
        memcpy(bytes->at + bytes->len, data, len);
    bytes->len += len;
}

static void put_number(struct bytes *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t shift = 8 * (bytes->big_endian ? size - 1 - i : i);
        uint8_t byte = (uint8_t)(value >> shift);
        put(bytes, &byte, 1);
    }
}

void put16(struct bytes *bytes, uint16_t value)
{
    put_number(bytes, value, 2);
}

void put32(struct bytes *bytes, uint32_t value)
{
    put_number(bytes, value, 4);
}

void put64(struct bytes *bytes, uint64_t value)
{
    put_number(bytes, value, 8);
}

void set32(struct bytes *bytes, size_t offset, uint32_t value)
{
    size_t len = bytes->len;
    bytes->len = offset;
    put32(bytes, value);
    bytes->len = len;
}

void put_pcap_header(struct bytes *bytes, uint32_t magic, uint32_t link_type)
{
    put32(bytes, magic);
    put16(bytes, 2);
    put16(bytes, 4);
    put32(bytes, 0);
    put32(bytes, 0);
    put32(bytes, 65535);
    put32(bytes, link_type);
}

static void put_frame(struct bytes *bytes, uint32_t captured)
{
    for (uint32_t i = 0; i < captured; i++) {
        uint8_t byte = (uint8_t)(i + 1);
        put(bytes, &byte, 1);
    }
}

void put_pcap_record(struct bytes *bytes, uint32_t s, uint32_t part, uint32_t captured, uint32_t wire)
{
    put32(bytes, s);
    put32(bytes, part);
    put32(bytes, captured);
    put32(bytes, wire);
    put_frame(bytes, captured);
}

size_t put_block(struct bytes *bytes, uint32_t type, const struct bytes *body)
{
    size_t offset = bytes->len;
    put32(bytes, type);
    put32(bytes, (uint32_t)body->len + 12);
    put(bytes, body->at, body->len);
    put32(bytes, (uint32_t)body->len + 12);
    return offset;
}

size_t put_section(struct bytes *bytes)
{
    static struct bytes body;
    body = (struct bytes){.big_endian = bytes->big_endian};
    put32(&body, 0x1a2b3c4d);
    put16(&body, 1);
    put16(&body, 0);
    put64(&body, UINT64_MAX);
    return put_block(bytes, 0x0a0d0d0a, &body);
}

size_t put_interface(struct bytes *bytes, uint16_t link_type, const struct bytes *options)
{
    static struct bytes body;
    body = (struct bytes){.big_endian = bytes->big_endian};
    put16(&body, link_type);
    put16(&body, 0);
    put32(&body, 65535);
    if (options)
        put(&body, options->at, options->len);
    return put_block(bytes, 1, &body);
}

size_t put_packet(struct bytes *bytes, uint32_t interface, uint64_t ticks, uint32_t captured, uint32_t wire,
                  const struct bytes *options)
{
    static struct bytes body;
    body = (struct bytes){.big_endian = bytes->big_endian};
    put32(&body, interface);
    put32(&body, (uint32_t)(ticks >> 32));
    put32(&body, (uint32_t)ticks);
    put32(&body, captured);
    put32(&body, wire);
    put_frame(&body, captured);
    put(&body, "\0\0\0", (4 - captured % 4) % 4);
    if (options)
        put(&body, options->at, options->len);
    return put_block(bytes, 6, &body);
}

void put_option(struct bytes *bytes, uint16_t code, const void *value, uint16_t len)
{
    put16(bytes, code);
    put16(bytes, len);
    put(bytes, value, len);
    put(bytes, "\0\0\0", (4U - len % 4U) % 4U);
}

void put_option64(struct bytes *bytes, uint16_t code, uint64_t value)
{
    put16(bytes, code);
    put16(bytes, 8);
    put64(bytes, value);
}

struct dp_capfile *open_bytes(const struct bytes *bytes)
{
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    int code = dp_capfile_open_memory(bytes->at, bytes->len, "test.pcap", &file, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    return file;
}

int read_all(struct dp_capfile *file, uint64_t *ret_count, struct dp_diag *diag)
{
    struct dp_capfile_packet packet;
    int code;
    *ret_count = 0;
    while ((code = dp_capfile_next(file, &packet, diag)) == DP_OK)
        ++*ret_count;
    return code;
}
