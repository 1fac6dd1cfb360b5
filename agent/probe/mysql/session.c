#include "agent/probe/mysql/session.h"

#include <mysql.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 5000

static void copy_clean(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; text && *text && used + 1 < size; text++)
        out[used++] = (char)((unsigned char)*text >= ' ' && *text != 127 ? *text : ' ');
    out[used] = '\0';
}

/* Calls `take` for each row. False: `error` says why. */
static bool query(MYSQL *mysql, const char *sql,
                  void (*take)(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count),
                  void *context, char *error, size_t size)
{
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    if (mysql_query(mysql, sql) != 0 || !(result = mysql_store_result(mysql))) {
        copy_clean(error, size, mysql_error(mysql));
        return false;
    }
    while ((row = mysql_fetch_row(result)))
        take(context, row, mysql_fetch_fields(result), mysql_num_fields(result));
    mysql_free_result(result);
    return true;
}

static void take_channel(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count)
{
    struct mysql_state *state = context;
    if (state->channel_count == MYSQL_CHANNELS_MAX)
        return;
    struct mysql_channel *channel = &state->channels[state->channel_count++];
    *channel = (struct mysql_channel){.lag_s = -1};
    for (unsigned i = 0; i < count; i++)
        mysql_take_column(channel, fields[i].name, row[i]);
    state->is_replica = true;
}

/* By the names of MariaDB, of MySQL 8, and of what came before. */
static void read_replication(MYSQL *mysql, struct mysql_answer *answer)
{
    static const char *const questions[] = {"SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS",
                                            "SHOW SLAVE STATUS"};
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        answer->status_error[0] = '\0';
        if (query(mysql, questions[i], take_channel, &answer->state, answer->status_error,
                  sizeof answer->status_error) ||
            mysql_errno(mysql) != ER_PARSE_ERROR)
            return;
    }
}

static void take_lag(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count)
{
    struct mysql_state *state = context;
    (void)fields;
    if (count == 1 && row[0])
        state->heartbeat_lag_s = strtod(row[0], NULL) / 1e6;
}

static void read_heartbeat(MYSQL *mysql, const struct mysql_plan *plan, struct mysql_state *state)
{
    char sql[400];
    (void)snprintf(sql, sizeof sql,
                   "SELECT TIMESTAMPDIFF(MICROSECOND, MAX(ts), CURRENT_TIMESTAMP(6)) FROM `%s`.`%s`",
                   plan->heartbeat_database, plan->heartbeat_table);
    if (query(mysql, sql, take_lag, state, state->heartbeat_error, sizeof state->heartbeat_error) &&
        state->heartbeat_lag_s < 0)
        copy_clean(state->heartbeat_error, sizeof state->heartbeat_error,
                   "the heartbeat table has no row, or one of the future");
}

struct names {
    char (*rows)[2][80]; /* table, engine */
    size_t count;
};

static void take_name(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count)
{
    struct names *names = context;
    (void)fields;
    if (count != 2 || !row[0] || names->count == TABLES_MAX || strchr(row[0], '`') || strlen(row[0]) > 64)
        return;
    copy_clean(names->rows[names->count][0], 80, row[0]);
    copy_clean(names->rows[names->count++][1], 80, row[1] ? row[1] : "");
}

static void take_check(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count)
{
    struct mysql_table *table = context;
    (void)fields;
    if (count < 4 || !row[2] || !row[3])
        return;
    const char *status = mysql_check_status(row[2], row[3]);
    bool worse = strcmp(status, "corrupt") == 0 || !table->status[0] || strcmp(table->status, "ok") == 0;
    if (!worse || strcmp(table->status, "corrupt") == 0)
        return;
    copy_clean(table->status, sizeof table->status, status);
    copy_clean(table->message, sizeof table->message, row[3]);
}

static void check_tables(MYSQL *mysql, const struct mysql_plan *plan, struct mysql_state *state)
{
    struct names names = {.rows = calloc(TABLES_MAX, sizeof *names.rows)};
    char sql[400], error[300];
    state->tables = json_array();
    (void)snprintf(sql, sizeof sql,
                   "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = '%s' AND "
                   "TABLE_TYPE = 'BASE TABLE'",
                   plan->database);
    if (names.rows)
        (void)query(mysql, sql, take_name, &names, error, sizeof error);
    for (size_t i = 0; i < names.count; i++) {
        struct mysql_table table = {.repair = ""};
        copy_clean(table.name, sizeof table.name, names.rows[i][0]);
        copy_clean(table.engine, sizeof table.engine, names.rows[i][1]);
        (void)snprintf(sql, sizeof sql, "CHECK TABLE `%s`.`%s` %s", plan->database, table.name, plan->check);
        if (!query(mysql, sql, take_check, &table, table.message, sizeof table.message))
            copy_clean(table.status, sizeof table.status, "corrupt");
        if (strcmp(table.status, "corrupt") == 0) {
            // an engine that the server cannot tell any more is the table's own fault
            table.repair = mysql_repair(table.engine[0] ? table.engine : "MyISAM", table.message);
            if (!state->corrupt++)
                copy_clean(state->first_corrupt, sizeof state->first_corrupt, table.name);
        }
        (void)json_array_append_new(state->tables,
                                    json_pack("{s:s, s:s, s:s, s:s, s:s}", "table", table.name, "engine",
                                              table.engine, "status", table.status, "message", table.message,
                                              "repair", table.repair));
    }
    free(names.rows);
}

static enum mysql_outcome outcome_of(unsigned error)
{
    return error == ER_ACCESS_DENIED_ERROR || error == ER_DBACCESS_DENIED_ERROR || error == 1698 ||
                   error == 1251
               ? MYSQL_AUTH_FAILED
               : MYSQL_UNREACHABLE;
}

void mysql_ask(const struct mysql_plan *plan, struct mysql_answer *answer)
{
    MYSQL *mysql = mysql_init(NULL);
    unsigned timeout = plan->timeout_s, no = 0;
    *answer = (struct mysql_answer){.outcome = MYSQL_UNREACHABLE};
    answer->state.heartbeat_lag_s = -1;
    if (!mysql) {
        copy_clean(answer->why, sizeof answer->why, "out of memory");
        return;
    }
    (void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no); // a server may not ask this host for files
    const char *user = plan->auth.known ? plan->auth.user : NULL,
               *password = plan->auth.known ? plan->auth.password : NULL;
    if (!mysql_real_connect(mysql, plan->address, user, password, plan->database[0] ? plan->database : NULL,
                            plan->port, NULL, 0)) {
        answer->outcome = outcome_of(mysql_errno(mysql));
        copy_clean(answer->why, sizeof answer->why, mysql_error(mysql));
        dp_auth_redact(&plan->auth, answer->why);
        mysql_close(mysql);
        mysql_thread_end();
        return;
    }
    answer->outcome = MYSQL_ANSWERED;
    copy_clean(answer->version, sizeof answer->version, mysql_get_server_info(mysql));
    read_replication(mysql, answer);
    if (plan->heartbeat_table[0])
        read_heartbeat(mysql, plan, &answer->state);
    if (plan->check)
        check_tables(mysql, plan, &answer->state);
    mysql_close(mysql);
    mysql_thread_end();
}
