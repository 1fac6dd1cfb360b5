/* A probe in this process. */
#ifndef DROPPOINT_CLI_PROBE_LOCAL_H
#define DROPPOINT_CLI_PROBE_LOCAL_H

#include <jansson.h>
#include <stdbool.h>

#include "agent/probe/core/request.h"

/* Runs the request to its end; SIGINT and SIGTERM cut it short. *ret_result is the `results` entry, a new
 * reference. `progress`: lines on standard error while it runs. A dp_err code with diag where there is no
 * result. */
int probe_run_local(const struct dp_request *request, bool progress, json_t **ret_result,
                    struct dp_diag *diag) DP_MUST_CHECK;

#endif
