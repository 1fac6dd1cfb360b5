/* `mysql`: does a server let somebody in, does it replicate, how far behind, and are its tables sound. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/mysql/session.h"
#include "agent/probe/net/resolve.h"

#define ANSWER_S 1.0 /* of the probe's time, kept to tell the outcome */

struct mysql_probe;

/* Done by a thread of libuv's; outlives the probe where that ends first. */
struct mysql_work {
    uv_work_t work;
    struct mysql_probe *owner; /* NULL: nobody waits any more */
    struct mysql_plan plan;
    struct mysql_answer answer;
};

struct mysql_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    struct mysql_work *work;
    struct mysql_plan plan;
};

static json_t *channel_json(const struct mysql_channel *c)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:I}, s:{s:s, s:I}, s:o}", "name", c->name,
                     "source", c->source, "io_thread", c->io_thread, "sql_thread", c->sql_thread,
                     "last_io_error", c->io_error, "last_sql_error", c->sql_error, "source_position", "log",
                     c->source_log, "position", (json_int_t)c->source_position, "replica_position", "log",
                     c->executed_log, "position", (json_int_t)c->executed_position, "lag_s",
                     c->lag_s < 0 ? json_null() : json_real(c->lag_s));
}

static void add_problem(json_t *problems, const char *word, const char *text)
{
    if (text[0])
        (void)json_array_append_new(
            problems, json_pack("{s:s, s:o}", "word", word, "text", dp_peer_text(text, strlen(text))));
}

static void put_state(struct mysql_probe *mysql, const struct mysql_answer *answer)
{
    json_t *data = dp_probe_data(mysql->probe), *channels = json_array(), *problems = json_array();
    const struct mysql_state *state = &answer->state;
    const struct mysql_channel none = {.name = ""},
                               *first = state->channel_count ? &state->channels[0] : &none;
    for (unsigned i = 0; i < state->channel_count; i++)
        (void)json_array_append_new(channels, channel_json(&state->channels[i]));
    double lag = state->heartbeat_lag_s >= 0 ? state->heartbeat_lag_s
                 : state->channel_count      ? first->lag_s
                                             : -1;
    (void)json_object_set_new(data, "version", dp_peer_text(answer->version, strlen(answer->version)));
    (void)json_object_set_new(data, "replica", json_boolean(state->is_replica));
    (void)json_object_set_new(data, "io_thread",
                              state->is_replica ? json_string(first->io_thread) : json_null());
    (void)json_object_set_new(data, "sql_thread",
                              state->is_replica ? json_string(first->sql_thread) : json_null());
    const char *error = first->sql_error[0] ? first->sql_error : first->io_error;
    (void)json_object_set_new(data, "last_error",
                              error[0] ? dp_peer_text(error, strlen(error)) : json_null());
    (void)json_object_set_new(data, "lag_s", lag >= 0 ? json_real(lag) : json_null());
    (void)json_object_set_new(data, "channels", channels);
    if (state->tables)
        (void)json_object_set(data, "tables", state->tables);
    const struct mysql_end_to_end *e = &state->end_to_end;
    if (e->asked)
        (void)json_object_set_new(
            data, "end_to_end",
            json_pack("{s:s, s:b, s:o, s:o}", "primary", e->primary, "seen", e->seen, "ms",
                      e->fault == MYSQL_WRITE_GOOD ? json_real(e->ms) : json_null(), "error",
                      e->error[0] ? dp_peer_text(e->error, strlen(e->error)) : json_null()));
    add_problem(problems, "replication-status", answer->status_error);
    add_problem(problems, "heartbeat", state->heartbeat_error);
    if (json_array_size(problems))
        dp_probe_warn(mysql->probe);
    (void)json_object_set_new(data, "problems", problems);
}

static void conclude(struct mysql_probe *mysql, const struct mysql_answer *answer)
{
    char server[DP_HOST_TEXT + 16];
    (void)snprintf(server, sizeof server, "%s:%u", mysql->target.host, mysql->plan.port);
    if (answer->outcome == MYSQL_UNREACHABLE) {
        dp_probe_finish(
            mysql->probe, "unreachable",
            "'droppoint probe tcp' with this port tells whether the network or the server is the reason.",
            "%s cannot be asked: %s", server, answer->why);
    } else if (answer->outcome == MYSQL_AUTH_FAILED) {
        dp_probe_finish(mysql->probe, "auth-failed",
                        "Check user and password, and from which hosts the server lets that user in; REPLICA "
                        "MONITOR (MariaDB) or "
                        "REPLICATION CLIENT is the right that the status needs.",
                        "%s does not let this user in: %s", server, answer->why);
    } else {
        put_state(mysql, answer);
        struct mysql_verdict v =
            mysql_judge(server, &answer->state,
                        (double)dp_request_ms(dp_probe_request(mysql->probe), "--max-lag") / 1000);
        dp_probe_finish(mysql->probe, v.class, v.next_step, "%s", v.summary);
    }
}

