/* droppoint-collector: stores what agents see, runs captures over them, locates loss. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "collector/run/run.h"
#include "collector/settings.h"
#include "collector/state.h"
#include "collector/store/cluster.h"
#include "collector/store/store.h"
#include "common/log/log.h"

#define EXIT_USAGE 2
#define DATABASE_WAIT_S 60

enum action { RUN, SHOW_KEY, CHECK };

struct collector {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    struct dp_log log;
    struct collector_settings settings;
    struct collector_state state;
    struct dp_cluster *cluster;
    struct dp_store *store;
    struct dp_run *run;
    bool stopping;
    int status;
};

static const char help[] =
    "Usage: droppoint-collector [OPTION]...\n"
    "Takes in what the agents see, runs captures over them, and says where packets get lost.\n"
    "\n"
    "  --config FILE          configuration (default " COLLECTOR_CONFIG_DEFAULT ", may be absent)\n"
    "  --bind ENDPOINT        where to listen (default tcp://0.0.0.0:9910)\n"
    "  --state-directory DIR  keys, and the private database (default /var/lib/droppoint)\n"
    "  --database CONNINFO    a PostgreSQL of your own; without it the collector runs a private one\n"
    "  --user NAME            whom to become when started as root (default droppoint)\n"
    "  --show-key             print the collector's public key, which agents need, and its fingerprint\n"
    "  --check                check the configuration\n"
    "  --help, --version\n"
    "\n"
    "Examples:\n"
    "  droppoint-collector\n"
    "  droppoint-collector --bind tcp://192.0.2.10:9910 --state-directory /srv/droppoint\n"
    "  droppoint-collector --database 'host=db.example.net dbname=droppoint user=droppoint'\n"
    "  droppoint-collector --show-key\n"
    "\n"
    "Signals: SIGTERM and SIGINT stop it; captures that run are finished at the next start.\n"
    "Exit status: 0 fine, 1 failed, 2 wrong usage or configuration.\n";

static int fail(struct collector *collector, int code, const struct dp_diag *diag)
{
    dp_log(&collector->log, DP_LOG_ERROR, "%s", dp_reason(diag, code));
    return code == DP_ERR_USAGE || code == DP_ERR_NOT_FOUND ? EXIT_USAGE : EXIT_FAILURE;
}

/* --- stopping --- */

/* The run goes before the store: the store calls back what the run still waits for. */
static void stop(struct collector *collector)
{
    if (collector->stopping)
        return;
    collector->stopping = true;
    dp_run_close(collector->run);
    dp_store_close(collector->store);
    uv_close((uv_handle_t *)&collector->term, NULL);
    uv_close((uv_handle_t *)&collector->interrupt, NULL);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct collector *collector = signal->data;
    dp_log(&collector->log, DP_LOG_INFO, "%s: stopping.", number == SIGTERM ? "SIGTERM" : "SIGINT");
    stop(collector);
}

/* --- running --- */

static void on_ready(void *context, int code, const char *text)
{
    struct collector *collector = context;
    if (code != DP_OK) {
        dp_log(&collector->log, DP_LOG_ERROR, "%s", text);
        collector->status = EXIT_FAILURE;
        stop(collector);
        return;
    }
    dp_log(&collector->log, DP_LOG_INFO, "Listening on %s. Agents need the key %s.", text,
           collector->state.keys.public_z85);
}

static void on_availability(void *context, bool up, const char *text)
{
    struct collector *collector = context;
    if (collector->run != NULL && !collector->stopping)
        dp_run_database(collector->run, up, text);
}

static int open_store(struct collector *collector, struct dp_diag *diag)
{
    struct dp_store_options options = {
        .conninfo = collector->settings.database, .availability = on_availability, .context = collector};
    if (collector->settings.database[0] == '\0') {
        int code = dp_cluster_open(collector->settings.state_directory, collector->settings.pg_bindir,
                                   &collector->cluster, diag);
        if (code != DP_OK)
            return code;
        options.conninfo = dp_cluster_conninfo(collector->cluster);
        options.before_connect = dp_cluster_ensure;
        options.before_context = collector->cluster;
    }
    /* A database of one's own may come up after the collector. */
    int code = DP_ERR_UNAVAILABLE;
    for (int second = 0; second < DATABASE_WAIT_S && code == DP_ERR_UNAVAILABLE; second++) {
        if (second > 0)
            sleep(1);
        code = dp_store_open(&collector->loop, &options, &collector->store, diag);
        if (code == DP_ERR_UNAVAILABLE && second == 0)
            dp_log(&collector->log, DP_LOG_WARNING,
                   "The database does not answer yet; waiting up to %d s. %s", DATABASE_WAIT_S,
                   dp_reason(diag, code));
    }
    return code;
}

