#include "agent/capture/recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/seal.h"

#define READ_AT_ONCE 4096
#define COUNTS_MS 1000
#define DRAIN_MS 4000 /* the agent waits 5 seconds for the end */
#define QUIET_MS                                                                                             \
    (2 * DP_TAP_BLOCK_MS + 50) /* the kernel has handed over a block that was open at the stop               \
                                */
#define QUIET_NS (QUIET_MS * 1000000LL)
#define PAST_STOP_NS 1000000 /* stamps of several CPUs may cross each other by less */
#define OLD_NS 3000000000LL  /* no packet waits for so long, whatever the counters say */
#define EARLY_MS 1000        /* how long after the start older packets may still come */

enum phase {
    WAITING, /* for START; packets are thrown away */
    RUNNING,
    DRAINING, /* asked to end: takes what the kernel still holds from before */
    FLUSHING, /* captured and sealed everything; messages wait to be read */
    DONE,
};

struct dp_recorder {
    struct dp_recorder_parts parts;
    struct dp_sealer *sealer;
    enum phase phase;
    bool tap_gone, agent_gone, past_stop;
    struct dp_capture_counts counts;
    uint64_t dropped_before;                    /* the source's own count at the start */
    int64_t asked_ns;                           /* when drops were last asked for */
    int64_t upto_ns;                            /* the capture certainly has what came until here */
    uint64_t started_ms, stopped_ms, counts_ms; /* monotonic */
    bool first_seen;                            /* a packet from after the start was there */
    int64_t stop_ns; /* packets stamped later are not part of the capture; 0: still open */
    struct dp_pipe_end end;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int dp_recorder_new(const struct dp_recorder_parts *parts, struct dp_recorder **ret_recorder)
{
    struct dp_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return DP_ERR_NOMEM;
    r->parts = *parts;
    int code = dp_sealer_new(parts->config->hash_key, dp_tap_link_type(parts->tap), parts->outbox,
                             DP_SEAL_QUEUE, &r->sealer);
    if (code != DP_OK) {
        free(r);
        return code;
    }
    *ret_recorder = r;
    return DP_OK;
}

void dp_recorder_free(struct dp_recorder *recorder)
{
    if (!recorder)
        return;
    dp_sealer_free(recorder->sealer);
    free(recorder);
}

/* --- the ends --- */

static void set_reason(struct dp_recorder *r, const char *reason, const char *text)
{
    if (r->end.reason[0])
        return;
    (void)snprintf(r->end.reason, sizeof r->end.reason, "%s", reason);
    (void)snprintf(r->end.text, sizeof r->end.text, "%s", text);
}

/* No packet from now on counts; what the kernel holds from before is still taken. */
static void begin_stop(struct dp_recorder *r, const char *reason, const char *text)
{
    if (r->phase == WAITING) {
        set_reason(r, reason, text);
        r->phase = FLUSHING;
    } else if (r->phase == RUNNING) {
        set_reason(r, reason, text);
        r->stop_ns = now_ns();
        r->stopped_ms = now_ms();
        r->phase = DRAINING;
    }
}

/* Nothing more is taken: a bound is reached, or something broke. What the kernel holds from after the last
 * packet was not captured, so the capture ended with that one. */
static void end_at_once(struct dp_recorder *r, const char *reason, const char *text)
{
    set_reason(r, reason, text);
    if (r->stop_ns == 0 || r->upto_ns < r->stop_ns)
        r->stop_ns = r->upto_ns;
    r->past_stop = true;
    if (r->phase == RUNNING)
        r->phase = DRAINING;
}

static void check(struct dp_recorder *r, int code)
{
    if (code != DP_OK && !r->past_stop)
        end_at_once(r, "crash",
                    code == DP_ERR_NOMEM ? "The capture ran out of memory." : dp_err_sentence(code));
}

/* Everything stamped until then was captured, and has been handed to the sealer. */
static void note_complete(struct dp_recorder *r, int64_t until_ns)
{
    if (r->stop_ns && until_ns > r->stop_ns)
        until_ns = r->stop_ns;
    if (until_ns <= r->upto_ns)
        return;
    r->upto_ns = until_ns;
    dp_sealer_complete(r->sealer, until_ns);
}

/* Kernel drops since the last time become a gap: the engine must not take them for the network's. And silence
 * must not look like data that is still to come: how far is the capture complete? Up to now, if the kernel
 * holds nothing back; less the time in which a packet that has its stamp already may still be on its way into
 * the kernel's buffer, which is far shorter than a block stays open. Where the kernel's count can't tell
 * (libpcap may have to filter by itself), only what is too old for any block is surely here. The clock is
 * read first, so that what comes meanwhile lies behind it. */
static void ask_kernel(struct dp_recorder *r)
{
    int64_t now = now_ns();
    struct dp_tap_counts tap;
    dp_tap_count(r->parts.tap, &tap);
    uint64_t dropped = tap.dropped - r->dropped_before;
    if (dropped > r->counts.kernel_dropped) {
        check(r, dp_sealer_gap(r->sealer, r->asked_ns, now, dropped - r->counts.kernel_dropped));
        r->counts.kernel_dropped = dropped;
    }
    r->asked_ns = now;
    note_complete(r, now - (tap.drained ? QUIET_NS : OLD_NS));
}

/* --- packets --- */

static void on_waiting_packet(void *context, int64_t ts_ns, const uint8_t *frame, size_t captured,
                              size_t wire_len)
{
    (void)context;
    (void)ts_ns;
    (void)frame;
    (void)captured;
    (void)wire_len;
}

static void on_packet(void *context, int64_t ts_ns, const uint8_t *frame, size_t captured, size_t wire_len)
{
    struct dp_recorder *r = context;
    if (r->past_stop)
        return;
    /* Only until the first packet of the capture: a clock that is set back later must not throw packets away.
     */
    if (!r->first_seen && ts_ns < r->counts.started_ns)
        return;
    r->first_seen = true;
    if (r->stop_ns && ts_ns > r->stop_ns) {
        r->past_stop = ts_ns > r->stop_ns + PAST_STOP_NS;
        return;
    }
    r->counts.packets++;
    check(r, dp_sealer_frame(r->sealer, ts_ns, frame, captured, wire_len));
    if (r->past_stop)
        return;
    if (ts_ns > r->upto_ns)
        r->upto_ns = ts_ns;
    if (r->parts.ring) {
        struct dp_diag diag = {""};
        int code = dp_ring_writer_packet(r->parts.ring, ts_ns, frame, captured, wire_len, &diag);
        if (code != DP_OK)
            end_at_once(r, "disk", dp_reason(&diag, code));
    }
    if (r->parts.config->max_packets && r->counts.packets >= r->parts.config->max_packets)
        end_at_once(r, "packets", "");
}

static size_t take_packets(struct dp_recorder *r)
{
    size_t count = 0;
    struct dp_diag diag = {""};
    dp_tap_taker taker = r->phase == WAITING ? on_waiting_packet : on_packet;
    if (dp_tap_read(r->parts.tap, READ_AT_ONCE, taker, r, &count, &diag) != DP_OK) {
        /* What the kernel's ring holds is still readable after the error. */
        r->tap_gone = true;
        begin_stop(r, "interface", diag.text);
    }
    return count;
}

/* --- what the agent says --- */

static void start(struct dp_recorder *r)
{
    if (r->phase != WAITING)
        return;
    struct dp_tap_counts tap;
    dp_tap_count(r->parts.tap, &tap);
    r->dropped_before = tap.dropped;
    r->counts.started_ns = r->asked_ns = r->upto_ns = now_ns();
    r->started_ms = r->counts_ms = now_ms();
    r->phase = RUNNING;
}

static void read_control(struct dp_recorder *r)
{
    size_t room = 0;
    uint8_t *at = dp_pipe_reader_room(r->parts.control, &room);
    ssize_t got = at ? read(r->parts.control_fd, at, room) : 0;
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        r->agent_gone = true;
        return;
    }
    dp_pipe_reader_filled(r->parts.control, (size_t)got);
    struct dp_pipe_message message;
    int code;
    while ((code = dp_pipe_reader_next(r->parts.control, &message)) == DP_OK) {
        if (message.type == DP_PIPE_START)
            start(r);
        else if (message.type == DP_PIPE_STOP)
            begin_stop(r, "stopped", "");
    }
    if (code != DP_ERR_END)
        r->agent_gone = true;
}

