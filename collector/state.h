/* The collector's state directory: whose it is, the lock, the keys. */
#ifndef DROPPOINT_COLLECTOR_STATE_H
#define DROPPOINT_COLLECTOR_STATE_H

#include "collector/settings.h"
#include "common/err/err.h"
#include "common/keys/keys.h"

struct collector_state {
    int lock;
    struct dp_keypair keys;          /* the collector's */
    struct dp_keypair operator_keys; /* the local command line's */
};

/* Where it runs as root: becomes the configured user for good, and makes the state directory for it.
 * DP_ERR_NOT_FOUND: no such user; DP_ERR_DENIED, DP_ERR_IO. */
int collector_become_user(const struct collector_settings *settings, struct dp_diag *diag) DP_MUST_CHECK;

/* Makes what is missing in the state directory and takes its lock. DP_ERR_EXISTS: another collector has it;
 * as dp_keypair_load_or_make. */
int collector_state_open(const struct collector_settings *settings, struct collector_state *ret_state,
                         struct dp_diag *diag) DP_MUST_CHECK;
void collector_state_close(struct collector_state *state);

/* The public key alone, made where it is missing. */
int collector_public_key(const struct collector_settings *settings, struct dp_keypair *ret_keys,
                         struct dp_diag *diag) DP_MUST_CHECK;

#endif
