/* What an agent does with one vantage point of a capture, without the collector: droppoint-capture under its
 * supervisor, batches into the durable spool, synced as the agent syncs it, and acknowledged once synced, as
 * a collector would.
 *
 * Usage: capture_spool PROGRAM INTERFACE SNAPLEN DIRECTORY RING_BYTES
 * Captures until SIGINT. Says "ready" on standard output, at the end "packets dropped records payload_bytes
 * batches". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "agent/capture/supervisor.h"
#include "agent/spool/spool.h"

#define SPOOL_BYTES (UINT64_C(1) << 30)
#define TICK_MS 100

struct bench {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t interrupt;
    struct dp_capture_process *process;
    struct dp_spool *spool;
    uint64_t epoch, stream, last, batches, records, bytes;
    int failed;
};

static void die(const char *what, int code)
{
    fprintf(stderr, "capture_spool: %s: %s\n", what, dp_err_sentence(code));
    exit(2);
}

/* Syncs where it is due, then gives up what is on disk. */
static void sync_spool(struct bench *bench, int anyway)
{
    if (!anyway && !dp_spool_sync_due(bench->spool, uv_hrtime() / 1000000))
        return;
    int rc = dp_spool_sync(bench->spool);
    if (rc)
        die("sync", rc);
    if (bench->last && (rc = dp_spool_acknowledge(bench->spool, bench->epoch, bench->stream, bench->last)))
        die("acknowledge", rc);
}

static void on_tick(uv_timer_t *timer)
{
    sync_spool(timer->data, 0);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    struct bench *bench = signal->data;
    (void)number;
    dp_capture_stop(bench->process, "stopped");
}

static void on_ready(void *context, struct dp_capture_process *process, int code, const char *text,
                     int link_type)
{
    struct bench *bench = context;
    (void)link_type;
    if (code) {
        fprintf(stderr, "capture_spool: %s\n", text);
        bench->failed = 1;
    } else if (dp_capture_start(process)) {
        bench->failed = 1;
    } else {
        printf("ready\n");
        (void)fflush(stdout);
    }
}

static bool on_batch(void *context, struct dp_capture_process *process, uint32_t records,
                     const uint8_t *bytes, size_t length)
{
    struct bench *bench = context;
    (void)process;
    int rc = dp_spool_append(bench->spool, bench->stream, records, bytes, length, &bench->last);
    if (rc)
        die("append", rc);
    bench->batches++;
    bench->records += records;
    bench->bytes += length;
    sync_spool(bench, 0);
    return true;
}

static void on_counts(void *context, struct dp_capture_process *process,
                      const struct dp_capture_counts *counts)
{
    (void)context;
    (void)process;
    (void)counts;
}

static void on_ended(void *context, struct dp_capture_process *process, const char *reason, const char *text,
                     const struct dp_capture_counts *counts)
{
    struct bench *bench = context;
    (void)process;
    (void)text;
    sync_spool(bench, 1);
    printf("%llu %llu %llu %llu %llu\n", (unsigned long long)counts->packets,
           (unsigned long long)counts->kernel_dropped, (unsigned long long)bench->records,
           (unsigned long long)bench->bytes, (unsigned long long)bench->batches);
    if (strcmp(reason, "duration") != 0 && strcmp(reason, "stopped") != 0) {
        fprintf(stderr, "capture_spool: ended: %s: %s\n", reason, text);
        bench->failed = 1;
    }
    uv_close((uv_handle_t *)&bench->tick, NULL);
    uv_close((uv_handle_t *)&bench->interrupt, NULL);
}

int main(int argc, char **argv)
{
    static const struct dp_capture_events events = {on_ready, on_batch, on_counts, on_ended};
    if (argc != 6) {
        fprintf(stderr, "Usage: %s PROGRAM INTERFACE SNAPLEN DIRECTORY RING_BYTES\n", argv[0]);
        return 2;
    }
    struct bench bench = {.epoch = (uint64_t)time(NULL)};
    struct dp_diag diag = {""};
    char ring[4096], spool[4096], vantage[64];
    (void)snprintf(ring, sizeof ring, "%s/ring", argv[4]);
    (void)snprintf(spool, sizeof spool, "%s/spool", argv[4]);
    (void)snprintf(vantage, sizeof vantage, "bench/%.15s", argv[2]);
    const struct dp_capture_spec spec = {.capture_id = "bench",
                                         .vantage = vantage,
                                         .interface = argv[2],
                                         .filter = "",
                                         .snaplen = (uint32_t)strtoul(argv[3], NULL, 10),
                                         .duration_ms = 3600000,
                                         .ring_bytes = strtoull(argv[5], NULL, 10),
                                         .ring_directory = ring};
    int rc = dp_spool_open(spool, bench.epoch, SPOOL_BYTES, &bench.spool, &diag);
    if (!rc)
        rc = dp_spool_stream(bench.spool, 1, spec.capture_id, vantage, &bench.stream);
    if (rc)
        die(dp_reason(&diag, rc), rc);
    (void)uv_loop_init(&bench.loop);
    (void)uv_timer_init(&bench.loop, &bench.tick);
    bench.tick.data = &bench;
    (void)uv_timer_start(&bench.tick, on_tick, TICK_MS, TICK_MS);
    (void)uv_signal_init(&bench.loop, &bench.interrupt);
    bench.interrupt.data = &bench;
    (void)uv_signal_start(&bench.interrupt, on_interrupt, SIGINT);
    rc = dp_capture_prepare(&bench.loop, argv[1], &spec, &events, &bench, &bench.process, &diag);
    if (rc)
        die(dp_reason(&diag, rc), rc);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    dp_spool_close(bench.spool);
    return bench.failed ? 2 : 0;
}