static void read_signal(struct dp_recorder *r)
{
    struct signalfd_siginfo info;
    if (read(r->parts.signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        begin_stop(r, "stopped", "droppoint-capture was asked to end by SIGTERM.");
}

/* --- time --- */

static void send_counts(struct dp_recorder *r)
{
    uint8_t bytes[DP_PIPE_COUNTS_SIZE];
    dp_pipe_counts_pack(&r->counts, bytes);
    check(r, dp_outbox_put(r->parts.outbox, DP_PIPE_COUNTS, 0, bytes, sizeof bytes));
}

/* Everything is captured: closes the ring, seals the last batch, says so. whole: nothing can still be on its
 * way. */
static void conclude(struct dp_recorder *r, bool whole)
{
    ask_kernel(r);
    if (whole)
        note_complete(r, r->stop_ns);
    r->counts.ended_ns = r->stop_ns;
    struct dp_diag diag = {""};
    int code = dp_ring_writer_close(r->parts.ring, r->counts.started_ns, r->counts.ended_ns,
                                    r->counts.packets, r->counts.kernel_dropped, &diag);
    r->parts.ring = NULL;
    if (code != DP_OK && strcmp(r->end.reason, "disk") != 0) {
        (void)snprintf(r->end.reason, sizeof r->end.reason, "disk");
        (void)snprintf(r->end.text, sizeof r->end.text, "%s", dp_reason(&diag, code));
    }
    r->past_stop = true;
    check(r, dp_sealer_tick(r->sealer, 0, true));
}

static void send_end(struct dp_recorder *r)
{
    uint8_t bytes[DP_PIPE_END_MAX];
    r->end.counts = r->counts;
    size_t len = dp_pipe_end_pack(&r->end, bytes);
    if (dp_outbox_put(r->parts.outbox, DP_PIPE_END, 0, bytes, len) != DP_OK)
        r->agent_gone = true;
}

/* So that an export finds what is a second old, and a crash costs no more. */
static void flush_ring(struct dp_recorder *r)
{
    struct dp_diag diag = {""};
    int code = r->parts.ring ? dp_ring_writer_flush(r->parts.ring, &diag) : DP_OK;
    if (code != DP_OK)
        end_at_once(r, "disk", dp_reason(&diag, code));
}

static void tick_running(struct dp_recorder *r, uint64_t now)
{
    if (now - r->started_ms >= EARLY_MS)
        r->first_seen = true;
    check(r, dp_sealer_tick(r->sealer, now, false));
    if (now - r->counts_ms >= COUNTS_MS) {
        r->counts_ms = now;
        ask_kernel(r);
        send_counts(r);
        flush_ring(r);
    }
    uint32_t duration = r->parts.config->duration_ms;
    /* Both are cut to whole milliseconds: one more, or it ends up to a millisecond early. */
    if (duration && now - r->started_ms > duration)
        begin_stop(r, "duration", "");
}

static void tick(struct dp_recorder *r, size_t taken)
{
    uint64_t now = now_ms();
    if (r->phase == RUNNING)
        tick_running(r, now);
    if (r->phase == DRAINING) {
        check(r, dp_sealer_tick(r->sealer, now, false));
        bool quiet = taken == 0 && now - r->stopped_ms >= QUIET_MS;
        if (r->past_stop || quiet || now - r->stopped_ms >= DRAIN_MS) {
            conclude(r, r->past_stop || quiet);
            r->phase = FLUSHING;
        }
    }
    if (r->phase == FLUSHING && r->end.counts.ended_ns == 0) {
        if (r->counts.ended_ns == 0)
            r->counts.ended_ns = now_ns();
        send_end(r);
    }
    if (dp_outbox_flush(r->parts.outbox) != DP_OK)
        r->agent_gone = true;
    if (r->phase == FLUSHING && dp_outbox_held(r->parts.outbox) == 0)
        r->phase = DONE;
}

static int wait_ms(const struct dp_recorder *r)
{
    switch (r->phase) {
    case WAITING:
    case FLUSHING:
        return 1000;
    case RUNNING:
        return 50;
    default:
        return 20;
    }
}

static void wait_and_listen(struct dp_recorder *r, bool busy)
{
    bool reading = !r->tap_gone && r->phase < FLUSHING;
    struct pollfd fds[] = {
        {.fd = r->parts.control_fd, .events = POLLIN},
        {.fd = r->parts.signal_fd, .events = POLLIN},
        {.fd = DP_PIPE_OUT_FD, .events = (short)(dp_outbox_held(r->parts.outbox) ? POLLOUT : 0)},
        {.fd = reading ? dp_tap_fd(r->parts.tap) : -1, .events = POLLIN},
    };
    if (poll(fds, sizeof fds / sizeof fds[0], busy ? 0 : wait_ms(r)) <= 0)
        return;
    if (fds[0].revents)
        read_control(r);
    if (fds[1].revents)
        read_signal(r);
    if (fds[2].revents & (POLLERR | POLLNVAL))
        r->agent_gone = true;
}

void dp_recorder_run(struct dp_recorder *recorder)
{
    struct dp_recorder *r = recorder;
    size_t taken = 0;
    while (r->phase != DONE && !r->agent_gone) {
        wait_and_listen(r, taken > 0);
        taken = r->phase < FLUSHING ? take_packets(r) : 0;
        tick(r, taken);
    }
    if (r->parts.ring) {
        /* The agent is gone. The packets stay for its next start. */
        if (r->stop_ns == 0)
            r->stop_ns = now_ns();
        ask_kernel(r);
        (void)!dp_ring_writer_close(r->parts.ring, r->counts.started_ns, r->stop_ns, r->counts.packets,
                                    r->counts.kernel_dropped, NULL);
        r->parts.ring = NULL;
    }
}
