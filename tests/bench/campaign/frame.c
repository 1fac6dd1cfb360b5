/* A packet as a frame, as one vantage point sees it: Ethernet, IPv4 or IPv6, TCP or UDP, made-up payload. */
#include <string.h>

#include "tests/bench/campaign/campaign.h"

enum { MOST_PAYLOAD = 128 };

struct writer {
    uint8_t *at;
};

static void put(struct writer *w, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *w->at++ = (uint8_t)(value >> (8 * i));
}

struct endpoint {
    uint8_t net, host;
    uint16_t port;
};

/* How an end looks at a vantage point: behind a host that rewrites addresses it is another one. */
static struct endpoint seen_as(const struct sim *s, const struct packet *p, int side, uint32_t point)
{
    const struct flow_sim *f = &s->flows[p->flow];
    bool behind = s->c.nat && (point >= s->c.nat_stretch) == !f->client_far; /* on the server's side */
    struct endpoint e;
    if (side == 0) {
        e = (struct endpoint){0, f->client_addr, f->client_port};
        if (behind && s->c.nat == 1)
            e = (struct endpoint){2, f->client_far ? 105 : 5, (uint16_t)(20000 + p->flow)};
    } else {
        e = (struct endpoint){1, f->server_addr, f->server_port};
        if (behind && s->c.nat == 2)
            e = (struct endpoint){3, f->server_addr, (uint16_t)(f->server_port + 10000)};
    }
    return e;
}

static void put_address(struct writer *w, struct endpoint e, bool ipv6)
{
    static const uint8_t nets[4][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {10, 0, 7}};
    if (ipv6) {
        put(w, 0x20010db8, 4);
        put(w, e.net, 4);
        put(w, 0, 7);
    } else {
        for (int i = 0; i < 3; i++)
            put(w, nets[e.net][i], 1);
    }
    put(w, e.host, 1);
}

static void put_ip(struct writer *w, const struct sim *s, const struct packet *p, uint32_t point)
{
    bool udp = s->flows[p->flow].udp;
    uint32_t len = packet_ip_len(s, p);
    uint8_t *start = w->at;
    if (s->c.ipv6) {
        put(w, 0x60000000, 4);
        put(w, len - 40, 2);
        put(w, udp ? 17 : 6, 1);
        put(w, p->ttl, 1);
    } else {
        put(w, 0x4500, 2);
        put(w, len, 2);
        put(w, p->ip_id, 2);
        put(w, 0x4000, 2);
        put(w, p->ttl, 1);
        put(w, udp ? 17 : 6, 1);
        put(w, 0, 2);
    }
    put_address(w, seen_as(s, p, p->half, point), s->c.ipv6);
    put_address(w, seen_as(s, p, 1 - p->half, point), s->c.ipv6);
    if (s->c.ipv6)
        return;
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(start[i] << 8 | start[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16)) & 0xffff;
    start[10] = (uint8_t)(sum >> 8);
    start[11] = (uint8_t)sum;
}

static void put_options(struct writer *w, const struct sim *s, const struct packet *p)
{
    const struct flow_sim *f = &s->flows[p->flow];
    if (p->flags & DP_TCP_SYN) {
        put(w, 0x0204, 2);
        put(w, f->mss + (s->c.timestamps ? 12 : 0), 2);
        if (s->c.sack || s->c.timestamps)
            put(w, s->c.sack ? 0x04020101 : 0x01010101, 4);
        if (s->c.timestamps) { /* without its NOPs: SACK permitted stands before it */
            w->at -= 2;
            put(w, 0x080a, 2);
            put(w, p->tsval, 4);
            put(w, p->tsecr, 4);
        }
        put(w, 0x01030307, 4);
        return;
    }
    if (s->c.timestamps) {
        put(w, 0x0101080a, 4);
        put(w, p->tsval, 4);
        put(w, p->tsecr, 4);
    }
    if (p->sack_count) {
        put(w, 0x0101, 2);
        put(w, 5, 1);
        put(w, 2 + 8u * p->sack_count, 1);
        for (uint8_t i = 0; i < p->sack_count; i++) {
            put(w, f->isn[1 - p->half] + (uint32_t)p->sack[i][0], 4);
            put(w, f->isn[1 - p->half] + (uint32_t)p->sack[i][1], 4);
        }
    }
}

static void put_tcp(struct writer *w, const struct sim *s, const struct packet *p, uint32_t point)
{
    const struct flow_sim *f = &s->flows[p->flow];
    uint32_t ip = s->c.ipv6 ? 40 : 20;
    uint32_t header = packet_ip_len(s, p) - ip - p->len;
    put(w, seen_as(s, p, p->half, point).port, 2);
    put(w, seen_as(s, p, 1 - p->half, point).port, 2);
    put(w, f->isn[p->half] + (uint32_t)p->seq, 4);
    put(w, (p->flags & DP_TCP_ACK) ? f->isn[1 - p->half] + (uint32_t)p->ack : 0, 4);
    put(w, header / 4 << 12 | p->flags, 2);
    uint32_t window = (p->flags & DP_TCP_SYN) ? p->window : p->window >> 7;
    put(w, window > 65535 ? 65535 : window, 2);
    put(w, 0, 4);
    put_options(w, s, p);
}

static void put_payload(struct writer *w, const struct sim *s, const struct packet *p, uint32_t len)
{
    const struct flow_sim *f = &s->flows[p->flow];
    uint64_t key = mix(s->c.seed * 1000003 + p->flow * 2 + p->half), word = 0;
    bool text = !f->udp && f->server_port == 25; /* content of mail is no control characters */
    for (uint32_t i = 0; i < len; i++) {
        uint64_t position = p->seq + i;
        if (i == 0 || position % 8 == 0)
            word = mix(key + position / 8);
        uint8_t byte = (uint8_t)(word >> (8 * (position % 8)));
        w->at[i] = text ? (uint8_t)("0123456789abcdef"[byte & 15]) : byte;
    }
    for (uint32_t k = 0; k < f->text_count[p->half] && !f->udp; k++) {
        uint64_t start = f->texts[p->half][k].start;
        const char *line = f->texts[p->half][k].text;
        for (size_t j = 0; start < p->seq + len && start + j < p->seq + len && line[j]; j++)
            if (start + j >= p->seq)
                w->at[start + j - p->seq] = (uint8_t)line[j];
    }
    w->at += len;
}

/* Cut behind MOST_PAYLOAD bytes of payload. Returns the bytes in `frame`. */
size_t frame_build(const struct sim *s, uint32_t point, const struct packet *p, uint8_t *frame, size_t room,
                   size_t *ret_wire_len)
{
    struct writer w = {frame};
    uint32_t payload = p->len < MOST_PAYLOAD ? p->len : MOST_PAYLOAD;
    if (room < 14 + 40 + 60 + MOST_PAYLOAD)
        return 0;
    put(&w, 0x020000000000ULL + (p->dir ? 1 : 2), 6);
    put(&w, 0x020000000000ULL + (p->dir ? 2 : 1), 6);
    put(&w, s->c.ipv6 ? 0x86dd : 0x0800, 2);
    put_ip(&w, s, p, point);
    if (s->flows[p->flow].udp) {
        put(&w, seen_as(s, p, p->half, point).port, 2);
        put(&w, seen_as(s, p, 1 - p->half, point).port, 2);
        put(&w, p->len + 8, 2);
        put(&w, 0, 2);
    } else {
        put_tcp(&w, s, p, point);
    }
    put_payload(&w, s, p, payload);
    *ret_wire_len = 14 + packet_ip_len(s, p);
    return (size_t)(w.at - frame);
}
