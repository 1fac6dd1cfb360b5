/* Which stage of an SMTP session something belongs to (RFC 5321): connect, banner, each command, the
 * message's content, its end, TLS. From the verbs and reply codes that the agents read; inside TLS nobody can
 * tell. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_STAGE_H
#define DROPPOINT_COLLECTOR_LOCATE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/locate/engine.h"

enum stage_kind {
    STAGE_UNKNOWN, /* no SMTP in the clear, or seen from its middle only */
    STAGE_CONNECT,
    STAGE_BANNER,
    STAGE_COMMAND,
    STAGE_CONTENT,
    STAGE_DOT, /* the lone dot that ends the message */
    STAGE_TLS,
};

struct stage {
    enum stage_kind kind;
    uint16_t verb; /* of a command: dp_smtp_verb */
    bool reply;    /* the server's words, not the client's */
    bool answered; /* of stage_at: the reply has come, the next command has not */
    uint64_t byte; /* of the content */
};

/* Notes what a packet with stream positions begins with. DP_ERR_NOMEM. */
int stage_note(struct flow *flow, int half, uint32_t vantage, const struct observation *o,
               uint16_t app) DP_MUST_CHECK;

/* Of bytes of a half that were sent at reference time t. */
struct stage stage_of_bytes(const struct dp_locate *l, const struct flow *flow, int half, uint64_t start,
                            bool syn, int64_t t_ns);

/* Where the session was at reference time t (INT64_MAX: at its end). */
struct stage stage_at(const struct dp_locate *l, const struct flow *flow, int64_t t_ns);

#define STAGE_TEXT 80
/* "the banner", "the RCPT command", "the reply to RCPT", "the message's content, at byte 41,440" ... "" where
 * it is not known. */
const char *stage_text(const struct stage *stage, char text[STAGE_TEXT]);
/* "EHLO" ... "QUIT" */
const char *stage_verb(uint16_t verb);

#endif
