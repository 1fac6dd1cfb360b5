/* Makes a document safe to print on a terminal or a page. */
#ifndef DROPPOINT_COLLECTOR_REPORT_CLEAN_H
#define DROPPOINT_COLLECTOR_REPORT_CLEAN_H

#include <jansson.h>
#include <stdbool.h>

/* Replaces control characters, also those that turn the direction of text, in every string and key, in place.
 * False: out of memory. */
bool dp_report_clean(json_t *document);

#endif
