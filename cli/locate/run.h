/* One run of the engine over capture files. */
#ifndef DROPPOINT_CLI_LOCATE_RUN_H
#define DROPPOINT_CLI_LOCATE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/locate/args.h"
#include "cli/locate/merge.h"
#include "collector/locate/locate.h"
#include "common/err/err.h"

/* How the files were read. */
struct dp_locate_basis {
    int64_t reference_ns; /* what the report's clocks refer to */
    bool outermost;       /* the filter is about what frames are outside, not about what they carry */
};

/* Reads all files, with a progress line and warnings on standard error, and locates. The report is the
 * caller's (dp_report_free). Errors as from the files and the engine. */
int dp_locate_run(const struct dp_locate_args *args, struct dp_report **ret_report,
                  struct dp_locate_basis *ret_basis, struct dp_diag *diag) DP_MUST_CHECK;

/* The same run once more, for `tell` to hear of every transmission. Warnings are not said again. */
int dp_locate_run_again(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                        dp_locate_tell tell, void *context, struct dp_diag *diag) DP_MUST_CHECK;

/* One run for `tell` to hear of every transmission while it goes on; no warnings. The report is the caller's.
 */
int dp_locate_watch(const struct dp_locate_args *args, dp_locate_tell tell, void *context,
                    struct dp_report **ret_report, struct dp_diag *diag) DP_MUST_CHECK;

/* The lost packets of all the report's findings, for dp_merge_write. *ret_losses is malloc'd; the names in it
 * are the report's. DP_ERR_NOMEM. */
int dp_locate_losses(const struct dp_report *report, struct dp_merge_loss **ret_losses,
                     size_t *ret_count) DP_MUST_CHECK;

#endif
