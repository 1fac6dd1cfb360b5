/* The report page of a run over files. */
#ifndef DROPPOINT_CLI_LOCATE_PAGE_H
#define DROPPOINT_CLI_LOCATE_PAGE_H

#include <jansson.h>

#include "cli/locate/args.h"
#include "cli/locate/run.h"
#include "collector/locate/report.h"
#include "common/err/err.h"

/* Writes args->html, which appears whole or not at all. Reads the files twice more: the engine tells where
 * each packet went, and the packets themselves the rest. Errors as from dp_locate_run and the file. */
int dp_locate_page(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                   const struct dp_report *report, const json_t *document,
                   struct dp_diag *diag) DP_MUST_CHECK;

#endif
