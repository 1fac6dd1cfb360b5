#include "agent/probe/mysql/judge.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void copy(char *out, size_t size, const char *value)
{
    size_t used = 0;
    for (; value && *value && used + 1 < size; value++)
        out[used++] = (char)((unsigned char)*value >= ' ' && *value != 127 ? *value : ' ');
    out[used] = '\0';
}

void mysql_take_column(struct mysql_channel *c, const char *column, const char *value)
{
    const struct {
        const char *old_name, *new_name;
        char *out;
        size_t size;
    } texts[] = {{"Connection_name", "Channel_Name", c->name, sizeof c->name},
                 {"Master_Host", "Source_Host", c->source, sizeof c->source},
                 {"Slave_IO_Running", "Replica_IO_Running", c->io_thread, sizeof c->io_thread},
                 {"Slave_SQL_Running", "Replica_SQL_Running", c->sql_thread, sizeof c->sql_thread},
                 {"Last_IO_Error", "Last_IO_Error", c->io_error, sizeof c->io_error},
                 {"Last_SQL_Error", "Last_SQL_Error", c->sql_error, sizeof c->sql_error},
                 {"Master_Log_File", "Source_Log_File", c->source_log, sizeof c->source_log},
                 {"Relay_Master_Log_File", "Relay_Source_Log_File", c->executed_log, sizeof c->executed_log}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!strcasecmp(column, texts[i].old_name) || !strcasecmp(column, texts[i].new_name))
            copy(texts[i].out, texts[i].size, value);
    if (!strcasecmp(column, "Read_Master_Log_Pos") || !strcasecmp(column, "Read_Source_Log_Pos"))
        c->source_position = value ? strtoull(value, NULL, 10) : 0;
    else if (!strcasecmp(column, "Exec_Master_Log_Pos") || !strcasecmp(column, "Exec_Source_Log_Pos"))
        c->executed_position = value ? strtoull(value, NULL, 10) : 0;
    else if (!strcasecmp(column, "Seconds_Behind_Master") || !strcasecmp(column, "Seconds_Behind_Source"))
        c->lag_s = value ? strtod(value, NULL) : -1;
}

static const struct mysql_channel *stopped_channel(const struct mysql_state *state, bool *ret_broken)
{
    const struct mysql_channel *stopped = NULL;
    *ret_broken = false;
    for (unsigned i = 0; i < state->channel_count; i++) {
        const struct mysql_channel *c = &state->channels[i];
        if (strcasecmp(c->sql_thread, "Yes") != 0 && c->sql_error[0]) {
            *ret_broken = true;
            return c;
        }
        if (strcasecmp(c->sql_thread, "Yes") != 0 || strcasecmp(c->io_thread, "Yes") != 0)
            stopped = c;
    }
    return stopped;
}

static double worst_lag(const struct mysql_state *state)
{
    double worst = state->heartbeat_lag_s;
    for (unsigned i = 0; i < state->channel_count && state->heartbeat_lag_s < 0; i++)
        worst = state->channels[i].lag_s > worst ? state->channels[i].lag_s : worst;
    return worst;
}

/* False: nothing is wrong with it. */
static bool judge_end_to_end(const char *server, const struct mysql_end_to_end *e, struct mysql_verdict *v)
{
    static const struct {
        const char *class, *what, *next_step;
    } faults[] = {
        [MYSQL_WRITE_UNREACHABLE] =
            {"unreachable", "cannot be asked",
             "'droppoint probe tcp' towards the primary tells whether the network or the "
             "server is the reason."},
        [MYSQL_WRITE_DENIED] = {"auth-failed", "lets this user write no heartbeat row",
                                "The user needs SELECT, INSERT and UPDATE on the heartbeat table there."},
        [MYSQL_WRITE_READ_ONLY] = {"stopped", "takes no writes",
                                   "read_only is set: is it the primary still, or was another one promoted?"},
        [MYSQL_WRITE_FAILED] = {"broken", "could not write the heartbeat row",
                                "The error names why; the table needs a column ts (TIMESTAMP(6))."},
        [MYSQL_READ_FAILED] =
            {"broken", "wrote a heartbeat row that could not be looked for",
             "The error is the replica's: does the heartbeat table exist there, and may this "
             "user read it?"},
    };
    if (!e->asked || (e->fault == MYSQL_WRITE_GOOD && e->seen))
        return false;
    if (e->fault == MYSQL_WRITE_GOOD) {
        v->class = "lagging";
        v->next_step =
            "What slows it down: a long statement or lock (SHOW PROCESSLIST), a slow disk, a filter that "
            "leaves the heartbeat table out (replicate_do_db), another source than this primary?";
        (void)snprintf(v->summary, sizeof v->summary, "a row written on %s is not seen on %s after %.1f s",
                       e->primary, server, e->ms / 1e3);
    } else {
        v->class = faults[e->fault].class;
        v->next_step = faults[e->fault].next_step;
        (void)snprintf(v->summary, sizeof v->summary, "the primary %s %s: %.200s", e->primary,
                       faults[e->fault].what, e->error);
    }
    return true;
}

