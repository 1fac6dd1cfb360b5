/* What each stage of `droppoint locate` costs by itself, on capture files of consecutive vantage points:
 * reading alone, reading and digesting, and the engine alone, which is fed from digests that lie ready in
 * memory, in batches interleaved by time as the command reads its files.
 *
 * Usage: engine FILE...
 * Prints "packets read_seconds digest_seconds feed_seconds finish_seconds lost_packets": CPU time of the
 * process, of each stage by itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/locate/locate.h"
#include "common/capfile/capfile.h"
#include "common/digest/digest.h"

#define BATCH_PACKETS 1024
#define DISORDER_NS INT64_C(1000000000) /* as the command allows a file to be out of order */

/* One vantage point's digests in memory. */
struct point {
    struct dp_batch *batches;
    size_t count, room;
    size_t next; /* to be fed */
};

struct stages {
    unsigned long long packets, lost;
    double read, digest, feed, finish;
};

static void die(const char *what, const struct dp_diag *diag, int code)
{
    fprintf(stderr, "engine: %s: %s\n", what, dp_reason(diag, code));
    exit(2);
}

static double cpu(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct dp_batch *another_batch(struct point *point)
{
    if (point->count == point->room) {
        point->room = point->room ? 2 * point->room : 64;
        point->batches = realloc(point->batches, point->room * sizeof *point->batches);
        if (!point->batches)
            die("memory", NULL, DP_ERR_NOMEM);
    }
    point->batches[point->count] = (struct dp_batch){.digests = NULL};
    return &point->batches[point->count++];
}

/* Reads a file to its end; where `digester` is given, into the batch, which is emptied when it is full. */
static void read_file(const char *path, struct dp_digester *digester, struct dp_batch *batch,
                      unsigned long long *packets)
{
    struct dp_diag diag = {""};
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    int code = dp_capfile_open(path, &file, &diag);
    while (!code && !(code = dp_capfile_next(file, &packet, &diag))) {
        ++*packets;
        if (digester)
            code = dp_digester_frame(digester, packet.link_type, packet.ts_ns, packet.data, packet.captured,
                                     packet.wire_len, batch);
        if (batch->digest_count >= BATCH_PACKETS)
            dp_batch_clear(batch);
    }
    if (code != DP_ERR_END)
        die(path, &diag, code);
    dp_capfile_close(file);
}

static struct dp_digester *digester_new(void)
{
    static const uint8_t key[DP_HASH_KEY_SIZE] = {1};
    struct dp_digester *digester = NULL;
    int code = dp_digester_new(key, &digester);
    if (code)
        die("digester", NULL, code);
    return digester;
}

/* Keeps a file's digests. */
static void keep(const char *path, struct point *point)
{
    struct dp_diag diag = {""};
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    struct dp_digester *digester = digester_new();
    struct dp_batch *batch = another_batch(point);
    int code = dp_capfile_open(path, &file, &diag);
    while (!code && !(code = dp_capfile_next(file, &packet, &diag))) {
        if (batch->digest_count >= BATCH_PACKETS)
            batch = another_batch(point);
        code = dp_digester_frame(digester, packet.link_type, packet.ts_ns, packet.data, packet.captured,
                                 packet.wire_len, batch);
    }
    if (code != DP_ERR_END)
        die(path, &diag, code);
    dp_digester_free(digester);
    dp_capfile_close(file);
}

/* The point whose next batch begins first; `count` when all are fed. */
static size_t choose(const struct point *points, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        const struct point *point = &points[i];
        if (point->next == point->count || point->batches[point->next].digest_count == 0)
            continue;
        if (best == count || point->batches[point->next].digests[0].ts_ns <
                                 points[best].batches[points[best].next].digests[0].ts_ns)
            best = i;
    }
    return best;
}

static int feed(struct dp_locate *locate, struct point *points, size_t count)
{
    size_t i;
    while ((i = choose(points, count)) < count) {
        const struct dp_batch *batch = &points[i].batches[points[i].next++];
        int code = dp_locate_feed(locate, (uint32_t)i, batch);
        if (code)
            return code;
        dp_locate_advance(locate, (uint32_t)i,
                          points[i].next == points[i].count
                              ? INT64_MAX
                              : batch->digests[batch->digest_count - 1].ts_ns - DISORDER_NS);
    }
    return DP_OK;
}

static void run_engine(struct point *points, size_t count, struct stages *stages)
{
    static const char *const names[] = {"mx1/eth0",   "lb1/eth0", "lb1/eth1", "edge1/eth0",
                                        "edge1/eth1", "gw1/eth0", "gw1/eth1", "isp1/eth0"};
    struct dp_locate *locate = NULL;
    struct dp_report *report = NULL;
    if (count < 1 || count > sizeof names / sizeof names[0])
        die("files", NULL, DP_ERR_RANGE);
    double start = cpu();
    int code = dp_locate_new(names, count, NULL, &locate);
    if (!code)
        code = feed(locate, points, count);
    double fed = cpu();
    if (!code)
        code = dp_locate_finish(locate, &report);
    if (code)
        die("the engine", NULL, code);
    stages->feed = fed - start;
    stages->finish = cpu() - fed;
    for (size_t i = 0; i < report->finding_count; i++)
        stages->lost += report->findings[i].lost_packets;
    dp_report_free(report);
    dp_locate_free(locate);
}

int main(int argc, char **argv)
{
    struct stages stages = {0};
    unsigned long long again = 0;
    size_t count = (size_t)argc - 1;
    struct dp_batch batch = {.digests = NULL};
    double start = cpu();
    for (size_t i = 0; i < count; i++)
        read_file(argv[i + 1], NULL, &batch, &stages.packets);
    stages.read = cpu() - start;
    start = cpu();
    for (size_t i = 0; i < count; i++) {
        struct dp_digester *digester = digester_new();
        read_file(argv[i + 1], digester, &batch, &again);
        dp_digester_free(digester);
    }
    stages.digest = cpu() - start - stages.read;
    dp_batch_free(&batch);
    struct point *points = calloc(count + 1, sizeof *points);
    if (!points)
        die("memory", NULL, DP_ERR_NOMEM);
    for (size_t i = 0; i < count; i++)
        keep(argv[i + 1], &points[i]);
    run_engine(points, count, &stages);
    printf("%llu %.4f %.4f %.4f %.4f %llu\n", stages.packets, stages.read, stages.digest, stages.feed,
           stages.finish, stages.lost);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < points[i].count; k++)
            dp_batch_free(&points[i].batches[k]);
        free(points[i].batches);
    }
    free(points);
    return 0;
}
