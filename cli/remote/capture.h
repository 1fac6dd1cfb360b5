/* The subcommands of `droppoint capture`, one file each. Border inside this folder. */
#ifndef DROPPOINT_CLI_REMOTE_CAPTURE_H
#define DROPPOINT_CLI_REMOTE_CAPTURE_H

#include <stdbool.h>

#include "cli/remote/options.h"

#define DP_CAPTURE_GROUP "capture"
#define DP_CAPTURE_SNAPLEN 256

int dp_capture_run_command(const struct dp_command *command, int argc, char **argv);
int dp_capture_list_command(const struct dp_command *command, int argc, char **argv);
int dp_capture_show_command(const struct dp_command *command, int argc, char **argv);
int dp_capture_export_command(const struct dp_command *command, int argc, char **argv);

/* Whether `text` can be a capture's number; says so on standard error where it can't. */
bool dp_capture_id_check(const struct dp_command *command, const char *text);

/* Prints a capture's document: as it is with `json`, else for a person, with the commands to go on with; with
 * `html` writes it as a page there, too (NULL: none). Returns the exit code that the document's verdict
 * stands for, or DP_EXIT_TROUBLE after having said what is wrong. */
int dp_capture_print(const char *capture_id, const char *text, bool json, const char *html);

#endif
