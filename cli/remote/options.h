/* Options and subcommands of the commands that work through a collector, as tables. */
#ifndef DROPPOINT_CLI_REMOTE_OPTIONS_H
#define DROPPOINT_CLI_REMOTE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "common/units/units.h"

#define DP_EXIT_CLEAN 0
#define DP_EXIT_FAULT 1
#define DP_EXIT_TROUBLE 2 /* wrong usage, unreadable input, no collector */
#define DP_EXIT_INCONCLUSIVE 3
#define DP_EXIT_INTERRUPTED 130

enum dp_option_kind {
    DP_OPTION_FLAG,     /* bool: no value */
    DP_OPTION_TEXT,     /* const char *: not empty */
    DP_OPTION_NUMBER,   /* uint64_t, min to max */
    DP_OPTION_DURATION, /* uint64_t milliseconds, min to max */
};

struct dp_option {
    const char *name; /* with its dashes */
    enum dp_option_kind kind;
    void *target; /* of the kind's type; untouched where the option is absent */
    uint64_t min, max;
};

#define DP_MAX_WORDS 80

/* What is left of a command line once its options are taken out; pointers into argv. */
struct dp_words {
    const char *word[DP_MAX_WORDS];
    size_t count;
};

/* Reads argv[1] and on: "--name value", "--name=value", and words. "--" ends the options. DP_ERR_USAGE with
 * diag naming the option; targets and ret_words may then be half filled. */
int dp_options_parse(int argc, char **argv, const struct dp_option *options, size_t count,
                     struct dp_words *ret_words, struct dp_diag *diag) DP_MUST_CHECK;

/* Where the collector is and who asks. Pointers into argv, the environment, or static texts. */
struct dp_remote_options {
    const char *collector;     /* "tcp://HOST:PORT" */
    const char *key;           /* the operator's key file; NULL: search the usual places */
    const char *collector_key; /* Z85 or file; NULL: search the usual places */
    uint64_t timeout_ms;
    bool json;
};

/* From the environment, and defaults. */
void dp_remote_options_init(struct dp_remote_options *options);

/* Fills `table` (room for DP_REMOTE_OPTIONS) with the options that every remote command has. Returns how
 * many. */
#define DP_REMOTE_OPTIONS 5
size_t dp_remote_options_table(struct dp_remote_options *options, struct dp_option *table);

/* One subcommand. */
struct dp_command {
    const char *name;
    const char *synopsis; /* what follows "droppoint GROUP NAME " */
    const char *about;    /* one sentence */
    const char *options;  /* lines on its own options; NULL none */
    const char *examples; /* lines */
    int (*run)(const struct dp_command *command, int argc,
               char **argv); /* argv[0] is the subcommand's name */
};

/* Whether it prints a document where --json asks for it, as its synopsis says. */
bool dp_command_has_json(const struct dp_command *command);

/* Finds the subcommand in argv[1] and runs it; answers --help and wrong words. Returns the exit code. */
int dp_commands_run(const char *group, const struct dp_command *commands, size_t count, int argc,
                    char **argv);

/* Says on standard error what is wrong and where help is. Returns DP_EXIT_TROUBLE. */
int dp_usage_error(const char *group, const struct dp_command *command, const char *format, ...)
    DP_PRINTF(3, 4);

/* Says "droppoint: ..." on standard error, control characters replaced. Returns DP_EXIT_TROUBLE. */
int dp_trouble(const char *format, ...) DP_PRINTF(1, 2);

#endif
