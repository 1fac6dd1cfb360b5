#include "agent/capture/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capture/pipe.h"

#define PREPARE_MS 10000 /* for opening the interface and compiling the filter */
#define STOP_MS 5000     /* from a stop to the end */
#define PIPE_BYTES (1024 * 1024)

struct dp_capture_process {
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t timer; /* preparing took too long; stopping took too long */
    uv_timer_t wake;  /* goes on after a pause, outside of the caller's stack */
    unsigned open_handles;
    int control; /* our end of the child's standard input; -1 once closed */
    struct dp_pipe_reader *reader;
    struct dp_capture_events events;
    void *context;
    bool told_ready, has_end, eof, exited, paused, stopping, finishing;
    int64_t exit_status;
    int term_signal;
    char stop_reason[DP_PIPE_REASON];
    char trouble[256]; /* why we killed it; empty: we did not */
    struct dp_pipe_end end;
};

/* --- ending --- */

static void describe_crash(struct dp_capture_process *p)
{
    struct dp_pipe_end *end = &p->end;
    (void)snprintf(end->reason, sizeof end->reason, "crash");
    if (p->trouble[0])
        (void)snprintf(end->text, sizeof end->text, "droppoint-capture was killed: %s.", p->trouble);
    else if (p->term_signal)
        (void)snprintf(end->text, sizeof end->text,
                       "droppoint-capture ended unexpectedly by signal %d (%s). What it had sent is kept.",
                       p->term_signal, strsignal(p->term_signal));
    else
        (void)snprintf(end->text, sizeof end->text,
                       "droppoint-capture ended unexpectedly with status %lld. What it had sent is kept.",
                       (long long)p->exit_status);
    if (end->counts.started_ns && !end->counts.ended_ns) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        end->counts.ended_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct dp_capture_process *p = handle->data;
    if (--p->open_handles > 0)
        return;
    if (!p->has_end)
        describe_crash(p);
    else if (p->stopping && strcmp(p->end.reason, "stopped") == 0)
        (void)snprintf(p->end.reason, sizeof p->end.reason, "%s", p->stop_reason);
    if (p->has_end && p->term_signal && !p->end.text[0])
        (void)snprintf(p->end.text, sizeof p->end.text,
                       "All is complete, but droppoint-capture ended by signal %d (%s).", p->term_signal,
                       strsignal(p->term_signal));
    if (!p->told_ready) {
        p->told_ready = true;
        p->events.ready(p->context, p, DP_ERR_UNAVAILABLE, p->end.text, 0);
    }
    p->events.ended(p->context, p, p->end.reason, p->end.text, &p->end.counts);
    dp_pipe_reader_free(p->reader);
    free(p);
}

static void close_control(struct dp_capture_process *p)
{
    if (p->control >= 0)
        (void)close(p->control);
    p->control = -1;
}

