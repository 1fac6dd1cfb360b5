/* Asks a MySQL or MariaDB server. Blocks, for a thread beside the loop; no step takes longer than the time
 * that is given. */
#ifndef DROPPOINT_AGENT_PROBE_MYSQL_SESSION_H
#define DROPPOINT_AGENT_PROBE_MYSQL_SESSION_H

#include "agent/probe/mysql/judge.h"
#include "agent/probe/net/auth_file.h"

struct mysql_plan {
    char address[64];
    uint16_t port;
    struct dp_auth auth;
    char database[65];
    char heartbeat_database[65], heartbeat_table[65]; /* "" : none */
    const char *check;                                /* "QUICK", "MEDIUM"; NULL: none */
    char primary[256];                                /* to write a heartbeat row to; "": none */
    uint16_t primary_port;
    double patience_s; /* so long that row may take to the replica */
    unsigned timeout_s;
};

enum mysql_outcome { MYSQL_ANSWERED, MYSQL_AUTH_FAILED, MYSQL_UNREACHABLE };

struct mysql_answer {
    enum mysql_outcome outcome;
    char why[400];
    char version[80];
    struct mysql_state state;
    char status_error[300]; /* why the replication status could not be had */
};

/* answer->state.tables is to be released. */
void mysql_ask(const struct mysql_plan *plan, struct mysql_answer *answer);

#endif
