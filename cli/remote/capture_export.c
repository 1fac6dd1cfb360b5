#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/remote/capture.h"
#include "cli/remote/export_files.h"
#include "cli/remote/export_merge.h"
#include "cli/remote/simple.h"
#include "cli/remote/text.h"

/* The collector may have 1 MiB under way; telling it this often keeps that full. */
#define CREDIT_EVERY (256 * 1024)
/* An agent may have to search a large ring before its first piece comes. */
#define LEAST_PATIENCE_MS 60000
#define SHOW_EVERY_MS 500

struct export
{
    struct dp_remote_options options;
    const char *capture_id, *out;
    bool all_flows, force;
    struct dp_session *session;
    json_t *document;
    struct dp_export_files *files;
    struct dp_diag diag;
    int rc; /* what taking in a chunk came to */
    uint64_t shown_ms;
};

static enum dp_take take_document(void *context, const Droppoint__Envelope *envelope)
{
    struct export *export = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_CAPTURE_DOCUMENT)
        return DP_TAKE_MORE;
    export->document = json_loads(envelope->capture_document->json, 0, NULL);
    return DP_TAKE_DONE;
}

static int fetch_document(struct export *export)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureShow show = DROPPOINT__CAPTURE_SHOW__INIT;
    show.capture_id = (char *)export->capture_id;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_SHOW;
    envelope.capture_show = &show;
    int rc = dp_session_ask(export->session, &envelope, take_document, export, &export->diag);
    if (!rc && !export->document)
        rc = dp_fail(&export->diag, DP_ERR_FORMAT, "the collector has no readable document of capture %s",
                     export->capture_id);
    return rc;
}

static void grant(struct export *export, const struct dp_export_file *file)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ExportCredit credit = DROPPOINT__EXPORT_CREDIT__INIT;
    credit.capture_id = (char *)export->capture_id;
    credit.vantage = file->vantage;
    credit.taken = file->taken;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CREDIT;
    envelope.export_credit = &credit;
    /* Can only fail when the collector is lost, which ends the request anyway. */
    int rc = dp_session_send(export->session, &envelope);
    (void)rc;
}

/* How much has come, on a terminal. */
static void show_progress(struct export *export)
{
    uint64_t now = uv_hrtime() / 1000000, bytes = 0;
    if (now - export->shown_ms < SHOW_EVERY_MS || !isatty(STDERR_FILENO))
        return;
    for (size_t i = 0; i < export->files->count; i++)
        bytes += export->files->files[i].taken;
    fprintf(stderr, "\r%.1f MB received\033[K", (double)bytes / 1e6);
    export->shown_ms = now;
}

static enum dp_take take_chunk(void *context, const Droppoint__Envelope *envelope)
{
    struct export *export = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK)
        return DP_TAKE_MORE;
    struct dp_export_file *file = NULL;
    const Droppoint__ExportChunk *chunk = envelope->export_chunk;
    export->rc = dp_export_files_take(export->files, chunk, &file, &export->diag);
    if (export->rc)
        return DP_TAKE_DONE;
    uint64_t before = file->taken - (file->error[0] ? 0 : chunk->data.len);
    if (before / CREDIT_EVERY != file->taken / CREDIT_EVERY)
        grant(export, file);
    show_progress(export);
    return DP_TAKE_MORE;
}

static int fetch_packets(struct export *export)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureExport request = DROPPOINT__CAPTURE_EXPORT__INIT;
    request.capture_id = (char *)export->capture_id;
    request.all_flows = export->all_flows;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_EXPORT;
    envelope.capture_export = &request;
    struct dp_diag diag = {""};
    if (export->options.timeout_ms < LEAST_PATIENCE_MS)
        dp_session_set_timeout(export->session, LEAST_PATIENCE_MS);
    export->shown_ms = uv_hrtime() / 1000000;
    int rc = dp_session_ask(export->session, &envelope, take_chunk, export, &diag);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (rc)
        export->diag = diag;
    return rc ? rc : export->rc;
}

