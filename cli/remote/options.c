#include "cli/remote/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote/text.h"

static const char common_help[] =
    "Options of every command that asks the collector:\n"
    "  --collector tcp://HOST:PORT  where it listens (DROPPOINT_COLLECTOR; default tcp://127.0.0.1:9910)\n"
    "  --key FILE                   the operator's key pair (DROPPOINT_KEY; default "
    "/var/lib/droppoint/operator.key,\n"
    "                               then ~/.config/droppoint/operator.key)\n"
    "  --collector-key KEY|FILE     the collector's public key (DROPPOINT_COLLECTOR_KEY; default\n"
    "                               /var/lib/droppoint/collector.pub, then "
    "~/.config/droppoint/collector.pub)\n"
    "  --timeout TIME               how long to wait for an answer (default 10s)\n"
    "  --help                       this text\n";

static int number_parse(const char *text, uint64_t *ret_number)
{
    if (!isdigit((unsigned char)text[0]))
        return DP_ERR_USAGE;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || *end)
        return DP_ERR_USAGE;
    *ret_number = number;
    return 0;
}

static int take_value(const struct dp_option *option, const char *value, struct dp_diag *diag)
{
    uint64_t number = 0;
    switch (option->kind) {
    case DP_OPTION_FLAG:
        *(bool *)option->target = true;
        return 0;
    case DP_OPTION_TEXT:
        if (!value[0])
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a value that is not empty", option->name);
        *(const char **)option->target = value;
        return 0;
    case DP_OPTION_NUMBER:
        if (number_parse(value, &number) || number < option->min || number > option->max)
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a whole number from %llu to %llu, not '%s'",
                           option->name, (unsigned long long)option->min, (unsigned long long)option->max,
                           value);
        break;
    case DP_OPTION_DURATION:
        if (dp_duration_parse(value, &number))
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a time such as 30s, 5m, 1h or 500ms, not '%s'",
                           option->name, value);
        if (number < option->min || number > option->max) {
            char least[32], most[32];
            return dp_fail(diag, DP_ERR_USAGE, "%s must be from %s to %s, not '%s'", option->name,
                           dp_duration_text(option->min, least, sizeof least),
                           dp_duration_text(option->max, most, sizeof most), value);
        }
        break;
    }
    *(uint64_t *)option->target = number;
    return 0;
}

static const struct dp_option *find_option(const struct dp_option *options, size_t count, const char *word,
                                           size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == length && !strncmp(options[i].name, word, length))
            return &options[i];
    return NULL;
}

int dp_options_parse(int argc, char **argv, const struct dp_option *options, size_t count,
                     struct dp_words *ret_words, struct dp_diag *diag)
{
    bool only_words = false;
    ret_words->count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && !strcmp(word, "--")) {
            only_words = true;
            continue;
        }
        if (only_words || word[0] != '-' || !word[1]) {
            if (ret_words->count == DP_MAX_WORDS)
                return dp_fail(diag, DP_ERR_USAGE, "more than %d words", DP_MAX_WORDS);
            ret_words->word[ret_words->count++] = word;
            continue;
        }
        size_t length = strcspn(word, "=");
        const struct dp_option *option = find_option(options, count, word, length);
        if (!option)
            return dp_fail(diag, DP_ERR_USAGE, "unknown option %s", word);
        const char *value = word[length] ? word + length + 1 : NULL;
        if (option->kind == DP_OPTION_FLAG) {
            if (value)
                return dp_fail(diag, DP_ERR_USAGE, "%s takes no value", option->name);
        } else if (!value) {
            if (i + 1 == argc)
                return dp_fail(diag, DP_ERR_USAGE, "%s needs a value", option->name);
            value = argv[++i];
        }
        int rc = take_value(option, value, diag);
        if (rc)
            return rc;
    }
    return 0;
}

/* An empty variable counts as none. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

void dp_remote_options_init(struct dp_remote_options *options)
{
    *options = (struct dp_remote_options){
        .collector = environment("DROPPOINT_COLLECTOR"),
        .key = environment("DROPPOINT_KEY"),
        .collector_key = environment("DROPPOINT_COLLECTOR_KEY"),
        .timeout_ms = 10000,
    };
    if (!options->collector)
        options->collector = "tcp://127.0.0.1:9910";
}

size_t dp_remote_options_table(struct dp_remote_options *options, struct dp_option *table)
{
    const struct dp_option all[DP_REMOTE_OPTIONS] = {
        {"--collector", DP_OPTION_TEXT, &options->collector, 0, 0},
        {"--key", DP_OPTION_TEXT, &options->key, 0, 0},
        {"--collector-key", DP_OPTION_TEXT, &options->collector_key, 0, 0},
        {"--timeout", DP_OPTION_DURATION, &options->timeout_ms, 100, 3600000},
        {"--json", DP_OPTION_FLAG, &options->json, 0, 0},
    };
    memcpy(table, all, sizeof all);
    return DP_REMOTE_OPTIONS;
}

bool dp_command_has_json(const struct dp_command *command)
{
    return strstr(command->synopsis, "--json") != NULL;
}

static void print_help(const char *group, const struct dp_command *command)
{
    printf("Usage: droppoint %s %s%s%s\n\n%s\n\n", group, command->name, command->synopsis[0] ? " " : "",
           command->synopsis, command->about);
    if (command->options)
        printf("Options:\n%s\n", command->options);
    printf("%s%s\nExamples:\n%s", common_help,
           dp_command_has_json(command) ? "  --json                       print one JSON document\n" : "",
           command->examples);
}

static void print_list(FILE *out, const char *group, const struct dp_command *commands, size_t count)
{
    fprintf(out, "Usage: droppoint %s COMMAND ...\n\n", group);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\n'droppoint %s COMMAND --help' explains one and shows examples.\n", group);
}

/* Whether help is asked for before a "--". */
static bool asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

int dp_commands_run(const char *group, const struct dp_command *commands, size_t count, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name && (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))) {
        print_list(stdout, group, commands, count);
        return 0;
    }
    for (size_t i = 0; name && i < count; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (asks_help(argc - 1, argv + 1)) {
            print_help(group, &commands[i]);
            return 0;
        }
        return commands[i].run(&commands[i], argc - 1, argv + 1);
    }
    if (name)
        (void)dp_trouble("'droppoint %s' has no command '%s'", group, name);
    else
        (void)dp_trouble("'droppoint %s' needs a command", group);
    print_list(stderr, group, commands, count);
    return DP_EXIT_TROUBLE;
}

DP_PRINTF(1, 0) static void say(const char *format, va_list args)
{
    char text[2048];
    (void)vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "droppoint: %s\n", dp_printable(text));
}

int dp_trouble(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return DP_EXIT_TROUBLE;
}

int dp_usage_error(const char *group, const struct dp_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    fprintf(stderr, "Usage: droppoint %s %s%s%s\n'droppoint %s %s --help' explains it.\n", group,
            command->name, command->synopsis[0] ? " " : "", command->synopsis, group, command->name);
    return DP_EXIT_TROUBLE;
}
