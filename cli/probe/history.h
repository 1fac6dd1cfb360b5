/* `droppoint probe history`: results that the collector keeps. */
#ifndef DROPPOINT_CLI_PROBE_HISTORY_H
#define DROPPOINT_CLI_PROBE_HISTORY_H

/* argv[0] is "probe", argv[1] "history". Prints and returns the exit code: 0 done, 2 trouble; of one probe
 * its own. */
int probe_history(int argc, char **argv);

#endif
