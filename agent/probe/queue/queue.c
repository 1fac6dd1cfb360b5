/* `queue`: what waits in a mail server's queue, for whom, since when and why; and whether the server looks at
 * it at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/probe/kinds.h"
#include "agent/probe/queue/spool.h"

#define UNSEEN_S 60 /* a server that runs takes new mail up at once */

/* Read by a thread of libuv's; outlives the probe where that ends first. */
struct queue_work {
    uv_work_t work;
    struct queue_probe *owner; /* NULL: nobody waits any more */
    char *folder;
    struct spool_sum sum;
    struct dp_diag diag;
    int code;
    atomic_bool stop; /* nobody waits any more */
};

struct queue_probe {
    struct dp_probe *probe;
    struct queue_work *work;
};

static int by_messages(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t m = json_integer_value(json_object_get(x, "messages")),
               n = json_integer_value(json_object_get(y, "messages"));
    return m > n ? -1 : m < n;
}

static json_t *reasons_json(const json_t *reasons)
{
    json_t *list = json_array();
    const char *text;
    json_t *number;
    json_object_foreach((json_t *)(uintptr_t)reasons, text, number)(void)
        json_array_append_new(list, json_pack("{s:s, s:O}", "reason", text, "messages", number));
    return list;
}

/* Domains, those with most messages first. */
static json_t *destinations_json(const json_t *destinations)
{
    size_t count = json_object_size(destinations), at = 0;
    json_t **sorted = calloc(count ? count : 1, sizeof *sorted), *list = json_array(), *entry;
    const char *domain;
    json_object_foreach((json_t *)(uintptr_t)destinations, domain, entry)
    {
        json_t *one =
            json_pack("{s:s, s:O, s:O, s:o}", "domain", domain, "messages",
                      json_object_get(entry, "messages"), "oldest_s", json_object_get(entry, "oldest_s"),
                      "reasons", reasons_json(json_object_get(entry, "reasons")));
        if (sorted && one)
            sorted[at++] = one;
        else
            json_decref(one);
    }
    if (sorted)
        qsort(sorted, at, sizeof *sorted, by_messages);
    for (size_t i = 0; i < at; i++)
        (void)json_array_append_new(list, sorted[i]);
    free(sorted);
    return list;
}

static void describe_age(int64_t seconds, char *text, size_t size)
{
    if (seconds < 120)
        (void)snprintf(text, size, "%lld s", (long long)seconds);
    else if (seconds < 7200)
        (void)snprintf(text, size, "%lld min", (long long)seconds / 60);
    else
        (void)snprintf(text, size, "%lld h", (long long)seconds / 3600);
}

static void judge(struct queue_probe *queue, const struct spool_sum *sum, const json_t *destinations)
{
    const struct dp_request *request = dp_probe_request(queue->probe);
    uint64_t max_age_s = dp_request_ms(request, "--max-age") / 1000,
             max_messages = dp_request_number(request, "--max-messages");
    const char *mta = spool_mta_name(sum->mta);
    char oldest[32];
    bool down = sum->running == 0 && sum->messages > 0;
    if (down || (sum->unseen && sum->oldest_unseen_s > UNSEEN_S)) {
        describe_age(sum->oldest_unseen_s > sum->oldest_s ? sum->oldest_unseen_s : sum->oldest_s, oldest,
                     sizeof oldest);
        dp_probe_finish(
            queue->probe, "stuck",
            down ? "Start the mail server and read its log of why it is down; the mail is still there."
                 : "The server does not take new mail up: look at its log, at its processes (for Postfix: "
                   "pickup, "
                   "cleanup, qmgr) and at disk space.",
            "%s %s: %llu messages wait, the oldest for %s", mta,
            down ? "is not running" : "does not look at its new mail", (unsigned long long)sum->messages,
            oldest);
        return;
    }
    bool old = sum->deferred && (uint64_t)sum->oldest_deferred_s > max_age_s,
         many = sum->deferred > max_messages;
    if (old || many) {
        const json_t *first = json_array_get(destinations, 0);
        const char *domain = json_string_value(json_object_get(first, "domain"));
        const char *reason = json_string_value(
            json_object_get(json_array_get(json_object_get(first, "reasons"), 0), "reason"));
        describe_age(sum->oldest_deferred_s, oldest, sizeof oldest);
        dp_probe_finish(queue->probe, "backlog",
                        "Look at the reasons by destination: 'droppoint probe smtp' with the domain tells "
                        "whether it is the "
                        "network, the other server, or this host's reputation.",
                        "%s: %llu messages deferred, the oldest for %s%s%s%s%.200s", mta,
                        (unsigned long long)sum->deferred, oldest, domain ? "; most for " : "",
                        domain ? domain : "", reason ? ": " : "", reason ? reason : "");
        return;
    }
    dp_probe_finish(queue->probe, "ok", "", "%s: %llu messages in the queue, %llu of them deferred", mta,
                    (unsigned long long)sum->messages, (unsigned long long)sum->deferred);
}

