#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/locate/sim.h"

static const char *const default_names[SIM_VANTAGES] = {
    "mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0", "edge1/eth1", "core1/eth0", "core1/eth1", "far1/eth0"};

static void *grow(void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return items;
    *room = need * 2 + 64;
    items = realloc(items, *room * size);
    assert_non_null(items);
    return items;
}

void sim_begin(struct sim *sim, size_t vantages)
{
    *sim = (struct sim){.vantages = vantages, .random = 88172645463325252ULL};
    for (size_t v = 0; v < vantages; v++) {
        sim->names[v] = default_names[v];
        sim->delay[v] = 200 * SIM_US;
    }
}

void sim_end(struct sim *sim)
{
    for (size_t v = 0; v < sim->vantages; v++)
        free(sim->at[v].records);
    free(sim->flows);
    *sim = (struct sim){0};
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (sim->random * 0x2545f4914f6cdd1dULL >> 11) % below;
}

uint32_t sim_flow(struct sim *sim, struct sim_flow flow)
{
    uint32_t id = (uint32_t)sim->flow_count;
    if (flow.proto == 0)
        flow.proto = 6;
    if (flow.client_host == 0)
        flow.client_host = 1;
    if (flow.server_host == 0)
        flow.server_host = 9;
    if (flow.client_port == 0)
        flow.client_port = (uint16_t)(40000 + id % 20000);
    if (flow.server_port == 0)
        flow.server_port = 25;
    for (int half = 0; half < 2; half++) {
        if (flow.isn[half] == 0)
            flow.isn[half] = (uint32_t)sim_random(sim, 0xffffffff);
        flow.next[half] = flow.arrived[half] = 1; /* also where no SYN is sent */
        flow.ip_id[half] = (uint16_t)sim_random(sim, 0xffff);
    }
    sim->flows = grow(sim->flows, &sim->flow_room, sim->flow_count + 1, sizeof *sim->flows);
    sim->flows[sim->flow_count++] = flow;
    return id;
}

uint32_t sim_tcp(struct sim *sim)
{
    return sim_flow(sim, (struct sim_flow){0});
}

/* ---- one packet ---- */

static uint64_t mixed(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b + 0x9e3779b97f4a7c15ULL)) * 0xff51afd7ed558ccdULL;
    return h ^ (h >> 33);
}

int64_t sim_stamp(const struct sim_vantage *at, int64_t t)
{
    int64_t set = 0;
    for (size_t i = 0; i < sizeof at->set / sizeof at->set[0]; i++)
        if (at->set[i].by && t >= at->set[i].at)
            set += at->set[i].by;
    return SIM_EPOCH + t + at->offset_ns + set + (int64_t)((double)t * at->skew_ppm / 1e6);
}

struct sending {
    struct sim *sim;
    struct sim_packet p;
    uint32_t flow_id;
    uint16_t ip_id;
    uint32_t options; /* bytes of TCP options */
};

static uint32_t span_of(const struct sim_packet *p)
{
    return p->len + ((p->flags & DP_TCP_SYN) ? 1 : 0) + ((p->flags & DP_TCP_FIN) ? 1 : 0);
}

/* A host that sets the TTL anew stands before `from`; behind it, whichever way, it falls as ever. */
static uint8_t ttl_at(const struct sending *x, uint32_t vantage, uint32_t place)
{
    const struct sim_flow *flow = &x->sim->flows[x->flow_id];
    uint32_t from = (uint32_t)flow->rewrite.from - 1;
    bool forward = (x->p.half == 0) != flow->client_far;
    bool behind = flow->rewrite.ttl && (forward ? vantage >= from : vantage < from);
    uint32_t hops = !behind ? place : forward ? vantage - from : from - 1 - vantage;
    return (uint8_t)((behind ? flow->rewrite.ttl : 64) - (x->sim->bridged ? 0 : hops));
}

