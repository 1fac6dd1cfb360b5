/* The report as one page that needs nothing else: no network, no other file. Free of I/O.
 *
 * Everything but the packet ladder and the search among flows is plain HTML and SVG, there without any
 * script. Names, addresses and server replies come from outside: they are escaped where they become HTML,
 * inert where they are data, and a Content-Security-Policy lets no script run but the page's own. */
#ifndef DROPPOINT_COLLECTOR_REPORT_HTML_H
#define DROPPOINT_COLLECTOR_REPORT_HTML_H

#include <jansson.h>
#include <stddef.h>

#include "collector/locate/report.h"
#include "collector/report/ladder.h"
#include "common/err/err.h"

/* Of more flows only those that lost most are listed, and the page says so. */
#define DP_HTML_MAX_FLOWS 20000

/* Writes the page of a locate document. report: the document's own, for the course of time; NULL leaves that
 * out (a stored document). ladder: NULL leaves it out. *ret_page is malloc'd and terminated. DP_ERR_FORMAT
 * where the document is not a locate document, DP_ERR_NOMEM. */
int dp_report_html(const json_t *document, const struct dp_report *report, const struct dp_ladder *ladder,
                   char **ret_page, size_t *ret_len) DP_MUST_CHECK;

#endif
