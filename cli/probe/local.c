#include "cli/probe/local.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "agent/probe/core/prober.h"
#include "cli/probe/live.h"
#include "cli/remote/text.h"

#define QUIET_MS 2000
#define REDRAW_MS 200

struct local_run {
    uv_loop_t loop;
    uv_signal_t interrupt, terminate;
    uv_timer_t patience; /* a line every now and then for who waits */
    struct dp_prober *prober;
    struct dp_probe *probe;
    const struct dp_request *request;
    bool progress;
    struct probe_live *live; /* instead of lines */
    int code;
    struct dp_diag *diag;
    json_t *result;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct local_run *run = handle->data;
    (void)number;
    if (run->probe)
        dp_probe_cut_short(run->probe);
}

static void on_patience(uv_timer_t *handle)
{
    const struct local_run *run = handle->data;
    if (run->live) {
        if (run->probe)
            probe_live_draw(run->live, dp_probe_data(run->probe));
        return;
    }
    fprintf(stderr, "probe %s: %.0f s, ends after %g s at the latest\n", dp_request_kind(run->request)->name,
            (double)(uv_now(&run->loop) / 1000), (double)dp_request_timeout_ms(run->request) / 1000);
}

static void on_says(void *context, const char *text)
{
    struct local_run *run = context;
    if (run->live) {
        probe_live_say(run->live, text);
    } else if (run->progress) {
        fprintf(stderr, "%s\n", text);
        (void)uv_timer_again(&run->patience);
    }
}

static void close_signals(struct local_run *run)
{
    uv_close((uv_handle_t *)&run->interrupt, NULL);
    uv_close((uv_handle_t *)&run->terminate, NULL);
    uv_close((uv_handle_t *)&run->patience, NULL);
}

static void on_done(void *context, const struct dp_probe_result *result)
{
    struct local_run *run = context;
    run->probe = NULL;
    if (result->code)
        run->code = dp_fail(run->diag, result->code, "%s", result->summary);
    else
        run->result = dp_probe_result_json(result, "local");
    if (!result->code && !run->result)
        run->code = DP_ERR_NOMEM;
    close_signals(run);
}

/* A probe of many targets needs as many descriptors as the system lets it have. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_signals(struct local_run *run)
{
    if (uv_signal_init(&run->loop, &run->interrupt) || uv_signal_init(&run->loop, &run->terminate) ||
        uv_timer_init(&run->loop, &run->patience))
        return DP_ERR_IO;
    run->interrupt.data = run->terminate.data = run->patience.data = run;
    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_signal_start(&run->interrupt, on_signal, SIGINT) ||
        uv_signal_start(&run->terminate, on_signal, SIGTERM))
        return DP_ERR_IO;
    uint64_t every = run->live ? REDRAW_MS : QUIET_MS;
    if (run->progress)
        (void)uv_timer_start(&run->patience, on_patience, every, every);
    return 0;
}

/* Threads that read or ask for a probe whose time is over go on by themselves: the command does not wait for
 * them, and what they use stays until it ends. */
static void let_go(struct local_run *run)
{
    for (int i = 0; i < 16 && uv_run(&run->loop, UV_RUN_NOWAIT); i++) {
    }
    if (uv_loop_close(&run->loop) == 0)
        free(run);
}

int probe_run_local(const struct dp_request *request, bool progress, json_t **ret_result,
                    struct dp_diag *diag)
{
    struct local_run *run = calloc(1, sizeof *run);
    if (!run)
        return DP_ERR_NOMEM;
    *run = (struct local_run){.request = request, .progress = progress, .diag = diag};
    if (progress && probe_live_fits(dp_request_kind(request)))
        run->live = probe_live_new(dp_request_kind(request), dp_request_target(request));
    raise_descriptors();
    if (uv_loop_init(&run->loop)) {
        probe_live_end(run->live);
        free(run);
        return DP_ERR_IO;
    }
    run->code = open_signals(run);
    if (!run->code)
        run->code = dp_prober_new(&run->loop, &run->prober, diag);
    if (!run->code)
        run->code = dp_prober_start(run->prober, request, on_done, on_says, run, &run->probe, diag);
    if (run->code)
        close_signals(run);
    else
        while (!run->result && !run->code && uv_run(&run->loop, UV_RUN_ONCE)) {
        }
    probe_live_end(run->live);
    run->live = NULL;
    int code = run->code;
    *ret_result = run->result;
    dp_prober_close(run->prober);
    let_go(run);
    return code;
}
