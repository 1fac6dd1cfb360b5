/* What the collector keeps, in PostgreSQL. One thread owns the connection; jobs go in from the event loop and
 * come back to it. A database that is gone makes jobs wait, never fail: they are done once it is back. Every
 * job may be run twice without harm (the answer to a COMMIT can get lost), so nothing is stored twice.
 *
 * All dp_store_* calls with a `done` come from the loop's thread; `done` is called there, once, never before
 * the call returned 0. Pointers given to done() live until it returns. Names and texts are copied by the
 * call. They return DP_ERR_NOMEM, or DP_ERR_FULL when too many jobs wait: 80,000 for a batch, 100,000 for
 * the rest. done() gets DP_OK, DP_ERR_DATABASE (text has PostgreSQL's words), DP_ERR_UNAVAILABLE when the
 * store is closed first, or what the call's comment says. */
#ifndef DROPPOINT_COLLECTOR_STORE_STORE_H
#define DROPPOINT_COLLECTOR_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err/err.h"

struct dp_store;

struct dp_store_options {
    const char *conninfo; /* as libpq takes it; copied */
    /* Called before each attempt to connect, by the store's own thread: the place to start a private server.
     * May be NULL. */
    int (*before_connect)(void *context, struct dp_diag *diag);
    void *before_context;
    /* The database went away (up false, why in text) or came back. On the loop; may be NULL. */
    void (*availability)(void *context, bool up, const char *text);
    void *context;
};

/* Connects, migrates the schema, starts the thread. Blocks. DP_ERR_UNAVAILABLE (worth another try),
 * DP_ERR_UNSUPPORTED (newer schema), DP_ERR_DATABASE, DP_ERR_NOMEM. */
int dp_store_open(uv_loop_t *loop, const struct dp_store_options *options, struct dp_store **ret_store,
                  struct dp_diag *diag) DP_MUST_CHECK;

/* Does what is queued if the database answers, at most for a few seconds, and ends the thread. All open jobs
 * are called back before it returns. The loop must run once more to close the handle, which frees the store.
 */
void dp_store_close(struct dp_store *store);

/* Jobs that wait or run. */
size_t dp_store_pending(const struct dp_store *store);

typedef void dp_store_done(void *context, int code, const char *text);

/* --- agents and paths --- */

enum dp_agent_state { DP_AGENT_PENDING, DP_AGENT_APPROVED, DP_AGENT_REVOKED };

struct dp_store_agent {
    char key[48]; /* Z85 */
    char fingerprint[48];
    char name[64];
    enum dp_agent_state state;
    int64_t first_seen_ns, last_seen_ns;
    char address[64];
    char software[64];
};

typedef void dp_store_agents_done(void *context, int code, const char *text,
                                  const struct dp_store_agent *agents, size_t count);
int dp_store_agents(struct dp_store *store, dp_store_agents_done *done, void *context) DP_MUST_CHECK;
/* Stores the whole row. DP_ERR_EXISTS: another approved agent has the name. */
int dp_store_agent_put(struct dp_store *store, const struct dp_store_agent *agent, dp_store_done *done,
                       void *context) DP_MUST_CHECK;
int dp_store_agent_delete(struct dp_store *store, const char *key, dp_store_done *done,
                          void *context) DP_MUST_CHECK;
/* One measurement of an agent's clock. Old ones go after 30 days. */
int dp_store_clock_sample(struct dp_store *store, const char *agent_key, int64_t at_ns, int64_t offset_ns,
                          int64_t error_ns) DP_MUST_CHECK;

struct dp_store_path {
    char name[64];
    char **vantages;
    size_t vantage_count;
};

typedef void dp_store_paths_done(void *context, int code, const char *text, const struct dp_store_path *paths,
                                 size_t count);
int dp_store_paths(struct dp_store *store, dp_store_paths_done *done, void *context) DP_MUST_CHECK;
int dp_store_path_put(struct dp_store *store, const char *name, const char *const *vantages, size_t count,
                      dp_store_done *done, void *context) DP_MUST_CHECK;
int dp_store_path_delete(struct dp_store *store, const char *name, dp_store_done *done,
                         void *context) DP_MUST_CHECK;

/* --- captures --- */

struct dp_store_vantage {
    int position;
    char vantage[96];
    char agent_key[48];
    bool taking_part;
    char state[16];
    char text[256];
    uint64_t packets, kernel_dropped;
    int64_t started_ns, ended_ns;
    int64_t clock_offset_ns, clock_error_ns;
};

