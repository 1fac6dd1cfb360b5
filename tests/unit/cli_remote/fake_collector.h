/* A collector that answers by a script, on the real transport, in a process of its own. */
#ifndef DROPPOINT_TESTS_UNIT_CLI_REMOTE_FAKE_COLLECTOR_H
#define DROPPOINT_TESTS_UNIT_CLI_REMOTE_FAKE_COLLECTOR_H

#include <sys/types.h>

struct fake_collector {
    pid_t pid;
    char endpoint[64];
    char directory[64]; /* holds operator.key, collector.key, collector.pub, stranger.key */
};

void fake_collector_keys(struct fake_collector *fake); /* makes the directory and keys */
/* Starts it; endpoint "" lets the system choose the port, and comes back filled in. */
void fake_collector_start(struct fake_collector *fake);
void fake_collector_stop(struct fake_collector *fake);
void fake_collector_clean(struct fake_collector *fake);

/* What it does on `capture run --path ...` (the path's name): "clean" and "loss" give a verdict, "absent" has
 * a vantage point away, "cancel" waits for CaptureCancel, "never" answers nothing after a first progress,
 * "crash" exits at once, "unknown" is no path. Export of capture "c1": a file of EXPORT_PACKETS of
 * mx1/eth0, several windows long, with flow control, and an error of lb1/eth0; with all flows an error of
 * both. */
#define EXPORT_PACKETS 3000

#endif
