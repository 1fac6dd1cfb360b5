/* A probe on agents, through the collector. */
#ifndef DROPPOINT_CLI_PROBE_REMOTE_H
#define DROPPOINT_CLI_PROBE_REMOTE_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/probe/options.h"
#include "cli/remote/session.h"

/* Runs the request on the agents of --from, and waits for all of them; SIGINT and SIGTERM cut it short, a
 * second one leaves (DP_ERR_END). *ret_document is droppoint.probe.v1 with "id", and "failures" where an
 * agent has no result; a new reference. `progress`: lines on standard error while it runs. A dp_err code with
 * diag where no agent has a result. */
int probe_run_remote(const struct probe_options *options, bool progress, json_t **ret_document,
                     struct dp_diag *diag) DP_MUST_CHECK;

/* One that was run before. */
int probe_fetch(const struct dp_remote_options *options, const char *id, json_t **ret_document,
                struct dp_diag *diag) DP_MUST_CHECK;

#endif
