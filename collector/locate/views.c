/* Views: how each vantage point numbers a flow, and how two flows become one. */
#include <string.h>

#include "collector/locate/engine.h"
#include "collector/locate/grow.h"

/* Positions start far above zero, so that nothing before the first packet seen is below it. */
#define FIRST_POSITION (1ULL << 33)

uint64_t view_position(const struct flow *flow, int half, uint32_t vantage, uint32_t seq)
{
    const struct view *view = &flow->views[vantage];
    uint64_t near = view->position[half] ? view->position[half] : flow->half[half].position;
    uint32_t number = seq + view->shift[half];
    if (near == 0)
        return FIRST_POSITION | number;
    return near + (uint64_t)(int64_t)(int32_t)(number - (uint32_t)near);
}

/* ---- packets without stream positions ---- */

#define KEY_BITS 24 /* below the acknowledged position, which leads, so that keys come nearly in order */

static uint64_t low_part(uint64_t value, uint64_t salt)
{
    uint64_t h = (value ^ salt) * 0x9fb21c651e98df25ULL;
    return (h ^ (h >> 29)) >> (64 - KEY_BITS);
}

static uint64_t seq_part(uint32_t seq)
{
    return low_part(seq, 0x452821e638d01377ULL);
}

static uint64_t ts_part(uint32_t tsval)
{
    return low_part(tsval, 0xbe5466cf34e90c6cULL);
}

uint64_t control_key(uint64_t acknowledged, uint32_t seq, uint32_t rest)
{
    return acknowledged << KEY_BITS | ((rest & ((1U << KEY_BITS) - 1)) ^ seq_part(seq));
}

uint64_t control_toggle_ts(uint64_t key, uint32_t tsval)
{
    return key ^ ts_part(tsval);
}

uint64_t control_toggle_window(uint64_t key, uint16_t window)
{
    return key ^ low_part(window, 0x3f84d5b5b5470917ULL);
}

uint64_t control_toggle_sacks(uint64_t key, uint8_t sacks)
{
    return sacks ? key ^ low_part(sacks, 0xc0ac29b7c97c50ddULL) : key;
}

/* ---- renumbering ---- */

static uint64_t moved(uint64_t position, int64_t by)
{
    return position ? position + (uint64_t)by : 0;
}

static void move_data(struct lane *lane, int64_t by)
{
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;)
        o->start = moved(o->start, by);
}

static void move_seq(struct lane *control, uint32_t by)
{
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(control, 0); (o = lane_next(&cursor)) != NULL;) {
        o->start ^= seq_part(o->hash) ^ seq_part(o->hash + by);
        o->hash += by;
    }
}

static void move_ack(struct lane *control, int64_t by)
{
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(control, 0); (o = lane_next(&cursor)) != NULL;)
        o->start += (uint64_t)by << KEY_BITS;
}

static void move_acknowledged(struct half *h, uint32_t vantage, int64_t by)
{
    struct ack_lane *lane = &h->acks[vantage];
    for (size_t i = 0; i < lane->count; i++)
        ack_at(lane, i)->position = moved(ack_at(lane, i)->position, by);
    lane->highest = moved(lane->highest, by);
    lane->sacked_above = moved(lane->sacked_above, by);
    for (size_t i = 0; i < h->dsack_count; i++)
        if (h->dsacks[i].vantage == vantage) {
            h->dsacks[i].start = moved(h->dsacks[i].start, by);
            h->dsacks[i].end = moved(h->dsacks[i].end, by);
        }
}

static void move_passing(struct passing *p, int64_t by)
{
    p->first = moved(p->first, by);
    p->last = moved(p->last, by);
    p->previous_end = moved(p->previous_end, by);
    for (size_t i = 0; i < p->gap_count; i++) {
        p->gaps[i].start = moved(p->gaps[i].start, by);
        p->gaps[i].end = moved(p->gaps[i].end, by);
    }
}

/* What evidence.c has gathered at the points at either end of the path. */
static void move_outer(const struct dp_locate *l, const struct flow *flow, struct half *h, uint32_t vantage,
                       int64_t by)
{
    bool forward = half_forward(flow, h == &flow->half[0] ? 0 : 1);
    if (vantage == place_to_vantage(l, forward, 0)) {
        h->first_end = moved(h->first_end, by);
        for (uint32_t i = 0; i < h->hole_count; i++) {
            h->holes[i].start = moved(h->holes[i].start, by);
            h->holes[i].end = moved(h->holes[i].end, by);
        }
    }
    if (vantage == place_to_vantage(l, forward, (uint32_t)l->vantage_count - 1))
        move_passing(&h->passing, by);
    uint32_t next = forward ? vantage + 1 : vantage - 1;
    bool inner = next < l->vantage_count && flow->views[next].leg != flow->views[vantage].leg;
    if (inner && h->inner_passing)
        move_passing(&h->inner_passing[flow->views[vantage].leg], by);
}

