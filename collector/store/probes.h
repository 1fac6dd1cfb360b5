/* Probes and their results in the database. Calls and callbacks as in store.h. */
#ifndef DROPPOINT_COLLECTOR_STORE_PROBES_H
#define DROPPOINT_COLLECTOR_STORE_PROBES_H

#include "collector/store/store.h"

struct dp_store_probe_result {
    char agent_key[48];
    char agent[64];
    int64_t started_ns;
    int64_t duration_us;
    char status[16];
    char class[32];
    char *summary;
    char *document; /* JSON */
};

struct dp_store_probe {
    char id[64];
    char kind[32];
    char *target, *options, *failures; /* the latter two JSON */
    int64_t started_ns;
    char state[16];
    struct dp_store_probe_result *results; /* in order of the agents' names */
    size_t result_count;
};

/* Stores a new running probe, without results. */
int dp_store_probe_add(struct dp_store *store, const struct dp_store_probe *probe, dp_store_done *done,
                       void *context) DP_MUST_CHECK;
/* Moves it to `state`. done may be NULL. */
int dp_store_probe_end(struct dp_store *store, const char *id, const char *state, const char *failures,
                       dp_store_done *done, void *context) DP_MUST_CHECK;

/* Moves the stream's watermark to `number` and stores the result (NULL: the batch holds none), both or
 * neither. Codes and watermark as for dp_store_batch. */
int dp_store_probe_result(struct dp_store *store, const struct dp_stream_key *key, uint64_t number,
                          const struct dp_store_probe_result *result, dp_store_batch_done *done,
                          void *context) DP_MUST_CHECK;

typedef void dp_store_probe_done(void *context, int code, const char *text,
                                 const struct dp_store_probe *probe);
/* The probe with its results. DP_ERR_NOT_FOUND, probe is NULL then. */
int dp_store_probe_load(struct dp_store *store, const char *id, dp_store_probe_done *done,
                        void *context) DP_MUST_CHECK;

/* Empty texts: any. */
struct dp_store_probe_filter {
    char kind[32];
    char target[1025];
    char agent[64];
    char status[16];
    bool changes; /* only where the class is another than that of the agent's result before */
    uint32_t limit;
};
struct dp_store_probe_entry {
    char id[64], kind[32];
    char *target;
    struct dp_store_probe_result result; /* document is NULL */
};
typedef void dp_store_probes_done(void *context, int code, const char *text,
                                  const struct dp_store_probe_entry *entries, size_t count);
/* Results, newest first. */
int dp_store_probes(struct dp_store *store, const struct dp_store_probe_filter *filter,
                    dp_store_probes_done *done, void *context) DP_MUST_CHECK;

#endif
