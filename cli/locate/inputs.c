#include "cli/locate/inputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/filter/filter.h"
#include "common/capfile/capfile.h"
#include "common/digest/digest.h"

/* Packets read in one go from one file: few enough for their digests to stay in the cache. */
#define STEP_PACKETS 1024

/* A capture program notes its start before packets arrive and its end after the last was taken over; so much
 * at both ends of what it claims is not believed. */
#define WINDOW_MARGIN_NS 200000000

/* Files whose first packets are further apart than this are read in step by the time since their own first
 * packets: their clocks disagree more than anybody's patience in starting captures. */
#define SAME_CLOCK_NS (INT64_C(600) * 1000000000)

/* A file's silence counts for so much at most in the order of reading, so that a clock that is set ahead does
 * not leave its file behind for long. */
#define SILENCE_NS (INT64_C(60) * 1000000000)

/* Packets of several processors or interfaces may stand in a file this much out of order. */
#define DISORDER_NS INT64_C(1000000000)

#define WARNINGS 4

struct input {
    const char *name;
    struct dp_known_capture known;
    const char *path;
    struct dp_capfile *file;
    struct dp_digester *digester;
    bool done;
    bool begun;
    bool set_back;             /* the clock was, so that stamps from before and from behind do not compare */
    int64_t first_ns, last_ns; /* stamps of the first and the last packet in time, before the filter */
    int64_t current_ns;        /* of the packet read last */
    uint64_t digested;         /* packets that the engine gets */
    uint64_t cut;              /* by the snap length, before the end of their innermost transport header */
    uint64_t only_outside;     /* left out by the filter for what the frame carries */
    int64_t high_ns;           /* greatest stamp since the clock was set back */
    int64_t progress_ns;       /* time since its first packet, by its stamps */
    char warnings[WARNINGS][512];
    size_t warning_count;
};

struct dp_inputs {
    struct input *list;
    size_t count;
    struct dp_filter *filter;
    bool filtered;
    struct dp_batch batch; /* reused */
    bool by_own_start;
    bool has_reference;
    int64_t reference_ns;
    int checked_link_type; /* known to be supported; -1 none yet */
};

static int open_input(struct input *input, const uint8_t *key, struct dp_diag *diag)
{
    int code = dp_capfile_open(input->path, &input->file, diag);
    return code == DP_OK ? dp_digester_new(key, &input->digester) : code;
}

static int random_key(uint8_t key[DP_HASH_KEY_SIZE], struct dp_diag *diag)
{
    if (getrandom(key, DP_HASH_KEY_SIZE, 0) != DP_HASH_KEY_SIZE)
        return dp_fail(diag, DP_ERR_IO, "No random bytes can be had: %s.", strerror(errno));
    return DP_OK;
}

int dp_inputs_open(const struct dp_locate_args *args, bool outermost, struct dp_inputs **ret_inputs,
                   struct dp_diag *diag)
{
    struct dp_inputs *inputs = calloc(1, sizeof *inputs);
    if (!inputs)
        return DP_ERR_NOMEM;
    inputs->checked_link_type = -1;
    inputs->count = args->count;
    inputs->list = calloc(args->count, sizeof *inputs->list);
    inputs->filtered = args->filter && args->filter[0];
    enum dp_filter_level level = outermost ? DP_FILTER_OUTERMOST : DP_FILTER_INNERMOST;
    int code = inputs->list ? dp_filter_new(args->filter, level, &inputs->filter) : DP_ERR_NOMEM;
    uint8_t key[DP_HASH_KEY_SIZE];
    if (code == DP_OK)
        code = random_key(key, diag);
    for (size_t i = 0; code == DP_OK && i < args->count; i++) {
        inputs->list[i].name = args->names[i];
        inputs->list[i].path = args->paths[i];
        inputs->list[i].known = args->known[i];
        code = open_input(&inputs->list[i], key, diag);
    }
    if (code != DP_OK) {
        dp_inputs_close(inputs);
        return code;
    }
    *ret_inputs = inputs;
    return DP_OK;
}

void dp_inputs_close(struct dp_inputs *inputs)
{
    if (!inputs)
        return;
    for (size_t i = 0; inputs->list && i < inputs->count; i++) {
        dp_capfile_close(inputs->list[i].file);
        dp_digester_free(inputs->list[i].digester);
    }
    dp_filter_free(inputs->filter);
    dp_batch_free(&inputs->batch);
    free(inputs->list);
    free(inputs);
}

static int check_link_type(struct dp_inputs *inputs, const struct input *input, int link_type,
                           struct dp_diag *diag)
{
    if (!dp_link_type_supported(link_type)) {
        const char *name = dp_filter_link_type_name(link_type);
        return dp_fail(
            diag, DP_ERR_UNSUPPORTED,
            "%s: holds packets of link type %d%s%s%s, which droppoint cannot read. Capture on an Ethernet, "
            "cooked (any), raw IP, PPP, loopback or nflog interface.",
            input->path, link_type, name ? " (" : "", name ? name : "", name ? ")" : "");
    }
    inputs->checked_link_type = link_type;
    return DP_OK;
}

