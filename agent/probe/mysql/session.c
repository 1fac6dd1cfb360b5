#include "agent/probe/mysql/session.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/mysql/client.h"
#include "agent/probe/mysql/end_to_end.h"

#define TABLES_MAX 5000

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
        if (client_query(mysql, questions[i], take_channel, &answer->state, answer->status_error,
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
    if (client_query(mysql, sql, take_lag, state, state->heartbeat_error, sizeof state->heartbeat_error) &&
        state->heartbeat_lag_s < 0)
        client_copy(state->heartbeat_error, sizeof state->heartbeat_error,
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
    client_copy(names->rows[names->count][0], 80, row[0]);
    client_copy(names->rows[names->count++][1], 80, row[1] ? row[1] : "");
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
    client_copy(table->status, sizeof table->status, status);
    client_copy(table->message, sizeof table->message, row[3]);
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
        (void)client_query(mysql, sql, take_name, &names, error, sizeof error);
    for (size_t i = 0; i < names.count; i++) {
        struct mysql_table table = {.repair = ""};
        client_copy(table.name, sizeof table.name, names.rows[i][0]);
        client_copy(table.engine, sizeof table.engine, names.rows[i][1]);
        (void)snprintf(sql, sizeof sql, "CHECK TABLE `%s`.`%s` %s", plan->database, table.name, plan->check);
        if (!client_query(mysql, sql, take_check, &table, table.message, sizeof table.message))
            client_copy(table.status, sizeof table.status, "corrupt");
        if (strcmp(table.status, "corrupt") == 0) {
            // an engine that the server cannot tell any more is the table's own fault
            table.repair = mysql_repair(table.engine[0] ? table.engine : "MyISAM", table.message);
            if (!state->corrupt++)
                client_copy(state->first_corrupt, sizeof state->first_corrupt, table.name);
        }
        (void)json_array_append_new(state->tables,
                                    json_pack("{s:s, s:s, s:s, s:s, s:s}", "table", table.name, "engine",
                                              table.engine, "status", table.status, "message", table.message,
                                              "repair", table.repair));
    }
    free(names.rows);
}

void mysql_ask(const struct mysql_plan *plan, struct mysql_answer *answer)
{
    *answer = (struct mysql_answer){.outcome = MYSQL_UNREACHABLE};
    answer->state.heartbeat_lag_s = -1;
    MYSQL *mysql = client_connect(plan, plan->address, plan->port, plan->database, &answer->outcome,
                                  answer->why, sizeof answer->why);
    if (!mysql) {
        mysql_thread_end();
        return;
    }
    client_copy(answer->version, sizeof answer->version, mysql_get_server_info(mysql));
    read_replication(mysql, answer);
    if (plan->heartbeat_table[0])
        read_heartbeat(mysql, plan, &answer->state);
    if (plan->primary[0])
        end_to_end(mysql, plan, &answer->state.end_to_end);
    if (plan->check)
        check_tables(mysql, plan, &answer->state);
    mysql_close(mysql);
    mysql_thread_end();
}
