#include "cli/headers/headers_cmd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/headers/message.h"
#include "cli/headers/report.h"
#include "cli/remote/options.h"

static const char help[] = "Usage: droppoint headers [--json] FILE\n\n"
                           "Reads a mail message (FILE, or - for standard input) and shows the way that it "
                           "came: its Received hops, oldest first,\n"
                           "with the delay of each; the results of SPF, DKIM and DMARC; the tests of "
                           "SpamAssassin and rspamd with their scores.\n\n"
                           "  --json   print one JSON document (droppoint.headers.v1)\n\n"
                           "Exit codes: 0, or 2 where it cannot be read or is no message.\n\n"
                           "Examples:\n"
                           "  droppoint headers message.eml\n"
                           "  postcat -q 4F1A2B3C4D | droppoint headers -\n";

/* As much as a header may have, and some: the body does not matter. */
static int read_all(const char *name, char **ret_bytes, size_t *ret_length, struct dp_diag *diag)
{
    bool standard = strcmp(name, "-") == 0;
    FILE *file = standard ? stdin : fopen(name, "rb");
    size_t room = HEADERS_MAX_BYTES + 65536;
    char *bytes = malloc(room);
    if (!file || !bytes) {
        int rc =
            file ? DP_ERR_NOMEM : dp_fail(diag, DP_ERR_IO, "%s cannot be read: %s", name, strerror(errno));
        if (file && !standard)
            (void)fclose(file);
        free(bytes);
        return rc;
    }
    *ret_length = fread(bytes, 1, room, file);
    int rc = ferror(file) ? dp_fail(diag, DP_ERR_IO, "%s cannot be read: %s", name, strerror(errno)) : 0;
    if (!standard)
        (void)fclose(file);
    if (rc)
        free(bytes);
    else
        *ret_bytes = bytes;
    return rc;
}

static int show(const char *name, bool as_json)
{
    struct dp_diag diag = {""};
    struct header_list list;
    char *bytes = NULL;
    size_t length = 0;
    int rc = read_all(name, &bytes, &length, &diag);
    if (rc)
        return dp_trouble("headers: %s", dp_reason(&diag, rc));
    rc = headers_parse(bytes, length, &list, &diag);
    free(bytes);
    if (rc)
        return dp_trouble("headers: %s is no mail message: %s",
                          strcmp(name, "-") == 0 ? "standard input" : name, dp_reason(&diag, rc));
    json_t *report = headers_report(&list);
    headers_free(&list);
    if (!report)
        return dp_trouble("headers: %s", dp_err_sentence(DP_ERR_NOMEM));
    int code = 0;
    if (!as_json)
        headers_print(report, stdout);
    else if (json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) || putchar('\n') < 0)
        code = dp_trouble("the document could not be written to standard output");
    json_decref(report);
    return code;
}

int dp_cli_headers(int argc, char **argv)
{
    bool as_json = false, asks_help = false;
    struct dp_words words;
    struct dp_diag diag = {""};
    const struct dp_option options[] = {{"--json", DP_OPTION_FLAG, &as_json, 0, 0},
                                        {"--help", DP_OPTION_FLAG, &asks_help, 0, 0},
                                        {"-h", DP_OPTION_FLAG, &asks_help, 0, 0}};
    int rc = dp_options_parse(argc, argv, options, sizeof options / sizeof options[0], &words, &diag);
    if (!rc && asks_help) {
        (void)fputs(help, stdout);
        return 0;
    }
    if (!rc && words.count != 1)
        rc = dp_fail(&diag, DP_ERR_USAGE, "one file is needed, or - for standard input");
    if (rc) {
        (void)dp_trouble("headers: %s", dp_reason(&diag, rc));
        (void)fputs("'droppoint headers --help' explains it.\n", stderr);
        return DP_EXIT_TROUBLE;
    }
    return show(words.word[0], as_json);
}
