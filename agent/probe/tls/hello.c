#include "agent/probe/tls/hello.h"

#include <arpa/inet.h>
#include <string.h>

#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define SERVER_KEY_EXCHANGE 12
#define SERVER_HELLO_DONE 14
#define EXTENSION_VERSIONS 43

/* Writes into a buffer; what does not fit is counted and not written. */
struct writer {
    uint8_t *bytes;
    size_t room, at;
};

static void put8(struct writer *w, unsigned value)
{
    if (w->at < w->room)
        w->bytes[w->at] = (uint8_t)value;
    w->at++;
}

static void put16(struct writer *w, unsigned value)
{
    put8(w, value >> 8);
    put8(w, value & 0xff);
}

static void put_bytes(struct writer *w, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        put8(w, ((const uint8_t *)bytes)[i]);
}

/* A length of two bytes to be filled in when what follows is written. */
static size_t open_length(struct writer *w)
{
    put16(w, 0);
    return w->at;
}

static void close_length(struct writer *w, size_t begin)
{
    size_t length = w->at - begin;
    if (begin >= 2 && begin <= w->room) {
        w->bytes[begin - 2] = (uint8_t)(length >> 8);
        w->bytes[begin - 1] = (uint8_t)(length & 0xff);
    }
}

static void put_server_name(struct writer *w, const char *name)
{
    uint8_t address[16];
    if (!name || !name[0] || inet_pton(AF_INET, name, address) == 1 || strchr(name, ':'))
        return;
    put16(w, 0); // server_name, RFC 6066
    size_t extension = open_length(w), list = open_length(w);
    put8(w, 0);
    size_t host = open_length(w);
    put_bytes(w, name, strlen(name));
    close_length(w, host);
    close_length(w, list);
    close_length(w, extension);
}

static void put_list16(struct writer *w, unsigned extension, const uint16_t *values, size_t count)
{
    put16(w, extension);
    size_t body = open_length(w), list = open_length(w);
    for (size_t i = 0; i < count; i++)
        put16(w, values[i]);
    close_length(w, list);
    close_length(w, body);
}

static void put_tls13_extensions(struct writer *w, const uint8_t *key)
{
    put16(w, EXTENSION_VERSIONS);
    size_t body = open_length(w);
    put8(w, 2);
    put16(w, 0x0304);
    close_length(w, body);
    put16(w, 45); // psk_key_exchange_modes
    body = open_length(w);
    put8(w, 1);
    put8(w, 1);
    close_length(w, body);
    put16(w, 51); // key_share: any 32 bytes are a point of x25519; nobody computes with it
    body = open_length(w);
    size_t list = open_length(w);
    put16(w, 29);
    size_t share = open_length(w);
    put_bytes(w, key, 32);
    close_length(w, share);
    close_length(w, list);
    close_length(w, body);
}

static void put_extensions(struct writer *w, enum tls_version version, const char *name, const uint8_t *key)
{
    static const uint16_t groups[] = {29, 23, 24, 25, 30, 22, 21, 19, 14, 13, 256, 257, 258};
    static const uint16_t signatures[] = {0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804,
                                          0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0303,
                                          0x0301, 0x0203, 0x0201, 0x0402, 0x0202, 0x0101};
    size_t extensions = open_length(w);
    put_server_name(w, name);
    put_list16(w, 10, groups, sizeof groups / sizeof groups[0]);
    put16(w, 11); // ec_point_formats
    put16(w, 2);
    put16(w, 0x0100);
    if (version >= TLS_1_2)
        put_list16(w, 13, signatures, sizeof signatures / sizeof signatures[0]);
    if (version == TLS_1_3)
        put_tls13_extensions(w, key);
    else {
        put16(w, 0xff01); // renegotiation_info: some servers insist on it
        put16(w, 1);
        put8(w, 0);
    }
    close_length(w, extensions);
}

