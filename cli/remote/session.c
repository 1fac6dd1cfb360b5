#include "cli/remote/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/link/link.h"
#include "cli/remote/address.h"
#include "cli/remote/text.h"
#include "common/keys/keys.h"

/* How long a plain TCP connection is tried, which tells why none stands. */
#define DIAGNOSE_FOR_MS 1000

struct dp_session {
    uv_loop_t loop;
    uv_timer_t timer;
    struct dp_dialer *dialer;
    struct dp_keypair keys;
    char *endpoint;
    uint64_t timeout_ms;
    bool ready;          /* welcomed, and not lost since */
    bool fatal;          /* refused: trying on is of no use */
    bool met;            /* was welcomed once */
    struct dp_diag diag; /* of the last change to the worse */
    int code;

    /* the running request, or waiting for the session */
    uint64_t request;
    bool waiting, asking, pausing;
    bool finished;
    dp_take_fn take;
    void *context;
};

static void finish(struct dp_session *session, int code)
{
    session->code = code;
    session->finished = true;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct dp_session *session, uint64_t ms)
{
    /* Starting a timer that was initialised can't fail. */
    (void)uv_timer_start(&session->timer, on_timer, ms, 0);
}

/* Whether nothing accepts connections there; ends the waiting then, with the system's own reason. */
static bool explain_unreachable(struct dp_session *session)
{
    struct dp_diag why = {""};
    if (!dp_address_check(session->endpoint, DIAGNOSE_FOR_MS, &why))
        return false;
    finish(session, dp_fail(&session->diag, DP_ERR_UNAVAILABLE,
                            "no collector answers at %s (%s). Check that droppoint-collector runs there and "
                            "that nothing on the way blocks the port, or name another with --collector",
                            session->endpoint, why.text));
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct dp_session *session = timer->data;
    char time[32];
    if (session->pausing) {
        finish(session, 0);
        return;
    }
    dp_duration_text(session->timeout_ms, time, sizeof time);
    if (session->asking) {
        finish(session,
               dp_fail(&session->diag, DP_ERR_TIMEOUT,
                       "the collector at %s is connected but gave no answer within %s. Its log says what it "
                       "is doing (journalctl -u droppoint-collector)",
                       session->endpoint, time));
        return;
    }
    if (!explain_unreachable(session))
        finish(session,
               dp_fail(&session->diag, DP_ERR_TIMEOUT,
                       "something at %s accepts connections, but no droppoint collector greets within %s. "
                       "Check address and port, and that --collector-key is this collector's public key",
                       session->endpoint, time));
}

static void greet(struct dp_session *session)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__OperatorHello hello = DROPPOINT__OPERATOR_HELLO__INIT;
    hello.software = (char *)"droppoint " DROPPOINT_VERSION;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_OPERATOR_HELLO;
    envelope.operator_hello = &hello;
    int rc = dp_dialer_send(session->dialer, &envelope);
    if (rc && session->waiting)
        finish(session,
               dp_fail(&session->diag, rc, "greeting the collector failed: %s", dp_err_sentence(rc)));
}

/* Trying on is of no use. */
static void give_up(struct dp_session *session, int code)
{
    session->ready = false;
    session->fatal = true;
    if (session->waiting || session->asking)
        finish(session, code);
}

/* The collector does not want this operator. */
static void refuse(struct dp_session *session, const char *text)
{
    int code = dp_fail(
        &session->diag, DP_ERR_DENIED,
        "the collector at %s refuses your key%s%s. Use the operator.key that this collector wrote (in "
        "its state directory), or have your public key put into a .pub file in its directory of "
        "operators: %s",
        session->endpoint, text && text[0] ? ": " : "", text ? text : "", session->keys.public_z85);
    give_up(session, code);
}

