/* What the files on probes share. Inside of collector/run only. */
#ifndef DROPPOINT_COLLECTOR_RUN_PROBE_INTERNAL_H
#define DROPPOINT_COLLECTOR_RUN_PROBE_INTERNAL_H

#include "collector/run/run_internal.h"
#include "collector/store/probes.h"

enum probe_state {
    PROBE_PREPARING,
    PROBE_READY,
    PROBE_RUNNING,
    PROBE_AWAY, /* runs, but its agent is away */
    PROBE_DONE,
    PROBE_FAILED,
};

struct run_probe_agent {
    char name[64];
    char key[48]; /* empty: no such agent, or not here */
    uint64_t epoch;
    enum probe_state state;
    uint64_t away_ms; /* since when its agent is away, uv_now */
    int code;         /* of PROBE_FAILED */
    char text[512];
    json_t *result; /* of PROBE_DONE */
};

struct run_probe {
    struct dp_run *run;
    char id[64], kind[32];
    char *target;
    json_t *options; /* array of [name, value] */
    struct run_probe_agent *agents;
    size_t agent_count;
    bool started, over;
    uint64_t began_ms;             /* the preparing, then the running */
    struct dp_peer *operator_peer; /* NULL: nobody waits */
    uint64_t request;
    unsigned holds;
    UT_hash_handle hh; /* run->probes, by id */
};

/* probe_end.c */
void run_probe_progress(struct run_probe *probe);
void run_probe_fail_agent(struct run_probe *probe, struct run_probe_agent *agent, int code, const char *text);
/* Ends it once every agent is done or has failed. */
void run_probe_check(struct run_probe *probe);
void run_probe_release(struct run_probe *probe); /* ends a hold; frees it once it is over */
/* Sends what there is of a stored probe: results, then ProbeDone. Results are an array of entries. */
void run_probe_tell(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const struct dp_store_probe *row, const json_t *results, const json_t *failures);

/* probes.c */
struct run_probe *run_probe_find(struct dp_run *run, const char *id);
/* An agent's record is stored; takes a reference. */
void run_probe_record(struct dp_run *run, const struct run_agent *agent, const char *id, json_t *record);

#endif
