/* A session with a mailbox server at one address: connection, TLS, stages and transcript. What is said is the
 * protocol's matter (imap.c, pop3.c). */
#ifndef DROPPOINT_AGENT_PROBE_MAILBOX_SESSION_H
#define DROPPOINT_AGENT_PROBE_MAILBOX_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/auth_file.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/lines.h"
#include "agent/probe/net/stream.h"

/* From good to bad. */
enum mailbox_class {
    MAILBOX_OK,
    MAILBOX_AUTH_FAILED,
    MAILBOX_TLS_FAILED,
    MAILBOX_DISCONNECTED,
    MAILBOX_TIMEOUT,
    MAILBOX_REFUSED,
    MAILBOX_FILTERED,
};
const char *mailbox_class_name(enum mailbox_class class);

enum mailbox_stage {
    MAILBOX_CONNECT,
    MAILBOX_BANNER,
    MAILBOX_CAPABILITY,
    MAILBOX_STARTTLS,
    MAILBOX_LOGIN,
    MAILBOX_LIST,
    MAILBOX_SELECT,
    MAILBOX_SEARCH,
    MAILBOX_LOGOUT,
};
const char *mailbox_stage_name(enum mailbox_stage stage);

struct mailbox_session;

struct mailbox_protocol {
    const char *name;
    uint16_t port, tls_port;
    const char *goodbye; /* command of the leave-taking, "LOGOUT" or "QUIT"; with the protocol's own tag */
    /* A whole line of the server's. */
    void (*line)(struct mailbox_session *session, const char *line, size_t length);
    /* The TLS handshake after mailbox_start_tls is done: capabilities are to be asked for again. */
    void (*secured)(struct mailbox_session *session);
};

struct mailbox_session {
    struct dp_probe *probe;
    const struct mailbox_protocol *protocol;
    const struct dp_auth *auth;
    const char *tls_name;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    void (*done)(void *context);
    void *context;
    /* IMAP: instead of listing the mailboxes, open this one, tell `ready`, and on mailbox_imap_search look
     * for a message whose Message-ID has the token, again and again. The class is MAILBOX_OK once it is
     * found. NULL: list. */
    const char *folder, *token;
    void (*ready)(void *context);

    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer, *again;
    struct dp_lines lines;
    enum mailbox_stage stage, ended;
    enum mailbox_class class;
    double stage_ms;
    bool secure, judged, over;
    json_t *json, *stages, *transcript, *problems;
    char why[400];

    /* the protocol's own */
    bool starttls_offered, login_disabled, plain_offered, initial_response, multiline, found;
    unsigned step, tag;
    size_t literal; /* bytes of a literal that follow the line that is kept (IMAP) */
    char *held;     /* that line */
    json_t *capabilities, *mailboxes;
};

int mailbox_session_start(struct mailbox_session *session) DP_MUST_CHECK;
void mailbox_session_expire(struct mailbox_session *session);
/* Fills session->json with all that is known. */
void mailbox_session_write(struct mailbox_session *session);
void mailbox_session_free(struct mailbox_session *session); /* its contents */

void mailbox_enter(struct mailbox_session *session, enum mailbox_stage stage);
/* Writes the stage down, with the server's reply {status, text}; NULL status: none. */
void mailbox_leave(struct mailbox_session *session, const char *status, const char *text);
void mailbox_say(struct mailbox_session *session, const char *shown, const char *format, ...) DP_PRINTF(3, 4);
/* The class stands; `status`, `text` are the reply that decided, or NULL. Says goodbye where that makes
 * sense. */
void mailbox_judge(struct mailbox_session *session, enum mailbox_class class, const char *status,
                   const char *text, const char *format, ...) DP_PRINTF(5, 6);
/* The goodbye was answered. */
void mailbox_leave_taken(struct mailbox_session *session, const char *status, const char *text);
void mailbox_start_tls(struct mailbox_session *session);

/* Starts looking for session->token; once, after `ready`. */
void mailbox_imap_search(struct mailbox_session *session);

extern const struct mailbox_protocol mailbox_imap, mailbox_pop3;

#endif