static int open_run(struct collector *collector, struct dp_diag *diag)
{
    const struct dp_run_options options = {.bind = collector->settings.bind,
                                           .keys = &collector->state.keys,
                                           .operators_directory = collector->settings.operators,
                                           .local_operator = collector->state.operator_keys.public_z85,
                                           .log = &collector->log};
    const struct dp_run_events events = {.ready = on_ready, .context = collector};
    return dp_run_open(&collector->loop, collector->store, &options, &events, &collector->run, diag);
}

static int run_collector(struct collector *collector)
{
    struct dp_diag diag = {""};
    int code = collector_state_open(&collector->settings, &collector->state, &diag);
    if (code != DP_OK)
        return fail(collector, code, &diag);
    uv_loop_init(&collector->loop);
    code = open_store(collector, &diag);
    if (code == DP_OK) {
        uv_signal_init(&collector->loop, &collector->term);
        uv_signal_init(&collector->loop, &collector->interrupt);
        collector->term.data = collector->interrupt.data = collector;
        uv_signal_start(&collector->term, on_signal, SIGTERM);
        uv_signal_start(&collector->interrupt, on_signal, SIGINT);
        code = open_run(collector, &diag);
        if (code != DP_OK)
            stop(collector);
    }
    if (code != DP_OK)
        collector->status = fail(collector, code, &diag);
    uv_run(&collector->loop, UV_RUN_DEFAULT);
    uv_loop_close(&collector->loop);
    dp_cluster_close(collector->cluster);
    collector_state_close(&collector->state);
    return collector->status;
}

static int show_key(struct collector *collector)
{
    struct dp_diag diag = {""};
    struct dp_keypair keys;
    char fingerprint[DP_FINGERPRINT_TEXT];
    int code = collector_public_key(&collector->settings, &keys, &diag);
    if (code == DP_OK)
        code = dp_key_fingerprint(keys.public_z85, fingerprint);
    if (code != DP_OK)
        return fail(collector, code, &diag);
    printf("public key:  %s\nfingerprint: %s\n", keys.public_z85, fingerprint);
    dp_keypair_wipe(&keys);
    return EXIT_SUCCESS;
}

/* --- the command line --- */

static int parse(int argc, char **argv, struct collector_options *options, enum action *action)
{
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"bind", required_argument, NULL, 'b'},
                                          {"state-directory", required_argument, NULL, 's'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"user", required_argument, NULL, 'u'},
                                          {"show-key", no_argument, NULL, 'k'},
                                          {"check", no_argument, NULL, 'C'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    for (int c = getopt_long(argc, argv, "+", longs, NULL); c != -1;
         c = getopt_long(argc, argv, "+", longs, NULL)) {
        switch (c) {
        case 'c':
            options->config = optarg;
            break;
        case 'b':
            options->bind = optarg;
            break;
        case 's':
            options->state_directory = optarg;
            break;
        case 'd':
            options->database = optarg;
            break;
        case 'u':
            options->user = optarg;
            break;
        case 'k':
            *action = SHOW_KEY;
            break;
        case 'C':
            *action = CHECK;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts("droppoint-collector " DROPPOINT_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs("Try droppoint-collector --help.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "droppoint-collector: \"%s\" is not an option. Try --help.\n", argv[optind]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct collector_options options = {NULL, NULL, NULL, NULL, NULL};
    enum action action = RUN;
    int status = parse(argc, argv, &options, &action);
    if (status >= 0)
        return status;
    static struct collector collector;
    umask(077);
    signal(SIGPIPE, SIG_IGN); /* a lost database connection is an error code, not a death */
    json_object_seed(0);
    dp_log_init(&collector.log);
    struct dp_diag diag = {""};
    int code = collector_settings_load(&options, &collector.settings, &diag);
    if (code != DP_OK)
        return fail(&collector, code, &diag);
    if (action == CHECK) {
        puts("The configuration is fine.");
        return EXIT_SUCCESS;
    }
    code = collector_become_user(&collector.settings, &diag);
    if (code != DP_OK)
        return fail(&collector, code, &diag);
    return action == SHOW_KEY ? show_key(&collector) : run_collector(&collector);
}
