#include "collector/store/pg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every session of ours is set to. Durability is not left to the server's defaults. */
static const char session_setup[] = "SET search_path = droppoint; SET synchronous_commit = on; "
                                    "SET client_min_messages = warning; SET standard_conforming_strings = on";

static const char stream_move[] = "UPDATE stream SET last = $6 WHERE capture_id = $1 AND position = $2 AND "
                                  "epoch = $3 AND stream = $4 AND last = $5";
static const char stream_last[] =
    "SELECT last FROM stream WHERE capture_id = $1 AND position = $2 AND epoch = $3 AND stream = $4";

/* PostgreSQL's messages end in a line break and may span lines; an operator's sentence does not. */
static int fail_with_message(struct dp_diag *diag, int code, const char *message)
{
    char line[400];
    snprintf(line, sizeof line, "%s", message != NULL ? message : "");
    size_t len = strlen(line);
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == ' '))
        line[--len] = '\0';
    for (char *p = line; *p != '\0'; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
    return dp_fail(diag, code, "PostgreSQL: %s", len > 0 ? line : "no answer");
}

static int code_of(PGconn *connection, const PGresult *result)
{
    if (PQstatus(connection) != CONNECTION_OK)
        return DP_ERR_UNAVAILABLE;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (state == NULL)
        return DP_ERR_UNAVAILABLE; /* made by libpq itself: the connection broke */
    /* 08 connection, 40 rolled back, 53 resources (disk full), 55 object in use, 57 operator intervention, 58
     * system; 25006: a standby, until it is promoted. */
    static const char *const retry[] = {"08", "40", "53", "55", "57", "58", "25006"};
    for (size_t i = 0; i < sizeof retry / sizeof *retry; i++)
        if (strncmp(state, retry[i], strlen(retry[i])) == 0)
            return DP_ERR_UNAVAILABLE;
    return strcmp(state, "23505") == 0 ? DP_ERR_EXISTS : DP_ERR_DATABASE;
}

int dp_pg_take(PGconn *connection, PGresult *result, PGresult **ret_result, struct dp_diag *diag)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN) {
        if (ret_result != NULL)
            *ret_result = result;
        else
            PQclear(result);
        return DP_OK;
    }
    int code = code_of(connection, result);
    fail_with_message(diag, code, result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(connection));
    PQclear(result);
    return code;
}

int dp_pg_command(PGconn *connection, const char *sql, struct dp_diag *diag)
{
    return dp_pg_take(connection, PQexec(connection, sql), NULL, diag);
}

int dp_pg_query(PGconn *connection, const char *sql, int count, const char *const *values,
                PGresult **ret_result, struct dp_diag *diag)
{
    return dp_pg_take(connection, PQexecParams(connection, sql, count, NULL, values, NULL, NULL, 0),
                      ret_result, diag);
}

int dp_pg_prepared(PGconn *connection, const char *name, int count, const char *const *values,
                   PGresult **ret_result, struct dp_diag *diag)
{
    return dp_pg_take(connection, PQexecPrepared(connection, name, count, values, NULL, NULL, 0), ret_result,
                      diag);
}

void dp_pg_rollback(PGconn *connection)
{
    if (PQstatus(connection) == CONNECTION_OK && PQtransactionStatus(connection) != PQTRANS_IDLE)
        PQclear(PQexec(connection, "ROLLBACK"));
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

int dp_pg_connect(const char *conninfo, PGconn **ret_connection, struct dp_diag *diag)
{
    /* What the connection string says comes after our defaults and wins. */
    const char *const keys[] = {"connect_timeout",
                                "keepalives_idle",
                                "keepalives_interval",
                                "keepalives_count",
                                "application_name",
                                "client_encoding",
                                "dbname",
                                NULL};
    const char *const values[] = {"5", "10", "5", "3", "droppoint-collector", "UTF8", conninfo, NULL};
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    if (connection == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "Out of memory while connecting to PostgreSQL.");
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_with_message(diag, DP_ERR_UNAVAILABLE, PQerrorMessage(connection));
        PQfinish(connection);
        return DP_ERR_UNAVAILABLE;
    }
    PQsetNoticeReceiver(connection, ignore_notice, NULL);
    int code = dp_pg_command(connection, session_setup, diag);
    if (code != DP_OK) {
        PQfinish(connection);
        return code;
    }
    *ret_connection = connection;
    return DP_OK;
}

int dp_pg_prepare_statements(PGconn *connection, struct dp_diag *diag)
{
    int code = dp_pg_take(connection, PQprepare(connection, "stream_move", stream_move, 6, NULL), NULL, diag);
    if (code == DP_OK)
        code = dp_pg_take(connection, PQprepare(connection, "stream_last", stream_last, 4, NULL), NULL, diag);
    return code;
}

char *dp_pg_number(char text[DP_PG_NUMBER], int64_t number)
{
    snprintf(text, DP_PG_NUMBER, "%" PRId64, number);
    return text;
}

int64_t dp_pg_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

void dp_pg_copy_text(const PGresult *result, int row, int column, char *text, size_t size)
{
    snprintf(text, size, "%s", PQgetvalue(result, row, column));
}
