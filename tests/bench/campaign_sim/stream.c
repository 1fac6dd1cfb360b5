/* The application's bytes on a connection: as they are, or in TLS records; what they are made of. */
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

enum {
    CLIENT_HELLO = 517,
    CLIENT_FINISHED = 80,
    MOST_RECORD = 16384,
    RECORD_OVERHEAD = 22,
    RECORD_HEADER = 5
};

static uint32_t server_hello(const struct sim *s, uint32_t flow)
{
    return 1200 + (uint32_t)(mix(s->c.seed + flow * 31) % 3300);
}

/* ---- TLS ---- */

static void add_record(struct sim *s, uint32_t flow, int side, uint32_t bytes, uint32_t plain)
{
    struct stream *out = &s->flows[flow].out[side];
    struct tls_record *items = grow(s, out->records, &out->room, out->count + 1, sizeof *items);
    if (!items)
        return;
    out->records = items;
    struct tls_record last = out->count ? items[out->count - 1] : (struct tls_record){0};
    items[out->count++] = (struct tls_record){last.end + bytes, last.plain_end + plain};
}

static void flush(struct sim *s, uint32_t flow, int side)
{
    struct stream *out = &s->flows[flow].out[side];
    uint32_t bytes = 0;
    while (out->ready && out->pending) {
        uint32_t plain = out->pending < MOST_RECORD ? (uint32_t)out->pending : MOST_RECORD;
        add_record(s, flow, side, plain + RECORD_OVERHEAD, plain);
        bytes += plain + RECORD_OVERHEAD;
        out->pending -= plain;
    }
    if (bytes)
        tcp_write(s, flow, side, bytes);
}

static uint64_t arrived(const struct sim *s, uint32_t flow, int side)
{
    const struct end *e = &s->flows[flow].end[side], *peer = &s->flows[flow].end[1 - side];
    uint64_t until = e->expected < peer->written ? e->expected : peer->written;
    return until ? until - 1 : 0;
}

static void say_hello(struct sim *s, uint32_t flow, int side, uint32_t bytes)
{
    add_record(s, flow, side, bytes, 0);
    s->flows[flow].out[side].stage++;
    tcp_write(s, flow, side, bytes);
}

static void shake_hands(struct sim *s, uint32_t flow, int side)
{
    struct flow_sim *f = &s->flows[flow];
    struct stream *out = &f->out[side];
    uint64_t got = arrived(s, flow, side);
    if (out->ready || f->end[side].state != END_OPEN)
        return;
    if (side == 0 && out->stage == 0)
        say_hello(s, flow, 0, CLIENT_HELLO);
    if (side == 1 && out->stage == 0 && got >= CLIENT_HELLO)
        say_hello(s, flow, 1, server_hello(s, flow));
    if (side == 0 && out->stage == 1 && got >= server_hello(s, flow)) {
        say_hello(s, flow, 0, CLIENT_FINISHED);
        out->ready = true;
    }
    if (side == 1 && out->stage == 1 && got >= CLIENT_HELLO + CLIENT_FINISHED)
        out->ready = true;
    flush(s, flow, side);
}

/* ---- bytes in and out ---- */

static uint32_t header_of(const struct flow_sim *f, int side)
{
    return side == 0 ? f->header_len : 0;
}

void stream_write(struct sim *s, uint32_t flow, int side, uint32_t bytes)
{
    struct flow_sim *f = &s->flows[flow];
    f->out[side].plain += bytes;
    if (!f->tls) {
        tcp_write(s, flow, side, bytes);
        return;
    }
    f->out[side].pending += bytes;
    flush(s, flow, side);
}

