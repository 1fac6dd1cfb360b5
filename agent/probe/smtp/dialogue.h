/* One SMTP dialogue as client with one address: RFC 5321, 3207 (STARTTLS), 4954 (AUTH), 2920 (pipelining),
 * 1870 (SIZE). */
#ifndef DROPPOINT_AGENT_PROBE_SMTP_DIALOGUE_H
#define DROPPOINT_AGENT_PROBE_SMTP_DIALOGUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/auth_file.h"
#include "agent/probe/net/target.h"
#include "agent/probe/smtp/reply.h"

enum smtp_class {
    SMTP_ACCEPTED,
    SMTP_GREYLISTED,
    SMTP_DEFERRED,
    SMTP_REJECTED,
    SMTP_AUTH_FAILED,
    SMTP_TLS_FAILED,
    SMTP_INJECTION,
    SMTP_DISCONNECTED,
    SMTP_TIMEOUT,
    SMTP_REFUSED,
    SMTP_FILTERED,
};
/* The contract's word. */
const char *smtp_class_name(enum smtp_class class);

enum smtp_tls { SMTP_TLS_IF_OFFERED, SMTP_TLS_MUST, SMTP_TLS_NEVER };

/* What is to be said; the texts outlive the dialogue. */
struct smtp_plan {
    const char *helo;                /* NULL: this host's name, or its address */
    const char *mail_from, *rcpt_to; /* NULL: not said; mail_from "" is the null sender */
    const struct dp_auth *auth;      /* known or not */
    enum smtp_tls tls;
    bool send;
    uint64_t size;        /* 0: as it comes */
    const char *tls_name; /* the certificate should name it */
};

struct smtp_dialogue;
typedef void smtp_dialogue_done(void *context);

/* What became of it; valid until smtp_dialogue_free. */
struct smtp_outcome {
    enum smtp_class class;
    const char *stage;                 /* where it ended */
    char why[400];                     /* a clause: "RCPT TO answered 550 5.1.1 no such user" */
    const struct dp_smtp_reply *reply; /* the one that decided; code 0: none did */
    json_t *json; /* address, port, class, stage, stages, capabilities, tls, transcript ...; borrowed */
};

/* Begins. `done` comes once, never from within. DP_ERR_NOMEM. */
int smtp_dialogue_start(struct dp_probe *probe, const struct smtp_plan *plan, const union dp_address *to,
                        smtp_dialogue_done *done, void *context,
                        struct smtp_dialogue **ret_dialogue) DP_MUST_CHECK;
/* The time is over: it ends as it is, with `timeout`, or `filtered` where it never stood. `done` is not
 * called. */
void smtp_dialogue_expire(struct smtp_dialogue *dialogue);
bool smtp_dialogue_is_done(const struct smtp_dialogue *dialogue);
struct smtp_outcome smtp_dialogue_outcome(const struct smtp_dialogue *dialogue);
void smtp_dialogue_free(struct smtp_dialogue *dialogue); /* NULL is fine */

#endif
