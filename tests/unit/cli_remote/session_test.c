/* Whole commands against a collector that answers by a script, over the real transport. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/remote/remote.h"
#include "common/capfile/capfile.h"
#include "fake_collector.h"

#define OUTPUT 8192

struct output {
    char out[OUTPUT], err[OUTPUT];
};

static struct fake_collector fake;

static char *in_directory(const char *name)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", fake.directory, name);
    return path;
}

static void redirect(int fd, const char *name)
{
    int file = open(in_directory(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, fd) < 0)
        abort();
}

/* Begins a command line in a process of its own; `line` holds words parted by single spaces. */
static pid_t begin(const char *line)
{
    (void)unlink(in_directory("stdout"));
    (void)unlink(in_directory("stderr"));
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    char copy[512], *argv[32], *rest = copy;
    int argc = 0;
    (void)snprintf(copy, sizeof copy, "%s", line);
    while ((argv[argc] = strsep(&rest, " ")))
        argc++;
    redirect(STDOUT_FILENO, "stdout");
    redirect(STDERR_FILENO, "stderr");
    int exit_code = !strcmp(argv[0], "agent")  ? dp_cli_agent(argc, argv)
                    : !strcmp(argv[0], "path") ? dp_cli_path(argc, argv)
                                               : dp_cli_capture(argc, argv);
    exit(exit_code); /* with atexit handlers: the leak check */
}

static void slurp(const char *name, char *ret_text)
{
    FILE *in = fopen(in_directory(name), "r");
    size_t length = in ? fread(ret_text, 1, OUTPUT - 1, in) : 0;
    ret_text[length] = '\0';
    if (in)
        fclose(in);
}

static int end(pid_t pid, struct output *ret_output)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    slurp("stdout", ret_output->out);
    slurp("stderr", ret_output->err);
    if (!WIFEXITED(status))
        fail_msg("the command died: %s", ret_output->err);
    return WEXITSTATUS(status);
}

static int run(struct output *ret_output, const char *line)
{
    return end(begin(line), ret_output);
}

/* Waits until the command has said something on standard error. */
static void wait_for(const char *text)
{
    char err[OUTPUT];
    for (int i = 0; i < 100; i++, usleep(50000)) {
        slurp("stderr", err);
        if (strstr(err, text))
            return;
    }
    fail_msg("'%s' never came: %s", text, err);
}

static void assert_says(const char *output, const char *text)
{
    if (!strstr(output, text))
        fail_msg("no '%s' in: %s", text, output);
}

static void assert_lacks(const char *output, const char *text)
{
    if (strstr(output, text))
        fail_msg("'%s' in: %s", text, output);
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void test_list(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "agent list"), 0);
    assert_says(output.out, "lb1    approved  away");
    assert_int_equal(run(&output, "agent list --json"), 0);
    assert_says(output.out, "\"schema\": \"droppoint.agents.v1\"");
    assert_string_equal(output.err, "");
}

static void test_fingerprints_are_tidied(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "agent approve 3F2A91C00"), 0);
    assert_string_equal(output.out, "3f2a-91c0-0\n");
    assert_int_equal(run(&output, "agent approve 3f2"), 2);
    assert_says(output.err, "not a fingerprint");
    assert_int_equal(run(&output, "agent approve lb1x"), 2);
    assert_int_equal(run(&output, "agent approve 3f2a --json"), 2);
    assert_says(output.err, "unknown option --json");
}

static void test_a_no_is_told(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "path set mail-out mx9/eth0 lb1/eth0"), 2);
    assert_says(output.err, "There is no agent mx9.");
    assert_int_equal(run(&output, "path set mail-out mx1/eth0 mx1/eth0"), 2);
    assert_says(output.err, "named twice");
    assert_int_equal(run(&output, "path set mail-out mx1"), 2);
    assert_says(output.err, "AGENT/INTERFACE");
    assert_int_equal(run(&output, "path set Mail mx1/eth0"), 2);
    assert_says(output.err, "not a name for a path");
}

static void test_no_answer(void **state)
{
    (void)state;
    struct output output;
    double start = now();
    assert_int_equal(run(&output, "path remove mail-out --timeout 500ms"), 2);
    assert_says(output.err, "gave no answer within 500 ms");
    assert_true(now() - start < 5);
}

static void test_refused_key(void **state)
{
    (void)state;
    struct output output;
    char line[256];
    (void)snprintf(line, sizeof line, "agent list --key %s", in_directory("stranger.key"));
    assert_int_equal(run(&output, line), 2);
    assert_says(output.err, "refuses your key");
    (void)snprintf(line, sizeof line, "agent list --collector-key %s", in_directory("stranger.pub"));
    assert_int_equal(run(&output, line), 2);
    assert_says(output.err, "collector.pub");
}

