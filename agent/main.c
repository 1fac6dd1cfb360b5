/* droppoint-agent: talks to the collector and runs captures for it, as far as this host's policy allows. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/captures.h"
#include "agent/exports.h"
#include "agent/probes.h"
#include "agent/session.h"
#include "agent/streams.h"

#define STOP_MS 8000 /* the supervisor kills a capture process after 5 seconds */
#define EXIT_USAGE 2

enum action { RUN, SHOW_KEY, CHECK };

struct signals {
    uv_signal_t term, interrupt, hangup;
};

static const char help[] =
    "Usage: droppoint-agent [OPTION]...\n"
    "Connects to the collector, captures and probes for it what this host's policy allows.\n"
    "\n"
    "  --config FILE          configuration (default " AGENT_CONFIG_DEFAULT ")\n"
    "  --name NAME            this agent's name (default: the host name's first label)\n"
    "  --collector ENDPOINT   tcp://HOST:PORT\n"
    "  --collector-key KEY    the collector's public key, or a file that holds it\n"
    "  --state-directory DIR  key, spool and rings (default /var/lib/droppoint-agent)\n"
    "  --show-key             print this agent's public key and fingerprint\n"
    "  --check                check configuration and policy\n"
    "  --help, --version\n"
    "\n"
    "Examples:\n"
    "  droppoint-agent --check\n"
    "  droppoint-agent --collector tcp://collector.example.net:9910 --collector-key "
    "/etc/droppoint/collector.pub\n"
    "  droppoint-agent --show-key\n"
    "\n"
    "Signals: SIGTERM and SIGINT stop captures and leave; SIGHUP reads the policy anew.\n"
    "Exit status: 0 fine, 1 failed, 2 wrong usage or configuration.\n";

int64_t agent_realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int exit_status(int code)
{
    return code == DP_ERR_USAGE || code == DP_ERR_NOT_FOUND || code == DP_ERR_FORMAT ? EXIT_USAGE
                                                                                     : EXIT_FAILURE;
}

static int complain(int code, const struct dp_diag *diag)
{
    (void)fprintf(stderr, "droppoint-agent: %s\n", dp_reason(diag, code));
    return exit_status(code);
}

/* --- state on disk --- */

/* Two agents on one spool would number batches twice. The lock goes with the process. */
static int lock_state(const char *directory, struct dp_diag *diag)
{
    char path[PATH_MAX];
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot make the state directory: %s.", directory,
                       strerror(errno));
    if ((size_t)snprintf(path, sizeof path, "%s/lock", directory) >= sizeof path)
        return dp_fail(diag, DP_ERR_USAGE, "%s: the path is too long.", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO, "%s: cannot open: %s.", path,
                       strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return dp_fail(diag, DP_ERR_EXISTS, "%s: another droppoint-agent uses this state directory.",
                       directory);
    }
    return DP_OK; /* kept open until the end */
}

static int load_keys(struct agent *agent, struct dp_diag *diag)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/key", agent->settings.state_directory) >= sizeof path)
        return DP_ERR_RANGE;
    int code = dp_keypair_load_or_make(path, &agent->keys, diag);
    return code == DP_OK ? dp_key_fingerprint(agent->keys.public_z85, agent->fingerprint) : code;
}

static int load_policy(struct agent *agent, struct dp_diag *diag)
{
    struct dp_policy *policy = NULL;
    int code = dp_policy_load(agent->settings.policy[0] ? agent->settings.policy : NULL, &policy, diag);
    if (code != DP_OK)
        return code;
    dp_policy_free(agent->policy);
    agent->policy = policy;
    return DP_OK;
}

static int open_spool(struct agent *agent, struct dp_diag *diag)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/spool", agent->settings.state_directory) >= sizeof path)
        return DP_ERR_RANGE;
    int code = dp_spool_open(path, agent->epoch, agent->settings.spool_bytes, &agent->spool, diag);
    if (code != DP_OK)
        return code;
    if (diag->text[0])
        dp_log(&agent->log, DP_LOG_WARNING, "%s", diag->text);
    diag->text[0] = '\0';
    return agent_streams_open(agent);
}

/* --- stopping --- */

static void leave_loop(struct agent *agent)
{
    int code = dp_spool_sync(agent->spool);
    if (code != DP_OK)
        dp_log(&agent->log, DP_LOG_ERROR, "The spool cannot be synced: %s", dp_err_sentence(code));
    uv_stop(agent->loop);
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    if (!agent_captures_running(agent) || uv_now(agent->loop) > agent->stop_deadline)
        leave_loop(agent);
}

static void on_stop(uv_signal_t *signal, int number)
{
    struct agent *agent = signal->data;
    if (agent->stopping)
        return;
    agent->stopping = true;
    dp_log(&agent->log, DP_LOG_INFO, "Stopping (signal %d).", number);
    agent->stop_deadline = uv_now(agent->loop) + STOP_MS;
    agent_captures_stop_all(agent, "stopped");
    (void)uv_timer_start(&agent->stop_timer, on_stop_timer, 0, 50);
}

static void on_reload(uv_signal_t *signal, int number)
{
    struct agent *agent = signal->data;
    struct dp_diag diag = {""};
    (void)number;
    int code = load_policy(agent, &diag);
    if (code == DP_OK)
        dp_log(&agent->log, DP_LOG_INFO,
               "The policy is read anew; it holds for captures and probes from now on.");
    else
        dp_log(&agent->log, DP_LOG_ERROR, "The policy before stays in force: %s", dp_reason(&diag, code));
}

