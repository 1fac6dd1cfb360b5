/* Runs a command and says what it cost, its children included.
 *
 * Usage: cost FILE COMMAND [ARGUMENT ...]
 * Writes "user_seconds system_seconds wall_seconds peak_kib exit_code" to FILE. SIGINT and SIGTERM go on to
 * the command. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t child;

static void pass_on(int number)
{
    if (child > 0)
        (void)kill(child, number);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "Usage: %s FILE COMMAND [ARGUMENT ...]\n", argv[0]);
        return 2;
    }
    double start = now();
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        return 2;
    }
    if (!pid) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    child = pid;
    struct sigaction action = {.sa_handler = pass_on};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    int status = 0;
    while (waitpid(pid, &status, 0) != pid)
        continue;
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE *out = fopen(argv[1], "w");
    if (!out ||
        fprintf(out, "%.3f %.3f %.3f %ld %d\n", seconds(usage.ru_utime), seconds(usage.ru_stime),
                now() - start, usage.ru_maxrss, exit_code) < 0 ||
        fclose(out)) {
        perror(argv[1]);
        return 2;
    }
    return exit_code;
}
