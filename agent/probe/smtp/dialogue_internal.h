/* What the files of a dialogue share: dialogue.c has the connection and the bookkeeping, script.c what is
 * said. */
#ifndef DROPPOINT_AGENT_PROBE_SMTP_DIALOGUE_INTERNAL_H
#define DROPPOINT_AGENT_PROBE_SMTP_DIALOGUE_INTERNAL_H

#include "agent/probe/net/dial.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/lines.h"
#include "agent/probe/net/stream.h"
#include "agent/probe/smtp/dialogue.h"
#include "agent/probe/smtp/message.h"

enum smtp_stage {
    STAGE_CONNECT,
    STAGE_BANNER,
    STAGE_EHLO,
    STAGE_STARTTLS,
    STAGE_AUTH,
    STAGE_MAIL,
    STAGE_RCPT,
    STAGE_DATA,
    STAGE_BODY,
    STAGE_QUIT,
};

struct smtp_dialogue {
    struct dp_probe *probe;
    struct smtp_plan plan;
    union dp_address to;
    char text[DP_ADDRESS_TEXT];
    smtp_dialogue_done *done;
    void *context;
    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer; /* the answer to QUIT; the end */
    struct dp_lines lines;
    struct dp_smtp_reply reply, ehlo, decisive;
    enum smtp_stage stage, ended;
    bool helo;      /* EHLO was not understood: HELO was said */
    bool secure;    /* inside TLS */
    bool pipelined; /* RCPT went with MAIL */
    bool judged;    /* the class stands; what follows is leave-taking */
    bool over;
    int auth_step;
    const char *mechanism;
    enum smtp_class class;
    char why[400];
    double stage_ms; /* when the stage began */
    json_t *stages, *transcript, *json, *problems;
    struct dp_message message;
    char message_id[128];
    uint64_t body_sent;
    bool body_whole;
    unsigned skip; /* replies to come that do not matter any more */
};

/* dialogue.c */
void smtp_enter(struct smtp_dialogue *d, enum smtp_stage stage);
/* Writes the stage down with its time and the reply that ended it (NULL: none). */
void smtp_leave(struct smtp_dialogue *d, const struct dp_smtp_reply *reply);
/* Sends a command, without its line end. `shown` goes into the transcript in its place where it is not NULL.
 */
void smtp_say(struct smtp_dialogue *d, const char *shown, const char *format, ...) DP_PRINTF(3, 4);
/* The class stands; says QUIT where somebody can hear it. `reply` may be NULL. */
void smtp_judge(struct smtp_dialogue *d, enum smtp_class class, const struct dp_smtp_reply *reply,
                const char *format, ...) DP_PRINTF(4, 5);
void smtp_send_body(struct smtp_dialogue *d);
void smtp_begin_tls(struct smtp_dialogue *d);

/* script.c: the next thing to say after the reply to `d->stage`. */
void smtp_next(struct smtp_dialogue *d, const struct dp_smtp_reply *reply);
void smtp_say_hello(struct smtp_dialogue *d);

#endif
