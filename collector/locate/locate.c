/* The engine's front: takes records in, keeps the clocks, decides when to settle. */
#include "collector/locate/locate.h"

#include <stdlib.h>
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"
#include "collector/locate/relays.h"
#include "collector/locate/stage.h"

/* Observations of one transmission lie at most this far apart by corrected clocks; what is older is settled.
 */
#define HORIZON_NS 4000000000LL
#define HORIZON_MOST_NS 60000000000LL
/* What every vantage point saw once is settled earlier: only a duplicate could still follow. */
#define SEEN_BY_ALL_NS 200000000LL
#define SWEEP_PENDING 200000
/* Where a clock stays unknown, waiting for it ends here (about half a gigabyte). */
#define PENDING_MOST 10000000

/* NAME is host/interface: points with the same part before the slash are on one host. */
static uint32_t first_of_host(const struct dp_locate *l, uint32_t index)
{
    const char *name = l->vantages[index].name;
    size_t len = strcspn(name, "/");
    for (uint32_t i = 0; i < index; i++)
        if (strcspn(l->vantages[i].name, "/") == len && memcmp(l->vantages[i].name, name, len) == 0)
            return i;
    return index;
}

int dp_locate_new(const char *const *names, size_t count, const struct dp_locate_options *options,
                  struct dp_locate **ret_locate)
{
    if (count < 1 || count > DP_LOCATE_MAX_VANTAGES)
        return DP_ERR_RANGE;
    struct dp_locate *l = calloc(1, sizeof *l);
    if (!l)
        return DP_ERR_NOMEM;
    l->vantage_count = count;
    l->segment_count = count - 1;
    l->no_clock_correction = options && options->no_clock_correction;
    l->table_seed = options ? options->table_seed : 0;
    l->random = l->table_seed ^ 0x9e3779b97f4a7c15ULL;
    l->next_sweep_at = SWEEP_PENDING;
    l->vantages = calloc(count, sizeof *l->vantages);
    l->segments = calloc(count, sizeof *l->segments); /* one more than needed: never an empty allocation */
    l->clocks = calloc(count * count, sizeof *l->clocks);
    l->seams = calloc(count, sizeof *l->seams);
    if (!l->vantages || !l->segments || !l->clocks || !l->seams) {
        dp_locate_free(l);
        return DP_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        l->vantages[i].name = strdup(names[i]);
        l->vantages[i].advanced_ns = INT64_MIN;
        l->vantages[i].error_ns = i == 0 ? 0 : -1;
        stamps_begin(&l->vantages[i].stamps);
        if (!l->vantages[i].name) {
            dp_locate_free(l);
            return DP_ERR_NOMEM;
        }
        l->vantages[i].host = first_of_host(l, (uint32_t)i);
    }
    *ret_locate = l;
    return DP_OK;
}

void dp_locate_free(struct dp_locate *l)
{
    if (!l)
        return;
    for (size_t i = 0; l->vantages && i < l->vantage_count; i++) {
        free(l->vantages[i].name);
        free(l->vantages[i].flows);
        free(l->vantages[i].gaps);
        free(l->vantages[i].steps.items);
        stamps_free(&l->vantages[i].stamps);
    }
    for (size_t i = 0; l->segments && i < l->segment_count; i++) {
        for (int d = 0; d < 2; d++) {
            free(l->segments[i].side[d].losses);
            free(l->segments[i].side[d].slices);
            free(l->segments[i].side[d].delays);
        }
    }
    for (size_t i = 0; i < l->flow_count; i++)
        flow_free(l->flows[i], l->vantage_count);
    for (size_t i = 0; l->clocks && i < l->vantage_count * l->vantage_count; i++)
        dp_clock_pair_free(&l->clocks[i]);
    free(l->clocks);
    free(l->seams);
    relays_free(&l->relays);
    free(l->open);
    free(l->vantages);
    free(l->segments);
    free(l->flows);
    free(l->waiting);
    free(l->by_endpoints);
    free(l->resets);
    free(l->rewrites);
    free(l->references);
    pool_free(&l->pool); /* what waits in lanes, and the passages */
    free(l);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9fb21c651e98df25ULL;
    return h ^ (h >> 32);
}