static void do_work(uv_work_t *handle)
{
    struct mysql_work *work = handle->data;
    mysql_ask(&work->plan, &work->answer);
}

static void on_worked(uv_work_t *handle, int status)
{
    struct mysql_work *work = handle->data;
    if (work->owner) {
        if (!status)
            conclude(work->owner, &work->answer);
        work->owner->work = NULL;
    }
    json_decref(work->answer.state.tables);
    dp_auth_forget(&work->plan.auth);
    free(work);
}

static const char *const from_good_to_bad[] = {"ok",          "lagging",     "stopped", "broken",
                                               "auth-failed", "unreachable", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct mysql_probe *mysql = context;
    char text[DP_ADDRESS_TEXT];
    if (code) {
        dp_probe_fail(mysql->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(mysql->probe, &rules, &mysql->target, NULL, addresses, count, &mysql->parts))
        return;
    struct mysql_work *work = calloc(1, sizeof *work);
    if (work) {
        (void)snprintf(mysql->plan.address, sizeof mysql->plan.address, "%s",
                       dp_address_text(&addresses[0], text));
        (void)json_object_set_new(dp_probe_data(mysql->probe), "address", json_string(mysql->plan.address));
        uint64_t left = dp_probe_left_ms(mysql->probe) / 1000; // the client library counts whole seconds
        mysql->plan.timeout_s = left ? (unsigned)left : 1;
        double most_s = (double)dp_probe_left_ms(mysql->probe) / 1000 - ANSWER_S;
        if (mysql->plan.patience_s > most_s)
            mysql->plan.patience_s = most_s;
        work->plan = mysql->plan;
        work->owner = mysql;
        work->work.data = work;
    }
    if (!work || uv_queue_work(dp_probe_loop(mysql->probe), &work->work, do_work, on_worked)) {
        free(work);
        dp_probe_fail(mysql->probe, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        return;
    }
    mysql->work = work;
}

static int read_names(struct mysql_probe *mysql, const struct dp_request *request, struct dp_diag *diag)
{
    const char *database = dp_request_text(request, "--database"),
               *heartbeat = dp_request_text(request, "--heartbeat");
    const char *primary = dp_request_text(request, "--write-to");
    const char *check = dp_request_text(request, "--check"), *dot = heartbeat ? strchr(heartbeat, '.') : NULL;
    if (database && !mysql_name_ok(database))
        return dp_fail(diag, DP_ERR_USAGE, "--database '%.80s' is no name of a database", database);
    (void)snprintf(mysql->plan.database, sizeof mysql->plan.database, "%s", database ? database : "");
    if (heartbeat) {
        size_t length = dot ? (size_t)(dot - heartbeat) : 0;
        (void)snprintf(mysql->plan.heartbeat_database, sizeof mysql->plan.heartbeat_database, "%.*s",
                       (int)(length < 64 ? length : 64), heartbeat);
        (void)snprintf(mysql->plan.heartbeat_table, sizeof mysql->plan.heartbeat_table, "%.64s",
                       dot ? dot + 1 : "");
        if (!dot || length > 64 || strlen(dot + 1) > 64 || !mysql_name_ok(mysql->plan.heartbeat_database) ||
            !mysql_name_ok(mysql->plan.heartbeat_table))
            return dp_fail(diag, DP_ERR_USAGE, "--heartbeat '%.100s': written as DATABASE.TABLE", heartbeat);
    }
    if (primary) {
        struct dp_host_port place;
        int rc = dp_host_port_parse(primary, &place, diag);
        if (rc)
            return rc;
        if (!heartbeat)
            return dp_fail(diag, DP_ERR_USAGE, "--write-to needs --heartbeat: the table to write to");
        (void)snprintf(mysql->plan.primary, sizeof mysql->plan.primary, "%s", place.host);
        mysql->plan.primary_port = place.port ? place.port : 3306;
        mysql->plan.patience_s = (double)dp_request_ms(request, "--max-lag") / 1000;
    }
    if (check && !database)
        return dp_fail(diag, DP_ERR_USAGE, "--check needs --database: which tables to check");
    mysql->plan.check = !check ? NULL : strcmp(check, "quick") == 0 ? "QUICK" : "MEDIUM";
    return 0;
}

static void mysql_stop(void *state)
{
    struct mysql_probe *mysql = state;
    dp_lookup_drop(mysql->lookup);
    dp_parts_free(mysql->parts);
    if (mysql->work)
        mysql->work->owner = NULL; // goes on by itself, and frees itself
    dp_auth_forget(&mysql->plan.auth);
    free(mysql);
}

static int mysql_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct mysql_probe *mysql = calloc(1, sizeof *mysql);
    if (!mysql)
        return DP_ERR_NOMEM;
    mysql->probe = probe;
    int rc = dp_host_port_parse(dp_request_target(request), &mysql->target, diag);
    mysql->plan.port = mysql->target.port ? mysql->target.port : 3306;
    if (!rc)
        rc = read_names(mysql, request, diag);
    if (!rc)
        rc = dp_auth_read(dp_request_text(request, "--auth-file"), &mysql->plan.auth, diag);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), mysql->target.host, dp_request_family(request), 0,
                             on_addresses, mysql, &mysql->lookup);
    if (rc) {
        mysql_stop(mysql);
        return rc;
    }
    if (mysql->plan.check)
        dp_probe_allow(probe, 600000);
    *ret_state = mysql;
    return 0;
}