static void move_notes(struct flow *flow, int half, uint32_t vantage, int64_t by)
{
    for (size_t i = 0; i < flow->mail_count; i++)
        if (flow->mails[i].vantage == vantage && flow->mails[i].half == half)
            flow->mails[i].position = moved(flow->mails[i].position, by);
    for (size_t i = 0; i < flow->stage_count; i++)
        if (flow->stages[i].vantage == vantage && flow->stages[i].half == half)
            flow->stages[i].position = moved(flow->stages[i].position, by);
    if (flow->origin && half == 0 && flow->origin_vantage == vantage)
        flow->origin_end = moved(flow->origin_end, by);
}

void view_shift(struct dp_locate *l, struct flow *flow, int half, uint32_t vantage, int64_t by)
{
    struct view *view = &flow->views[vantage];
    struct half *h = &flow->half[half];
    view->shift[half] += (uint32_t)by;
    view->position[half] = moved(view->position[half], by);
    if (flow->proto != 6 || by == 0)
        return;
    move_data(&h->data[vantage], by);
    move_seq(&h->control[vantage], (uint32_t)by);
    move_ack(&flow->half[1 - half].control[vantage], by);
    move_acknowledged(h, vantage, by);
    move_outer(l, flow, h, vantage, by);
    if (h->first_vantage == vantage)
        h->first_position = moved(h->first_position, by);
    if (h->content_vantage == vantage)
        h->content_base = moved(h->content_base, by);
    move_notes(flow, half, vantage, by);
    h->position = 0;
    for (size_t v = 0; v < l->vantage_count; v++)
        if (flow->views[v].position[half] > h->position)
            h->position = flow->views[v].position[half];
}

uint64_t control_key_moved(const struct observation *o, int64_t seq, int64_t acknowledged)
{
    uint64_t key = o->start + ((uint64_t)acknowledged << KEY_BITS);
    key ^= seq_part(o->hash) ^ seq_part(o->hash + (uint32_t)seq);
    return (o->marks & MARK_HAS_TS) ? control_toggle_ts(key, o->tsval) : key;
}

uint64_t control_key_bare(const struct observation *o, int64_t acknowledged)
{
    uint64_t key = control_key_moved(o, 0, acknowledged) ^ seq_part(o->hash);
    return (o->marks & MARK_HAS_WINDOW) ? control_toggle_window(key, o->mss) : key;
}

uint64_t control_acknowledged(const struct observation *o)
{
    return o->start >> KEY_BITS;
}

uint64_t control_position(uint64_t position)
{
    return position << KEY_BITS >> KEY_BITS;
}

void view_shift_ts(struct flow *flow, int half, uint32_t vantage, uint32_t by)
{
    struct half *h = &flow->half[half];
    flow->views[vantage].ts_shift[half] += by;
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(&h->data[vantage], 0); (o = lane_next(&cursor)) != NULL;)
        o->tsval += by;
    for (struct lane_cursor cursor = lane_from(&h->control[vantage], 0); (o = lane_next(&cursor)) != NULL;) {
        if (o->marks & MARK_HAS_TS)
            o->start ^= ts_part(o->tsval) ^ ts_part(o->tsval + by);
        o->tsval += by;
    }
    for (size_t i = 0; i < h->acks[vantage].count; i++)
        ack_at(&h->acks[vantage], i)->tsecr += by;
}

void flow_ignore_ts(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    h->ts_ignored = true;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct observation *o;
        for (struct lane_cursor cursor = lane_from(&h->data[v], 0); (o = lane_next(&cursor)) != NULL;)
            o->marks &= (uint16_t)~MARK_HAS_TS;
        for (struct lane_cursor cursor = lane_from(&h->control[v], 0); (o = lane_next(&cursor)) != NULL;) {
            if (o->marks & MARK_HAS_TS)
                o->start ^= ts_part(o->tsval);
            o->marks &= (uint16_t)~MARK_HAS_TS;
        }
        for (size_t i = 0; i < h->acks[v].count; i++)
            ack_at(&h->acks[v], i)->has_tsecr = false;
    }
}

void flow_ignore_ids(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    h->id_ignored = true;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct observation *o;
        for (struct lane_cursor cursor = lane_from(&h->data[v], 0); (o = lane_next(&cursor)) != NULL;)
            o->marks &= (uint16_t)~MARK_HAS_IP_ID;
        for (struct lane_cursor cursor = lane_from(&h->control[v], 0); (o = lane_next(&cursor)) != NULL;)
            o->marks &= (uint16_t)~MARK_HAS_IP_ID;
    }
}

