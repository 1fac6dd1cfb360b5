/* Puts the exported files together into one. */
#ifndef DROPPOINT_CLI_REMOTE_EXPORT_MERGE_H
#define DROPPOINT_CLI_REMOTE_EXPORT_MERGE_H

#include <stdint.h>

#include "cli/remote/export_files.h"

/* Merges the complete ones of `files` in corrected time order into `out`, which appears whole or not at all
 * and replaces a file of that name. Lost packets bear a comment. document: the capture's. DP_ERR_IO,
 * DP_ERR_FORMAT. */
int dp_export_merge(const struct dp_export_files *files, const json_t *document, const char *out,
                    uint64_t *ret_packets, struct dp_diag *diag) DP_MUST_CHECK;

#endif
