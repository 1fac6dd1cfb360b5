/* Several agents' results of one probe, compared. Free of I/O. */
#ifndef DROPPOINT_COLLECTOR_RUN_PROBE_COMPARE_H
#define DROPPOINT_COLLECTOR_RUN_PROBE_COMPARE_H

#include <jansson.h>

/* {"agree": ..., "summary": "mx1 and lb1 reach it, edge1 does not: unreachable, ICMP 3/13 from 203.0.113.1"}
 * of an array of at least two results, or NULL (fewer, or out of memory). Where `path` names the path that
 * the agents lie on, in the order of the results, the summary says between which two it changes. A new
 * reference. */
json_t *dp_probe_compare(const char *kind, const json_t *results, const char *path);

#endif
