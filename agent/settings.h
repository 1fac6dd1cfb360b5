/* The agent's settings: command line before configuration file before defaults. */
#ifndef DROPPOINT_AGENT_SETTINGS_H
#define DROPPOINT_AGENT_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err/err.h"
#include "common/keys/keys.h"

#define AGENT_CONFIG_DEFAULT "/etc/droppoint/agent.yaml"

/* From the command line; NULL: not given. */
struct agent_options {
    const char *config, *name, *collector, *collector_key, *state_directory;
};

struct agent_settings {
    char name[64];
    char collector[300]; /* tcp://host:port */
    char collector_z85[DP_KEY_Z85];
    char state_directory[PATH_MAX];
    char policy[PATH_MAX]; /* "" : the defaults */
    char capture_program[PATH_MAX];
    char
        expected_services[1024]; /* ports that the probe `services` need not wonder about; "": not declared */
    uint64_t spool_bytes;        /* bound of the spool */
    uint64_t ring_bytes;         /* bound of all rings together */
};

/* DP_ERR_USAGE, DP_ERR_NOT_FOUND, DP_ERR_IO, with diag naming file and key, or option. key_only: what
 * --show-key needs, so the collector may be unset. */
int agent_settings_load(const struct agent_options *options, bool key_only,
                        struct agent_settings *ret_settings, struct dp_diag *diag) DP_MUST_CHECK;

#endif
