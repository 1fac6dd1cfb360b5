/* A packet as a frame, as one vantage point sees it: Ethernet, IPv4 or IPv6, TCP or UDP, made-up payload. */
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

enum { MOST_PAYLOAD = 128 };

struct writer {
    uint8_t *at;
};

uint8_t *frame_put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static void put(struct writer *w, uint64_t value, int bytes)
{
    w->at = frame_put(w->at, value, bytes);
}

void frame_address(uint8_t *at, struct endpoint e, bool ipv6)
{
    static const uint8_t nets[4][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {10, 0, 7}};
    struct writer w = {at};
    if (ipv6) {
        put(&w, 0x20010db8, 4);
        put(&w, e.net, 4);
        put(&w, 0, 7);
    } else if (e.net < 4) {
        for (int i = 0; i < 3; i++)
            put(&w, nets[e.net][i], 1);
    } else {
        put(&w, 0x0a0000 | e.net, 3);
    }
    put(&w, e.host, 1);
}

static void put_address(struct writer *w, struct endpoint e, bool ipv6)
{
    frame_address(w->at, e, ipv6);
    w->at += ipv6 ? 16 : 4;
}

static const struct view *seen_at(const struct sim *s, const struct packet *p, uint32_t point)
{
    return &s->flows[p->flow].view[point];
}

static void put_checksum(uint8_t *header)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(header[i] << 8 | header[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16)) & 0xffff;
    frame_put(header + 10, sum, 2);
}

uint8_t *frame_put_ip(uint8_t *at, const struct ip_header *h)
{
    struct writer w = {at};
    if (h->ipv6) {
        put(&w, 0x60000000 | (uint32_t)h->tos << 20, 4);
        put(&w, h->len ? h->len - 40 : 0, 2);
        put(&w, h->proto, 1);
        put(&w, h->ttl, 1);
    } else {
        put(&w, 0x4500 | h->tos, 2);
        put(&w, h->len, 2);
        put(&w, h->id, 2);
        put(&w, 0x4000, 2);
        put(&w, h->ttl, 1);
        put(&w, h->proto, 1);
        put(&w, 0, 2);
    }
    put_address(&w, h->from, h->ipv6);
    put_address(&w, h->to, h->ipv6);
    if (!h->ipv6)
        put_checksum(at);
    return w.at;
}

static void put_ip(struct writer *w, const struct sim *s, const struct packet *p, uint32_t point)
{
    const struct view *v = seen_at(s, p, point);
    struct ip_header h = {.ipv6 = s->c.ipv6,
                          .tos = p->tos,
                          .ttl = p->ttl,
                          .proto = s->flows[p->flow].udp ? 17 : 6,
                          .id = p->ip_id,
                          .len = packet_ip_len(s, p),
                          .from = v->end[p->half],
                          .to = v->end[1 - p->half]};
    w->at = frame_put_ip(w->at, &h);
}

static void put_timestamps(struct writer *w, const struct packet *p, const struct view *v)
{
    put(w, 0x080a, 2);
    put(w, p->tsval + v->ts[p->half], 4);
    put(w, p->tsecr ? p->tsecr + v->ts[1 - p->half] : 0, 4);
}

/* What a host removed leaves its room. */
static void put_syn_options(struct writer *w, const struct sim *s, const struct packet *p,
                            const struct view *v)
{
    bool timestamps = p->half == 0 ? s->c.timestamps : s->flows[p->flow].timestamps;
    bool sack = p->half == 0 ? s->c.sack : s->flows[p->flow].sack;
    put(w, 0x0204, 2);
    put(w, v->mss[p->half], 2);
    if (sack || timestamps)
        put(w, sack && v->sack[p->half] ? 0x0402 : 0x0101, 2);
    if (timestamps && v->timestamps[p->half]) {
        put_timestamps(w, p, v);
    } else if (timestamps) {
        put(w, 0x0101010101, 5);
        put(w, 0x0101010101, 5);
    } else if (sack) {
        put(w, 0x0101, 2);
    }
    put(w, 0x01030300 | v->wscale[p->half], 4);
}

static void put_options(struct writer *w, const struct sim *s, const struct packet *p, const struct view *v)
{
    const struct flow_sim *f = &s->flows[p->flow];
    if (p->flags & DP_TCP_SYN) {
        put_syn_options(w, s, p, v);
        return;
    }
    if (f->timestamps) {
        put(w, 0x0101, 2);
        put_timestamps(w, p, v);
    }
    if (p->sack_count) {
        uint32_t add = f->isn[1 - p->half] + v->seq[1 - p->half];
        put(w, 0x0101, 2);
        put(w, 5, 1);
        put(w, 2 + 8u * p->sack_count, 1);
        for (uint8_t i = 0; i < p->sack_count; i++) {
            put(w, add + (uint32_t)p->sack[i][0], 4);
            put(w, add + (uint32_t)p->sack[i][1], 4);
        }
    }
}

static void put_tcp(struct writer *w, const struct sim *s, const struct packet *p, const struct view *v)
{
    const struct flow_sim *f = &s->flows[p->flow];
    uint32_t ip = s->c.ipv6 ? 40 : 20;
    uint32_t header = packet_ip_len(s, p) - ip - p->len;
    int other = 1 - p->half;
    put(w, v->end[p->half].port, 2);
    put(w, v->end[other].port, 2);
    put(w, f->isn[p->half] + v->seq[p->half] + (uint32_t)p->seq, 4);
    put(w, (p->flags & DP_TCP_ACK) ? f->isn[other] + v->seq[other] + (uint32_t)p->ack : 0, 4);
    put(w, header / 4 << 12 | p->flags, 2);
    uint32_t window = (p->flags & DP_TCP_SYN) ? p->window : p->window >> v->wscale[p->half];
    put(w, window > 65535 ? 65535 : window, 2);
    put(w, 0, 4);
    put_options(w, s, p, v);
}

/* Cut behind MOST_PAYLOAD bytes of payload. Returns the bytes in `frame`. */
size_t frame_build(const struct sim *s, uint32_t point, const struct packet *p, uint8_t *frame, size_t room,
                   size_t *ret_wire_len)
{
    struct writer w = {frame};
    const struct view *v = seen_at(s, p, point);
    uint32_t payload = p->len < MOST_PAYLOAD ? p->len : MOST_PAYLOAD;
    uint32_t around = tunnel_overhead(&s->c, point);
    if (room < around + 40 + 60 + MOST_PAYLOAD)
        return 0;
    put(&w, 0x020000000000ULL + (p->dir ? 1 : 2), 6);
    put(&w, 0x020000000000ULL + (p->dir ? 2 : 1), 6);
    w.at = tunnel_put(s, point, p, packet_ip_len(s, p), w.at);
    put_ip(&w, s, p, point);
    if (s->flows[p->flow].udp) {
        put(&w, v->end[p->half].port, 2);
        put(&w, v->end[1 - p->half].port, 2);
        put(&w, p->len + 8, 2);
        put(&w, 0, 2);
    } else {
        put_tcp(&w, s, p, v);
    }
    stream_content(s, p, w.at, payload);
    w.at += payload;
    *ret_wire_len = around + packet_ip_len(s, p);
    return (size_t)(w.at - frame);
}
