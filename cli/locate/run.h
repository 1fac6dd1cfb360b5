/* One run of the engine over capture files. */
#ifndef DROPPOINT_CLI_LOCATE_RUN_H
#define DROPPOINT_CLI_LOCATE_RUN_H

#include <stdint.h>

#include "cli/locate/args.h"
#include "collector/locate/report.h"
#include "common/err/err.h"

/* Reads all files, with a progress line and warnings on standard error, and locates. The report is the
 * caller's (dp_report_free); *ret_reference_ns is what the report's clocks refer to. Errors as from the files
 * and the engine. */
int dp_locate_run(const struct dp_locate_args *args, struct dp_report **ret_report, int64_t *ret_reference_ns,
                  struct dp_diag *diag) DP_MUST_CHECK;

#endif
