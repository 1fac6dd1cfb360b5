#include "cli/locate/whole_file.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/locate/same_file.h"

#define PARTIAL ".part"

static int check_folder(const char *out, struct dp_diag *diag)
{
    char *copy = strdup(out);
    if (!copy)
        return DP_ERR_NOMEM;
    int code = DP_OK;
    if (access(dirname(copy), W_OK | X_OK) != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s: cannot be written, because its folder cannot: %s.", out,
                       strerror(errno));
    free(copy);
    return code;
}

int dp_whole_file_check(const char *const *captures, size_t count, const char *out, struct dp_diag *diag)
{
    char *partial = NULL;
    if (asprintf(&partial, "%s" PARTIAL, out) < 0)
        return DP_ERR_NOMEM;
    int code = DP_OK;
    for (size_t i = 0; code == DP_OK && i < count; i++) {
        if (dp_same_file(captures[i], out) || dp_same_file(captures[i], partial))
            code =
                dp_fail(diag, DP_ERR_USAGE, "%s: would overwrite the capture %s. Name another file to write.",
                        out, captures[i]);
    }
    free(partial);
    struct stat st;
    if (code == DP_OK && stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        code = dp_fail(diag, DP_ERR_IO, "%s: is a directory. Name a file to write.", out);
    return code == DP_OK ? check_folder(out, diag) : code;
}

static bool same_place(char *a, char *b)
{
    const char *name_a = strrchr(a, '/'), *name_b = strrchr(b, '/');
    if (strcmp(name_a ? name_a + 1 : a, name_b ? name_b + 1 : b) != 0)
        return false;
    return dp_same_file(dirname(a), dirname(b));
}

bool dp_whole_file_same(const char *a, const char *b)
{
    if (dp_same_file(a, b))
        return true;
    char *copy_a = strdup(a), *copy_b = strdup(b);
    bool same = copy_a && copy_b && same_place(copy_a, copy_b);
    free(copy_a);
    free(copy_b);
    return same;
}

int dp_whole_file_write(const char *out, dp_whole_file_writer write, void *context, struct dp_diag *diag)
{
    struct stat st;
    if (stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        return dp_fail(diag, DP_ERR_IO, "%s: is a directory. Name a file to write.", out);
    if (stat(out, &st) == 0 && !S_ISREG(st.st_mode))
        return write(context, out, diag);
    char *partial = NULL;
    if (asprintf(&partial, "%s" PARTIAL, out) < 0)
        return DP_ERR_NOMEM;
    int code = write(context, partial, diag);
    if (code == DP_OK && rename(partial, out) != 0)
        code = dp_fail(diag, DP_ERR_IO, "%s: cannot be written: %s.", out, strerror(errno));
    if (code != DP_OK)
        (void)unlink(partial);
    free(partial);
    return code;
}

struct bytes {
    const char *at;
    size_t len;
};

static int put_bytes(void *context, const char *path, struct dp_diag *diag)
{
    const struct bytes *bytes = context;
    FILE *to = fopen(path, "we");
    if (!to)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot be written: %s.", path, strerror(errno));
    bool failed = fwrite(bytes->at, 1, bytes->len, to) != bytes->len;
    int reason = errno;
    if (fclose(to) != 0 && !failed) {
        failed = true;
        reason = errno;
    }
    return failed ? dp_fail(diag, DP_ERR_IO, "%s: cannot be written: %s.", path, strerror(reason)) : DP_OK;
}

int dp_whole_file_put(const char *out, const char *bytes, size_t len, struct dp_diag *diag)
{
    struct bytes all = {bytes, len};
    return dp_whole_file_write(out, put_bytes, &all, diag);
}
