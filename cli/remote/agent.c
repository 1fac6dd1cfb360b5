#include <ctype.h>
#include <string.h>

#include "cli/remote/lists.h"
#include "cli/remote/remote.h"
#include "cli/remote/simple.h"
#include "common/keys/keys.h"

#define GROUP "agent"
#define LEAST_FINGERPRINT 4

struct list_request {
    bool json;
    int exit_code;
};

static enum dp_take show_agents(void *context, const Droppoint__Envelope *envelope)
{
    struct list_request *request = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_AGENT_LIST)
        return DP_TAKE_MORE;
    if (request->json)
        request->exit_code = dp_simple_print(dp_agents_document(envelope->agent_list));
    else if (dp_agents_print(envelope->agent_list, stdout))
        request->exit_code = dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
    return DP_TAKE_DONE;
}

static int run_list(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 0, 0, &words))
        return DP_EXIT_TROUBLE;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__AgentListRequest list = DROPPOINT__AGENT_LIST_REQUEST__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_LIST_REQUEST;
    envelope.agent_list_request = &list;
    struct list_request request = {options.json, 0};
    int exit_code = dp_simple_ask(&options, &envelope, show_agents, &request);
    return exit_code ? exit_code : request.exit_code;
}

/* Writes the fingerprint as the collector knows it: lower case, a dash after every fourth digit. Returns 0
 * when it is not hexadecimal, too short or too long. */
static int tidy_fingerprint(const char *text, char *ret_text)
{
    size_t digits = 0, out = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 32)
            return 0;
        if (digits && digits % 4 == 0)
            ret_text[out++] = '-';
        ret_text[out++] = (char)tolower((unsigned char)*text);
        digits++;
    }
    ret_text[out] = '\0';
    return digits >= LEAST_FINGERPRINT;
}

static int run_approve(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    const char *name = "";
    const struct dp_option more[] = {{"--name", DP_OPTION_TEXT, &name, 0, 0}};
    if (dp_simple_parse(GROUP, command, argc, argv, &options, more, 1, 1, 1, &words))
        return DP_EXIT_TROUBLE;
    char fingerprint[DP_FINGERPRINT_TEXT];
    if (!tidy_fingerprint(words.word[0], fingerprint))
        return dp_usage_error(
            GROUP, command,
            "'%s' is not a fingerprint; give at least its first %d digits, as 'droppoint agent list' "
            "shows it",
            words.word[0], LEAST_FINGERPRINT);
    if (name[0] && !dp_wire_name_valid(name))
        return dp_usage_error(
            GROUP, command,
            "'%s' is not a name for an agent: lower-case letters, digits, '.', '_' and '-', at most "
            "63 of them",
            name);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__AgentApprove approve = DROPPOINT__AGENT_APPROVE__INIT;
    approve.fingerprint = fingerprint;
    approve.name = (char *)name;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_APPROVE;
    envelope.agent_approve = &approve;
    return dp_simple_ask(&options, &envelope, dp_simple_say, (void *)"The agent is approved.");
}

static int run_revoke(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    if (dp_simple_parse(GROUP, command, argc, argv, &options, NULL, 0, 1, 1, &words))
        return DP_EXIT_TROUBLE;
    const char *agent = words.word[0];
    char fingerprint[DP_FINGERPRINT_TEXT];
    /* A whole fingerprint may be written in any way; anything else that is a name stays one. */
    if (strlen(agent) >= 32 && tidy_fingerprint(agent, fingerprint))
        agent = fingerprint;
    else if (!dp_wire_name_valid(agent))
        return dp_usage_error(GROUP, command, "'%s' is neither an agent's name nor its fingerprint", agent);
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__AgentRevoke revoke = DROPPOINT__AGENT_REVOKE__INIT;
    revoke.agent = (char *)agent;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_REVOKE;
    envelope.agent_revoke = &revoke;
    return dp_simple_ask(&options, &envelope, dp_simple_say,
                         (void *)"The agent is revoked. It can't connect any more.");
}

int dp_cli_agent(int argc, char **argv)
{
    static const struct dp_command commands[] = {
        {"list", "[--json]", "Shows the agents, and those that wait for approval.", NULL,
         "  droppoint agent list\n"
         "  droppoint agent list --json --collector tcp://collector.example.net:9910\n",
         run_list},
        {"approve", "FINGERPRINT [--name NAME]", "Lets an agent in whose fingerprint you have compared.",
         "  --name NAME  call it so (default: the name that it gives itself)\n",
         "  droppoint agent approve 3f2a-91c0\n"
         "  droppoint agent approve 3f2a-91c0 --name lb1\n",
         run_approve},
        {"revoke", "NAME|FINGERPRINT", "Shuts an agent out, at once and until it is approved again.", NULL,
         "  droppoint agent revoke lb1\n", run_revoke},
    };
    return dp_commands_run(GROUP, commands, sizeof commands / sizeof commands[0], argc, argv);
}