static void conclude(struct queue_probe *queue, const struct queue_work *work)
{
    if (work->code) {
        dp_probe_fail(queue->probe, work->code, "%s", dp_reason(&work->diag, work->code));
        return;
    }
    const struct spool_sum *sum = &work->sum;
    json_t *data = dp_probe_data(queue->probe), *destinations = destinations_json(sum->destinations);
    (void)json_object_set_new(data, "mta", json_string(spool_mta_name(sum->mta)));
    (void)json_object_set_new(data, "spool", dp_peer_text(work->folder, strlen(work->folder)));
    (void)json_object_set_new(data, "running", sum->running < 0 ? json_null() : json_boolean(sum->running));
    (void)json_object_set_new(data, "messages", json_integer((json_int_t)sum->messages));
    (void)json_object_set_new(data, "deferred", json_integer((json_int_t)sum->deferred));
    (void)json_object_set(data, "queues", sum->queues);
    (void)json_object_set(data, "destinations", destinations);
    (void)json_object_set_new(data, "oldest_s", json_integer(sum->oldest_s));
    judge(queue, sum, destinations);
    json_decref(destinations);
}

static void read_it(uv_work_t *handle)
{
    struct queue_work *work = handle->data;
    work->code = spool_read(work->folder, (int64_t)time(NULL), &work->stop, &work->sum, &work->diag);
}

static void on_read(uv_work_t *handle, int status)
{
    struct queue_work *work = handle->data;
    if (work->owner && !status) {
        conclude(work->owner, work);
        work->owner->work = NULL;
    }
    spool_free(&work->sum);
    free(work->folder);
    free(work);
}

static int queue_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const char *target = dp_request_target(dp_probe_request(probe));
    const char *folder = target[0] ? target : spool_usual();
    if (!folder)
        return dp_fail(diag, DP_ERR_NOT_FOUND,
                       "no mail server's spool is in its usual place: name its folder as target");
    struct queue_probe *queue = calloc(1, sizeof *queue);
    struct queue_work *work = calloc(1, sizeof *work);
    char *copy = strdup(folder);
    if (queue && work) {
        queue->probe = probe;
        queue->work = work;
        work->work.data = work;
        work->owner = queue;
        work->folder = copy;
    }
    if (!queue || !work || !copy || uv_queue_work(dp_probe_loop(probe), &work->work, read_it, on_read)) {
        free(queue);
        free(work);
        free(copy);
        return DP_ERR_NOMEM;
    }
    *ret_state = queue;
    return 0;
}

static void queue_expire(void *state)
{
    struct queue_probe *queue = state;
    dp_probe_fail(queue->probe, DP_ERR_TIMEOUT,
                  "the spool could not be read in time: give it more with --timeout");
}

static void queue_stop(void *state)
{
    struct queue_probe *queue = state;
    if (queue->work) { // ends soon, and frees itself
        queue->work->owner = NULL;
        atomic_store(&queue->work->stop, true);
    }
    free(queue);
}

static void queue_print(const json_t *data, FILE *out)
{
    size_t i, k;
    const char *name;
    json_t *number, *destination, *reason;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(data, "queues"), name, number)
        fprintf(out, "%-10s %lld\n", name, json_integer_value(number));
    json_array_foreach(json_object_get(data, "destinations"), i, destination)
    {
        if (i == 20)
            break;
        fprintf(out, "%6lld  %-40s oldest %lld s\n",
                json_integer_value(json_object_get(destination, "messages")),
                json_string_value(json_object_get(destination, "domain")),
                json_integer_value(json_object_get(destination, "oldest_s")));
        json_array_foreach(json_object_get(destination, "reasons"), k, reason)
            fprintf(out, "          %lld x %.140s\n", json_integer_value(json_object_get(reason, "messages")),
                    json_string_value(json_object_get(reason, "reason")));
    }
}

static void queue_perfdata(const json_t *data, FILE *out)
{
    fprintf(out, "messages=%lld deferred=%lld oldest=%llds",
            json_integer_value(json_object_get(data, "messages")),
            json_integer_value(json_object_get(data, "deferred")),
            json_integer_value(json_object_get(data, "oldest_s")));
}

static const struct dp_probe_option options[] = {
    {"--max-age", DP_OPT_SECONDS, "SECONDS", "300", 0, 31536000000, NULL, false,
     "deferred mail older than that is a backlog"},
    {"--max-messages", DP_OPT_NUMBER, "N", "100", 0, 1000000000, NULL, false,
     "more deferred mail than that is a backlog"},
};

const struct dp_probe_kind dp_probe_queue = {
    .name = "queue",
    .about = "What waits in a mail server's queue (Postfix, Exim, OpenSMTPD, plain folders), for whom, since "
             "when and why.",
    .target_text = "[SPOOL FOLDER]",
    .target = DP_TARGET_OPTIONAL,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .timeout_ms = 60000,
    .examples = "  droppoint probe queue --local\n"
                "  droppoint probe queue --local --max-age 3600 --max-messages 1000 /var/spool/postfix\n",
    .start = queue_start,
    .expire = queue_expire,
    .stop = queue_stop,
    .print = queue_print,
    .perfdata = queue_perfdata,
};
