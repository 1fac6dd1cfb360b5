/* The command line of `droppoint probe KIND`. */
#ifndef DROPPOINT_CLI_PROBE_OPTIONS_H
#define DROPPOINT_CLI_PROBE_OPTIONS_H

#include <stdbool.h>

#include "agent/probe/core/request.h"
#include "cli/remote/options.h"
#include "common/err/err.h"

struct probe_options {
    struct dp_request *request;
    bool local, nagios, help;
    const char *from;                /* names, separated by commas; NULL: none */
    struct dp_remote_options remote; /* `json` counts locally, too */
};

/* argv[0] is the kind. DP_ERR_USAGE with diag. To be freed after failure, too. */
int probe_options_parse(int argc, char **argv, struct probe_options *options,
                        struct dp_diag *diag) DP_MUST_CHECK;
void probe_options_free(struct probe_options *options);

/* Help on one kind, on standard output. */
void probe_help(const struct dp_probe_kind *kind);

#endif
