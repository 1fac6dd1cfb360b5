#include "agent/capture/ring_select.h"

#include <stdlib.h>
#include <string.h>

#define PROTO_ICMP 1
#define PROTO_ICMPV6 58
#define ICMP_HEADER 8
#define LONGEST_HEADERS 192 /* Ethernet, VLAN tags, IPv6 with extensions, TCP with options */

/* A flow without direction: the smaller end first. Compared as bytes, so it is always zeroed as a whole. */
struct key {
    uint8_t ends[2][19]; /* family, address, port */
    uint8_t proto;
};

struct dp_ring_selector {
    struct key *keys; /* sorted */
    size_t count;
    bool cut_payload;
};

static void set_end(uint8_t end[19], const struct dp_addr *addr, uint16_t port)
{
    end[0] = addr->family;
    memcpy(end + 1, addr->bytes, addr->family == 4 ? 4 : 16);
    end[17] = (uint8_t)(port >> 8);
    end[18] = (uint8_t)port;
}

static struct key make_key(uint8_t proto, const struct dp_addr *a, uint16_t a_port, const struct dp_addr *b,
                           uint16_t b_port)
{
    struct key key;
    memset(&key, 0, sizeof key);
    key.proto = proto;
    set_end(key.ends[0], a, a_port);
    set_end(key.ends[1], b, b_port);
    if (memcmp(key.ends[0], key.ends[1], sizeof key.ends[0]) > 0) {
        uint8_t end[sizeof key.ends[0]];
        memcpy(end, key.ends[0], sizeof end);
        memcpy(key.ends[0], key.ends[1], sizeof end);
        memcpy(key.ends[1], end, sizeof end);
    }
    return key;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key));
}

int dp_ring_selector_new(const struct dp_ring_flow *flows, size_t count, bool cut_payload,
                         struct dp_ring_selector **ret_selector)
{
    struct dp_ring_selector *selector = calloc(1, sizeof *selector);
    struct key *keys = calloc(count ? count : 1, sizeof *keys);
    if (!selector || !keys) {
        free(selector);
        free(keys);
        return DP_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = make_key(flows[i].proto, &flows[i].a, flows[i].a_port, &flows[i].b, flows[i].b_port);
    qsort(keys, count, sizeof *keys, compare_keys);
    *selector = (struct dp_ring_selector){keys, count, cut_payload};
    *ret_selector = selector;
    return DP_OK;
}

void dp_ring_selector_free(struct dp_ring_selector *selector)
{
    if (!selector)
        return;
    free(selector->keys);
    free(selector);
}

/* A later fragment has no ports: it belongs to every flow between its addresses. */
static bool fragment_wanted(const struct dp_ring_selector *selector, const struct dp_packet *packet)
{
    struct key key = make_key(packet->proto, &packet->src, 0, &packet->dst, 0);
    for (size_t i = 0; i < selector->count; i++) {
        const struct key *wanted = &selector->keys[i];
        bool straight =
            memcmp(wanted->ends[0], key.ends[0], 17) == 0 && memcmp(wanted->ends[1], key.ends[1], 17) == 0;
        bool crossed =
            memcmp(wanted->ends[0], key.ends[1], 17) == 0 && memcmp(wanted->ends[1], key.ends[0], 17) == 0;
        if (wanted->proto == packet->proto && (straight || crossed))
            return true;
    }
    return false;
}

static bool wanted(const struct dp_ring_selector *selector, const struct dp_packet *packet)
{
    if (selector->count == 0)
        return true;
    if (packet->later_fragment)
        return fragment_wanted(selector, packet);
    struct key key = make_key(packet->proto, &packet->src, packet->sport, &packet->dst, packet->dport);
    return bsearch(&key, selector->keys, selector->count, sizeof key, compare_keys) != NULL;
}

static size_t headers_of(const struct dp_packet *packet, const uint8_t *frame, size_t captured)
{
    if (!packet->payload)
        return captured < LONGEST_HEADERS ? captured : LONGEST_HEADERS;
    size_t headers = (size_t)(packet->payload - frame);
    /* The payload of ICMP begins with its own header. */
    if ((packet->proto == PROTO_ICMP || packet->proto == PROTO_ICMPV6) && !packet->later_fragment)
        headers += packet->payload_captured < ICMP_HEADER ? packet->payload_captured : ICMP_HEADER;
    return headers;
}

size_t dp_ring_selector_take(const struct dp_ring_selector *selector, int link_type, const uint8_t *frame,
                             size_t captured, size_t wire_len)
{
    struct dp_packet packet;
    if (selector->count == 0 && !selector->cut_payload)
        return captured;
    if (dp_packet_decode(link_type, frame, captured, wire_len, &packet) != DP_OK ||
        !wanted(selector, &packet))
        return 0;
    return selector->cut_payload ? headers_of(&packet, frame, captured) : captured;
}
