#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/locate/whole_file.h"
#include "cli/remote/capture.h"
#include "cli/remote/live_line.h"
#include "cli/remote/simple.h"
#include "cli/remote/text.h"

#define CAPTURE_ID_SIZE 64
#define MOST_VANTAGES 64
#define TICK_MS 250
#define RECONNECT_MS 15000
#define ASK_AGAIN_MS 500
/* The collector reports at least once a second; this long without a word it is in trouble. */
#define SILENCE_MS 60000

struct run {
    struct dp_remote_options options;
    const char *path, *filter, *html;
    uint64_t duration_ms, snaplen, max_packets;
    bool partial;

    struct dp_session *session;
    struct dp_live live;
    bool quiet;                /* no live line */
    bool named[MOST_VANTAGES]; /* vantage points whose trouble has been told */
    bool away[MOST_VANTAGES];  /* ... and those whose agent is told to be away */
    char capture_id[CAPTURE_ID_SIZE];
    Droppoint__Envelope *latest; /* the newest progress, a copy */
    uint64_t latest_ms;
    bool cancel_wanted, cancel_sent;
    bool recovering; /* waiting for a lost collector: nothing to stop, one Ctrl-C leaves */
    int exit_code;
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Whether the filter compiles; tried here first, so that a typing error costs no capture. */
static int check_filter(const char *filter, struct dp_diag *diag)
{
    pcap_t *dead = pcap_open_dead(DLT_EN10MB, 262144);
    if (!dead)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    struct bpf_program program;
    int rc = 0;
    if (pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN))
        rc = dp_fail(diag, DP_ERR_FILTER,
                     "the filter '%s' does not compile: %s. pcap-filter(7) explains the language", filter,
                     pcap_geterr(dead));
    else
        pcap_freecode(&program);
    pcap_close(dead);
    return rc;
}

static void send_cancel(struct run *run)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureCancel cancel = DROPPOINT__CAPTURE_CANCEL__INIT;
    if (!run->cancel_wanted || run->cancel_sent || !run->capture_id[0])
        return;
    cancel.capture_id = run->capture_id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_CANCEL;
    envelope.capture_cancel = &cancel;
    run->cancel_sent = !dp_session_send(run->session, &envelope);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    struct run *run = signal->data;
    (void)number;
    dp_live_clear(&run->live);
    if (run->cancel_wanted || run->recovering) {
        dp_session_abort(run->session, DP_ERR_END);
        return;
    }
    run->cancel_wanted = true;
    fprintf(stderr, "Stopping; the verdict on what there is follows. Ctrl-C again leaves at once.\n");
    send_cancel(run);
}

/* Says that a vantage point's agent went away, and that it is back. */
static void name_away(struct run *run, const Droppoint__VantageProgress *vantage, size_t index)
{
    bool away = !strcmp(vantage->state, "away");
    bool back = run->away[index] && !strcmp(vantage->state, "running");
    if (away == run->away[index] || !(away || back))
        return;
    run->away[index] = away;
    dp_live_clear(&run->live);
    char text[512];
    (void)snprintf(text, sizeof text, "%s: %s", vantage->vantage,
                   away ? vantage->text : "its agent is back.");
    fprintf(stderr, "%s\n", dp_printable(text));
}

/* Says once of each vantage point that it can't take part or dropped out, and what to do. */
static void name_trouble(struct run *run, const Droppoint__CaptureProgress *progress)
{
    bool preparing = !strcmp(progress->phase, "preparing");
    for (size_t i = 0; i < progress->n_vantages && i < MOST_VANTAGES; i++) {
        const Droppoint__VantageProgress *vantage = progress->vantages[i];
        bool absent = !strcmp(vantage->state, "absent"), failed = !strcmp(vantage->state, "failed");
        name_away(run, vantage, i);
        if (run->named[i] || !(absent || failed))
            continue;
        run->named[i] = true;
        dp_live_clear(&run->live);
        char text[512];
        (void)snprintf(text, sizeof text, "%s %s: %s", vantage->vantage,
                       preparing || absent ? "can't take part" : "stopped early",
                       vantage->text[0] ? vantage->text : "no reason is given");
        fprintf(stderr, "%s\n", dp_printable(text));
        if (run->partial || !preparing)
            continue;
        int agent = (int)strcspn(vantage->vantage, "/");
        if (absent)
            fprintf(stderr,
                    "  Start droppoint-agent on %.*s, and approve it if 'droppoint agent list' shows it as "
                    "pending; or "
                    "run again with --partial.\n",
                    agent, vantage->vantage);
        else
            fprintf(stderr, "  Put that right on %.*s, or run again with --partial.\n", agent,
                    vantage->vantage);
    }
}

