/* Flows: which packets of which vantage points belong together, who is the client, and which way is forward.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

#define ISN_BUCKETS (sizeof((struct dp_locate *)0)->by_isn / sizeof(struct flow *))

struct table_key {
    uint8_t low[18], high[18], proto;
};

static void pack_endpoint(uint8_t out[18], const struct dp_addr *addr, uint16_t port)
{
    memcpy(out, addr->bytes, 16);
    out[16] = (uint8_t)(port >> 8);
    out[17] = (uint8_t)port;
}

static struct table_key table_key(uint8_t proto, const struct dp_addr *a, uint16_t a_port,
                                  const struct dp_addr *b, uint16_t b_port)
{
    struct table_key key = {.proto = proto};
    pack_endpoint(key.low, a, a_port);
    pack_endpoint(key.high, b, b_port);
    if (memcmp(key.low, key.high, sizeof key.low) > 0) {
        uint8_t swap[18];
        memcpy(swap, key.low, sizeof swap);
        memcpy(key.low, key.high, sizeof swap);
        memcpy(key.high, swap, sizeof swap);
    }
    return key;
}

static struct table_key flow_key(const struct flow *flow)
{
    const struct dp_endpoints *e = &flow->endpoints;
    return table_key(flow->proto, &e->client, e->client_port, &e->server, e->server_port);
}

static size_t table_slot(const struct dp_locate *l, const struct table_key *key)
{
    size_t mask = l->table_size - 1;
    size_t slot = (size_t)XXH3_64bits_withSeed(key, sizeof *key, l->table_seed) & mask;
    while (l->by_endpoints[slot]) {
        struct table_key other = flow_key(l->by_endpoints[slot]);
        if (memcmp(&other, key, sizeof other) == 0)
            break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

static int table_grow(struct dp_locate *l)
{
    if (l->table_size && l->flow_count * 2 < l->table_size)
        return DP_OK;
    size_t old_size = l->table_size;
    struct flow **old = l->by_endpoints;
    size_t size = old_size ? old_size * 4 : 1024;
    struct flow **fresh = calloc(size, sizeof(struct flow *));
    if (!fresh)
        return DP_ERR_NOMEM;
    l->by_endpoints = fresh;
    l->table_size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (!old[i])
            continue;
        struct table_key key = flow_key(old[i]);
        fresh[table_slot(l, &key)] = old[i];
    }
    free(old);
    return DP_OK;
}

int flow_define(struct dp_locate *l, uint32_t vantage, const struct dp_flow_def *def)
{
    struct vantage *v = &l->vantages[vantage];
    if (def->flow > (1u << 24))
        return DP_ERR_RANGE;
    int code = dp_grow(&v->flows, &v->flow_room, (size_t)def->flow + 1, sizeof *v->flows);
    if (code)
        return code;
    struct local_flow *local = &v->flows[def->flow];
    if (!local->known) {
        local->def = *def;
        local->known = true;
    }
    return DP_OK;
}

static bool port_is_service(uint16_t port)
{
    return port < 1024 || port == 2525 || port == 3306 || port == 5432 || port == 8080 || port == 8443;
}

/* Whether def.b is the client. The SYN tells; without one the service's port does. */
static bool b_is_client(const struct dp_flow_def *def, const struct dp_digest *d, bool *ret_known)
{
    bool from_b = d->dir == 1;
    *ret_known = (d->tcp_flags & DP_TCP_SYN) != 0;
    if (*ret_known)
        return (d->tcp_flags & DP_TCP_ACK) ? !from_b : from_b;
    bool a_service = port_is_service(def->a_port), b_service = port_is_service(def->b_port);
    if (a_service != b_service)
        return a_service;
    return false;
}

static int half_new(struct half *half, size_t vantages)
{
    half->data = calloc(vantages, sizeof *half->data);
    half->control = calloc(vantages, sizeof *half->control);
    half->course = calloc(vantages, sizeof *half->course);
    half->missed = calloc(vantages, sizeof *half->missed);
    half->acks = calloc(vantages, sizeof *half->acks);
    half->window_vantage = NO_VANTAGE;
    half->content_vantage = NO_VANTAGE;
    return half->data && half->control && half->course && half->missed && half->acks ? DP_OK : DP_ERR_NOMEM;
}

