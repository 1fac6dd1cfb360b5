/* The commands that work through a collector: `droppoint agent`, `droppoint path`, `droppoint capture`. */
#ifndef DROPPOINT_CLI_REMOTE_REMOTE_H
#define DROPPOINT_CLI_REMOTE_REMOTE_H

/* argv[0] is the command's own word ("agent"), argv[1] its subcommand. They print and return the exit code:
 * 0 done (capture: nothing lost), 1 a fault was located, 2 wrong usage, or the collector can't be reached or
 * says no, 3 inconclusive, 130 left by a second Ctrl-C. */
int dp_cli_agent(int argc, char **argv);
int dp_cli_path(int argc, char **argv);
int dp_cli_capture(int argc, char **argv);

#endif