static void mysql_expire(void *state)
{
    struct mysql_probe *mysql = state;
    if (dp_parts_expire(mysql->parts))
        return;
    if (!mysql->work)
        dp_probe_fail(mysql->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      mysql->target.host);
    else if (uv_cancel((uv_req_t *)&mysql->work->work) == 0) // no thread had it yet
        dp_probe_finish(mysql->probe, "inconclusive", "Give it more time with --timeout.",
                        "%s:%u was not asked: other questions took the time", mysql->target.host,
                        mysql->plan.port);
    else
        dp_probe_finish(
            mysql->probe, "unreachable",
            "'droppoint probe tcp' with this port tells whether the network or the server is the reason.",
            "%s:%u gave no answer in the time", mysql->target.host, mysql->plan.port);
}

static void mysql_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *entry;
    dp_parts_print(data, "addresses", "address", out);
    json_array_foreach(json_object_get(data, "channels"), i, entry) fprintf(
        out, "from %s: IO thread %s, SQL thread %s\n", json_string_value(json_object_get(entry, "source")),
        json_string_value(json_object_get(entry, "io_thread")),
        json_string_value(json_object_get(entry, "sql_thread")));
    json_array_foreach(json_object_get(data, "tables"), i, entry)
        fprintf(out, "%-40s %-10s %-10s %s\n", json_string_value(json_object_get(entry, "table")),
                json_string_value(json_object_get(entry, "engine")),
                json_string_value(json_object_get(entry, "status")),
                json_string_value(json_object_get(entry, "repair")));
    json_array_foreach(json_object_get(data, "problems"), i, entry)
        fprintf(out, "Note: %s\n", json_string_value(json_object_get(entry, "text")));
}

static void mysql_perfdata(const json_t *data, FILE *out)
{
    const json_t *lag = json_object_get(data, "lag_s");
    if (json_is_number(lag))
        fprintf(out, "lag=%.3fs", json_number_value(lag));
}

static const struct dp_probe_option options[] = {
    {"--auth-file", DP_OPT_TEXT, "FILE", NULL, 0, 0, NULL, false,
     "log in: 'user:' and 'password:' lines, mode 0600 (or DROPPOINT_USER, DROPPOINT_PASSWORD)"},
    {"--database", DP_OPT_TEXT, "DATABASE", NULL, 0, 0, NULL, false, "the database whose tables are checked"},
    {"--heartbeat", DP_OPT_TEXT, "DB.TABLE", NULL, 0, 0, NULL, false,
     "a table with a column ts that the source writes the time into: the true lag"},
    {"--write-to", DP_OPT_TEXT, "PRIMARY[:PORT]", NULL, 0, 0, NULL, false,
     "sets the newest row of --heartbeat there to the time (adds one where there is none), nothing else, and "
     "waits "
     "for it here"},
    {"--check", DP_OPT_WORD, "HOW", NULL, 0, 0, "quick|medium", false,
     "CHECK TABLE for every table of --database"},
    {"--max-lag", DP_OPT_SECONDS, "SECONDS", "60", 0, 31536000000, NULL, false, "more than that is lagging"},
};

const struct dp_probe_kind dp_probe_mysql = {
    .name = "mysql",
    .about = "Does a MySQL or MariaDB server let somebody in, replicate, keep up, and are its tables sound.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 20000,
    .examples =
        "  droppoint probe mysql --local --auth-file db.txt replica.example.net\n"
        "  droppoint probe mysql --local --auth-file db.txt --heartbeat ops.heartbeat --max-lag 5 "
        "replica.example.net\n"
        "  droppoint probe mysql --local --auth-file db.txt --heartbeat ops.heartbeat --write-to "
        "primary.example.net replica.example.net\n"
        "  droppoint probe mysql --local --auth-file db.txt --database mail --check medium db.example.net\n",
    .start = mysql_start,
    .expire = mysql_expire,
    .stop = mysql_stop,
    .print = mysql_print,
    .perfdata = mysql_perfdata,
};
