/* Leveled lines on stderr, for the daemons only. Under systemd a line begins with the journal's priority
 * ("<6>"), elsewhere with the time and the level. */
#ifndef DROPPOINT_COMMON_LOG_LOG_H
#define DROPPOINT_COMMON_LOG_LOG_H

#include <stdbool.h>

#include "common/err/err.h"

enum dp_log_level { DP_LOG_ERROR, DP_LOG_WARNING, DP_LOG_INFO, DP_LOG_DEBUG };

/* Where lines go. Owned by the daemon's main; filled by dp_log_init. */
struct dp_log {
    int fd;
    enum dp_log_level level; /* lines beyond it are left out */
    bool journal;
};

/* stderr, level info; journal where JOURNAL_STREAM says so. */
void dp_log_init(struct dp_log *log);

/* One line, written at once, at most 1,000 bytes. Control characters (an attacker's newline) become '?'.
 * Quiet where log is NULL. Keeps errno. */
void dp_log(const struct dp_log *log, enum dp_log_level level, const char *format, ...) DP_PRINTF(3, 4);

#endif