/* What makes a packet without stream positions itself, and no middlebox on a plain path touches. */
static uint64_t key_of(const struct dp_digest *d, const struct observation *o, const struct flow *flow,
                       int half, uint32_t vantage)
{
    if (flow->proto != 6)
        return datagram_key(flow, half, o);
    uint64_t h = mix(0x243f6a8885a308d3ULL, d->tcp_flags & 0x3f);
    uint64_t key = control_key(view_position(flow, 1 - half, vantage, d->ack), o->hash, (uint32_t)(h >> 32));
    key = control_toggle_sacks(key, o->options);
    key = (o->marks & MARK_HAS_TS) ? control_toggle_ts(key, o->tsval) : key;
    return (o->marks & MARK_HAS_WINDOW) ? control_toggle_window(key, o->mss) : key;
}

/* What a packet's SACK blocks say; 0: it has none. */
static uint8_t sacks_of(const struct dp_digest *d)
{
    uint64_t h = 0x13198a2e03707344ULL;
    for (uint8_t i = 0; i < d->sack_count && i < DP_SACK_MAX; i++)
        h = mix(h, ((uint64_t)(d->sack[i][0] - d->ack) << 32) | (d->sack[i][1] - d->ack));
    return d->sack_count ? (uint8_t)(h >> 32) : 0;
}

static void fill_observation(struct observation *o, const struct dp_digest *d, const struct flow *flow,
                             int half, uint32_t vantage)
{
    const struct half *h = &flow->half[half];
    *o = (struct observation){
        .ts_ns = d->ts_ns,
        .payload = d->payload_len,
        .ip_len = d->ip_len,
        .tsval = d->tsval + flow->views[vantage].ts_shift[half],
        .hash = d->hash,
        .ip_id = d->ip_id,
        .tcp_flags = d->tcp_flags,
        .hash_len = d->hash_len,
        .ttl = d->ttl,
        .mss = d->mss,
    };
    if ((d->bits & DP_DIGEST_HAS_TS) && !h->ts_ignored)
        o->marks |= MARK_HAS_TS;
    if ((d->bits & DP_DIGEST_HAS_IP_ID) && d->ip_id != 0 && !h->id_ignored)
        o->marks |= MARK_HAS_IP_ID;
    if (d->tcp_flags & DP_TCP_SYN)
        o->options = (uint8_t)((d->wscale != 0xff ? OPTION_WSCALE : 0) |
                               ((d->bits & DP_DIGEST_SACK_PERMITTED) ? OPTION_SACK : 0) |
                               ((d->bits & DP_DIGEST_HAS_TS) ? OPTION_TS : 0) |
                               ((d->bits & DP_DIGEST_OPTIONS_CUT) ? OPTIONS_CUT : 0) |
                               (d->window == 0 ? NO_WINDOW : 0));
}

static void watch_tcp(struct flow *flow, int half, uint32_t vantage, const struct dp_digest *d)
{
    struct half *h = &flow->half[half];
    struct view *view = &flow->views[vantage];
    if (!(d->tcp_flags & (DP_TCP_SYN | DP_TCP_RST))) {
        if (d->window > view->window_most[half])
            view->window_most[half] = d->window;
        /* A sender waits rather than fill so small a rest (RFC 9293, 3.8.6.2.1). */
        view->closed[half] = d->window <= view->window_most[half] / 8;
    }
    if (view->over_ns[half] == 0 && (d->tcp_flags & (DP_TCP_FIN | DP_TCP_RST)))
        view->over_ns[half] = d->ts_ns;
    if (view->reset_ns[half] == 0 && (d->tcp_flags & DP_TCP_RST))
        view->reset_ns[half] = d->ts_ns;
    if (d->tcp_flags & DP_TCP_SYN)
        h->syn = true;
    if (d->tcp_flags & DP_TCP_RST)
        h->rst = true;
    else
        h->spoke = true;
    if (d->payload_len > 0 && !(d->tcp_flags & DP_TCP_SYN))
        flow->established = true;
    if (half == 0 && !(d->tcp_flags & (DP_TCP_SYN | DP_TCP_RST)) && (d->tcp_flags & DP_TCP_ACK) &&
        flow->half[1].syn)
        flow->established = true;
}

