/* The collector's address: its form, and why nobody answers there. */
#ifndef DROPPOINT_CLI_REMOTE_ADDRESS_H
#define DROPPOINT_CLI_REMOTE_ADDRESS_H

#include <stddef.h>

#include "common/err/err.h"

/* Takes "tcp://HOST:PORT" apart (IPv6 in brackets, which are taken off). DP_ERR_USAGE with diag. */
int dp_address_split(const char *endpoint, char *ret_host, size_t host_size, char *ret_port, size_t port_size,
                     struct dp_diag *diag) DP_MUST_CHECK;

/* Tries a plain TCP connection for at most `timeout_ms`. 0: somebody accepts it. Else DP_ERR_UNAVAILABLE with
 * diag saying what happened (name unknown, connection refused, no answer). */
int dp_address_check(const char *endpoint, int timeout_ms, struct dp_diag *diag) DP_MUST_CHECK;

#endif
