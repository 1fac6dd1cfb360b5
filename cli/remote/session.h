/* One session with the collector, for one command: connect, ask, take in what comes, on a private event loop.
 */
#ifndef DROPPOINT_CLI_REMOTE_SESSION_H
#define DROPPOINT_CLI_REMOTE_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "cli/remote/options.h"
#include "common/err/err.h"
#include "common/wire/wire.h"

struct dp_session;

/* How a message handler goes on. */
enum dp_take {
    DP_TAKE_MORE, /* more messages are to come */
    DP_TAKE_DONE, /* that was it */
};

/* An answer to the running request (or an event that belongs to it). Not called for Result with a code other
 * than 0: dp_session_ask then fails with that code and text. */
typedef enum dp_take (*dp_take_fn)(void *context, const Droppoint__Envelope *envelope);

/* Finds keys, connects, greets, and waits until the collector welcomes the operator. diag holds a sentence
 * with the next step. DP_ERR_UNAVAILABLE, DP_ERR_DENIED, DP_ERR_FORMAT, DP_ERR_USAGE, DP_ERR_IO. */
int dp_session_open(const struct dp_remote_options *options, struct dp_session **ret_session,
                    struct dp_diag *diag) DP_MUST_CHECK;
void dp_session_close(struct dp_session *session); /* NULL is fine */

/* Sends `envelope` under a new request number and hands what comes under it to `take` until that is done, or
 * a Result comes. DP_ERR_TIMEOUT: nothing came for the timeout. DP_ERR_UNAVAILABLE: the collector was lost on
 * the way. Else the Result's code. diag is filled in every case of failure. */
int dp_session_ask(struct dp_session *session, Droppoint__Envelope *envelope, dp_take_fn take, void *context,
                   struct dp_diag *diag) DP_MUST_CHECK;

/* Sends a message that has no answer of its own, without waiting. */
int dp_session_send(struct dp_session *session, Droppoint__Envelope *envelope) DP_MUST_CHECK;

/* Whether the collector is away: tells a lost connection from a Result that says that something else is
 * unavailable. */
bool dp_session_lost(const struct dp_session *session);

/* Ends the running request from outside of its handler (a timer, a signal): ask returns `code`. */
void dp_session_abort(struct dp_session *session, int code);

/* Waits until the session stands (again) after the collector was lost. DP_ERR_TIMEOUT, DP_ERR_DENIED. */
int dp_session_wait(struct dp_session *session, uint64_t timeout_ms, struct dp_diag *diag) DP_MUST_CHECK;

/* Lets time pass while signals and heartbeats are served. 0, or what dp_session_abort says. */
int dp_session_pause(struct dp_session *session, uint64_t ms) DP_MUST_CHECK;

/* For handles of the caller's own; they must be closed before dp_session_close. */
uv_loop_t *dp_session_loop(struct dp_session *session);

/* How long dp_session_ask waits for the next message; the option's value at first. */
void dp_session_set_timeout(struct dp_session *session, uint64_t timeout_ms);

/* The key files in use, searched in the usual places where `given` is NULL. DP_ERR_NOT_FOUND, DP_ERR_DENIED
 * with diag saying where they come from. */
int dp_operator_key_path(const char *given, char *ret_path, size_t size, struct dp_diag *diag) DP_MUST_CHECK;
int dp_collector_key_path(const char *given, char *ret_path, size_t size, struct dp_diag *diag) DP_MUST_CHECK;

#endif
