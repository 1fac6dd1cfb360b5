#include "cli/remote/simple.h"

#include <stdlib.h>
#include <string.h>

#include "cli/remote/text.h"

#define MORE_OPTIONS 16

int dp_simple_parse(const char *group, const struct dp_command *command, int argc, char **argv,
                    struct dp_remote_options *options, const struct dp_option *more, size_t more_count,
                    size_t least, size_t most, struct dp_words *ret_words)
{
    struct dp_option table[DP_REMOTE_OPTIONS + MORE_OPTIONS];
    struct dp_diag diag = {""};
    dp_remote_options_init(options);
    size_t count = dp_remote_options_table(options, table);
    if (!dp_command_has_json(command))
        count--; /* --json is the last; ignoring it would surprise a script */
    for (size_t i = 0; i < more_count && i < MORE_OPTIONS; i++)
        table[count++] = more[i];
    if (dp_options_parse(argc, argv, table, count, ret_words, &diag))
        return dp_usage_error(group, command, "%s", diag.text);
    if (ret_words->count > most)
        return dp_usage_error(group, command, "'%s' is one word too many", ret_words->word[most]);
    if (ret_words->count < least)
        return dp_usage_error(group, command, "'droppoint %s %s' needs %s", group, command->name,
                              command->synopsis);
    return 0;
}

int dp_simple_ask(const struct dp_remote_options *options, Droppoint__Envelope *envelope, dp_take_fn take,
                  void *context)
{
    struct dp_diag diag = {""};
    struct dp_session *session = NULL;
    int rc = dp_session_open(options, &session, &diag);
    if (!rc)
        rc = dp_session_ask(session, envelope, take, context, &diag);
    dp_session_close(session);
    return rc ? dp_trouble("%s", dp_reason(&diag, rc)) : 0;
}

enum dp_take dp_simple_say(void *context, const Droppoint__Envelope *envelope)
{
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_RESULT)
        return DP_TAKE_MORE;
    const char *text = envelope->result->text && envelope->result->text[0] ? envelope->result->text : context;
    char *copy = strdup(text);
    if (copy)
        printf("%s\n", dp_printable(copy));
    free(copy);
    return DP_TAKE_DONE;
}

int dp_simple_print(json_t *document)
{
    if (!document)
        return dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
    int rc = json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(document);
    if (rc || printf("\n") < 0 || fflush(stdout))
        return dp_trouble("standard output can't be written");
    return 0;
}
