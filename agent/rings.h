/* Where the rings of captures lie, and how old ones make room for new ones. */
#ifndef DROPPOINT_AGENT_RINGS_H
#define DROPPOINT_AGENT_RINGS_H

#include <limits.h>
#include <stdint.h>

#include "common/err/err.h"

/* The directory of a capture's ring at an interface: STATE/rings/CAPTURE/INTERFACE. DP_ERR_RANGE: too long.
 */
int agent_ring_path(const char *state_directory, const char *capture_id, const char *interface,
                    char ret_path[PATH_MAX]) DP_MUST_CHECK;

/* Makes the directories above it (mode 0700). DP_ERR_IO. */
int agent_ring_make_parents(const char *state_directory, const char *capture_id,
                            struct dp_diag *diag) DP_MUST_CHECK;

/* Removes the oldest captures' rings until all take at most `bytes`. Never `keep` (may be NULL) nor any that
 * `in_use` names. */
void agent_rings_trim(const char *state_directory, uint64_t bytes,
                      int (*in_use)(void *context, const char *capture_id), void *context);

#endif
