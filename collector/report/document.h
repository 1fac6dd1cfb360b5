/* Reading the document "droppoint.locate.v1", for those who write it out for people. What is missing reads as
 * nothing: "", 0, NULL. */
#ifndef DROPPOINT_COLLECTOR_REPORT_DOCUMENT_H
#define DROPPOINT_COLLECTOR_REPORT_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether it has the parts that every reader relies on. */
bool doc_valid(const json_t *document);

const char *doc_text(const json_t *object, const char *name);
json_int_t doc_number(const json_t *object, const char *name);
double doc_real(const json_t *object, const char *name);
bool doc_has(const json_t *object, const char *name); /* there, and not null */

/* What the verdict is about; NULL: nothing in particular. */
const json_t *doc_verdict_finding(const json_t *document);

/* What to do now: the verdict's own word, else its finding's; "". */
const char *doc_next_step(const json_t *document);

/* The first finding that lies in just this segment and direction. */
const json_t *doc_finding_in(const json_t *document, const json_t *segment, const char *direction);

const json_t *doc_flow(const json_t *document, json_int_t id);

/* A verdict's or finding's code as the headline says it: "LOSS", "RESET: connections are cut ...". */
const char *doc_headline(const char *code);

/* The flows of a finding that lost most, worst first. Returns how many were put into `ret_flows`. */
size_t doc_worst_flows(const json_t *document, const json_t *ids, const json_t **ret_flows, size_t most);

#endif
