/* Small helpers around libpq: one way to connect, to run a statement and to tell its failures apart.
 * Blocking; used by the store's thread alone. */
#ifndef DROPPOINT_COLLECTOR_STORE_PG_H
#define DROPPOINT_COLLECTOR_STORE_PG_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/err/err.h"

/* Connects and sets the session up. DP_ERR_UNAVAILABLE, with PostgreSQL's own words in diag. */
int dp_pg_connect(const char *conninfo, PGconn **ret_connection, struct dp_diag *diag) DP_MUST_CHECK;

/* Prepares the statements of the hot road; once for each connection, after dp_migrate. */
int dp_pg_prepare_statements(PGconn *connection, struct dp_diag *diag) DP_MUST_CHECK;

/* Runs one or more statements without parameters. Codes as dp_pg_query. */
int dp_pg_command(PGconn *connection, const char *sql, struct dp_diag *diag) DP_MUST_CHECK;

/* Runs one statement with text parameters. *ret_result (may be NULL) is the caller's, PQclear it.
 * DP_ERR_UNAVAILABLE: the server is gone, full or busy, the same statement is worth another try;
 * DP_ERR_EXISTS: a unique key is taken; DP_ERR_DATABASE: it will fail again. */
int dp_pg_query(PGconn *connection, const char *sql, int count, const char *const *values,
                PGresult **ret_result, struct dp_diag *diag) DP_MUST_CHECK;

/* As dp_pg_query, for a statement that was prepared under `name`. */
int dp_pg_prepared(PGconn *connection, const char *name, int count, const char *const *values,
                   PGresult **ret_result, struct dp_diag *diag) DP_MUST_CHECK;

/* Takes a result apart: frees it and returns the code for it, or hands it over. */
int dp_pg_take(PGconn *connection, PGresult *result, PGresult **ret_result,
               struct dp_diag *diag) DP_MUST_CHECK;

/* Ends a failed transaction; what it answers does not matter. */
void dp_pg_rollback(PGconn *connection);

/* A decimal number for a text parameter. */
#define DP_PG_NUMBER 24
char *dp_pg_number(char text[DP_PG_NUMBER], int64_t number);

/* Cells of a result. */
int64_t dp_pg_int(const PGresult *result, int row, int column);
void dp_pg_copy_text(const PGresult *result, int row, int column, char *text, size_t size);

#endif
