#include "collector/run/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "collector/report/report_out.h"

#define SETTLE_NS 400000000U
#define BATCH_NS 2000000000 /* more than lies between the end of one batch and that of the next */

struct task {
    struct task *next;
    enum { TASK_FEED, TASK_HINT, TASK_WINDOW, TASK_OVER, TASK_FINISH } kind;
    uint32_t vantage;
    const uint8_t *bytes;
    size_t len;
    void *tag;
    uint8_t *copy; /* the task's own bytes, or NULL */
    int64_t offset_ns, error_ns, start_ns;
    struct dp_engine_end ends[]; /* one of an over, all of a finish */
};

struct tasks {
    struct task *head, **tail;
};

struct dp_engine {
    struct dp_engine_events events;
    size_t vantage_count;
    /* the thread's own */
    struct dp_locate *locate;
    struct dp_batch batch;
    uint64_t settled_ns;                      /* when the engine last settled what was complete, uv_hrtime */
    int64_t first_ns[DP_LOCATE_MAX_VANTAGES]; /* the first packet; 0: none yet */
    int64_t last_ns[DP_LOCATE_MAX_VANTAGES];  /* its data is complete until here; 0: not told yet */
    bool over[DP_LOCATE_MAX_VANTAGES];        /* its end was told before the finish */

    uv_thread_t thread;
    uv_async_t async;
    uv_mutex_t mutex; /* guards all below */
    uv_cond_t wake;
    struct tasks waiting, eaten;
    struct dp_engine_progress progress;
    bool closing, has_verdict;
    int code;
    struct dp_diag diag;
    json_t *document;
};

static void tasks_init(struct tasks *tasks)
{
    tasks->head = NULL;
    tasks->tail = &tasks->head;
}

static void tasks_add(struct tasks *tasks, struct task *task)
{
    task->next = NULL;
    *tasks->tail = task;
    tasks->tail = &task->next;
}

static struct task *tasks_take(struct tasks *tasks)
{
    struct task *task = tasks->head;
    if (task != NULL) {
        tasks->head = task->next;
        if (tasks->head == NULL)
            tasks->tail = &tasks->head;
    }
    return task;
}

/* --- the thread's side --- */

static void note_bad(struct dp_engine *engine, uint32_t vantage, const char *text)
{
    uv_mutex_lock(&engine->mutex);
    engine->progress.bad_batches[vantage]++;
    snprintf(engine->progress.bad_text, sizeof engine->progress.bad_text, "%s", text);
    uv_mutex_unlock(&engine->mutex);
}

static void note_times(struct dp_engine *engine, uint32_t vantage)
{
    const struct dp_batch *batch = &engine->batch;
    for (size_t i = 0; i < batch->digest_count; i++) {
        int64_t ts = batch->digests[i].ts_ns;
        if (engine->first_ns[vantage] == 0 || ts < engine->first_ns[vantage])
            engine->first_ns[vantage] = ts;
        if (ts > engine->last_ns[vantage])
            engine->last_ns[vantage] = ts;
    }
    if (batch->complete_ns > engine->last_ns[vantage])
        engine->last_ns[vantage] = batch->complete_ns;
}

/* A batch that can't be used must not look like the network's loss: a gap stands for it. */
static void feed_gap(struct dp_engine *engine, uint32_t vantage, int64_t from_ns, int64_t to_ns,
                     uint64_t packets)
{
    dp_batch_clear(&engine->batch);
    int code = dp_batch_add_gap(&engine->batch, from_ns, to_ns, packets);
    if (code == DP_OK)
        code = dp_locate_feed(engine->locate, vantage, &engine->batch);
    if (code != DP_OK)
        note_bad(engine, vantage, dp_err_sentence(code));
}

/* Settling looks at every flow: not with each batch, but often enough for the live line. */
static void settle_now_and_then(struct dp_engine *engine, uint32_t vantage)
{
    uint64_t now_ns = uv_hrtime();
    if (now_ns - engine->settled_ns > SETTLE_NS) {
        engine->settled_ns = now_ns;
        int code = dp_locate_settle(engine->locate);
        if (code != DP_OK)
            note_bad(engine, vantage, dp_err_sentence(code));
    }
    struct dp_locate_progress progress = {{0}, 0, 0};
    dp_locate_progress(engine->locate, &progress);
    uv_mutex_lock(&engine->mutex);
    engine->progress.locate = progress;
    uv_mutex_unlock(&engine->mutex);
}

static void feed(struct dp_engine *engine, const struct task *task)
{
    struct dp_diag diag = {""};
    int code = dp_batch_decode(task->bytes, task->len, &engine->batch, &diag);
    if (code == DP_OK) {
        note_times(engine, task->vantage);
        code = dp_locate_feed(engine->locate, task->vantage, &engine->batch);
    }
    if (code != DP_OK) {
        note_bad(engine, task->vantage, dp_reason(&diag, code));
        feed_gap(engine, task->vantage, engine->last_ns[task->vantage],
                 engine->last_ns[task->vantage] + BATCH_NS, 0);
    } else if (engine->batch.complete_ns != 0) { /* after its digests and gaps, which it is about */
        dp_locate_advance(engine->locate, task->vantage, engine->batch.complete_ns);
    }
    settle_now_and_then(engine, task->vantage);
}

