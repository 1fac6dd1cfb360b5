/* Makes a document safe to print on a terminal. */
#ifndef DROPPOINT_COLLECTOR_REPORT_CLEAN_H
#define DROPPOINT_COLLECTOR_REPORT_CLEAN_H

#include <jansson.h>
#include <stdbool.h>

/* Replaces control characters in every string and key, in place. False: out of memory. */
bool dp_report_clean(json_t *document);

#endif
