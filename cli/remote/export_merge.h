/* Puts the exported files together into one. */
#ifndef DROPPOINT_CLI_REMOTE_EXPORT_MERGE_H
#define DROPPOINT_CLI_REMOTE_EXPORT_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/remote/export_files.h"

/* Merges the complete ones of `files` in corrected time order into `out`, which appears whole or not at all.
 * DP_ERR_EXISTS: it is there and `force` is not given. DP_ERR_IO, DP_ERR_FORMAT. */
int dp_export_merge(const struct dp_export_files *files, const char *out, bool force, uint64_t *ret_packets,
                    struct dp_diag *diag) DP_MUST_CHECK;

#endif