/* The end comes when the process is gone and all that it wrote is read. */
static void finish_if_done(struct dp_capture_process *p)
{
    if (!p->exited || !p->eof || p->finishing)
        return;
    p->finishing = true;
    close_control(p);
    uv_close((uv_handle_t *)&p->process, on_closed);
    uv_close((uv_handle_t *)&p->out, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
    uv_close((uv_handle_t *)&p->wake, on_closed);
}

static void kill_for(struct dp_capture_process *p, const char *trouble)
{
    if (!p->trouble[0])
        (void)snprintf(p->trouble, sizeof p->trouble, "%s", trouble);
    if (!p->exited)
        (void)uv_process_kill(&p->process, SIGKILL);
}

static void on_exit_process(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct dp_capture_process *p = process->data;
    p->exited = true;
    p->exit_status = exit_status;
    p->term_signal = term_signal;
    (void)uv_timer_stop(&p->timer);
    finish_if_done(p);
}

static void on_timer(uv_timer_t *timer)
{
    struct dp_capture_process *p = timer->data;
    if (!p->told_ready) {
        kill_for(p, "it did not become ready within 10 seconds");
    } else if (p->paused) {
        /* It waits for us, not we for it. */
        (void)uv_timer_start(&p->timer, on_timer, STOP_MS, 0);
    } else {
        kill_for(p, "it did not end within 5 seconds after it was told to stop");
    }
}

/* --- what the child says --- */

static int on_ready(struct dp_capture_process *p, const struct dp_pipe_message *message)
{
    struct dp_pipe_ready ready;
    int code = dp_pipe_ready_unpack(message->bytes, message->len, &ready);
    if (code != DP_OK || p->told_ready)
        return DP_ERR_PROTOCOL;
    p->told_ready = true;
    if (!p->stopping)
        (void)uv_timer_stop(&p->timer);
    p->events.ready(p->context, p, DP_OK, "", (int)ready.link_type);
    return DP_OK;
}

static int on_error(struct dp_capture_process *p, const struct dp_pipe_message *message)
{
    struct dp_pipe_error error;
    int code = dp_pipe_error_unpack(message->bytes, message->len, &error);
    if (code != DP_OK || p->told_ready)
        return DP_ERR_PROTOCOL;
    p->told_ready = true;
    p->has_end = true;
    (void)snprintf(p->end.reason, sizeof p->end.reason, "%s", dp_err_name(error.code));
    (void)snprintf(p->end.text, sizeof p->end.text, "%s", error.text);
    p->events.ready(p->context, p, error.code, error.text, 0);
    return DP_OK;
}

static int on_message(struct dp_capture_process *p, const struct dp_pipe_message *message)
{
    int code = DP_OK;
    switch (message->type) {
    case DP_PIPE_READY:
        return on_ready(p, message);
    case DP_PIPE_ERROR:
        return on_error(p, message);
    case DP_PIPE_BATCH:
        if (!p->told_ready || p->has_end || message->records > DP_BATCH_MAX_RECORDS)
            return DP_ERR_PROTOCOL;
        if (!p->events.batch(p->context, p, message->records, message->bytes, message->len))
            p->paused = true;
        return DP_OK;
    case DP_PIPE_COUNTS:
        code = p->has_end ? DP_ERR_PROTOCOL
                          : dp_pipe_counts_unpack(message->bytes, message->len, &p->end.counts);
        if (code == DP_OK)
            p->events.counts(p->context, p, &p->end.counts);
        return code;
    case DP_PIPE_END:
        if (!p->told_ready || p->has_end)
            return DP_ERR_PROTOCOL;
        code = dp_pipe_end_unpack(message->bytes, message->len, &p->end);
        p->has_end = code == DP_OK;
        return code;
    default:
        return DP_ERR_PROTOCOL;
    }
}

/* Hands on every whole message, until the batches' taker asks for a pause. */
static void parse(struct dp_capture_process *p)
{
    struct dp_pipe_message message;
    int code = DP_OK;
    while (!p->paused && (code = dp_pipe_reader_next(p->reader, &message)) == DP_OK) {
        code = on_message(p, &message);
        if (code != DP_OK)
            break;
    }
    if (code != DP_OK && code != DP_ERR_END) {
        kill_for(p, "it sent something that is not a message");
        p->has_end = false;
        p->eof = true;
        (void)uv_read_stop((uv_stream_t *)&p->out);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct dp_capture_process *p = handle->data;
    size_t room = 0;
    uint8_t *at = dp_pipe_reader_room(p->reader, &room);
    *buf = uv_buf_init((char *)at, at ? (unsigned)room : 0);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    (void)buf;
    struct dp_capture_process *p = stream->data;
    if (len < 0) {
        if (len != UV_EOF)
            kill_for(p,
                     len == UV_ENOBUFS ? "memory for its messages is not to be had" : uv_strerror((int)len));
        (void)uv_read_stop(stream);
        p->eof = true;
        finish_if_done(p);
        return;
    }
    dp_pipe_reader_filled(p->reader, (size_t)len);
    parse(p);
    if (p->paused)
        (void)uv_read_stop(stream);
    finish_if_done(p);
}

static void on_wake(uv_timer_t *timer)
{
    struct dp_capture_process *p = timer->data;
    if (p->paused || p->eof)
        return;
    parse(p);
    if (!p->paused && !p->eof)
        (void)uv_read_start((uv_stream_t *)&p->out, on_room, on_read);
    finish_if_done(p);
}

/* --- beginning --- */

static int make_directories(const char *path, const struct dp_capture_spec *spec, struct dp_diag *diag)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= 1024)
        return dp_fail(diag, DP_ERR_USAGE, "The ring's directory needs a name of 1 to 1023 bytes.");
    memcpy(part, path, len + 1);
    bool made = false;
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        made = mkdir(part, 0700) == 0;
        if (!made && errno != EEXIST)
            return dp_fail(diag, errno == EACCES || errno == EPERM ? DP_ERR_DENIED : DP_ERR_IO,
                           "The ring's directory %s can't be made: %s.", part, strerror(errno));
        part[i] = path[i];
    }
    if (made && spec->uid && chown(path, spec->uid, spec->gid) != 0)
        return dp_fail(diag, DP_ERR_IO, "The ring's directory %s can't be given to user %u: %s.", path,
                       spec->uid, strerror(errno));
    return DP_OK;
}

