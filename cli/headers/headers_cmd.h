/* `droppoint headers FILE`: the way of a message, by its header. */
#ifndef DROPPOINT_CLI_HEADERS_HEADERS_CMD_H
#define DROPPOINT_CLI_HEADERS_HEADERS_CMD_H

/* argv[0] is "headers". Prints and returns the exit code: 0, or 2 for what cannot be read or is no message.
 */
int dp_cli_headers(int argc, char **argv);

#endif