/* A stream's name inside its capture. */
struct dp_stream_key {
    char capture_id[64];
    int position; /* of the vantage point */
    uint64_t epoch, stream;
};

struct dp_store_stream {
    struct dp_stream_key key;
    char agent_key[48];
    uint64_t last;
    bool has_closed;
    uint64_t closed;
};

struct dp_store_capture {
    char id[64];
    char path[64];
    char *filter;
    int64_t started_ns;
    uint32_t duration_ms;
    char state[16];
    char verdict[16];
    char *summary;
    struct dp_store_vantage *vantages; /* in order of position; empty in lists */
    size_t vantage_count;
    struct dp_store_stream *streams;
    size_t stream_count;
};

/* Stores a new running capture with its vantage points. */
int dp_store_capture_add(struct dp_store *store, const struct dp_store_capture *capture, dp_store_done *done,
                         void *context) DP_MUST_CHECK;
/* Moves it to `state`; problem says why where it failed. A capture that is done stays done. */
int dp_store_capture_state(struct dp_store *store, const char *id, const char *state, const char *problem,
                           dp_store_done *done, void *context) DP_MUST_CHECK;
int dp_store_vantage_put(struct dp_store *store, const char *id,
                         const struct dp_store_vantage *vantage) DP_MUST_CHECK;
/* Stores the document and the rows of its flows, segments and findings; the capture is done. */
int dp_store_capture_finish(struct dp_store *store, const char *id, const char *document, dp_store_done *done,
                            void *context) DP_MUST_CHECK;

typedef void dp_store_captures_done(void *context, int code, const char *text,
                                    const struct dp_store_capture *captures, size_t count);
/* The newest `limit`, newest first. */
int dp_store_captures(struct dp_store *store, uint32_t limit, dp_store_captures_done *done,
                      void *context) DP_MUST_CHECK;
/* One capture with vantage points and streams; `id` NULL: all those that are not done and not failed. */
int dp_store_capture_load(struct dp_store *store, const char *id, dp_store_captures_done *done,
                          void *context) DP_MUST_CHECK;

/* text is the document. DP_ERR_NOT_FOUND: no such capture; DP_ERR_END: it has none (yet), text says why. */
int dp_store_document(struct dp_store *store, const char *id, dp_store_done *done,
                      void *context) DP_MUST_CHECK;

/* --- streams --- */

typedef void dp_store_stream_done(void *context, int code, const char *text, uint64_t last, bool has_closed,
                                  uint64_t closed);
/* Makes the stream unless it is there, and tells its watermark. DP_ERR_DENIED: it belongs to another agent.
 */
int dp_store_stream_open(struct dp_store *store, const struct dp_stream_key *key, const char *agent_key,
                         const char *vantage, int kind, dp_store_stream_done *done,
                         void *context) DP_MUST_CHECK;
int dp_store_stream_close(struct dp_store *store, const struct dp_stream_key *key, uint64_t last,
                          dp_store_done *done, void *context) DP_MUST_CHECK;

/* watermark: all of the stream's batches up to it are committed. */
typedef void dp_store_batch_done(void *context, int code, uint64_t watermark);
/* Stores batch `number` of a stream. payload is the caller's and must live until done(). Batches are
 * committed in groups, in the order of the calls. done() gets DP_OK; DP_ERR_DUPLICATE: was there already;
 * DP_ERR_GAP: does not follow on, not stored; DP_ERR_NOT_FOUND: no such stream. */
int dp_store_batch(struct dp_store *store, const struct dp_stream_key *key, uint64_t number, uint32_t records,
                   const uint8_t *payload, size_t len, dp_store_batch_done *done,
                   void *context) DP_MUST_CHECK;

struct dp_store_stored_batch {
    struct dp_stream_key key;
    uint64_t number;
    uint32_t records;
    const uint8_t *payload;
    size_t len;
};
typedef void dp_store_batches_done(void *context, int code, const char *text,
                                   const struct dp_store_stored_batch *batches, size_t count);
/* Reads a capture's batches back, roughly in order of time and each stream in its own order: a page of those
 * numbered above `after`, in order of their numbers; one batch of each stream at least, else about 64 in all.
 * For the next page `after` is the last one's number, for the first it is 0. An empty page is the end. */
int dp_store_batches(struct dp_store *store, const char *id, uint64_t after, dp_store_batches_done *done,
                     void *context) DP_MUST_CHECK;

#endif
