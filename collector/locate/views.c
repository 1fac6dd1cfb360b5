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

uint64_t control_key(uint64_t acknowledged, uint32_t seq, uint32_t rest, bool has_ts, uint32_t tsval)
{
    uint64_t low = (rest & ((1U << KEY_BITS) - 1)) ^ seq_part(seq) ^ (has_ts ? ts_part(tsval) : 0);
    return acknowledged << KEY_BITS | low;
}

/* ---- renumbering ---- */

static uint64_t moved(uint64_t position, uint32_t by)
{
    return position ? position + (uint64_t)(int64_t)(int32_t)by : 0;
}

static void move_data(struct lane *lane, uint32_t by)
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

static void move_ack(struct lane *control, uint32_t by)
{
    struct observation *o;
    for (struct lane_cursor cursor = lane_from(control, 0); (o = lane_next(&cursor)) != NULL;)
        o->start += (uint64_t)(int64_t)(int32_t)by << KEY_BITS;
}

void view_shift(struct flow *flow, int half, uint32_t vantage, uint32_t by)
{
    struct view *view = &flow->views[vantage];
    struct half *h = &flow->half[half];
    view->shift[half] += by;
    view->position[half] = moved(view->position[half], by);
    if (flow->proto != 6 || by == 0)
        return;
    move_data(&h->data[vantage], by);
    move_seq(&h->control[vantage], by);
    move_ack(&flow->half[1 - half].control[vantage], by);
    struct ack_lane *acks = &h->acks[vantage];
    for (size_t i = 0; i < acks->count; i++)
        ack_at(acks, i)->position = moved(ack_at(acks, i)->position, by);
    acks->highest = moved(acks->highest, by);
    acks->sacked_above = moved(acks->sacked_above, by);
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
static void join_half(struct dp_locate *l, struct half *into, struct half *from, uint32_t by)
{
    uint64_t first = moved(from->first_position, by), position = moved(from->position, by);
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
    if (first && (into->first_position == 0 || first < into->first_position))
        into->first_position = first;
    if (position > into->position)
        into->position = position;
    if (into->content_vantage == NO_VANTAGE && from->content_vantage != NO_VANTAGE) {
        into->content_vantage = from->content_vantage;
        into->content_base = moved(from->content_base, by);
    }
    into->syn = into->syn || from->syn;
    into->rst = into->rst || from->rst;
    into->spoke = into->spoke || from->spoke;
    if (into->window_vantage == NO_VANTAGE) {
        into->window_vantage = from->window_vantage;
        into->zero_since_ns = from->zero_since_ns;
    }
    if (from->longest_zero_ns > into->longest_zero_ns)
        into->longest_zero_ns = from->longest_zero_ns;
}

static void swap_roles(struct dp_locate *l, struct flow *flow)
{
    struct half half = flow->half[0];
    flow->half[0] = flow->half[1];
    flow->half[1] = half;
    for (size_t i = 0; i < flow->mail_count; i++)
        flow->mails[i].half = 1 - flow->mails[i].half;
    for (size_t v = 0; v < l->vantage_count; v++) {
        struct view *view = &flow->views[v];
        struct dp_endpoints *e = &flow->seen_as[v];
        *view = (struct view){{view->position[1], view->position[0]}, {view->shift[1], view->shift[0]},
                              {view->ts_shift[1], view->ts_shift[0]}, {view->closed[1], view->closed[0]},
                              {view->over_ns[1], view->over_ns[0]},   view->leg};
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

/* What notes told goes over; `into` has room for its own only, the rest is dropped where memory is out. */
static void join_notes(struct flow *into, struct flow *from, const uint32_t by[2])
{
    if (!into->origin && from->origin) {
        into->origin = from->origin;
        into->origin_end = moved(from->origin_end, by[0]);
        from->origin = NULL;
    }
    for (size_t i = 0; i < from->mail_count && into->mail_count < MAIL_MARKS_MOST; i++) {
        if (dp_grow(&into->mails, &into->mail_room, into->mail_count + 1, sizeof *into->mails))
            return;
        struct mail_mark *mark = &into->mails[into->mail_count++];
        *mark = from->mails[i];
        mark->position = moved(mark->position, by[mark->half]);
    }
    from->mail_count = 0;
}

void flow_join(struct dp_locate *l, struct flow *into, struct flow *from, const uint32_t by[2], bool swapped,
               uint8_t leg)
{
    if (swapped)
        swap_roles(l, from);
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (!from->seen_at[v])
            continue;
        from->views[v].leg = leg;
        for (int half = 0; half < 2; half++)
            view_shift(from, half, v, by[half]);
    }
    for (int half = 0; half < 2; half++) {
        if (from->half[half].ts_ignored)
            flow_ignore_ts(l, into, half);
        if (from->half[half].id_ignored)
            flow_ignore_ids(l, into, half);
        if (into->half[half].ts_ignored && !from->half[half].ts_ignored)
            flow_ignore_ts(l, from, half);
        if (into->half[half].id_ignored && !from->half[half].id_ignored)
            flow_ignore_ids(l, from, half);
        join_half(l, &into->half[half], &from->half[half], by[half]);
    }
    join_views(l, into, from);
    into->established = into->established || from->established;
    into->client_known = into->client_known || from->client_known;
    if (leg >= into->legs)
        into->legs = (uint8_t)(leg + 1);
    join_smtp(into, from);
    join_notes(into, from, by);
    custody_inherit(l, into, from);
    from->joined_into = into;
    from->joined_shift[0] = by[0];
    from->joined_shift[1] = by[1];
    from->joined_leg = leg;
    from->joined_swapped = swapped;
}
