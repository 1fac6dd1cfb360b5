#include "cli/probe/remote.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/prober.h"
#include "cli/probe/print.h"
#include "cli/remote/text.h"

#define SILENCE_MS 15000 /* the collector says twice a second how it stands */
#define QUIET_MS 2000
#define AGENTS_MAX 1024

struct remote_run {
    struct dp_session *session;
    uv_signal_t interrupt, terminate;
    uv_timer_t patience;
    char id[64];
    char waiting[300]; /* for whom, as it was told last */
    bool cancel_wanted, cancel_sent, progress;
    json_t *results;
    json_t *document;
    int code;
    struct dp_diag *diag;
};

/* --- what comes --- */

static void send_cancel(struct remote_run *run)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeCancel cancel = DROPPOINT__PROBE_CANCEL__INIT;
    if (!run->cancel_wanted || run->cancel_sent || !run->id[0])
        return;
    cancel.probe_id = run->id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_CANCEL;
    envelope.probe_cancel = &cancel;
    run->cancel_sent = !dp_session_send(run->session, &envelope);
}

static void note_waiting(struct remote_run *run, const Droppoint__ProbeProgress *progress)
{
    size_t done = 0, len = 0;
    char names[200] = "";
    for (size_t i = 0; i < progress->n_agents; i++) {
        const Droppoint__ProbeAgent *agent = progress->agents[i];
        bool over = !strcmp(agent->state, "done") || !strcmp(agent->state, "failed");
        done += over;
        if (!over && len < sizeof names)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s%s", len ? ", " : "", agent->agent,
                                    !strcmp(agent->state, "away") ? " (away)" : "");
    }
    (void)snprintf(run->waiting, sizeof run->waiting, "%zu of %zu agents are done; waiting for %s", done,
                   progress->n_agents, len ? names : "the last word");
}

static void take_result(struct remote_run *run, const char *text)
{
    json_t *result = json_loads(text, 0, NULL);
    if (json_is_object(result))
        (void)json_array_append(run->results, result);
    json_decref(result);
}

static void take_done(struct remote_run *run, const Droppoint__ProbeDone *done)
{
    json_t *about = json_loads(done->json, 0, NULL);
    const char *kind = json_string_value(json_object_get(about, "kind")),
               *target = json_string_value(json_object_get(about, "target"));
    json_t *failures = json_object_get(about, "failures");
    if (done->code) {
        run->code =
            dp_fail(run->diag, done->code, "%s", done->text[0] ? done->text : dp_err_sentence(done->code));
    } else if (kind && target) {
        run->document = probe_document(kind, target, run->results, json_object_get(about, "comparison"));
        (void)json_object_set_new(run->document, "id", json_string(done->probe_id));
        if (failures)
            (void)json_object_set(run->document, "failures", failures);
    }
    if (!run->code && !run->document)
        run->code = dp_fail(run->diag, DP_ERR_PROTOCOL, "the collector's answer can't be read");
    json_decref(about);
}

static enum dp_take take(void *context, const Droppoint__Envelope *envelope)
{
    struct remote_run *run = context;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_PROBE_PROGRESS:
        (void)snprintf(run->id, sizeof run->id, "%s", envelope->probe_progress->probe_id);
        note_waiting(run, envelope->probe_progress);
        send_cancel(run);
        return DP_TAKE_MORE;
    case DROPPOINT__ENVELOPE__BODY_PROBE_RESULT:
        take_result(run, envelope->probe_result->json);
        return DP_TAKE_MORE;
    case DROPPOINT__ENVELOPE__BODY_PROBE_DONE:
        take_done(run, envelope->probe_done);
        return DP_TAKE_DONE;
    default:
        return DP_TAKE_MORE;
    }
}

/* --- asking --- */

struct option_list {
    Droppoint__ProbeOption *options;
    size_t count;
};

static void count_option(void *context, const char *option, const char *value)
{
    (void)option;
    (void)value;
    ++*(size_t *)context;
}

static void add_option(void *context, const char *option, const char *value)
{
    struct option_list *list = context;
    Droppoint__ProbeOption *own = &list->options[list->count++];
    droppoint__probe_option__init(own);
    own->name = (char *)(uintptr_t)option;
    own->value = value ? (char *)(uintptr_t)value : own->value;
}

/* Splits "mx1,lb1" in place; "all": none. */
static int split_agents(char *from, char *names[AGENTS_MAX], size_t *ret_count, struct dp_diag *diag)
{
    *ret_count = 0;
    if (!strcmp(from, "all"))
        return 0;
    for (char *rest = from, *name; (name = strsep(&rest, ",")) != NULL;) {
        if (!dp_wire_name_valid(name))
            return dp_fail(
                diag, DP_ERR_USAGE,
                "--from: '%.100s' is no agent's name; 'droppoint agent list' shows those there are", name);
        if (*ret_count == AGENTS_MAX)
            return dp_fail(diag, DP_ERR_USAGE, "--from: more than %d agents", AGENTS_MAX);
        names[(*ret_count)++] = name;
    }
    return 0;
}

