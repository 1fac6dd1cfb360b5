/* The collector's lists as tables for people and as documents for scripts. Documents are the caller's; NULL
 * where memory ran out. */
#ifndef DROPPOINT_CLI_REMOTE_LISTS_H
#define DROPPOINT_CLI_REMOTE_LISTS_H

#include <jansson.h>
#include <stdio.h>

#include "droppoint.pb-c.h"

json_t *dp_agents_document(const Droppoint__AgentList *list);     /* "droppoint.agents.v1" */
json_t *dp_paths_document(const Droppoint__PathList *list);       /* "droppoint.paths.v1" */
json_t *dp_captures_document(const Droppoint__CaptureList *list); /* "droppoint.captures.v1" */

/* With the next step below the table. DP_ERR_NOMEM. */
int dp_agents_print(const Droppoint__AgentList *list, FILE *out);
int dp_paths_print(const Droppoint__PathList *list, FILE *out);
int dp_captures_print(const Droppoint__CaptureList *list, FILE *out);

#endif