/* Names the vantage points whose packets are missing. Returns how many have theirs. */
static size_t name_missing(const struct export *export)
{
    size_t whole = 0;
    for (size_t i = 0; i < export->files->count; i++) {
        struct dp_export_file *file = &export->files->files[i];
        if (file->complete) {
            whole++;
            continue;
        }
        fprintf(stderr, "The packets of %s are missing: %s\n", file->vantage,
                file->error[0] ? dp_printable(file->error) : "its agent sent none");
    }
    return whole;
}

static int write_merged(struct export *export)
{
    uint64_t packets = 0;
    size_t whole = name_missing(export);
    if (!whole)
        return dp_trouble(
            "no agent sent packets of capture %s; 'droppoint agent list' shows which are connected. "
            "Agents keep packets only for a while, as their ring_bytes allows",
            export->capture_id);
    int rc = dp_export_merge(export->files, export->document, export->out, &packets, &export->diag);
    if (rc)
        return dp_trouble("%s", dp_reason(&export->diag, rc));
    char count[DP_COUNT_TEXT];
    printf("Wrote %s: %s packet%s of %zu vantage point%s, in corrected time order.\n", export->out,
           dp_count_text(packets, count, sizeof count), packets == 1 ? "" : "s", whole,
           whole == 1 ? "" : "s");
    return whole == export->files->count ? DP_EXIT_CLEAN : DP_EXIT_INCONCLUSIVE;
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    struct export *export = signal->data;
    (void)number;
    dp_session_abort(export->session, DP_ERR_END);
}

static int run_export(struct export *export)
{
    uv_signal_t interrupt;
    (void)uv_signal_init(dp_session_loop(export->session), &interrupt);
    interrupt.data = export;
    (void)uv_signal_start(&interrupt, on_interrupt, SIGINT);
    int rc = fetch_document(export);
    if (!rc)
        rc = dp_export_files_new(export->document, &export->files, &export->diag);
    if (!rc)
        rc = fetch_packets(export);
    uv_close((uv_handle_t *)&interrupt, NULL);
    dp_session_close(export->session);
    int exit_code;
    if (rc == DP_ERR_END)
        exit_code = DP_EXIT_INTERRUPTED;
    else
        exit_code = rc ? dp_trouble("%s", dp_reason(&export->diag, rc)) : write_merged(export);
    dp_export_files_free(export->files);
    json_decref(export->document);
    return exit_code;
}

/* Takes the name, so that nobody else's file of that name is written over. */
static int claim(const char *out, struct dp_diag *diag)
{
    int fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    if (errno == EEXIST)
        return dp_fail(diag, DP_ERR_EXISTS,
                       "%s exists already; give another name, or --force to write over it", out);
    return dp_fail(diag, DP_ERR_IO, "%s can't be written: %s", out, strerror(errno));
}

int dp_capture_export_command(const struct dp_command *command, int argc, char **argv)
{
    struct export export = {.out = NULL};
    struct dp_words words;
    const struct dp_option more[] = {
        {"--merge", DP_OPTION_TEXT, &export.out, 0, 0},
        {"--all-flows", DP_OPTION_FLAG, &export.all_flows, 0, 0},
        {"--force", DP_OPTION_FLAG, &export.force, 0, 0},
    };
    if (dp_simple_parse(DP_CAPTURE_GROUP, command, argc, argv, &export.options, more,
                        sizeof more / sizeof more[0], 1, 1, &words))
        return DP_EXIT_TROUBLE;
    export.capture_id = words.word[0];
    if (!dp_capture_id_check(command, export.capture_id))
        return DP_EXIT_TROUBLE;
    if (!export.out)
        return dp_usage_error(DP_CAPTURE_GROUP, command,
                              "--merge is missing: the file to write the packets to");
    /* Before anything travels, so that an hour's download does not end in a wrong name. */
    int rc = export.force ? 0 : claim(export.out, &export.diag);
    if (rc)
        return dp_trouble("%s", export.diag.text);
    int exit_code;
    rc = dp_session_open(&export.options, &export.session, &export.diag);
    if (rc)
        exit_code = dp_trouble("%s", dp_reason(&export.diag, rc));
    else
        exit_code = run_export(&export);
    if (!export.force && (exit_code == DP_EXIT_TROUBLE || exit_code == DP_EXIT_INTERRUPTED))
        (void)unlink(export.out);
    return exit_code;
}
