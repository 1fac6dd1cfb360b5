/* The collector's own private PostgreSQL: a cluster in its state directory that listens on a Unix socket
 * only. Made at the first start, taken over where it still runs after the collector was killed, stopped with
 * the collector. */
#ifndef DROPPOINT_COLLECTOR_STORE_CLUSTER_H
#define DROPPOINT_COLLECTOR_STORE_CLUSTER_H

#include "common/err/err.h"

struct dp_cluster;

/* Finds PostgreSQL's programs (bin_directory, or the highest version below /usr/lib/postgresql where it is
 * NULL or empty), makes the cluster unless it is there, starts it unless it runs. Blocks, at most about a
 * minute. DP_ERR_DENIED: run as root, which PostgreSQL refuses; DP_ERR_NOT_FOUND: no PostgreSQL programs;
 * DP_ERR_UNSUPPORTED: the cluster was made by another major version; DP_ERR_IO, DP_ERR_UNAVAILABLE. */
int dp_cluster_open(const char *state_directory, const char *bin_directory, struct dp_cluster **ret_cluster,
                    struct dp_diag *diag) DP_MUST_CHECK;

/* Starts the server again where it died. Safe from the store's thread (see dp_store_options.before_connect,
 * `cluster` as context). */
int dp_cluster_ensure(void *cluster, struct dp_diag *diag) DP_MUST_CHECK;

/* How libpq reaches it. Lives as long as the cluster. */
const char *dp_cluster_conninfo(const struct dp_cluster *cluster);

/* Stops the server (fast mode: open transactions roll back, nothing committed is lost) and frees. NULL is
 * fine. */
void dp_cluster_close(struct dp_cluster *cluster);

#endif
