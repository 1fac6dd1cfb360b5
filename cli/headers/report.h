/* The document droppoint.headers.v1, and how it is shown. */
#ifndef DROPPOINT_CLI_HEADERS_REPORT_H
#define DROPPOINT_CLI_HEADERS_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "cli/headers/message.h"

/* A new reference; NULL when out of memory. */
json_t *headers_report(const struct header_list *list);
void headers_print(const json_t *report, FILE *out);

#endif
