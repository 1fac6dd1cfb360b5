/* A probe that is made of several of its own kind, such as one for each address of a name: the result is the
 * worst one's, with an entry for each in data. */
#ifndef DROPPOINT_AGENT_PROBE_CORE_PARTS_H
#define DROPPOINT_AGENT_PROBE_CORE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/probe/core/kind.h"

struct dp_parts;

struct dp_parts_rules {
    const char *const
        *classes;       /* the kind's own from good to bad, NULL at the end: where two have one status */
    const char *array;  /* of the entries, in data; also what they are called: "addresses" */
    const char *detail; /* a field that only entries of parts that are not well have; NULL: none */
    size_t at_once;     /* how many run at the same time */
};

/* Room for `count` parts of `probe`. DP_ERR_NOMEM, DP_ERR_IO. */
int dp_parts_new(struct dp_probe *probe, const struct dp_parts_rules *rules, size_t count,
                 struct dp_parts **ret_parts, struct dp_diag *diag) DP_MUST_CHECK;
/* A request of the same kind, with the options of the whole but --timeout, -4 and -6, which the parts get by
 * themselves. The target is still to be set. DP_ERR_NOMEM, DP_ERR_USAGE. */
int dp_parts_request(const struct dp_parts *parts, const char *without, struct dp_request **ret_request,
                     struct dp_diag *diag) DP_MUST_CHECK;
/* One more part; `id` (taken over, may be NULL when out of memory) are the fields of its entry that tell
 * which it is, `request` is taken over. `rc`: it could not even be made, for `why`. */
void dp_parts_add(struct dp_parts *parts, json_t *id, struct dp_request *request, int rc, const char *why);
/* One that is not tried, and does not count. */
void dp_parts_skip(struct dp_parts *parts, json_t *id, const char *why);
/* Begins. The result of the whole is made here, also where all fail. `note` (copied) ends its summary. */
void dp_parts_start(struct dp_parts *parts, const char *note);
/* The kind's expire(): false where `parts` is NULL. */
bool dp_parts_expire(struct dp_parts *parts);
void dp_parts_free(struct dp_parts *parts); /* NULL is fine */

/* For the kind's print(): a line for each of the array, named by its field `name`, where there are several.
 */
void dp_parts_print(const json_t *data, const char *array, const char *name, FILE *out);

#endif
