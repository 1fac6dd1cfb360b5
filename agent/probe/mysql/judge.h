/* What a server says of its replication and of its tables, and what that calls for. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_MYSQL_JUDGE_H
#define DROPPOINT_AGENT_PROBE_MYSQL_JUDGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* One channel of replication, from SHOW REPLICA STATUS by whatever name its columns go. */
struct mysql_channel {
    char name[64], source[128];
    char io_thread[24], sql_thread[24]; /* "Yes", "No", "Connecting", "Preparing" */
    char io_error[400], sql_error[400];
    char source_log[128], executed_log[128];
    uint64_t source_position, executed_position;
    double lag_s; /* as the server says; negative: it does not know */
};

struct mysql_table {
    char name[200], engine[32];
    char status[24]; /* "ok", "corrupt", "warning", "unsupported" */
    char message[300];
    const char *repair; /* what the result calls for, in its order; "" where nothing is */
};

#define MYSQL_CHANNELS_MAX 16

enum mysql_end_to_end_fault {
    MYSQL_WRITE_GOOD,
    MYSQL_WRITE_UNREACHABLE,
    MYSQL_WRITE_DENIED,
    MYSQL_WRITE_READ_ONLY,
    MYSQL_WRITE_FAILED,
    MYSQL_READ_FAILED, /* on the replica */
};

/* A row that was written on the primary, and whether it came. */
struct mysql_end_to_end {
    bool asked, seen;
    enum mysql_end_to_end_fault fault;
    double ms; /* until it was seen, or given up */
    char primary[280];
    char error[300];
};

struct mysql_state {
    bool is_replica;
    struct mysql_channel channels[MYSQL_CHANNELS_MAX];
    unsigned channel_count;
    double heartbeat_lag_s; /* negative: no heartbeat was asked for */
    char heartbeat_error[300];
    struct mysql_end_to_end end_to_end;
    json_t *tables; /* owned by whoever made it; NULL: none was checked */
    unsigned corrupt;
    char first_corrupt[200];
};

/* Takes a column of the status into the channel; others than those that matter are passed over. */
void mysql_take_column(struct mysql_channel *channel, const char *column, const char *value);

struct mysql_verdict {
    const char *class;
    char summary[500];
    const char *next_step;
};
struct mysql_verdict mysql_judge(const char *server, const struct mysql_state *state, double max_lag_s);

/* The repair that a message of CHECK TABLE calls for, by the engine, in the order in which to try. */
const char *mysql_repair(const char *engine, const char *message);
/* The status of a row of CHECK TABLE. */
const char *mysql_check_status(const char *type, const char *message);

/* A name as it goes into SQL: letters, digits, "_", "$", "-", at most 64. False: it is none. */
bool mysql_name_ok(const char *name);

#endif
