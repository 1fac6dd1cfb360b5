/* One list of errors for the whole project. Functions that can fail return 0 (DP_OK) or one of these negative codes;
 * where a place needs naming (a file, an offset, a flag) they also fill a struct dp_diag. */
#ifndef DROPPOINT_COMMON_ERR_ERR_H
#define DROPPOINT_COMMON_ERR_ERR_H

#include <stddef.h>

enum dp_err {
    DP_OK = 0,
    DP_ERR_NOMEM = -1,       /* out of memory */
    DP_ERR_USAGE = -2,       /* wrong usage: flag, argument, configuration */
    DP_ERR_IO = -3,          /* a system call on a file or socket failed */
    DP_ERR_FORMAT = -4,      /* bytes that are not what they claim to be */
    DP_ERR_TRUNCATED = -5,   /* ends before it should */
    DP_ERR_RANGE = -6,       /* a number outside its bounds */
    DP_ERR_UNSUPPORTED = -7, /* valid, but not something droppoint handles (a link type, a version) */
    DP_ERR_DENIED = -8,      /* not permitted: key, policy, file mode, capability */
    DP_ERR_NOT_FOUND = -9,   /* a name that nothing goes by */
    DP_ERR_EXISTS = -10,     /* a name that is taken */
    DP_ERR_FILTER = -11,     /* a BPF expression that does not compile */
    DP_ERR_INTERFACE = -12,  /* an interface that is absent, down or vanished */
    DP_ERR_FULL = -13,       /* a bound is reached: disk, queue, memory */
    DP_ERR_GAP = -14,        /* numbered data whose numbers do not follow on */
    DP_ERR_DUPLICATE = -15,  /* numbered data that is already there */
    DP_ERR_DATABASE = -16,   /* PostgreSQL answered with an error */
    DP_ERR_UNAVAILABLE = -17,/* the peer, server or database cannot be reached now; worth another try */
    DP_ERR_TIMEOUT = -18,    /* no answer in time */
    DP_ERR_PROTOCOL = -19,   /* a message that breaks the protocol */
    DP_ERR_END = -20,        /* no more items; not a fault */
};

#define DP_MUST_CHECK __attribute__((warn_unused_result))
#define DP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Where and why something failed, as one sentence for the operator. Text is empty until set; always terminated. */
struct dp_diag {
    char text[512];
};

/* The code's short fixed name ("format", "not-found"), for logs and JSON. Never NULL, also for unknown codes. */
const char *dp_err_name(int code);

/* A sentence for the code ("The data is not in the expected format."). Never NULL. */
const char *dp_err_sentence(int code);

/* Sets diag's text (cut to fit; NULL diag is fine) and returns `code`, so that `return dp_fail(diag, DP_ERR_X, ...)` reads well. */
int dp_fail(struct dp_diag *diag, int code, const char *format, ...) DP_PRINTF(3, 4);

/* diag's text where set, else the code's sentence. */
const char *dp_reason(const struct dp_diag *diag, int code);

#endif
