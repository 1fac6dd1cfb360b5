#include "cli/locate/locate_cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/locate/args.h"
#include "cli/locate/discover.h"
#include "cli/locate/merge.h"
#include "cli/locate/page.h"
#include "cli/locate/run.h"
#include "cli/locate/same_file.h"
#include "cli/locate/whole_file.h"
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
    "  --html OUT.html        also write the report as a page: path, charts, and the packets around the "
    "losses\n"
    "  --discover-order       take the files in any order and find the path's from what they show\n"
    "  --no-clock-correction  take the timestamps as they are\n"
    "  -h, --help             show this\n"
    "\n"
    "Exit codes: 0 nothing lost, 1 a fault was located, 2 wrong usage or unreadable input, 3 inconclusive.\n"
    "\n"
    "Examples:\n"
    "  droppoint locate mx1/eth0=mx1.pcap lb1/eth0=lb1-in.pcap lb1/eth1=lb1-out.pcap "
    "edge1/eth0=edge1.pcap.zst\n"
    "  droppoint locate --filter 'tcp port 25' --merge all.pcapng mx1/eth0=mx1.pcap edge1/eth0=edge1.pcap\n"
    "  droppoint locate --html report.html mx1/eth0=mx1.pcap lb1/eth0=lb1-in.pcap lb1/eth1=lb1-out.pcap\n"
    "  droppoint locate --discover-order edge1/eth0=edge1.pcap mx1/eth0=mx1.pcap lb1/eth0=lb1.pcap\n"
    "  droppoint locate --json mx1/eth0=mx1.pcapng.gz edge1/eth0=edge1.pcapng.gz | jq .verdict\n";

static int fail(const struct dp_diag *diag, int code)
{
    (void)fprintf(stderr, "droppoint locate: %s\n", dp_reason(diag, code));
    return EXIT_WRONG;
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

static int merge(const struct dp_locate_args *args, const struct dp_report *report, int64_t reference_ns,
                 struct dp_diag *diag)
{
    struct dp_merge_input inputs[DP_LOCATE_MAX_VANTAGES];
    for (size_t i = 0; i < args->count; i++)
        inputs[i] = (struct dp_merge_input){
            .name = args->names[i],
            .path = args->paths[i],
            .offset_ns = report->vantages[i].clock_offset_ns,
            .skew_ppm = report->vantages[i].clock_skew_ppm,
            .reference_ns = reference_ns,
            .sets = report->vantages[i].clock_sets,
            .set_count = report->vantages[i].clock_set_count,
        };
    struct dp_merge_loss *losses = NULL;
    size_t loss_count = 0;
    int code = dp_locate_losses(report, &losses, &loss_count);
    if (code == DP_OK)
        code = dp_merge_write(inputs, args->count, losses, loss_count, args->filter, args->merge, diag);
    free(losses);
    if (code == DP_OK && !args->json)
        printf("\nAll packets in corrected time order, with a comment on each lost one: %s\n", args->merge);
    return code;
}

static int page(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                const struct dp_report *report, const json_t *document, struct dp_diag *diag)
{
    int code = dp_locate_page(args, basis, report, document, diag);
    if (code == DP_OK && !args->json)
        printf("\nThe report as a page, with the packets around the losses: %s\n", args->html);
    return code;
}

/* Before the work begins: whether what is to be written can be. */
static int check_outputs(const struct dp_locate_args *args, struct dp_diag *diag)
{
    int code = DP_OK;
    if (args->merge)
        code = dp_whole_file_check(args->paths, args->count, args->merge, diag);
    if (code == DP_OK && args->html)
        code = dp_whole_file_check(args->paths, args->count, args->html, diag);
    if (code == DP_OK && args->merge && args->html && dp_whole_file_same(args->merge, args->html))
        code = dp_fail(diag, DP_ERR_USAGE, "%s: is named for both --merge and --html. Name two files.",
                       args->html);
    return code;
}

/* Before anything is located: the path. */
static int discover(struct dp_locate_args *args, json_t **ret_order, struct dp_diag *diag)
{
    char *text = NULL;
    int code = dp_locate_discover(args, ret_order, diag);
    if (code == DP_OK && !args->json)
        code = dp_locate_order_text(*ret_order, &text);
    if (code == DP_OK && text)
        (void)fputs(text, stdout);
    free(text);
    return code;
}

static int locate(struct dp_locate_args *args, int *ret_exit, struct dp_diag *diag)
{
    const char *const *names = (const char *const *)args->names;
    int code = dp_same_file_check(names, args->paths, args->count, diag);
    if (code == DP_OK)
        code = check_outputs(args, diag);
    struct dp_report *report = NULL;
    json_t *document = NULL, *order = NULL;
    struct dp_locate_basis basis = {0};
    if (code == DP_OK && args->discover_order)
        code = discover(args, &order, diag);
    if (code == DP_OK)
        code = dp_locate_run(args, &report, &basis, diag);
    if (code == DP_OK)
        code = dp_report_json(report, &document);
    if (code == DP_OK && order && json_object_set(document, "order", order) != 0)
        code = DP_ERR_NOMEM;
    if (code == DP_OK)
        code = print_report(args, document, diag);
    if (code == DP_OK && args->merge)
        code = merge(args, report, basis.reference_ns, diag);
    if (code == DP_OK && args->html)
        code = page(args, &basis, report, document, diag);
    if (code == DP_OK)
        *ret_exit = dp_report_exit_code(report);
    json_decref(document);
    json_decref(order);
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