static struct dp_digest digest_of(const struct sending *x, uint32_t vantage, uint32_t place, int64_t t,
                                  uint32_t from, uint32_t len)
{
    const struct sim_packet *p = &x->p;
    const struct sim_flow *flow = &x->sim->flows[x->flow_id];
    struct dp_digest d = {.ts_ns = sim_stamp(&x->sim->at[vantage], t),
                          .payload_len = len,
                          .app = p->app,
                          .wscale = 0xff,
                          .ttl = ttl_at(x, vantage, place)};
    d.hash_len = len > 64 ? 64 : (uint8_t)len;
    uint32_t content = flow->content ? flow->content + (uint32_t)p->half : flow->isn[p->half];
    uint32_t offset = p->seq + from - (flow->content && p->half == 0 ? flow->content_from : 0);
    if (len)
        d.hash = (uint32_t)mixed(content, (uint64_t)offset << 7 | d.hash_len);
    d.bits = DP_DIGEST_HAS_IP_ID;
    d.ip_id = x->sim->no_ip_id ? 0 : (uint16_t)(x->ip_id + from / SIM_MSS);
    if (flow->proto != 6) {
        d.ip_len = len + 28;
        return d;
    }
    d.ip_len = len + 40 + x->options;
    d.seq = flow->isn[p->half] + p->seq + from;
    d.ack = (p->flags & DP_TCP_ACK) ? flow->isn[1 - p->half] + p->ack : 0;
    d.tcp_flags = p->flags;
    if (from + len < p->len)
        d.tcp_flags &= (uint16_t) ~(DP_TCP_FIN | DP_TCP_PSH);
    d.window = p->zero_window ? 0 : 501;
    if (!x->sim->no_timestamps) {
        d.bits |= DP_DIGEST_HAS_TS;
        d.tsval = flow->isn[p->half] + (uint32_t)(p->t / SIM_MS);
        d.tsecr = flow->isn[1 - p->half] + (uint32_t)(p->t / SIM_MS);
    }
    if (p->flags & DP_TCP_SYN) {
        d.mss = 1460;
        d.wscale = 7;
        d.bits |= DP_DIGEST_SACK_PERMITTED;
    }
    d.sack_count = p->sack_count;
    for (uint8_t i = 0; i < p->sack_count; i++)
        for (int edge = 0; edge < 2; edge++)
            d.sack[i][edge] = flow->isn[1 - p->half] + p->sack[i][edge];
    return d;
}

static void rewrite(const struct sending *x, uint32_t vantage, struct dp_digest *d)
{
    const struct sim_flow *flow = &x->sim->flows[x->flow_id];
    const struct sim_rewrite *r = &flow->rewrite;
    int half = x->p.half;
    if (!r->from || SIM_AT((int)vantage) < r->from)
        return;
    d->seq += r->seq_by[half];
    if (d->tcp_flags & DP_TCP_ACK)
        d->ack += r->seq_by[1 - half];
    for (uint8_t i = 0; i < d->sack_count; i++)
        for (int edge = 0; edge < 2; edge++)
            d->sack[i][edge] += r->seq_by[1 - half];
    d->tsval += r->ts_by[half];
    d->tsecr += r->ts_by[1 - half];
    if (r->mangle_ts)
        d->tsval = (uint32_t)mixed(d->tsval, (uint64_t)d->ip_id << 32 | d->seq);
    if (r->strip_ts)
        d->bits &= (uint8_t)~DP_DIGEST_HAS_TS;
    if (r->new_ids || r->zero_ids)
        d->ip_id = r->zero_ids ? 0 : (uint16_t)mixed(d->ip_id, 77);
    if (half == 1 && !(d->tcp_flags & DP_TCP_SYN))
        d->window = (uint16_t)(d->window >> r->window_shift);
}

static bool captures(const struct sim_vantage *at, const struct sim_packet *p, uint32_t vantage, int64_t t)
{
    if (at->deaf || (at->deaf_half >> p->half & 1) || (p->missed >> vantage & 1))
        return false;
    return at->capture_to == 0 || (t >= at->capture_from && t <= at->capture_to);
}

static void cut_short(const struct sim_vantage *at, struct dp_digest *d)
{
    if (at->keeps && d->hash_len > at->keeps) {
        d->hash_len = at->keeps;
        d->hash = (uint32_t)mixed(d->hash, at->keeps);
    }
    if (at->cuts_options && d->sack_count) {
        d->bits |= DP_DIGEST_OPTIONS_CUT;
        d->sack_count = 0;
    }
}

static void record(struct sending *x, uint32_t vantage, uint32_t place, int64_t t, uint32_t from,
                   uint32_t len)
{
    struct sim_vantage *at = &x->sim->at[vantage];
    if (!captures(at, &x->p, vantage, t))
        return;
    at->records = grow(at->records, &at->room, at->count + 1, sizeof *at->records);
    struct sim_record *r = &at->records[at->count++];
    *r = (struct sim_record){.digest = digest_of(x, vantage, place, t, from, len),
                             .t = t,
                             .flow = x->flow_id,
                             .half = (uint8_t)x->p.half,
                             .order = x->sim->order++};
    rewrite(x, vantage, &r->digest);
    if (x->p.alter)
        x->p.alter(&r->digest, vantage);
    cut_short(at, &r->digest);
    if (at->echo_ns) {
        at->records = grow(at->records, &at->room, at->count + 1, sizeof *at->records);
        r = &at->records[at->count++];
        *r = at->records[at->count - 2];
        r->t += at->echo_ns;
        r->digest.ts_ns = sim_stamp(at, r->t);
        r->order = x->sim->order++;
    }
}