static void half_free(struct half *half, size_t vantages)
{
    for (size_t i = 0; half->acks && i < vantages; i++)
        free(half->acks[i].table); /* what the lanes hold is the pool's */
    free(half->data);
    free(half->control);
    free(half->course);
    free(half->missed);
    free(half->acks);
    free(half->dsacks);
    free(half->passing.gaps);
    for (size_t i = 0; half->inner_passing && i < LEGS_MOST; i++)
        free(half->inner_passing[i].gaps);
    free(half->inner_passing);
    free(half->beyond);
    free(half->before);
    free(half->held);
}

void flow_free(struct flow *flow, size_t vantages)
{
    if (!flow)
        return;
    half_free(&flow->half[0], vantages);
    half_free(&flow->half[1], vantages);
    free(flow->seen_at);
    free(flow->seen_as);
    free(flow->views);
    free(flow->origin);
    free(flow->mails);
    free(flow->stages);
    free(flow->handovers);
    free(flow);
}

static void renumber_events(struct dp_locate *l, const uint32_t *number)
{
    for (size_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            struct side *s = &l->segments[i].side[d];
            for (size_t k = 0; k < s->loss_count; k++)
                s->losses[k].flow = number[s->losses[k].flow];
        }
    for (size_t i = 0; i < l->reset_count; i++)
        l->resets[i].flow = number[l->resets[i].flow];
    for (size_t i = 0; i < l->rewrite_count; i++)
        l->rewrites[i].flow = number[l->rewrites[i].flow];
}

int flows_compact(struct dp_locate *l)
{
    uint32_t *number = calloc(l->flow_count + 1, sizeof *number);
    if (!number)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < l->flow_count; i++) /* an event of a flow is one of the flow that it became */
        number[i] = flow_whole(l->flows[i])->id;
    uint32_t kept = 0;
    for (size_t i = 0; i < l->flow_count; i++)
        if (!l->flows[i]->joined_into)
            l->flows[i]->id = kept++;
    for (size_t i = 0; i < l->flow_count; i++)
        number[i] = l->flows[number[i]]->id;
    renumber_events(l, number);
    free(number);
    kept = 0;
    for (size_t i = 0; i < l->flow_count; i++) {
        struct flow *flow = l->flows[i];
        if (flow->joined_into)
            flow_free(flow, l->vantage_count);
        else
            l->flows[kept++] = flow;
    }
    l->flow_count = kept;
    /* No packet can be filed any more. */
    free(l->by_endpoints);
    l->by_endpoints = NULL;
    l->table_size = 0;
    memset(l->by_isn, 0, sizeof l->by_isn);
    for (size_t v = 0; v < l->vantage_count; v++) {
        free(l->vantages[v].flows);
        l->vantages[v].flows = NULL;
        l->vantages[v].flow_room = 0;
    }
    return DP_OK;
}

static int flow_new(struct dp_locate *l, uint32_t vantage, const struct dp_endpoints *endpoints,
                    uint8_t proto, struct flow **ret_flow)
{
    int code = dp_grow(&l->flows, &l->flow_room, l->flow_count + 1, sizeof *l->flows);
    if (code == DP_OK)
        code = table_grow(l);
    if (code)
        return code;
    struct flow *flow = calloc(1, sizeof *flow);
    if (!flow)
        return DP_ERR_NOMEM;
    flow->seen_at = calloc(l->vantage_count, 1);
    flow->seen_as = calloc(l->vantage_count, sizeof *flow->seen_as);
    flow->views = calloc(l->vantage_count, sizeof *flow->views);
    flow->legs = 1;
    if (!flow->seen_at || !flow->seen_as || !flow->views || half_new(&flow->half[0], l->vantage_count) ||
        half_new(&flow->half[1], l->vantage_count)) {
        flow_free(flow, l->vantage_count);
        return DP_ERR_NOMEM;
    }
    flow->id = flow->serial = (uint32_t)l->flow_count;
    flow->proto = proto;
    flow->endpoints = *endpoints;
    flow->named_by = (uint8_t)vantage;
    flow->client_near = true;
    flow->smtp_vantage = NO_VANTAGE;
    flow->opener = NO_VANTAGE;
    l->flows[l->flow_count++] = flow;
    struct table_key key = flow_key(flow);
    struct flow **slot = &l->by_endpoints[table_slot(l, &key)];
    flow->older = *slot;
    *slot = flow; /* a new connection takes an old one's place */
    *ret_flow = flow;
    return DP_OK;
}

