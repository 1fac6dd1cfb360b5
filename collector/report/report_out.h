/* Writes a locate report for scripts (JSON, contracts' names) and for people (text). Free of I/O. */
#ifndef DROPPOINT_COLLECTOR_REPORT_REPORT_OUT_H
#define DROPPOINT_COLLECTOR_REPORT_REPORT_OUT_H

#include <jansson.h>
#include <stdbool.h>

#include "collector/locate/report.h"
#include "common/err/err.h"

/* The document "droppoint.locate.v1". The caller owns *ret_document (json_decref). */
int dp_report_json(const struct dp_report *report, json_t **ret_document) DP_MUST_CHECK;

/* How the document is dumped, so that it looks the same wherever it is printed and 0.42 stays 0.42. */
#define DP_REPORT_JSON_FLAGS (JSON_INDENT(2) | JSON_REAL_PRECISION(12))

/* The report for a person, from the document (so that a stored one reads the same): verdict first, then the
 * path with loss per segment and direction, the findings with their next steps, clocks and capture quality
 * last. `colour` for terminals. *ret_text is malloc'd. DP_ERR_FORMAT where the document is not a locate
 * document. */
int dp_report_text(const json_t *document, bool colour, char **ret_text) DP_MUST_CHECK;

/* 0 clean, 1 fault, 3 inconclusive, as a stored document says; DP_ERR_FORMAT. */
int dp_report_document_exit_code(const json_t *document) DP_MUST_CHECK;

#endif
