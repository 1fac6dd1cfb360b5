#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/probe/core/prober.h"

const char *dp_status_name(enum dp_probe_status status)
{
    static const char *const names[] = {"ok", "warning", "critical", "unknown"};
    return names[status];
}

static bool is_one(const char *class, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(class, *words) == 0)
            return true;
    return false;
}

/* Every other class is a fault; and so is `open` where it is a relay that is. */
enum dp_probe_status dp_class_status(const char *kind, const char *class)
{
    static const char *const fine[] = {"ok",      "open",     "reached", "permitted", "consistent",
                                       "in-sync", "accepted", "closed",  "clean",     NULL};
    static const char *const noteworthy[] = {"reduced", "proxied", "greylisted", "nodata", NULL};
    static const char *const open_question[] = {"unknown", "inconclusive", "not-seen", "open-unproven", NULL};
    if (strcmp(kind, "relay") == 0 && strcmp(class, "open") == 0)
        return DP_STATUS_CRITICAL;
    return is_one(class, fine)            ? DP_STATUS_OK
           : is_one(class, noteworthy)    ? DP_STATUS_WARNING
           : is_one(class, open_question) ? DP_STATUS_UNKNOWN
                                          : DP_STATUS_CRITICAL;
}

json_t *dp_probe_result_json(const struct dp_probe_result *result, const char *agent)
{
    char day[32], when[48];
    time_t seconds = (time_t)(result->started_ns / 1000000000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(when, sizeof when, "%s.%06dZ", day, (int)(result->started_ns % 1000000000 / 1000));
    return json_pack("{s:s, s:s, s:f, s:s, s:s, s:s, s:s, s:O}", "agent", agent, "started_at", when,
                     "duration_ms", result->duration_ms, "status", dp_status_name(result->status), "class",
                     result->class, "summary", result->summary, "next_step", result->next_step, "data",
                     result->data);
}