static int copy_field(char *to, size_t size, const char *from, const char *what, struct dp_diag *diag)
{
    if (!from)
        from = "";
    size_t len = strlen(from);
    if (len >= size)
        return dp_fail(diag, DP_ERR_RANGE, "The %s is longer than %zu bytes.", what, size - 1);
    memcpy(to, from, len + 1);
    return DP_OK;
}

static int pack_config(const struct dp_capture_spec *spec, uint8_t **ret_bytes, size_t *ret_len,
                       struct dp_diag *diag)
{
    struct dp_pipe_config *config = calloc(1, sizeof *config);
    if (!config)
        return dp_fail(diag, DP_ERR_NOMEM, "Out of memory.");
    memcpy(config->hash_key, spec->hash_key, sizeof config->hash_key);
    config->snaplen = spec->snaplen;
    config->duration_ms = spec->duration_ms;
    config->uid = spec->uid;
    config->gid = spec->gid;
    config->max_packets = spec->max_packets;
    config->ring_bytes = spec->ring_bytes;
    config->buffer_bytes = spec->buffer_bytes;
    int code =
        copy_field(config->interface, sizeof config->interface, spec->interface, "interface's name", diag);
    if (code == DP_OK)
        code =
            copy_field(config->vantage, sizeof config->vantage, spec->vantage, "vantage point's name", diag);
    if (code == DP_OK && spec->ring_bytes)
        code = copy_field(config->ring_directory, sizeof config->ring_directory, spec->ring_directory,
                          "ring's directory", diag);
    if (code == DP_OK)
        code = copy_field(config->filter, sizeof config->filter, spec->filter, "filter", diag);
    if (code == DP_OK)
        code = copy_field(config->own_filter, sizeof config->own_filter, spec->own_filter, "policy's filter",
                          diag);
    if (code == DP_OK)
        code = dp_pipe_config_pack(config, ret_bytes, ret_len);
    explicit_bzero(config, sizeof *config);
    free(config);
    return code;
}

/* The control messages are few and small: the socket takes them whole or the child is gone. */
static int say(struct dp_capture_process *p, const uint8_t *bytes, size_t len)
{
    if (p->control < 0)
        return DP_ERR_UNAVAILABLE;
    ssize_t sent = send(p->control, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t)len ? DP_OK : DP_ERR_IO;
}

static int say_plain(struct dp_capture_process *p, enum dp_pipe_type type)
{
    uint8_t header[DP_PIPE_HEADER];
    dp_pipe_header(type, 0, 0, header);
    return say(p, header, sizeof header);
}

/* Both pipes: control[0] is ours, control[1] the child's; out[0] is ours, out[1] the child's. */
static int make_pipes(int control[2], int out[2], struct dp_diag *diag)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0)
        return dp_fail(diag, DP_ERR_IO, "A pipe for droppoint-capture can't be made: %s.", strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        int error = errno;
        (void)close(control[0]);
        (void)close(control[1]);
        return dp_fail(diag, DP_ERR_IO, "A pipe for droppoint-capture can't be made: %s.", strerror(error));
    }
    /* A big pipe saves wake-ups; without it (a limit of the host) the usual size works too. */
    (void)fcntl(out[1], F_SETPIPE_SZ, PIPE_BYTES);
    return DP_OK;
}

static int spawn(uv_loop_t *loop, struct dp_capture_process *p, const char *program, int control, int out)
{
    char *arguments[] = {(char *)(uintptr_t)program, NULL};
    uv_stdio_container_t stdio[DP_PIPE_OUT_FD + 1] = {
        {.flags = UV_INHERIT_FD, .data.fd = control},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = out},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_process,
        .file = program,
        .args = arguments,
        .stdio_count = DP_PIPE_OUT_FD + 1,
        .stdio = stdio,
    };
    return uv_spawn(loop, &p->process, &options);
}