static void remember_isn(struct dp_locate *l, struct flow *flow, uint32_t isn)
{
    if (flow->has_isn)
        return;
    flow->has_isn = true;
    flow->isn = isn;
    struct flow **bucket = &l->by_isn[isn % ISN_BUCKETS];
    flow->next_by_isn = *bucket;
    *bucket = flow;
}

static struct dp_endpoints endpoints_of(const struct dp_flow_def *def, bool swapped)
{
    struct dp_endpoints e = {def->a, def->b, def->a_port, def->b_port};
    if (swapped)
        e = (struct dp_endpoints){def->b, def->a, def->b_port, def->a_port};
    return e;
}

static bool same_endpoint(const struct dp_addr *a, uint16_t a_port, const struct dp_addr *b, uint16_t b_port)
{
    return a_port == b_port && dp_addr_equal(a, b);
}

/* Which way round a vantage point names the flow's ends. */
static bool names_swapped(const struct flow *flow, const struct dp_flow_def *def, bool otherwise)
{
    const struct dp_endpoints *e = &flow->endpoints;
    if (same_endpoint(&e->client, e->client_port, &def->a, def->a_port))
        return false;
    if (same_endpoint(&e->client, e->client_port, &def->b, def->b_port))
        return true;
    return otherwise;
}

static bool same_name(const struct dp_endpoints *e, const struct dp_flow_def *def)
{
    struct table_key a = table_key(0, &e->client, e->client_port, &e->server, e->server_port);
    struct table_key b = table_key(0, &def->a, def->a_port, &def->b, def->b_port);
    return memcmp(&a, &b, sizeof a) == 0;
}

/* A flow with this client's initial sequence number: the one with the same endpoints, else one that this
 * vantage point has not seen yet (its addresses are rewritten on the way). */
static struct flow *find_by_isn(struct dp_locate *l, uint32_t vantage, uint32_t isn, uint8_t proto,
                                const struct dp_flow_def *def)
{
    struct table_key key = table_key(def->proto, &def->a, def->a_port, &def->b, def->b_port);
    struct flow *rewritten = NULL;
    for (struct flow *f = l->by_isn[isn % ISN_BUCKETS]; f; f = f->next_by_isn) {
        if (f->isn != isn || f->proto != proto)
            continue;
        struct table_key other = flow_key(f);
        const struct flow *whole = flow_whole(f);
        bool seen = whole->seen_at[vantage];
        if (memcmp(&other, &key, sizeof key) == 0 && (!seen || same_name(&whole->seen_as[vantage], def)))
            return f;
        if (!seen)
            rewritten = f;
    }
    return rewritten;
}

static uint32_t apart(uint32_t a, uint32_t b)
{
    return a < b ? b - a : a - b;
}

/* The vantage point whose view of a flow a new one takes over: the nearest that knows it by the same name.
 * known_as: the flow, or the part of it, that it was found by. */
static uint32_t like_whom(const struct dp_locate *l, const struct flow *known_as, uint32_t vantage,
                          const struct dp_flow_def *def)
{
    const struct flow *whole = flow_whole(known_as);
    uint32_t like = NO_VANTAGE;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        if (whole->seen_at[v] && same_name(&whole->seen_as[v], def) &&
            (like == NO_VANTAGE || apart(v, vantage) < apart(like, vantage)))
            like = v;
    return like == NO_VANTAGE ? known_as->named_by : like;
}

/* A leg crosses vantage points that follow each other: none of another leg may lie between. */
static bool fits_leg(const struct flow *whole, uint32_t vantage, uint32_t like)
{
    uint32_t low = vantage < like ? vantage : like, high = vantage < like ? like : vantage;
    for (uint32_t v = low; v <= high; v++)
        if (v != vantage && whole->seen_at[v] && whole->views[v].leg != whole->views[like].leg)
            return false;
    return true;
}

/* Where packets of a flow go that became a part of another. */
static void follow(struct local_flow *local)
{
    while (local->flow->joined_into) {
        local->swapped = local->swapped != local->flow->joined_swapped;
        local->flow = local->flow->joined_into;
    }
}

#define NEAR_BYTES (64U << 20)

enum nearness { NOT_KNOWN, NEAR, FAR };

