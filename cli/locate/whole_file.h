/* Files that appear whole or not at all. */
#ifndef DROPPOINT_CLI_LOCATE_WHOLE_FILE_H
#define DROPPOINT_CLI_LOCATE_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err/err.h"

/* Whether `out` may be written: DP_ERR_USAGE where that would overwrite one of the captures, DP_ERR_IO where
 * it cannot. For a word before long work. */
int dp_whole_file_check(const char *const *captures, size_t count, const char *out,
                        struct dp_diag *diag) DP_MUST_CHECK;

/* Whether both names would lead to one file, which need not be there yet. */
bool dp_whole_file_same(const char *a, const char *b);

/* Lets `write` write a file beside `out`, then renames it, so that nobody takes half a file for a whole one;
 * what is no regular file (a device) is written directly. Replaces a file of that name. DP_ERR_IO; what
 * `write` returns. */
typedef int (*dp_whole_file_writer)(void *context, const char *path, struct dp_diag *diag);
int dp_whole_file_write(const char *out, dp_whole_file_writer write, void *context,
                        struct dp_diag *diag) DP_MUST_CHECK;

/* The same with bytes that are there already. */
int dp_whole_file_put(const char *out, const char *bytes, size_t len, struct dp_diag *diag) DP_MUST_CHECK;

#endif