/* How long this end says that it takes nothing more. One vantage point's view is enough. */
static void watch_window(struct half *h, uint32_t vantage, const struct dp_digest *d)
{
    if (h->window_vantage == NO_VANTAGE)
        h->window_vantage = (uint8_t)vantage;
    if (h->window_vantage != vantage || (d->tcp_flags & (DP_TCP_SYN | DP_TCP_RST)))
        return;
    if (h->zero_since_ns && d->ts_ns - h->zero_since_ns > h->longest_zero_to_ns - h->longest_zero_from_ns) {
        h->longest_zero_from_ns = h->zero_since_ns;
        h->longest_zero_to_ns = d->ts_ns;
    }
    if (d->window != 0 || (d->tcp_flags & DP_TCP_FIN))
        h->zero_since_ns = 0;
    else if (h->zero_since_ns == 0)
        h->zero_since_ns = d->ts_ns;
}

static bool stays_on_link(const struct dp_addr *a)
{
    const uint8_t *b = a->bytes;
    if (a->family == 4)
        return b[0] >= 224 || b[0] == 0 || (b[0] == 169 && b[1] == 254);
    static const uint8_t unspecified[16] = {0};
    return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || memcmp(b, unspecified, 16) == 0;
}

/* What no router forwards (RFC 3927, 4291, 5771; link-local, multicast, broadcast) says nothing about the
 * path. */
static bool never_forwarded(const struct vantage *v, const struct dp_digest *d)
{
    if (d->flow >= v->flow_room || !v->flows[d->flow].known)
        return false;
    const struct dp_flow_def *def = &v->flows[d->flow].def;
    return stays_on_link(&def->a) || stays_on_link(&def->b);
}

static void note_position(struct flow *flow, int half, uint32_t vantage, const struct observation *o,
                          uint16_t app)
{
    struct half *h = &flow->half[half];
    uint64_t end = o->start + o->span, *reached = &flow->views[vantage].position[half];
    if (h->first_position == 0) {
        h->first_position = o->start;
        h->first_vantage = (uint8_t)vantage;
    }
    if (half == 0 && app == DP_SMTP_CONTENT &&
        (h->content_vantage == NO_VANTAGE || (h->content_vantage == vantage && o->start > h->content_base))) {
        h->content_base = o->start;
        h->content_vantage = (uint8_t)vantage;
    }
    if (end > h->position)
        h->position = end;
    end -= o->tcp_flags & DP_TCP_FIN ? 1 : 0;
    if (end > *reached)
        *reached = end;
}

