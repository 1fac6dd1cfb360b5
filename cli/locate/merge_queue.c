#include "cli/locate/merge_queue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 256

struct dp_merge_queue {
    struct dp_merge_input input;
    struct dp_filter *filter; /* shared */
    struct dp_capfile *file;
    bool ended;
    size_t sets;     /* times that the clock was set by now */
    int64_t high_ns; /* highest stamp since the last of them */
    struct dp_merge_packet slots[WINDOW];
    struct dp_merge_packet *order[WINDOW]; /* waiting ones by time, then the free ones */
    size_t waiting;
};

int dp_merge_queue_new(const struct dp_merge_input *input, struct dp_filter *filter,
                       struct dp_merge_queue **ret_queue, struct dp_diag *diag)
{
    struct dp_merge_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return DP_ERR_NOMEM;
    queue->input = *input;
    queue->filter = filter;
    queue->high_ns = INT64_MIN / 2;
    for (size_t i = 0; i < WINDOW; i++)
        queue->order[i] = &queue->slots[i];
    int code = dp_capfile_open(input->path, &queue->file, diag);
    if (code != DP_OK) {
        dp_merge_queue_free(queue);
        return code;
    }
    *ret_queue = queue;
    return DP_OK;
}

void dp_merge_queue_free(struct dp_merge_queue *queue)
{
    if (!queue)
        return;
    dp_capfile_close(queue->file);
    for (size_t i = 0; i < WINDOW; i++)
        free(queue->slots[i].data);
    free(queue);
}

/* The offset is small against the time, so that skew times own time and skew times true time are the same. */
int64_t dp_merge_corrected(const struct dp_merge_input *input, size_t sets, int64_t ts_ns)
{
    __int128 time = (__int128)ts_ns - (sets ? input->sets[sets - 1].offset_ns : input->offset_ns);
    double since = (double)(time - input->reference_ns);
    time -= (__int128)llround(since * input->skew_ppm * 1e-6);
    return time < 0 ? 0 : time > INT64_MAX ? INT64_MAX : (int64_t)time;
}

/* Follows the clock through the times that it was set: ahead, at a stamp; back, where the stamps go back. */
static int64_t corrected(struct dp_merge_queue *queue, int64_t ts_ns)
{
    const struct dp_merge_input *input = &queue->input;
    while (queue->sets < input->set_count) {
        const struct dp_clock_set *next = &input->sets[queue->sets];
        if (next->back_ns ? queue->high_ns - ts_ns < next->back_ns / 2 : ts_ns < next->at_ns)
            break;
        queue->sets++;
        queue->high_ns = ts_ns;
    }
    if (ts_ns > queue->high_ns)
        queue->high_ns = ts_ns;
    return dp_merge_corrected(input, queue->sets, ts_ns);
}

static int keep(struct dp_merge_queue *queue, const struct dp_capfile_packet *from)
{
    struct dp_merge_packet *packet = queue->order[queue->waiting];
    if (packet->room < from->captured) {
        uint8_t *grown = realloc(packet->data, from->captured);
        if (!grown)
            return DP_ERR_NOMEM;
        packet->data = grown;
        packet->room = from->captured;
    }
    if (from->captured > 0)
        memcpy(packet->data, from->data, from->captured);
    packet->captured = from->captured;
    packet->wire_len = from->wire_len;
    packet->link_type = from->link_type;
    packet->ts_ns = from->ts_ns;
    packet->corrected_ns = corrected(queue, from->ts_ns);
    size_t at = queue->waiting++;
    while (at > 0 && queue->order[at - 1]->corrected_ns > packet->corrected_ns) {
        queue->order[at] = queue->order[at - 1];
        at--;
    }
    queue->order[at] = packet;
    return DP_OK;
}

int dp_merge_queue_fill(struct dp_merge_queue *queue, struct dp_diag *diag)
{
    while (!queue->ended && queue->waiting < WINDOW) {
        struct dp_capfile_packet packet;
        bool match = false;
        int code = dp_capfile_next(queue->file, &packet, diag);
        if (code == DP_ERR_END) {
            queue->ended = true;
            return DP_OK;
        }
        if (code == DP_OK)
            code = dp_filter_match(queue->filter, packet.link_type, packet.data, packet.captured,
                                   packet.wire_len, &match, diag);
        if (code == DP_OK && match)
            code = keep(queue, &packet);
        if (code != DP_OK)
            return code;
    }
    return DP_OK;
}

const struct dp_merge_packet *dp_merge_queue_head(const struct dp_merge_queue *queue)
{
    return queue->waiting > 0 ? queue->order[0] : NULL;
}

void dp_merge_queue_drop_head(struct dp_merge_queue *queue)
{
    struct dp_merge_packet *freed = queue->order[0];
    queue->waiting--;
    memmove(&queue->order[0], &queue->order[1], queue->waiting * sizeof queue->order[0]);
    queue->order[queue->waiting] = freed;
}

const struct dp_capfile_stats *dp_merge_queue_stats(const struct dp_merge_queue *queue)
{
    return dp_capfile_stats(queue->file);
}
