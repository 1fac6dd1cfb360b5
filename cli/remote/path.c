#include <string.h>

#include "cli/remote/lists.h"
#include "cli/remote/remote.h"
#include "cli/remote/simple.h"

#define GROUP "path"
#define MOST_VANTAGES 64

struct list_request {
    const char *name; /* the one path asked for, or NULL */
    bool json;
    int exit_code;
};

static enum dp_take show_paths(void *context, const Droppoint__Envelope *envelope)
{
    struct list_request *request = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_PATH_LIST)
        return DP_TAKE_MORE;
    if (request->name && !envelope->path_list->n_paths)
        request->exit_code =
            dp_trouble("there is no path '%s'; 'droppoint path list' shows those there are", request->name);
    else if (request->json)
        request->exit_code = dp_simple_print(dp_paths_document(envelope->path_list));
    else if (dp_paths_print(envelope->path_list, stdout))
        request->exit_code = dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
    return DP_TAKE_DONE;
}

/* A path's name as the protocol wants it; says so where it is not. */
static int check_name(const struct dp_command *command, const char *name)
{
    if (dp_wire_name_valid(name))
        return 0;
    return dp_usage_error(
        GROUP, command,
        "'%s' is not a name for a path: lower-case letters, digits, '.', '_' and '-', at most 63 of "
        "them",
        name);
}

static int ask_paths(const struct dp_remote_options *options, const char *name)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__PathListRequest list = DROPPOINT__PATH_LIST_REQUEST__INIT;
    if (name)
        list.name = (char *)name;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PATH_LIST_REQUEST;
    envelope.path_list_request = &list;
    struct list_request request = {name, options->json, 0};
    int exit_code = dp_simple_ask(options, &envelope, show_paths, &request);
    return exit_code ? exit_code : request.exit_code;
}

static int run_list(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 0, 0, &words))
        return DP_EXIT_TROUBLE;
    return ask_paths(&options, NULL);
}

static int run_show(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 1, 1, &words) ||
        check_name(command, words.word[0]))
        return DP_EXIT_TROUBLE;
    return ask_paths(&options, words.word[0]);
}

static int run_set(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 2, 1 + MOST_VANTAGES, &words) ||
        check_name(command, words.word[0]))
        return DP_EXIT_TROUBLE;
    for (size_t i = 1; i < words.count; i++) {
        if (!dp_wire_vantage_valid(words.word[i]))
            return dp_usage_error(
                GROUP, command,
                "'%s' is not a vantage point; write it as AGENT/INTERFACE, for example lb1/eth0",
                words.word[i]);
        for (size_t j = 1; j < i; j++)
            if (!strcmp(words.word[i], words.word[j]))
                return dp_usage_error(GROUP, command,
                                      "'%s' is named twice; a packet passes a vantage point once",
                                      words.word[i]);
    }
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__PathSet set = DROPPOINT__PATH_SET__INIT;
    Droppoint__PathEntry path = DROPPOINT__PATH_ENTRY__INIT;
    path.name = (char *)words.word[0];
    path.n_vantages = words.count - 1;
    path.vantages = (char **)&words.word[1];
    set.path = &path;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PATH_SET;
    envelope.path_set = &set;
    return dp_simple_ask(&options, &envelope, dp_simple_say, (void *)"The path is set.");
}

static int run_remove(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 1, 1, &words) ||
        check_name(command, words.word[0]))
        return DP_EXIT_TROUBLE;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__PathRemove remove = DROPPOINT__PATH_REMOVE__INIT;
    remove.name = (char *)words.word[0];
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_PATH_REMOVE;
    envelope.path_remove = &remove;
    return dp_simple_ask(&options, &envelope, dp_simple_say, (void *)"The path is removed.");
}

int dp_cli_path(int argc, char **argv)
{
    static const struct dp_command commands[] = {
        {"set", "NAME VANTAGE...", "Names the vantage points that some traffic crosses, near end first.",
         NULL, "  droppoint path set mail-out mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth1\n", run_set},
        {"list", "[--json]", "Shows all paths.", NULL, "  droppoint path list\n", run_list},
        {"show", "NAME [--json]", "Shows one path.", NULL, "  droppoint path show mail-out\n", run_show},
        {"remove", "NAME", "Forgets a path; captures made on it stay.", NULL,
         "  droppoint path remove mail-out\n", run_remove},
    };
    return dp_commands_run(GROUP, commands, sizeof commands / sizeof commands[0], argc, argv);
}
