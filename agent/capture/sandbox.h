/* Takes away what the capture process no longer needs once its handles are open. */
#ifndef DROPPOINT_AGENT_CAPTURE_SANDBOX_H
#define DROPPOINT_AGENT_CAPTURE_SANDBOX_H

#include <stdint.h>

#include "common/err/err.h"

/* Drops every capability and, as root with uid not 0, becomes that user and group. No new privileges ever
 * after. */
int dp_sandbox_drop(uint32_t uid, uint32_t gid, struct dp_diag *diag) DP_MUST_CHECK;

/* From here on only the system calls of the capture loop are left; any other one ends the process. Files can
 * be made and written, none can be read. Does nothing in a sanitizer's build: its runtime needs calls that no
 * list foresees. */
int dp_sandbox_seal(struct dp_diag *diag) DP_MUST_CHECK;

#endif