static void test_missing_key(void **state)
{
    (void)state;
    struct output output;
    char line[256];
    (void)snprintf(line, sizeof line, "agent list --key %s", in_directory("absent.key"));
    assert_int_equal(run(&output, line), 2);
    assert_says(output.err, "The collector writes an operator's key to");
    assert_int_not_equal(access(in_directory("absent.key"), F_OK), 0);
    (void)snprintf(line, sizeof line, "agent list --key %s", in_directory("collector.pub"));
    assert_int_equal(run(&output, line), 2);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct output output;
    double start = now();
    assert_int_equal(run(&output, "agent list --collector tcp://127.0.0.1:1"), 2);
    assert_says(output.err, "no collector answers at tcp://127.0.0.1:1 (Connection refused)");
    assert_true(now() - start < 5);
    assert_int_equal(run(&output, "agent list --collector collector:9910"), 2);
    assert_says(output.err, "tcp://HOST:PORT");
}

static void test_wrong_words(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "agent lst"), 2);
    assert_says(output.err, "has no command 'lst'");
    assert_says(output.err, "revoke");
    assert_int_equal(run(&output, "capture"), 2);
    assert_says(output.err, "needs a command");
    assert_int_equal(run(&output, "capture run --help"), 0);
    assert_says(output.out, "Examples:");
    assert_int_equal(run(&output, "path show"), 2);
    assert_int_equal(run(&output, "path show a b"), 2);
    assert_says(output.err, "'b' is one word too many");
    assert_int_equal(run(&output, "capture show ../c1"), 2);
    assert_says(output.err, "is not a capture");
}

static void test_verdicts(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "capture run --path clean --json"), 0);
    assert_says(output.out, "\"code\":\"clean\"");
    assert_int_equal(output.out[0], '{');
    assert_string_equal(output.err, "");
    assert_int_equal(run(&output, "capture run --path loss --json"), 1);
    assert_int_equal(run(&output, "capture show c1 --json"), 3);
    assert_int_equal(run(&output, "capture run --path loss"), 1);
    assert_says(output.out, "A summary.");
    assert_says(output.out, "droppoint capture export c1 --merge");
    assert_int_equal(run(&output, "capture run --path garbage --json"), 2);
    assert_string_equal(output.out, "");
}

static void test_verdicts_as_pages(void **state)
{
    (void)state;
    struct output output;
    char line[300], page[OUTPUT];
    (void)snprintf(line, sizeof line, "capture show c1 --html %s", in_directory("page.html"));
    assert_int_equal(run(&output, line), 3);
    assert_says(output.out, "page.html");
    slurp("page.html", page);
    assert_says(page, "<!DOCTYPE html>");
    (void)snprintf(line, sizeof line, "capture run --path loss --json --html %s", in_directory("page.html"));
    assert_int_equal(run(&output, line), 1);
    assert_int_equal(output.out[0], '{');
    assert_string_equal(output.err, "");
    slurp("page.html", page);
    assert_says(page, "<title>droppoint: loss");
    /* Where no page can be written nothing is captured. */
    assert_int_equal(run(&output, "capture run --path loss --html /nowhere/page.html"), 2);
    assert_says(output.err, "/nowhere/page.html: cannot be written");
    assert_string_equal(output.out, "");
}

static void test_captures_that_do_not_start(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(run(&output, "capture run --path absent"), 2);
    assert_says(output.err, "lb1/eth0 can't take part: agent lb1 is not connected");
    assert_says(output.err, "--partial");
    assert_int_equal(run(&output, "capture run --path absent --partial"), 2);
    assert_lacks(output.err, "--partial");
    assert_int_equal(run(&output, "capture run --path unknown"), 2);
    assert_says(output.err, "There is no path 'unknown'.");
    assert_int_equal(run(&output, "capture run --path away"), 2);
    assert_string_equal(output.err, "droppoint: The database is away.\n");
    assert_int_equal(run(&output, "capture run --path clean --filter tcp+prt --collector tcp://127.0.0.1:1"),
                     2);
    assert_says(output.err, "does not compile");
    assert_int_equal(run(&output, "capture run"), 2);
    assert_says(output.err, "--path is missing");
}

static void test_interrupt(void **state)
{
    (void)state;
    struct output output;
    pid_t pid = begin("capture run --path cancel");
    wait_for("s left");
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(end(pid, &output), 3);
    assert_says(output.err, "Stopping");
    pid = begin("capture run --path never");
    wait_for("s left");
    assert_int_equal(kill(pid, SIGINT), 0);
    wait_for("Stopping");
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(end(pid, &output), 130);
}