static int file_observation(struct dp_locate *l, uint32_t vantage, const struct dp_digest *d)
{
    struct flow *flow;
    bool from_client;
    if (never_forwarded(&l->vantages[vantage], d))
        return DP_OK;
    int code = flow_of(l, vantage, d, &flow, &from_client);
    if (code)
        return code;
    if (d->bits & DP_DIGEST_FRAGMENT)
        return DP_OK; /* a middlebox may put fragments together: nothing can be said of one */
    int half = from_client ? 0 : 1;
    struct half *h = &flow->half[half];
    uint32_t span = 0;
    if (flow->proto == 6) {
        span = d->payload_len + ((d->tcp_flags & DP_TCP_SYN) ? 1 : 0) + ((d->tcp_flags & DP_TCP_FIN) ? 1 : 0);
        if (d->tcp_flags & DP_TCP_RST)
            span = 0;
        watch_tcp(flow, half, vantage, d);
        watch_window(h, vantage, d);
        if (d->tcp_flags & DP_TCP_ACK) {
            code = evidence_acknowledge(l, flow, 1 - half, vantage, d);
            if (code)
                return code;
        }
    }
    struct lane *lane = span ? &h->data[vantage] : &h->control[vantage];
    struct observation *o = lane_add(l, lane);
    if (!o)
        return DP_ERR_NOMEM;
    fill_observation(o, d, flow, half, vantage);
    o->span = span;
    if (span) {
        o->start = view_position(flow, half, vantage, d->seq);
        note_position(flow, half, vantage, o, d->app);
        if (d->app) {
            code = stage_note(flow, half, vantage, o, d->app);
            if (code)
                return code;
        }
    } else {
        if (flow->proto == 6) { /* no payload, so no hash: its place keeps the sequence number */
            o->hash = d->seq + flow->views[vantage].shift[half];
            o->hash_len = 0;
            o->mss = d->window;
            if (!h->window_ignored)
                o->marks |= MARK_HAS_WINDOW;
            if ((d->bits & DP_DIGEST_OPTIONS_CUT) && !h->sacks_ignored)
                flow_ignore_sacks(l, flow, half);
            o->options = h->sacks_ignored ? 0 : sacks_of(d);
        }
        o->start = key_of(d, o, flow, half, vantage);
    }
    if (lane->seen++ == 0)
        lane->first_ns = d->ts_ns;
    lane->last_ns = d->ts_ns;
    l->pending++;
    return custody_await(l, flow);
}

/* ---- when to settle ---- */

/* Whether a point's progress, which is by its own clock, can be put in time. One that has shown no packet
 * gets on by the clock that it is said to have, and needs none once it is at its end. */
static bool progress_known(const struct dp_locate *l, size_t index)
{
    const struct vantage *v = &l->vantages[index];
    if (v->packets == 0 && v->advanced_ns != INT64_MAX)
        return index == 0 || l->no_clock_correction || v->has_hint || v->host < index;
    return clock_known(l, index);
}

/* The reference time up to which everything has been fed at every vantage point; INT64_MIN: not known yet. */
static int64_t fed_until(const struct dp_locate *l)
{
    int64_t limit = INT64_MAX;
    for (size_t i = 0; i < l->vantage_count; i++) {
        int64_t upto = l->vantages[i].advanced_ns;
        if (upto == INT64_MIN || (!progress_known(l, i) && l->pending < PENDING_MOST))
            return INT64_MIN;
        if (upto == INT64_MAX)
            continue;
        int64_t t = to_reference(l, (uint32_t)i, upto);
        if (t < limit)
            limit = t;
    }
    return limit;
}

/* Queues may hold packets for seconds: then it takes longer until a packet counts as gone. */
static int64_t horizon(const struct dp_locate *l)
{
    int64_t longest = HORIZON_NS;
    for (size_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct side *s = &l->segments[i].side[d];
            if (s->delay_count && s->delay_max > longest / 4)
                longest = s->delay_max * 4;
        }
    return longest < HORIZON_MOST_NS ? longest : HORIZON_MOST_NS;
}

static int64_t earlier(int64_t t, int64_t by)
{
    return t == INT64_MAX || t == INT64_MIN ? t : t - by;
}

/* Nothing has come yet from some vantage point: no clock can be told, nothing settled. */
static bool all_begun(const struct dp_locate *l)
{
    for (size_t i = 0; i < l->vantage_count; i++)
        if (l->vantages[i].advanced_ns == INT64_MIN && l->pending < PENDING_MOST)
            return false;
    return true;
}

#define LEARN_ROUNDS 4

/* What has to be known before anything is settled. Flows that are recognised as one tell of the clocks, and
 * clocks tell flows apart that nothing else does. */
