#include "collector/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/migrate.h"
#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

#define MAX_JOBS 100000
#define MAX_BATCHES 80000 /* jobs beyond this number are none of batches: a verdict must always get in */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define CLOSE_WAIT_NS (5 * (uint64_t)1000000000)

struct queue {
    struct dp_job *head, **tail;
    size_t count;
};

struct dp_store {
    char *conninfo;
    struct dp_store_options options;
    PGconn *connection; /* the thread's own; NULL while there is none */

    uv_thread_t thread;
    uv_mutex_t mutex; /* guards all below */
    uv_cond_t wake;
    struct queue waiting, finished;
    size_t pending; /* waiting, running or finished and not yet called back */
    bool closing;
    uint64_t close_deadline; /* uv_hrtime */
    bool up, up_changed;
    char down_text[512];

    uv_async_t async;
};

static void queue_init(struct queue *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
    queue->count = 0;
}

static void queue_add(struct queue *queue, struct dp_job *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
    queue->count++;
}

static struct dp_job *queue_take(struct queue *queue)
{
    struct dp_job *job = queue->head;
    queue->head = job->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    queue->count--;
    return job;
}

/* --- the loop's side --- */

static void call_back_finished(struct dp_store *store)
{
    for (;;) {
        uv_mutex_lock(&store->mutex);
        struct dp_job *job = store->finished.count > 0 ? queue_take(&store->finished) : NULL;
        uv_mutex_unlock(&store->mutex);
        if (job == NULL)
            return;
        job->finish(job);
        uv_mutex_lock(&store->mutex);
        store->pending--;
        uv_mutex_unlock(&store->mutex);
    }
}

static void on_async(uv_async_t *async)
{
    struct dp_store *store = async->data;
    uv_mutex_lock(&store->mutex);
    bool changed = store->up_changed, up = store->up;
    char text[sizeof store->down_text];
    memcpy(text, store->down_text, sizeof text);
    store->up_changed = false;
    uv_mutex_unlock(&store->mutex);
    if (changed && store->options.availability != NULL)
        store->options.availability(store->options.context, up, text);
    call_back_finished(store);
}

int dp_store_submit(struct dp_store *store, struct dp_job *job)
{
    uv_mutex_lock(&store->mutex);
    bool refused = store->closing || store->pending >= (job->work == NULL ? MAX_BATCHES : MAX_JOBS);
    if (!refused) {
        queue_add(&store->waiting, job);
        store->pending++;
        uv_cond_signal(&store->wake);
    }
    uv_mutex_unlock(&store->mutex);
    return refused ? DP_ERR_FULL : DP_OK;
}

size_t dp_store_pending(const struct dp_store *store)
{
    struct dp_store *own = (struct dp_store *)store; /* only the mutex is written */
    uv_mutex_lock(&own->mutex);
    size_t pending = own->pending;
    uv_mutex_unlock(&own->mutex);
    return pending;
}

/* --- the thread's side --- */

static void tell_availability(struct dp_store *store, bool up, const char *text)
{
    uv_mutex_lock(&store->mutex);
    bool changed = store->up != up;
    if (changed) {
        store->up = up;
        store->up_changed = true;
        snprintf(store->down_text, sizeof store->down_text, "%s", text);
    }
    uv_mutex_unlock(&store->mutex);
    if (changed)
        uv_async_send(&store->async);
}

static int connect_once(struct dp_store *store, struct dp_diag *diag)
{
    if (store->options.before_connect != NULL) {
        int code = store->options.before_connect(store->options.before_context, diag);
        if (code != DP_OK)
            return code;
    }
    PGconn *connection = NULL;
    int code = dp_pg_connect(store->conninfo, &connection, diag);
    if (code == DP_OK)
        code = dp_migrate(connection, diag);
    if (code == DP_OK)
        code = dp_pg_prepare_statements(connection, diag);
    if (code != DP_OK) {
        PQfinish(connection);
        return code;
    }
    store->connection = connection;
    return DP_OK;
}

/* Waits between two attempts. False when the store closes and its time is up. */
static bool pause_ms(struct dp_store *store, uint64_t ms)
{
    uint64_t until = uv_hrtime() + ms * 1000000;
    bool go_on = true;
    uv_mutex_lock(&store->mutex);
    for (uint64_t now = uv_hrtime(); now < until; now = uv_hrtime()) {
        if (store->closing && now >= store->close_deadline) {
            go_on = false;
            break;
        }
        uv_cond_timedwait(&store->wake, &store->mutex, store->closing ? 10000000 : until - now);
    }
    uv_mutex_unlock(&store->mutex);
    return go_on;
}

/* Runs `attempt` until it says something else than "try again"; connects as needed. False when closed first.
 */
static bool insist(struct dp_store *store,
                   int (*attempt)(struct dp_store *store, void *what, struct dp_diag *diag), void *what)
{
    uint64_t backoff = BACKOFF_FIRST_MS;
    for (;;) {
        struct dp_diag diag = {""};
        int code = DP_OK;
        if (store->connection == NULL)
            code = connect_once(store, &diag);
        if (code == DP_OK) {
            code = attempt(store, what, &diag);
            if (code == DP_OK) {
                tell_availability(store, true, "");
                return true;
            }
            dp_pg_rollback(store->connection);
        }
        tell_availability(store, false, dp_reason(&diag, code));
        /* A fresh connection also clears whatever state the failure left behind. */
        PQfinish(store->connection);
        store->connection = NULL;
        if (!pause_ms(store, backoff))
            return false;
        backoff = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
    }
}

