#include "collector/store/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <pwd.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/store/pg.h"

#define SOCKET_NAME "/.s.PGSQL.5432"
#define SOCKET_PATH_MAX 107 /* sun_path without its terminator */

struct dp_cluster {
    char bin[PATH_MAX];
    char data[PATH_MAX];
    char fresh[PATH_MAX]; /* where initdb works, until the rename */
    char log[PATH_MAX];
    char socket_directory[PATH_MAX];
    char conninfo[PATH_MAX + 64];
    char admin_conninfo[PATH_MAX + 64];
};

extern char **environ;

/* --- running PostgreSQL's programs --- */

/* Runs a program to its end with its output appended to the cluster's log. *ret_status is its exit code. */
static int run_program(const struct dp_cluster *cluster, const char *name, char *const *arguments,
                       int *ret_status, struct dp_diag *diag)
{
    char program[PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/%s", cluster->bin, name);
    /* initdb and pg_ctl look for their siblings where argv[0] says they are; PATH need not know the place. */
    char *argv[16] = {program};
    for (size_t i = 1; i + 1 < sizeof argv / sizeof argv[0] && arguments[i] != NULL; i++)
        argv[i] = arguments[i];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, cluster->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    /* An own session: Ctrl-C on the collector's terminal is not the server's business, and the collector's
     * own mask and ignored signals are not inherited. */
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    int error = posix_spawn(&pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0)
        return dp_fail(diag, DP_ERR_IO, "%s could not be started: %s.", program, strerror(error));
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return dp_fail(diag, DP_ERR_IO, "%s: waiting for it failed: %s.", program, strerror(errno));
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return DP_OK;
}

static int compare_version(const void *a, const void *b)
{
    const char *x = strrchr(*(char *const *)a, '/') != NULL ? *(char *const *)a : "";
    const char *y = strrchr(*(char *const *)b, '/') != NULL ? *(char *const *)b : "";
    return atoi(x + strlen("/usr/lib/postgresql/")) - atoi(y + strlen("/usr/lib/postgresql/"));
}

static int find_programs(struct dp_cluster *cluster, const char *directory, struct dp_diag *diag)
{
    if (directory != NULL && directory[0] != '\0') {
        snprintf(cluster->bin, sizeof cluster->bin, "%s", directory);
    } else {
        glob_t found = {0};
        if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0 && found.gl_pathc > 0) {
            qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, compare_version);
            snprintf(cluster->bin, sizeof cluster->bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
        }
        globfree(&found);
    }
    char program[PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/initdb", cluster->bin);
    if (cluster->bin[0] == '\0' || access(program, X_OK) != 0)
        return dp_fail(
            diag, DP_ERR_NOT_FOUND,
            "PostgreSQL's programs (initdb, pg_ctl) are not in %s. Install the package postgresql, set "
            "pg_bindir, or set database to a server of your own.",
            cluster->bin[0] != '\0' ? cluster->bin : "/usr/lib/postgresql/*/bin");
    return DP_OK;
}

/* --- places --- */

static int private_directory(const char *path, struct dp_diag *diag)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return dp_fail(diag, DP_ERR_IO, "%s: the directory can't be made: %s.", path, strerror(errno));
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return dp_fail(diag, DP_ERR_DENIED, "%s is not a directory of this user's own. Remove it.", path);
    if (chmod(path, 0700) != 0)
        return dp_fail(diag, DP_ERR_IO, "%s: its mode can't be set: %s.", path, strerror(errno));
    return DP_OK;
}

/* In the state directory; where its path is too long for a Unix socket, in a short directory that the same
 * state directory always leads to, so that a running server is found again. */
static int choose_socket_directory(struct dp_cluster *cluster, const char *state, struct dp_diag *diag)
{
    snprintf(cluster->socket_directory, sizeof cluster->socket_directory, "%.*s/postgresql.run",
             PATH_MAX - 32, state);
    if (strlen(cluster->socket_directory) + strlen(SOCKET_NAME) > SOCKET_PATH_MAX) {
        uint64_t hash = 14695981039346656037u; /* FNV-1a: a name, no secret */
        for (const char *p = state; *p != '\0'; p++)
            hash = (hash ^ (uint8_t)*p) * 1099511628211u;
        const char *runtime =
            getenv("RUNTIME_DIRECTORY") != NULL ? getenv("RUNTIME_DIRECTORY") : getenv("XDG_RUNTIME_DIR");
        bool usable =
            runtime != NULL && runtime[0] == '/' && strlen(runtime) < 60 && access(runtime, W_OK) == 0;
        snprintf(cluster->socket_directory, sizeof cluster->socket_directory, "%s/droppoint-%lu-%08x",
                 usable ? runtime : "/tmp", (unsigned long)geteuid(), (unsigned)(hash ^ hash >> 32));
    }
    return private_directory(cluster->socket_directory, diag);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_tree(const char *path, struct dp_diag *diag)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return dp_fail(diag, DP_ERR_IO, "%s: it is left from an interrupted start and can't be removed: %s.",
                       path, strerror(errno));
    return DP_OK;
}

