/* What most commands are: read options, open a session, ask one thing, show the answer. */
#ifndef DROPPOINT_CLI_REMOTE_SIMPLE_H
#define DROPPOINT_CLI_REMOTE_SIMPLE_H

#include <jansson.h>
#include <stdio.h>

#include "cli/remote/options.h"
#include "cli/remote/session.h"

/* Reads the command line: the remote options, `more` own ones, and between `least` and `most` words. Returns
 * 0, or DP_EXIT_TROUBLE after having said what is wrong. */
int dp_simple_parse(const char *group, const struct dp_command *command, int argc, char **argv,
                    struct dp_remote_options *options, const struct dp_option *more, size_t more_count,
                    size_t least, size_t most, struct dp_words *ret_words);

/* Opens a session, asks, closes it. Returns 0, or DP_EXIT_TROUBLE after having said what is wrong. A Result's
 * text is handed to `take` like any answer; dp_simple_say prints it. */
int dp_simple_ask(const struct dp_remote_options *options, Droppoint__Envelope *envelope, dp_take_fn take,
                  void *context);

/* A `take` that prints the Result's text (or `context`, a const char *, where it has none). */
enum dp_take dp_simple_say(void *context, const Droppoint__Envelope *envelope);

/* Prints a document on standard output and drops the reference. NULL: out of memory. Returns the exit code.
 */
int dp_simple_print(json_t *document);

#endif