/* On a terminal the line is rewritten in place and taken away before anything else is written. */
static void test_live_line_on_a_terminal(void **state)
{
    (void)state;
    char seen[OUTPUT] = "";
    size_t length = 0;
    int terminal = -1, status = 0;
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    (void)fflush(NULL);
    pid_t pid = forkpty(&terminal, NULL, NULL, &size);
    assert_true(pid >= 0);
    if (!pid) {
        char *argv[] = {(char *)"capture", (char *)"run", (char *)"--path", (char *)"cancel", NULL};
        exit(dp_cli_capture(4, argv));
    }
    while (length < sizeof seen - 1 && !strstr(seen, "29 s left")) {
        ssize_t got = read(terminal, seen + length, sizeof seen - 1 - length);
        assert_true(got > 0);
        length += (size_t)got;
        seen[length] = '\0';
    }
    assert_non_null(strstr(seen, "\r30 s left | no loss so far | mx1/eth0 0 | lb1/eth0 0\033[J"));
    assert_int_equal(kill(pid, SIGINT), 0);
    for (ssize_t got = 1; got > 0 && length<sizeof seen - 1; length += got> 0 ? (size_t)got : 0)
        got = read(terminal, seen + length, sizeof seen - 1 - length);
    seen[length] = '\0';
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_non_null(strstr(seen, "\r\033[JStopping"));
    (void)close(terminal);
}

/* The collector dies in mid-run and comes back: the verdict is fetched; and when it does not, the way to it
 * is told. */
static void test_collector_lost(void **state)
{
    (void)state;
    struct output output;
    pid_t pid = begin("capture run --path crash --json");
    wait_for("Waiting up to");
    fake_collector_stop(&fake);
    fake_collector_start(&fake);
    assert_int_equal(end(pid, &output), 3);
    assert_says(output.out, "\"code\":\"inconclusive\"");
    pid = begin("capture run --path crash");
    wait_for("Waiting up to");
    fake_collector_stop(&fake);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(end(pid, &output), 130);
    assert_says(output.err, "droppoint capture show c1");
    fake_collector_start(&fake);
}

static void test_two_sessions_of_one_operator(void **state)
{
    (void)state;
    struct output output;
    pid_t pid = begin("capture run --path cancel");
    wait_for("s left");
    int status = 0;
    pid_t second = fork();
    assert_true(second >= 0);
    if (!second) {
        char *argv[] = {(char *)"agent", (char *)"list", NULL};
        redirect(STDOUT_FILENO, "out.pcapng");
        exit(dp_cli_agent(2, argv));
    }
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(status, 0);
    usleep(800000); /* time for the first session to notice, were it put out */
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(end(pid, &output), 3);
    assert_lacks(output.err, "lost");
    (void)unlink(in_directory("out.pcapng"));
}

static uint64_t packets_in(const char *path)
{
    struct dp_capfile *file = NULL;
    struct dp_capfile_packet packet;
    struct dp_diag diag = {""};
    uint64_t count = 0;
    if (dp_capfile_open(path, &file, &diag))
        fail_msg("%s", diag.text);
    while (dp_capfile_next(file, &packet, &diag) == 0)
        count++;
    dp_capfile_close(file);
    return count;
}

static void test_export(void **state)
{
    (void)state;
    struct output output;
    char line[256], force[300], out[128];
    (void)snprintf(out, sizeof out, "%s", in_directory("out.pcapng"));
    (void)snprintf(line, sizeof line, "capture export c1 --merge %s", out);
    int exported = run(&output, line);
    if (exported != 3)
        print_error("%s", output.err);
    assert_int_equal(exported, 3);
    assert_says(output.out, "3,000 packets of 1 vantage point");
    assert_says(output.err, "The packets of lb1/eth0 are missing: the ring holds nothing");
    assert_int_equal(packets_in(out), EXPORT_PACKETS);
    assert_int_equal(run(&output, line), 2);
    assert_says(output.err, "exists already");
    (void)snprintf(force, sizeof force, "%s --force", line);
    assert_int_equal(truncate(out, 0), 0);
    assert_int_equal(run(&output, force), 3);
    assert_int_equal(packets_in(out), EXPORT_PACKETS);
    assert_int_equal(unlink(out), 0);
    (void)snprintf(force, sizeof force, "%s --all-flows", line);
    assert_int_equal(run(&output, force), 2);
    assert_says(output.err, "no agent sent packets");
    assert_int_not_equal(access(out, F_OK), 0);
    assert_int_equal(run(&output, "capture export c1"), 2);
    assert_says(output.err, "--merge is missing");
    assert_int_equal(run(&output, "capture export c1 --merge /nonexistent/x"), 2);
    assert_says(output.err, "/nonexistent/x can't be written: No such file or directory");
}

static int set_up(void **state)
{
    (void)state;
    fake_collector_keys(&fake);
    fake_collector_start(&fake);
    setenv("DROPPOINT_COLLECTOR", fake.endpoint, 1);
    setenv("DROPPOINT_KEY", in_directory("operator.key"), 1);
    setenv("DROPPOINT_COLLECTOR_KEY", in_directory("collector.pub"), 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_collector_clean(&fake);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_fingerprints_are_tidied),
        cmocka_unit_test(test_a_no_is_told),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_refused_key),
        cmocka_unit_test(test_missing_key),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_verdicts_as_pages),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_captures_that_do_not_start),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_live_line_on_a_terminal),
        cmocka_unit_test(test_collector_lost),
        cmocka_unit_test(test_two_sessions_of_one_operator),
        cmocka_unit_test(test_export),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