static int write_text(const char *path, const char *mode, const char *text, struct dp_diag *diag)
{
    FILE *file = fopen(path, mode);
    bool ok = file != NULL && fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int error = errno;
    if (file != NULL && fclose(file) != 0 && ok) {
        ok = false;
        error = errno;
    }
    return ok ? DP_OK : dp_fail(diag, DP_ERR_IO, "%s can't be written: %s.", path, strerror(error));
}

/* --- making the cluster --- */

static int run_initdb(struct dp_cluster *cluster, struct dp_diag *diag)
{
    char data[PATH_MAX + 16];
    snprintf(data, sizeof data, "--pgdata=%s", cluster->fresh);
    char *const arguments[] = {"initdb",
                               data,
                               "--auth-local=peer",
                               "--auth-host=reject",
                               "--encoding=UTF8",
                               "--locale=C",
                               "--data-checksums",
                               "--no-instructions",
                               NULL};
    int status = 0;
    int code = run_program(cluster, "initdb", arguments, &status, diag);
    if (code == DP_OK && status != 0)
        code =
            dp_fail(diag, DP_ERR_IO, "initdb failed with exit code %d. %s says why.", status, cluster->log);
    return code;
}

/* initdb works beside the final place and is renamed there when it is complete: a torn one is never mistaken
 * for a cluster. */
static int make_cluster(struct dp_cluster *cluster, struct dp_diag *diag)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/PG_VERSION", cluster->data);
    if (access(path, F_OK) == 0)
        return DP_OK;
    int code = remove_tree(cluster->fresh, diag);
    if (code == DP_OK)
        code = run_initdb(cluster, diag);
    snprintf(path, sizeof path, "%s/postgresql.conf", cluster->fresh);
    if (code == DP_OK)
        code = write_text(path, "a", "\ninclude 'droppoint.conf' # written anew at each start\n", diag);
    if (code == DP_OK && rename(cluster->fresh, cluster->data) != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s can't be renamed to %s: %s.", cluster->fresh, cluster->data,
                       strerror(errno));
    if (code == DP_OK)
        sync();
    return code;
}

static int check_version(const struct dp_cluster *cluster, struct dp_diag *diag)
{
    char path[PATH_MAX + 32], text[16] = "";
    snprintf(path, sizeof path, "%s/PG_VERSION", cluster->data);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    if (file != NULL)
        fclose(file);
    const char *prefix = "/usr/lib/postgresql/";
    if (strncmp(cluster->bin, prefix, strlen(prefix)) == 0 &&
        atoi(text) != atoi(cluster->bin + strlen(prefix)))
        return dp_fail(
            diag, DP_ERR_UNSUPPORTED,
            "The database in %s was made by PostgreSQL %d, and %s is another version. Set pg_bindir to "
            "/usr/lib/postgresql/%d/bin, or upgrade the database with pg_upgrade.",
            cluster->data, atoi(text), cluster->bin, atoi(text));
    return DP_OK;
}

static int write_settings(const struct dp_cluster *cluster, struct dp_diag *diag)
{
    char path[PATH_MAX + 32], text[PATH_MAX + 1024];
    snprintf(path, sizeof path, "%s/droppoint.conf", cluster->data);
    snprintf(text, sizeof text,
             "# Written by droppoint-collector at each start. Settings of your own go to postgresql.conf, "
             "below its\n"
             "# include line.\n"
             "listen_addresses = ''\n"
             "port = 5432\n"
             "unix_socket_directories = '%s'\n"
             "unix_socket_permissions = 0700\n"
             "max_connections = 20\n"
             "shared_buffers = 128MB\n"
             "fsync = on\n"
             "full_page_writes = on\n"
             "synchronous_commit = on\n"
             "wal_compression = off\n" /* the payload is compressed already */
             "max_wal_size = 2GB\n"
             "checkpoint_timeout = 10min\n"
             "checkpoint_completion_target = 0.9\n"
             "log_line_prefix = '%%m [%%p] '\n",
             cluster->socket_directory);
    return write_text(path, "w", text, diag);
}

/* --- running it --- */

static bool runs(const struct dp_cluster *cluster)
{
    char *const arguments[] = {"pg_ctl", "status", "-s", "-D", (char *)cluster->data, NULL};
    int status = -1;
    return run_program(cluster, "pg_ctl", arguments, &status, NULL) == DP_OK && status == 0;
}

