#include "common/keys/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define KEY_BYTES 32
#define Z85_CHARACTERS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
#define FILE_HEAD "# droppoint key pair: keep this file secret\n"
#define FILE_MAX 1024

static bool z85_key_decode(const char *z85, uint8_t key[KEY_BYTES])
{
    /* zmq_z85_decode of 4.3.4 reads past its table for characters outside of 7 bits: look first. */
    return strlen(z85) == DP_KEY_Z85 - 1 && strspn(z85, Z85_CHARACTERS) == DP_KEY_Z85 - 1 &&
           zmq_z85_decode(key, z85);
}

/* Reads a small file whole; terminated. */
static int read_small(int fd, const char *path, char text[FILE_MAX], struct dp_diag *diag)
{
    size_t len = 0;
    while (len < FILE_MAX) {
        ssize_t got = read(fd, text + len, FILE_MAX - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dp_fail(diag, DP_ERR_IO, "%s: cannot read: %s.", path, strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    if (len == FILE_MAX)
        return dp_fail(diag, DP_ERR_FORMAT, "%s: too long for a key file.", path);
    text[len] = '\0';
    return DP_OK;
}

/* Copies the 40 characters behind `label` at the beginning of a line. */
static bool labelled_key(const char *text, const char *label, char ret_z85[DP_KEY_Z85])
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t len = strlen(label);
        if (strncmp(line, label, len) != 0)
            continue;
        line += len;
        if (strcspn(line, " \t\r\n") != DP_KEY_Z85 - 1)
            return false;
        memcpy(ret_z85, line, DP_KEY_Z85 - 1);
        ret_z85[DP_KEY_Z85 - 1] = '\0';
        uint8_t key[KEY_BYTES];
        bool valid = z85_key_decode(ret_z85, key);
        OPENSSL_cleanse(key, sizeof key);
        return valid;
    }
    return false;
}

static int parse_pair(const char *path, const char *text, struct dp_keypair *ret_pair, struct dp_diag *diag)
{
    struct dp_keypair pair;
    char derived[DP_KEY_Z85];
    int code = DP_OK;
    if (!labelled_key(text, "public=", pair.public_z85) || !labelled_key(text, "secret=", pair.secret_z85))
        code = dp_fail(
            diag, DP_ERR_FORMAT,
            "%s: not a droppoint key file (lines \"public=\" and \"secret=\" with 40 characters each).",
            path);
    else if (zmq_curve_public(derived, pair.secret_z85) != 0 || strcmp(derived, pair.public_z85) != 0)
        code = dp_fail(diag, DP_ERR_FORMAT, "%s: the public key does not belong to the secret key.", path);
    else
        *ret_pair = pair;
    dp_keypair_wipe(&pair);
    return code;
}

static int load(int fd, const char *path, struct dp_keypair *ret_pair, struct dp_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dp_fail(diag, DP_ERR_IO, "%s: %s.", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dp_fail(diag, DP_ERR_FORMAT, "%s: not a file.", path);
    if (st.st_mode & 077)
        return dp_fail(diag, DP_ERR_DENIED, "%s: others can read this secret key: run \"chmod 600 %s\".",
                       path, path);
    char text[FILE_MAX];
    int code = read_small(fd, path, text, diag);
    if (code == DP_OK)
        code = parse_pair(path, text, ret_pair, diag);
    OPENSSL_cleanse(text, sizeof text);
    return code;
}

static int write_whole(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t put = write(fd, text, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        text += put;
        left -= (size_t)put;
    }
    return fsync(fd);
}

/* A crash must not lose the name that points to the new key: its directory is synced too. */
static void sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    (void)snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory ? 1 : 0] = '\0';
    int fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Makes a pair beside `path` and links it there. EEXIST: another process was faster, its key counts. */
static int make(const char *path, struct dp_diag *diag)
{
    struct dp_keypair pair;
    char temporary[PATH_MAX];
    char text[FILE_MAX];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new.%ld", path, (long)getpid()) >= sizeof temporary)
        return dp_fail(diag, DP_ERR_USAGE, "%s: the path is too long.", path);
    if (zmq_curve_keypair(pair.public_z85, pair.secret_z85) != 0)
        return dp_fail(diag, DP_ERR_UNSUPPORTED, "This libzmq is built without CURVE.");
    (void)snprintf(text, sizeof text, FILE_HEAD "public=%s\nsecret=%s\n", pair.public_z85, pair.secret_z85);
    dp_keypair_wipe(&pair);

    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int failed = fd < 0 || fchmod(fd, 0600) != 0 || write_whole(fd, text) != 0 ||
                 (link(temporary, path) != 0 && errno != EEXIST);
    int error = errno;
    OPENSSL_cleanse(text, sizeof text);
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(temporary);
    }
    if (failed)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot make the key file: %s.", path, strerror(error));
    sync_directory_of(path);
    return DP_OK;
}

int dp_keypair_load_or_make(const char *path, struct dp_keypair *ret_pair, struct dp_diag *diag)
{
    for (int attempt = 0;; attempt++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0) {
            int code = load(fd, path, ret_pair, diag);
            (void)close(fd);
            return code;
        }
        if (errno != ENOENT || attempt > 0)
            return dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_IO, "%s: cannot open: %s.", path,
                           strerror(errno));
        int code = make(path, diag);
        if (code != DP_OK)
            return code;
    }
}

int dp_public_key_read(const char *text_or_path, char ret_z85[DP_KEY_Z85], struct dp_diag *diag)
{
    uint8_t key[KEY_BYTES];
    /* '/' and '.' are Z85 characters: a path of 40 characters counts as a path when a file is there. */
    bool may_be_path = text_or_path[0] == '/' && access(text_or_path, F_OK) == 0;
    if (!may_be_path && z85_key_decode(text_or_path, key)) {
        memcpy(ret_z85, text_or_path, DP_KEY_Z85);
        return DP_OK;
    }
    int fd = open(text_or_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return dp_fail(diag, DP_ERR_FORMAT,
                       "\"%.100s\" is neither a public key (40 characters) nor a file that holds one.",
                       text_or_path);
    if (fd < 0)
        return dp_fail(diag, DP_ERR_IO, "%s: cannot open: %s.", text_or_path, strerror(errno));
    char text[FILE_MAX];
    int code = read_small(fd, text_or_path, text, diag);
    (void)close(fd);
    if (code != DP_OK)
        return code;
    char *begin = text + strspn(text, " \t\r\n");
    begin[strcspn(begin, " \t\r\n")] = '\0';
    if (!z85_key_decode(begin, key))
        return dp_fail(diag, DP_ERR_FORMAT, "%s: does not hold a public key of 40 characters.", text_or_path);
    memcpy(ret_z85, begin, DP_KEY_Z85);
    return DP_OK;
}

int dp_key_fingerprint(const char *public_z85, char ret_text[DP_FINGERPRINT_TEXT])
{
    uint8_t key[KEY_BYTES];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    if (!z85_key_decode(public_z85, key))
        return DP_ERR_FORMAT;
    (void)SHA256(key, sizeof key, hash);
    char *out = ret_text;
    for (size_t i = 0; i < 16; i++)
        out += snprintf(out, 4, "%s%02x", i > 0 && i % 2 == 0 ? "-" : "", hash[i]);
    return DP_OK;
}

void dp_keypair_wipe(struct dp_keypair *pair)
{
    if (pair)
        OPENSSL_cleanse(pair, sizeof *pair);
}
