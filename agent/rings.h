/* Where the rings of captures lie: STATE/rings/CAPTURE/INTERFACE. */
#ifndef DROPPOINT_AGENT_RINGS_H
#define DROPPOINT_AGENT_RINGS_H

#include <limits.h>

#include "common/err/err.h"

/* The directory that holds them all. DP_ERR_RANGE: too long. */
int agent_ring_root(const char *state_directory, char ret_path[PATH_MAX]) DP_MUST_CHECK;

/* The ring of a capture at an interface. DP_ERR_RANGE: too long. */
int agent_ring_path(const char *state_directory, const char *capture_id, const char *interface,
                    char ret_path[PATH_MAX]) DP_MUST_CHECK;

#endif