static void lost(struct dp_session *session, const char *text)
{
    session->ready = false;
    if (!session->met) {
        if (session->waiting)
            (void)explain_unreachable(session);
        return;
    }
    (void)dp_fail(&session->diag, DP_ERR_UNAVAILABLE, "the connection to the collector at %s is lost: %s",
                  session->endpoint, text ? text : "no reason is known");
    if (session->asking)
        finish(session, DP_ERR_UNAVAILABLE);
}

static void on_state(void *context, enum dp_dialer_state state, const char *text)
{
    struct dp_session *session = context;
    switch (state) {
    case DP_DIALER_CONNECTING:
        break;
    case DP_DIALER_CONNECTED:
        greet(session);
        break;
    case DP_DIALER_LOST:
        lost(session, text);
        break;
    case DP_DIALER_REFUSED:
        refuse(session, NULL);
        break;
    case DP_DIALER_WRONG_COLLECTOR:
        /* A collector that is being stopped or started may hang up so, too. */
        if (session->met)
            lost(session, text);
        else
            give_up(session,
                    dp_fail(&session->diag, DP_ERR_DENIED,
                            "no session with the collector at %s: %s Copy collector.pub from its state "
                            "directory anew, or name it with --collector-key",
                            session->endpoint, text));
        break;
    }
}

static void on_answer(struct dp_session *session, const Droppoint__Envelope *envelope)
{
    arm(session, session->timeout_ms);
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_RESULT && envelope->result->code) {
        int code = envelope->result->code < 0 ? envelope->result->code : DP_ERR_PROTOCOL;
        const char *text = envelope->result->text;
        finish(session, dp_fail(&session->diag, code, "%s", text && text[0] ? text : dp_err_sentence(code)));
    } else if (session->take(session->context, envelope) == DP_TAKE_DONE) {
        finish(session, 0);
    } else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_RESULT) {
        finish(session, 0);
    }
}

static void on_message(void *context, const Droppoint__Envelope *envelope)
{
    struct dp_session *session = context;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_WELCOME) {
        session->ready = session->met = true;
        if (session->waiting)
            finish(session, 0);
    } else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_REFUSED) {
        refuse(session, envelope->refused->text);
    } else if (session->asking && !session->finished && envelope->request == session->request) {
        on_answer(session, envelope);
    }
}

static int run_until_finished(struct dp_session *session)
{
    while (!session->finished)
        (void)uv_run(&session->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&session->timer);
    session->waiting = session->asking = session->pausing = false;
    return session->code;
}

static int load_keys(const struct dp_remote_options *options, struct dp_session *session,
                     char *ret_collector_z85, struct dp_diag *diag)
{
    char host[256], port[8], path[512];
    int rc = dp_address_split(options->collector, host, sizeof host, port, sizeof port, diag);
    if (!rc)
        rc = dp_operator_key_path(options->key, path, sizeof path, diag);
    if (!rc)
        rc = dp_keypair_load_or_make(path, &session->keys, diag);
    if (!rc)
        rc = dp_collector_key_path(options->collector_key, path, sizeof path, diag);
    if (!rc)
        rc = dp_public_key_read(path, ret_collector_z85, diag);
    return rc;
}

int dp_session_open(const struct dp_remote_options *options, struct dp_session **ret_session,
                    struct dp_diag *diag)
{
    static const struct dp_dialer_events events = {.state = on_state, .message = on_message};
    char collector_z85[DP_KEY_Z85];
    struct dp_session *session = calloc(1, sizeof *session);
    if (!session)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    int rc = load_keys(options, session, collector_z85, diag);
    if (!rc && !(session->endpoint = strdup(options->collector)))
        rc = DP_ERR_NOMEM;
    if (!rc && uv_loop_init(&session->loop))
        rc = DP_ERR_NOMEM;
    if (rc) {
        dp_keypair_wipe(&session->keys);
        free(session->endpoint);
        free(session);
        return rc;
    }
    (void)uv_timer_init(&session->loop, &session->timer);
    session->timer.data = session;
    session->timeout_ms = options->timeout_ms;
    const struct dp_dialer_options dialer = {
        .endpoint = session->endpoint, .keys = &session->keys, .collector_z85 = collector_z85};
    rc = dp_dialer_open(&session->loop, &dialer, &events, session, &session->dialer, diag);
    if (!rc)
        rc = dp_session_wait(session, options->timeout_ms, diag);
    if (rc) {
        dp_session_close(session);
        return rc;
    }
    *ret_session = session;
    return 0;
}

