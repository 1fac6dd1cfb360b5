/* What the files of collector/run share. Nobody else includes it. */
#ifndef DROPPOINT_COLLECTOR_RUN_RUN_INTERNAL_H
#define DROPPOINT_COLLECTOR_RUN_RUN_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <uthash.h>
#include <utlist.h>

#include "collector/link/link.h"
#include "collector/run/engine.h"
#include "collector/run/run.h"

/* Payload bytes that one agent may have under way. What has come and is not located yet stands between the
 * last batch and the verdict; this much is a third of a million packets of bulk TCP. */
#define CREDIT_AGENT ((uint64_t)2 * 1024 * 1024)
#define CREDIT_TOTAL ((uint64_t)512 * 1024 * 1024) /* ... and all of them */
#define CREDIT_LEAST ((uint64_t)1280 * 1024)       /* one batch must always fit */
#define HEARTBEAT_MS 1000
#define MAX_VANTAGES 64

/* --- agents --- */

struct run_agent {
    struct dp_store_agent row;
    struct dp_peer *peer; /* NULL: not connected, or no hello yet */
    uint64_t epoch;
    char **interfaces;
    size_t interface_count;
    uint64_t outstanding;     /* payload bytes of its batches that we hold */
    uint64_t owed;            /* ... and of those that there was no room for: credit that is kept back */
    uint64_t written_ms;      /* when its row was last stored, uv_now */
    uint64_t clock_stored_ms; /* when a clock sample was last stored */
    UT_hash_handle hh;        /* by row.key */
};

struct run_path {
    char name[64];
    char **vantages;
    size_t vantage_count;
    UT_hash_handle hh; /* by name */
};

/* --- captures --- */

struct run_capture;

struct run_stream_id {
    char agent_key[48];
    uint64_t epoch, stream;
};

struct run_stream {
    struct run_stream_id id;
    struct dp_stream_key key;
    struct run_capture *capture;
    struct run_agent *agent;
    bool opening;       /* the store has not told the watermark yet */
    uint64_t received;  /* highest number taken in */
    uint64_t fed;       /* highest number given to the engine */
    uint64_t committed; /* the watermark */
    uint64_t resumed;   /* the number that was last asked for, so that a gap is told once */
    bool refused;       /* there was no room for the batch after `received`: asked for again once there is */
    bool has_closed;
    uint64_t closed;
    UT_hash_handle hh; /* run->streams, by id */
};

struct run_vantage {
    struct dp_store_vantage row;
    int engine; /* number in the engine; -1: takes no part */
    bool answered, ready, started, ended, lost;
    bool over;      /* the engine knows that it ended */
    uint64_t epoch; /* of the agent when it was prepared */
    uint64_t heard_ms, ended_ms;
    char reason[16]; /* why it ended */
    struct run_stream *stream;
};

enum run_phase {
    PHASE_STORING,   /* the row is on its way into the database */
    PHASE_PREPARING, /* waiting for CaptureReady */
    PHASE_RUNNING,
    PHASE_RECOVERING, /* the collector restarted, or data came late: taking in what is left, no engine yet */
    PHASE_READING,    /* ... feeding the engine from the database */
    PHASE_FINISHING,  /* the engine draws the verdict */
    PHASE_SAVING,     /* the document is on its way into the database */
    PHASE_OVER,
};

struct run_capture {
    struct dp_run *run;
    char id[64], path[64];
    char *filter;
    uint32_t duration_ms, snaplen;
    uint64_t max_packets;
    bool partial, cancelled;
    enum run_phase phase;
    int64_t started_ns;
    uint64_t phase_ms; /* when the phase began, uv_now */
    uint64_t stop_ms;  /* when all were asked to stop; 0 not yet */
    uint64_t heard_ms; /* of any of its streams or states */
    struct run_vantage vantages[MAX_VANTAGES];
    size_t vantage_count, engine_count;
    struct dp_engine *engine;
    uint64_t read_number;          /* PHASE_READING: the last batch of the last page */
    size_t page_batches;           /* how many it had */
    size_t reading;                /* batches read that the engine has not eaten yet */
    bool page_due;                 /* the next page is to be read once there are few of them */
    json_t *problems;              /* array of sentences */
    char *document_text;           /* once the verdict stands */
    struct dp_peer *operator_peer; /* who waits for it; NULL: nobody */
    uint64_t request;
    unsigned holds;    /* jobs that will call back with this capture */
    UT_hash_handle hh; /* run->captures, by id */
};

