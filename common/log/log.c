#include "common/log/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000

void dp_log_init(struct dp_log *log)
{
    *log = (struct dp_log){
        .fd = STDERR_FILENO, .level = DP_LOG_INFO, .journal = getenv("JOURNAL_STREAM") != NULL};
}

static size_t write_head(const struct dp_log *log, enum dp_log_level level, char *line, size_t size)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7}; /* RFC 5424 */
    if (log->journal)
        return (size_t)snprintf(line, size, "<%d>", priorities[level]);
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    char stamp[40];
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, size, "%s.%03ldZ %s: ", stamp, now.tv_nsec / 1000000, names[level]);
}

void dp_log(const struct dp_log *log, enum dp_log_level level, const char *format, ...)
{
    if (!log || level > log->level)
        return;
    int error = errno;
    char line[LINE_MAX_BYTES + 1];
    size_t head = write_head(log, level, line, sizeof line);
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line + head, sizeof line - head, format, args);
    va_end(args);
    size_t len = wanted < 0 ? head : strlen(line);
    for (size_t i = head; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    ssize_t put = write(log->fd, line, len);
    (void)put; /* nobody to tell */
    errno = error;
}
