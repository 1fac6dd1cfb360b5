/* A mail server's spool folder: which server it is of, and what waits in it. Reads files; to be run beside
 * the loop. */
#ifndef DROPPOINT_AGENT_PROBE_QUEUE_SPOOL_H
#define DROPPOINT_AGENT_PROBE_QUEUE_SPOOL_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err/err.h"

enum spool_mta { SPOOL_POSTFIX, SPOOL_EXIM, SPOOL_OPENSMTPD, SPOOL_PLAIN };

struct spool_sum {
    enum spool_mta mta;
    json_t *queues;                      /* name to number of messages */
    json_t *destinations;                /* domain to {messages, oldest_s, reasons {text: count}} */
    uint64_t messages, deferred, unseen; /* unseen: those that the server has not even looked at */
    int64_t oldest_s, oldest_deferred_s, oldest_unseen_s; /* age in seconds, 0 where there is none */
    int running;                                          /* 1 the server runs, 0 it does not, -1 not known */
};

/* The spool's folder when none is named: the first of the usual ones that is there. NULL: none. */
const char *spool_usual(void);
/* Recognises and reads it, at `now`, until `stop` is set by another thread (DP_ERR_TIMEOUT).
 * DP_ERR_NOT_FOUND, DP_ERR_DENIED (diag names the folder), DP_ERR_NOMEM. The sum's JSON is to be released
 * with spool_free. */
int spool_read(const char *folder, int64_t now, const atomic_bool *stop, struct spool_sum *ret_sum,
               struct dp_diag *diag) DP_MUST_CHECK;
void spool_free(struct spool_sum *sum);
const char *spool_mta_name(enum spool_mta mta);

#endif