struct run_export;
struct run_probe;
struct probe_stream;

/* Someone who waits for an answer that the database must give first. */
struct run_asker {
    struct dp_run *run;
    struct dp_peer *peer; /* NULL: gone meanwhile */
    uint64_t request;
    char text[512]; /* the answer when it goes well */
    struct run_asker *prev, *next;
};

struct dp_run {
    uv_loop_t *loop;
    struct dp_store *store;
    struct dp_link *link;
    uv_timer_t timer;
    const struct dp_log *log;
    struct dp_run_events events;
    struct dp_keypair keys;
    char *bind, *operators_directory;
    char local_operator[DP_KEY_Z85];
    struct run_agent *agents;
    struct run_path *paths;
    struct run_capture *captures;
    struct run_stream *streams;
    struct run_export *exports;
    struct run_probe *probes;
    struct probe_stream *probe_streams;
    struct run_asker *askers;
    char (*operators)[DP_KEY_Z85];
    size_t operator_count;
    uint64_t operators_read_ms;
    uint64_t outstanding;
    double pending_tokens;
    uint64_t pending_ms;
    int loads; /* of the start, still open */
    int load_code;
    char load_text[256];
    bool closing;
};

/* run.c */
int64_t run_now_ns(void);
/* Sorts by time and is not guessed twice: 20260102-150405-9f3a. */
void run_make_id(char id[64]);
void run_send(struct dp_run *run, struct dp_peer *peer, uint64_t request, Droppoint__Envelope *envelope);
void run_result(struct dp_run *run, struct dp_peer *peer, uint64_t request, int code, const char *format, ...)
    DP_PRINTF(5, 6);
void run_refuse(struct dp_run *run, struct dp_peer *peer, const char *reason, const char *text);
struct run_asker *run_asker_new(struct dp_run *run, struct dp_peer *peer,
                                uint64_t request); /* NULL: answered */
/* Sends a Result unless the asker is gone; text NULL or empty: the code's sentence. Frees it. */
void run_asker_answer(struct run_asker *asker, int code, const char *text);
void run_asker_free(struct run_asker *asker);
void run_loaded(struct dp_run *run, int code, const char *text); /* one load of the start is back */

/* agents.c */
void run_agents_load(struct dp_run *run);
enum dp_peer_role run_agents_who(struct dp_run *run, const char *key, const char *address);
void run_agent_hello(struct dp_run *run, struct dp_peer *peer, const Droppoint__AgentHello *hello);
void run_agent_gone(struct dp_run *run, struct dp_peer *peer);
void run_agent_clock(struct dp_run *run, struct dp_peer *peer);
struct run_agent *run_agent_named(struct dp_run *run, const char *name); /* approved ones */
struct run_agent *run_agent_keyed(struct dp_run *run, const char *key);
void run_agents_list(struct dp_run *run, struct dp_peer *peer, uint64_t request);
void run_agent_approve(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                       const Droppoint__AgentApprove *ask);
void run_agent_revoke(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                      const Droppoint__AgentRevoke *ask);
void run_agents_free(struct dp_run *run);

/* operators.c */
bool run_is_operator(struct dp_run *run, const char *key);
void run_operator_message(struct dp_run *run, struct dp_peer *peer, const Droppoint__Envelope *envelope);

/* paths.c */
void run_paths_load(struct dp_run *run);
struct run_path *run_path_named(struct dp_run *run, const char *name);
void run_path_set(struct dp_run *run, struct dp_peer *peer, uint64_t request, const Droppoint__PathSet *ask);
void run_path_remove(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                     const Droppoint__PathRemove *ask);
void run_paths_list(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *name);
void run_paths_free(struct dp_run *run);

/* captures.c */
void run_capture_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                     const Droppoint__CaptureRun *ask);
void run_capture_ready(struct dp_run *run, struct run_agent *agent, const Droppoint__CaptureReady *ready);
void run_capture_cancel(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id);
void run_capture_start_now(struct run_capture *capture); /* all are ready */

/* capture_state.c */
void run_capture_state(struct dp_run *run, struct run_agent *agent, const Droppoint__CaptureState *state);
void run_capture_tick(struct run_capture *capture);
void run_capture_stop_agents(struct run_capture *capture, const char *reason);
void run_capture_progress(struct run_capture *capture);
void run_captures_agent_gone(struct dp_run *run, struct run_agent *agent);
void run_captures_agent_back(struct dp_run *run, struct run_agent *agent);
void run_captures_operator_gone(struct dp_run *run, const struct dp_peer *peer);

