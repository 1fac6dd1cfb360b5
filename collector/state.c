#include "collector/state.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int own_directory(const char *path, const struct passwd *user, struct dp_diag *diag)
{
    if (mkdir(path, 0700) == 0) {
        if (chown(path, user->pw_uid, user->pw_gid) != 0)
            return dp_fail(diag, DP_ERR_IO, "%s can't be given to %s: %s.", path, user->pw_name,
                           strerror(errno));
        return DP_OK;
    }
    struct stat st;
    if (errno != EEXIST)
        return dp_fail(diag, DP_ERR_IO, "%s can't be made: %s.", path, strerror(errno));
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != user->pw_uid)
        return dp_fail(diag, DP_ERR_DENIED, "%s does not belong to %s. Give it: chown -R %s: %s", path,
                       user->pw_name, user->pw_name, path);
    return DP_OK;
}

int collector_become_user(const struct collector_settings *settings, struct dp_diag *diag)
{
    if (geteuid() != 0)
        return DP_OK;
    struct passwd *user = getpwnam(settings->user);
    if (user == NULL)
        return dp_fail(diag, DP_ERR_NOT_FOUND,
                       "The collector does not run as root, and there is no user %s to become. Make it: "
                       "useradd --system "
                       "--home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin %s; or name "
                       "another (user: in "
                       "the configuration, or --user).",
                       settings->user, settings->user);
    if (user->pw_uid == 0)
        return dp_fail(diag, DP_ERR_USAGE,
                       "The collector does not run as root. Name another user (user: in the "
                       "configuration, or --user).");
    int code = own_directory(settings->state_directory, user, diag);
    if (code != DP_OK)
        return code;
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0 || setuid(0) == 0)
        return dp_fail(diag, DP_ERR_DENIED, "The collector can't become the user %s: %s.", settings->user,
                       strerror(errno));
    return DP_OK;
}

static int make_directory(const char *path, struct dp_diag *diag)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return DP_OK;
    return dp_fail(diag, DP_ERR_IO, "%s can't be made: %s. As root make it: install -d -m 700 -o USER %s",
                   path, strerror(errno), path);
}

static int take_lock(const char *directory, int *ret_lock, struct dp_diag *diag)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/lock", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return dp_fail(diag, DP_ERR_IO, "%s can't be opened: %s.", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return dp_fail(diag, DP_ERR_EXISTS,
                       "Another droppoint-collector runs on %s. Stop it, or give this one another "
                       "state directory.",
                       directory);
    }
    *ret_lock = fd;
    return DP_OK;
}

static int load_keys(const char *directory, const char *name, struct dp_keypair *ret_keys,
                     struct dp_diag *diag)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return dp_keypair_load_or_make(path, ret_keys, diag);
}

/* What agents and command lines are given. */
static int write_public(const char *directory, const char *key, struct dp_diag *diag)
{
    char path[PATH_MAX + 32], fresh[PATH_MAX + 40];
    snprintf(path, sizeof path, "%s/collector.pub", directory);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "w");
    bool ok = file != NULL && fprintf(file, "%s\n", key) > 0;
    if (file != NULL && fclose(file) != 0)
        ok = false;
    if (!ok || chmod(fresh, 0644) != 0 || rename(fresh, path) != 0)
        return dp_fail(diag, DP_ERR_IO, "%s can't be written: %s.", path, strerror(errno));
    return DP_OK;
}

int collector_public_key(const struct collector_settings *settings, struct dp_keypair *ret_keys,
                         struct dp_diag *diag)
{
    int code = make_directory(settings->state_directory, diag);
    return code == DP_OK ? load_keys(settings->state_directory, "collector.key", ret_keys, diag) : code;
}

int collector_state_open(const struct collector_settings *settings, struct collector_state *ret_state,
                         struct dp_diag *diag)
{
    struct collector_state state = {.lock = -1};
    const char *directory = settings->state_directory;
    int code = make_directory(directory, diag);
    if (code == DP_OK)
        code = take_lock(directory, &state.lock, diag);
    if (code == DP_OK)
        code = make_directory(settings->operators, diag);
    if (code == DP_OK)
        code = load_keys(directory, "collector.key", &state.keys, diag);
    if (code == DP_OK)
        code = load_keys(directory, "operator.key", &state.operator_keys, diag);
    if (code == DP_OK)
        code = write_public(directory, state.keys.public_z85, diag);
    if (code == DP_OK)
        *ret_state = state;
    else
        collector_state_close(&state);
    return code;
}

void collector_state_close(struct collector_state *state)
{
    if (state->lock >= 0)
        close(state->lock);
    state->lock = -1;
    dp_keypair_wipe(&state->keys);
    dp_keypair_wipe(&state->operator_keys);
}
