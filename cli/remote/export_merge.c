#include "cli/remote/export_merge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* "2026-01-02T03:04:05.678901Z" as nanoseconds since the epoch; false where it is something else. */
static bool read_time(const json_t *value, int64_t *ret_ns)
{
    const char *text = json_string_value(value);
    struct tm tm = {0};
    long micros = 0;
    char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (!rest)
        return false;
    if (*rest == '.')
        micros = strtol(rest + 1, &rest, 10);
    if (strcmp(rest, "Z") != 0 || micros < 0 || micros > 999999)
        return false;
    *ret_ns = ((int64_t)timegm(&tm) * 1000000 + micros) * 1000;
    return true;
}

/* From when to when each vantage point captured, as the document says. */
static void windows_of_document(const json_t *document, struct dp_locate_args *args)
{
    size_t i;
    json_t *vantage;
    json_array_foreach(json_object_get(json_object_get(document, "capture"), "vantages"), i, vantage)
    {
        const char *name = json_string_value(json_object_get(vantage, "name"));
        for (size_t k = 0; name && k < args->count; k++) {
            struct dp_known_capture *known = &args->known[k];
            if (strcmp(args->names[k], name) != 0 ||
                !read_time(json_object_get(vantage, "started_at"), &known->start_ns) ||
                !read_time(json_object_get(vantage, "ended_at"), &known->end_ns))
                continue;
            known->known = known->end_ns > known->start_ns;
            known->dropped = (uint64_t)json_integer_value(json_object_get(vantage, "kernel_dropped"));
        }
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
                                            .reference_ns = reference_ns,
                                            .sets = vantage->clock_sets,
                                            .set_count = vantage->clock_set_count,
                                            .has_window = args->known[i].known,
                                            .start_ns = args->known[i].start_ns,
                                            .end_ns = args->known[i].end_ns};
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
    windows_of_document(document, &args);
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