static int ask(struct remote_run *run, const struct probe_options *options, char **names, size_t name_count,
               struct dp_diag *diag)
{
    const struct dp_request *request = options->request;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeRun body = DROPPOINT__PROBE_RUN__INIT;
    struct option_list list = {.count = 0};
    size_t count = 0;
    dp_request_each(request, count_option, &count);
    list.options = calloc(count + 1, sizeof *list.options);
    Droppoint__ProbeOption **pointers = calloc(count + 1, sizeof(Droppoint__ProbeOption *));
    int rc = list.options && pointers ? 0 : DP_ERR_NOMEM;
    if (!rc) {
        dp_request_each(request, add_option, &list);
        for (size_t i = 0; i < list.count; i++)
            pointers[i] = &list.options[i];
        body.agents = names;
        body.n_agents = name_count;
        body.kind = (char *)(uintptr_t)dp_request_kind(request)->name;
        body.target = (char *)(uintptr_t)dp_request_target(request);
        body.options = pointers;
        body.n_options = list.count;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_RUN;
        envelope.probe_run = &body;
        dp_session_set_timeout(run->session, SILENCE_MS);
        rc = dp_session_ask(run->session, &envelope, take, run, diag);
    }
    free(list.options);
    free(pointers);
    return rc;
}

/* --- while it runs --- */

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct remote_run *run = handle->data;
    (void)number;
    if (run->cancel_wanted) {
        dp_session_abort(run->session, DP_ERR_END);
        return;
    }
    run->cancel_wanted = true;
    fprintf(stderr, "Stopping; what there is follows. Ctrl-C again leaves at once.\n");
    send_cancel(run);
}

static void on_patience(uv_timer_t *timer)
{
    const struct remote_run *run = timer->data;
    if (run->progress && run->waiting[0])
        fprintf(stderr, "%s\n", run->waiting);
}

static int run_it(struct remote_run *run, const struct probe_options *options, char **names,
                  size_t name_count)
{
    uv_loop_t *loop = dp_session_loop(run->session);
    (void)uv_signal_init(loop, &run->interrupt);
    (void)uv_signal_init(loop, &run->terminate);
    (void)uv_timer_init(loop, &run->patience);
    run->interrupt.data = run->terminate.data = run->patience.data = run;
    (void)uv_signal_start(&run->interrupt, on_interrupt, SIGINT);
    (void)uv_signal_start(&run->terminate, on_interrupt, SIGTERM);
    (void)uv_timer_start(&run->patience, on_patience, QUIET_MS, QUIET_MS);
    int rc = ask(run, options, names, name_count, run->diag);
    uv_close((uv_handle_t *)&run->interrupt, NULL);
    uv_close((uv_handle_t *)&run->terminate, NULL);
    uv_close((uv_handle_t *)&run->patience, NULL);
    if (rc && run->id[0]) {
        struct dp_diag why = *run->diag;
        rc = dp_fail(run->diag, rc, "%s. The probe goes on; what comes of it: droppoint probe history %s",
                     rc == DP_ERR_END ? "left" : why.text, run->id);
    }
    return rc;
}

int probe_run_remote(const struct probe_options *options, bool progress, json_t **ret_document,
                     struct dp_diag *diag)
{
    struct remote_run run = {.progress = progress, .diag = diag};
    char *names[AGENTS_MAX], *from = strdup(options->from);
    size_t name_count = 0;
    run.results = json_array();
    int rc = from && run.results ? split_agents(from, names, &name_count, diag) : DP_ERR_NOMEM;
    if (!rc)
        rc = dp_session_open(&options->remote, &run.session, diag);
    if (!rc) {
        rc = run_it(&run, options, names, name_count);
        dp_session_close(run.session);
    }
    free(from);
    json_decref(run.results);
    if (!rc)
        rc = run.code;
    if (rc)
        json_decref(run.document);
    else
        *ret_document = run.document;
    return rc;
}

int probe_fetch(const struct dp_remote_options *options, const char *id, json_t **ret_document,
                struct dp_diag *diag)
{
    struct remote_run run = {.diag = diag};
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeShow show = DROPPOINT__PROBE_SHOW__INIT;
    show.probe_id = (char *)(uintptr_t)id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_SHOW;
    envelope.probe_show = &show;
    run.results = json_array();
    int rc = run.results ? dp_session_open(options, &run.session, diag) : DP_ERR_NOMEM;
    if (!rc)
        rc = dp_session_ask(run.session, &envelope, take, &run, diag);
    dp_session_close(run.session);
    json_decref(run.results);
    if (!rc)
        rc = run.code;
    if (!rc && !run.document)
        rc = DP_ERR_PROTOCOL;
    if (rc)
        json_decref(run.document);
    else
        *ret_document = run.document;
    return rc;
}