static int start(struct dp_cluster *cluster, struct dp_diag *diag)
{
    int code = write_settings(cluster, diag);
    if (code != DP_OK)
        return code;
    char *const arguments[] = {"pg_ctl", "start",       "-s", "-w",         "-t", "60",
                               "-D",     cluster->data, "-l", cluster->log, NULL};
    int status = 0;
    code = run_program(cluster, "pg_ctl", arguments, &status, diag);
    if (code == DP_OK && status != 0)
        code = dp_fail(diag, DP_ERR_UNAVAILABLE, "The private PostgreSQL did not start. %s says why.",
                       cluster->log);
    return code;
}

int dp_cluster_ensure(void *context, struct dp_diag *diag)
{
    struct dp_cluster *cluster = context;
    return runs(cluster) ? DP_OK : start(cluster, diag);
}

static int make_database(struct dp_cluster *cluster, struct dp_diag *diag)
{
    PGconn *connection = NULL;
    int code = DP_OK;
    /* An adopted server may still be recovering. */
    for (int attempt = 0; attempt < 60; attempt++) {
        code = dp_pg_connect(cluster->admin_conninfo, &connection, diag);
        if (code != DP_ERR_UNAVAILABLE)
            break;
        usleep(500000);
    }
    if (code != DP_OK)
        return code;
    PGresult *result = NULL;
    code = dp_pg_query(connection, "SELECT 1 FROM pg_database WHERE datname = 'droppoint'", 0, NULL, &result,
                       diag);
    if (code == DP_OK && PQntuples(result) == 0)
        code = dp_pg_command(connection, "CREATE DATABASE droppoint", diag);
    PQclear(result);
    PQfinish(connection);
    return code;
}

static int set_places(struct dp_cluster *cluster, const char *state, struct dp_diag *diag)
{
    if (strlen(state) > PATH_MAX - 64 || strchr(state, '\'') != NULL || strchr(state, '\\') != NULL)
        return dp_fail(diag, DP_ERR_USAGE, "%s: the state directory's name is too long or has quotes in it.",
                       state);
    int room = PATH_MAX - 64;
    snprintf(cluster->data, sizeof cluster->data, "%.*s/postgresql", room, state);
    snprintf(cluster->fresh, sizeof cluster->fresh, "%.*s/postgresql.new", room, state);
    snprintf(cluster->log, sizeof cluster->log, "%.*s/postgresql.log", room, state);
    int code = choose_socket_directory(cluster, state, diag);
    if (code != DP_OK)
        return code;
    struct passwd *user = getpwuid(geteuid());
    if (user == NULL)
        return dp_fail(diag, DP_ERR_DENIED,
                       "User number %lu has no name in /etc/passwd, and PostgreSQL wants one.",
                       (unsigned long)geteuid());
    static const char form[] = "host='%s' port=5432 user='%s' dbname=%s";
    snprintf(cluster->conninfo, sizeof cluster->conninfo, form, cluster->socket_directory, user->pw_name,
             "droppoint");
    snprintf(cluster->admin_conninfo, sizeof cluster->admin_conninfo, form, cluster->socket_directory,
             user->pw_name, "postgres");
    return DP_OK;
}

static int open_cluster(struct dp_cluster *cluster, const char *state, const char *bin, struct dp_diag *diag)
{
    int code = find_programs(cluster, bin, diag);
    if (code == DP_OK)
        code = set_places(cluster, state, diag);
    if (code == DP_OK)
        code = make_cluster(cluster, diag);
    if (code == DP_OK)
        code = check_version(cluster, diag);
    if (code == DP_OK)
        code = dp_cluster_ensure(cluster, diag);
    if (code == DP_OK)
        code = make_database(cluster, diag);
    return code;
}

int dp_cluster_open(const char *state_directory, const char *bin_directory, struct dp_cluster **ret_cluster,
                    struct dp_diag *diag)
{
    if (geteuid() == 0)
        return dp_fail(
            diag, DP_ERR_DENIED,
            "PostgreSQL does not run as root. Run the collector as a user of its own (user: in its "
            "configuration), or set database to a server of your own.");
    struct dp_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    int code = open_cluster(cluster, state_directory, bin_directory, diag);
    if (code != DP_OK) {
        free(cluster);
        return code;
    }
    *ret_cluster = cluster;
    return DP_OK;
}

const char *dp_cluster_conninfo(const struct dp_cluster *cluster)
{
    return cluster->conninfo;
}

void dp_cluster_close(struct dp_cluster *cluster)
{
    if (cluster == NULL)
        return;
    char *const arguments[] = {"pg_ctl", "stop", "-s", "-w",          "-t", "60",
                               "-m",     "fast", "-D", cluster->data, NULL};
    int status = 0;
    (void)!run_program(cluster, "pg_ctl", arguments, &status, NULL);
    free(cluster);
}
