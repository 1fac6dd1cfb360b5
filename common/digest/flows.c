#include "common/digest/flows.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024U /* a power of two */
#define FIRST_FLOWS 256U

/* Open addressing with linear probing, at most half full. */
struct slot {
    uint32_t tag;  /* the hash's lower half */
    uint32_t next; /* index into the flows plus 1; 0 empty */
};

struct dp_flows {
    struct dp_flow *flows;
    size_t count, room;
    struct slot *slots;
    size_t mask;
    uint32_t last; /* the flow of the last packet: bulk traffic comes in runs */
    uint8_t key[crypto_shorthash_siphash24_KEYBYTES];
};

/* What names a flow: packets of a fragmented datagram go by addresses alone, as only the first has ports. */
struct ends {
    uint16_t sport, dport;
};

int dp_flows_new(struct dp_flows **ret_flows)
{
    struct dp_flows *flows = calloc(1, sizeof *flows);
    if (!flows)
        return DP_ERR_NOMEM;
    flows->room = FIRST_FLOWS;
    flows->mask = FIRST_SLOTS - 1;
    flows->flows = malloc(FIRST_FLOWS * sizeof *flows->flows);
    flows->slots = calloc(FIRST_SLOTS, sizeof *flows->slots);
    if (!flows->flows || !flows->slots) {
        dp_flows_free(flows);
        return DP_ERR_NOMEM;
    }
    randombytes_buf(flows->key, sizeof flows->key);
    *ret_flows = flows;
    return DP_OK;
}

void dp_flows_free(struct dp_flows *flows)
{
    if (!flows)
        return;
    free(flows->flows);
    free(flows->slots);
    free(flows);
}

/* The same for both directions: the smaller end goes first. */
static uint32_t hash_of(const struct dp_flows *flows, const struct dp_packet *packet, struct ends ends)
{
    uint8_t bytes[2 + 2 * (16 + 2)];
    size_t size = packet->src.family == 4 ? 4 : 16;
    const struct dp_addr *low = &packet->src, *high = &packet->dst;
    uint16_t low_port = ends.sport, high_port = ends.dport;
    int order = memcmp(low->bytes, high->bytes, size);
    if (order > 0 || (order == 0 && low_port > high_port)) {
        low = &packet->dst, high = &packet->src;
        low_port = ends.dport, high_port = ends.sport;
    }
    bytes[0] = packet->proto;
    bytes[1] = packet->src.family;
    memcpy(bytes + 2, low->bytes, size);
    memcpy(bytes + 2 + size, high->bytes, size);
    memcpy(bytes + 2 + 2 * size, &low_port, 2);
    memcpy(bytes + 4 + 2 * size, &high_port, 2);
    uint8_t out[crypto_shorthash_siphash24_BYTES];
    (void)crypto_shorthash_siphash24(out, bytes, 6 + 2 * size, flows->key);
    uint32_t hash;
    memcpy(&hash, out, sizeof hash);
    return hash;
}

static bool belongs(const struct dp_flow *flow, const struct dp_packet *packet, struct ends ends,
                    uint8_t *ret_dir)
{
    const struct dp_flow_def *def = &flow->def;
    if (def->proto != packet->proto)
        return false;
    if (def->a_port == ends.sport && def->b_port == ends.dport && dp_addr_equal(&def->a, &packet->src) &&
        dp_addr_equal(&def->b, &packet->dst)) {
        *ret_dir = 0;
        return true;
    }
    if (def->b_port == ends.sport && def->a_port == ends.dport && dp_addr_equal(&def->b, &packet->src) &&
        dp_addr_equal(&def->a, &packet->dst)) {
        *ret_dir = 1;
        return true;
    }
    return false;
}

static int grow_flows(struct dp_flows *flows)
{
    size_t room = flows->room * 2;
    struct dp_flow *grown = realloc(flows->flows, room * sizeof *grown);
    if (!grown)
        return DP_ERR_NOMEM;
    flows->flows = grown;
    flows->room = room;
    return DP_OK;
}

static int grow_slots(struct dp_flows *flows)
{
    size_t mask = flows->mask * 2 + 1;
    struct slot *grown = calloc(mask + 1, sizeof *grown);
    if (!grown)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i <= flows->mask; i++) {
        if (flows->slots[i].next == 0)
            continue;
        size_t at = flows->slots[i].tag & mask;
        while (grown[at].next)
            at = (at + 1) & mask;
        grown[at] = flows->slots[i];
    }
    free(flows->slots);
    flows->slots = grown;
    flows->mask = mask;
    return DP_OK;
}

static void begin_flow(struct dp_flow *flow, uint32_t number, const struct dp_packet *packet,
                       struct ends ends)
{
    bool tcp = packet->proto == 6 && !packet->fragment;
    *flow = (struct dp_flow){
        .def = {.flow = number,
                .proto = packet->proto,
                .a = packet->src,
                .b = packet->dst,
                .a_port = ends.sport,
                .b_port = ends.dport},
        .smtp_port = tcp && (dp_smtp_port(ends.sport) || dp_smtp_port(ends.dport)),
        .smtp_server = dp_smtp_port(ends.dport) ? 1 : 0,
    };
}

static int add(struct dp_flows *flows, uint32_t hash, const struct dp_packet *packet, struct ends ends)
{
    if (flows->count >= DP_DIGEST_MAX_FLOWS)
        return DP_ERR_FULL;
    int rc = flows->count == flows->room ? grow_flows(flows) : DP_OK;
    if (rc == DP_OK && flows->count * 2 >= flows->mask)
        rc = grow_slots(flows);
    if (rc)
        return rc;
    size_t at = hash & flows->mask;
    while (flows->slots[at].next)
        at = (at + 1) & flows->mask;
    uint32_t number = (uint32_t)flows->count++;
    flows->slots[at] = (struct slot){.tag = hash, .next = number + 1};
    begin_flow(&flows->flows[number], number, packet, ends);
    flows->last = number;
    return DP_OK;
}

int dp_flows_find(struct dp_flows *flows, const struct dp_packet *packet, struct dp_flow **ret_flow,
                  uint8_t *ret_dir)
{
    struct ends ends = {packet->sport, packet->dport};
    if (packet->fragment)
        ends = (struct ends){0, 0};
    if (flows->count && belongs(&flows->flows[flows->last], packet, ends, ret_dir)) {
        *ret_flow = &flows->flows[flows->last];
        return DP_OK;
    }
    uint32_t hash = hash_of(flows, packet, ends);
    for (size_t at = hash & flows->mask; flows->slots[at].next; at = (at + 1) & flows->mask) {
        uint32_t number = flows->slots[at].next - 1;
        if (flows->slots[at].tag == hash && belongs(&flows->flows[number], packet, ends, ret_dir)) {
            flows->last = number;
            *ret_flow = &flows->flows[number];
            return DP_OK;
        }
    }
    int rc = add(flows, hash, packet, ends);
    if (rc)
        return rc;
    *ret_flow = &flows->flows[flows->last];
    *ret_dir = 0;
    return DP_OK;
}