/* Keeps a copy, since the live line is also drawn between two messages. */
static void keep(struct run *run, const Droppoint__Envelope *envelope)
{
    size_t size = droppoint__envelope__get_packed_size(envelope);
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes)
        return;
    (void)droppoint__envelope__pack(envelope, bytes);
    Droppoint__Envelope *copy = droppoint__envelope__unpack(NULL, size, bytes);
    free(bytes);
    if (!copy)
        return;
    if (run->latest)
        droppoint__envelope__free_unpacked(run->latest, NULL);
    run->latest = copy;
    run->latest_ms = now_ms();
}

static void show_live(struct run *run)
{
    uint64_t now = now_ms();
    if (run->latest && !run->quiet)
        dp_live_show(&run->live, run->latest->capture_progress, run->duration_ms, now - run->latest_ms, now);
}

static void on_tick(uv_timer_t *timer)
{
    show_live(timer->data);
}

static void remember_id(struct run *run, const char *capture_id)
{
    if (!run->capture_id[0] && capture_id)
        (void)snprintf(run->capture_id, sizeof run->capture_id, "%s", capture_id);
}

static void take_done(struct run *run, const Droppoint__CaptureDone *done)
{
    remember_id(run, done->capture_id);
    dp_live_clear(&run->live);
    if (done->code)
        run->exit_code = dp_trouble("no verdict: %s",
                                    done->text && done->text[0] ? done->text : dp_err_sentence(done->code));
    else
        run->exit_code = dp_capture_print(run->capture_id, done->json, run->options.json, run->html);
}

static enum dp_take take(void *context, const Droppoint__Envelope *envelope)
{
    struct run *run = context;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_PROGRESS:
        remember_id(run, envelope->capture_progress->capture_id);
        keep(run, envelope);
        name_trouble(run, envelope->capture_progress);
        send_cancel(run);
        show_live(run);
        return DP_TAKE_MORE;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_DONE:
        take_done(run, envelope->capture_done);
        return DP_TAKE_DONE;
    default:
        return DP_TAKE_MORE;
    }
}

static enum dp_take take_document(void *context, const Droppoint__Envelope *envelope)
{
    struct run *run = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_CAPTURE_DOCUMENT)
        return DP_TAKE_MORE;
    run->exit_code =
        dp_capture_print(run->capture_id, envelope->capture_document->json, run->options.json, run->html);
    return DP_TAKE_DONE;
}

static int leave(const struct run *run)
{
    if (run->capture_id[0])
        fprintf(stderr, "Left. The verdict, once it is drawn: droppoint capture show %s\n", run->capture_id);
    return DP_EXIT_INTERRUPTED;
}

static int fetch_verdict(struct run *run, struct dp_diag *diag)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureShow show = DROPPOINT__CAPTURE_SHOW__INIT;
    show.capture_id = run->capture_id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_SHOW;
    envelope.capture_show = &show;
    return dp_session_ask(run->session, &envelope, take_document, run, diag);
}

/* Waits for the collector, and for the verdict that it may draw from what the agents' spools bring it. */
static int await_verdict(struct run *run, struct dp_diag *diag)
{
    uint64_t deadline = now_ms() + RECONNECT_MS;
    int rc;
    do {
        uint64_t now = now_ms();
        rc = dp_session_wait(run->session, now < deadline ? deadline - now : 1, diag);
        if (!rc)
            rc = fetch_verdict(run, diag);
        if (!rc || rc == DP_ERR_END || rc == DP_ERR_DENIED)
            return rc;
    } while (now_ms() < deadline && (rc = dp_session_pause(run->session, ASK_AGAIN_MS)) == 0);
    return rc ? rc : DP_ERR_TIMEOUT;
}

/* The collector was lost in mid-run. */
static int recover(struct run *run, const struct dp_diag *why)
{
    dp_live_clear(&run->live);
    (void)dp_trouble("%s", why->text);
    if (!run->capture_id[0])
        return dp_trouble("the capture had no number yet; run it again once the collector is back");
    fprintf(stderr, "Waiting up to %d s for the collector. The capture is %s.\n", RECONNECT_MS / 1000,
            run->capture_id);
    struct dp_diag diag = {""};
    run->recovering = true;
    dp_session_set_timeout(run->session, run->options.timeout_ms);
    int rc = await_verdict(run, &diag);
    if (rc == DP_ERR_END)
        return leave(run);
    if (!rc)
        return run->exit_code;
    return dp_trouble(
        "no verdict yet: %s. What the agents captured is in their spools and goes to the collector "
        "once it is back; then: droppoint capture show %s",
        dp_reason(&diag, rc), run->capture_id);
}

