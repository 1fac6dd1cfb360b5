#include "cli/locate/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cli/locate/inputs.h"

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One line on a terminal, shown only for runs that take long. */
struct progress {
    bool wanted;
    bool shown;
    int64_t next_ms;
};

static void progress_show(struct progress *progress, const struct dp_locate_args *args,
                          const struct dp_inputs *inputs)
{
    if (!progress->wanted || now_ms() < progress->next_ms)
        return;
    progress->next_ms = now_ms() + 250;
    progress->shown = true;
    char line[110];
    size_t used = 0;
    for (size_t i = 0; i < args->count && used < sizeof line; i++) {
        int wrote = snprintf(line + used, sizeof line - used, "  %s %" PRIu64, args->names[i],
                             dp_inputs_packets(inputs, i));
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    (void)fprintf(stderr, "\r\033[K%3.0f %% read%s", dp_inputs_progress(inputs) * 100, line);
}

static void progress_clear(const struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
}

static int feed_all(const struct dp_locate_args *args, struct dp_inputs *inputs, struct dp_locate *locate,
                    struct dp_diag *diag)
{
    struct progress progress = {.wanted = isatty(STDERR_FILENO) == 1, .next_ms = now_ms() + 2000};
    int code;
    while ((code = dp_inputs_step(inputs, locate, diag)) == DP_OK)
        progress_show(&progress, args, inputs);
    progress_clear(&progress);
    return code == DP_ERR_END ? DP_OK : code;
}

static void print_warnings(const struct dp_locate_args *args, const struct dp_inputs *inputs)
{
    for (size_t i = 0; i < args->count; i++) {
        const char *warning;
        for (size_t n = 0; (warning = dp_inputs_warning(inputs, i, n)) != NULL; n++)
            (void)fprintf(stderr, "droppoint locate: warning: %s\n", warning);
    }
}

/* Opens the files and feeds all that they hold to a new engine. Both are the caller's also after failure. */
static int read_all(const struct dp_locate_args *args, bool outermost, dp_locate_tell tell, void *context,
                    struct dp_inputs **inputs, struct dp_locate **locate, struct dp_diag *diag)
{
    struct dp_locate_options options = {.no_clock_correction = args->no_clock_correction};
    int code = dp_inputs_open(args, outermost, inputs, diag);
    if (code == DP_OK &&
        getrandom(&options.table_seed, sizeof options.table_seed, 0) != sizeof options.table_seed)
        code = dp_fail(diag, DP_ERR_IO, "No random bytes can be had: %s.", strerror(errno));
    if (code == DP_OK)
        code = dp_locate_new((const char *const *)args->names, args->count, &options, locate);
    if (code == DP_OK && tell)
        dp_locate_trace(*locate, tell, context);
    if (code == DP_OK)
        code = feed_all(args, *inputs, *locate, diag);
    return code;
}

static void forget(struct dp_inputs **inputs, struct dp_locate **locate)
{
    dp_locate_free(*locate);
    dp_inputs_close(*inputs);
    *locate = NULL;
    *inputs = NULL;
}

/* As the filter is meant: about the innermost packets, unless it fits only those outside. */
static int read_as_meant(const struct dp_locate_args *args, dp_locate_tell tell, void *context,
                         bool *ret_outermost, struct dp_inputs **inputs, struct dp_locate **locate,
                         struct dp_diag *diag)
{
    int code = read_all(args, false, tell, context, inputs, locate, diag);
    *ret_outermost = code == DP_OK && dp_inputs_only_outermost(*inputs);
    if (!*ret_outermost)
        return code;
    forget(inputs, locate);
    return read_all(args, true, tell, context, inputs, locate, diag);
}

int dp_locate_run(const struct dp_locate_args *args, struct dp_report **ret_report,
                  struct dp_locate_basis *ret_basis, struct dp_diag *diag)
{
    struct dp_inputs *inputs = NULL;
    struct dp_locate *locate = NULL;
    struct dp_locate_basis basis = {0};
    int code = read_as_meant(args, NULL, NULL, &basis.outermost, &inputs, &locate, diag);
    if (code == DP_OK) {
        print_warnings(args, inputs);
        basis.reference_ns = dp_inputs_reference_ns(inputs);
        code = dp_locate_finish(locate, ret_report);
    }
    if (code == DP_OK)
        *ret_basis = basis;
    forget(&inputs, &locate);
    return code;
}

int dp_locate_run_again(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                        dp_locate_tell tell, void *context, struct dp_diag *diag)
{
    struct dp_inputs *inputs = NULL;
    struct dp_locate *locate = NULL;
    struct dp_report *report = NULL;
    int code = read_all(args, basis->outermost, tell, context, &inputs, &locate, diag);
    if (code == DP_OK)
        code = dp_locate_finish(locate, &report);
    dp_report_free(report);
    forget(&inputs, &locate);
    return code;
}

int dp_locate_watch(const struct dp_locate_args *args, dp_locate_tell tell, void *context,
                    struct dp_report **ret_report, struct dp_diag *diag)
{
    struct dp_inputs *inputs = NULL;
    struct dp_locate *locate = NULL;
    bool outermost;
    int code = read_as_meant(args, tell, context, &outermost, &inputs, &locate, diag);
    if (code == DP_OK)
        code = dp_locate_finish(locate, ret_report);
    forget(&inputs, &locate);
    return code;
}

static const char *point_name(const struct dp_report *report, int point)
{
    if (point == DP_POINT_BEFORE)
        return "before";
    return point >= 0 && (size_t)point < report->vantage_count ? report->vantages[point].name : "beyond";
}

int dp_locate_losses(const struct dp_report *report, struct dp_merge_loss **ret_losses, size_t *ret_count)
{
    size_t room = 0;
    for (size_t i = 0; i < report->finding_count; i++)
        room += report->findings[i].packet_count;
    struct dp_merge_loss *losses = calloc(room + 1, sizeof *losses);
    if (!losses)
        return DP_ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct dp_finding *finding = &report->findings[i];
        for (size_t n = 0; n < finding->packet_count; n++) {
            const struct dp_lost_packet *packet = &finding->packets[n];
            if (packet->only_shown)
                continue;
            losses[count++] = (struct dp_merge_loss){
                .input = packet->vantage,
                .ts_ns = packet->ts_ns,
                .seq = packet->seq,
                .payload_len = packet->payload_len,
                .lost_bytes = packet->lost_bytes,
                .from = point_name(report, finding->from),
                .to = point_name(report, finding->to),
            };
        }
    }
    *ret_losses = losses;
    *ret_count = count;
    return DP_OK;
}
