/* User and password of a probe: from a file that nobody else can read, or from the environment. Never from an
 * argument. */
#ifndef DROPPOINT_AGENT_PROBE_NET_AUTH_FILE_H
#define DROPPOINT_AGENT_PROBE_NET_AUTH_FILE_H

#include <stdbool.h>

#include "common/err/err.h"

#define DP_AUTH_MAX 256

struct dp_auth {
    bool known;
    char user[DP_AUTH_MAX];
    char password[DP_AUTH_MAX];
};

/* Reads `path` ("user:" and "password:" lines, mode 0600 or less, no link); NULL: DROPPOINT_USER and
 * DROPPOINT_PASSWORD, where both are set. ret_auth->known says whether there is something. DP_ERR_USAGE with
 * diag naming file and line, DP_ERR_DENIED (others can read it), DP_ERR_NOT_FOUND, DP_ERR_IO. */
int dp_auth_read(const char *path, struct dp_auth *ret_auth, struct dp_diag *diag) DP_MUST_CHECK;
/* Wipes it. */
void dp_auth_forget(struct dp_auth *auth);

/* Replaces in `text`, in place, whatever gives the secret away: the password, and its base64 and that of the
 * PLAIN response. A server may send back what it was sent. */
void dp_auth_redact(const struct dp_auth *auth, char *text);

/* base64 of `length` bytes, at most 1024, with its NUL into `text` of `size`. Returns text. */
char *dp_base64(const void *bytes, size_t length, char *text, size_t size);
/* The response of AUTH PLAIN (RFC 4616) in base64. */
#define DP_AUTH_PLAIN_TEXT 1024
char *dp_auth_plain(const struct dp_auth *auth, char text[DP_AUTH_PLAIN_TEXT]);

#endif
