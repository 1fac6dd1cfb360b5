/* Who may give orders, and which order goes where. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define READ_EVERY_MS 1000
#define OPERATORS_MAX 1000

static bool ends_with_pub(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".pub") == 0;
}

static void read_key(struct dp_run *run, const char *name)
{
    char path[PATH_MAX], key[DP_KEY_Z85];
    snprintf(path, sizeof path, "%s/%s", run->operators_directory, name);
    struct dp_diag diag = {""};
    int code = dp_public_key_read(path, key, &diag);
    if (code != DP_OK) {
        dp_log(run->log, DP_LOG_WARNING, "%s is not read as an operator's key: %s", path,
               dp_reason(&diag, code));
        return;
    }
    char(*operators)[DP_KEY_Z85] = realloc(run->operators, (run->operator_count + 1) * sizeof *operators);
    if (operators == NULL)
        return;
    run->operators = operators;
    memcpy(operators[run->operator_count++], key, sizeof key);
}

/* Read anew at most once a second, so that a key file that is added or removed counts at the next connection.
 */
static void read_operators(struct dp_run *run)
{
    uint64_t now = uv_now(run->loop);
    if (run->operators_read_ms != 0 && now - run->operators_read_ms < READ_EVERY_MS)
        return;
    run->operators_read_ms = now;
    run->operator_count = 0;
    DIR *directory = opendir(run->operators_directory);
    if (directory == NULL)
        return;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (ends_with_pub(entry->d_name) && run->operator_count < OPERATORS_MAX)
            read_key(run, entry->d_name);
    closedir(directory);
}

bool run_is_operator(struct dp_run *run, const char *key)
{
    if (strcmp(key, run->local_operator) == 0)
        return true;
    read_operators(run);
    for (size_t i = 0; i < run->operator_count; i++)
        if (strcmp(run->operators[i], key) == 0)
            return true;
    return false;
}

static void welcome(struct dp_run *run, struct dp_peer *peer)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Welcome body = DROPPOINT__WELCOME__INIT;
    body.heartbeat_ms = HEARTBEAT_MS;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_WELCOME;
    envelope.welcome = &body;
    run_send(run, peer, 0, &envelope);
}

static void on_list(void *context, int code, const char *text, const struct dp_store_capture *captures,
                    size_t count)
{
    struct run_asker *asker = context;
    Droppoint__CaptureEntry *entries = calloc(count + 1, sizeof *entries);
    Droppoint__CaptureEntry **pointers = calloc(count + 1, sizeof(Droppoint__CaptureEntry *));
    if (code == DP_OK && (entries == NULL || pointers == NULL))
        code = DP_ERR_NOMEM;
    if (code != DP_OK || asker->run->closing) {
        free(entries);
        free(pointers);
        run_asker_answer(asker, code, text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        droppoint__capture_entry__init(&entries[i]);
        pointers[i] = &entries[i];
        entries[i].capture_id = (char *)captures[i].id;
        entries[i].path = (char *)captures[i].path;
        entries[i].started_ns = captures[i].started_ns;
        entries[i].duration_ms = captures[i].duration_ms;
        entries[i].state = (char *)captures[i].state;
        entries[i].verdict = (char *)captures[i].verdict;
        entries[i].summary = captures[i].summary;
    }
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureList list = DROPPOINT__CAPTURE_LIST__INIT;
    list.n_captures = count;
    list.captures = pointers;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_LIST;
    envelope.capture_list = &list;
    run_send(asker->run, asker->peer, asker->request, &envelope);
    free(entries);
    free(pointers);
    run_asker_free(asker);
}

static void list_captures(struct dp_run *run, struct dp_peer *peer, uint64_t request, uint32_t limit)
{
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    int code = dp_store_captures(run->store, limit == 0 ? 20 : limit, on_list, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

static void on_document(void *context, int code, const char *text)
{
    struct run_asker *asker = context;
    if (code != DP_OK || asker->run->closing) {
        run_asker_answer(asker, code == DP_ERR_END ? DP_ERR_UNAVAILABLE : code, text);
        return;
    }
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureDocument document = DROPPOINT__CAPTURE_DOCUMENT__INIT;
    document.capture_id = asker->text; /* the request put it there */
    document.json = (char *)text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_DOCUMENT;
    envelope.capture_document = &document;
    run_send(asker->run, asker->peer, asker->request, &envelope);
    run_asker_free(asker);
}

static void show_capture(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *id)
{
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    snprintf(asker->text, sizeof asker->text, "%s", id);
    int code = dp_store_document(run->store, id, on_document, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

void run_operator_message(struct dp_run *run, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    uint64_t request = envelope->request;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_OPERATOR_HELLO:
        welcome(run, peer);
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_HELLO:
        run_refuse(run, peer, "not-an-agent",
                   "This key belongs to an operator. Give the agent a key of its own.");
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_LIST_REQUEST:
        run_agents_list(run, peer, request);
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_APPROVE:
        run_agent_approve(run, peer, request, envelope->agent_approve);
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_REVOKE:
        run_agent_revoke(run, peer, request, envelope->agent_revoke);
        break;
    case DROPPOINT__ENVELOPE__BODY_PATH_SET:
        run_path_set(run, peer, request, envelope->path_set);
        break;
    case DROPPOINT__ENVELOPE__BODY_PATH_LIST_REQUEST:
        run_paths_list(run, peer, request, envelope->path_list_request->name);
        break;
    case DROPPOINT__ENVELOPE__BODY_PATH_REMOVE:
        run_path_remove(run, peer, request, envelope->path_remove);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_RUN:
        run_capture_ask(run, peer, request, envelope->capture_run);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_CANCEL:
        run_capture_cancel(run, peer, request, envelope->capture_cancel->capture_id);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_LIST_REQUEST:
        list_captures(run, peer, request, envelope->capture_list_request->limit);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_SHOW:
        show_capture(run, peer, request, envelope->capture_show->capture_id);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_EXPORT:
        run_export_ask(run, peer, request, envelope->capture_export);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_RUN:
        run_probe_ask(run, peer, request, envelope->probe_run);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_CANCEL:
        run_probe_cancel(run, envelope->probe_cancel->probe_id);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_LIST_REQUEST:
        run_probe_list(run, peer, request, envelope->probe_list_request);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_SHOW:
        run_probe_show(run, peer, request, envelope->probe_show->probe_id);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_CREDIT:
        run_export_credit(run, peer, envelope->export_credit);
        break;
    default:
        run_result(run, peer, request, DP_ERR_PROTOCOL,
                   "This message is not one that the command line sends.");
        break;
    }
}
