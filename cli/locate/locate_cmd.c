#include "cli/locate/locate_cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cli/locate/args.h"
#include "cli/locate/inputs.h"
#include "cli/locate/same_file.h"
#include "collector/locate/locate.h"
#include "collector/report/report_out.h"

#define EXIT_WRONG 2

static const char help[] =
    "Usage: droppoint locate [options] NAME=FILE [NAME=FILE ...]\n"
    "\n"
    "Says on which stretch of the path packets get lost, from captures of the same traffic at several "
    "places.\n"
    "Each NAME=FILE is one vantage point, near end first: a name (host/interface, or any label) and its pcap "
    "or\n"
    "pcapng file, which may be compressed with gzip, zstd or lz4.\n"
    "\n"
    "  --json                 print one JSON document and nothing else\n"
    "  --filter BPF           look only at packets that match this pcap-filter expression\n"
    "  --merge OUT.pcapng     also write all packets in corrected time order, with a comment on each lost "
    "one\n"
    "  --no-clock-correction  take the timestamps as they are\n"
    "  -h, --help             show this\n"
    "\n"
    "Exit codes: 0 nothing lost, 1 a fault was located, 2 wrong usage or unreadable input, 3 inconclusive.\n"
    "\n"
    "Examples:\n"
    "  droppoint locate mx1/eth0=mx1.pcap lb1/eth0=lb1-in.pcap lb1/eth1=lb1-out.pcap "
    "edge1/eth0=edge1.pcap.zst\n"
    "  droppoint locate --filter 'tcp port 25' --merge all.pcapng mx1/eth0=mx1.pcap edge1/eth0=edge1.pcap\n"
    "  droppoint locate --json mx1/eth0=mx1.pcapng.gz edge1/eth0=edge1.pcapng.gz | jq .verdict\n";

static int fail(const struct dp_diag *diag, int code)
{
    (void)fprintf(stderr, "droppoint locate: %s\n", dp_reason(diag, code));
    return EXIT_WRONG;
}

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
    if (code != DP_ERR_END)
        return code;
    for (size_t i = 0; i < args->count; i++) {
        const char *warning;
        for (size_t n = 0; (warning = dp_inputs_warning(inputs, i, n)) != NULL; n++)
            (void)fprintf(stderr, "droppoint locate: warning: %s\n", warning);
    }
    return DP_OK;
}

static int run_engine(const struct dp_locate_args *args, struct dp_report **ret_report, struct dp_diag *diag)
{
    struct dp_inputs *inputs = NULL;
    struct dp_locate *locate = NULL;
    struct dp_locate_options options = {.no_clock_correction = args->no_clock_correction};
    int code = dp_inputs_open(args, &inputs, diag);
    if (code == DP_OK &&
        getrandom(&options.table_seed, sizeof options.table_seed, 0) != sizeof options.table_seed)
        code = dp_fail(diag, DP_ERR_IO, "No random bytes can be had: %s.", strerror(errno));
    if (code == DP_OK)
        code = dp_locate_new((const char *const *)args->names, args->count, &options, &locate);
    if (code == DP_OK)
        code = feed_all(args, inputs, locate, diag);
    if (code == DP_OK)
        code = dp_locate_finish(locate, ret_report);
    dp_locate_free(locate);
    dp_inputs_close(inputs);
    return code;
}

static int print_report(const struct dp_locate_args *args, const json_t *document, struct dp_diag *diag)
{
    bool colour = isatty(STDOUT_FILENO) == 1 && !getenv("NO_COLOR");
    char *text = NULL;
    int code = DP_OK;
    if (args->json)
        text = json_dumps(document, DP_REPORT_JSON_FLAGS);
    else
        code = dp_report_text(document, colour, &text);
    if (code == DP_OK && !text)
        code = DP_ERR_NOMEM;
    if (code == DP_OK &&
        (fputs(text, stdout) == EOF || (args->json && putchar('\n') == EOF) || fflush(stdout) != 0))
        code = dp_fail(diag, DP_ERR_IO, "The report could not be written to standard output: %s.",
                       strerror(errno));
    free(text);
    return code;
}

static int locate(const struct dp_locate_args *args, int *ret_exit, struct dp_diag *diag)
{
    int code = dp_same_file_check((const char *const *)args->names, args->paths, args->count, diag);
    struct dp_report *report = NULL;
    json_t *document = NULL;
    if (code == DP_OK)
        code = run_engine(args, &report, diag);
    if (code == DP_OK)
        code = dp_report_json(report, &document);
    if (code == DP_OK)
        code = print_report(args, document, diag);
    if (code == DP_OK)
        *ret_exit = dp_report_exit_code(report);
    json_decref(document);
    dp_report_free(report);
    return code;
}

int dp_cli_locate(int argc, char **argv)
{
    struct dp_diag diag = {""};
    struct dp_locate_args args;
    int exit_code = 0;
    int code = dp_locate_args_parse(argc, argv, &args, &diag);
    if (code == DP_OK && args.help)
        (void)fputs(help, stdout);
    else if (code == DP_OK)
        code = locate(&args, &exit_code, &diag);
    dp_locate_args_free(&args);
    return code == DP_OK ? exit_code : fail(&diag, code);
}
