/* `droppoint probe KIND`: one active measurement, from here or from agents. */
#ifndef DROPPOINT_CLI_PROBE_PROBE_CMD_H
#define DROPPOINT_CLI_PROBE_PROBE_CMD_H

/* argv[0] is "probe". Prints and returns the exit code: 0 ok, 1 a fault, 2 wrong usage or nothing to be had,
 * 3 inconclusive; with --nagios 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. */
int dp_cli_probe(int argc, char **argv);

#endif
