#include "cli/remote/export_merge.h"

#include <stdlib.h>
#include <string.h>

#include "cli/locate/merge.h"
#include "cli/locate/run.h"
#include "collector/locate/locate.h"

/* The document's clock of a vantage point, drawn from the whole capture; used where the exported packets
 * alone say nothing about it. */
static void clock_of_document(const json_t *document, const char *name, struct dp_merge_input *input)
{
    size_t i;
    json_t *vantage;
    json_array_foreach(json_object_get(document, "vantages"), i, vantage)
    {
        const char *its_name = json_string_value(json_object_get(vantage, "name"));
        if (!its_name || strcmp(its_name, name) != 0)
            continue;
        input->offset_ns = json_integer_value(json_object_get(vantage, "clock_offset_ns"));
        input->skew_ppm = json_number_value(json_object_get(vantage, "clock_skew_ppm"));
    }
}

static int write_merged(const struct dp_locate_args *args, const json_t *document,
                        const struct dp_report *report, int64_t reference_ns, const char *out,
                        struct dp_diag *diag)
{
    struct dp_merge_input inputs[DP_LOCATE_MAX_VANTAGES];
    struct dp_merge_loss *losses = NULL;
    size_t loss_count = 0;
    for (size_t i = 0; i < args->count; i++) {
        const struct dp_vantage_report *vantage = &report->vantages[i];
        inputs[i] = (struct dp_merge_input){.name = args->names[i],
                                            .path = args->paths[i],
                                            .offset_ns = vantage->clock_offset_ns,
                                            .skew_ppm = vantage->clock_skew_ppm,
                                            .reference_ns = reference_ns};
        if (vantage->clock_error_ns < 0)
            clock_of_document(document, args->names[i], &inputs[i]);
    }
    int code = dp_locate_losses(report, &losses, &loss_count);
    if (code == DP_OK)
        code = dp_merge_write(inputs, args->count, losses, loss_count, NULL, out, diag);
    free(losses);
    return code;
}

int dp_export_merge(const struct dp_export_files *files, const json_t *document, const char *out,
                    uint64_t *ret_packets, struct dp_diag *diag)
{
    struct dp_locate_args args = {.count = 0};
    struct dp_report *report = NULL;
    uint64_t packets = 0;
    int64_t reference_ns = 0;
    for (size_t i = 0; i < files->count && args.count < DP_LOCATE_MAX_VANTAGES; i++)
        if (files->files[i].complete) {
            args.names[args.count] = files->files[i].vantage;
            args.paths[args.count++] = files->files[i].path;
        }
    /* As `droppoint locate --merge` does: the packets themselves tell which were lost, and the clocks. */
    int code = dp_locate_run(&args, &report, &reference_ns, diag);
    if (code == DP_OK)
        code = write_merged(&args, document, report, reference_ns, out, diag);
    for (size_t i = 0; code == DP_OK && i < report->vantage_count; i++)
        packets += report->vantages[i].packets;
    dp_report_free(report);
    if (code == DP_OK)
        *ret_packets = packets;
    return code;
}
