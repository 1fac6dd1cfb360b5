#include "cli/locate/args.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define SEE_HELP "See 'droppoint locate --help'."

enum { OPT_JSON = 256, OPT_FILTER, OPT_MERGE, OPT_HTML, OPT_NO_CLOCK, OPT_DISCOVER };

static const struct option options[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"filter", required_argument, NULL, OPT_FILTER},
    {"merge", required_argument, NULL, OPT_MERGE},
    {"html", required_argument, NULL, OPT_HTML},
    {"no-clock-correction", no_argument, NULL, OPT_NO_CLOCK},
    {"discover-order", no_argument, NULL, OPT_DISCOVER},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Names that the document uses for the world outside the path. */
static bool is_reserved(const char *name)
{
    return strcmp(name, "before") == 0 || strcmp(name, "beyond") == 0;
}

static bool has_control_character(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static int add_vantage(struct dp_locate_args *args, const char *argument, struct dp_diag *diag)
{
    const char *equals = strchr(argument, '=');
    if (!equals)
        return dp_fail(diag, DP_ERR_USAGE,
                       "'%s' is not NAME=FILE. Name the vantage point, as in mx1/eth0=%s.", argument,
                       argument);
    if (equals == argument)
        return dp_fail(diag, DP_ERR_USAGE, "'%s' has no name before the '='. Write it as in mx1/eth0%s.",
                       argument, argument);
    const char *path = equals + 1;
    if (*path == '\0')
        return dp_fail(diag, DP_ERR_USAGE, "'%s' has no file after the '='.", argument);
    if (strcmp(path, "-") == 0)
        return dp_fail(diag, DP_ERR_USAGE,
                       "%s: standard input is not accepted. Write the capture to a file first.", argument);
    if (args->count == DP_LOCATE_MAX_VANTAGES)
        return dp_fail(diag, DP_ERR_USAGE, "More than %d vantage points are given. Leave some out.",
                       DP_LOCATE_MAX_VANTAGES);
    char *name = strndup(argument, (size_t)(equals - argument));
    if (!name)
        return DP_ERR_NOMEM;
    size_t at = args->count++;
    args->names[at] = name;
    args->paths[at] = path;
    if (has_control_character(name))
        return dp_fail(diag, DP_ERR_USAGE,
                       "The name of vantage point %zu has a control character in it. Use another.", at + 1);
    if (is_reserved(name))
        return dp_fail(diag, DP_ERR_USAGE,
                       "The name '%s' is taken: it stands for the world outside the path. Choose another.",
                       name);
    for (size_t i = 0; i < at; i++) {
        if (strcmp(args->names[i], name) == 0)
            return dp_fail(diag, DP_ERR_USAGE,
                           "The name '%s' is given twice. Each vantage point has one name and one file.",
                           name);
    }
    return DP_OK;
}

static int take_option(struct dp_locate_args *args, int option, char **argv, struct dp_diag *diag)
{
    switch (option) {
    case 1:
        return add_vantage(args, optarg, diag);
    case 'h':
        args->help = true;
        return DP_OK;
    case OPT_JSON:
        args->json = true;
        return DP_OK;
    case OPT_FILTER:
        args->filter = optarg;
        return DP_OK;
    case OPT_MERGE:
        args->merge = optarg;
        return DP_OK;
    case OPT_NO_CLOCK:
        args->no_clock_correction = true;
        return DP_OK;
    case OPT_DISCOVER:
        args->discover_order = true;
        return DP_OK;
    case OPT_HTML:
        args->html = optarg;
        return DP_OK;
    case ':':
        return dp_fail(diag, DP_ERR_USAGE, "Option '%s' needs an argument. " SEE_HELP, argv[optind - 1]);
    default:
        return dp_fail(diag, DP_ERR_USAGE, "Option '%s' is unknown or takes no argument. " SEE_HELP,
                       argv[optind > 1 ? optind - 1 : 1]);
    }
}

int dp_locate_args_parse(int argc, char **argv, struct dp_locate_args *args, struct dp_diag *diag)
{
    memset(args, 0, sizeof *args);
    optind = 0; /* starts over, also its memory of the last command line */
    opterr = 0;
    int option;
    /* The dash has arguments come in their order as option 1, so that options may follow them in every
     * environment. */
    while ((option = getopt_long(argc, argv, "-:h", options, NULL)) != -1) {
        int code = take_option(args, option, argv, diag);
        if (code != DP_OK)
            return code;
    }
    if (args->help)
        return DP_OK;
    for (int i = optind; i < argc; i++) {
        int code = add_vantage(args, argv[i], diag);
        if (code != DP_OK)
            return code;
    }
    if (args->count == 0)
        return dp_fail(
            diag, DP_ERR_USAGE,
            "No capture file is given. Give one NAME=FILE for each vantage point, near end first. " SEE_HELP);
    return DP_OK;
}

void dp_locate_args_free(struct dp_locate_args *args)
{
    for (size_t i = 0; i < args->count; i++)
        free(args->names[i]);
    memset(args, 0, sizeof *args);
}
