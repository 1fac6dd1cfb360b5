#include "cli/remote/capture.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/locate/whole_file.h"
#include "cli/remote/remote.h"
#include "collector/report/html.h"
#include "collector/report/report_out.h"

bool dp_capture_id_check(const struct dp_command *command, const char *text)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(text);
    if (length && length <= 63 && strspn(text, characters) == length && text[0] != '.' && text[0] != '_' &&
        text[0] != '-')
        return true;
    (void)dp_usage_error(DP_CAPTURE_GROUP, command,
                         "'%s' is not a capture; 'droppoint capture list' shows those there are", text);
    return false;
}

static int print_for_person(const char *capture_id, const json_t *document)
{
    char *text = NULL;
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    int rc = dp_report_text(document, colour, &text);
    if (rc)
        return rc;
    fputs(text, stdout);
    free(text);
    const char *path = NULL;
    (void)json_unpack((json_t *)document, "{s:{s:s}}", "capture", "path", &path);
    printf("\nCapture %s%s%s\n"
           "  droppoint capture show %s                    this report again (--json for scripts)\n"
           "  droppoint capture export %s --merge FILE     its packets as one pcapng file\n",
           capture_id, path ? ", path " : "", path ? path : "", capture_id, capture_id);
    return 0;
}

static int write_page(const json_t *document, const char *path, bool quiet)
{
    struct dp_diag diag = {""};
    char *page = NULL;
    size_t len = 0;
    int rc = dp_report_html(document, NULL, NULL, &page, &len);
    if (!rc)
        rc = dp_whole_file_put(path, page, len, &diag);
    free(page);
    if (rc)
        return dp_trouble("%s", dp_reason(&diag, rc));
    if (!quiet)
        printf("The report as a page: %s\n", path);
    return 0;
}

int dp_capture_print(const char *capture_id, const char *text, bool json, const char *html)
{
    json_error_t error;
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!document)
        return dp_trouble("the collector's document of capture %s is not JSON (line %d: %s)", capture_id,
                          error.line, error.text);
    int exit_code = dp_report_document_exit_code(document), rc = exit_code < 0 ? exit_code : 0;
    /* The document goes out as the collector wrote it: numbers keep their digits. */
    if (!rc && json)
        printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
    else if (!rc)
        rc = print_for_person(capture_id, document);
    if (!rc && html && write_page(document, html, json))
        exit_code = DP_EXIT_TROUBLE;
    json_decref(document);
    if (rc)
        return dp_trouble("the collector's document of capture %s can't be read: %s", capture_id,
                          dp_err_sentence(rc));
    if (fflush(stdout))
        return dp_trouble("standard output can't be written");
    return exit_code;
}

int dp_cli_capture(int argc, char **argv)
{
    static const struct dp_command commands[] = {
        {"run", "--path PATH [--filter BPF] [--duration TIME] [--partial] [--json] [--html FILE]",
         "Captures at all vantage points of a path at the same time and says where packets get lost.",
         "  --path PATH        the path, as 'droppoint path set' named it\n"
         "  --filter BPF       capture only what matches (pcap-filter(7)), at every vantage point\n"
         "  --duration TIME    how long: 30, 30s, 5m, 1h, 500ms (default 30s)\n"
         "  --snaplen N        bytes kept of each packet in the agents' local rings (default 256)\n"
         "  --max-packets N    a vantage point stops after so many packets (default: no bound)\n"
         "  --partial          go on without vantage points that can't take part\n"
         "  --html FILE        also write the report as a page\n"
         "Ctrl-C ends the capture early and gives the verdict on what there is; a second one leaves at "
         "once.\n"
         "Exit code: 0 nothing lost, 1 a fault was located, 2 no capture, 3 inconclusive.\n",
         "  droppoint capture run --path mail-out --filter 'tcp port 25'\n"
         "  droppoint capture run --path mail-out --duration 5m --partial --json > capture.json\n",
         dp_capture_run_command},
        {"list", "[--limit N] [--json]", "Shows the captures, newest first.",
         "  --limit N          at most so many (default 20)\n", "  droppoint capture list --limit 5\n",
         dp_capture_list_command},
        {"show", "ID [--json] [--html FILE]",
         "Shows the verdict of a capture again; exit code as for 'capture run'.",
         "  --html FILE        also write the report as a page\n",
         "  droppoint capture show ID\n  droppoint capture show ID --json\n  droppoint capture show ID "
         "--html report.html\n",
         dp_capture_show_command},
        {"export", "ID --merge FILE [--all-flows] [--force]",
         "Fetches the packets of a capture from the agents and writes them as one pcapng file in corrected "
         "time order.",
         "  --merge FILE       the file to write; one interface for each vantage point, lost packets "
         "commented\n"
         "  --all-flows        all flows, not only those of the findings\n"
         "  --force            write over an existing file\n"
         "Exit code: 0 written, 2 not written, 3 written, but packets of some vantage point are missing.\n",
         "  droppoint capture export ID --merge capture.pcapng\n"
         "  droppoint capture export ID --merge capture.pcapng --all-flows --force\n",
         dp_capture_export_command},
    };
    return dp_commands_run(DP_CAPTURE_GROUP, commands, sizeof commands / sizeof commands[0], argc, argv);
}