struct mysql_verdict mysql_judge(const char *server, const struct mysql_state *state, double max_lag_s)
{
    struct mysql_verdict v = {.class = "ok", .next_step = ""};
    bool broken;
    const struct mysql_channel *c = stopped_channel(state, &broken);
    double lag = worst_lag(state);
    if (broken) {
        v.class = "broken";
        v.next_step = "The replica's data differs from the source's, or a statement cannot run there: find "
                      "out why before anything is "
                      "skipped; a replica that was written to is best built anew from the source.";
        (void)snprintf(v.summary, sizeof v.summary, "%s: the SQL thread stopped with an error: %.300s",
                       server, c->sql_error);
    } else if (state->corrupt) {
        v.class = "broken";
        v.next_step =
            "Back up the table's files first; then the repair that stands with each table, in its order.";
        (void)snprintf(v.summary, sizeof v.summary, "%s: %u corrupt tables, the first is %s", server,
                       state->corrupt, state->first_corrupt);
    } else if (c) {
        v.class = "stopped";
        v.next_step =
            c->io_error[0]
                ? "The replica cannot fetch from its source: the error names why (network, password, a log "
                  "that is gone)."
                : "Somebody stopped it: START REPLICA when the reason is known.";
        (void)snprintf(v.summary, sizeof v.summary,
                       "%s: replication from %s stands: IO thread %s, SQL thread %s%s%.200s", server,
                       c->source, c->io_thread, c->sql_thread, c->io_error[0] ? ": " : "", c->io_error);
    } else if (judge_end_to_end(server, &state->end_to_end, &v)) {
        return v;
    } else if (lag > max_lag_s) {
        v.class = "lagging";
        v.next_step = "What slows it down: a long statement or lock (SHOW PROCESSLIST), a slow disk, a "
                      "single thread that applies?";
        (void)snprintf(v.summary, sizeof v.summary, "%s is %.1f s behind its source (%s)", server, lag,
                       state->heartbeat_lag_s >= 0 ? "by the heartbeat row" : "by its own word");
    } else if (state->end_to_end.asked) {
        (void)snprintf(v.summary, sizeof v.summary, "a row written on %s is seen on %s after %.0f ms",
                       state->end_to_end.primary, server, state->end_to_end.ms);
    } else if (state->is_replica) {
        (void)snprintf(v.summary, sizeof v.summary, "%s replicates, %.1f s behind", server,
                       lag < 0 ? 0 : lag);
    } else {
        (void)snprintf(v.summary, sizeof v.summary, "%s answers and is no replica", server);
    }
    return v;
}

const char *mysql_check_status(const char *type, const char *message)
{
    if (!strcasecmp(type, "status"))
        return !strcasecmp(message, "OK") || strstr(message, "up to date") ? "ok" : "corrupt";
    if (!strcasecmp(type, "note"))
        return strstr(message, "support") ? "unsupported" : "ok";
    if (!strcasecmp(type, "warning") || !strcasecmp(type, "info"))
        return "warning";
    return "corrupt";
}

const char *mysql_repair(const char *engine, const char *message)
{
    bool isam = !strcasecmp(engine, "MyISAM"), aria = !strcasecmp(engine, "Aria");
    if (!isam && !aria)
        return !strcasecmp(engine, "InnoDB")
                   ? "1. copy the data directory while the server is down; 2. innodb_force_recovery from 1 "
                     "upwards until the table can "
                     "be read; 3. mysqldump the table; 4. drop and load it; never go on running with "
                     "innodb_force_recovery above 0"
                   : "1. dump what can be read; 2. drop the table and load it from the dump or a backup";
    bool no_index =
        strcasestr(message, "index") != NULL &&
        (strcasestr(message, "open") || strcasestr(message, "missing") || strcasestr(message, "Can't find"));
    if (no_index)
        return isam ? "1. copy the files; 2. REPAIR TABLE t USE_FRM, as the index file is gone or its header "
                      "is unreadable"
                    : "1. copy the files; 2. REPAIR TABLE t USE_FRM; 3. offline: aria_chk --recover";
    return isam ? "1. copy the files; 2. REPAIR TABLE t QUICK (index only); 3. REPAIR TABLE t; 4. REPAIR "
                  "TABLE t EXTENDED; 5. offline: "
                  "myisamchk --recover, then --safe-recover; 6. REPAIR TABLE t USE_FRM as the last resort"
                : "1. copy the files; 2. REPAIR TABLE t QUICK; 3. REPAIR TABLE t; 4. offline: aria_chk "
                  "--recover, then --safe-recover";
}

bool mysql_name_ok(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_$-", name[i]))
            return false;
    return length > 0 && length <= 64;
}