void flow_ignore_windows(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    h->window_ignored = true;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct observation *o;
        for (struct lane_cursor cursor = lane_from(&h->control[v], 0); (o = lane_next(&cursor)) != NULL;) {
            if (o->marks & MARK_HAS_WINDOW)
                o->start = control_toggle_window(o->start, o->mss);
            o->marks &= (uint16_t)~MARK_HAS_WINDOW;
        }
    }
}

void flow_ignore_sacks(struct dp_locate *l, struct flow *flow, int half)
{
    struct half *h = &flow->half[half];
    h->sacks_ignored = true;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct observation *o;
        for (struct lane_cursor cursor = lane_from(&h->control[v], 0); (o = lane_next(&cursor)) != NULL;) {
            o->start = control_toggle_sacks(o->start, o->options);
            o->options = 0;
        }
    }
}

/* ---- legs ---- */

void flow_leg(const struct dp_locate *l, const struct flow *flow, uint32_t leg, uint32_t *ret_low,
              uint32_t *ret_high)
{
    uint32_t count = (uint32_t)l->vantage_count, low = count, high = 0;
    for (uint32_t v = 0; v < count; v++)
        if (flow->seen_at[v] && flow->views[v].leg == leg) {
            low = v < low ? v : low;
            high = v + 1;
        }
    *ret_low = leg == 0 ? 0 : low;
    *ret_high = leg + 1 == flow->legs ? count : high;
}

/* ---- joining ---- */

/* What is known of a whole half goes over; what evidence.c gathers while settling does not exist yet. */
static void join_half(struct dp_locate *l, struct half *into, struct half *from)
{
    for (size_t v = 0; v < l->vantage_count; v++) {
        if (from->data[v].seen || from->control[v].seen) {
            struct lane data = into->data[v], control = into->control[v];
            into->data[v] = from->data[v];
            into->control[v] = from->control[v];
            from->data[v] = data;
            from->control[v] = control;
        }
        if (from->acks[v].count || from->acks[v].sacked_above) {
            struct ack_lane acks = into->acks[v];
            into->acks[v] = from->acks[v];
            from->acks[v] = acks;
        }
    }
    if (from->first_position && (into->first_position == 0 || from->first_position < into->first_position)) {
        into->first_position = from->first_position;
        into->first_vantage = from->first_vantage;
    }
    if (from->position > into->position)
        into->position = from->position;
    if (into->content_vantage == NO_VANTAGE && from->content_vantage != NO_VANTAGE) {
        into->content_vantage = from->content_vantage;
        into->content_base = from->content_base;
    }
    into->syn = into->syn || from->syn;
    into->rst = into->rst || from->rst;
    into->spoke = into->spoke || from->spoke;
    if (into->window_vantage == NO_VANTAGE) {
        into->window_vantage = from->window_vantage;
        into->zero_since_ns = from->zero_since_ns;
    }
    if (from->window_vantage == into->window_vantage &&
        from->longest_zero_to_ns - from->longest_zero_from_ns >
            into->longest_zero_to_ns - into->longest_zero_from_ns) {
        into->longest_zero_from_ns = from->longest_zero_from_ns;
        into->longest_zero_to_ns = from->longest_zero_to_ns;
    }
}

/* The reports of what came twice, each by the numbers of the view that showed it. */
static int join_dsacks(struct half *into, const struct half *from)
{
    if (from->dsack_count == 0)
        return DP_OK;
    int code = dp_grow(&into->dsacks, &into->dsack_room, into->dsack_count + from->dsack_count,
                       sizeof *into->dsacks);
    if (code)
        return code;
    memcpy(into->dsacks + into->dsack_count, from->dsacks, from->dsack_count * sizeof *from->dsacks);
    into->dsack_count += from->dsack_count;
    return DP_OK;
}

static void swap_roles(struct dp_locate *l, struct flow *flow)
{
    struct half half = flow->half[0];
    flow->half[0] = flow->half[1];
    flow->half[1] = half;
    for (size_t i = 0; i < flow->mail_count; i++)
        flow->mails[i].half = 1 - flow->mails[i].half;
    for (size_t i = 0; i < flow->stage_count; i++)
        flow->stages[i].half = 1 - flow->stages[i].half;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct view *view = &flow->views[v];
        struct dp_endpoints *e = &flow->seen_as[v];
        struct view was = *view;
        for (int h = 0; h < 2; h++) {
            view->position[h] = was.position[1 - h];
            view->shift[h] = was.shift[1 - h];
            view->ts_shift[h] = was.ts_shift[1 - h];
            view->closed[h] = was.closed[1 - h];
            view->window_most[h] = was.window_most[1 - h];
            view->over_ns[h] = was.over_ns[1 - h];
            view->reset_ns[h] = was.reset_ns[1 - h];
            view->aligned[h] = was.aligned[1 - h];
            view->compared[h] = was.compared[1 - h];
            view->tried[h] = was.tried[1 - h];
        }
        *e = (struct dp_endpoints){e->server, e->client, e->server_port, e->client_port};
    }
}