static void note_time(struct input *input, int64_t ts_ns)
{
    if (!input->begun) {
        input->begun = true;
        input->first_ns = input->last_ns = input->high_ns = ts_ns;
    }
    int64_t ahead;
    if (__builtin_sub_overflow(ts_ns, input->high_ns, &ahead))
        ahead = ts_ns > input->high_ns ? INT64_MAX : INT64_MIN;
    if (ahead > 0)
        input->progress_ns += ahead < SILENCE_NS ? ahead : SILENCE_NS;
    if (ahead < -DISORDER_NS)
        input->set_back = true;
    if (ahead > 0 || ahead < -DISORDER_NS)
        input->high_ns = input->last_ns = ts_ns;
    if (ts_ns < input->first_ns && !input->set_back)
        input->first_ns = ts_ns;
    input->current_ns = ts_ns;
}

/* Why a packet is not among those that are compared. */
static void note_left_out(struct dp_inputs *inputs, struct input *input, struct dp_filter_counts before)
{
    struct dp_filter_counts now = dp_filter_counts(inputs->filter);
    input->cut += now.cut - before.cut;
    input->only_outside += now.only_outside - before.only_outside;
}

static int digest(struct dp_inputs *inputs, struct input *input, const struct dp_capfile_packet *packet)
{
    uint64_t other = inputs->batch.other_packets;
    int code = dp_digester_frame(input->digester, packet->link_type, packet->ts_ns, packet->data,
                                 packet->captured, packet->wire_len, &inputs->batch);
    if (code != DP_OK)
        return code;
    if (inputs->batch.other_packets == other) {
        input->digested++;
        return DP_OK;
    }
    struct dp_packet ignored;
    if (dp_packet_decode(packet->link_type, packet->data, packet->captured, packet->wire_len, &ignored) ==
        DP_ERR_TRUNCATED)
        input->cut++;
    return DP_OK;
}

/* Digests one packet into the batch, if it passes the filter. */
static int take_packet(struct dp_inputs *inputs, struct input *input, const struct dp_capfile_packet *packet,
                       struct dp_diag *diag)
{
    if (__builtin_expect(packet->link_type != inputs->checked_link_type, 0)) {
        int code = check_link_type(inputs, input, packet->link_type, diag);
        if (code != DP_OK)
            return code;
    }
    if (__builtin_expect(packet->dropped_before > 0, 0)) {
        int64_t from = input->begun ? input->current_ns : packet->ts_ns;
        int code = dp_batch_add_gap(&inputs->batch, from < packet->ts_ns ? from : packet->ts_ns,
                                    packet->ts_ns, packet->dropped_before);
        if (code != DP_OK)
            return code;
    }
    note_time(input, packet->ts_ns);
    if (!inputs->filtered)
        return digest(inputs, input, packet);
    bool match;
    struct dp_filter_counts before = dp_filter_counts(inputs->filter);
    int code = dp_filter_match(inputs->filter, packet->link_type, packet->data, packet->captured,
                               packet->wire_len, &match, diag);
    if (code != DP_OK)
        return code;
    if (match)
        return digest(inputs, input, packet);
    note_left_out(inputs, input, before);
    return DP_OK;
}

/* The file with the least current time that still has packets; `count` when all are done. */
static size_t choose(const struct dp_inputs *inputs)
{
    size_t best = inputs->count;
    int64_t best_ns = 0;
    for (size_t i = 0; i < inputs->count; i++) {
        const struct input *input = &inputs->list[i];
        if (input->done)
            continue;
        if (!input->begun)
            return i;
        int64_t ns = input->progress_ns;
        if (!inputs->by_own_start && __builtin_add_overflow(input->progress_ns, input->first_ns, &ns))
            ns = INT64_MAX;
        if (best == inputs->count || ns < best_ns) {
            best = i;
            best_ns = ns;
        }
    }
    return best;
}

/* Once every file's first packet is known: whether their clocks are near enough to go by them. */
static void compare_starts(struct dp_inputs *inputs)
{
    int64_t least = INT64_MAX;
    int64_t greatest = INT64_MIN;
    for (size_t i = 0; i < inputs->count; i++) {
        const struct input *input = &inputs->list[i];
        if (!input->begun)
            continue;
        least = input->first_ns < least ? input->first_ns : least;
        greatest = input->first_ns > greatest ? input->first_ns : greatest;
    }
    int64_t apart;
    if (least <= greatest)
        inputs->by_own_start = __builtin_sub_overflow(greatest, least, &apart) || apart > SAME_CLOCK_NS;
}

static void warn(struct input *input, const char *text)
{
    if (input->warning_count < WARNINGS)
        (void)snprintf(input->warnings[input->warning_count++], sizeof input->warnings[0], "%s: %s",
                       input->path, text);
}

