#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/remote/session.h"

#define STATE_DIRECTORY "/var/lib/droppoint/"

static int copy_path(const char *path, char *ret_path, size_t size, struct dp_diag *diag)
{
    if (strlen(path) >= size)
        return dp_fail(diag, DP_ERR_USAGE, "the file name '%.80s...' is too long", path);
    memcpy(ret_path, path, strlen(path) + 1);
    return 0;
}

/* Searches the state directory, then the operator's own configuration. *ret_errno: why the first was of no
 * use. */
static int search(const char *name, char *ret_path, size_t size, int *ret_errno)
{
    char path[512];
    (void)snprintf(path, sizeof path, STATE_DIRECTORY "%s", name);
    if (!access(path, R_OK))
        return copy_path(path, ret_path, size, NULL);
    *ret_errno = errno;
    const char *home = getenv("HOME");
    if (home && home[0] && strlen(home) < 400) {
        (void)snprintf(path, sizeof path, "%s/.config/droppoint/%s", home, name);
        if (!access(path, R_OK))
            return copy_path(path, ret_path, size, NULL);
    }
    return DP_ERR_NOT_FOUND;
}

int dp_operator_key_path(const char *given, char *ret_path, size_t size, struct dp_diag *diag)
{
    int why = 0;
    if (given) {
        /* Loading would make a key where there is none, and a new key is one that nobody lets in. */
        if (access(given, R_OK))
            return dp_fail(diag, errno == ENOENT ? DP_ERR_NOT_FOUND : DP_ERR_DENIED,
                           "%s: %s. The collector writes an operator's key to " STATE_DIRECTORY
                           "operator.key on its own host; copy that file here with mode 0600",
                           given, strerror(errno));
        return copy_path(given, ret_path, size, diag);
    }
    if (!search("operator.key", ret_path, size, &why))
        return 0;
    if (why == EACCES)
        return dp_fail(diag, DP_ERR_DENIED,
                       STATE_DIRECTORY
                       "operator.key can't be read by you. Run this as root, or copy the file to "
                       "~/.config/droppoint/operator.key with mode 0600 and yourself as owner");
    return dp_fail(
        diag, DP_ERR_NOT_FOUND,
        "there is no operator's key, neither " STATE_DIRECTORY
        "operator.key nor ~/.config/droppoint/operator.key. The collector writes the first at its first "
        "start; from another host, copy it here, or name it with --key");
}

int dp_collector_key_path(const char *given, char *ret_path, size_t size, struct dp_diag *diag)
{
    int why = 0;
    if (given)
        return copy_path(given, ret_path, size, diag);
    if (!search("collector.pub", ret_path, size, &why))
        return 0;
    return dp_fail(
        diag, why == EACCES ? DP_ERR_DENIED : DP_ERR_NOT_FOUND,
        "the collector's public key is not %s, neither as " STATE_DIRECTORY
        "collector.pub nor as ~/.config/droppoint/collector.pub. The collector writes the first at its "
        "first start; from another host, copy it here, or give it with --collector-key",
        why == EACCES ? "readable" : "here");
}
