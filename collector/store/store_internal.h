/* The job queue between the event loop and the store's thread. Inside collector/store only. */
#ifndef DROPPOINT_COLLECTOR_STORE_STORE_INTERNAL_H
#define DROPPOINT_COLLECTOR_STORE_STORE_INTERNAL_H

#include <libpq-fe.h>

#include "collector/store/store.h"

/* First member of every kind of job. */
struct dp_job {
    struct dp_job *next;
    /* Runs on the store's thread, in a session without an open transaction. DP_ERR_UNAVAILABLE: run it again
     * later. NULL marks a batch, see batches.c. */
    int (*work)(PGconn *connection, struct dp_job *job, struct dp_diag *diag);
    void (*finish)(struct dp_job *job); /* on the loop: calls back, frees the job */
    int code;
    struct dp_diag diag;
};

/* Takes the job over when it returns DP_OK. */
int dp_store_submit(struct dp_store *store, struct dp_job *job) DP_MUST_CHECK;

/* Runs `body` inside a transaction. */
int dp_store_transaction(PGconn *connection, struct dp_job *job,
                         int (*body)(PGconn *connection, struct dp_job *job, struct dp_diag *diag),
                         struct dp_diag *diag) DP_MUST_CHECK;

/* Batches (batches.c). Group: takes the run of batches at the head of `first`, up to the bounds; returns how
 * many. */
#define DP_GROUP_MAX 512
#define DP_GROUP_BYTES ((size_t)8 * 1024 * 1024)
size_t dp_batches_group(struct dp_job *first, struct dp_job **ret_jobs);
/* Stores a group in one transaction and sets each job's code and watermark. DP_ERR_UNAVAILABLE,
 * DP_ERR_DATABASE: nothing is known to be stored; run it again. */
int dp_batches_commit(PGconn *connection, struct dp_job **jobs, size_t count,
                      struct dp_diag *diag) DP_MUST_CHECK;

#endif