/* What the file says about its capture, for the engine and for the operator. */
static void finish_input(const struct dp_inputs *inputs, struct dp_locate *locate, struct input *input,
                         uint32_t vantage)
{
    const struct dp_capfile_stats *stats = dp_capfile_stats(input->file);
    /* The packets, also those that the filter left out, show that it ran then; only the file can say for how
     * long it did. */
    if (input->begun)
        dp_locate_alive(locate, vantage, input->first_ns, input->last_ns);
    int64_t margin = stats->exact_times ? 0 : WINDOW_MARGIN_NS;
    if (input->known.known) {
        dp_locate_window(locate, vantage, input->known.start_ns, input->known.end_ns);
        dp_locate_capture_dropped(locate, vantage, input->known.dropped);
    } else if (stats->has_start && stats->has_end &&
               (input->set_back || stats->end_ns - stats->start_ns > 2 * margin)) {
        int64_t claimed_start = stats->start_ns + margin;
        int64_t claimed_end = stats->end_ns - margin;
        if (input->begun && input->first_ns < claimed_start)
            claimed_start = input->first_ns;
        if (input->begun && input->last_ns > claimed_end)
            claimed_end = input->last_ns;
        dp_locate_window(locate, vantage, claimed_start, claimed_end);
    }
    if (stats->has_dropped && !input->known.known)
        dp_locate_capture_dropped(locate, vantage, stats->dropped);
    char text[400];
    if (stats->cut_short) {
        (void)snprintf(text, sizeof text,
                       "%s. The %" PRIu64
                       " packets before it are used; check that the capture was stopped properly.",
                       stats->cut_text, stats->packets);
        warn(input, text);
    }
    if (stats->without_time > 0) {
        (void)snprintf(text, sizeof text,
                       "%" PRIu64
                       " packets carry no time (Simple Packet Blocks). Order and delay at %s are not exact; "
                       "capture with dumpcap or tcpdump.",
                       stats->without_time, input->name);
        warn(input, text);
    }
    if (input->cut > 0) {
        (void)snprintf(
            text, sizeof text,
            "%" PRIu64 " packets are cut off before the end of their headers, those inside of tunnels "
            "included, and cannot be compared. Capture more of each packet at %s (tcpdump -s 256).",
            input->cut, input->name);
        warn(input, text);
    }
    if (inputs->filtered && stats->packets > 0 && input->digested == 0) {
        (void)snprintf(
            text, sizeof text,
            "none of its %" PRIu64 " packets passes the filter, VLAN tags and tunnels looked through. "
            "Check the filter against what %s sees, for example addresses that are rewritten there.",
            stats->packets, input->name);
        warn(input, text);
    }
    dp_locate_advance(locate, vantage, INT64_MAX);
    input->done = true;
}

int dp_inputs_step(struct dp_inputs *inputs, struct dp_locate *locate, struct dp_diag *diag)
{
    size_t vantage = choose(inputs);
    if (vantage == inputs->count) {
        int code = dp_filter_check(inputs->filter, diag);
        return code == DP_OK ? DP_ERR_END : code;
    }
    struct input *input = &inputs->list[vantage];
    bool first = !input->begun;
    dp_batch_clear(&inputs->batch);
    /* At first one packet of each, to learn when they begin. */
    size_t count = first ? 1 : STEP_PACKETS;
    int code = DP_OK;
    for (size_t i = 0; i < count; i++) {
        struct dp_capfile_packet packet;
        code = dp_capfile_next(input->file, &packet, diag);
        if (code == DP_OK)
            code = take_packet(inputs, input, &packet, diag);
        if (code != DP_OK)
            break;
    }
    if (code != DP_OK && code != DP_ERR_END)
        return code;
    if (vantage == 0 && !inputs->has_reference && inputs->batch.digest_count > 0) {
        inputs->has_reference = true;
        inputs->reference_ns = inputs->batch.digests[0].ts_ns;
    }
    int fed = dp_locate_feed(locate, (uint32_t)vantage, &inputs->batch);
    if (fed != DP_OK)
        return fed;
    if (code == DP_ERR_END)
        finish_input(inputs, locate, input, (uint32_t)vantage);
    else if (input->current_ns > INT64_MIN + DISORDER_NS)
        dp_locate_advance(locate, (uint32_t)vantage, input->current_ns - DISORDER_NS);
    if (first)
        compare_starts(inputs);
    return DP_OK;
}

int64_t dp_inputs_reference_ns(const struct dp_inputs *inputs)
{
    return inputs->reference_ns;
}

uint64_t dp_inputs_packets(const struct dp_inputs *inputs, size_t vantage)
{
    return dp_capfile_stats(inputs->list[vantage].file)->packets;
}

double dp_inputs_progress(const struct dp_inputs *inputs)
{
    double size = 0;
    double done = 0;
    for (size_t i = 0; i < inputs->count; i++) {
        double part = (double)dp_capfile_size(inputs->list[i].file);
        size += part;
        done += part * dp_capfile_progress(inputs->list[i].file);
    }
    return size > 0 ? done / size : 1.0;
}

bool dp_inputs_only_outermost(const struct dp_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        if (inputs->list[i].digested > 0 || inputs->list[i].only_outside == 0)
            return false;
    }
    return true;
}

const char *dp_inputs_warning(const struct dp_inputs *inputs, size_t vantage, size_t number)
{
    const struct input *input = &inputs->list[vantage];
    return number < input->warning_count ? input->warnings[number] : NULL;
}
