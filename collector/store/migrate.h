/* The schema's numbered migrations (schema/NNN_*.sql), embedded into the program. */
#ifndef DROPPOINT_COLLECTOR_STORE_MIGRATE_H
#define DROPPOINT_COLLECTOR_STORE_MIGRATE_H

#include <libpq-fe.h>

#include "common/err/err.h"

struct dp_migration {
    int number; /* from 1 */
    const char *name;
    const char *sql;
};

extern const struct dp_migration dp_migrations[]; /* ascending; ends with number 0 */

/* Brings the database to the newest schema that the program knows, under an advisory lock, each migration in
 * a transaction of its own. DP_ERR_UNSUPPORTED: the database has a newer schema than the program knows.
 * DP_ERR_UNAVAILABLE, DP_ERR_DATABASE. */
int dp_migrate(PGconn *connection, struct dp_diag *diag) DP_MUST_CHECK;

#endif
