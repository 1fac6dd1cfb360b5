/* How results of probes are shown, and which exit code they mean. */
#ifndef DROPPOINT_CLI_PROBE_PRINT_H
#define DROPPOINT_CLI_PROBE_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The document droppoint.probe.v1 around `results` (an array, borrowed) and `comparison` (may be NULL). A new
 * reference; NULL when out of memory. */
json_t *probe_document(const char *kind, const char *target, json_t *results, json_t *comparison);

/* For a person: summary, what the kind prints, next step; agent by agent. Nothing of what a peer said can
 * steer the terminal. */
void probe_print(const json_t *document, FILE *out);
/* One Nagios plugin line. Returns its exit code. */
int probe_print_nagios(const json_t *document, FILE *out);
/* Prints the document as asked for, drops the reference, and returns the exit code. */
int probe_show(json_t *document, bool json, bool nagios);
/* 1 where a result is a fault, else 3 where one is unknown or an agent has none, else 0. */
int probe_exit_code(const json_t *document);

#endif
