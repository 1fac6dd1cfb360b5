/* Speaks droppoint-capture's pipe without capturing: what it does is in the interface's name.
 * bad0: cannot be prepared; fast0: five batches, then the duration is over; crash0: two batches, then it
 * falls down; ring0, ring1 ...: as the others, with a ring that is filled at once; flood0: large batches
 * without end; idle0: each 50 ms a batch that only says until when it is complete; all others: a batch each
 * 50 ms until it is stopped. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/pipe.h"

#define RECORDS 10
#define FLOOD_RECORDS 4096

static struct dp_capture_counts counts;

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put(const void *bytes, size_t len)
{
    for (const char *p = bytes; len > 0;) {
        ssize_t done = write(DP_PIPE_OUT_FD, p, len);
        if (done <= 0)
            exit(1);
        p += done;
        len -= (size_t)done;
    }
}

static void say(enum dp_pipe_type type, uint32_t records, const void *bytes, size_t len)
{
    uint8_t header[DP_PIPE_HEADER];
    dp_pipe_header(type, records, len, header);
    put(header, sizeof header);
    put(bytes, len);
}

static void say_batch(uint32_t records)
{
    struct dp_digest *digests = calloc(records, sizeof *digests);
    struct dp_flow_def flow = {.flow = 0, .proto = 6};
    struct dp_note note = {.ts_ns = now_ns(), .dir = 1, .code = 421, .text = "timeout exceeded"};
    flow.a.family = flow.b.family = 4;
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (!digests)
        exit(1);
    for (uint32_t i = 0; i < records; i++) {
        digests[i] =
            (struct dp_digest){.ts_ns = now_ns(), .wscale = 0xff, .tcp_flags = DP_TCP_ACK, .ttl = 64};
        digests[i].seq = (uint32_t)random();
        digests[i].ack = (uint32_t)random();
    }
    struct dp_batch batch = {.digests = digests,
                             .digest_count = records,
                             .digest_room = records,
                             .flows = &flow,
                             .flow_count = 1,
                             .flow_room = 1,
                             .notes = &note,
                             .note_count = 1,
                             .note_room = 1};
    if (dp_batch_encode(&batch, &bytes, &len) != DP_OK)
        exit(1);
    counts.packets += records;
    say(DP_PIPE_BATCH, records, bytes, len);
    free(bytes);
    free(digests);
}

static void say_silence(void)
{
    struct dp_batch batch = {.complete_ns = now_ns()};
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (dp_batch_encode(&batch, &bytes, &len) != DP_OK)
        exit(1);
    say(DP_PIPE_BATCH, 0, bytes, len);
    free(bytes);
}

static void say_counts(void)
{
    uint8_t bytes[DP_PIPE_COUNTS_SIZE];
    dp_pipe_counts_pack(&counts, bytes);
    say(DP_PIPE_COUNTS, 0, bytes, sizeof bytes);
}

static void say_end(const char *reason)
{
    struct dp_pipe_end end = {.counts = counts};
    uint8_t bytes[DP_PIPE_END_MAX];
    end.counts.ended_ns = now_ns();
    (void)snprintf(end.reason, sizeof end.reason, "%s", reason);
    say(DP_PIPE_END, 0, bytes, dp_pipe_end_pack(&end, bytes));
    exit(0);
}

/* The next message on standard input; exits when the agent is gone. wait_ms 0 and none there: false. */
static bool hear(struct dp_pipe_reader *reader, int wait_ms, struct dp_pipe_message *ret_message)
{
    while (dp_pipe_reader_next(reader, ret_message) != DP_OK) {
        struct pollfd fd = {.fd = 0, .events = POLLIN};
        if (poll(&fd, 1, wait_ms) == 0)
            return false;
        size_t room;
        uint8_t *at = dp_pipe_reader_room(reader, &room);
        ssize_t got = read(0, at, room);
        if (got <= 0)
            exit(1);
        dp_pipe_reader_filled(reader, (size_t)got);
    }
    return true;
}

static void run(struct dp_pipe_reader *reader, const char *interface)
{
    struct dp_pipe_message message;
    bool flood = strcmp(interface, "flood0") == 0;
    for (int i = 0;; i++) {
        if (hear(reader, flood ? 0 : 50, &message) && message.type == DP_PIPE_STOP)
            say_end("stopped");
        if (strcmp(interface, "fast0") == 0 && i == 5)
            say_end("duration");
        if (strcmp(interface, "crash0") == 0 && i == 2)
            (void)raise(SIGKILL);
        if (strcmp(interface, "idle0") == 0)
            say_silence();
        else
            say_batch(flood ? FLOOD_RECORDS : RECORDS);
        say_counts();
    }
}

/* As droppoint-capture would in time: locked, and as large as it may be. */
static void fill_ring(const struct dp_pipe_config *config)
{
    if (chdir(config->ring_directory) != 0 ||
        flock(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LOCK_SH) != 0)
        exit(1);
    int fd = open("ring-000001.pcapng", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)config->ring_bytes) != 0)
        exit(1);
    (void)close(fd);
}

int main(void)
{
    struct dp_pipe_reader *reader;
    struct dp_pipe_message message;
    struct dp_pipe_config config;
    if (dp_pipe_reader_new(&reader) != DP_OK || !hear(reader, -1, &message) ||
        message.type != DP_PIPE_CONFIG || dp_pipe_config_unpack(message.bytes, message.len, &config) != DP_OK)
        return 1;
    if (strcmp(config.interface, "bad0") == 0) {
        struct dp_pipe_error error = {.code = DP_ERR_FILTER, .text = "The filter does not compile."};
        uint8_t bytes[DP_PIPE_ERROR_MAX];
        say(DP_PIPE_ERROR, 0, bytes, dp_pipe_error_pack(&error, bytes));
        dp_pipe_reader_free(reader);
        return 0;
    }
    if (strncmp(config.interface, "ring", 4) == 0 && config.ring_bytes > 0)
        fill_ring(&config);
    uint8_t ready[DP_PIPE_READY_SIZE];
    dp_pipe_ready_pack(&(struct dp_pipe_ready){.link_type = 1, .snaplen = config.snaplen}, ready);
    say(DP_PIPE_READY, 0, ready, sizeof ready);
    while (hear(reader, -1, &message) && message.type != DP_PIPE_START)
        if (message.type == DP_PIPE_STOP)
            say_end("stopped");
    counts.started_ns = now_ns();
    run(reader, config.interface);
    return 0;
}