int dp_session_wait(struct dp_session *session, uint64_t timeout_ms, struct dp_diag *diag)
{
    uint64_t usual_ms = session->timeout_ms;
    session->code = session->fatal ? DP_ERR_DENIED : 0;
    session->finished = session->ready || session->fatal;
    session->waiting = true;
    session->timeout_ms = timeout_ms;
    arm(session, timeout_ms);
    int rc = run_until_finished(session);
    session->timeout_ms = usual_ms;
    if (rc && diag)
        *diag = session->diag;
    return rc;
}

/* The collector drops what breaks the protocol's rules without an answer; such a request is better found
 * here. */
static int check_request(Droppoint__Envelope *envelope, struct dp_diag *diag)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    Droppoint__Envelope *copy = NULL;
    int rc = dp_wire_pack(envelope, &bytes, &length);
    if (rc)
        return dp_fail(diag, rc, "the request can't be packed: %s", dp_err_sentence(rc));
    rc = dp_wire_unpack(bytes, length, &copy, diag);
    free(bytes);
    if (!rc)
        droppoint__envelope__free_unpacked(copy, NULL);
    return rc;
}

int dp_session_ask(struct dp_session *session, Droppoint__Envelope *envelope, dp_take_fn take, void *context,
                   struct dp_diag *diag)
{
    envelope->request = ++session->request;
    int rc = check_request(envelope, diag);
    if (rc)
        return rc;
    session->take = take;
    session->context = context;
    session->finished = false;
    session->asking = true;
    rc = session->ready ? dp_dialer_send(session->dialer, envelope) : DP_ERR_UNAVAILABLE;
    if (rc) {
        session->asking = false;
        return dp_fail(diag, rc, "the request to the collector at %s can't be sent: %s", session->endpoint,
                       dp_err_sentence(rc));
    }
    arm(session, session->timeout_ms);
    rc = run_until_finished(session);
    if (rc && diag)
        *diag = session->diag;
    return rc;
}

int dp_session_send(struct dp_session *session, Droppoint__Envelope *envelope)
{
    envelope->request = 0; /* an answer to it must not be taken for the running request's */
    return session->ready ? dp_dialer_send(session->dialer, envelope) : DP_ERR_UNAVAILABLE;
}

void dp_session_abort(struct dp_session *session, int code)
{
    if (session->finished || !(session->asking || session->waiting || session->pausing))
        return;
    finish(session, dp_fail(&session->diag, code, "%s", dp_err_sentence(code)));
}

int dp_session_pause(struct dp_session *session, uint64_t ms)
{
    session->finished = false;
    session->pausing = true;
    arm(session, ms);
    return run_until_finished(session);
}

void dp_session_set_timeout(struct dp_session *session, uint64_t timeout_ms)
{
    session->timeout_ms = timeout_ms;
    if (session->asking && !session->finished)
        arm(session, timeout_ms);
}

bool dp_session_lost(const struct dp_session *session)
{
    return !session->ready;
}

uv_loop_t *dp_session_loop(struct dp_session *session)
{
    return &session->loop;
}

void dp_session_close(struct dp_session *session)
{
    if (!session)
        return;
    dp_dialer_close(session->dialer);
    uv_close((uv_handle_t *)&session->timer, NULL);
    (void)uv_run(&session->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&session->loop);
    dp_keypair_wipe(&session->keys);
    free(session->endpoint);
    free(session);
}
