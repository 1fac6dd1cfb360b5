/* The captures at the vantage points: what they record, by which clock, what they miss. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/bench/campaign_sim/sim.h"

static const uint8_t key[DP_HASH_KEY_SIZE] = "campaign of tes";

int64_t point_stamp(const struct point_config *c, int64_t t)
{
    int64_t raw = EPOCH + t + c->offset_ns + (int64_t)((double)t * c->skew);
    if (c->step_ns && t >= c->step_at_ns)
        raw += c->step_ns;
    return raw - raw % c->granularity_ns;
}

bool record_begin(struct sim *s, const char *pcap_folder)
{
    if (pcap_folder && mkdir(pcap_folder, 0755) && errno != EEXIST)
        return false;
    for (uint32_t i = 0; i < s->c.points; i++) {
        struct point_sim *p = &s->point[i];
        p->rng = rng_of(s->c.seed, 500 + i);
        p->held = calloc((size_t)s->c.flows * (s->c.proxy.on ? 4 : 2), sizeof *p->held);
        if (!p->held || dp_digester_new(key, &p->digester))
            return false;
        if (!pcap_folder)
            continue;
        char path[512];
        struct dp_diag diag = {{0}};
        snprintf(path, sizeof path, "%s/%u.pcapng", pcap_folder, i);
        if (dp_capwriter_open(path, &p->writer, &diag) ||
            dp_capwriter_interface(p->writer, s->c.point[i].name, 1, 0, &p->writer_interface)) {
            fprintf(stderr, "%s: %s\n", path, diag.text);
            return false;
        }
    }
    return true;
}

/* Remembers that up to `count` have come with this digest. */
static void mark(struct sim *s, struct marks *m, size_t count, size_t digest)
{
    size_t *items = grow(s, m->at, &m->room, count, sizeof *items);
    if (!items)
        return;
    m->at = items;
    while (m->count < count)
        m->at[m->count++] = digest;
}

static void end_burst(struct sim *s, uint32_t point)
{
    struct point_sim *p = &s->point[point];
    const struct point_config *c = &s->c.point[point];
    if (!p->in_burst)
        return;
    p->in_burst = false;
    if (c->miss == MISS_GAPS && p->burst_missed &&
        dp_batch_add_gap(&p->batch, point_stamp(c, p->burst_from), point_stamp(c, p->burst_until),
                         p->burst_missed))
        s->failed = true;
    mark(s, &p->gaps, p->batch.gap_count, p->batch.digest_count);
}

/* Whether the capture misses this packet. */
static bool misses(struct sim *s, uint32_t point)
{
    struct point_sim *p = &s->point[point];
    const struct point_config *c = &s->c.point[point];
    if (c->miss == MISS_NONE)
        return false;
    if (!c->miss_bursts && c->miss != MISS_GAPS)
        return rng_chance(&p->rng, c->miss_rate);
    if (p->in_burst && s->now <= p->burst_until) {
        p->burst_missed++;
        return true;
    }
    end_burst(s, point);
    if (!rng_chance(&p->rng, c->miss_rate / 20))
        return false;
    p->in_burst = true;
    p->burst_from = s->now;
    p->burst_until = s->now + (int64_t)(rng_log(&p->rng, 0.2, 50) * (double)MS);
    p->burst_missed = 1;
    return true;
}

static void write_frame(struct sim *s, uint32_t point, const struct packet *packet)
{
    struct point_sim *p = &s->point[point];
    uint8_t frame[512];
    size_t wire_len, len = frame_build(s, point, packet, frame, sizeof frame, &wire_len);
    int64_t ts = point_stamp(&s->c.point[point], s->now);
    uint32_t snap = s->c.point[point].snap;
    len = snap && snap < len ? snap : len;
    if (dp_digester_frame(p->digester, 1, ts, frame, len, wire_len, &p->batch))
        s->failed = true;
    if (p->batch.note_count > p->notes.count)
        mark(s, &p->notes, p->batch.note_count, p->batch.digest_count - 1);
    if (p->writer && dp_capwriter_packet(p->writer, p->writer_interface, ts, frame, len, wire_len, NULL))
        s->failed = true;
}

static bool captures(const struct sim *s, uint32_t point)
{
    const struct point_config *c = &s->c.point[point];
    return s->now >= c->from_ns && s->now < c->to_ns;
}

static struct record *add_record(struct sim *s, uint32_t point, const struct packet *packet)
{
    struct point_sim *p = &s->point[point];
    struct record *records = grow(s, p->records, &p->room, p->count + 1, sizeof *records);
    if (!records)
        return NULL;
    p->records = records;
    records[p->count] =
        (struct record){s->now,        packet->seq,  packet->flow, packet->len, packet_ip_len(s, packet),
                        packet->flags, packet->half, false};
    write_frame(s, point, packet);
    return &records[p->count++];
}

void point_record_again(struct sim *s, uint32_t point, struct packet *packet)
{
    if (captures(s, point)) {
        if (misses(s, point)) {
            s->point[point].missed++;
        } else {
            struct record *r = add_record(s, point, packet);
            if (r)
                r->again = true;
        }
    }
    packet_free(s, packet);
}

void point_record(struct sim *s, uint32_t point, struct packet *packet)
{
    const struct point_config *c = &s->c.point[point];
    if (c->twice) {
        struct packet *copy = packet_new(s);
        *copy = *packet;
        sim_schedule(s, s->now + c->twice_ns, EVENT_TWICE, point, 0, copy);
    }
    if (!captures(s, point))
        return;
    if (misses(s, point)) {
        s->point[point].missed++;
        packet->missed |= (uint8_t)(1u << point);
        return;
    }
    if (!add_record(s, point, packet))
        return;
    packet->last_point = (uint8_t)point;
    packet->last_record = (uint32_t)s->point[point].count - 1;
    packet->missed = 0;
}

static bool finish_file(struct sim *s, uint32_t point)
{
    struct point_sim *p = &s->point[point];
    const struct point_config *c = &s->c.point[point];
    struct dp_diag diag = {{0}};
    if (!p->writer)
        return true;
    bool counted = c->miss == MISS_COUNTED || c->miss == MISS_GAPS;
    bool ok = true;
    if (c->window_told || counted)
        ok = dp_capwriter_stats(p->writer, p->writer_interface, point_stamp(c, c->from_ns),
                                point_stamp(c, c->to_ns), p->count + p->missed,
                                counted ? p->missed : DP_CAPWRITER_UNKNOWN) == DP_OK;
    ok = dp_capwriter_close(p->writer, &diag) == DP_OK && ok;
    p->writer = NULL;
    return ok;
}

bool record_finish(struct sim *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->c.points; i++) {
        end_burst(s, i);
        ok = finish_file(s, i) && ok;
    }
    return ok;
}
