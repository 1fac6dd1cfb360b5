/* A session without a network: what the protocols say goes nowhere, their verdict is noted. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/probe_mailbox/session_stub.h"

void dp_probe_fail(struct dp_probe *probe, int code, const char *format, ...)
{
    (void)probe, (void)code, (void)format;
    abort(); /* there is memory enough */
}

uv_loop_t *dp_probe_loop(const struct dp_probe *probe)
{
    (void)probe;
    return NULL;
}

json_t *dp_peer_text(const char *bytes, size_t length)
{
    return json_integer(length && bytes[length - 1] != '\0'); /* reads to its end */
}

int dp_timer_new(uv_loop_t *loop, dp_timer_call *call, void *context, struct dp_timer **ret_timer)
{
    (void)loop, (void)call, (void)context;
    *ret_timer = NULL;
    return DP_OK;
}

void dp_timer_start(struct dp_timer *timer, uint64_t ms, uint64_t repeat_ms)
{
    (void)timer, (void)ms, (void)repeat_ms;
}

const char *mailbox_stage_name(enum mailbox_stage stage)
{
    if (stage > MAILBOX_LOGOUT)
        abort();
    return "stage";
}

void mailbox_enter(struct mailbox_session *s, enum mailbox_stage stage)
{
    s->stage = stage;
}

void mailbox_leave(struct mailbox_session *s, const char *status, const char *text)
{
    (void)s;
    if (text && (!status || strlen(text) > SIZE_MAX / 2))
        abort();
}

void mailbox_say(struct mailbox_session *s, const char *shown, const char *format, ...)
{
    (void)s, (void)shown, (void)format;
}

void mailbox_judge(struct mailbox_session *s, enum mailbox_class class, const char *status, const char *text,
                   const char *format, ...)
{
    char why[400];
    va_list args;
    (void)status, (void)text;
    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    s->judged = true;
    s->class = class;
    s->stage = MAILBOX_LOGOUT;
}

void mailbox_leave_taken(struct mailbox_session *s, const char *status, const char *text)
{
    (void)status, (void)text;
    s->over = true;
}

void mailbox_start_tls(struct mailbox_session *s)
{
    s->secure = true;
    s->protocol->secured(s);
}
