#include "cli/locate/same_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/capfile/capfile.h"

#define CHUNK ((size_t)64 * 1024)

bool dp_same_file(const char *a, const char *b)
{
    struct stat sa;
    struct stat sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Stops at the first difference, which for captures comes within the first packets. */
static bool same_bytes(FILE *a, FILE *b, unsigned char *buffer)
{
    for (;;) {
        size_t got = fread(buffer, 1, CHUNK, a);
        if (got != fread(buffer + CHUNK, 1, CHUNK, b) || memcmp(buffer, buffer + CHUNK, got) != 0)
            return false;
        if (got < CHUNK)
            return !ferror(a) && !ferror(b);
    }
}

static bool same_content(const char *a, const char *b)
{
    struct stat sa;
    struct stat sb;
    if (stat(a, &sa) != 0 || stat(b, &sb) != 0 || !S_ISREG(sa.st_mode) || !S_ISREG(sb.st_mode) ||
        sa.st_size != sb.st_size)
        return false;
    FILE *fa = fopen(a, "rbe");
    FILE *fb = fopen(b, "rbe");
    unsigned char *buffer = malloc(2 * CHUNK);
    bool same = fa && fb && buffer && same_bytes(fa, fb, buffer);
    free(buffer);
    if (fa)
        (void)fclose(fa);
    if (fb)
        (void)fclose(fb);
    return same;
}

/* Captures without a packet are alike and yet of different places. */
static bool has_packet(const char *path)
{
    struct dp_capfile *file = NULL;
    if (dp_capfile_open(path, &file, NULL) != DP_OK)
        return false;
    struct dp_capfile_packet packet;
    bool has = dp_capfile_next(file, &packet, NULL) == DP_OK;
    dp_capfile_close(file);
    return has;
}

int dp_same_file_check(const char *const *names, const char *const *paths, size_t count, struct dp_diag *diag)
{
    for (size_t b = 1; b < count; b++) {
        for (size_t a = 0; a < b; a++) {
            if (dp_same_file(paths[a], paths[b]))
                return dp_fail(
                    diag, DP_ERR_USAGE,
                    "%s: %s and %s are given the same file. Give each vantage point its own capture.",
                    paths[b], names[a], names[b]);
            if (same_content(paths[a], paths[b]) && has_packet(paths[b]))
                return dp_fail(
                    diag, DP_ERR_USAGE,
                    "%s: is a copy of %s, so that %s and %s would be the same place. Give each vantage "
                    "point its own capture.",
                    paths[b], paths[a], names[a], names[b]);
        }
    }
    return DP_OK;
}
