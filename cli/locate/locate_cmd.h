/* `droppoint locate`, by the contract. */
#ifndef DROPPOINT_CLI_LOCATE_LOCATE_CMD_H
#define DROPPOINT_CLI_LOCATE_LOCATE_CMD_H

/* argv[0] is the subcommand. Returns the exit code: 0 clean, 1 fault located, 2 usage or input, 3
 * inconclusive. */
int dp_cli_locate(int argc, char **argv);

#endif
