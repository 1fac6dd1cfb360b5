/* The collector's configuration: the file, and the command line's options, which win. */
#ifndef DROPPOINT_COLLECTOR_SETTINGS_H
#define DROPPOINT_COLLECTOR_SETTINGS_H

#include <limits.h>
#include <stdbool.h>

#include "common/err/err.h"

#define COLLECTOR_CONFIG_DEFAULT "/etc/droppoint/collector.yaml"

struct collector_options {
    const char *config;                                   /* NULL: the default, which may be absent */
    const char *bind, *state_directory, *database, *user; /* NULL: not given */
};

struct collector_settings {
    char bind[256];
    char state_directory[PATH_MAX];
    char operators[PATH_MAX];
    char pg_bindir[PATH_MAX];
    char user[64];
    char database[2048]; /* empty: a private cluster */
};

/* DP_ERR_USAGE, DP_ERR_NOT_FOUND, DP_ERR_IO. */
int collector_settings_load(const struct collector_options *options, struct collector_settings *ret_settings,
                            struct dp_diag *diag) DP_MUST_CHECK;

#endif