/* capture_end.c */
void run_capture_check_end(struct run_capture *capture); /* finishes it when all is in */
void run_capture_finish(struct run_capture *capture);
/* Tells the engine the clocks as they were measured last: a point without packets has no other. */
void run_capture_clocks(struct run_capture *capture);
void run_capture_fail(struct run_capture *capture, int code, const char *format, ...) DP_PRINTF(3, 4);
void run_capture_problem(struct run_capture *capture, const char *format, ...) DP_PRINTF(2, 3);
void run_capture_verdict(void *context, int code, const char *text, json_t *document);

/* capture_table.c */
struct run_capture *run_capture_new(struct dp_run *run, const char *id);
struct run_capture *run_capture_find(struct dp_run *run, const char *id);
void run_capture_release(struct run_capture *capture); /* ends a hold; frees it once it is over */
void run_capture_over(struct run_capture *capture);
struct run_vantage *run_capture_vantage(struct run_capture *capture, const char *vantage);
void run_capture_set_phase(struct run_capture *capture, enum run_phase phase);
int run_capture_engine(struct run_capture *capture, struct dp_diag *diag) DP_MUST_CHECK;
void run_vantage_save(struct run_capture *capture, const struct run_vantage *vantage);
void run_captures_free(struct dp_run *run);

/* recover.c */
void run_captures_load(struct dp_run *run);
void run_recover_for(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open);
void run_recover_tick(struct run_capture *capture);
void run_recover_check(struct run_capture *capture);
void run_recover_eaten(struct run_capture *capture); /* the engine is done with a batch that was read back */

/* streams.c */
void run_stream_open(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open);
void run_stream_data(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamData *data);
void run_stream_close(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamClose *close);
void run_stream_unwanted(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream);
/* For a stream of a capture that is over: everything up to `last` is stored, and that is all of it. */
void run_stream_settled(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t number,
                        uint64_t last);
struct run_stream *run_stream_add(struct run_capture *capture, struct run_vantage *vantage,
                                  struct run_agent *agent, uint64_t epoch, uint64_t number);
void run_stream_free(struct run_stream *stream);
void run_stream_eaten(void *context, void *tag); /* the engine is done with a batch; tag NULL: a stored one */
void run_streams_tick(struct dp_run *run);       /* asks again for what there was no room for */
/* The small messages of a stream's road. */
struct run_stream_id run_stream_id_of(const struct run_agent *agent, uint64_t epoch, uint64_t number);
void run_stream_ask_from(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream,
                         uint64_t next);
void run_stream_acknowledge(struct dp_run *run, struct run_agent *agent, uint64_t epoch, uint64_t stream,
                            uint64_t number);
void run_stream_credit(struct dp_run *run, struct run_agent *agent, uint64_t bytes);
uint64_t run_credit_for(const struct dp_run *run, const struct run_agent *agent);

/* probes.c, probe_end.c */
void run_probe_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                   const Droppoint__ProbeRun *ask);
void run_probe_ready(struct dp_run *run, struct run_agent *agent, const Droppoint__ProbeReady *ready);
void run_probe_cancel(struct dp_run *run, const char *id);
void run_probes_agent_gone(struct dp_run *run, const struct run_agent *agent);
void run_probes_agent_back(struct dp_run *run, const struct run_agent *agent);
void run_probes_operator_gone(struct dp_run *run, const struct dp_peer *peer);
void run_probes_tick(struct dp_run *run);
void run_probes_free(struct dp_run *run);

/* probe_history.c */
void run_probe_list(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const Droppoint__ProbeListRequest *ask);
void run_probe_show(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id);

/* probe_streams.c: streams of probes' records. data and close: false where the stream is none of these. */
void run_probe_stream_open(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open);
bool run_probe_stream_data(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamData *data);
bool run_probe_stream_close(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamClose *close);
void run_probe_streams_tick(struct dp_run *run);
void run_probe_streams_free(struct dp_run *run);

/* exports.c */
void run_export_ask(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                    const Droppoint__CaptureExport *ask);
void run_export_chunk(struct dp_run *run, struct run_agent *agent, const Droppoint__ExportChunk *chunk);
void run_export_credit(struct dp_run *run, struct dp_peer *peer, const Droppoint__ExportCredit *credit);
void run_exports_gone(struct dp_run *run, const struct dp_peer *operator_peer, const struct run_agent *agent);
void run_exports_tick(struct dp_run *run);
void run_exports_free(struct dp_run *run);

#endif
