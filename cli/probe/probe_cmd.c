#include "cli/probe/probe_cmd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/core/prober.h"
#include "cli/probe/history.h"
#include "cli/probe/local.h"
#include "cli/probe/options.h"
#include "cli/probe/print.h"
#include "cli/probe/remote.h"

static void list_kinds(FILE *out)
{
    fprintf(out, "Usage: droppoint probe KIND (--local | --from AGENT[,AGENT...]|all) [options] TARGET\n\n");
    for (size_t i = 0; i < dp_probe_kind_count; i++)
        fprintf(out, "  %-9s %s\n", dp_probe_kinds[i]->name, dp_probe_kinds[i]->about);
    fprintf(out, "  %-9s %s\n", "history",
            "Results that the collector keeps; 'droppoint probe history --help'.");
    fprintf(out, "\n'droppoint probe KIND --help' explains one and shows examples.\n");
}

static int nagios_trouble(const char *kind, const char *reason)
{
    char text[600];
    (void)snprintf(text, sizeof text, "%s", reason);
    for (char *c = text; *c; c++)
        if (*c == '|' || *c == '\n')
            *c = ' ';
    printf("%s UNKNOWN: %s\n", kind, text);
    return 3;
}

static int show(const struct probe_options *options, json_t *result)
{
    const struct dp_request *request = options->request;
    json_t *results = json_array();
    (void)json_array_append_new(results, result);
    json_t *document =
        probe_document(dp_request_kind(request)->name, dp_request_target(request), results, NULL);
    json_decref(results);
    return document ? probe_show(document, options->remote.json, options->nagios)
                    : dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
}

static int run(struct probe_options *options)
{
    struct dp_diag diag = {""};
    json_t *result = NULL, *document = NULL;
    const char *kind = dp_request_kind(options->request)->name;
    bool progress = !options->remote.json && !options->nagios && isatty(STDERR_FILENO);
    /* An interface is one of the agent's: only there it can be checked. */
    bool checkable = options->local || !dp_request_given(options->request, "--interface");
    int rc = checkable ? dp_request_check(options->request, &diag) : 0;
    if (!rc && !options->local)
        rc = probe_run_remote(options, progress, &document, &diag);
    else if (!rc)
        rc = probe_run_local(options->request, progress, &result, &diag);
    if (!rc)
        return options->local ? show(options, result)
                              : probe_show(document, options->remote.json, options->nagios);
    if (rc == DP_ERR_END && !options->nagios) {
        fprintf(stderr, "%s\n", dp_reason(&diag, rc));
        return DP_EXIT_INTERRUPTED;
    }
    if (options->nagios)
        return nagios_trouble(kind, dp_reason(&diag, rc));
    return dp_trouble("probe %s: %s", kind, dp_reason(&diag, rc));
}

int dp_cli_probe(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name || !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        list_kinds(name ? stdout : stderr);
        return name ? 0 : DP_EXIT_TROUBLE;
    }
    if (!strcmp(name, "history"))
        return probe_history(argc, argv);
    struct probe_options options;
    struct dp_diag diag = {""};
    int rc = probe_options_parse(argc - 1, argv + 1, &options, &diag), code;
    if (rc) {
        code = options.nagios ? nagios_trouble(name, dp_reason(&diag, rc))
                              : dp_trouble("probe: %s", dp_reason(&diag, rc));
        if (!options.nagios && options.request)
            fprintf(stderr, "'droppoint probe %s --help' explains it.\n",
                    dp_request_kind(options.request)->name);
    } else if (options.help) {
        probe_help(dp_request_kind(options.request));
        code = 0;
    } else {
        code = run(&options);
    }
    probe_options_free(&options);
    return code;
}