struct group {
    struct dp_job *jobs[DP_GROUP_MAX];
    size_t count;
};

static int attempt_group(struct dp_store *store, void *what, struct dp_diag *diag)
{
    struct group *group = what;
    return dp_batches_commit(store->connection, group->jobs, group->count, diag);
}

/* A job's own failure is its caller's; only "unavailable" is tried again. */
static int attempt_job(struct dp_store *store, void *what, struct dp_diag *diag)
{
    struct dp_job *job = what;
    struct dp_diag own = {""};
    int code = job->work(store->connection, job, &own);
    if (code == DP_ERR_UNAVAILABLE || PQstatus(store->connection) != CONNECTION_OK)
        return dp_fail(diag, DP_ERR_UNAVAILABLE, "%s", dp_reason(&own, DP_ERR_UNAVAILABLE));
    dp_pg_rollback(store->connection);
    job->code = code;
    job->diag = own;
    return DP_OK;
}

static void hand_back(struct dp_store *store, struct group *group, bool done)
{
    uv_mutex_lock(&store->mutex);
    for (size_t i = 0; i < group->count; i++) {
        if (!done)
            group->jobs[i]->code = DP_ERR_UNAVAILABLE;
        queue_add(&store->finished, group->jobs[i]);
    }
    uv_mutex_unlock(&store->mutex);
    uv_async_send(&store->async);
}

/* Takes the next job, or as many batches as follow each other. False: closing, and nothing is left. */
static bool take_next(struct dp_store *store, struct group *group)
{
    uv_mutex_lock(&store->mutex);
    while (store->waiting.count == 0 && !store->closing)
        uv_cond_wait(&store->wake, &store->mutex);
    bool any = store->waiting.count > 0;
    if (any) {
        group->count = store->waiting.head->work != NULL ? (group->jobs[0] = store->waiting.head, (size_t)1)
                                                         : dp_batches_group(store->waiting.head, group->jobs);
        for (size_t i = 0; i < group->count; i++)
            queue_take(&store->waiting);
    }
    uv_mutex_unlock(&store->mutex);
    return any;
}

static void run_thread(void *context)
{
    struct dp_store *store = context;
    struct group *group = malloc(sizeof *group);
    bool alive = group != NULL;
    while (alive && take_next(store, group)) {
        bool done = group->jobs[0]->work != NULL ? insist(store, attempt_job, group->jobs[0])
                                                 : insist(store, attempt_group, group);
        hand_back(store, group, done);
        alive = done;
    }
    free(group);
    PQfinish(store->connection);
    store->connection = NULL;
}

/* --- life --- */

static void free_store(struct dp_store *store)
{
    uv_cond_destroy(&store->wake);
    uv_mutex_destroy(&store->mutex);
    PQfinish(store->connection);
    free(store->conninfo);
    free(store);
}

static int make_store(const struct dp_store_options *options, struct dp_store **ret_store)
{
    struct dp_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return DP_ERR_NOMEM;
    store->options = *options;
    store->conninfo = strdup(options->conninfo);
    if (store->conninfo == NULL || uv_mutex_init(&store->mutex) != 0) {
        free(store->conninfo);
        free(store);
        return DP_ERR_NOMEM;
    }
    if (uv_cond_init(&store->wake) != 0) {
        uv_mutex_destroy(&store->mutex);
        free(store->conninfo);
        free(store);
        return DP_ERR_NOMEM;
    }
    queue_init(&store->waiting);
    queue_init(&store->finished);
    store->up = true;
    *ret_store = store;
    return DP_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free_store(handle->data);
}

int dp_store_open(uv_loop_t *loop, const struct dp_store_options *options, struct dp_store **ret_store,
                  struct dp_diag *diag)
{
    struct dp_store *store = NULL;
    int code = make_store(options, &store);
    if (code != DP_OK)
        return dp_fail(diag, code, "%s", dp_err_sentence(code));
    code = connect_once(store, diag);
    if (code != DP_OK) {
        free_store(store);
        return code;
    }
    if (uv_async_init(loop, &store->async, on_async) != 0) {
        free_store(store);
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
    store->async.data = store;
    if (uv_thread_create(&store->thread, run_thread, store) != 0) {
        uv_close((uv_handle_t *)&store->async, on_closed);
        return dp_fail(diag, DP_ERR_NOMEM, "The store's thread could not be started.");
    }
    *ret_store = store;
    return DP_OK;
}

void dp_store_close(struct dp_store *store)
{
    if (store == NULL)
        return;
    uv_mutex_lock(&store->mutex);
    store->closing = true;
    store->close_deadline = uv_hrtime() + CLOSE_WAIT_NS;
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->mutex);
    uv_thread_join(&store->thread);
    while (store->waiting.count > 0) { /* the thread is gone: no lock needed, and finish() may take it */
        struct dp_job *job = queue_take(&store->waiting);
        job->code = DP_ERR_UNAVAILABLE;
        queue_add(&store->finished, job);
    }
    call_back_finished(store);
    uv_close((uv_handle_t *)&store->async, on_closed);
}

int dp_store_transaction(PGconn *connection, struct dp_job *job,
                         int (*body)(PGconn *connection, struct dp_job *job, struct dp_diag *diag),
                         struct dp_diag *diag)
{
    int code = dp_pg_command(connection, "BEGIN", diag);
    if (code == DP_OK)
        code = body(connection, job, diag);
    if (code == DP_OK)
        return dp_pg_command(connection, "COMMIT", diag);
    dp_pg_rollback(connection);
    return code;
}
