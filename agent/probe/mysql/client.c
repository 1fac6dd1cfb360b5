#include "agent/probe/mysql/client.h"

#include <mysqld_error.h>

void client_copy(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; text && *text && used + 1 < size; text++)
        out[used++] = (char)((unsigned char)*text >= ' ' && *text != 127 ? *text : ' ');
    out[used] = '\0';
}

static enum mysql_outcome outcome_of(unsigned error)
{
    return error == ER_ACCESS_DENIED_ERROR || error == ER_DBACCESS_DENIED_ERROR || error == 1698 ||
                   error == 1251
               ? MYSQL_AUTH_FAILED
               : MYSQL_UNREACHABLE;
}

MYSQL *client_connect(const struct mysql_plan *plan, const char *host, uint16_t port, const char *database,
                      enum mysql_outcome *ret_outcome, char *why, size_t size)
{
    MYSQL *mysql = mysql_init(NULL);
    unsigned timeout = plan->timeout_s, no = 0;
    *ret_outcome = MYSQL_UNREACHABLE;
    if (!mysql) {
        client_copy(why, size, "out of memory");
        return NULL;
    }
    (void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &timeout);
    (void)mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no); // a server may not ask this host for files
    const char *user = plan->auth.known ? plan->auth.user : NULL,
               *password = plan->auth.known ? plan->auth.password : NULL;
    if (mysql_real_connect(mysql, host, user, password, database[0] ? database : NULL, port, NULL, 0)) {
        *ret_outcome = MYSQL_ANSWERED;
        return mysql;
    }
    *ret_outcome = outcome_of(mysql_errno(mysql));
    client_copy(why, size, mysql_error(mysql));
    dp_auth_redact(&plan->auth, why);
    mysql_close(mysql);
    return NULL;
}

bool client_query(MYSQL *mysql, const char *sql, client_take take, void *context, char *error, size_t size)
{
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    if (mysql_query(mysql, sql) != 0 || (take && !(result = mysql_store_result(mysql)))) {
        client_copy(error, size, mysql_error(mysql));
        return false;
    }
    while (take && (row = mysql_fetch_row(result)))
        take(context, row, mysql_fetch_fields(result), mysql_num_fields(result));
    if (take)
        mysql_free_result(result);
    return true;
}