static int ask(struct run *run)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureRun request = DROPPOINT__CAPTURE_RUN__INIT;
    struct dp_diag diag = {""};
    request.path = (char *)run->path;
    request.filter = (char *)run->filter;
    request.duration_ms = (uint32_t)run->duration_ms;
    request.snaplen = (uint32_t)run->snaplen;
    request.max_packets = run->max_packets;
    request.partial = run->partial;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_RUN;
    envelope.capture_run = &request;
    run->exit_code = DP_EXIT_TROUBLE;
    dp_session_set_timeout(run->session, SILENCE_MS);
    int rc = dp_session_ask(run->session, &envelope, take, run, &diag);
    dp_live_clear(&run->live);
    if (!rc)
        return run->exit_code;
    if (rc == DP_ERR_END && run->cancel_wanted)
        return leave(run);
    if (dp_session_lost(run->session) || (rc == DP_ERR_TIMEOUT && run->capture_id[0]))
        return recover(run, &diag);
    return dp_trouble("%s", dp_reason(&diag, rc));
}

/* Runs the capture with signals and the live line's clock on the session's loop. */
static int run_capture(struct run *run)
{
    uv_signal_t interrupt, terminate;
    uv_timer_t tick;
    uv_loop_t *loop = dp_session_loop(run->session);
    (void)uv_signal_init(loop, &interrupt);
    (void)uv_signal_init(loop, &terminate);
    (void)uv_timer_init(loop, &tick);
    interrupt.data = terminate.data = tick.data = run;
    (void)uv_signal_start(&interrupt, on_interrupt, SIGINT);
    (void)uv_signal_start(&terminate, on_interrupt, SIGTERM);
    (void)uv_timer_start(&tick, on_tick, TICK_MS, TICK_MS);
    dp_live_init(&run->live, stderr, now_ms());
    run->quiet = run->options.json && !run->live.terminal;
    int exit_code = ask(run);
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_close((uv_handle_t *)&terminate, NULL);
    uv_close((uv_handle_t *)&tick, NULL);
    dp_session_close(run->session);
    if (run->latest)
        droppoint__envelope__free_unpacked(run->latest, NULL);
    return exit_code;
}

int dp_capture_run_command(const struct dp_command *command, int argc, char **argv)
{
    struct run run = {.filter = "", .duration_ms = 30000, .snaplen = DP_CAPTURE_SNAPLEN};
    struct dp_words words;
    struct dp_diag diag = {""};
    const struct dp_option more[] = {
        {"--path", DP_OPTION_TEXT, &run.path, 0, 0},
        {"--filter", DP_OPTION_TEXT, &run.filter, 0, 0},
        {"--duration", DP_OPTION_DURATION, &run.duration_ms, 100, 24 * 3600000},
        {"--snaplen", DP_OPTION_NUMBER, &run.snaplen, 64, 262144},
        {"--max-packets", DP_OPTION_NUMBER, &run.max_packets, 1, INT64_MAX},
        {"--partial", DP_OPTION_FLAG, &run.partial, 0, 0},
        {"--html", DP_OPTION_TEXT, &run.html, 0, 0},
    };
    if (dp_simple_parse(DP_CAPTURE_GROUP, command, argc, argv, &run.options, more,
                        sizeof more / sizeof more[0], 0, 0, &words))
        return DP_EXIT_TROUBLE;
    if (!run.path)
        return dp_usage_error(DP_CAPTURE_GROUP, command,
                              "--path is missing; 'droppoint path list' shows the paths there are");
    if (!dp_wire_name_valid(run.path))
        return dp_usage_error(DP_CAPTURE_GROUP, command, "'%s' is not the name of a path", run.path);
    if (run.filter[0] && check_filter(run.filter, &diag))
        return dp_trouble("%s", diag.text);
    int rc = run.html ? dp_whole_file_check(NULL, 0, run.html, &diag) : 0;
    if (!rc)
        rc = dp_session_open(&run.options, &run.session, &diag);
    if (rc)
        return dp_trouble("%s", dp_reason(&diag, rc));
    return run_capture(&run);
}