/* Whether a sequence number lies near what is known of a half. */
static enum nearness number_near(const struct flow *whole, int half, const struct view *like, uint32_t number)
{
    const struct half *h = &whole->half[half];
    uint64_t first = h->first_position ? h->first_position : h->position;
    if (first == 0)
        return NOT_KNOWN;
    uint64_t reach = (h->position > first ? h->position - first : 0) + 2 * NEAR_BYTES;
    if (reach > UINT32_MAX)
        return NEAR;
    return number + like->shift[half] - ((uint32_t)first - NEAR_BYTES) <= reach ? NEAR : FAR;
}

/* Whether a packet's numbers can be of this flow: those of neither half may be far from what is known. */
static bool numbers_fit(const struct dp_locate *l, const struct flow *flow, uint32_t vantage,
                        const struct dp_flow_def *def, bool swapped, const struct dp_digest *d)
{
    if (def->proto != 6 || (d->tcp_flags & DP_TCP_RST))
        return true;
    const struct flow *whole = flow_whole(flow);
    const struct view *like = &whole->views[like_whom(l, flow, vantage, def)];
    for (; flow->joined_into; flow = flow->joined_into)
        swapped = swapped != flow->joined_swapped;
    int half = (d->dir == 0) != swapped ? 0 : 1;
    enum nearness seq = number_near(whole, half, like, d->seq);
    enum nearness ack = (d->tcp_flags & DP_TCP_ACK) ? number_near(whole, 1 - half, like, d->ack) : NOT_KNOWN;
    return seq == NEAR || ack == NEAR || (seq == NOT_KNOWN && ack == NOT_KNOWN);
}

#define OLDER_MOST 8

/* The newest flow between these endpoints that the packet can be of. */
static struct flow *find_by_endpoints(struct dp_locate *l, uint32_t vantage, const struct dp_flow_def *def,
                                      const struct dp_digest *d, bool swapped, const uint32_t *isn)
{
    if (!l->table_size)
        return NULL;
    struct table_key key = table_key(def->proto, &def->a, def->a_port, &def->b, def->b_port);
    struct flow *f = l->by_endpoints[table_slot(l, &key)];
    for (int depth = 0; f && depth < OLDER_MOST; f = f->older, depth++) {
        const struct flow *whole = flow_whole(f);
        if (isn && f->has_isn && f->isn != *isn)
            continue; /* the same ports, used again by another connection */
        if (whole->seen_at[vantage] && !same_name(&whole->seen_as[vantage], def))
            continue;
        if (numbers_fit(l, f, vantage, def, names_swapped(f, def, swapped), d))
            return f;
    }
    return NULL;
}

static int pair(struct dp_locate *l, uint32_t vantage, struct local_flow *local, const struct dp_digest *d)
{
    const struct dp_flow_def *def = &local->def;
    bool syn = def->proto == 6 && (d->tcp_flags & DP_TCP_SYN);
    uint32_t isn = syn ? ((d->tcp_flags & DP_TCP_ACK) ? d->ack - 1 : d->seq) : 0;
    struct flow *flow = NULL;
    bool known, swapped = b_is_client(def, d, &known);

    if (syn)
        flow = find_by_isn(l, vantage, isn, def->proto, def);
    if (!flow)
        flow = find_by_endpoints(l, vantage, def, d, swapped, syn ? &isn : NULL);
    if (flow) {
        uint32_t like = like_whom(l, flow, vantage, def);
        flow = fits_leg(flow_whole(flow), vantage, like) ? flow : NULL;
    }
    if (!flow) {
        struct dp_endpoints endpoints = endpoints_of(def, swapped);
        int code = flow_new(l, vantage, &endpoints, def->proto, &flow);
        if (code)
            return code;
        flow->client_known = known;
    } else {
        swapped = names_swapped(flow, def, swapped);
    }
    if (syn)
        remember_isn(l, flow, isn);
    uint32_t like = like_whom(l, flow, vantage, def);
    local->flow = flow;
    local->swapped = swapped;
    follow(local);
    if (!local->flow->seen_at[vantage]) {
        const struct view *as = &local->flow->views[like];
        local->flow->views[vantage] = (struct view){.shift = {as->shift[0], as->shift[1]},
                                                    .ts_shift = {as->ts_shift[0], as->ts_shift[1]},
                                                    .leg = as->leg};
    }
    local->flow->seen_at[vantage] = 1;
    local->flow->seen_as[vantage] = endpoints_of(def, local->swapped);
    return DP_OK;
}

