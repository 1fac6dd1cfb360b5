/* The command line of `droppoint locate`. */
#ifndef DROPPOINT_CLI_LOCATE_ARGS_H
#define DROPPOINT_CLI_LOCATE_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/locate.h"
#include "common/err/err.h"

/* What is known of a capture besides its file, by its own clock: from when to when it ran, what it dropped.
 */
struct dp_known_capture {
    bool known;
    int64_t start_ns, end_ns;
    uint64_t dropped;
};

struct dp_locate_args {
    bool help;
    bool json;
    bool no_clock_correction;
    bool discover_order; /* the files come in any order */
    const char *filter;  /* NULL: none */
    const char *merge;   /* NULL: none */
    const char *html;    /* NULL: none */
    char *names[DP_LOCATE_MAX_VANTAGES];
    const char *paths[DP_LOCATE_MAX_VANTAGES];
    struct dp_known_capture known[DP_LOCATE_MAX_VANTAGES]; /* all zero: nothing but the file */
    size_t count;
};

/* Parses argv[1..]; argv[0] is the subcommand. Strings point into argv, names are the struct's own.
 * DP_ERR_USAGE with one sentence in diag. To be freed also after failure. */
int dp_locate_args_parse(int argc, char **argv, struct dp_locate_args *args,
                         struct dp_diag *diag) DP_MUST_CHECK;
void dp_locate_args_free(struct dp_locate_args *args);

#endif
