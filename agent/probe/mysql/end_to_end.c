#include "agent/probe/mysql/end_to_end.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_FIRST_MS 5
#define LOOK_MOST_MS 200

static void take_text(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count)
{
    (void)fields;
    if (count == 1 && row[0])
        client_copy(context, 40, row[0]);
}

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Times are compared as text: both sessions have to write them in one zone. */
static bool one_zone(MYSQL *mysql, struct mysql_end_to_end *result)
{
    return client_query(mysql, "SET time_zone = '+00:00'", NULL, NULL, result->error, sizeof result->error);
}

/* Only digits and what stands between them: it goes into a statement. */
static bool is_time(const char *text)
{
    return text[0] && strspn(text, "0123456789-:. ") == strlen(text);
}

/* ret_time: as the table has it then; its column may be coarser than a microsecond. */
static bool write_row(MYSQL *primary, const struct mysql_plan *plan, struct mysql_end_to_end *result,
                      char ret_time[40])
{
    char sql[400], rows[40] = "";
    const char *database = plan->heartbeat_database, *table = plan->heartbeat_table;
    (void)snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM `%s`.`%s`", database, table);
    if (!client_query(primary, sql, take_text, rows, result->error, sizeof result->error))
        return false;
    if (strtoull(rows, NULL, 10))
        (void)snprintf(sql, sizeof sql,
                       "UPDATE `%s`.`%s` SET ts = CURRENT_TIMESTAMP(6) ORDER BY ts DESC LIMIT 1", database,
                       table);
    else
        (void)snprintf(sql, sizeof sql, "INSERT INTO `%s`.`%s` (ts) VALUES (CURRENT_TIMESTAMP(6))", database,
                       table);
    if (!client_query(primary, sql, NULL, NULL, result->error, sizeof result->error))
        return false;
    (void)snprintf(sql, sizeof sql, "SELECT MAX(ts) FROM `%s`.`%s`", database, table);
    if (!client_query(primary, sql, take_text, ret_time, result->error, sizeof result->error))
        return false;
    if (is_time(ret_time))
        return true;
    client_copy(result->error, sizeof result->error, "its column ts holds no time");
    return false;
}

static void wait_for_row(MYSQL *replica, const struct mysql_plan *plan, const char *time,
                         struct mysql_end_to_end *result)
{
    char sql[400];
    double from = now_ms();
    long pause_ms = LOOK_FIRST_MS;
    (void)snprintf(sql, sizeof sql, "SELECT MAX(ts) >= '%s' FROM `%s`.`%s`", time, plan->heartbeat_database,
                   plan->heartbeat_table);
    for (;;) {
        char seen[40] = "";
        if (!client_query(replica, sql, take_text, seen, result->error, sizeof result->error))
            return;
        result->ms = now_ms() - from;
        result->seen = strcmp(seen, "1") == 0;
        if (result->seen || result->ms > plan->patience_s * 1e3)
            return;
        const struct timespec pause = {.tv_nsec = pause_ms * 1000000};
        (void)nanosleep(&pause, NULL);
        pause_ms = pause_ms * 2 < LOOK_MOST_MS ? pause_ms * 2 : LOOK_MOST_MS;
    }
}

static enum mysql_end_to_end_fault fault_of(unsigned error)
{
    switch (error) {
    case ER_OPTION_PREVENTS_STATEMENT: /* read_only */
    case ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION:
        return MYSQL_WRITE_READ_ONLY;
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_ERROR:
        return MYSQL_WRITE_DENIED;
    default:
        return MYSQL_WRITE_FAILED;
    }
}

void end_to_end(MYSQL *replica, const struct mysql_plan *plan, struct mysql_end_to_end *ret_result)
{
    struct mysql_end_to_end result = {.asked = true};
    enum mysql_outcome outcome;
    char time[40] = "";
    MYSQL *primary = client_connect(plan, plan->primary, plan->primary_port, "", &outcome, result.error,
                                    sizeof result.error);
    (void)snprintf(result.primary, sizeof result.primary, "%s:%u", plan->primary, plan->primary_port);
    if (!primary) {
        result.fault = outcome == MYSQL_AUTH_FAILED ? MYSQL_WRITE_DENIED : MYSQL_WRITE_UNREACHABLE;
    } else if (!one_zone(primary, &result) || !write_row(primary, plan, &result, time)) {
        result.fault = fault_of(mysql_errno(primary));
    } else if (one_zone(replica, &result)) {
        wait_for_row(replica, plan, time, &result);
        result.fault = result.error[0] ? MYSQL_READ_FAILED : MYSQL_WRITE_GOOD;
    } else {
        result.fault = MYSQL_READ_FAILED;
    }
    if (primary)
        mysql_close(primary);
    *ret_result = result;
}