/* A part of the payload at one vantage point, in as many packets as it takes there. Returns their number that
 * overlap the part that is lost behind. */
static uint64_t pass(struct sending *x, uint32_t vantage, uint32_t place, int64_t t, uint32_t from,
                     uint32_t to)
{
    uint32_t cut = x->sim->at[vantage].cut ? x->sim->at[vantage].cut : to - from;
    uint64_t hit = 0;
    for (uint32_t at = from, next; at < to || at == from; at = next) {
        next = cut && to - at > cut ? at + cut : to;
        /* Pieces follow each other; a merged packet is there with its last piece. */
        uint32_t behind = next ? (next - 1) / SIM_MSS : 0;
        bool whole_at_source = place == 0 && cut >= x->p.len;
        record(x, vantage, place, t + (whole_at_source ? 0 : behind * SIM_US), at, next - at);
        hit += at < x->p.lost_from + x->p.lost_len && next > x->p.lost_from;
        if (next == at)
            break;
    }
    return hit;
}

static void arrive(struct sim_flow *flow, int half, uint32_t from, uint32_t to)
{
    if (to <= from)
        return;
    if (flow->part_count[half] < SIM_PARTS) {
        flow->parts[half][flow->part_count[half]][0] = from;
        flow->parts[half][flow->part_count[half]++][1] = to;
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < flow->part_count[half]; i++) {
            uint32_t *part = flow->parts[half][i];
            if (part[0] > flow->arrived[half])
                continue;
            if (part[1] > flow->arrived[half])
                flow->arrived[half] = part[1];
            memmove(part, flow->parts[half][--flow->part_count[half]], sizeof flow->parts[half][0]);
            moved = true;
            break;
        }
    }
}

static void defaults(const struct sim_flow *flow, struct sim_packet *p)
{
    if (p->flags == 0 && flow->proto == 6)
        p->flags = DP_TCP_ACK;
    if (p->seq == 0 && !(p->flags & DP_TCP_SYN))
        p->seq = flow->next[p->half];
    if (p->ack == 0)
        p->ack = flow->arrived[1 - p->half];
    if (p->lost_in && p->lost_len == 0) {
        p->lost_from = 0;
        p->lost_len = p->len;
    }
}

void sim_send(struct sim *sim, uint32_t flow_id, struct sim_packet packet)
{
    struct sim_flow *flow = &sim->flows[flow_id];
    struct sending x = {.sim = sim, .p = packet, .flow_id = flow_id};
    struct sim_packet *p = &x.p;
    defaults(flow, p);
    bool forward = (p->half == 0) != flow->client_far;
    uint32_t count = (uint32_t)sim->vantages;
    x.ip_id = flow->ip_id[p->half];
    flow->ip_id[p->half] = (uint16_t)(x.ip_id + 1 + (p->len ? (p->len - 1) / SIM_MSS : 0));
    x.options = (p->flags & DP_TCP_SYN)
                    ? 20
                    : (sim->no_timestamps ? 0 : 12) + (p->sack_count ? 4u + 8u * p->sack_count : 0);
    if (p->seq + span_of(p) > flow->next[p->half])
        flow->next[p->half] = p->seq + span_of(p);
    int64_t t = p->t;
    bool gone = false;   /* the part that is lost */
    uint32_t source = 0; /* the place that it sets out from */
    if (forward && flow->near_end)
        source = (uint32_t)flow->near_end - 1;
    if (!forward && flow->far_end)
        source = count - (uint32_t)flow->far_end;
    for (uint32_t place = 0; place < count; place++) {
        uint32_t vantage = forward ? place : count - 1 - place;
        if (gone && p->lost_len >= p->len)
            break;
        bool begun = !p->appears_at || (forward ? SIM_AT((int)vantage) >= p->appears_at
                                                : SIM_AT((int)vantage) <= p->appears_at);
        begun = begun && (!flow->near_end || SIM_AT((int)vantage) >= flow->near_end) &&
                (!flow->far_end || SIM_AT((int)vantage) <= flow->far_end);
        bool twice = p->twice_at &&
                     (forward ? SIM_AT((int)vantage) >= p->twice_at : SIM_AT((int)vantage) <= p->twice_at);
        uint64_t hit = 0;
        for (int copy = 0; begun && copy < (twice ? 2 : 1); copy++) {
            int64_t when = t + copy * 20 * SIM_US;
            if (!gone) {
                hit = pass(&x, vantage, place - source, when, 0, p->len);
                continue;
            }
            if (p->lost_from > 0)
                (void)pass(&x, vantage, place - source, when, 0, p->lost_from);
            if (p->lost_from + p->lost_len < p->len)
                (void)pass(&x, vantage, place - source, when, p->lost_from + p->lost_len, p->len);
        }
        if (p->absorbed_at == SIM_AT((int)vantage))
            return;
        uint32_t segment = forward ? vantage : vantage - 1;
        if (place + 1 < count && p->lost_in == SIM_IN((int)segment)) {
            struct sim_truth *truth = &sim->lost[segment][forward ? 0 : 1];
            truth->lost_packets += p->len ? hit : 1;
            truth->lost_bytes += p->lost_len;
            gone = true;
        }
        if (place + 1 < count)
            t += sim->delay[segment] + (p->late_in == SIM_IN((int)segment) ? p->late_ns : 0);
    }
    if (!gone) {
        arrive(flow, p->half, p->seq, p->seq + span_of(p));
    } else if (p->lost_len < p->len) {
        arrive(flow, p->half, p->seq, p->seq + p->lost_from);
        arrive(flow, p->half, p->seq + p->lost_from + p->lost_len, p->seq + p->len);
    }
}

