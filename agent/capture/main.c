/* droppoint-capture: captures one interface for the agent. Everything that it is told comes on standard
 * input, everything that it says goes to descriptor 3. It parses hostile bytes, so it is small and keeps no
 * privilege. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/capture/outbox.h"
#include "agent/capture/pipe.h"
#include "agent/capture/recorder.h"
#include "agent/capture/ring_writer.h"
#include "agent/capture/sandbox.h"
#include "agent/capture/tap.h"

/* SIGTERM comes through a descriptor, so that no handler and no global is needed. The others must not end us:
 * the terminal's SIGINT is for the agent, and a write that fails says so by itself. */
static int arrange_signals(int *ret_fd)
{
    sigset_t term;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &term, NULL) != 0)
        return DP_ERR_IO;
    int fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return DP_ERR_IO;
    *ret_fd = fd;
    return DP_OK;
}

/* Waits for the first message, which must be the configuration. */
static int read_config(struct dp_pipe_reader *control, struct dp_pipe_config *ret_config)
{
    for (;;) {
        struct dp_pipe_message message;
        int code = dp_pipe_reader_next(control, &message);
        if (code == DP_OK)
            return message.type == DP_PIPE_CONFIG
                       ? dp_pipe_config_unpack(message.bytes, message.len, ret_config)
                       : DP_ERR_PROTOCOL;
        if (code != DP_ERR_END)
            return code;
        size_t room = 0;
        uint8_t *at = dp_pipe_reader_room(control, &room);
        if (!at)
            return DP_ERR_NOMEM;
        ssize_t got = read(STDIN_FILENO, at, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return DP_ERR_TRUNCATED;
        dp_pipe_reader_filled(control, (size_t)got);
    }
}

/* The lock, which goes with the process, keeps the directory from being deleted to make room for other rings.
 */
static int enter_ring_directory(const struct dp_pipe_config *config, struct dp_diag *diag)
{
    if (!config->ring_bytes)
        return DP_OK;
    int fd = chdir(config->ring_directory) == 0 ? open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || flock(fd, LOCK_SH) != 0)
        return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO,
                       "The ring's directory %s can't be entered: %s.", config->ring_directory,
                       strerror(errno));
    return DP_OK;
}

static int prepare(const struct dp_pipe_config *config, struct dp_recorder_parts *parts, struct dp_diag *diag)
{
    int code = enter_ring_directory(config, diag);
    if (code == DP_OK)
        code = dp_tap_open(config, &parts->tap, diag);
    /* The ring's files are opened without privilege: they belong to whom the agent runs as. */
    if (code == DP_OK)
        code = dp_sandbox_drop(config->uid, config->gid, diag);
    if (code == DP_OK && config->ring_bytes)
        code = dp_ring_writer_open(config->vantage, dp_tap_link_type(parts->tap), dp_tap_snaplen(parts->tap),
                                   config->ring_bytes, &parts->ring, diag);
    if (code == DP_OK)
        code = dp_sandbox_seal(diag);
    return code;
}

static int say_ready(const struct dp_recorder_parts *parts)
{
    struct dp_pipe_ready ready = {
        .link_type = (uint32_t)dp_tap_link_type(parts->tap),
        .snaplen = dp_tap_snaplen(parts->tap),
    };
    uint8_t bytes[DP_PIPE_READY_SIZE];
    dp_pipe_ready_pack(&ready, bytes);
    return dp_outbox_put(parts->outbox, DP_PIPE_READY, 0, bytes, sizeof bytes);
}

static void say_error(struct dp_outbox *outbox, int code, const struct dp_diag *diag)
{
    struct dp_pipe_error error = {.code = code};
    uint8_t bytes[DP_PIPE_ERROR_MAX];
    (void)snprintf(error.text, sizeof error.text, "%s", dp_reason(diag, code));
    size_t len = dp_pipe_error_pack(&error, bytes);
    if (dp_outbox_put(outbox, DP_PIPE_ERROR, 0, bytes, len) == DP_OK)
        (void)!dp_outbox_flush(outbox);
}

static int run(struct dp_recorder_parts *parts, struct dp_pipe_config *config)
{
    struct dp_diag diag = {""};
    struct dp_recorder *recorder = NULL;
    int code = read_config(parts->control, config);
    if (code == DP_OK)
        code = prepare(config, parts, &diag);
    if (code == DP_OK)
        code = dp_recorder_new(parts, &recorder);
    if (code == DP_OK) {
        parts->ring = NULL; /* the recorder's from here on */
        code = say_ready(parts);
    }
    if (code == DP_OK)
        dp_recorder_run(recorder);
    else
        say_error(parts->outbox, code, &diag);
    dp_recorder_free(recorder);
    return code;
}

int main(int argc, char **argv)
{
    (void)argv;
    struct stat st;
    if (argc != 1 || fstat(DP_PIPE_OUT_FD, &st) != 0 || !S_ISFIFO(st.st_mode)) {
        (void)fputs("droppoint-capture is started by droppoint-agent; see droppoint-capture(8).\n", stderr);
        return 2;
    }
    (void)umask(0077);
    struct dp_recorder_parts parts = {.control_fd = STDIN_FILENO, .signal_fd = -1};
    struct dp_pipe_config *config = calloc(1, sizeof *config);
    int code = config ? arrange_signals(&parts.signal_fd) : DP_ERR_NOMEM;
    if (code == DP_OK)
        code = dp_outbox_new(DP_PIPE_OUT_FD, &parts.outbox);
    if (code == DP_OK)
        code = dp_pipe_reader_new(&parts.control);
    parts.config = config;
    if (code == DP_OK)
        code = run(&parts, config);
    (void)!dp_ring_writer_close(parts.ring, 0, 0, 0, 0, NULL);
    dp_tap_close(parts.tap);
    dp_pipe_reader_free(parts.control);
    dp_outbox_free(parts.outbox);
    if (config)
        explicit_bzero(config, sizeof *config);
    free(config);
    return code == DP_OK ? 0 : 1;
}
