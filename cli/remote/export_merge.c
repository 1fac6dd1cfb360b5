#include "cli/remote/export_merge.h"

#include <stdlib.h>
#include <string.h>

#include "cli/locate/merge.h"
#include "cli/locate/run.h"
#include "collector/locate/locate.h"

static const char *point_name(const struct dp_report *report, int point)
{
    if (point == DP_POINT_BEFORE)
        return "before";
    return point == DP_POINT_BEYOND ? "beyond" : report->vantages[point].name;
}

static size_t count_losses(const struct dp_report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < report->finding_count; i++)
        count += report->findings[i].packet_count;
    return count;
}

static void fill_losses(const struct dp_report *report, struct dp_merge_loss *losses)
{
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct dp_finding *finding = &report->findings[i];
        for (size_t j = 0; j < finding->packet_count; j++) {
            const struct dp_lost_packet *packet = &finding->packets[j];
            *losses++ = (struct dp_merge_loss){.input = packet->vantage,
                                               .ts_ns = packet->ts_ns,
                                               .seq = packet->seq,
                                               .payload_len = packet->payload_len,
                                               .lost_bytes = packet->lost_bytes,
                                               .from = point_name(report, finding->from),
                                               .to = point_name(report, finding->to)};
        }
    }
}

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
    struct dp_merge_input *inputs = calloc(args->count, sizeof *inputs);
    size_t loss_count = count_losses(report);
    struct dp_merge_loss *losses = calloc(loss_count + 1, sizeof *losses);
    int code = inputs && losses ? DP_OK : DP_ERR_NOMEM;
    for (size_t i = 0; code == DP_OK && i < args->count; i++) {
        const struct dp_vantage_report *vantage = &report->vantages[i];
        inputs[i] = (struct dp_merge_input){.name = args->names[i],
                                            .path = args->paths[i],
                                            .offset_ns = vantage->clock_offset_ns,
                                            .skew_ppm = vantage->clock_skew_ppm,
                                            .reference_ns = reference_ns};
        if (vantage->clock_error_ns < 0)
            clock_of_document(document, args->names[i], &inputs[i]);
    }
    if (code == DP_OK) {
        fill_losses(report, losses);
        code = dp_merge_write(inputs, args->count, losses, loss_count, NULL, out, diag);
    }
    free(inputs);
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