static int64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The last that is known of its clock holds for all of it. */
static void apply_clock(struct dp_engine *engine, uint32_t vantage, const struct dp_engine_end *end)
{
    if (end->has_clock)
        dp_locate_clock_hint(engine->locate, vantage, end->offset_ns, end->error_ns);
}

static void apply_end(struct dp_engine *engine, uint32_t vantage, const struct dp_engine_end *end)
{
    const int64_t hour = (int64_t)3600 * 1000000000;
    bool any = engine->last_ns[vantage] != 0;
    int64_t start = end->start_ns != 0 ? end->start_ns : engine->first_ns[vantage];
    if (end->lost && (!any || start == 0)) {
        /* Nothing is known of what it saw, at any time. */
        int64_t from = start != 0 ? start : realtime_ns() - 24 * hour;
        feed_gap(engine, vantage, from, realtime_ns() + hour, 0);
    } else if (end->lost) {
        dp_locate_window(engine->locate, vantage, start, engine->last_ns[vantage]);
    } else if (start != 0 && (end->end_ns != 0 || any)) {
        dp_locate_window(engine->locate, vantage, start,
                         end->end_ns != 0 ? end->end_ns : engine->last_ns[vantage]);
    }
    if (end->has_dropped)
        dp_locate_capture_dropped(engine->locate, vantage, end->dropped);
}

/* One point's capture is over while others go on: nobody waits for it any more. */
static void over(struct dp_engine *engine, const struct task *task)
{
    if (engine->over[task->vantage])
        return;
    engine->over[task->vantage] = true;
    apply_clock(engine, task->vantage, &task->ends[0]);
    apply_end(engine, task->vantage, &task->ends[0]);
    dp_locate_advance(engine->locate, task->vantage, INT64_MAX);
    settle_now_and_then(engine, task->vantage);
}

static void finish(struct dp_engine *engine, const struct task *task)
{
    for (uint32_t v = 0; v < engine->vantage_count; v++) {
        apply_clock(engine, v, &task->ends[v]);
        if (!engine->over[v])
            apply_end(engine, v, &task->ends[v]);
    }
    struct dp_report *report = NULL;
    json_t *document = NULL;
    int code = dp_locate_finish(engine->locate, &report);
    if (code == DP_OK)
        code = dp_report_json(report, &document);
    dp_report_free(report);
    uv_mutex_lock(&engine->mutex);
    engine->code = code;
    engine->document = document;
    engine->has_verdict = true;
    uv_mutex_unlock(&engine->mutex);
}

static void work(struct dp_engine *engine, struct task *task)
{
    if (task->kind == TASK_FEED)
        feed(engine, task);
    else if (task->kind == TASK_HINT)
        dp_locate_clock_hint(engine->locate, task->vantage, task->offset_ns, task->error_ns);
    else if (task->kind == TASK_WINDOW)
        dp_locate_window(engine->locate, task->vantage, task->start_ns, DP_LOCATE_STILL_RUNNING);
    else if (task->kind == TASK_OVER)
        over(engine, task);
    else
        finish(engine, task);
}

static void run_thread(void *context)
{
    struct dp_engine *engine = context;
    for (;;) {
        uv_mutex_lock(&engine->mutex);
        while (engine->waiting.head == NULL && !engine->closing)
            uv_cond_wait(&engine->wake, &engine->mutex);
        bool over = engine->closing;
        struct task *task = over ? NULL : tasks_take(&engine->waiting);
        uv_mutex_unlock(&engine->mutex);
        if (over)
            return;
        work(engine, task);
        uv_mutex_lock(&engine->mutex);
        tasks_add(&engine->eaten, task);
        uv_mutex_unlock(&engine->mutex);
        uv_async_send(&engine->async);
    }
}

/* --- the loop's side --- */

static void give_back(struct dp_engine *engine, struct task *task)
{
    if (task->kind == TASK_FEED)
        engine->events.eaten(engine->events.context, task->tag);
    free(task->copy);
    free(task);
}

static void on_async(uv_async_t *async)
{
    struct dp_engine *engine = async->data;
    uv_mutex_lock(&engine->mutex);
    struct tasks eaten = engine->eaten;
    if (eaten.head == NULL)
        eaten.tail = &eaten.head;
    tasks_init(&engine->eaten);
    bool verdict = engine->has_verdict;
    engine->has_verdict = false;
    json_t *document = engine->document;
    if (verdict)
        engine->document = NULL;
    uv_mutex_unlock(&engine->mutex);
    while (eaten.head != NULL) {
        struct task *task = eaten.head;
        eaten.head = task->next;
        give_back(engine, task);
    }
    if (verdict)
        engine->events.verdict(engine->events.context, engine->code, dp_reason(&engine->diag, engine->code),
                               document);
}

static int add(struct dp_engine *engine, struct task *task)
{
    if (task == NULL)
        return DP_ERR_NOMEM;
    uv_mutex_lock(&engine->mutex);
    tasks_add(&engine->waiting, task);
    uv_cond_signal(&engine->wake);
    uv_mutex_unlock(&engine->mutex);
    return DP_OK;
}

