#include "collector/store/migrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "collector/store/pg.h"

/* Any number will do, so long as every collector uses the same one. */
#define LOCK_SQL "SELECT pg_advisory_lock(7205759403792)"
#define UNLOCK_SQL "SELECT pg_advisory_unlock(7205759403792)"

static const char version_table[] = "CREATE TABLE IF NOT EXISTS schema_version ("
                                    "number integer PRIMARY KEY, name text NOT NULL, "
                                    "applied timestamptz NOT NULL DEFAULT now())";

static int apply(PGconn *connection, const struct dp_migration *migration, struct dp_diag *diag)
{
    int code = dp_pg_command(connection, "BEGIN", diag);
    if (code == DP_OK)
        code = dp_pg_command(connection, migration->sql, diag);
    if (code == DP_OK) {
        char number[16];
        snprintf(number, sizeof number, "%d", migration->number);
        const char *const values[] = {number, migration->name};
        code = dp_pg_query(connection, "INSERT INTO schema_version (number, name) VALUES ($1, $2)", 2, values,
                           NULL, diag);
    }
    if (code == DP_OK)
        return dp_pg_command(connection, "COMMIT", diag);
    dp_pg_rollback(connection);
    return code;
}

static int migrate_locked(PGconn *connection, struct dp_diag *diag)
{
    int code = dp_pg_command(connection, "CREATE SCHEMA IF NOT EXISTS droppoint", diag);
    if (code == DP_OK)
        code = dp_pg_command(connection, version_table, diag);
    PGresult *result = NULL;
    if (code == DP_OK)
        code = dp_pg_query(connection, "SELECT coalesce(max(number), 0) FROM schema_version", 0, NULL,
                           &result, diag);
    if (code != DP_OK)
        return code;
    int current = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    int newest = 0;
    for (const struct dp_migration *m = dp_migrations; m->number != 0; m++)
        newest = m->number;
    if (current > newest)
        return dp_fail(
            diag, DP_ERR_UNSUPPORTED,
            "The database has schema %d and this droppoint-collector knows schemas up to %d: it was "
            "used by a newer version. Run that version again, or restore a backup made before it.",
            current, newest);
    for (const struct dp_migration *m = dp_migrations; m->number != 0 && code == DP_OK; m++)
        if (m->number > current)
            code = apply(connection, m, diag);
    return code;
}

int dp_migrate(PGconn *connection, struct dp_diag *diag)
{
    int code = dp_pg_query(connection, LOCK_SQL, 0, NULL, NULL, diag);
    if (code != DP_OK)
        return code;
    code = migrate_locked(connection, diag);
    /* A lost connection gives the lock back by itself. */
    if (PQstatus(connection) == CONNECTION_OK) {
        int unlocked = dp_pg_query(connection, UNLOCK_SQL, 0, NULL, NULL, NULL);
        if (code == DP_OK)
            code = unlocked;
    }
    return code;
}