/* The first record that ends behind a position. */
static size_t record_at(const struct stream *out, uint64_t position)
{
    size_t low = 0, high = out->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (out->records[middle].end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many of the application's bytes lie in the first `bytes` that `side` sent. */
static uint64_t plain_in(const struct flow_sim *f, int side, uint64_t bytes)
{
    uint64_t header = header_of(f, side);
    bytes = bytes > header ? bytes - header : 0;
    if (!f->tls)
        return bytes;
    size_t i = record_at(&f->out[side], bytes);
    return i ? f->out[side].records[i - 1].plain_end : 0;
}

uint64_t stream_received(const struct sim *s, uint32_t flow, int side)
{
    return plain_in(&s->flows[flow], 1 - side, arrived(s, flow, side));
}

uint64_t stream_sent(const struct sim *s, uint32_t flow, int side)
{
    const struct end *e = &s->flows[flow].end[side];
    uint64_t until = e->next < e->written ? e->next : e->written;
    return plain_in(&s->flows[flow], side, until ? until - 1 : 0);
}

uint64_t stream_position(const struct sim *s, uint32_t flow, int side, uint64_t plain)
{
    const struct flow_sim *f = &s->flows[flow];
    const struct stream *out = &f->out[side];
    uint64_t before = 1 + header_of(f, side);
    if (!f->tls)
        return before + plain;
    for (size_t i = 0; i < out->count; i++)
        if (out->records[i].plain_end > plain)
            return before + (i ? out->records[i - 1].end : 0);
    return before + (out->count ? out->records[out->count - 1].end : 0);
}

bool stream_ended(const struct sim *s, uint32_t flow, int side)
{
    const struct flow_sim *f = &s->flows[flow];
    const struct end *peer = &f->end[1 - side];
    return f->end[side].peer_fin && peer->fin && f->end[side].expected == peer->fin + 1;
}

void stream_progress(struct sim *s, uint32_t flow, int side)
{
    const struct flow_sim *f = &s->flows[flow];
    if (f->tls)
        shake_hands(s, flow, side);
    if (proxy_end(f, side))
        proxy_progress(s, flow);
    else
        app_progress(s, front_of(s, flow));
}

void stream_died(struct sim *s, uint32_t flow, int side)
{
    if (proxy_end(&s->flows[flow], side))
        proxy_died(s, flow);
}

/* ---- content ---- */

static void put_made_up(const struct sim *s, const struct packet *p, uint32_t flow, uint64_t position,
                        uint8_t *at, uint32_t len)
{
    const struct flow_sim *f = &s->flows[flow];
    uint64_t key = mix(s->c.seed * 1000003 + flow * 2 + p->half), word = 0;
    bool text = !f->udp && f->server_port == 25; /* content of mail is no control characters */
    for (uint32_t i = 0; i < len; i++, position++) {
        if (i == 0 || position % 8 == 0)
            word = mix(key + position / 8);
        uint8_t byte = (uint8_t)(word >> (8 * (position % 8)));
        at[i] = text ? (uint8_t)("0123456789abcdef"[byte & 15]) : byte;
    }
}

static void put_texts(const struct flow_sim *f, int half, uint64_t position, uint8_t *at, uint32_t len)
{
    for (uint32_t k = 0; k < f->text_count[half] && !f->udp; k++) {
        uint64_t start = f->texts[half][k].start;
        const char *line = f->texts[half][k].text;
        for (size_t j = 0; start < position + len && start + j < position + len && line[j]; j++)
            if (start + j >= position)
                at[start + j - position] = (uint8_t)line[j];
    }
}

/* The records' own headers. */
static void put_records(const struct flow_sim *f, int half, uint64_t position, uint8_t *at, uint32_t len)
{
    const struct stream *out = &f->out[half];
    for (size_t i = record_at(out, position); i < out->count; i++) {
        uint64_t start = i ? out->records[i - 1].end : 0, plain = i ? out->records[i - 1].plain_end : 0;
        if (start >= position + len)
            break;
        bool hello = out->records[i].plain_end == plain;
        uint64_t size = out->records[i].end - start - RECORD_HEADER;
        uint8_t bytes[RECORD_HEADER] = {hello ? 22 : 23, 3, 3, (uint8_t)(size >> 8), (uint8_t)size};
        for (uint64_t j = 0; j < RECORD_HEADER; j++)
            if (start + j >= position && start + j < position + len)
                at[start + j - position] = bytes[j];
    }
}

/* Both legs of a proxied connection carry the same bytes, but for what stands before them, and for TLS. */
void stream_content(const struct sim *s, const struct packet *p, uint8_t *at, uint32_t len)
{
    const struct flow_sim *f = &s->flows[p->flow];
    uint32_t header = header_of(f, p->half);
    uint64_t position = p->seq;
    while (len && !f->udp && position >= 1 && position <= header) {
        *at++ = f->header[position++ - 1];
        len--;
    }
    if (len == 0)
        return;
    position -= f->udp ? 0 : header;
    if (f->tls) {
        put_made_up(s, p, p->flow, position, at, len);
        put_records(f, p->half, position - 1, at, len);
        return;
    }
    uint32_t front = front_of(s, p->flow);
    put_made_up(s, p, front, position, at, len);
    put_texts(&s->flows[front], p->half, position, at, len);
}
