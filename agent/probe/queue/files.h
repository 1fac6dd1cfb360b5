/* Queue files of mail servers: who a message is for, since when it waits, and why. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_QUEUE_FILES_H
#define DROPPOINT_AGENT_PROBE_QUEUE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_RECIPIENTS_MAX 100 /* of one message that are looked at */
#define QUEUE_ADDRESS 320
#define QUEUE_REASON 300

struct queue_message {
    int64_t arrived; /* seconds since 1970; 0: not said */
    char recipients[QUEUE_RECIPIENTS_MAX][QUEUE_ADDRESS];
    size_t recipient_count;    /* that still wait */
    bool tried;                /* delivery was tried at least once */
    char reason[QUEUE_REASON]; /* of the last try, "" where there is none */
};

/* A Postfix queue file: records of a letter, a length and bytes. False: it is none. */
bool queue_read_postfix(const uint8_t *bytes, size_t length, struct queue_message *ret_message);
/* Postfix' log of why a message waits (defer/QUEUEID): the last reason into message->reason. */
void queue_read_postfix_defer(const char *text, size_t length, struct queue_message *message);
/* Exim's -H file. False: it is none. */
bool queue_read_exim(const char *text, size_t length, struct queue_message *ret_message);
/* Exim's msglog of a message. */
void queue_read_exim_log(const char *text, size_t length, struct queue_message *message);
/* One envelope of OpenSMTPD. False: it is none. */
bool queue_read_opensmtpd(const char *text, size_t length, struct queue_message *ret_message);

/* The domain of an address, lower case; "(local)" where it has none. */
void queue_domain(const char *address, char domain[QUEUE_ADDRESS]);

#endif
