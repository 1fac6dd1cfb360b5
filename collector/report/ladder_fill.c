/* Completes the ladder with what only the packets themselves say: acknowledgements, windows, SACK. */
#include <stdlib.h>

#include "collector/report/ladder.h"

/* One sighting that waits for its packet. */
struct wanted {
    uint32_t vantage;
    int64_t ts_ns;
    size_t sighting, packet;
};

struct dp_ladder_filler {
    struct dp_ladder *ladder;
    struct wanted *list; /* in order of vantage point and time */
    size_t count;
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->vantage != y->vantage)
        return x->vantage < y->vantage ? -1 : 1;
    return x->ts_ns < y->ts_ns ? -1 : x->ts_ns > y->ts_ns;
}

int dp_ladder_fill_begin(struct dp_ladder *ladder, struct dp_ladder_filler **ret_filler)
{
    struct dp_ladder_filler *filler = calloc(1, sizeof *filler);
    if (!filler)
        return DP_ERR_NOMEM;
    filler->ladder = ladder;
    filler->list = calloc(ladder->sighting_count + 1, sizeof *filler->list);
    if (!filler->list) {
        free(filler);
        return DP_ERR_NOMEM;
    }
    for (size_t p = 0; p < ladder->packet_count; p++)
        for (size_t i = 0; i < ladder->packets[p].sighting_count; i++) {
            size_t s = ladder->packets[p].sighting + i;
            filler->list[filler->count++] =
                (struct wanted){ladder->sightings[s].vantage, ladder->sightings[s].ts_ns, s, p};
        }
    qsort(filler->list, filler->count, sizeof *filler->list, compare_wanted);
    *ret_filler = filler;
    return DP_OK;
}

void dp_ladder_fill_end(struct dp_ladder_filler *filler)
{
    if (!filler)
        return;
    free(filler->list);
    free(filler);
}

/* The first that waits at this vantage point for this time or a later one. */
static size_t first_wanted(const struct dp_ladder_filler *filler, uint32_t vantage, int64_t ts_ns)
{
    struct wanted key = {.vantage = vantage, .ts_ns = ts_ns};
    size_t low = 0, high = filler->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_wanted(&filler->list[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool waits(const struct dp_ladder_filler *filler, size_t at, uint32_t vantage, int64_t ts_ns)
{
    return at < filler->count && filler->list[at].vantage == vantage && filler->list[at].ts_ns == ts_ns;
}

bool dp_ladder_wants(const struct dp_ladder_filler *filler, uint32_t vantage, int64_t ts_ns)
{
    return waits(filler, first_wanted(filler, vantage, ts_ns), vantage, ts_ns);
}

void dp_ladder_fill(struct dp_ladder_filler *filler, uint32_t vantage, int64_t ts_ns,
                    const struct dp_packet *packet)
{
    /* Pieces of one packet wait each for itself. */
    for (size_t at = first_wanted(filler, vantage, ts_ns); waits(filler, at, vantage, ts_ns); at++) {
        struct dp_ladder_sighting *s = &filler->ladder->sightings[filler->list[at].sighting];
        if (s->filled || s->payload_len != packet->payload_len || s->ip_len != packet->ip_len ||
            s->ip_id != (packet->has_ip_id ? packet->ip_id : 0) || s->ttl != packet->ttl ||
            s->tcp_flags != packet->tcp_flags)
            continue;
        s->filled = true;
        s->seq = packet->seq;
        s->ack = packet->ack;
        s->window = packet->window;
        s->has_timestamps = packet->has_timestamps;
        s->tsval = packet->tsval;
        s->tsecr = packet->tsecr;
        struct dp_ladder_packet *p = &filler->ladder->packets[filler->list[at].packet];
        p->sack_count = packet->sack_count;
        for (uint8_t i = 0; i < packet->sack_count && i < DP_SACK_MAX; i++) {
            p->sack[i][0] = packet->sack[i][0];
            p->sack[i][1] = packet->sack[i][1];
        }
    }
}
