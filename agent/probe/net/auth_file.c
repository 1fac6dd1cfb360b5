#include "agent/probe/net/auth_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int take(char *into, const char *value, const char *what, const char *path, unsigned line,
                struct dp_diag *diag)
{
    if (into[0])
        return dp_fail(diag, DP_ERR_USAGE, "%s, line %u: a second '%s:'", path, line, what);
    if (!value[0] || strlen(value) >= DP_AUTH_MAX)
        return dp_fail(diag, DP_ERR_USAGE, "%s, line %u: '%s:' needs 1 to %d characters", path, line, what,
                       DP_AUTH_MAX - 1);
    (void)snprintf(into, DP_AUTH_MAX, "%s", value);
    return 0;
}

static int read_line(struct dp_auth *auth, char *text, const char *path, unsigned line, struct dp_diag *diag)
{
    text[strcspn(text, "\r\n")] = '\0';
    text += strspn(text, " \t");
    if (!text[0] || text[0] == '#')
        return 0;
    bool user = strncmp(text, "user:", 5) == 0, password = strncmp(text, "password:", 9) == 0;
    if (!user && !password)
        return dp_fail(diag, DP_ERR_USAGE, "%s, line %u: expected 'user: NAME' or 'password: WORD'", path,
                       line);
    const char *value = text + (user ? 5 : 9);
    value += strspn(value, " \t");
    return take(user ? auth->user : auth->password, value, user ? "user" : "password", path, line, diag);
}

static int read_file(FILE *file, const char *path, struct dp_auth *auth, struct dp_diag *diag)
{
    char text[2 * DP_AUTH_MAX];
    unsigned line = 0;
    int rc = 0;
    while (!rc && fgets(text, sizeof text, file)) {
        line++;
        if (!strchr(text, '\n') && !feof(file))
            rc = dp_fail(diag, DP_ERR_USAGE, "%s, line %u: too long", path, line);
        else
            rc = read_line(auth, text, path, line, diag);
    }
    OPENSSL_cleanse(text, sizeof text);
    if (!rc && (!auth->user[0] || !auth->password[0]))
        rc = dp_fail(diag, DP_ERR_USAGE, "%s: no '%s:' line", path, auth->user[0] ? "password" : "user");
    return rc;
}

static int open_file(const char *path, FILE **ret_file, struct dp_diag *diag)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return dp_fail(diag,
                       errno == ENOENT   ? DP_ERR_NOT_FOUND
                       : errno == EACCES ? DP_ERR_DENIED
                                         : DP_ERR_IO,
                       "the auth file %s cannot be read: %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        rc = dp_fail(diag, DP_ERR_USAGE, "the auth file %s is no regular file", path);
    else if (about.st_mode & 077)
        rc = dp_fail(diag, DP_ERR_DENIED, "the auth file %s is open to others (mode %04o): chmod 600 %s",
                     path, (unsigned)(about.st_mode & 07777), path);
    *ret_file = rc ? NULL : fdopen(fd, "r");
    if (!*ret_file)
        (void)close(fd);
    return rc ? rc : *ret_file ? 0 : DP_ERR_NOMEM;
}

int dp_auth_read(const char *path, struct dp_auth *ret_auth, struct dp_diag *diag)
{
    struct dp_auth auth = {.known = false};
    int rc = 0;
    if (path) {
        FILE *file = NULL;
        rc = open_file(path, &file, diag);
        if (!rc) {
            rc = read_file(file, path, &auth, diag);
            (void)fclose(file);
        }
        auth.known = !rc;
    } else {
        const char *user = getenv("DROPPOINT_USER"), *password = getenv("DROPPOINT_PASSWORD");
        if (user && user[0] && password && password[0]) {
            if (strlen(user) >= DP_AUTH_MAX || strlen(password) >= DP_AUTH_MAX)
                return dp_fail(diag, DP_ERR_USAGE,
                               "DROPPOINT_USER and DROPPOINT_PASSWORD take at most %d characters",
                               DP_AUTH_MAX - 1);
            (void)snprintf(auth.user, sizeof auth.user, "%s", user);
            (void)snprintf(auth.password, sizeof auth.password, "%s", password);
            auth.known = true;
        }
    }
    if (!rc)
        *ret_auth = auth;
    OPENSSL_cleanse(&auth, sizeof auth);
    return rc;
}

void dp_auth_forget(struct dp_auth *auth)
{
    OPENSSL_cleanse(auth, sizeof *auth);
}

char *dp_base64(const void *bytes, size_t length, char *text, size_t size)
{
    text[0] = '\0';
    if (length <= 1024 && size > (length + 2) / 3 * 4)
        (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    return text;
}

char *dp_auth_plain(const struct dp_auth *auth, char text[DP_AUTH_PLAIN_TEXT])
{
    char plain[2 * DP_AUTH_MAX + 2];
    size_t user = strlen(auth->user), password = strlen(auth->password);
    plain[0] = '\0';
    memcpy(plain + 1, auth->user, user + 1);
    memcpy(plain + user + 2, auth->password, password);
    (void)dp_base64(plain, user + password + 2, text, DP_AUTH_PLAIN_TEXT);
    OPENSSL_cleanse(plain, sizeof plain);
    return text;
}

/* The mark is never longer than what it stands for may be short: it is cut to fit. */
static void hide(char *text, const char *secret)
{
    static const char mark[] = "<hidden>";
    size_t length = strlen(secret);
    if (length < 3) // would tear every text apart, and tell by that
        return;
    for (char *at = text; (at = strstr(at, secret));) {
        size_t put = length < sizeof mark - 1 ? length : sizeof mark - 1;
        memcpy(at, mark, put);
        memmove(at + put, at + length, strlen(at + length) + 1);
        at += put;
    }
}

void dp_auth_redact(const struct dp_auth *auth, char *text)
{
    char encoded[DP_AUTH_PLAIN_TEXT];
    if (!auth->known)
        return;
    hide(text, dp_auth_plain(auth, encoded));
    hide(text, dp_base64(auth->password, strlen(auth->password), encoded, sizeof encoded));
    hide(text, auth->password);
    OPENSSL_cleanse(encoded, sizeof encoded);
}