static int learn(struct dp_locate *l, bool final)
{
    bool last = false;
    for (int round = 0; round < LEARN_ROUNDS; round++) {
        size_t joined;
        int64_t limit = final ? INT64_MAX : earlier(fed_until(l), horizon(l) / 2); /* before it is settled */
        int code = pairing_sweep(l, limit, last, &joined);
        if (code == DP_OK && (round == 0 || joined)) {
            code = custody_sample(l, final ? INT64_MAX : earlier(fed_until(l), horizon(l)));
            if (code == DP_OK)
                code = clocks_fit(l);
        }
        if (code || last || (!joined && round && !final))
            return code;
        last = final && (!joined || round + 2 == LEARN_ROUNDS);
    }
    return DP_OK;
}

static int sweep(struct dp_locate *l, bool final)
{
    l->next_sweep_at = l->pending + (l->pending / 2 > SWEEP_PENDING ? l->pending / 2 : SWEEP_PENDING);
    if (!final && !all_begun(l))
        return DP_OK;
    int code = custody_order(l, final);
    if (code)
        return code;
    echoes_drop(l);
    code = learn(l, final);
    if (code)
        return code;
    int64_t until = final ? INT64_MAX : fed_until(l); /* by the fitted clocks */
    if (until != INT64_MIN)
        code = custody_sweep(l, earlier(until, horizon(l)), earlier(until, SEEN_BY_ALL_NS));
    l->next_sweep_at = l->pending + (l->pending / 2 > SWEEP_PENDING ? l->pending / 2 : SWEEP_PENDING);
    return code;
}

static void stretch(struct vantage *v, int64_t first_ns, int64_t last_ns)
{
    if (!v->any || first_ns < v->first_ns)
        v->first_ns = first_ns;
    if (!v->any || last_ns > v->last_ns)
        v->last_ns = last_ns;
    v->any = true;
}

/* In order of capture, its stamp carried on. */
static int take_now(struct dp_locate *l, uint32_t vantage, const struct dp_digest *d)
{
    struct vantage *v = &l->vantages[vantage];
    struct dp_digest carried;
    int64_t ts_ns = stamps_carry(&v->stamps, d->ts_ns);
    if (ts_ns != d->ts_ns) {
        carried = *d;
        carried.ts_ns = ts_ns;
        d = &carried;
    }
    int code = file_observation(l, vantage, d);
    if (code)
        return code;
    stretch(v, ts_ns, ts_ns);
    v->packets++;
    return DP_OK;
}

static int take_held(struct dp_locate *l, uint32_t vantage)
{
    struct stamps *s = &l->vantages[vantage].stamps;
    size_t count = s->held_count;
    int code = stamps_decide(s);
    s->held_count = 0;
    for (size_t i = 0; i < count && code == DP_OK; i++)
        code = take_now(l, vantage, &s->held[i]);
    return code;
}

static int take_digest(struct dp_locate *l, uint32_t vantage, const struct dp_digest *d)
{
    struct stamps *s = &l->vantages[vantage].stamps;
    if (__builtin_expect(!stamps_wait(s, d->ts_ns), 1))
        return take_now(l, vantage, d);
    bool full;
    int code = stamps_hold(s, d, &full);
    return code || !full ? code : take_held(l, vantage);
}

/* ---- what the caller sees ---- */