int dp_engine_feed(struct dp_engine *engine, uint32_t vantage, const uint8_t *bytes, size_t len, void *tag)
{
    struct task *task = calloc(1, sizeof *task);
    if (task != NULL)
        *task = (struct task){.kind = TASK_FEED, .vantage = vantage, .bytes = bytes, .len = len, .tag = tag};
    return add(engine, task);
}

int dp_engine_feed_copy(struct dp_engine *engine, uint32_t vantage, const uint8_t *bytes, size_t len)
{
    struct task *task = calloc(1, sizeof *task);
    uint8_t *copy = malloc(len + 1);
    if (task == NULL || copy == NULL) {
        free(task);
        free(copy);
        return DP_ERR_NOMEM;
    }
    memcpy(copy, bytes, len);
    *task = (struct task){.kind = TASK_FEED, .vantage = vantage, .bytes = copy, .len = len, .copy = copy};
    return add(engine, task);
}

int dp_engine_clock_hint(struct dp_engine *engine, uint32_t vantage, int64_t offset_ns, int64_t error_ns)
{
    struct task *task = calloc(1, sizeof *task);
    if (task != NULL)
        *task = (struct task){
            .kind = TASK_HINT, .vantage = vantage, .offset_ns = offset_ns, .error_ns = error_ns};
    return add(engine, task);
}

int dp_engine_started(struct dp_engine *engine, uint32_t vantage, int64_t start_ns)
{
    struct task *task = calloc(1, sizeof *task);
    if (task != NULL)
        *task = (struct task){.kind = TASK_WINDOW, .vantage = vantage, .start_ns = start_ns};
    return add(engine, task);
}

int dp_engine_over(struct dp_engine *engine, uint32_t vantage, const struct dp_engine_end *end)
{
    struct task *task = calloc(1, sizeof *task + sizeof *end);
    if (task != NULL) {
        task->kind = TASK_OVER;
        task->vantage = vantage;
        task->ends[0] = *end;
    }
    return add(engine, task);
}

int dp_engine_finish(struct dp_engine *engine, const struct dp_engine_end *ends)
{
    size_t bytes = engine->vantage_count * sizeof *ends;
    struct task *task = calloc(1, sizeof *task + bytes);
    if (task != NULL) {
        task->kind = TASK_FINISH;
        memcpy(task->ends, ends, bytes);
    }
    return add(engine, task);
}

void dp_engine_progress(struct dp_engine *engine, struct dp_engine_progress *ret_progress)
{
    uv_mutex_lock(&engine->mutex);
    *ret_progress = engine->progress;
    uv_mutex_unlock(&engine->mutex);
}

static void free_engine(struct dp_engine *engine)
{
    dp_locate_free(engine->locate);
    dp_batch_free(&engine->batch);
    json_decref(engine->document);
    uv_cond_destroy(&engine->wake);
    uv_mutex_destroy(&engine->mutex);
    free(engine);
}

static void on_closed(uv_handle_t *handle)
{
    free_engine(handle->data);
}

int dp_engine_open(uv_loop_t *loop, const char *const *names, size_t count,
                   const struct dp_engine_events *events, struct dp_engine **ret_engine, struct dp_diag *diag)
{
    struct dp_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    engine->events = *events;
    engine->vantage_count = count;
    tasks_init(&engine->waiting);
    tasks_init(&engine->eaten);
    struct dp_locate_options options = {.no_clock_correction = false};
    if (getrandom(&options.table_seed, sizeof options.table_seed, 0) != (ssize_t)sizeof options.table_seed)
        options.table_seed = uv_hrtime();
    int code = dp_locate_new(names, count, &options, &engine->locate);
    if (code != DP_OK) {
        free(engine);
        return dp_fail(diag, code, "%s", dp_err_sentence(code));
    }
    if (uv_mutex_init(&engine->mutex) != 0 || uv_cond_init(&engine->wake) != 0 ||
        uv_async_init(loop, &engine->async, on_async) != 0)
        abort(); /* these only fail for want of memory that was just there */
    engine->async.data = engine;
    if (uv_thread_create(&engine->thread, run_thread, engine) != 0) {
        uv_close((uv_handle_t *)&engine->async, on_closed);
        return dp_fail(diag, DP_ERR_NOMEM, "The engine's thread could not be started.");
    }
    *ret_engine = engine;
    return DP_OK;
}

void dp_engine_close(struct dp_engine *engine)
{
    if (engine == NULL)
        return;
    uv_mutex_lock(&engine->mutex);
    engine->closing = true;
    uv_cond_signal(&engine->wake);
    uv_mutex_unlock(&engine->mutex);
    uv_thread_join(&engine->thread);
    for (struct task *task = tasks_take(&engine->eaten); task != NULL; task = tasks_take(&engine->eaten))
        give_back(engine, task);
    for (struct task *task = tasks_take(&engine->waiting); task != NULL; task = tasks_take(&engine->waiting))
        give_back(engine, task);
    uv_close((uv_handle_t *)&engine->async, on_closed);
}
