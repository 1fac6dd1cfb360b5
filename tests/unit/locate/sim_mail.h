/* Mails in SMTP sessions, and a relay between the points 1 and 2 of four that sends them on in sessions of
 * its own. What tells a message again is read from the made-up text as captures read it. */
#ifndef DROPPOINT_TESTS_UNIT_LOCATE_SIM_MAIL_H
#define DROPPOINT_TESTS_UNIT_LOCATE_SIM_MAIL_H

#include "tests/unit/locate/sim.h"

struct sim_mail {
    const char *header; /* whole lines; NULL: the message has none */
    const char
        *reply;     /* the server's words to it, with their code; NULL: it accepts, and names no queue id */
    uint32_t first; /* the message's first packet holds so many bytes; 0: all */
};

struct sim_smtp {
    uint32_t flow;
    int64_t t; /* when it may go on */
};

/* A new path: mx1/eth0, lb1/eth0 | lb1/eth1, edge1/eth0, with the relay in lb1. */
void sim_relay_path(struct sim *sim);

/* A session up to the reply to EHLO. */
struct sim_smtp sim_smtp_open(struct sim *sim, struct sim_flow flow, int64_t t);
/* ... of mx1 with the relay, and of the relay with the server behind it. */
struct sim_smtp sim_smtp_in(struct sim *sim, int64_t t);
struct sim_smtp sim_smtp_out(struct sim *sim, int64_t t);
/* From MAIL to the reply to the message. */
void sim_smtp_mail(struct sim *sim, struct sim_smtp *session, struct sim_mail mail);
void sim_smtp_quit(struct sim *sim, struct sim_smtp *session);

/* The flow that the report says a flow is at a vantage point that did not see it itself; -1: none. For flows
 * whose ports the simulation chose. */
int sim_goes_on_as(const struct sim *sim, const struct dp_report *report, uint32_t flow, uint32_t vantage);
/* The verdict's summary, or a finding's, has these words. */
void sim_assert_says(const char *summary, const char *words);
void sim_assert_silent(const char *summary, const char *words);

#endif