static struct sim_record *note(struct sim *sim, uint32_t flow, uint32_t vantage, int64_t t)
{
    struct sim_vantage *at = &sim->at[vantage];
    at->records = grow(at->records, &at->room, at->count + 1, sizeof *at->records);
    struct sim_record *r = &at->records[at->count++];
    *r = (struct sim_record){.digest = {.ts_ns = sim_stamp(at, t)},
                             .t = t,
                             .flow = flow,
                             .half = 1,
                             .is_note = true,
                             .order = sim->order++};
    return r;
}

void sim_note(struct sim *sim, uint32_t flow, uint32_t vantage, int64_t t, uint16_t code)
{
    note(sim, flow, vantage, t)->code = code;
}

void sim_note_id(struct sim *sim, uint32_t flow, uint32_t vantage, int64_t t, struct sim_id id)
{
    struct sim_record *r = note(sim, flow, vantage, t);
    r->half = (uint8_t)id.half;
    r->id = id;
}

/* ---- exchanges ---- */

int64_t sim_crossing_time(const struct sim *sim)
{
    int64_t sum = 0;
    for (size_t i = 0; i + 1 < sim->vantages; i++)
        sum += sim->delay[i];
    return sum;
}

#define ANSWER (50 * SIM_US) /* an end answers after so long */

int64_t sim_connect(struct sim *sim, uint32_t flow, int64_t t)
{
    int64_t cross = sim_crossing_time(sim) + ANSWER;
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_SYN});
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + cross, .flags = DP_TCP_SYN | DP_TCP_ACK});
    sim_send(sim, flow, (struct sim_packet){.t = t + 2 * cross});
    return t + 2 * cross + ANSWER;
}

int64_t sim_exchange(struct sim *sim, uint32_t flow, struct sim_packet packet)
{
    int64_t answer = packet.t + sim_crossing_time(sim) + (packet.late_in ? packet.late_ns : 0) + ANSWER +
                     packet.len / SIM_MSS * SIM_US;
    sim_send(sim, flow, packet);
    sim_send(sim, flow, (struct sim_packet){.half = 1 - packet.half, .t = answer});
    return answer + sim_crossing_time(sim) + ANSWER;
}

int64_t sim_transfer(struct sim *sim, uint32_t flow, int half, int64_t t, size_t packets, int64_t apart)
{
    int64_t done = t;
    for (size_t i = 0; i < packets; i++)
        done = sim_exchange(sim, flow,
                            (struct sim_packet){.half = half, .t = t + (int64_t)i * apart, .len = SIM_MSS});
    return done;
}

int64_t sim_close(struct sim *sim, uint32_t flow, int64_t t)
{
    int64_t cross = sim_crossing_time(sim) + ANSWER;
    sim_send(sim, flow, (struct sim_packet){.t = t, .flags = DP_TCP_FIN | DP_TCP_ACK});
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + cross, .flags = DP_TCP_FIN | DP_TCP_ACK});
    sim_send(sim, flow, (struct sim_packet){.t = t + 2 * cross});
    return t + 3 * cross;
}
