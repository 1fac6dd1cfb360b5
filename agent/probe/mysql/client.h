/* The client library as the probe uses it. Blocks. */
#ifndef DROPPOINT_AGENT_PROBE_MYSQL_CLIENT_H
#define DROPPOINT_AGENT_PROBE_MYSQL_CLIENT_H

#include <mysql.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/mysql/session.h"

typedef void (*client_take)(void *context, MYSQL_ROW row, MYSQL_FIELD *fields, unsigned count);

/* `text` with blanks for control characters, cut to `size`. */
void client_copy(char *out, size_t size, const char *text);
/* Logs in with the plan's credentials and time bounds. NULL: `why` says why, ret_outcome which kind of no it
 * is; else to be closed by mysql_close. */
MYSQL *client_connect(const struct mysql_plan *plan, const char *host, uint16_t port, const char *database,
                      enum mysql_outcome *ret_outcome, char *why, size_t size);
/* Calls `take` for each row; NULL: for a statement that has none. False: `error` says why. */
bool client_query(MYSQL *mysql, const char *sql, client_take take, void *context, char *error, size_t size);

#endif
