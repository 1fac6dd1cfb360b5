/* Looks for a message in a maildir. */
#ifndef DROPPOINT_AGENT_PROBE_RELAY_MAILDIR_H
#define DROPPOINT_AGENT_PROBE_RELAY_MAILDIR_H

#include <stdbool.h>

#include "common/err/err.h"

/* Whether `path` is a maildir (has new and cur). DP_ERR_NOT_FOUND, DP_ERR_DENIED, DP_ERR_USAGE with diag. */
int maildir_check(const char *path, struct dp_diag *diag) DP_MUST_CHECK;
/* Whether one of its messages has `token` in its first 16 KiB. Looks at the newest part of it, at most 2,000
 * files. */
bool maildir_has(const char *path, const char *token);

#endif
