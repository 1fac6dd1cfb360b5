#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/capture/harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool live_possible(void)
{
    if (geteuid() == 0)
        return true;
    print_message("skipped: capturing needs root\n");
    return false;
}

void shell(const char *command)
{
    int status = system(command);
    if (status != 0)
        fail_msg("%s: status %d", command, status);
}

void world_new(void)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    shell("ip link set lo up");
}

static void on_ready(void *context, struct dp_capture_process *process, int code, const char *text,
                     int link_type)
{
    struct seen *seen = context;
    (void)process;
    if (seen->ended || seen->ready)
        seen->out_of_order++;
    seen->ready = true;
    seen->ready_code = code;
    seen->link_type = link_type;
    (void)snprintf(seen->ready_text, sizeof seen->ready_text, "%s", text);
}

/* Nothing may come from before what is complete; and saying so must be rare where nothing else is said. */
static void take_complete(struct seen *seen)
{
    const struct dp_batch *batch = &seen->batch;
    for (size_t i = 0; i < batch->digest_count; i++)
        seen->overtaken += batch->digests[i].ts_ns <= seen->complete_ns;
    if (batch->complete_ns == 0)
        return;
    assert_true(batch->complete_ns > seen->complete_ns);
    if (batch->digest_count + batch->gap_count + batch->other_packets == 0) {
        int64_t said = seen->complete_ns > seen->last_ns ? seen->complete_ns : seen->last_ns;
        seen->silences++;
        seen->hasty += batch->complete_ns - said < 900000000;
    }
    seen->complete_ns = batch->complete_ns;
}

static bool on_batch(void *context, struct dp_capture_process *process, uint32_t records,
                     const uint8_t *bytes, size_t len)
{
    struct seen *seen = context;
    (void)process;
    if (seen->ended || !seen->ready)
        seen->out_of_order++;
    assert_int_equal(dp_batch_decode(bytes, len, &seen->batch, NULL), DP_OK);
    assert_int_equal(seen->batch.digest_count, records);
    take_complete(seen);
    seen->batches++;
    seen->records += records;
    seen->digests += seen->batch.digest_count;
    seen->other += seen->batch.other_packets;
    for (size_t i = 0; i < seen->batch.digest_count; i++) {
        int64_t ts_ns = seen->batch.digests[i].ts_ns;
        if (seen->first_ns == 0)
            seen->first_ns = ts_ns;
        seen->last_ns = ts_ns;
    }
    for (size_t i = 0; i < seen->batch.gap_count; i++) {
        seen->gaps++;
        seen->gap_packets += seen->batch.gaps[i].packets;
    }
    if (seen->refuse == 0)
        return true;
    seen->refuse--;
    seen->pauses++;
    return false;
}

static void on_counts(void *context, struct dp_capture_process *process,
                      const struct dp_capture_counts *counts)
{
    struct seen *seen = context;
    (void)process;
    seen->counts = *counts;
    seen->counts_calls++;
}

static void on_ended(void *context, struct dp_capture_process *process, const char *reason, const char *text,
                     const struct dp_capture_counts *counts)
{
    struct seen *seen = context;
    (void)process;
    if (seen->ended || !seen->ready)
        seen->out_of_order++;
    seen->ended = true;
    seen->process = NULL;
    seen->counts = *counts;
    (void)snprintf(seen->reason, sizeof seen->reason, "%s", reason);
    (void)snprintf(seen->text, sizeof seen->text, "%s", text);
}

void seen_new(struct seen *seen)
{
    *seen = (struct seen){0};
    assert_int_equal(uv_loop_init(&seen->loop), 0);
}

void seen_free(struct seen *seen)
{
    assert_int_equal(seen->out_of_order, 0);
    assert_int_equal(seen->overtaken, 0);
    assert_true(seen->hasty <= 1); /* the last one */
    assert_true(seen->complete_ns <= seen->counts.ended_ns);
    /* Everything that the supervisor opened must be closed by itself. */
    assert_int_equal(uv_run(&seen->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&seen->loop), 0);
    dp_batch_free(&seen->batch);
}

