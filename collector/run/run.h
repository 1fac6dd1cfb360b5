/* The collector's doing: knows agents and operators, runs captures over agents, takes their streams in, draws
 * verdicts, and answers the command line. Everything on one event loop, but the engines, which have a thread
 * each. */
#ifndef DROPPOINT_COLLECTOR_RUN_RUN_H
#define DROPPOINT_COLLECTOR_RUN_RUN_H

#include <uv.h>

#include "collector/store/store.h"
#include "common/err/err.h"
#include "common/keys/keys.h"
#include "common/log/log.h"

struct dp_run;

struct dp_run_options {
    const char *bind;                /* as ZeroMQ takes it */
    const struct dp_keypair *keys;   /* the collector's; must live as long as the run */
    const char *operators_directory; /* public keys of operators, *.pub */
    const char *local_operator;      /* one more operator's public key (the local command line's) */
    const struct dp_log *log;
};

struct dp_run_events {
    /* Once: everything is loaded and the socket listens (code 0), or why not. */
    void (*ready)(void *context, int code, const char *text);
    void *context;
};

/* Begins: loads what the store has, then listens. The store stays the caller's and must outlive the run.
 * DP_ERR_NOMEM. */
int dp_run_open(uv_loop_t *loop, struct dp_store *store, const struct dp_run_options *options,
                const struct dp_run_events *events, struct dp_run **ret_run,
                struct dp_diag *diag) DP_MUST_CHECK;

/* To be told by the store's availability event. */
void dp_run_database(struct dp_run *run, bool up, const char *text);

/* Closes the socket and stops the engines. Captures that run stay as they are in the store and are taken up
 * at the next start. Frees the run once the store's open jobs have called back: close the store after it. */
void dp_run_close(struct dp_run *run);

#endif
