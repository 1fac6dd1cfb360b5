/* Packs the ladder for the script, one flow by itself, so that a page of many opens at once. A flow's numbers
 * stand in columns, as differences to what the packet before leads one to expect (html/decode.js undoes it),
 * each 7 bits a byte with the low ones first; deflated, in base64. */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "collector/report/html_internal.h"

struct column {
    uint8_t *bytes;
    size_t len, room;
    bool failed;
};

static void put_number(struct column *c, uint64_t value)
{
    if (c->failed || c->len + 10 > c->room) {
        size_t room = c->room ? c->room * 2 : 65536;
        uint8_t *grown = c->failed ? NULL : realloc(c->bytes, room);
        if (!grown) {
            c->failed = true;
            return;
        }
        c->bytes = grown;
        c->room = room;
    }
    while (value >= 0x80) {
        c->bytes[c->len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    c->bytes[c->len++] = (uint8_t)value;
}

/* Small differences of either sign as small numbers. */
static void put_difference(struct column *c, int64_t value)
{
    put_number(c, (uint64_t)value << 1 ^ (0 - ((uint64_t)value >> 63)));
}

struct source {
    const struct dp_ladder *ladder;
    const struct dp_ladder_scene *scene;
    const struct dp_report *report;
};

static const struct dp_ladder_packet *packet_at(const struct source *from, size_t index)
{
    return &from->ladder->packets[from->scene->packet + index];
}

/* ---- packets ---- */

static void put_heads(struct column *c, const struct source *from)
{
    for (size_t i = 0; i < from->scene->packet_count; i++) {
        const struct dp_ladder_packet *p = packet_at(from, i);
        put_number(c, (uint64_t)p->half | (uint64_t)p->direction << 1 | (uint64_t)p->has_bytes << 2 |
                          (uint64_t)p->duplicate << 3 | (uint64_t)p->fate << 4 | (uint64_t)p->marks << 7);
    }
    for (size_t i = 0; i < from->scene->packet_count; i++)
        put_number(c, (uint64_t)(packet_at(from, i)->finding + 1));
    for (size_t i = 0; i < from->scene->packet_count; i++)
        put_number(c, packet_at(from, i)->copy - 1);
}

static void put_offsets(struct column *c, const struct source *from)
{
    uint64_t next[2] = {0, 0};
    for (size_t i = 0; i < from->scene->packet_count; i++) {
        const struct dp_ladder_packet *p = packet_at(from, i);
        uint64_t offset = p->has_bytes ? p->offset : next[p->half];
        put_difference(c, (int64_t)(offset - next[p->half]));
        next[p->half] = offset + p->length;
    }
    for (size_t i = 0; i < from->scene->packet_count; i++)
        put_number(c, packet_at(from, i)->length);
    for (size_t i = 0; i < from->scene->packet_count; i++)
        put_number(c, packet_at(from, i)->sighting_count);
}

static void put_sacks(struct column *c, const struct source *from)
{
    for (size_t i = 0; i < from->scene->packet_count; i++)
        put_number(c, packet_at(from, i)->sack_count);
    for (size_t i = 0; i < from->scene->packet_count; i++) {
        const struct dp_ladder_packet *p = packet_at(from, i);
        uint32_t ack = from->ladder->sightings[p->sighting].ack;
        for (uint8_t k = 0; k < p->sack_count; k++) {
            put_difference(c, (int32_t)(p->sack[k][0] - ack));
            put_difference(c, (int32_t)(p->sack[k][1] - p->sack[k][0]));
        }
    }
}

/* ---- sightings ---- */

static void put_times(struct column *c, const struct source *from)
{
    int64_t previous =
        from->scene->packet_count ? from->ladder->sightings[packet_at(from, 0)->sighting].t_ns : 0;
    for (size_t i = 0; i < from->scene->packet_count; i++) {
        const struct dp_ladder_packet *p = packet_at(from, i);
        int64_t first = from->ladder->sightings[p->sighting].t_ns, before = previous;
        for (size_t k = 0; k < p->sighting_count; k++) {
            int64_t t = from->ladder->sightings[p->sighting + k].t_ns;
            put_difference(c, (int64_t)((uint64_t)t - (uint64_t)before));
            before = t;
        }
        previous = first;
    }
    /* What the own clock shows besides its offset. */
    int64_t shift[DP_LOCATE_MAX_VANTAGES] = {0};
    for (size_t i = 0; i < from->scene->packet_count; i++)
        for (size_t k = 0; k < packet_at(from, i)->sighting_count; k++) {
            const struct dp_ladder_sighting *s = &from->ladder->sightings[packet_at(from, i)->sighting + k];
            uint64_t offset = (uint64_t)from->report->vantages[s->vantage].clock_offset_ns;
            int64_t now = (int64_t)((uint64_t)s->ts_ns - (uint64_t)s->t_ns - offset);
            put_difference(c, (int64_t)((uint64_t)now - (uint64_t)shift[s->vantage]));
            shift[s->vantage] = now;
        }
}

static uint32_t seq_of(const struct dp_ladder_sighting *s)
{
    return s->seq;
}
static uint32_t ack_of(const struct dp_ladder_sighting *s)
{
    return s->ack;
}
static uint32_t payload_of(const struct dp_ladder_sighting *s)
{
    return s->payload_len;
}
static uint32_t length_of(const struct dp_ladder_sighting *s)
{
    return s->ip_len;
}
static uint32_t flags_of(const struct dp_ladder_sighting *s)
{
    return s->tcp_flags;
}
static uint32_t window_of(const struct dp_ladder_sighting *s)
{
    return s->window;
}
static uint32_t id_of(const struct dp_ladder_sighting *s)
{
    return s->ip_id;
}
static uint32_t ttl_of(const struct dp_ladder_sighting *s)
{
    return s->ttl;
}
static uint32_t known_of(const struct dp_ladder_sighting *s)
{
    return (s->filled ? 1U : 0) | (s->has_timestamps ? 2U : 0);
}
static uint32_t tsval_of(const struct dp_ladder_sighting *s)
{
    return s->tsval;
}
static uint32_t tsecr_of(const struct dp_ladder_sighting *s)
{
    return s->tsecr;
}

/* Expected is what the point before saw, of the first point what it saw of the packet before in this half. */
static void put_field(struct column *c, const struct source *from,
                      uint32_t (*of)(const struct dp_ladder_sighting *))
{
    uint32_t first[2] = {0, 0};
    for (size_t i = 0; i < from->scene->packet_count; i++) {
        const struct dp_ladder_packet *p = packet_at(from, i);
        uint32_t expected = first[p->half];
        for (size_t k = 0; k < p->sighting_count; k++) {
            uint32_t value = of(&from->ladder->sightings[p->sighting + k]);
            put_difference(c, (int32_t)(value - expected));
            expected = value;
            if (k == 0)
                first[p->half] = value;
        }
    }
}

static void put_columns(struct column *c, const struct source *from)
{
    static uint32_t (*const fields[])(const struct dp_ladder_sighting *) = {
        seq_of, ack_of, payload_of, length_of, flags_of, window_of,
        id_of,  ttl_of, known_of,   tsval_of,  tsecr_of};
    put_heads(c, from);
    put_offsets(c, from);
    for (size_t i = 0; i < from->scene->packet_count; i++)
        for (size_t k = 0; k < packet_at(from, i)->sighting_count; k++)
            put_number(c, from->ladder->sightings[packet_at(from, i)->sighting + k].vantage);
    put_times(c, from);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        put_field(c, from, fields[i]);
    put_sacks(c, from);
}

/* ---- as text ---- */

static char *as_base64(const uint8_t *bytes, size_t len)
{
    size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(room);
    if (text)
        (void)sodium_bin2base64(text, room, bytes, len, sodium_base64_VARIANT_ORIGINAL);
    return text;
}

static json_t *packed(const struct source *from)
{
    struct column c = {0};
    put_columns(&c, from);
    uLongf len = compressBound((uLong)c.len);
    uint8_t *deflated = c.failed ? NULL : malloc(len);
    char *text = NULL;
    if (deflated && compress2(deflated, &len, c.bytes, (uLong)c.len, 6) == Z_OK)
        text = as_base64(deflated, len);
    json_t *value = text ? json_string(text) : NULL;
    free(text);
    free(deflated);
    free(c.bytes);
    return value;
}

/* Numbers that a script could not hold exactly go as text. */
static json_t *exact(int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    return json_string(text);
}

/* Sets a member and takes the value over; false where either is NULL (out of memory). */
static bool set(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static json_t *pair(int64_t a, int64_t b)
{
    json_t *list = json_array();
    bool ok = json_array_append_new(list, json_integer(a)) == 0 &&
              json_array_append_new(list, json_integer(b)) == 0;
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

/* Since the first packet. Far ahead is as good as for ever: a script's numbers end sooner. */
static int64_t since(int64_t base_ns, int64_t t_ns)
{
    int64_t difference;
    const int64_t most = INT64_C(1) << 52;
    if (__builtin_sub_overflow(t_ns, base_ns, &difference))
        return t_ns < base_ns ? -most : most;
    return difference > most ? most : difference < -most ? -most : difference;
}

static json_t *windows_value(const struct dp_ladder_scene *scene, int64_t base_ns)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < scene->window_count; i++) {
        json_t *window =
            pair(since(base_ns, scene->windows[i].from_ns), since(base_ns, scene->windows[i].to_ns));
        if (json_array_append_new(list, window) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *scene_value(const struct source *from)
{
    const struct dp_ladder_scene *scene = from->scene;
    const struct dp_flow_report *flow = &from->report->flows[scene->flow];
    size_t sightings = 0;
    for (size_t i = 0; i < scene->packet_count; i++)
        sightings += packet_at(from, i)->sighting_count;
    int64_t base_ns = from->ladder->sightings[packet_at(from, 0)->sighting].t_ns;
    json_t *value = json_object();
    if (set(value, "flow", json_integer(flow->id)) && set(value, "tcp", json_boolean(flow->proto == 6)) &&
        set(value, "base", exact(base_ns)) &&
        set(value, "packets", json_integer((json_int_t)scene->packet_count)) &&
        set(value, "sightings", json_integer((json_int_t)sightings)) &&
        set(value, "lost", json_integer((json_int_t)scene->lost)) &&
        set(value, "windows", windows_value(scene, base_ns)) && set(value, "data", packed(from)))
        return value;
    json_decref(value);
    return NULL;
}

int html_ladder_value(const struct html *page, json_t **ret_value)
{
    if (!page->ladder || !page->report) {
        *ret_value = json_null();
        return DP_OK;
    }
    json_t *scenes = json_array(), *offsets = json_array(), *value = json_object();
    bool ok = scenes && offsets && value;
    for (size_t i = 0; ok && i < page->report->vantage_count; i++)
        ok = json_array_append_new(offsets, exact(page->report->vantages[i].clock_offset_ns)) == 0;
    for (size_t i = 0; ok && i < page->ladder->scene_count; i++) {
        struct source from = {page->ladder, &page->ladder->scenes[i], page->report};
        ok = json_array_append_new(scenes, scene_value(&from)) == 0;
    }
    ok = ok && json_object_set(value, "scenes", scenes) == 0 &&
         json_object_set(value, "offsets", offsets) == 0;
    json_decref(scenes);
    json_decref(offsets);
    if (!ok) {
        json_decref(value);
        return DP_ERR_NOMEM;
    }
    *ret_value = value;
    return DP_OK;
}