/* --- running --- */

static void init_handles(struct agent *agent, struct signals *signals)
{
    uv_timer_t *timers[] = {&agent->hello_timer, &agent->lost_timer, &agent->stop_timer};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        (void)uv_timer_init(agent->loop, timers[i]);
        timers[i]->data = agent;
    }
    uv_signal_t *handles[] = {&signals->term, &signals->interrupt, &signals->hangup};
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        (void)uv_signal_init(agent->loop, handles[i]);
        handles[i]->data = agent;
        (void)uv_signal_start(handles[i], numbers[i] == SIGHUP ? on_reload : on_stop, numbers[i]);
    }
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int start(struct agent *agent, struct dp_diag *diag)
{
    int code = load_keys(agent, diag);
    if (code == DP_OK)
        code = load_policy(agent, diag);
    if (code == DP_OK)
        code = open_spool(agent, diag);
    if (code == DP_OK)
        code = agent_probes_open(agent, diag);
    if (code == DP_OK)
        code = agent_session_open(agent, diag);
    if (code == DP_OK)
        dp_log(&agent->log, DP_LOG_INFO,
               "droppoint-agent " DROPPOINT_VERSION " \"%s\", key fingerprint %s, collector %s.",
               agent->settings.name, agent->fingerprint, agent->settings.collector);
    return code;
}

static int run(struct agent *agent)
{
    uv_loop_t loop;
    struct signals signals;
    struct dp_diag diag = {""};
    int code = lock_state(agent->settings.state_directory, &diag);
    if (code != DP_OK)
        return complain(code, &diag);
    if (uv_loop_init(&loop) != 0)
        return complain(DP_ERR_NOMEM, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    agent->loop = &loop;
    agent->epoch = (uint64_t)agent_realtime_ns();
    init_handles(agent, &signals);
    code = start(agent, &diag);
    if (code == DP_OK)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    agent_session_close(agent);
    agent_exports_down(agent);
    agent_captures_close(agent);
    agent_probes_close(agent);
    agent_streams_close(agent);
    uv_walk(&loop, close_handle, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    dp_spool_close(agent->spool);
    return code == DP_OK ? EXIT_SUCCESS : complain(code, &diag);
}

static int show_key(struct agent *agent)
{
    struct dp_diag diag = {""};
    const char *directory = agent->settings.state_directory;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "droppoint-agent: %s: cannot make the state directory: %s.\n", directory,
                      strerror(errno));
        return EXIT_FAILURE;
    }
    int code = load_keys(agent, &diag);
    if (code != DP_OK)
        return complain(code, &diag);
    (void)printf("public key:  %s\nfingerprint: %s\n", agent->keys.public_z85, agent->fingerprint);
    return EXIT_SUCCESS;
}

static int check(struct agent *agent)
{
    struct dp_diag diag = {""};
    int code = load_policy(agent, &diag);
    if (code != DP_OK)
        return complain(code, &diag);
    (void)printf("The configuration is valid: agent \"%s\", collector %s, policy %s.\n", agent->settings.name,
                 agent->settings.collector, agent->settings.policy[0] ? agent->settings.policy : "default");
    return EXIT_SUCCESS;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct agent_options *options, enum action *action)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"name", required_argument, NULL, 'n'},
        {"collector", required_argument, NULL, 'o'},
        {"collector-key", required_argument, NULL, 'k'},
        {"state-directory", required_argument, NULL, 's'},
        {"show-key", no_argument, NULL, 'K'},
        {"check", no_argument, NULL, 'C'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'c')
            options->config = optarg;
        else if (c == 'n')
            options->name = optarg;
        else if (c == 'o')
            options->collector = optarg;
        else if (c == 'k')
            options->collector_key = optarg;
        else if (c == 's')
            options->state_directory = optarg;
        else if (c == 'K' || c == 'C')
            *action = c == 'K' ? SHOW_KEY : CHECK;
        else if (c == 'h' || c == 'V')
            return fputs(c == 'h' ? help : "droppoint-agent " DROPPOINT_VERSION "\n", stdout) < 0;
        else
            return fputs("Try \"droppoint-agent --help\".\n", stderr) < 0 ? EXIT_FAILURE : EXIT_USAGE;
    }
    if (optind == argc)
        return -1;
    (void)fprintf(stderr,
                  "droppoint-agent: \"%s\" is one argument too many. Try \"droppoint-agent --help\".\n",
                  argv[optind]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct agent agent;
    struct agent_options options = {.config = NULL};
    enum action action = RUN;
    struct dp_diag diag = {""};
    int status = parse_options(argc, argv, &options, &action);
    if (status >= 0)
        return status;
    dp_log_init(&agent.log);
    int code = agent_settings_load(&options, action == SHOW_KEY, &agent.settings, &diag);
    if (code != DP_OK)
        status = complain(code, &diag);
    else if (action == SHOW_KEY)
        status = show_key(&agent);
    else
        status = action == CHECK ? check(&agent) : run(&agent);
    dp_policy_free(agent.policy);
    dp_keypair_wipe(&agent.keys);
    return status;
}
