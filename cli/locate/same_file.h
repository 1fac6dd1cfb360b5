/* Whether two vantage points were given the same capture by mistake. */
#ifndef DROPPOINT_CLI_LOCATE_SAME_FILE_H
#define DROPPOINT_CLI_LOCATE_SAME_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err/err.h"

/* DP_ERR_USAGE naming both where two paths lead to the same file, or two files hold the same bytes and at
 * least one packet. Files that cannot be read are left to whoever opens them. */
int dp_same_file_check(const char *const *names, const char *const *paths, size_t count,
                       struct dp_diag *diag) DP_MUST_CHECK;

/* Whether both paths lead to the same existing file. */
bool dp_same_file(const char *a, const char *b);

#endif