static size_t write_ssl2(const uint8_t *random, uint8_t *out)
{
    struct writer w = {out, TLS_HELLO_MAX, 0};
    put16(&w, 0x8000 | (9 + TLS_SSL2_SUITES * 3 + 16));
    put8(&w, CLIENT_HELLO);
    put16(&w, 0x0002);
    put16(&w, TLS_SSL2_SUITES * 3);
    put16(&w, 0);
    put16(&w, 16);
    for (size_t i = 0; i < TLS_SSL2_SUITES; i++) {
        put8(&w, tls_ssl2_suites[i].number >> 16);
        put16(&w, tls_ssl2_suites[i].number & 0xffff);
    }
    put_bytes(&w, random, 16);
    return w.at;
}

size_t tls_hello_write(enum tls_version version, const uint16_t *suites, size_t count, const char *name,
                       const uint8_t random[64], uint8_t out[TLS_HELLO_MAX])
{
    if (version == TLS_SSL2)
        return write_ssl2(random, out);
    struct writer w = {out, TLS_HELLO_MAX, 0};
    unsigned number = version == TLS_1_3 ? 0x0303 : tls_version_number(version);
    put8(&w, RECORD_HANDSHAKE);
    put16(&w, version == TLS_SSL3 ? 0x0300 : 0x0301);
    size_t record = open_length(&w);
    put8(&w, CLIENT_HELLO);
    put8(&w, 0);
    size_t message = open_length(&w);
    put16(&w, number);
    put_bytes(&w, random, 32);
    put8(&w, 0); // no session to take up
    size_t list = open_length(&w);
    for (size_t i = 0; i < count; i++)
        put16(&w, suites[i]);
    close_length(&w, list);
    put16(&w, 0x0100); // no compression
    if (version != TLS_SSL3)
        put_extensions(&w, version, name, random + 32);
    close_length(&w, message);
    close_length(&w, record);
    return w.at <= TLS_HELLO_MAX ? w.at : 0;
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* ServerHello, from its version on. */
static bool read_server_hello(const uint8_t *at, size_t length, struct tls_answer *answer)
{
    if (length < 38)
        return false;
    size_t session = at[34];
    if (length < 38 + session)
        return false;
    answer->version = get16(at);
    answer->suite = get16(at + 35 + session);
    for (size_t e = 38 + session + 2; e + 4 <= length;) {
        size_t size = get16(at + e + 2);
        if (size > length - e - 4)
            break;
        if (get16(at + e) == EXTENSION_VERSIONS && size == 2)
            answer->version = get16(at + e + 4);
        e += 4 + size;
    }
    return true;
}

static unsigned bits_of(const uint8_t *number, size_t length)
{
    while (length && !*number) {
        number++;
        length--;
    }
    unsigned bits = (unsigned)length * 8;
    for (unsigned mask = 0x80; length && !(*number & mask); mask >>= 1)
        bits--;
    return bits;
}

/* The handshake's messages, put together from their records. True: all that is wanted is there. */
static bool read_messages(const uint8_t *bytes, size_t length, struct tls_answer *answer)
{
    bool wants_dh = false;
    for (size_t at = 0; at + 4 <= length;) {
        size_t size = (size_t)bytes[at + 1] << 16 | get16(bytes + at + 2);
        if (size > length - at - 4)
            return false;
        const uint8_t *body = bytes + at + 4;
        char text[12];
        switch (bytes[at]) {
        case SERVER_HELLO:
            if (!read_server_hello(body, size, answer)) {
                answer->kind = TLS_ANSWER_NOT_TLS;
                return true;
            }
            answer->kind = TLS_ANSWER_HELLO;
            wants_dh = tls_suite_has_dh(tls_suite_name(answer->suite, text)) && answer->version < 0x0304;
            if (!wants_dh)
                return true;
            break;
        case SERVER_KEY_EXCHANGE:
            if (size >= 2 && (size_t)get16(body) + 2 <= size)
                answer->dh_bits = bits_of(body + 2, get16(body));
            return true;
        case SERVER_HELLO_DONE:
            return true;
        default:
            break;
        }
        at += 4 + size;
    }
    return false;
}

static struct tls_answer read_ssl2(const uint8_t *bytes, size_t length, bool whole)
{
    struct tls_answer answer = {.kind = whole ? TLS_ANSWER_NOT_TLS : TLS_ANSWER_MORE};
    if (length >= 2 && !(bytes[0] & 0x80)) { // an answer in TLS records: an alert, most likely
        answer.kind = bytes[0] == RECORD_ALERT && length >= 7 ? TLS_ANSWER_ALERT
                      : whole || length >= 7                  ? TLS_ANSWER_NOT_TLS
                                                              : TLS_ANSWER_MORE;
        answer.alert = answer.kind == TLS_ANSWER_ALERT ? bytes[6] : 0;
        return answer;
    }
    size_t size = length >= 2 ? (size_t)(get16(bytes) & 0x7fff) : 0;
    if (length < 13 || length < size + 2)
        return answer;
    size_t certificate = get16(bytes + 7), suites = get16(bytes + 9);
    answer.kind = bytes[2] == 4 && get16(bytes + 5) == 0x0002 && 13 + certificate + suites <= length
                      ? TLS_ANSWER_HELLO
                      : TLS_ANSWER_NOT_TLS;
    answer.version = 0x0002;
    for (size_t i = 0; answer.kind == TLS_ANSWER_HELLO && i + 3 <= suites && answer.ssl2_count < 16; i += 3) {
        const uint8_t *s = bytes + 13 + certificate + i;
        answer.ssl2_suites[answer.ssl2_count++] = (uint32_t)s[0] << 16 | get16(s + 1);
    }
    return answer;
}

struct tls_answer tls_answer_read(enum tls_version asked, const uint8_t *bytes, size_t length, bool whole)
{
    static const size_t header = 5;
    uint8_t messages[TLS_ANSWER_MAX];
    size_t gathered = 0;
    if (asked == TLS_SSL2)
        return read_ssl2(bytes, length, whole);
    struct tls_answer answer = {.kind = whole ? TLS_ANSWER_NOT_TLS : TLS_ANSWER_MORE};
    for (size_t at = 0; at < length;) {
        bool plausible = (bytes[at] == RECORD_ALERT || bytes[at] == RECORD_HANDSHAKE) &&
                         (at + 1 >= length || bytes[at + 1] == 3);
        if (!plausible && gathered) { // change of ciphers, and what is encrypted already
            whole = true;
            break;
        }
        if (!plausible) {
            answer.kind = TLS_ANSWER_NOT_TLS;
            return answer;
        }
        if (length - at < header)
            break;
        size_t size = get16(bytes + at + 3);
        if (bytes[at] == RECORD_ALERT && size >= 2 && length - at >= header + 2) {
            answer.kind = TLS_ANSWER_ALERT;
            answer.alert = bytes[at + header + 1];
            if (!gathered)
                return answer;
            whole = true; // no key comes any more
            break;
        }
        size_t there = length - at - header < size ? length - at - header : size;
        if (there > sizeof messages - gathered)
            there = sizeof messages - gathered;
        memcpy(messages + gathered, bytes + at + header, there);
        gathered += there;
        at += header + size;
    }
    struct tls_answer read = {.kind = TLS_ANSWER_MORE};
    bool all = read_messages(messages, gathered, &read);
    if (read.kind == TLS_ANSWER_HELLO && !all && !whole)
        read.kind = TLS_ANSWER_MORE; // the key is still to come
    return read.kind == TLS_ANSWER_MORE ? answer : read;
}

const char *tls_alert_name(uint8_t alert)
{
    static const struct {
        uint8_t number;
        const char *name;
    } names[] = {{0, "close_notify"},
                 {10, "unexpected_message"},
                 {20, "bad_record_mac"},
                 {40, "handshake_failure"},
                 {42, "bad_certificate"},
                 {47, "illegal_parameter"},
                 {50, "decode_error"},
                 {70, "protocol_version"},
                 {71, "insufficient_security"},
                 {80, "internal_error"},
                 {86, "inappropriate_fallback"},
                 {109, "missing_extension"},
                 {110, "unsupported_extension"},
                 {112, "unrecognized_name"},
                 {116, "certificate_required"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == alert)
            return names[i].name;
    return NULL;
}
