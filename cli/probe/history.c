#include "cli/probe/history.h"

#include <string.h>

#include "agent/probe/core/prober.h"
#include "cli/probe/print.h"
#include "cli/probe/remote.h"
#include "cli/remote/simple.h"
#include "cli/remote/text.h"

#define GROUP "probe"

struct history {
    struct dp_remote_options options;
    const char *kind, *target, *agent, *status;
    uint64_t limit;
    bool changes;
    int exit_code;
};

static json_t *document_of(const Droppoint__ProbeList *list)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < list->n_entries; i++) {
        const Droppoint__ProbeEntry *entry = list->entries[i];
        char started[DP_TIME_TEXT];
        (void)json_array_append_new(
            entries, json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:s, s:s, s:s}", "id", entry->probe_id, "kind",
                               entry->kind, "target", entry->target, "agent", entry->agent, "started_at",
                               dp_time_utc(entry->started_ns, started, sizeof started), "duration_ms",
                               (double)entry->duration_us / 1000, "status", entry->status, "class",
                               entry->class_, "summary", entry->summary));
    }
    return json_pack("{s:s, s:o}", "schema", "droppoint.probes.v1", "probes", entries);
}

static int print_table(const Droppoint__ProbeList *list)
{
    static const char *const heads[] = {"PROBE",  "STARTED", "AGENT", "KIND",
                                        "TARGET", "STATUS",  "CLASS", "SUMMARY"};
    struct dp_table *table = NULL;
    if (!list->n_entries) {
        printf("There is no such result. Make one:\n  droppoint probe tcp --from all mx.example.net:25\n");
        return 0;
    }
    int rc = dp_table_new(heads, sizeof heads / sizeof heads[0], &table);
    for (size_t i = 0; !rc && i < list->n_entries; i++) {
        const Droppoint__ProbeEntry *entry = list->entries[i];
        char started[DP_TIME_TEXT];
        const char *cells[] = {entry->probe_id, dp_time_text(entry->started_ns, started, sizeof started),
                               entry->agent,    entry->kind,
                               entry->target,   entry->status,
                               entry->class_,   entry->summary};
        for (size_t c = 0; !rc && c < sizeof cells / sizeof cells[0]; c++)
            rc = dp_table_add(table, cells[c]);
    }
    if (!rc)
        dp_table_print(table, stdout);
    dp_table_free(table);
    return rc;
}

static enum dp_take take_list(void *context, const Droppoint__Envelope *envelope)
{
    struct history *history = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_PROBE_LIST)
        return DP_TAKE_MORE;
    if (history->options.json)
        history->exit_code = dp_simple_print(document_of(envelope->probe_list));
    else if (print_table(envelope->probe_list))
        history->exit_code = dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
    return DP_TAKE_DONE;
}

static int list(struct history *history)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ProbeListRequest request = DROPPOINT__PROBE_LIST_REQUEST__INIT;
    request.kind = (char *)(uintptr_t)history->kind;
    request.target = (char *)(uintptr_t)history->target;
    request.agent = (char *)(uintptr_t)history->agent;
    request.status = (char *)(uintptr_t)history->status;
    request.limit = (uint32_t)history->limit;
    request.changes = history->changes;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PROBE_LIST_REQUEST;
    envelope.probe_list_request = &request;
    int exit_code = dp_simple_ask(&history->options, &envelope, take_list, history);
    return exit_code ? exit_code : history->exit_code;
}

static int show_one(const struct history *history, const char *id)
{
    struct dp_diag diag = {""};
    json_t *document = NULL;
    int rc = probe_fetch(&history->options, id, &document, &diag);
    return rc ? dp_trouble("%s", dp_reason(&diag, rc)) : probe_show(document, history->options.json, false);
}

static int run_history(const struct dp_command *command, int argc, char **argv)
{
    struct history history = {.kind = "", .target = "", .agent = "", .status = "", .limit = 20};
    struct dp_words words;
    const struct dp_option more[] = {
        {"--kind", DP_OPTION_TEXT, &history.kind, 0, 0},
        {"--target", DP_OPTION_TEXT, &history.target, 0, 0},
        {"--agent", DP_OPTION_TEXT, &history.agent, 0, 0},
        {"--status", DP_OPTION_TEXT, &history.status, 0, 0},
        {"--limit", DP_OPTION_NUMBER, &history.limit, 1, 10000},
        {"--changes", DP_OPTION_FLAG, &history.changes, 0, 0},
    };
    if (dp_simple_parse(GROUP, command, argc, argv, &history.options, more, sizeof more / sizeof more[0], 0,
                        1, &words))
        return DP_EXIT_TROUBLE;
    if (history.kind[0] && !dp_probe_kind_find(history.kind))
        return dp_usage_error(GROUP, command, "there is no probe '%s'", history.kind);
    return words.count ? show_one(&history, words.word[0]) : list(&history);
}

int probe_history(int argc, char **argv)
{
    static const struct dp_command command = {
        "history",
        "[ID] [--json]",
        "Shows results that the collector keeps, newest first; with an ID one probe as it was.",
        "  --kind KIND      only this probe\n"
        "  --target TARGET  only towards this target, as it was written\n"
        "  --agent NAME     only by this agent\n"
        "  --status STATUS  only ok, warning, critical or unknown\n"
        "  --limit N        so many (default 20)\n"
        "  --changes        only where the class is not what the same agent found before: listed since, "
        "cleared at\n",
        "  droppoint probe history --target mx.example.net:25\n"
        "  droppoint probe history --kind dnsbl --changes --limit 100\n"
        "  droppoint probe history 20260102-150405-9f3a\n",
        run_history};
    return dp_commands_run(GROUP, &command, 1, argc, argv);
}
