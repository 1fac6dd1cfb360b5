/* A probe's findings as a table that is drawn anew in its place on a terminal, as mtr has it. */
#ifndef DROPPOINT_CLI_PROBE_LIVE_H
#define DROPPOINT_CLI_PROBE_LIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/core/kind.h"

struct probe_live;

/* Whether the kind's findings are worth watching, and standard error is a terminal whose cursor can be moved.
 */
bool probe_live_fits(const struct dp_probe_kind *kind);
/* NULL when out of memory. */
struct probe_live *probe_live_new(const struct dp_probe_kind *kind, const char *target);
/* The line above the table; copied. */
void probe_live_say(struct probe_live *live, const char *text);
void probe_live_draw(struct probe_live *live, const json_t *data);
/* Takes the table away, so that the result can stand there. NULL is fine. */
void probe_live_end(struct probe_live *live);

/* The text that puts `table` (lines) where `drawn` lines stood before, in at most `rows` lines of `columns`
 * characters. A new string and the lines that stand there now; NULL when out of memory. */
char *probe_live_frame(const char *table, size_t drawn, size_t rows, size_t columns, size_t *ret_drawn);

#endif
