#include "cli/locate/merge.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/locate/merge_queue.h"
#include "cli/locate/same_file.h"
#include "common/packet/packet.h"

#define PARTIAL ".part"

/* An interface of the merged file: an input has one for each link type that it holds. */
struct outlet {
    uint32_t input;
    int link_type;
    uint32_t number;
    uint64_t packets;
};

struct merge {
    const struct dp_merge_input *inputs;
    size_t count;
    struct dp_merge_queue **queues;
    struct dp_filter *filter;
    struct dp_merge_loss *losses; /* sorted by input and time */
    bool *told;                   /* its comment is written */
    size_t loss_count;
    struct outlet *outlets;
    size_t outlet_count, outlet_room;
    struct dp_capwriter *writer;
};

static int compare_losses(const void *a, const void *b)
{
    const struct dp_merge_loss *x = a;
    const struct dp_merge_loss *y = b;
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    return 0;
}

/* The first loss at or after this input and time. */
static size_t first_loss(const struct merge *merge, uint32_t input, int64_t ts_ns)
{
    struct dp_merge_loss key = {.input = input, .ts_ns = ts_ns};
    size_t low = 0;
    size_t high = merge->loss_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_losses(&merge->losses[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const char *loss_text(const struct dp_merge_loss *loss, char *text, size_t size)
{
    char bytes[80] = "";
    if (loss->payload_len > 0)
        (void)snprintf(bytes, sizeof bytes, ": %u of %u payload bytes never came out", loss->lost_bytes,
                       loss->payload_len);
    if (strcmp(loss->from, "before") == 0)
        (void)snprintf(text, size, "lost before %s%s", loss->to, bytes);
    else if (strcmp(loss->to, "beyond") == 0)
        (void)snprintf(text, size, "lost beyond %s%s", loss->from, bytes);
    else
        (void)snprintf(text, size, "lost between %s and %s%s", loss->from, loss->to, bytes);
    return text;
}

/* The packet's comment, or NULL. Several packets may bear the same time: sequence number and length tell them
 * apart. */
static const char *comment_of(struct merge *merge, uint32_t input, const struct dp_merge_packet *packet,
                              char *text, size_t size)
{
    size_t at = first_loss(merge, input, packet->ts_ns);
    struct dp_packet decoded;
    bool is_decoded = false;
    for (; at < merge->loss_count; at++) {
        const struct dp_merge_loss *loss = &merge->losses[at];
        if (loss->input != input || loss->ts_ns != packet->ts_ns)
            return NULL;
        if (!is_decoded && dp_packet_decode(packet->link_type, packet->data, packet->captured,
                                            packet->wire_len, &decoded) != DP_OK)
            return NULL;
        is_decoded = true;
        if (!merge->told[at] && (decoded.proto != 6 || decoded.seq == loss->seq) &&
            decoded.payload_len == loss->payload_len) {
            merge->told[at] = true;
            return loss_text(loss, text, size);
        }
    }
    return NULL;
}

static int find_outlet(struct merge *merge, uint32_t input, int link_type, struct outlet **ret_outlet)
{
    for (size_t i = 0; i < merge->outlet_count; i++) {
        if (merge->outlets[i].input == input && merge->outlets[i].link_type == link_type) {
            *ret_outlet = &merge->outlets[i];
            return DP_OK;
        }
    }
    if (merge->outlet_count == merge->outlet_room) {
        size_t room = merge->outlet_room ? merge->outlet_room * 2 : 16;
        struct outlet *grown = realloc(merge->outlets, room * sizeof *grown);
        if (!grown)
            return DP_ERR_NOMEM;
        merge->outlets = grown;
        merge->outlet_room = room;
    }
    struct outlet outlet = {.input = input, .link_type = link_type};
    int code = dp_capwriter_interface(merge->writer, merge->inputs[input].name, link_type, 0, &outlet.number);
    if (code != DP_OK)
        return code;
    merge->outlets[merge->outlet_count] = outlet;
    *ret_outlet = &merge->outlets[merge->outlet_count++];
    return DP_OK;
}

static int write_packet(struct merge *merge, uint32_t input, const struct dp_merge_packet *packet)
{
    struct outlet *outlet = NULL;
    int code = find_outlet(merge, input, packet->link_type, &outlet);
    if (code != DP_OK)
        return code;
    outlet->packets++;
    char text[512];
    const char *comment = comment_of(merge, input, packet, text, sizeof text);
    return dp_capwriter_packet(merge->writer, outlet->number, packet->corrected_ns, packet->data,
                               packet->captured, packet->wire_len, comment);
}

/* Interfaces first, in path order, also of files without packets. */
static int begin(struct merge *merge, struct dp_diag *diag)
{
    for (uint32_t i = 0; i < merge->count; i++) {
        int code = dp_merge_queue_fill(merge->queues[i], diag);
        if (code != DP_OK)
            return code;
        const struct dp_merge_packet *head = dp_merge_queue_head(merge->queues[i]);
        struct outlet *outlet = NULL;
        code = find_outlet(merge, i, head ? head->link_type : 1, &outlet);
        if (code != DP_OK)
            return code;
    }
    return DP_OK;
}

static int write_all(struct merge *merge, struct dp_diag *diag)
{
    for (;;) {
        const struct dp_merge_packet *least = NULL;
        uint32_t from = 0;
        for (uint32_t i = 0; i < merge->count; i++) {
            const struct dp_merge_packet *head = dp_merge_queue_head(merge->queues[i]);
            if (head && (!least || head->corrected_ns < least->corrected_ns)) {
                least = head;
                from = i;
            }
        }
        if (!least)
            return DP_OK;
        int code = write_packet(merge, from, least);
        if (code != DP_OK)
            return code;
        dp_merge_queue_drop_head(merge->queues[from]);
        code = dp_merge_queue_fill(merge->queues[from], diag);
        if (code != DP_OK)
            return code;
    }
}

/* When the input captured, by the reference clock; start after end where nobody knows. */
static void capture_times(const struct dp_merge_input *input, const struct dp_capfile_stats *stats,
                          int64_t *ret_start, int64_t *ret_end)
{
    *ret_start = 1;
    *ret_end = 0;
    if (input->has_window) {
        *ret_start = dp_merge_corrected(input, 0, input->start_ns);
        *ret_end = dp_merge_corrected(input, input->set_count, input->end_ns);
    } else if (stats->has_start && stats->has_end && stats->exact_times) {
        *ret_start = dp_merge_corrected(input, 0, stats->start_ns);
        *ret_end = dp_merge_corrected(input, input->set_count, stats->end_ns);
    }
}

static int write_stats(struct merge *merge)
{
    for (size_t i = 0; i < merge->outlet_count; i++) {
        const struct outlet *outlet = &merge->outlets[i];
        const struct dp_capfile_stats *stats = dp_merge_queue_stats(merge->queues[outlet->input]);
        /* The drops are the file's: they go with its first interface, and those are numbered like the inputs.
         */
        bool first = outlet->number == outlet->input;
        uint64_t dropped = first && stats->has_dropped ? stats->dropped : DP_CAPWRITER_UNKNOWN;
        int64_t start_ns, end_ns;
        capture_times(&merge->inputs[outlet->input], stats, &start_ns, &end_ns);
        int code =
            dp_capwriter_stats(merge->writer, outlet->number, start_ns, end_ns, outlet->packets, dropped);
        if (code != DP_OK)
            return code;
    }
    return DP_OK;
}

static int prepare(struct merge *merge, const struct dp_merge_loss *losses, const char *filter,
                   struct dp_diag *diag)
{
    merge->queues = calloc(merge->count + 1, sizeof(struct dp_merge_queue *));
    merge->losses = calloc(merge->loss_count + 1, sizeof *merge->losses);
    merge->told = calloc(merge->loss_count + 1, sizeof *merge->told);
    if (!merge->queues || !merge->losses || !merge->told)
        return DP_ERR_NOMEM;
    if (merge->loss_count > 0) {
        memcpy(merge->losses, losses, merge->loss_count * sizeof *losses);
        qsort(merge->losses, merge->loss_count, sizeof *merge->losses, compare_losses);
    }
    int code = dp_filter_new(filter, DP_FILTER_EITHER, &merge->filter);
    for (size_t i = 0; code == DP_OK && i < merge->count; i++)
        code = dp_merge_queue_new(&merge->inputs[i], merge->filter, &merge->queues[i], diag);
    return code;
}

static void dispose(struct merge *merge)
{
    for (size_t i = 0; merge->queues && i < merge->count; i++)
        dp_merge_queue_free(merge->queues[i]);
    dp_filter_free(merge->filter);
    free(merge->queues);
    free(merge->losses);
    free(merge->told);
    free(merge->outlets);
}

static int write_file(struct merge *merge, const char *path, struct dp_diag *diag)
{
    int code = dp_capwriter_open(path, &merge->writer, diag);
    if (code != DP_OK)
        return code;
    code = begin(merge, diag);
    if (code == DP_OK)
        code = write_all(merge, diag);
    if (code == DP_OK)
        code = write_stats(merge);
    /* A write that failed is told best by closing. */
    struct dp_diag closing = {""};
    int closed = dp_capwriter_close(merge->writer, &closing);
    if (closed != DP_OK && (code == DP_OK || code == DP_ERR_IO))
        return dp_fail(diag, closed, "%s", closing.text);
    return code;
}

/* Writes beside the target and renames, so that nobody takes half a file for a whole one. Devices are written
 * directly. */
static int write_whole(struct merge *merge, const char *out, const char *partial, struct dp_diag *diag)
{
    struct stat st;
    if (stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        return dp_fail(diag, DP_ERR_IO, "%s: is a directory. Name a file to write.", out);
    if (stat(out, &st) == 0 && !S_ISREG(st.st_mode))
        return write_file(merge, out, diag);
    int code = write_file(merge, partial, diag);
    if (code == DP_OK && rename(partial, out) != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s: cannot be written: %s.", out, strerror(errno));
    if (code != DP_OK)
        (void)unlink(partial);
    return code;
}

static int check_folder(const char *out, struct dp_diag *diag)
{
    char *copy = strdup(out);
    if (!copy)
        return DP_ERR_NOMEM;
    int code = DP_OK;
    if (access(dirname(copy), W_OK | X_OK) != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s: cannot be written, because its folder cannot: %s.", out,
                       strerror(errno));
    free(copy);
    return code;
}

int dp_merge_check_out(const char *const *paths, size_t count, const char *out, struct dp_diag *diag)
{
    char *partial = NULL;
    if (asprintf(&partial, "%s" PARTIAL, out) < 0)
        return DP_ERR_NOMEM;
    int code = DP_OK;
    for (size_t i = 0; code == DP_OK && i < count; i++) {
        if (dp_same_file(paths[i], out) || dp_same_file(paths[i], partial))
            code = dp_fail(diag, DP_ERR_USAGE,
                           "%s: would overwrite the capture %s. Name another file for the merged packets.",
                           out, paths[i]);
    }
    free(partial);
    return code == DP_OK ? check_folder(out, diag) : code;
}

int dp_merge_write(const struct dp_merge_input *inputs, size_t count, const struct dp_merge_loss *losses,
                   size_t loss_count, const char *filter, const char *out, struct dp_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        int code = dp_merge_check_out(&inputs[i].path, 1, out, diag);
        if (code != DP_OK)
            return code;
    }
    struct merge merge = {.inputs = inputs, .count = count, .loss_count = loss_count};
    char *partial = NULL;
    if (asprintf(&partial, "%s" PARTIAL, out) < 0)
        return DP_ERR_NOMEM;
    int code = prepare(&merge, losses, filter, diag);
    if (code == DP_OK)
        code = write_whole(&merge, out, partial, diag);
    free(partial);
    dispose(&merge);
    return code;
}
