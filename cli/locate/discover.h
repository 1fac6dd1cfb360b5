/* The order of the vantage points, found from their files. */
#ifndef DROPPOINT_CLI_LOCATE_DISCOVER_H
#define DROPPOINT_CLI_LOCATE_DISCOVER_H

#include <jansson.h>

#include "cli/locate/args.h"
#include "common/err/err.h"

/* Puts the vantage points of `args` in the order of the path, the clients' end first. Reads each file once
 * for every other one. ret_order: {"discovered": true, "certain": ..., "points": [names], "reasons": [a
 * sentence for each pair of neighbours]}, the caller's. Points that cannot be ordered keep their places as
 * far as the others allow, and `certain` is false. DP_ERR_* with diag as dp_locate_run has it. */
int dp_locate_discover(struct dp_locate_args *args, json_t **ret_order, struct dp_diag *diag) DP_MUST_CHECK;

/* The same for a person; the caller frees it. DP_ERR_NOMEM. */
int dp_locate_order_text(const json_t *order, char **ret_text) DP_MUST_CHECK;

#endif