struct dp_capture_spec spec_for(const char *interface, const char *filter)
{
    return (struct dp_capture_spec){
        .capture_id = "c1",
        .vantage = "mx1/test",
        .interface = interface,
        .filter = filter,
        .snaplen = 96,
        .duration_ms = 30000,
        .hash_key = {1, 2, 3},
    };
}

int prepare(struct seen *seen, const struct dp_capture_spec *spec, struct dp_diag *diag)
{
    static const struct dp_capture_events events = {on_ready, on_batch, on_counts, on_ended};
    const char *program = getenv("DP_TEST_PROGRAM");
    return dp_capture_prepare(&seen->loop, program ? program : DP_CAPTURE_PROGRAM, spec, &events, seen,
                              &seen->process, diag);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* The loop is turned by a timer, so that UV_RUN_ONCE comes back in time. */
static bool turn_until(struct seen *seen, const bool *flag, unsigned ms)
{
    uv_timer_t timer;
    assert_int_equal(uv_timer_init(&seen->loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_tick, 10, 10), 0);
    uv_update_time(&seen->loop);
    uint64_t until = uv_now(&seen->loop) + ms;
    while (!(flag && *flag) && uv_now(&seen->loop) < until)
        (void)uv_run(&seen->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&seen->loop, UV_RUN_NOWAIT);
    return flag && *flag;
}

void wait_for(struct seen *seen, const bool *flag)
{
    if (!turn_until(seen, flag, 15000))
        fail_msg("it did not come within 15 seconds; ready \"%s\", ended \"%s\"", seen->ready_text,
                 seen->text);
}

void turn(struct seen *seen, unsigned ms)
{
    (void)turn_until(seen, NULL, ms);
}

void start(struct seen *seen, const struct dp_capture_spec *spec)
{
    struct dp_diag diag = {""};
    assert_int_equal(prepare(seen, spec, &diag), DP_OK);
    wait_for(seen, &seen->ready);
    if (seen->ready_code != DP_OK)
        fail_msg("not ready: %s", seen->ready_text);
    assert_int_equal(dp_capture_start(seen->process), DP_OK);
    turn(seen, 60); /* the child reads it */
}

static void send_to(int fd, const char *address, unsigned packets, size_t payload)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(TEST_PORT)};
    assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
    char bytes[1400] = "payload";
    for (unsigned i = 0; i < packets; i++)
        assert_int_equal(sendto(fd, bytes, payload, 0, (struct sockaddr *)&to, sizeof to), payload);
    (void)close(fd);
}

void send_udp(unsigned packets, size_t payload)
{
    /* Not connected, so that the refusals that come back by ICMP are not errors. */
    send_to(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "127.0.0.1", packets, payload);
}

void send_udp_on(const char *device, const char *address, unsigned packets)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)), 0);
    send_to(fd, address, packets, 100);
}

static bool is_capture_of(pid_t pid, pid_t parent)
{
    char path[64], line[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    (void)!fgets(line, sizeof line, file);
    (void)fclose(file);
    int ppid = 0;
    char state = 0;
    const char *after = strrchr(line, ')');
    return after && strstr(line, "(droppoint-captu") && sscanf(after + 1, " %c %d", &state, &ppid) == 2 &&
           ppid == parent && state != 'Z';
}

pid_t capture_pid(pid_t parent)
{
    pid_t found = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 0 && is_capture_of(pid, parent))
            found = pid;
    }
    (void)closedir(directory);
    return found;
}

uint64_t status_value(pid_t pid, const char *field, int base)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    uint64_t value = UINT64_MAX;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            value = strtoull(line + strlen(field) + 1, NULL, base);
    (void)fclose(file);
    return value;
}