static void join_views(struct dp_locate *l, struct flow *into, const struct flow *from)
{
    for (size_t v = 0; v < l->vantage_count; v++) {
        if (!from->seen_at[v])
            continue;
        into->seen_at[v] = 1;
        into->seen_as[v] = from->seen_as[v];
        into->views[v] = from->views[v];
    }
}

static void join_smtp(struct flow *into, const struct flow *from)
{
    if (from->smtp_code == 0 || into->smtp_code)
        return;
    into->smtp_code = from->smtp_code;
    into->smtp_ns = from->smtp_ns;
    into->smtp_vantage = from->smtp_vantage;
    memcpy(into->smtp_text, from->smtp_text, sizeof into->smtp_text);
}

/* What notes told goes over; the rest is dropped where memory is out. */
static void join_notes(struct flow *into, struct flow *from)
{
    if (!into->origin && from->origin) {
        into->origin = from->origin;
        into->origin_end = from->origin_end;
        into->origin_vantage = from->origin_vantage;
        from->origin = NULL;
    }
    for (size_t i = 0; i < from->mail_count && into->mail_count < MAIL_MARKS_MOST; i++) {
        if (dp_grow(&into->mails, &into->mail_room, into->mail_count + 1, sizeof *into->mails))
            return;
        into->mails[into->mail_count++] = from->mails[i];
    }
    from->mail_count = 0;
    for (size_t i = 0; i < from->stage_count; i++) {
        if (dp_grow(&into->stages, &into->stage_room, into->stage_count + 1, sizeof *into->stages))
            return;
        into->stages[into->stage_count++] = from->stages[i];
    }
    from->stage_count = 0;
}

bool flow_settled(const struct dp_locate *l, const struct flow *flow)
{
    for (int half = 0; half < 2; half++)
        for (size_t v = 0; v < l->vantage_count; v++) {
            const struct half *h = &flow->half[half];
            if (h->data[v].seen != h->data[v].count || h->control[v].seen != h->control[v].count)
                return true;
        }
    return false;
}

/* Nothing has been concluded yet: which way it runs, and what was lost before it, is looked at again. */
static void begin_anew(struct dp_locate *l, struct flow *flow)
{
    flow->oriented = flow->certain_orientation = flow->sampled = false;
    flow->client_near = true;
    flow->ttl_votes = 0;
    for (int half = 0; half < 2; half++) {
        struct half *h = &flow->half[half];
        h->first_end = 0;
        h->hole_count = 0;
        h->before_count = 0;
        for (size_t v = 0; v < l->vantage_count; v++) {
            struct observation *o;
            for (struct lane_cursor cursor = lane_from(&h->data[v], 0); (o = lane_next(&cursor)) != NULL;)
                o->marks &= (uint16_t)~MARK_VISITED;
        }
    }
}

static void ignore_alike(struct dp_locate *l, struct flow *a, struct flow *b, int half)
{
    if (a->half[half].ts_ignored != b->half[half].ts_ignored)
        flow_ignore_ts(l, a->half[half].ts_ignored ? b : a, half);
    if (a->half[half].id_ignored != b->half[half].id_ignored)
        flow_ignore_ids(l, a->half[half].id_ignored ? b : a, half);
    if (a->half[half].window_ignored != b->half[half].window_ignored)
        flow_ignore_windows(l, a->half[half].window_ignored ? b : a, half);
    if (a->half[half].sacks_ignored != b->half[half].sacks_ignored)
        flow_ignore_sacks(l, a->half[half].sacks_ignored ? b : a, half);
}

int flow_join(struct dp_locate *l, struct flow *into, struct flow *from, const int64_t by[2], bool swapped,
              uint8_t leg)
{
    for (int half = 0; half < 2; half++) {
        int code = join_dsacks(&into->half[half], &from->half[swapped ? 1 - half : half]);
        if (code)
            return code;
    }
    if (swapped)
        swap_roles(l, from);
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (!from->seen_at[v])
            continue;
        from->views[v].leg = (uint8_t)(from->views[v].leg + leg);
        for (int half = 0; half < 2; half++)
            view_shift(l, from, half, v, by[half]);
    }
    join_views(l, into, from);
    for (int half = 0; half < 2; half++) {
        ignore_alike(l, into, from, half);
        join_half(l, &into->half[half], &from->half[half]);
    }
    into->established = into->established || from->established;
    into->client_known = into->client_known || from->client_known;
    if (leg + from->legs > into->legs)
        into->legs = (uint8_t)(leg + from->legs);
    join_smtp(into, from);
    join_notes(into, from);
    custody_inherit(l, into, from);
    if (!flow_settled(l, into))
        begin_anew(l, into);
    from->joined_into = into;
    from->joined_swapped = swapped;
    return DP_OK;
}
