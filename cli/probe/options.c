#include "cli/probe/options.h"

#include <stdio.h>
#include <string.h>

#include "agent/probe/core/prober.h"

/* Options of the command itself; everything else is the probe's. */
static int take_own(struct probe_options *options, const char *name, const char *value, bool *ret_taken,
                    bool *ret_used_value, struct dp_diag *diag)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } own[] = {
        {"--local", &options->local, NULL},
        {"--nagios", &options->nagios, NULL},
        {"--json", &options->remote.json, NULL},
        {"--help", &options->help, NULL},
        {"-h", &options->help, NULL},
        {"--from", NULL, &options->from},
        {"--collector", NULL, &options->remote.collector},
        {"--key", NULL, &options->remote.key},
        {"--collector-key", NULL, &options->remote.collector_key},
    };
    *ret_taken = *ret_used_value = false;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(own[i].name, name) != 0)
            continue;
        *ret_taken = true;
        if (own[i].flag) {
            *own[i].flag = true;
            return 0;
        }
        if (!value || !value[0])
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a value", name);
        *own[i].text = value;
        *ret_used_value = true;
        return 0;
    }
    return 0;
}

static const struct dp_probe_option *find(const struct dp_probe_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->option_count; i++)
        if (strcmp(kind->options[i].name, name) == 0)
            return &kind->options[i];
    for (size_t i = 0; i < dp_probe_common_option_count; i++)
        if (strcmp(dp_probe_common_options[i].name, name) == 0)
            return &dp_probe_common_options[i];
    return NULL;
}

/* One word that begins with a dash; *index moves on where its value is the next word. */
static int take_option(int argc, char **argv, int *index, struct probe_options *options, struct dp_diag *diag)
{
    const char *word = argv[*index];
    char name[64];
    size_t length = strcspn(word, "=");
    if (length >= sizeof name)
        return dp_fail(diag, DP_ERR_USAGE, "unknown option %.60s...", word);
    memcpy(name, word, length);
    name[length] = '\0';
    const char *attached = word[length] ? word + length + 1 : NULL;
    const char *value = attached ? attached : *index + 1 < argc ? argv[*index + 1] : NULL;
    bool taken, used_value;
    int rc = take_own(options, name, value, &taken, &used_value, diag);
    if (rc)
        return rc;
    if (!taken) {
        const struct dp_probe_option *known = find(dp_request_kind(options->request), name);
        used_value = known && known->type != DP_OPT_FLAG;
        if (used_value && !value)
            return dp_fail(diag, DP_ERR_USAGE, "%s needs a value", name);
        rc = dp_request_set(options->request, name, used_value ? value : attached, diag);
        if (rc)
            return rc;
    } else if (attached && !used_value) {
        return dp_fail(diag, DP_ERR_USAGE, "%s takes no value", name);
    }
    *index += used_value && !attached;
    return 0;
}

int probe_options_parse(int argc, char **argv, struct probe_options *options, struct dp_diag *diag)
{
    *options = (struct probe_options){.request = NULL};
    dp_remote_options_init(&options->remote);
    int rc = dp_request_new(argv[0], &options->request, diag);
    bool only_words = false, target = false;
    for (int i = 1; !rc && i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            rc = take_option(argc, argv, &i, options, diag);
        } else if (target) {
            rc = dp_fail(diag, DP_ERR_USAGE, "'%.100s': there is one target only", argv[i]);
        } else {
            target = true;
            rc = dp_request_set_target(options->request, argv[i], diag);
        }
    }
    if (rc || options->help)
        return rc;
    if (options->local && options->from)
        return dp_fail(diag, DP_ERR_USAGE, "--local and --from exclude each other");
    if (!options->local && !options->from)
        return dp_fail(
            diag, DP_ERR_USAGE,
            "say where from: --local for this host, --from AGENT[,AGENT...] or --from all for agents");
    if (options->nagios && options->remote.json)
        return dp_fail(diag, DP_ERR_USAGE, "--json and --nagios exclude each other");
    return 0;
}

void probe_options_free(struct probe_options *options)
{
    dp_request_free(options->request);
    options->request = NULL;
}

static void print_options(const struct dp_probe_option *options, size_t count,
                          const struct dp_probe_kind *kind)
{
    for (size_t i = 0; i < count; i++) {
        const struct dp_probe_option *o = &options[i];
        char head[80];
        (void)snprintf(head, sizeof head, "%s%s%s", o->name, o->value_name ? " " : "",
                       o->value_name ? o->value_name : "");
        printf("  %-26s %s", head, o->help);
        if (o->type == DP_OPT_WORD)
            printf(": %s", o->words);
        if (o->fallback)
            printf(" (default %s)", o->fallback);
        else if (!strcmp(o->name, "--timeout"))
            printf(" (default %g)", (double)kind->timeout_ms / 1000);
        printf("%s\n", o->repeat ? "; may be repeated" : "");
    }
}

void probe_help(const struct dp_probe_kind *kind)
{
    printf("Usage: droppoint probe %s (--local | --from AGENT[,AGENT...]|all) [options]%s%s\n\n%s\n\n",
           kind->name, kind->target_text[0] ? " " : "", kind->target_text, kind->about);
    if (kind->option_count) {
        printf("Options of this probe:\n");
        print_options(kind->options, kind->option_count, kind);
        printf("\n");
    }
    printf("Options of every probe:\n"
           "  --local                    run in this process; needs no daemon\n"
           "  --from AGENT,...|all       run on agents, through the collector\n"
           "  --json                     print one JSON document\n"
           "  --nagios                   print one Nagios plugin line; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 "
           "UNKNOWN\n");
    print_options(dp_probe_common_options, dp_probe_common_option_count, kind);
    printf("  --collector, --key, --collector-key   as for 'droppoint agent list'\n\n"
           "Exit codes: 0 ok, 1 a fault was found, 2 wrong usage or no such name or interface, 3 "
           "inconclusive.\n\n"
           "Examples:\n%s",
           kind->examples);
}