struct flow *flow_at(struct vantage *v, uint32_t number, uint8_t dir, bool *ret_from_client)
{
    if (number >= v->flow_room || !v->flows[number].known || !v->flows[number].flow)
        return NULL;
    follow(&v->flows[number]);
    *ret_from_client = (dir == 0) != v->flows[number].swapped;
    return v->flows[number].flow;
}

int flow_of(struct dp_locate *l, uint32_t vantage, const struct dp_digest *d, struct flow **ret_flow,
            bool *ret_from_client)
{
    struct vantage *v = &l->vantages[vantage];
    if (d->flow >= v->flow_room || !v->flows[d->flow].known || d->dir > 1)
        return DP_ERR_RANGE;
    struct local_flow *local = &v->flows[d->flow];
    bool opening = local->def.proto == 6 && (d->tcp_flags & (DP_TCP_SYN | DP_TCP_ACK)) == DP_TCP_SYN;
    if (local->flow && opening && !local->flow->has_isn &&
        numbers_fit(l, local->flow, vantage, &local->def, local->swapped, d)) {
        /* Seen by its answer only before, or out of order; now its SYN. */
        remember_isn(l, local->flow, d->seq);
    } else if (!local->flow || (opening && local->isn != d->seq)) {
        int code = pair(l, vantage, local, d);
        if (code)
            return code;
    }
    if (opening)
        local->isn = d->seq;
    follow(local);
    *ret_flow = local->flow;
    *ret_from_client = (d->dir == 0) != local->swapped;
    return DP_OK;
}

/* As another flow between the same addresses runs. */
static bool orient_as_others(const struct dp_locate *l, struct flow *flow)
{
    size_t look_at = l->flow_count < 1024 ? l->flow_count : 1024;
    for (size_t i = 0; i < look_at; i++) {
        const struct flow *other = l->flows[i];
        if (!other->certain_orientation)
            continue;
        bool same = dp_addr_equal(&other->endpoints.client, &flow->endpoints.client) ||
                    dp_addr_equal(&other->endpoints.server, &flow->endpoints.server);
        bool reverse = dp_addr_equal(&other->endpoints.client, &flow->endpoints.server) ||
                       dp_addr_equal(&other->endpoints.server, &flow->endpoints.client);
        if (same || reverse) {
            flow->client_near = other->client_near == same;
            return true;
        }
    }
    return false;
}

/* What a half went past unseen before some point saw it, if it set out at the near end, or at the far one. */
static uint32_t passed_unseen(const struct dp_locate *l, const struct half *h, bool from_near)
{
    uint32_t unseen = 0, since = 0;
    for (uint32_t i = 0; i < l->vantage_count; i++) {
        uint32_t v = from_near ? i : (uint32_t)l->vantage_count - 1 - i;
        if (h->data[v].seen || h->control[v].seen)
            unseen = since;
        else
            since += l->vantages[v].any || l->vantages[v].has_window;
    }
    return unseen;
}

/* A half that gets lost is seen from where it sets out, up to somewhere. */
static void orient_by_where_seen(const struct dp_locate *l, struct flow *flow)
{
    uint32_t near = 0, far = 0;
    for (int half = 0; half < 2 && flow->legs <= 1; half++) {
        near += passed_unseen(l, &flow->half[half], half == 0);
        far += passed_unseen(l, &flow->half[half], half != 0);
    }
    if (near > 0 && far == 0)
        flow->client_near = false;
}

void flow_orient(struct dp_locate *l, struct flow *flow, int64_t round_trip_difference, bool has_difference)
{
    if (flow->oriented)
        return;
    flow->ttl_only = false;
    if (flow->ttl_votes != 0) {
        flow->client_near = flow->ttl_votes > 0;
        flow->ttl_only = !has_difference || (round_trip_difference > 0) != flow->client_near;
        flow->certain_orientation = true;
    } else if (has_difference && round_trip_difference != 0) {
        flow->client_near = round_trip_difference > 0;
        flow->certain_orientation = true;
    } else if (!orient_as_others(l, flow)) { /* nothing of its own to tell by, else the client is near */
        flow->guessed_orientation = true;
        orient_by_where_seen(l, flow);
    }
    flow->oriented = true;
}