static void on_failed_closed(uv_handle_t *handle)
{
    struct dp_capture_process *p = handle->data;
    if (--p->open_handles == 0) {
        dp_pipe_reader_free(p->reader);
        free(p);
    }
}

static int process_new(uv_loop_t *loop, struct dp_capture_process **ret_process)
{
    struct dp_capture_process *p = calloc(1, sizeof *p);
    if (!p)
        return DP_ERR_NOMEM;
    if (dp_pipe_reader_new(&p->reader) != DP_OK) {
        free(p);
        return DP_ERR_NOMEM;
    }
    p->control = -1;
    (void)uv_pipe_init(loop, &p->out, 0);
    (void)uv_timer_init(loop, &p->timer);
    (void)uv_timer_init(loop, &p->wake);
    p->out.data = p->timer.data = p->wake.data = p->process.data = p;
    p->open_handles = 4;
    *ret_process = p;
    return DP_OK;
}

/* Starts the child with its configuration already waiting in its standard input. */
static int launch(uv_loop_t *loop, struct dp_capture_process *p, const char *program, const uint8_t *config,
                  size_t config_len, struct dp_diag *diag)
{
    int control[2], out[2];
    int code = make_pipes(control, out, diag);
    if (code != DP_OK) {
        p->open_handles = 3; /* the process handle was never initialised */
        return code;
    }
    p->control = control[0];
    int status = uv_pipe_open(&p->out, out[0]);
    if (status != 0)
        (void)close(out[0]);
    if (status == 0 && say(p, config, config_len) != DP_OK)
        status = UV_EPIPE;
    int spawned = status == 0 ? spawn(loop, p, program, control[1], out[1]) : 1;
    if (spawned == 1)
        p->open_handles = 3;
    (void)close(control[1]);
    (void)close(out[1]);
    if (spawned == 0)
        return DP_OK;
    close_control(p);
    return dp_fail(diag, DP_ERR_IO, "%s can't be started: %s.", program,
                   uv_strerror(status ? status : spawned));
}

int dp_capture_prepare(uv_loop_t *loop, const char *program, const struct dp_capture_spec *spec,
                       const struct dp_capture_events *events, void *context,
                       struct dp_capture_process **ret_process, struct dp_diag *diag)
{
    uint8_t *config = NULL;
    size_t config_len = 0;
    int code = spec->ring_bytes
                   ? make_directories(spec->ring_directory ? spec->ring_directory : "", spec, diag)
                   : DP_OK;
    if (code == DP_OK)
        code = pack_config(spec, &config, &config_len, diag);
    if (code != DP_OK)
        return code;
    struct dp_capture_process *p = NULL;
    code = process_new(loop, &p);
    if (code == DP_OK) {
        p->events = *events;
        p->context = context;
        code = launch(loop, p, program, config, config_len, diag);
    }
    explicit_bzero(config, config_len);
    free(config);
    if (code != DP_OK) {
        if (!p)
            return code;
        if (p->open_handles == 4)
            uv_close((uv_handle_t *)&p->process, on_failed_closed);
        uv_close((uv_handle_t *)&p->out, on_failed_closed);
        uv_close((uv_handle_t *)&p->timer, on_failed_closed);
        uv_close((uv_handle_t *)&p->wake, on_failed_closed);
        return code;
    }
    (void)uv_read_start((uv_stream_t *)&p->out, on_room, on_read);
    (void)uv_timer_start(&p->timer, on_timer, PREPARE_MS, 0);
    *ret_process = p;
    return DP_OK;
}

int dp_capture_start(struct dp_capture_process *process)
{
    return say_plain(process, DP_PIPE_START);
}

void dp_capture_stop(struct dp_capture_process *process, const char *reason)
{
    if (process->stopping || process->exited || process->finishing)
        return;
    process->stopping = true;
    (void)snprintf(process->stop_reason, sizeof process->stop_reason, "%s", reason);
    /* Where the message does not get through, the child is gone or the timer ends it. */
    (void)say_plain(process, DP_PIPE_STOP);
    (void)uv_timer_start(&process->timer, on_timer, STOP_MS, 0);
}

void dp_capture_resume(struct dp_capture_process *process)
{
    if (!process->paused || process->finishing)
        return;
    process->paused = false;
    (void)uv_timer_start(&process->wake, on_wake, 0, 0);
}