int dp_locate_feed(struct dp_locate *l, uint32_t vantage, const struct dp_batch *batch)
{
    if (vantage >= l->vantage_count)
        return DP_ERR_RANGE;
    struct vantage *v = &l->vantages[vantage];
    for (size_t i = 0; i < batch->flow_count; i++) {
        int code = flow_define(l, vantage, &batch->flows[i]);
        if (code)
            return code;
    }
    for (size_t i = 0; i < batch->digest_count; i++) {
        int code = take_digest(l, vantage, &batch->digests[i]);
        if (code)
            return code;
    }
    if (batch->note_count) {
        int code = take_held(l, vantage); /* notes need their flows */
        if (code)
            return code;
    }
    for (size_t i = 0; i < batch->note_count; i++) {
        struct dp_note note = batch->notes[i];
        note.ts_ns += v->stamps.shift_ns;
        int code = notes_take(l, vantage, &note);
        if (code)
            return code;
    }
    for (size_t i = 0; i < batch->gap_count; i++) {
        int code = dp_grow(&v->gaps, &v->gap_room, v->gap_count + 1, sizeof *v->gaps);
        if (code)
            return code;
        struct dp_gap gap = batch->gaps[i];
        gap.from_ns += v->stamps.shift_ns;
        gap.to_ns += v->stamps.shift_ns;
        v->gaps[v->gap_count++] = gap;
    }
    if (v->any && v->advanced_ns < v->last_ns)
        v->advanced_ns = v->last_ns;
    return l->pending >= l->next_sweep_at ? sweep(l, false) : DP_OK;
}

void dp_locate_window(struct dp_locate *l, uint32_t vantage, int64_t start_ns, int64_t end_ns)
{
    if (vantage >= l->vantage_count)
        return;
    struct vantage *v = &l->vantages[vantage];
    v->has_window = true;
    v->start_ns = start_ns;
    v->end_ns = end_ns;
}

void dp_locate_alive(struct dp_locate *l, uint32_t vantage, int64_t first_ns, int64_t last_ns)
{
    if (vantage >= l->vantage_count)
        return;
    struct vantage *v = &l->vantages[vantage];
    stretch(v, first_ns, last_ns + v->stamps.shift_ns);
}

void dp_locate_advance(struct dp_locate *l, uint32_t vantage, int64_t ts_ns)
{
    if (vantage >= l->vantage_count)
        return;
    struct vantage *v = &l->vantages[vantage];
    if (ts_ns < INT64_MAX)
        ts_ns += v->stamps.shift_ns;
    if (ts_ns > v->advanced_ns)
        v->advanced_ns = ts_ns;
}

void dp_locate_capture_dropped(struct dp_locate *l, uint32_t vantage, uint64_t dropped)
{
    if (vantage >= l->vantage_count)
        return;
    l->vantages[vantage].has_dropped = true;
    l->vantages[vantage].dropped = dropped;
}

void dp_locate_clock_hint(struct dp_locate *l, uint32_t vantage, int64_t offset_ns, int64_t error_ns)
{
    if (vantage >= l->vantage_count)
        return;
    l->vantages[vantage].has_hint = true;
    l->vantages[vantage].hint_ns = offset_ns;
    l->vantages[vantage].hint_error_ns = error_ns;
}

void dp_locate_trace(struct dp_locate *l, dp_locate_tell tell, void *context)
{
    l->tell = tell;
    l->tell_context = context;
}

void dp_locate_progress(const struct dp_locate *l, struct dp_locate_progress *ret_progress)
{
    struct dp_locate_progress progress = {.lost_packets = l->unbooked_packets,
                                          .lost_bytes = l->unbooked_bytes};
    for (size_t i = 0; i < l->vantage_count; i++)
        progress.packets[i] = l->vantages[i].packets;
    for (size_t i = 0; i < l->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            const struct side *s = &l->segments[i].side[d];
            progress.lost_packets += s->lost_packets - s->doubted_packets;
            progress.lost_bytes += s->lost_bytes - s->doubted_bytes;
        }
    *ret_progress = progress;
}

int dp_locate_settle(struct dp_locate *l)
{
    l->watched = true;
    return sweep(l, false);
}

int dp_locate_finish(struct dp_locate *l, struct dp_report **ret_report)
{
    int code = DP_OK;
    for (uint32_t i = 0; i < l->vantage_count && code == DP_OK; i++)
        code = take_held(l, i);
    if (code == DP_OK)
        code = sweep(l, true);
    if (code == DP_OK)
        code = handover_finish(l);
    return code ? code : report_build(l, ret_report);
}
