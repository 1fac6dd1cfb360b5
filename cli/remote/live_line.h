/* The line that shows how a running capture gets on. */
#ifndef DROPPOINT_CLI_REMOTE_LIVE_LINE_H
#define DROPPOINT_CLI_REMOTE_LIVE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "droppoint.pb-c.h"

#define DP_LIVE_TEXT 4096

/* Renders what matters most first: time left, loss so far, then packets and kernel drops of each vantage
 * point. `since_ms`: how long ago the progress came. One line, or on a terminal (columns above 0) as many as
 * it takes to show every vantage point, each of at most `columns` characters; of more than `rows` lines the
 * last ends in "...". */
char *dp_live_render(const Droppoint__CaptureProgress *progress, uint64_t duration_ms, uint64_t since_ms,
                     unsigned columns, unsigned rows, char *text, size_t size);

/* Where lines go: rewritten in place on a terminal. Elsewhere, into a log: one every two seconds, in captures
 * of more than a minute thirty in all but at least two a minute; and one as soon as the first loss shows. */
struct dp_live {
    FILE *out;
    bool terminal;
    unsigned shown; /* lines that stand on the terminal */
    bool loss_shown;
    uint64_t last_ms; /* when the last line was written; set to the beginning first */
};

void dp_live_init(struct dp_live *live, FILE *out, uint64_t now_ms);
/* Shows `progress` where a line is due. */
void dp_live_show(struct dp_live *live, const Droppoint__CaptureProgress *progress, uint64_t duration_ms,
                  uint64_t since_ms, uint64_t now_ms);
/* Takes the line off the terminal, before other text and at the end. */
void dp_live_clear(struct dp_live *live);

#endif
